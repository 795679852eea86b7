//! The `drumfs` program.

fn main() -> std::process::ExitCode {
    drumfs::cli::main()
}
