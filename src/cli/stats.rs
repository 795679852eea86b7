//! `drumfs stats`: what an archive is made of.

use std::path::{Path, PathBuf};

use clap::Args;

use super::context::Ear;
use super::known::Known;
use super::outside::write_outside;
use super::{Failure, Global, Outcome, output};
use crate::archive::ArchiveRoot;
use crate::exchange::{BadLines, IndexReader};
use crate::report::{IndexCounter, Stats};
use crate::rules::{Router, Rules};

/// Count what is in an archive: folders, labels, how sure the model is, lengths, errors, copies
///
/// Reads what is known already and listens to nothing; works while the archive is mounted, too. Folders and reasons are
/// those of the rules in force. What stands in the mount's _stats.json has the same value in --json.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// The folder that holds the samples
    #[arg(required_unless_present = "index")]
    archive: Option<PathBuf>,
    /// Count an index.jsonl instead, drumfs's own or the older pipeline's, .gz or not: what the file itself says
    #[arg(long, value_name = "FILE", conflicts_with = "archive")]
    index: Option<PathBuf>,
    /// Write a page with charts to this file: it needs nothing beside it, and no script
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &StatsArgs) -> Result<Outcome, Failure> {
    let ear = Ear::new(global)?;
    let mut outcome = Outcome::Done;
    let mut of = None;
    let (stats, heading, heard_by) = match (&args.index, &args.archive) {
        (Some(index), _) => {
            let mut bad = BadLines::default();
            let stats = of_index(index, &ear, &mut bad)?;
            bad.sentences().iter().for_each(output::tell);
            if bad.count() > 0 {
                outcome = Outcome::SomeFailed;
            }
            (stats, index.display().to_string(), "what the file says".to_owned())
        }
        (None, Some(archive)) => {
            let root = ArchiveRoot::new(archive)?;
            let known = Known::read(global, &ear, &root)?;
            let router = known.router(&ear)?;
            let stats = Stats::of(&known.catalogue, &router, &known.overrides, ear.ensemble.labels().names());
            let heard_by = format!("what drumfs knows of it, heard by {}", ear.ensemble.leading().model_id());
            let heading = root.path().display().to_string();
            of = Some(root);
            (stats, heading, heard_by)
        }
        (None, None) => return Err("which archive?".into()),
    };
    if let Some(path) = &args.html {
        let page = stats.html(&heading, &heard_by);
        write_outside(path, of.as_ref(), page.as_bytes())?;
        output::tell(format_args!("wrote {}", path.display()));
    }
    if args.json {
        output::json(&stats)?;
    } else if args.html.is_none() {
        output::lines(stats.text(output::style()))?;
    }
    Ok(outcome)
}

fn of_index(path: &Path, ear: &Ear, bad: &mut BadLines) -> Result<Stats, Failure> {
    let router = Router::new(&Rules::defaults(&ear.vocabulary), &ear.vocabulary);
    let mut counter = IndexCounter::default();
    for record in bad.passing(IndexReader::open(path)?) {
        counter.add(&record?, &router);
    }
    Ok(counter.finish())
}
