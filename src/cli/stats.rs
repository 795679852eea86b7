//! `drumfs stats`: what an archive is made of.

use std::path::PathBuf;

use clap::Args;

use super::context::Ear;
use super::known::Known;
use super::{Failure, Global, Outcome, output};
use crate::archive::ArchiveRoot;
use crate::classify::places::write_whole;
use crate::report::Stats;

/// Count what is in an archive: folders, labels, how sure the model is, lengths, errors, copies
///
/// Reads what is known already and listens to nothing; works while the archive is mounted, too. Folders and reasons are
/// those of the rules in force. What stands in the mount's _stats.json has the same value in --json.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// The folder that holds the samples
    archive: PathBuf,
    /// Write a page with charts to this file: it needs nothing beside it, and no script
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &StatsArgs) -> Result<Outcome, Failure> {
    let root = ArchiveRoot::new(&args.archive)?;
    let ear = Ear::new(global)?;
    let known = Known::read(global, &ear, &root)?;
    let router = known.router(&ear)?;
    let stats = Stats::of(&known.catalogue, &router, &known.overrides, ear.ensemble.labels().names());
    if let Some(path) = &args.html {
        let page = stats.html(&root.path().display().to_string(), ear.ensemble.leading().model_id());
        write_whole(path, page.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
        output::tell(format_args!("wrote {}", path.display()));
    }
    if args.json {
        output::json(&stats)?;
    } else if args.html.is_none() {
        output::lines(stats.text(output::style()))?;
    }
    Ok(Outcome::Done)
}
