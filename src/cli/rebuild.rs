//! `drumfs rebuild`: the view as a real tree.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use clap::Args;
use serde::Serialize;

use super::context::{self, Ear};
use super::known::Known;
use super::progress::PassBar;
use super::{Failure, Global, Outcome, output, rules};
use crate::archive::{ArchiveRoot, ContentHash};
use crate::classify::places::keep_no_longer_private;
use crate::mount::platform;
use crate::overrides::elsewhere::{self, Elsewhere};
use crate::overrides::{self, Contents, Labels, Names};
use crate::rebuild::{
    self, Change, Kind, Link, Narrowed, Originals, Problem, Recorded, Report, Stay, Surroundings, Undone,
};
use crate::rules::{Layout, Router, Rules};
use crate::store::Override;
use crate::view::{View, ViewInput};

/// Put the sorted archive into a folder: as links, or as copies
///
/// What a mount shows becomes a real tree: the same folders, the same names. Run it again after rules, corrections or
/// samples have changed, and it does what is left; nothing that drumfs did not put there is changed or removed.
/// DIR/_rebuild_log.jsonl says which file is which original, and --undo takes everything away again.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// The folder that holds the samples; with --index, where they are now [default: where the index says]
    #[arg(required_unless_present_any = ["undo", "index"])]
    archive: Option<PathBuf>,
    /// Where the tree goes: a folder outside the archive, made if it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How samples come there
    ///
    /// reflink: files of their own that share the originals' blocks until one of them is written (btrfs, XFS, APFS), and
    /// copies where that can't be. copy: copies, with the originals' times. symlink: symbolic links; some samplers and
    /// network drives don't follow them. hard: more names of the originals, on the same file system only; whoever writes
    /// such a file writes the original. --copy-mode and `hardlink` mean the same.
    #[arg(long, visible_alias = "copy-mode", value_name = "symlink|hard|reflink|copy", default_value_t)]
    link: Link,
    /// Take the samples from this index.jsonl (or .gz), drumfs's own or the older pipeline's, in the folders it says
    ///
    /// No store is needed. With --rules its probabilities are sorted anew.
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// Sort by this rules file instead of the rules in force; - reads standard input
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Take these corrections, too (overrides.jsonl, an old one as well); they go before those in force
    ///
    /// Lines that can't be taken are named, the others count, and the exit code is 3.
    #[arg(long, value_name = "FILE")]
    overrides: Option<PathBuf>,
    /// How the archive's own folders show in the tree, whatever the rules say
    #[arg(long, value_name = "preserve|flat|by-pack", value_parser = layout)]
    layout: Option<Layout>,
    /// Only these folders and misc, where everything else goes
    #[arg(long, value_name = "LABEL,…", value_delimiter = ',')]
    labels: Vec<String>,
    /// All folders, whatever --labels says
    #[arg(long)]
    allow_all: bool,
    /// Work on so many files at a time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Take away everything that drumfs put into DIR; what was changed since or put there by others stays
    #[arg(long, conflicts_with_all = ["link", "index", "overrides", "rules", "layout", "labels", "allow_all"])]
    undo: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

fn layout(text: &str) -> Result<Layout, String> {
    let known = Layout::ALL.into_iter().find(|layout| layout.name() == text);
    known.ok_or_else(|| format!("expected {}", Layout::ALL.map(Layout::name).join(", ")))
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &RebuildArgs) -> Result<Outcome, Failure> {
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads)).build_global()?;
    }
    if args.undo { undo(args) } else { make(global, args) }
}

fn make(global: &Global, args: &RebuildArgs) -> Result<Outcome, Failure> {
    let archive = args.archive.as_deref().map(ArchiveRoot::new).transpose()?;
    let ear = Ear::new(global)?;
    let cancel = context::stop_flag()?;
    let Source { view, originals, out, bad } = match (archive, &args.index) {
        (archive, Some(index)) => of_index(&ear, index, archive, args)?,
        (Some(archive), None) => of_store(global, &ear, archive, args)?,
        (None, None) => return Err("the folder that holds the samples is missing".into()),
    };
    let bar = PassBar::new();
    let options = rebuild::Options {
        out: &out,
        link: args.link,
        dry_run: args.dry_run,
        index: args.index.as_deref(),
        cancel: &cancel,
        planned: &|todo| bar.counting("putting", todo),
        put: &|count| bar.heard(count),
    };
    let result = rebuild::rebuild(&view, &originals, &options);
    bar.finish();
    let report = result?;
    if args.json {
        print_json(&report, &out, args.dry_run)?
    } else {
        print(&report, &out, args.dry_run)?
    }
    Ok(match (report.interrupted, report.problems.is_empty() && bad == 0) {
        (true, _) => Outcome::Failed,
        (false, false) => Outcome::SomeFailed,
        (false, true) => Outcome::Done,
    })
}

