//! One file a command: wiring and printing, no logic.

mod aggregate;
mod background;
mod calibrate;
mod confusions;
mod context;
mod create_stub;
mod duplicates;
mod export;
pub mod features;
mod import;
mod index;
mod known;
mod learn;
mod mount;
mod output;
mod outside;
mod overrides;
mod place;
mod progress;
mod rebuild;
mod records;
mod review;
mod rules;
mod schema;
mod stats;
mod uncertain;
mod validate;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

/// Sorts a drum-sample archive without moving a file.
///
/// drumfs listens to every sample once, keeps what it heard, and mounts a folder in which the samples are sorted into
/// Kick, Snare, Hihat and so on. The originals are never written, moved or copied.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some files failed (see _errors.txt).";

/// What every command takes.
#[derive(Debug, Clone, Args)]
struct Global {
    /// Read model, hash and backend from this config.yml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep what is heard in this folder [default: below ~/.local/state/drumfs, one for each archive]
    #[arg(long, global = true, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Say more: once for what happens, twice for every refused request
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Command {
    Mount(mount::MountArgs),
    #[command(alias = "infer")]
    Index(index::IndexArgs),
    Rebuild(rebuild::RebuildArgs),
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    Stats(stats::StatsArgs),
    Uncertain(uncertain::UncertainArgs),
    Confusions(confusions::ConfusionsArgs),
    Duplicates(duplicates::DuplicatesArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Aggregate(aggregate::AggregateArgs),
    Calibrate(calibrate::CalibrateArgs),
    Override(overrides::OverrideArgs),
    Review(review::ReviewArgs),
    Learn(learn::LearnArgs),
    #[command(alias = "validate-mapping")]
    Validate(validate::ValidateArgs),
    CreateStub(create_stub::CreateStubArgs),
    #[command(subcommand)]
    Schema(schema::SchemaCommand),
    Features(features::FeaturesArgs),
    Worker(worker::WorkerArgs),
    /// Print completions for a shell
    ///
    /// For bash: `drumfs completions bash > ~/.local/share/bash-completion/completions/drumfs`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    ///
    /// Read it with `drumfs man | man -l -`
    Man,
}

/// How a command ended, for the exit code.
pub(crate) enum Outcome {
    /// Done.
    Done,
    /// Done, but some files failed.
    SomeFailed,
    /// Failed, and what there is to say was said.
    Failed,
}

/// What a command fails with: a sentence for people.
type Failure = Box<dyn std::error::Error>;

/// Parses the command line, runs the command, and gives the exit code: 0 done, 1 failed, 2 usage, 3 done with some
/// files failed.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(cli.global.verbose);
    let result = match cli.command {
        Command::Mount(args) => mount::run(&cli.global, args),
        Command::Index(args) => index::run(&cli.global, &args),
        Command::Rebuild(args) => rebuild::run(&cli.global, &args),
        Command::Rules(command) => rules::run(&cli.global, command),
        Command::Stats(args) => stats::run(&cli.global, &args),
        Command::Uncertain(args) => uncertain::run(&cli.global, &args),
        Command::Confusions(args) => confusions::run(&cli.global, &args),
        Command::Duplicates(args) => duplicates::run(&cli.global, &args),
        Command::Export(args) => export::run(&cli.global, &args),
        Command::Import(args) => import::run(&cli.global, &args),
        Command::Aggregate(args) => aggregate::run(&cli.global, &args),
        Command::Calibrate(args) => calibrate::run(&cli.global, &args),
        Command::Override(args) => overrides::run(&cli.global, &args),
        Command::Review(args) => review::run(&cli.global, &args),
        Command::Learn(args) => learn::run(&cli.global, &args),
        Command::Validate(args) => validate::run(&cli.global, &args),
        Command::CreateStub(args) => create_stub::run(&cli.global, &args),
        Command::Schema(command) => schema::run(&cli.global, &command),
        Command::Worker(args) => worker::run(&cli.global, &args),
        Command::Features(args) => match features::run(&args) {
            Ok(0) => Ok(Outcome::Done),
            Ok(_) => Ok(Outcome::SomeFailed),
            Err(error) => Err(error.into()),
        },
        Command::Completions { shell } => {
            // Into memory first: what writes to a closed pipe itself panics.
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "drumfs", &mut text);
            output::bytes(&text).map(|()| Outcome::Done).map_err(Into::into)
        }
        Command::Man => {
            let mut text = Vec::new();
            let made = clap_mangen::Man::new(Cli::command()).render(&mut text);
            made.and_then(|()| output::bytes(&text)).map(|()| Outcome::Done).map_err(Into::into)
        }
    };
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::SomeFailed) => ExitCode::from(3),
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(error) if output::is_unread(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            output::tell(format_args!("drumfs: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Logs to stderr: warnings, more with `-v`, or as RUST_LOG says.
fn start_log(verbose: u8) {
    let level = match verbose {
        // Libraries warn of what is drumfs's to say: a damaged sample is in _errors.txt.
        0 => "drumfs=warn,sled=off,error",
        1 => "drumfs=info,sled=off,error",
        _ => "debug,sled=info,tract_core=info,tract_onnx=info",
    };
    let env = env_logger::Env::default().default_filter_or(level);
    // A second logger is refused; there is none in this program.
    drop(env_logger::Builder::from_env(env).format_target(false).try_init());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_commands_holds_together() {
        Cli::command().debug_assert();
    }
}
