//! `drumfs duplicates`: what is there more than once.

use std::path::PathBuf;

use clap::Args;

use super::context::{self, Ear};
use super::known::Known;
use super::progress::PassBar;
use super::{Failure, Global, Outcome, output};
use crate::archive::ArchiveRoot;
use crate::duplicates::{LIKENESS, Search, Step, exact, write_alike};
use crate::report::Duplicates;

/// Find samples that are there more than once, as the same bytes or as nearly the same sound
///
/// Near ones are the same recording at another level, trimmed, at another sample rate or in another format; velocity
/// layers and round robins are other recordings and are told apart. The first run listens to the originals for it, and
/// keeps what it needs beside the store; a later one listens to what is new. The archive is only read. Nothing is
/// removed: `duplicates: hide` in rules.yml hides the same bytes from the view, `hide-near` near ones as well (a mount with
/// such rules looks for them by itself; what was found here it takes up when rules are saved).
#[derive(Debug, Args)]
pub struct DuplicatesArgs {
    /// The folder that holds the samples
    archive: PathBuf,
    /// Look for the same bytes alone: nothing is listened to
    #[arg(long)]
    exact: bool,
    /// How like each other two sounds have to be: the least correlation of any band, from 0 to 1
    #[arg(long, value_name = "P", default_value_t = LIKENESS, value_parser = likeness, conflicts_with = "exact")]
    likeness: f32,
    /// Listen to so many files at a time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Print the groups as JSON
    #[arg(long)]
    json: bool,
}

fn likeness(text: &str) -> Result<f32, String> {
    let least = text.parse().ok().filter(|p: &f32| (0.5..=1.0).contains(p));
    least.ok_or_else(|| "expected a number from 0.5 to 1".to_owned())
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &DuplicatesArgs) -> Result<Outcome, Failure> {
    let root = ArchiveRoot::new(&args.archive)?;
    let ear = Ear::new(global)?;
    let known = Known::read(global, &ear, &root)?;
    let same = exact(&known.catalogue);
    let near = if args.exact {
        None
    } else {
        let folder = context::store_folder(global, &ear.config, &root)?;
        let cancel = context::stop_flag()?;
        let bar = PassBar::new();
        let tell = |step: Step| match step {
            Step::ToHear(count) => bar.planned(count),
            Step::ToCompare(count) => bar.counting_of("comparing", "pairs", count),
            Step::Heard => bar.heard(1),
            Step::Compared(count) => bar.heard(count),
        };
        let search = Search {
            catalogue: &known.catalogue,
            root: &root,
            folder: &folder,
            least: args.likeness,
            cancel: &cancel,
            tell: &tell,
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(ear.threads(args.threads.map(usize::from))).build()?;
        let near = pool.install(|| search.run());
        bar.finish();
        let near = near?;
        write_alike(&folder, &known.catalogue, &near, args.likeness)
            .map_err(|error| format!("{}: what was found can't be kept: {error}", folder.display()))?;
        Some(near)
    };
    let found = Duplicates::of(&known.catalogue, &same, near.as_ref(), args.likeness);
    if args.json {
        output::json(&found)?;
    } else {
        output::lines(found.text(output::style()))?;
    }
    let all_heard = found.near.as_ref().is_none_or(|near| near.failed.is_empty());
    Ok(if all_heard { Outcome::Done } else { Outcome::SomeFailed })
}