/// What a tree is made of, and where it goes.
struct Source {
    view: View,
    originals: Originals,
    out: PathBuf,
    /// Lines of overrides that could not be taken.
    bad: usize,
}

/// Adds what a file of overrides says to what was said before; how many lines could not be taken.
fn add_overrides(
    file: &Path,
    labels: &Labels<'_>,
    contents: &dyn Contents,
    text: &[u8],
    overrides: &mut HashMap<ContentHash, Override>,
) -> Result<usize, Failure> {
    let reading = overrides::read(text, &Names { labels, contents })?;
    for problem in &reading.problems {
        output::tell(format_args!("{}: {problem}", file.display()));
    }
    for conflict in &reading.conflicts {
        output::tell(format_args!("{}: {conflict}", file.display()));
    }
    for said in reading.said {
        let word = said.word;
        match word.label {
            Some(label) => _ = overrides.insert(word.hash, Override { label, note: word.note, at: 0.0 }),
            None => _ = overrides.remove(&word.hash),
        }
    }
    Ok(reading.problems.len())
}

/// Looks whether the tree may be put where it is wanted.
fn check(args: &RebuildArgs, archives: &[PathBuf], store: Option<&Path>) -> Result<PathBuf, Failure> {
    let mounts: Vec<PathBuf> = platform::own_mounts().into_iter().map(|mount| mount.path).collect();
    Ok(rebuild::check(&args.out, &Surroundings { archives, mounts: &mounts, store })?)
}

/// The folders that are asked for; all where there are none.
fn labels(args: &RebuildArgs) -> &[String] {
    if args.allow_all { &[] } else { &args.labels }
}

/// The view that a mount would show, narrowed as asked.
fn of_store(global: &Global, ear: &Ear, root: ArchiveRoot, args: &RebuildArgs) -> Result<Source, Failure> {
    let store = context::store_folder(global, &ear.config, &root)?;
    let out = check(args, &[root.path().to_owned()], Some(&store))?;
    let Known { catalogue, mut overrides, rules: in_force, from, .. } = Known::read(global, ear, &root)?;
    // The store's files are its owner's alone, and those of the tree as the shell says.
    keep_no_longer_private();
    // What a mount wants next is free.
    drop(from);
    let mut rules = rules::rules(ear, in_force.as_deref(), args.rules.as_deref())?;
    if let Some(layout) = args.layout {
        rules = rules.with_layout(layout);
    }
    let mut router = Router::new(&rules, &ear.vocabulary);
    let mut bad = 0;
    if let Some(file) = &args.overrides {
        let text = elsewhere::open(file)?;
        let mut contents = Elsewhere::new(&catalogue, &root);
        // Reads originals only where the file names contents by another kind of hash.
        contents.hash_originals(&text, &|_, _| {});
        bad = add_overrides(file, &Labels::new(&ear.vocabulary, &router), &contents, &text, &mut overrides)?;
    }
    if !labels(args).is_empty() {
        router = router.limited_to(labels(args))?;
    }
    let input = ViewInput {
        catalogue: Arc::new(catalogue),
        router: Arc::new(router),
        labels: ear.ensemble.labels().names().into(),
        overrides: &overrides,
        previous: None,
        now: SystemTime::now(),
        epoch: 0,
        rules_error: None,
    };
    Ok(Source { view: input.build(), originals: Originals::in_one(root), out, bad })
}

