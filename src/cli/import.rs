//! `drumfs import`: indexes into the store, and what people made of labels back as overrides.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::context::{self, Ear};
use super::export::{format_of, read_labels};
use super::progress::Counting;
use super::records::labels_of;
use super::{Failure, Global, Outcome, output, overrides};
use crate::archive::ArchiveRoot;
use crate::exchange::import::{Imported, Importer, OLDER};
use crate::exchange::rows::{LabelRow, read_labels as read_rows};
use crate::exchange::seen::{Seen, compare};
use crate::exchange::{BadLines, Format, IndexReader};
use crate::store::{Store, StoreError};

/// Take over an index.jsonl, drumfs's or the older pipeline's, or labels that people changed in an exported file
///
/// An index goes into the store: its labels show at once in the next mount, no original is opened, and what the model in
/// use heard elsewhere (`drumfs worker`, another machine's index) is not heard again. Labels of another model count until
/// the model in use has heard the sound. Files that are not in the archive, or have changed since, are passed over.
///
/// Of CSV, metadata.csv, manifest.csv and Parquet the rows whose `label` is not what they were exported with become
/// overrides (without a column `label_was`: all rows with a label); of Label Studio's JSON export, all annotations.
/// seen_hashes.txt is compared with what the store knows. A line that is wrong costs itself alone and is told; importing
/// twice changes nothing.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The folder that holds the samples
    archive: PathBuf,
    /// What to take over: index.jsonl(.gz), .csv, .parquet, .json of Label Studio, seen_hashes.txt
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The format, where the files' names do not say it
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The labels in the order of an index's probabilities, as a label_mapping.json, where its lines do not tell them
    #[arg(long, value_name = "FILE")]
    label_map: Option<PathBuf>,
    /// What to call the model of an index that does not say it
    #[arg(long, value_name = "NAME", default_value = OLDER)]
    model: String,
    /// Read the originals whose records have no hash (the older pipeline's with `dedup_hash: false`), and no others
    #[arg(long)]
    hash_originals: bool,
    /// Say what would be taken over, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON: a list where several files are named
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &ImportArgs) -> Result<Outcome, Failure> {
    let root = ArchiveRoot::new(&args.archive)?;
    // What is wrong with a name is said before anything is taken.
    if args.files.iter().any(|file| file == Path::new("-")) {
        return Err("files are read here, some of them twice: put what comes from standard input into one".into());
    }
    let formats = args.files.iter().map(|file| format_of(args.format, file)).collect::<Result<Vec<_>, _>>()?;
    let mut said = Vec::new();
    let outcome = take(global, args, &root, formats, &mut said);
    // What was taken over before an error is told, too.
    if args.json {
        match (&said[..], args.files.len()) {
            ([], 1) => {}
            ([one], 1) => output::json(one)?,
            (all, _) => output::json(&all)?,
        }
    }
    outcome
}

fn take(
    global: &Global,
    args: &ImportArgs,
    root: &ArchiveRoot,
    formats: Vec<Format>,
    said: &mut Vec<Value>,
) -> Result<Outcome, Failure> {
    let mut any_failed = false;
    let mut rest = args.files.iter().zip(formats).peekable();
    while let Some((file, format)) = rest.next() {
        let outcome = match format {
            Format::Jsonl | Format::Hashes => {
                // The store is opened once for all of them that follow each other.
                let mut files = vec![(file, format)];
                while let Some(next) = rest.next_if(|(_, format)| matches!(format, Format::Jsonl | Format::Hashes)) {
                    files.push(next);
                }
                into_store(global, args, root, &files, said)?
            }
            format => labels(global, args, root, file, format, said)?,
        };
        match outcome {
            Outcome::Done => {}
            Outcome::SomeFailed => any_failed = true,
            Outcome::Failed => return Ok(Outcome::Failed),
        }
    }
    Ok(if any_failed { Outcome::SomeFailed } else { Outcome::Done })
}

fn into_store(
    global: &Global,
    args: &ImportArgs,
    root: &ArchiveRoot,
    files: &[(&PathBuf, Format)],
    said: &mut Vec<Value>,
) -> Result<Outcome, Failure> {
    let ear = Ear::new(global)?;
    let folder = context::store_folder(global, &ear.config, root)?;
    let store = context::open_store(folder, root, false, "importing").map_err(|error| -> Failure {
        match error.downcast_ref::<StoreError>() {
            Some(StoreError::InUse { .. }) => format!("an index goes into the store itself: {error}").into(),
            _ => error,
        }
    })?;
    let mut all_bad = 0;
    for (file, format) in files {
        let mut bad = BadLines::default();
        match format {
            Format::Hashes => seen(args, &store, file, &mut bad, said)?,
            _ => index(args, &ear, &store, root, file, &mut bad, said)?,
        }
        bad.sentences().iter().for_each(output::tell);
        all_bad += bad.count();
    }
    Ok(if all_bad > 0 { Outcome::SomeFailed } else { Outcome::Done })
}

#[derive(Serialize)]
struct DoneIndex<'a> {
    file: &'a Path,
    #[serde(flatten)]
    done: &'a Imported,
    bad_lines: u64,
}

