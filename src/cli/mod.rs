//! One file a command: wiring and printing, no logic.

pub mod features;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sorts a drum-sample archive without moving a file.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Features(features::FeaturesArgs),
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let Command::Features(args) = Cli::parse().command;
    match features::run(&args) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(3),
        Err(error) => {
            eprintln!("drumfs: {error}");
            ExitCode::FAILURE
        }
    }
}