/// The view of an index, narrowed as asked.
fn of_index(ear: &Ear, index: &Path, archive: Option<ArchiveRoot>, args: &RebuildArgs) -> Result<Source, Failure> {
    let names = ear.ensemble.labels().names();
    let recorded = Recorded::read(index, archive, names, args.rules.is_some())?;
    recorded.bad.sentences().iter().for_each(output::tell);
    let archives: Vec<PathBuf> = recorded.originals.archives().iter().map(|root| root.path().to_owned()).collect();
    let out = check(args, &archives, None)?;
    let rules = args.rules.as_deref().map(|file| rules::rules(ear, None, Some(file))).transpose()?;
    let (mut overrides, mut bad) = (HashMap::new(), 0);
    if let Some(file) = &args.overrides {
        let text = elsewhere::open(file)?;
        let by = rules.clone().unwrap_or_else(|| Rules::defaults(&ear.vocabulary));
        let router = Router::new(&by, &ear.vocabulary);
        let folders = recorded.folders().iter().map(String::as_str);
        let known = Labels::new(&ear.vocabulary, &router);
        let labels = Labels::of(known.all().iter().copied().chain(folders));
        bad = add_overrides(file, &labels, recorded.catalogue(), &text, &mut overrides)?;
    }
    let narrowed = Narrowed { rules: rules.as_ref(), layout: args.layout, labels: labels(args), overrides: &overrides };
    let view = recorded.view(&ear.vocabulary, names.into(), &narrowed)?;
    Ok(Source { view, originals: recorded.originals, out, bad })
}

fn shown(path: &[u8]) -> String {
    output::printable(&String::from_utf8_lossy(path))
}

/// How many things of a kind are told one by one; the rest is in a file.
const TOLD: usize = 10;

fn print(report: &Report, out: &Path, dry_run: bool) -> Result<(), Failure> {
    for change in &report.changes {
        match change {
            Change::Put { path, from } => output::line(format_args!("put {} (from {})", shown(path), shown(from)))?,
            Change::Replace { path, from } => {
                output::line(format_args!("replace {} (from {})", shown(path), shown(from)))?;
            }
            Change::Move { old, path } => output::line(format_args!("move {} to {}", shown(old), shown(path)))?,
            Change::Remove { path } => output::line(format_args!("remove {}", shown(path)))?,
            Change::Write { path } => output::line(format_args!("write {}", shown(path)))?,
        }
    }
    if report.fell_back {
        output::tell(format_args!("{} can't share blocks with the archive: these are copies", out.display()));
    }
    let seconds = report.elapsed.as_secs_f64();
    if report.interrupted {
        output::tell("stopped before the end; what is there is whole, and the next run goes on from here");
    } else if report.is_unchanged() && report.problems.is_empty() {
        let samples = report.samples;
        output::line(format_args!("nothing to do: all {samples} samples are in {} ({seconds:.2} s)", out.display()))?;
    }
    if !report.is_unchanged() {
        let put = report.put + report.replaced + report.moved;
        let mut parts = vec![match dry_run {
            true => format!("{put} to put ({})", report.link.plural()),
            false => format!("{put} put ({}, {:.0} a second)", report.link.plural(), put as f64 / seconds.max(0.001)),
        }];
        let mut part = |count: u64, what: &str| {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        };
        part(report.replaced, "of them over what was out of date");
        part(report.moved, "of them moved from another folder");
        part(report.kept, "there already");
        part(report.removed, if dry_run { "to remove" } else { "removed" });
        output::line(format_args!("{} samples in {}: {}", report.samples, out.display(), parts.join(", ")))?;
    }
    if report.there > 0 {
        output::tell(format_args!("{} were there that drumfs did not put there; they stay its owner's", report.there));
    }
    if report.renamed > 0 {
        output::tell(format_args!(
            "{} have another name than in a mount: this file system takes `a` and `A` for the same",
            report.renamed
        ));
    }
    tell_stays(&report.stays)?;
    tell_problems(&report.problems);
    if report.problems.len() > TOLD && !dry_run {
        output::tell(format_args!("all of them: {}", out.join(rebuild::ERRORS_NAME).display()));
    }
    Ok(())
}

fn tell_stays(stays: &[Stay]) -> Result<(), Failure> {
    for stay in stays {
        output::line(format_args!("stays: {} ({})", shown(&stay.path), stay.why))?;
    }
    Ok(())
}

fn tell_problems(problems: &[Problem]) {
    for problem in problems.iter().take(TOLD) {
        output::tell(format_args!("{}: {}", shown(&problem.path), problem.error));
    }
    if let Some(more) = problems.len().checked_sub(TOLD).filter(|more| *more > 0) {
        output::tell(format_args!("and {more} more"));
    }
}

