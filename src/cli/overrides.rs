//! `drumfs override`: saying what a sound is, and looking at what was said.

mod import;
mod merge;

pub(super) use import::take_lines;

use std::collections::{HashMap, HashSet};
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::context::Ear;
use super::known::Known;
use super::outside::write_outside;
use super::{Failure, Global, Outcome, output, place};
use crate::archive::{ArchiveRoot, ContentHash};
use crate::overrides::history::{self, Spoken, spoken};
use crate::overrides::{Digest, Form, Labels, Names, Wanted, write};
use crate::store::{Override, Word, read_journal};
use crate::view::SampleRef;

/// Say what a sound is: it beats the model and every rule but `hide`
///
/// `drumfs override PATH LABEL` is on the disk when it returns, and a mount shows it. It belongs to the sound's content,
/// wherever the file goes. PATH is a file of the archive, or of a mount of it, or a path inside the archive; the hash of
/// its content does as well. LABEL is one of the model's labels, a canonical one, or a folder of the rules.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct OverrideArgs {
    #[command(subcommand)]
    command: Option<OverrideCommand>,
    /// The samples: files of the archive or of a mount, paths inside the archive, or hashes
    #[arg(value_name = "PATH|HASH", required = true, num_args = 1..)]
    samples: Vec<OsString>,
    /// What they are
    #[arg(value_name = "LABEL", required = true)]
    label: Option<String>,
    /// A remark, kept with it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    about: About,
}

#[derive(Debug, Subcommand)]
enum OverrideCommand {
    Remove(RemoveArgs),
    List(ListArgs),
    Undo(UndoArgs),
    History(HistoryArgs),
    Import(import::ImportArgs),
    Export(ExportArgs),
    Merge(merge::MergeArgs),
}

/// What every one of them takes.
#[derive(Debug, Args)]
struct About {
    /// The archive [default: the one that PATH or the working folder lies in, else the only one there is]
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Who says so, for the history [default: the name you are logged in by]
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl About {
    fn by(&self) -> Option<String> {
        self.who.clone().or_else(login)
    }
}

/// The name that the user is logged in by.
pub(super) fn login() -> Option<String> {
    ["USER", "LOGNAME"].into_iter().find_map(|name| env::var(name).ok()).filter(|name| !name.is_empty())
}

/// Take overrides back: the model and the rules decide again
#[derive(Debug, Args)]
struct RemoveArgs {
    /// The samples: files of the archive or of a mount, paths inside the archive, or hashes
    #[arg(value_name = "PATH|HASH", required = true)]
    samples: Vec<OsString>,
    #[command(flatten)]
    about: About,
}

/// List what is overridden
#[derive(Debug, Args)]
struct ListArgs {
    /// Only this sample, or what is below this folder
    #[arg(value_name = "PATH|HASH")]
    sample: Option<OsString>,
    #[command(flatten)]
    about: About,
}

/// Take back what was said last, whoever said it; again for what was said before
///
/// What was said at once goes at once: all of an import, all samples of one command.
#[derive(Debug, Args)]
struct UndoArgs {
    /// The last word on this sample, or below this folder
    #[arg(value_name = "PATH|HASH")]
    sample: Option<OsString>,
    #[command(flatten)]
    about: About,
}

/// Show everything that was ever said, oldest first: when, by whom, of what
#[derive(Debug, Args)]
struct HistoryArgs {
    /// Only of this sample, or of what is below this folder
    #[arg(value_name = "PATH|HASH")]
    sample: Option<OsString>,
    /// Only the last so many
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,
    #[command(flatten)]
    about: About,
}

/// Write all overrides as overrides.jsonl
#[derive(Debug, Args)]
struct ExportArgs {
    /// Write to this file, not to standard output
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// With the keys of older pipelines: hash, correct_label, relative_path, note
    #[arg(long)]
    old_form: bool,
    /// The archive [default: the one that the working folder lies in, else the only one there is]
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &OverrideArgs) -> Result<Outcome, Failure> {
    match &args.command {
        None => {
            // The command line is not accepted without it.
            let label = args.label.as_deref().unwrap_or_default();
            say(global, &args.about, &args.samples, Some(label), args.note.as_deref())
        }
        Some(OverrideCommand::Remove(args)) => say(global, &args.about, &args.samples, None, None),
        Some(OverrideCommand::List(args)) => list(global, args),
        Some(OverrideCommand::Undo(args)) => undo(global, args),
        Some(OverrideCommand::History(args)) => show_history(global, args),
        Some(OverrideCommand::Import(args)) => import::run(global, args),
        Some(OverrideCommand::Export(args)) => export(global, args),
        Some(OverrideCommand::Merge(args)) => merge::run(global, args),
    }
}

/// An archive and what is known of it.
struct Here {
    ear: Ear,
    root: ArchiveRoot,
    known: Known,
}

impl Here {
    fn new(global: &Global, archive: Option<&Path>, near: Option<&OsStr>) -> Result<Self, Failure> {
        let ear = Ear::new(global)?;
        let root = place::archive_of(global, &ear.config, archive, near.map(Path::new))?;
        let known = Known::read(global, &ear, &root)?;
        Ok(Self { ear, root, known })
    }