fn index(
    args: &ImportArgs,
    ear: &Ear,
    store: &Store,
    root: &ArchiveRoot,
    file: &Path,
    bad: &mut BadLines,
    said: &mut Vec<Value>,
) -> Result<(), Failure> {
    let labels = match &args.label_map {
        Some(path) => Some(read_labels(path)?),
        None => labels_of(file, ear.ensemble.labels().names())?,
    };
    let mut importer = Importer::new(store, root, &ear.ensemble, ear.algorithm(), args.model.clone(), args.dry_run);
    if args.hash_originals {
        importer = importer.hashing();
    }
    let bar = Counting::new("records");
    for record in bad.passing(IndexReader::open(file)?) {
        importer.take(&record?, labels.as_deref())?;
        bar.more(1);
    }
    bar.finish();
    let done = importer.finish()?;
    if args.json {
        said.push(serde_json::to_value(DoneIndex { file, done: &done, bad_lines: bad.count() })?);
        return Ok(());
    }
    tell(args, ear, file, &done)
}

fn tell(args: &ImportArgs, ear: &Ear, file: &Path, done: &Imported) -> Result<(), Failure> {
    let would = if args.dry_run { "would be taken over" } else { "taken over" };
    let all = done.heard + done.labelled + done.duplicates + done.failed;
    output::line(format_args!("{}: {all} of {} records {would}", file.display(), done.records))?;
    let parts = [
        (done.heard, "were heard by the model in use and are not heard again"),
        (done.labelled, "show the label of another model until they are heard"),
        (done.duplicates, "have the content, and the label, of another"),
        (done.failed, "could not be heard there"),
        (done.same, "were taken over before: nothing changed"),
        (done.known, "are known better here"),
        (done.absent, "are not in the archive"),
        (done.changed, "have changed since"),
        (done.no_hash, "have a label but no hash, so nothing was taken: --hash-originals reads the files for it"),
    ];
    for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
        output::tell(format_args!("  {count} {what}"));
    }
    if !done.unknown_labels.is_empty() {
        let labels: Vec<&str> = done.unknown_labels.keys().take(10).map(String::as_str).collect();
        output::tell(format_args!(
            "  {} have labels that mean nothing here ({}): say which label each probability is for with --label-map",
            done.unknown_labels.values().sum::<u64>(),
            labels.join(", ")
        ));
    }
    if let Some(algorithm) = done.other_algorithm {
        output::tell(format_args!(
            "  contents are named by {algorithm} there and by {} here, which the next pass does. What was said of them until \
             then goes with them; for files of overrides that come later put `hash_algorithm: {algorithm}` into config.yml",
            ear.algorithm().name()
        ));
    }
    Ok(())
}

#[derive(Serialize)]
struct DoneSeen<'a> {
    file: &'a Path,
    hashes: u64,
    /// Those of contents of the archive.
    here: u64,
    /// Those of which something was heard, here or in an imported index.
    heard: u64,
    bad_lines: u64,
}

/// seen_hashes.txt says which contents the older pipeline had heard, and nothing of what it heard: it was its reason to
/// pass them over. Here the store itself knows that.
fn seen(
    args: &ImportArgs,
    store: &Store,
    file: &Path,
    bad: &mut BadLines,
    said: &mut Vec<Value>,
) -> Result<(), Failure> {
    let Seen { hashes, here, heard } = compare(file, store, bad)?;
    if args.json {
        said.push(serde_json::to_value(DoneSeen { file, hashes, here, heard, bad_lines: bad.count() })?);
        return Ok(());
    }
    output::line(format_args!(
        "{}: {hashes} contents were heard before; {here} of them are in the store, of {heard} it is known what was heard",
        file.display()
    ))?;
    if heard < hashes {
        output::tell(format_args!(
            "  the list has no labels: import the index.jsonl of the runs that heard the other {}, or let `drumfs index` \
             hear them",
            hashes - heard
        ));
    }
    Ok(())
}

/// Labels that people changed, as lines of overrides.jsonl, which are taken over as those are.
fn labels(
    global: &Global,
    args: &ImportArgs,
    root: &ArchiveRoot,
    file: &Path,
    format: Format,
    said: &mut Vec<Value>,
) -> Result<Outcome, Failure> {
    let mut bad = BadLines::default();
    let (mut text, mut lines) = (Vec::new(), 0);
    let mut changed = 0u64;
    let rows = read_rows(file, format, &mut bad, &mut |number, row| {
        if !row.is_changed() {
            return;
        }
        // Every row is on the line of its number, so that what is said of a line is of that row.
        while lines + 1 < number {
            text.push(b'\n');
            lines += 1;
        }
        changed += 1;
        // Strings can't fail to be written.
        drop(serde_json::to_writer(&mut text, &Line::of(&row)));
        drop(text.write_all(b"\n"));
        lines += 1;
    })?;
    bad.sentences().iter().for_each(output::tell);
    output::tell(format_args!("{}: {rows} rows, {changed} of them say something", file.display()));
    let outcome = overrides::take_lines(global, root.path(), file, &text, args.dry_run, args.json.then_some(said))?;
    Ok(match (outcome, bad.count()) {
        (Outcome::Done, 1..) => Outcome::SomeFailed,
        (outcome, _) => outcome,
    })
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash_algorithm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    label: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of(row: &'a LabelRow) -> Self {
        let hash = row.hash.as_ref();
        Self {
            hash: hash.map(|hash| &hash.text[..]),
            hash_algorithm: hash.and_then(|hash| hash.algorithm.as_deref()),
            path_bytes: row.path.as_deref().map(crate::exchange::to_hex),
            label: &row.label,
            by: row.by.as_deref(),
        }
    }
}