#[derive(Serialize)]
struct Printed<'a> {
    out: String,
    link: Link,
    fell_back: bool,
    dry_run: bool,
    samples: u64,
    put: u64,
    replaced: u64,
    moved: u64,
    kept: u64,
    there: u64,
    removed: u64,
    written: u64,
    renamed: u64,
    bytes: u64,
    unchanged: bool,
    interrupted: bool,
    /// How many could not be put there or removed, by kind.
    problems: std::collections::BTreeMap<Kind, u64>,
    errors: Option<String>,
    stays: Vec<PrintedStay<'a>>,
    seconds: f64,
}

#[derive(Serialize)]
struct PrintedStay<'a> {
    path: std::borrow::Cow<'a, str>,
    why: &'static str,
}

fn stays(stays: &[Stay]) -> Vec<PrintedStay<'_>> {
    stays.iter().map(|stay| PrintedStay { path: String::from_utf8_lossy(&stay.path), why: stay.why }).collect()
}

fn by_kind(problems: &[Problem]) -> std::collections::BTreeMap<Kind, u64> {
    let mut counts = std::collections::BTreeMap::new();
    problems.iter().for_each(|problem| *counts.entry(problem.kind).or_insert(0) += 1);
    counts
}

fn print_json(report: &Report, out: &Path, dry_run: bool) -> Result<(), Failure> {
    let errors = out.join(rebuild::ERRORS_NAME);
    Ok(output::json(&Printed {
        out: out.display().to_string(),
        link: report.link,
        fell_back: report.fell_back,
        dry_run,
        samples: report.samples,
        put: report.put,
        replaced: report.replaced,
        moved: report.moved,
        kept: report.kept,
        there: report.there,
        removed: report.removed,
        written: report.written,
        renamed: report.renamed,
        bytes: report.bytes,
        unchanged: report.is_unchanged(),
        interrupted: report.interrupted,
        problems: by_kind(&report.problems),
        errors: (!dry_run && !report.interrupted && !report.problems.is_empty()).then(|| errors.display().to_string()),
        stays: stays(&report.stays),
        seconds: report.elapsed.as_secs_f64(),
    })?)
}

fn undo(args: &RebuildArgs) -> Result<Outcome, Failure> {
    let cancel = context::stop_flag()?;
    // A mount has no such log, and asking a dead one hangs nobody: opening it fails.
    let undone = rebuild::undo(&args.out, args.dry_run, &cancel)?.ok_or_else(|| {
        format!("drumfs has put nothing into {}: there is no {} in it", args.out.display(), rebuild::LOG_NAME)
    })?;
    if args.json {
        print_undone_json(&undone, args)?
    } else {
        print_undone(&undone, args)?
    }
    Ok(match (undone.interrupted, undone.problems.is_empty()) {
        (true, _) => Outcome::Failed,
        (false, false) => Outcome::SomeFailed,
        (false, true) => Outcome::Done,
    })
}

fn print_undone(undone: &Undone, args: &RebuildArgs) -> Result<(), Failure> {
    let Undone { removed, made, folders, .. } = undone;
    let out = args.out.display();
    if args.dry_run {
        output::line(format_args!("{removed} samples and {made} files that drumfs made would go from {out}"))?;
    } else {
        output::line(format_args!(
            "{removed} samples, {made} files that drumfs made and {folders} folders went from {out}"
        ))?;
    }
    tell_stays(&undone.stays)?;
    tell_problems(&undone.problems);
    if undone.interrupted {
        output::tell("stopped before the end; the next run goes on from here");
    }
    Ok(())
}

fn print_undone_json(undone: &Undone, args: &RebuildArgs) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Printed<'a> {
        out: String,
        dry_run: bool,
        removed: u64,
        made: u64,
        folders: u64,
        stays: Vec<PrintedStay<'a>>,
        problems: std::collections::BTreeMap<Kind, u64>,
        interrupted: bool,
        seconds: f64,
    }
    Ok(output::json(&Printed {
        out: args.out.display().to_string(),
        dry_run: args.dry_run,
        removed: undone.removed,
        made: undone.made,
        folders: undone.folders,
        stays: stays(&undone.stays),
        problems: by_kind(&undone.problems),
        interrupted: undone.interrupted,
        seconds: undone.elapsed.as_secs_f64(),
    })?)
}
