fn main() -> std::process::ExitCode {
    drumfs::cli::main()
}
