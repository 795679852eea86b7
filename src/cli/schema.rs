//! `drumfs schema`: JSON schemas, for editors.

use clap::Subcommand;

use super::context::Ear;
use super::{Failure, Global, Outcome, output};
use crate::config;
use crate::rules::Rules;

/// Print the JSON schema of rules.yml or config.yml, for an editor that checks and completes
///
/// Write it to a file, and put this line at the top of the YAML: `# yaml-language-server: $schema=FILE`
#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// Of rules.yml, with the labels of the model that config.yml names or that is compiled in
    Rules,
    /// Of config.yml
    Config,
}

/// Runs the command.
pub(super) fn run(global: &Global, command: &SchemaCommand) -> Result<Outcome, Failure> {
    output::json(&match command {
        SchemaCommand::Rules => Rules::schema(&Ear::new(global)?.vocabulary),
        SchemaCommand::Config => config::schema(),
    })?;
    Ok(Outcome::Done)
}