    /// The same with no more of the samples than lines of overrides.jsonl may speak of.
    fn for_lines(global: &Global, archive: Option<&Path>, lines: &[u8]) -> Result<Self, Failure> {
        let ear = Ear::new(global)?;
        let root = place::archive_of(global, &ear.config, archive, None)?;
        let known = Known::read_wanted(global, &ear, &root, &Wanted::of(lines, root.path()))?;
        Ok(Self { ear, root, known })
    }

    /// The content that a person means, with a sample that has it.
    fn sample(&self, said: &OsStr) -> Result<SampleRef<'_>, Failure> {
        if let Some(sample) = self.known.find(&self.root, Path::new(said)) {
            return Ok(sample);
        }
        let unknown = || {
            let path = Path::new(said);
            let hint = match path.metadata() {
                Ok(found) if found.is_dir() => ": it is a folder, give samples",
                Ok(_) => ": if it is new, run `drumfs index` first",
                Err(_) => "",
            };
            format!("no sample `{}` is known in {}{hint}", path.display(), self.root.path().display())
        };
        let text = said.to_str().filter(|text| is_digest(text)).ok_or_else(unknown)?;
        let digest = Digest { text: text.to_owned(), named: None, old_form: false };
        let labels = Labels::of([]);
        let hash = Names { labels: &labels, contents: &self.known.catalogue }.content(Some(&digest), None)?;
        Ok(self.known.catalogue.with_content(&hash).ok_or_else(unknown)?)
    }

    fn content(&self, said: &OsStr) -> Result<(ContentHash, SampleRef<'_>), Failure> {
        let sample = self.sample(said)?;
        let path = String::from_utf8_lossy(sample.path);
        Ok((sample.hash.ok_or_else(|| format!("{path} could not be read, so it has no content yet"))?, sample))
    }

    /// What a person picks by a path or a hash: one content, or what is below a folder.
    fn picked(&self, said: Option<&OsStr>) -> Result<Picked, Failure> {
        let Some(said) = said else { return Ok(Picked::All) };
        let path = Path::new(said);
        let real = path.canonicalize().ok().filter(|real| real.is_dir());
        let inside = real.as_deref().and_then(|real| real.strip_prefix(self.root.path()).ok());
        let relative = self.root.path().join(path).is_dir().then_some(path).filter(|_| path.is_relative());
        match (inside.or(relative), real.as_deref()) {
            (Some(folder), _) if folder == Path::new("") => Ok(Picked::All),
            (Some(folder), _) => {
                let folder = [folder.as_os_str().as_bytes(), b"/"].concat();
                let below = self.known.catalogue.samples().iter().filter(|sample| sample.path.starts_with(&folder));
                Ok(Picked::Below(below.filter_map(|sample| sample.hash).collect()))
            }
            (None, Some(real)) if super::known::mounts().any(|mount| mount.at == real) => Ok(Picked::All),
            (None, Some(_)) => Err(format!(
                "{} is no folder of {}: give one of the archive",
                path.display(),
                self.root.path().display()
            )
            .into()),
            (None, None) => self.content(said).map(|(hash, _)| Picked::One(hash)),
        }
    }

    /// The first path of a content.
    fn path(&self, hash: &ContentHash) -> Option<String> {
        self.known.catalogue.with_content(hash).map(|sample| String::from_utf8_lossy(sample.path).into_owned())
    }

    /// How a content is named to a person: by its path, or else by its hash.
    fn name(&self, hash: &ContentHash) -> String {
        self.path(hash).unwrap_or_else(|| format!("{hash} (not in the archive now)"))
    }

    fn journal(&self) -> Result<Vec<Spoken>, Failure> {
        Ok(spoken(read_journal(&self.known.folder)?.0))
    }
}

