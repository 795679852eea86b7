//! `drumfs override import`: taking over a file of overrides, an old one too.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{About, Here};
use crate::cli::progress;
use crate::cli::{Failure, Global, Outcome, output};
use crate::overrides::elsewhere::{Elsewhere, open};
use crate::overrides::{Labels, Names, Reading, read};
use crate::store::Word;

/// Take over a file of overrides, also one of an older pipeline
///
/// All lines are good, or nothing is taken and each bad one is named; --keep-going takes the good ones and exits with 3.
/// Of two lines on one content the later one counts, and both are named. Taking a file over twice changes nothing.
///
/// Older files name contents by MD5. Where the archive is named otherwise, a line's own path tells which sample it is (its
/// bytes are checked), or the old index.jsonl does (--index), or all originals are read once (--hash-originals).
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file, gzipped or not; - reads standard input
    file: PathBuf,
    /// An index.jsonl (or .gz) that knows the file's hashes by their paths
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// Read every original once, to find contents that the file names by another kind of hash
    #[arg(long)]
    hash_originals: bool,
    /// Take the good lines where others are bad
    #[arg(long)]
    keep_going: bool,
    /// What was said before stays where the file says something else
    #[arg(long)]
    keep: bool,
    /// Say what would be taken, and take nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    about: About,
}

/// A line that says something else than was said before.
#[derive(Debug, Serialize)]
struct Change {
    line: u64,
    path: String,
    before: String,
    now: Option<String>,
}

#[derive(Debug, Serialize)]
struct Done {
    /// Lines that say something.
    lines: u64,
    /// Contents that got a new word.
    taken: usize,
    /// Contents of which the same was said before.
    same: usize,
    /// Contents that are not in the archive: their words wait for them.
    not_here: usize,
    /// Lines that say something else than was said before.
    changes: Vec<Change>,
    /// Lines that disagree with each other.
    conflicts: Vec<String>,
    /// Lines that can't be taken.
    problems: Vec<String>,
    /// Whether anything was recorded.
    recorded: bool,
}

pub(super) fn run(global: &Global, args: &ImportArgs) -> Result<Outcome, Failure> {
    let (outcome, done) = take(global, args, &open(&args.file)?)?;
    tell(args, &done)?;
    Ok(outcome)
}

/// The same of lines that another command made of `file`; the good ones are taken where others are bad. What was done is
/// told, or added to `said` where there is one.
pub(in crate::cli) fn take_lines(
    global: &Global,
    archive: &Path,
    file: &Path,
    lines: &[u8],
    dry_run: bool,
    said: Option<&mut Vec<serde_json::Value>>,
) -> Result<Outcome, Failure> {
    let about = About { archive: Some(archive.to_owned()), who: None, json: said.is_some() };
    let file = file.to_owned();
    let args = ImportArgs { file, index: None, hash_originals: false, keep_going: true, keep: false, dry_run, about };
    let (outcome, done) = take(global, &args, lines)?;
    match said {
        Some(said) => said.push(serde_json::to_value(&done)?),
        None => tell(&args, &done)?,
    }
    Ok(outcome)
}

fn take(global: &Global, args: &ImportArgs, text: &[u8]) -> Result<(Outcome, Done), Failure> {
    let archive = args.about.archive.as_deref();
    let here = match args.index.is_some() || args.hash_originals {
        // What a line's hash means is then found at paths that the lines do not name.
        true => Here::new(global, archive, None)?,
        false => Here::for_lines(global, archive, text)?,
    };
    let mut contents = Elsewhere::new(&here.known.catalogue, &here.root);
    if let Some(index) = &args.index {
        let bad = contents.learn_index(index)?;
        bad.sentences().iter().for_each(output::tell);
    }
    if args.hash_originals {
        let bar = progress::reading();
        contents.hash_originals(text, &|done, all| bar.at(done, all));
        bar.finish();
    }
    let router = here.known.router(&here.ear)?;
    let labels = Labels::new(&here.ear.vocabulary, &router);
    let reading = read(text, &Names { labels: &labels, contents: &contents })?;
    let (words, mut done) = compare(&here, args, &reading);
    if !args.dry_run && (reading.problems.is_empty() || args.keep_going) {
        here.known.from.recorder().record(&words)?;
        done.recorded = !words.is_empty();
    }
    let outcome = match (reading.problems.is_empty(), args.keep_going) {
        (true, _) => Outcome::Done,
        (false, true) => Outcome::SomeFailed,
        (false, false) => Outcome::Failed,
    };
    Ok((outcome, done))
}

/// What is new in the file.
fn compare(here: &Here, args: &ImportArgs, reading: &Reading) -> (Vec<Word>, Done) {
    let by = args.about.by();
    let mut words = Vec::new();
    let mut done = Done {
        lines: reading.lines,
        taken: 0,
        same: 0,
        not_here: 0,
        changes: Vec::new(),
        conflicts: reading.conflicts.iter().map(ToString::to_string).collect(),
        problems: reading.problems.iter().map(ToString::to_string).collect(),
        recorded: false,
    };
    for said in &reading.said {
        let word = Word { by: said.word.by.clone().or_else(|| by.clone()), undo: false, ..said.word.clone() };
        let before = here.known.overrides.get(&word.hash);
        let label = before.map(|before| &before.label);
        let same = label == word.label.as_ref()
            && (word.note.is_none() || before.is_some_and(|before| before.note == word.note));
        if same {
            done.same += 1;
            continue;
        }
        if let Some(before) = before.filter(|before| Some(&before.label) != word.label.as_ref()) {
            let (path, before) = (here.name(&word.hash), before.label.clone());
            done.changes.push(Change { line: said.line, path, before, now: word.label.clone() });
            if args.keep {
                continue;
            }
        }
        done.not_here += usize::from(here.known.catalogue.with_content(&word.hash).is_none());
        words.push(word);
    }
    done.taken = words.len();
    (words, done)
}

fn tell(args: &ImportArgs, done: &Done) -> Result<(), Failure> {
    if args.about.json {
        return Ok(output::json(done)?);
    }
    let file = args.file.display();
    some(&done.problems, |problem| output::tell(format_args!("{file}: {problem}")));
    some(&done.conflicts, |conflict| output::tell(format_args!("{file}: {conflict}")));
    let kept = if args.keep { "; the latter stays" } else { "" };
    some(&done.changes, |Change { line, path, before, now }| {
        let now = now.as_deref().unwrap_or("nothing");
        output::tell(format_args!("{file}: line {line}: {path}: `{now}` here, `{before}` before{kept}"));
    });
    if done.not_here > 0 {
        let count = done.not_here;
        output::tell(format_args!("{count} are of contents that are not in the archive; they wait for them"));
    }
    if !done.problems.is_empty() && !args.keep_going {
        output::tell(format_args!(
            "{} of {} lines can't be taken, so nothing was; --keep-going takes the others",
            done.problems.len(),
            done.lines
        ));
        return Ok(());
    }
    let what = if args.dry_run { "would be taken over" } else { "taken over" };
    Ok(output::line(format_args!("{file}: {} {what}, {} said so already", done.taken, done.same))?)
}

/// Tells of the first of them, and how many more there are.
fn some<T>(all: &[T], tell: impl Fn(&T)) {
    const SHOWN: usize = 50;
    all.iter().take(SHOWN).for_each(tell);
    if all.len() > SHOWN {
        output::tell(format_args!("… and {} more (--json has all)", all.len() - SHOWN));
    }
}
