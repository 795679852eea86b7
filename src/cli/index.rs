//! `drumfs index`: the indexing pass alone.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory};
use serde::Serialize;

use super::context::{self, Ear};
use super::output;
use super::progress::{PassBar, sentences};
use super::{Failure, Global, Outcome};
use crate::archive::ArchiveRoot;
use crate::index::snapshot::Following;
use crate::index::{Pass, PassOptions, Progress, Summary};
use crate::learn;
use crate::mount::{mostly_absent, platform};

/// Listen to what is new in an archive, without mounting it
///
/// Samples whose size and time have not changed are not opened. Ctrl-C stops cleanly; the next run goes on from there.
#[derive(Debug, Args)]
pub struct IndexArgs {
    /// The folder that holds the samples [default: `paths: {archive_root: …}` of config.yml]
    archive: Option<PathBuf>,
    /// Listen to so many files at a time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Mark samples missing even where more than half of the archive is gone
    #[arg(long)]
    forget_missing: bool,
    /// Set a damaged database aside and listen again; overrides and rules are kept
    #[arg(long)]
    repair: bool,
    /// Print the summary as JSON on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Printed<'a> {
    found: u64,
    unchanged: u64,
    heard: u64,
    duplicates: u64,
    failed: std::collections::BTreeMap<&'static str, u64>,
    gone: u64,
    mostly_absent: bool,
    interrupted: bool,
    problems: &'a [String],
    seconds: f64,
    seconds_walk: f64,
    store: String,
    backend: &'a str,
    model: &'a str,
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &IndexArgs) -> Result<Outcome, Failure> {
    let ear = Ear::new(global)?;
    let archive = args.archive.as_ref().or(ear.config.archive.as_ref()).unwrap_or_else(|| {
        let mut what =
            "which archive? Name the folder that holds the samples, here or as `paths: {archive_root: …}` in \
                        config.yml"
                .to_owned();
        // The older pipeline's `infer` read it by itself.
        if global.config.is_none() && Path::new("config.yml").exists() {
            what += ". There is a config.yml here: to use it give --config config.yml";
        }
        super::Cli::command().error(ErrorKind::MissingRequiredArgument, what).exit()
    });
    let root = ArchiveRoot::new(archive)?;
    let folder = context::store_folder(global, &ear.config, &root)?;
    let store = context::open_store(folder, &root, args.repair, "indexing")?;
    let backend = ear.start()?;
    let cancel = context::stop_flag()?;
    let bar = PassBar::new();
    let pass = Pass {
        root: &root,
        store: &store,
        ensemble: &ear.ensemble,
        options: PassOptions {
            threads: ear.threads(args.threads.map(usize::from)),
            algorithm: ear.algorithm(),
            exclude: platform::own_mounts().into_iter().map(|mount| mount.path).collect(),
            forget_missing: args.forget_missing,
        },
        cancel: &cancel,
    };
    let mut following = Following::new(&store);
    let result = pass.run(&mut |progress| {
        following.follow(&progress);
        match progress {
            Progress::Planned { todo, .. } => bar.planned(todo),
            Progress::Recorded(updates) => {
                bar.heard(updates.iter().filter(|update| !update.entry.missing).count() as u64)
            }
            Progress::Moved(_) | Progress::Followed(_) => {}
        }
    });
    bar.finish();
    let summary = result?;
    // For the next mount.
    if let Err(error) = following.keep(&store, &learn::in_force(&ear.ensemble, store.folder()).0) {
        log::warn!("the next mount takes longer to start: {error}");
    }
    if args.json {
        print_json(&summary, &store.folder().display().to_string(), &backend, ear.ensemble.id())?;
    } else {
        sentences(&summary).iter().for_each(output::tell);
    }
    if summary.mostly_absent {
        return Err(mostly_absent(&summary, root.path().to_owned()).into());
    }
    Ok(match (summary.interrupted, summary.failed_total() > 0 || !summary.problems.is_empty()) {
        (true, _) => Outcome::Failed,
        (false, true) => Outcome::SomeFailed,
        (false, false) => Outcome::Done,
    })
}

fn print_json(summary: &Summary, store: &str, backend: &str, model: &str) -> Result<(), Failure> {
    let printed = Printed {
        found: summary.found,
        unchanged: summary.unchanged,
        heard: summary.heard,
        duplicates: summary.duplicates,
        failed: summary.failed.iter().map(|(status, count)| (status.name(), *count)).collect(),
        gone: summary.gone,
        mostly_absent: summary.mostly_absent,
        interrupted: summary.interrupted,
        problems: &summary.problems,
        seconds: summary.elapsed.as_secs_f64(),
        seconds_walk: summary.elapsed_walk.as_secs_f64(),
        store: store.to_owned(),
        backend,
        model,
    };
    Ok(output::json(&printed)?)
}