fn is_digest(text: &str) -> bool {
    matches!(text.len(), 16 | 32 | 64) && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

enum Picked {
    All,
    Below(HashSet<ContentHash>),
    One(ContentHash),
}

impl Picked {
    fn has(&self, hash: &ContentHash) -> bool {
        match self {
            Self::All => true,
            Self::Below(below) => below.contains(hash),
            Self::One(one) => one == hash,
        }
    }
}

#[derive(Serialize)]
struct SaidOf {
    path: String,
    hash: String,
    hash_algorithm: &'static str,
    label: Option<String>,
    before: Option<String>,
}

fn say(
    global: &Global,
    about: &About,
    samples: &[OsString],
    label: Option<&str>,
    note: Option<&str>,
) -> Result<Outcome, Failure> {
    let near = samples.first().map(OsString::as_os_str);
    let here = Here::new(global, about.archive.as_deref(), near)?;
    let router = here.known.router(&here.ear)?;
    let label = label.map(|label| Labels::new(&here.ear.vocabulary, &router).known(label).map(str::to_owned));
    let label = label.transpose()?;
    // Everything is found before anything is said.
    let mut contents: Vec<(ContentHash, SampleRef<'_>)> = Vec::new();
    for sample in samples {
        let content = here.content(sample)?;
        if contents.iter().all(|(hash, _)| *hash != content.0) {
            contents.push(content);
        }
    }
    let by = about.by();
    let word = |(hash, _): &(ContentHash, SampleRef<'_>)| Word {
        hash: *hash,
        label: label.clone(),
        note: note.map(str::to_owned),
        by: by.clone(),
        undo: false,
    };
    let words: Vec<Word> = contents.iter().map(word).collect();
    here.known.from.recorder().record(&words)?;
    let said = contents.iter().map(|(hash, sample)| SaidOf {
        path: String::from_utf8_lossy(sample.path).into_owned(),
        hash: hash.to_hex(),
        hash_algorithm: hash.algorithm().name(),
        label: label.clone(),
        before: here.known.overrides.get(hash).map(|before| before.label.clone()),
    });
    let said: Vec<SaidOf> = said.collect();
    if about.json {
        output::json(&said)?;
        return Ok(Outcome::Done);
    }
    for SaidOf { path, label, before, .. } in &said {
        let path = output::printable(path);
        let before = before.as_ref().map(|before| format!(" (before: {before})")).unwrap_or_default();
        match label {
            Some(label) => output::line(format_args!("{path}: {label}{before}"))?,
            None if before.is_empty() => output::line(format_args!("{path}: nothing was said of it"))?,
            None => output::line(format_args!("{path}: taken back{before}"))?,
        }
    }
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Listed<'a> {
    hash: String,
    hash_algorithm: &'static str,
    path: Option<String>,
    #[serde(flatten)]
    said: &'a Override,
}

fn list(global: &Global, args: &ListArgs) -> Result<Outcome, Failure> {
    let here = Here::new(global, args.about.archive.as_deref(), args.sample.as_deref())?;
    let picked = here.picked(args.sample.as_deref())?;
    let all = here.known.overrides.iter().filter(|(hash, _)| picked.has(hash));
    let mut all: Vec<_> = all.map(|(hash, said)| (here.path(hash), hash, said)).collect();
    // By path, those that are not here at the end.
    all.sort_by(|a, b| (a.0.is_none(), &a.0, a.1).cmp(&(b.0.is_none(), &b.0, b.1)));
    if args.about.json {
        let listed = |(path, hash, said): &(Option<String>, &ContentHash, &'_ Override)| {
            serde_json::to_value(Listed {
                hash: hash.to_hex(),
                hash_algorithm: hash.algorithm().name(),
                path: path.clone(),
                said,
            })
        };
        let listed: Result<Vec<_>, _> = all.iter().map(listed).collect();
        output::json(&listed?)?;
        return Ok(Outcome::Done);
    }
    if all.is_empty() {
        output::tell("nothing is overridden");
    }
    let width = all.iter().map(|(_, _, said)| said.label.chars().count()).max().unwrap_or(0);
    for (_, hash, said) in all {
        let note = said.note.as_ref().map(|note| format!("  # {}", output::printable(note))).unwrap_or_default();
        output::line(format_args!("{:width$}  {}{note}", said.label, output::printable(&here.name(hash))))?;
    }
    Ok(Outcome::Done)
}

fn undo(global: &Global, args: &UndoArgs) -> Result<Outcome, Failure> {
    let here = Here::new(global, args.about.archive.as_deref(), args.sample.as_deref())?;
    let picked = here.picked(args.sample.as_deref())?;
    let journal = here.journal()?;
    let by = args.about.by();
    let undo = history::undo(&journal, |hash| picked.has(hash), by.as_deref());
    let Some(undo) = undo else {
        if args.about.json {
            output::json(&[(); 0])?;
        } else {
            output::line("nothing was said, so there is nothing to take back")?;
        }
        return Ok(Outcome::Done);
    };
    here.known.from.recorder().record(&undo.words)?;
    let said = undo.takes_back.iter().zip(&undo.words).map(|(taken, word)| SaidOf {
        path: here.name(&word.hash),
        hash: word.hash.to_hex(),
        hash_algorithm: word.hash.algorithm().name(),
        label: word.label.clone(),
        before: taken.word.label.clone(),
    });
    let said: Vec<SaidOf> = said.collect();
    if args.about.json {
        output::json(&said)?;
        return Ok(Outcome::Done);
    }
    const SHOWN: usize = 20;
    for SaidOf { path, label, before, .. } in said.iter().take(SHOWN) {
        let word = |label: &Option<String>| label.clone().unwrap_or_else(|| "nothing".to_owned());
        let (now, before) = (word(label), word(before));
        let path = output::printable(path);
        output::line(format_args!("{path}: {before} is taken back; {now} is said of it now"))?;
    }
    if said.len() > SHOWN {
        output::line(format_args!("and {} more that were said at once with these", said.len() - SHOWN))?;
    }
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Told<'a> {
    at: f64,
    by: Option<&'a str>,
    path: Option<String>,
    hash: String,
    hash_algorithm: &'static str,
    label: Option<&'a str>,
    before: Option<&'a str>,
    note: Option<&'a str>,
    undo: bool,
}

fn show_history(global: &Global, args: &HistoryArgs) -> Result<Outcome, Failure> {
    let here = Here::new(global, args.about.archive.as_deref(), args.sample.as_deref())?;
    let picked = here.picked(args.sample.as_deref())?;
    let journal = here.journal()?;
    let mut before: HashMap<ContentHash, &str> = HashMap::new();
    let mut told = Vec::new();
    for Spoken { at, word } in &journal {
        let label = word.label.as_deref();
        let replaced = match label {
            Some(label) => before.insert(word.hash, label),
            None => before.remove(&word.hash),
        };
        if picked.has(&word.hash) {
            told.push((at, word, replaced));
        }
    }
    let start = told.len().saturating_sub(args.last.unwrap_or(usize::MAX));
    let told = told.drain(start..).map(|(&at, word, before)| Told {
        at,
        by: word.by.as_deref(),
        path: here.path(&word.hash),
        hash: word.hash.to_hex(),
        hash_algorithm: word.hash.algorithm().name(),
        label: word.label.as_deref(),
        before,
        note: word.note.as_deref(),
        undo: word.undo,
    });
    let told: Vec<Told<'_>> = told.collect();
    if args.about.json {
        output::json(&told)?;
        return Ok(Outcome::Done);
    }
    if told.is_empty() {
        output::tell("nothing was ever said");
    }
    for Told { at, by, path, hash, label, before, note, undo, .. } in &told {
        let (label, name) = (label.unwrap_or("taken back"), output::printable(path.as_deref().unwrap_or(hash)));
        let before = before.map(|before| format!(" (before: {before})")).unwrap_or_default();
        let undo = if *undo { ", an undo" } else { "" };
        let note = note.map(|note| format!("  # {}", output::printable(note))).unwrap_or_default();
        let by = by.map(|by| format!("  {}", output::printable(by))).unwrap_or_default();
        output::line(format_args!("{}{by}  {name}: {label}{before}{undo}{note}", output::date(*at)))?;
    }
    Ok(Outcome::Done)
}

fn export(global: &Global, args: &ExportArgs) -> Result<Outcome, Failure> {
    let here = Here::new(global, args.archive.as_deref(), None)?;
    let form = if args.old_form { Form::Old } else { Form::New };
    let mut text = Vec::new();
    write(&here.known.overrides, &here.known.catalogue, form, &mut text)?;
    match &args.file {
        None => output::bytes(&text)?,
        Some(file) => {
            write_outside(file, Some(&here.root), &text)?;
            output::tell(format_args!("{}: {} overrides", file.display(), here.known.overrides.len()));
        }
    }
    Ok(Outcome::Done)
}
