//! `drumfs export`: what is known, as a file of another program.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::context::{self, Ear};
use super::outside::refuse_inside;
use super::progress::Counting;
use super::records::Origin;
use super::{Failure, Global, Outcome, output};
use crate::archive::ArchiveRoot;
use crate::classify::labels::parse_names;
use crate::exchange::{BadLines, Format, LabelKind, RecordWriter, WriteOptions};

/// Write what is known of every sample as index.jsonl, Parquet, CSV, or for Hugging Face, DVC and Label Studio
///
/// The format is told by the file's name: .jsonl (and .jsonl.gz), .parquet, .csv, metadata.csv (Hugging Face),
/// manifest.csv (DVC), .json (Label Studio's tasks). Where a mount has the store, what the mount shows is written. What
/// people make of the labels comes back with `drumfs import`. docs/exchange.md has every column.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The folder that holds the samples
    #[arg(required_unless_present = "index", conflicts_with = "index")]
    archive: Option<PathBuf>,
    /// Write the records of this index.jsonl (or .gz), drumfs's or the older pipeline's, in place of an archive's
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// Write to this file; it is replaced when all is written [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The format, where the file's name does not say it
    #[arg(long, value_parser = Format::written())]
    format: Option<Format>,
    /// Probabilities in eight bits each: off by less than 1/255 = 0.0039, and they still sum to 1
    #[arg(long, conflicts_with = "no_probs")]
    quantize: bool,
    /// Leave probabilities out
    #[arg(long)]
    no_probs: bool,
    /// What is in the column `label`
    #[arg(long, value_enum, default_value = "folder")]
    label: LabelKind,
    /// Put this before each path, in metadata.csv, manifest.csv and Label Studio's tasks
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// The labels in the order of the probabilities, as a label_mapping.json, where --index does not tell them
    #[arg(long, value_name = "FILE", requires = "index")]
    label_map: Option<PathBuf>,
    /// Print a summary as JSON
    #[arg(long, requires = "output")]
    json: bool,
}

#[derive(Serialize)]
struct Done {
    written: u64,
    left_out: u64,
    bad_lines: u64,
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &ExportArgs) -> Result<Outcome, Failure> {
    let to = args.output.as_deref().unwrap_or(Path::new("-"));
    let format = format_of(args.format, to)?;
    let ear = Ear::new(global)?;
    let (origin, archive) = match (&args.archive, &args.index) {
        (Some(archive), _) => {
            let root = ArchiveRoot::new(archive)?;
            refuse_inside(to, &root)?;
            let name = root.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
            (Origin::of_archive(global, &ear, root)?, name)
        }
        (None, Some(index)) => (Origin::Index(index.clone()), String::new()),
        // Refused by the command line.
        (None, None) => return Err("give an archive, or --index".into()),
    };
    let labels = match &args.label_map {
        Some(path) => read_labels(path)?,
        None => origin.labels(&ear)?,
    };
    let options = WriteOptions {
        labels,
        label: args.label,
        quantize: args.quantize,
        no_probs: args.no_probs,
        prefix: args.prefix.clone(),
        archive,
    };
    let stop = context::stop_flag()?;
    let mut writer = RecordWriter::create(to, format, options)?;
    let mut bad = BadLines::default();
    let bar = Counting::new("records");
    origin.each(&ear, &mut bad, &mut |record| {
        context::go_on(&stop)?;
        bar.more(1);
        Ok(writer.write(&record)?)
    })?;
    bar.finish();
    let done = Done { written: writer.written, left_out: writer.left_out, bad_lines: bad.count() };
    writer.finish()?;
    bad.sentences().iter().for_each(output::tell);
    if args.json {
        output::json(&done)?;
    } else {
        let left_out = match done.left_out {
            0 => String::new(),
            count => format!(", {count} left out: they could not be heard or have no label"),
        };
        output::tell(format_args!("{} samples written{left_out}", done.written));
    }
    Ok(if bad.count() > 0 { Outcome::SomeFailed } else { Outcome::Done })
}

/// The format that is asked for, or that a file's name means.
pub(super) fn format_of(asked: Option<Format>, path: &Path) -> Result<Format, Failure> {
    asked.or_else(|| Format::of(path)).ok_or_else(|| match path == Path::new("-") {
        true => "which format? Say it with --format, or write to a file with -o".into(),
        false if path.is_dir() => format!("{}: a folder; name a file, such as its index.jsonl", path.display()).into(),
        false => format!("{}: its name does not say the format: say it with --format", path.display()).into(),
    })
}

/// A label_mapping.json.
pub(super) fn read_labels(path: &Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(parse_names(&text).map_err(|error| format!("{}: {error}", path.display()))?)
}
