//! `drumfs aggregate`: several indexes and stores as one catalogue.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::context::{self, Ear};
use super::export::format_of;
use super::outside::refuse_inside;
use super::progress::Counting;
use super::records::Origin;
use super::{Failure, Global, Outcome, output};
use crate::exchange::aggregate::{Conflict, STORE_RUN, run_of};
use crate::exchange::{Age, Aggregated, Aggregator, BadLines, Format, Output, RecordWriter, WriteOptions};

/// Put several runs, indexes and stores together into one catalogue, by content
///
/// Each file gets one record and each content one analysis: a person's word, or else that of the newest model. The model in
/// use here is the newest; of others, the later run is (the time in the name of a folder run_20251005_145016, or else of
/// the file). Contents that got different labels are told. The order of inputs plays no part, and aggregating the result
/// again gives the same bytes. Memory does not grow with the number of records; what it does not hold is put aside beside
/// the output.
#[derive(Debug, Args)]
pub struct AggregateArgs {
    /// Files (index.jsonl or .gz, drumfs's or the older pipeline's), archives, or folders of stores
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Write the catalogue to this file; its name tells the format
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The format, where the file's name does not say it
    #[arg(long, value_parser = Format::written())]
    format: Option<Format>,
    /// Models from the oldest to the newest, as the records name them; the last one wins
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    models: Vec<String>,
    /// Write the contents that got different labels to this file, one a line as JSON [default: the first are told]
    #[arg(long, value_name = "FILE")]
    conflicts: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// So many conflicts are told one by one.
const TOLD: u64 = 20;

#[derive(Serialize)]
struct Done<'a> {
    #[serde(flatten)]
    done: &'a Aggregated,
    bad_lines: u64,
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &AggregateArgs) -> Result<Outcome, Failure> {
    let ear = Ear::new(global)?;
    let format = format_of(args.format, &args.output)?;
    let folder = args.output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let age = Age { models: args.models.clone(), in_use: ear.ensemble.id().to_owned() };
    let mut aggregator = Aggregator::new(folder, age);
    let (mut all_bad, mut labels, mut one_order) = (0, None::<Vec<String>>, true);
    let bar = Counting::new("records");
    let stop = context::stop_flag()?;
    for input in &args.inputs {
        let origin = Origin::of_path(global, &ear, input)?;
        if let Some(root) = origin.archive() {
            for file in args.conflicts.iter().chain([&args.output]) {
                refuse_inside(file, root)?;
            }
        }
        let own = origin.labels(&ear)?;
        one_order &= labels.as_ref().is_none_or(|known| *known == own);
        labels.get_or_insert(own);
        let run = match &origin {
            Origin::Store(..) | Origin::Mount(..) => STORE_RUN.to_owned(),
            Origin::Index(path) if path.ends_with("_control/index.jsonl") => STORE_RUN.to_owned(),
            Origin::Index(path) => run_of(path, std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()),
        };
        let mut bad = BadLines::default();
        origin.each(&ear, &mut bad, &mut |record| {
            context::go_on(&stop)?;
            bar.more(1);
            Ok(aggregator.take(record, &run)?)
        })?;
        all_bad += bad.count();
        bad.sentences().iter().for_each(output::tell);
    }
    // In index.jsonl each record's probabilities are in the order of its own model's labels; a column can't be.
    let no_probs = !one_order && format != Format::Jsonl;
    if no_probs {
        output::tell("the inputs' labels are not in one order: probabilities are left out (index.jsonl keeps them)");
    }
    let options = WriteOptions { labels: labels.unwrap_or_default(), no_probs, ..WriteOptions::default() };
    let mut writer = RecordWriter::create(&args.output, format, options)?;
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut conflicts = args.conflicts.as_deref().map(Output::create).transpose()?;
    let mut told = 0;
    let mut tell = |conflict: &Conflict| -> std::io::Result<()> {
        if let Some(file) = &mut conflicts {
            serde_json::to_writer(&mut *file, conflict)?;
            return file.write_all(b"\n");
        }
        told += 1;
        match told <= TOLD && !args.json {
            true => output::line(sentence(conflict)),
            false => Ok(()),
        }
    };
    let mut write = |record: &_| {
        context::go_on(&stop)?;
        writer.write(record).map_err(std::io::Error::other)
    };
    let done = aggregator.finish(&mut write, &mut tell).map_err(|error| failed(&args.output, error))?;
    bar.finish();
    writer.finish()?;
    if let (Some(file), Some(path)) = (conflicts, &args.conflicts) {
        file.finish().map_err(|error| failed(path, error))?;
    } else if told > TOLD && !args.json {
        output::line(format_args!("… and {} more (--conflicts FILE has all)", told - TOLD))?;
    }
    if args.json {
        output::json(&Done { done: &done, bad_lines: all_bad })?;
    } else {
        output::tell(format_args!(
            "{} records of {} files with {} contents; {} contents got different labels",
            done.records, done.files, done.contents, done.conflicts
        ));
    }
    Ok(if all_bad > 0 { Outcome::SomeFailed } else { Outcome::Done })
}

fn sentence(conflict: &Conflict) -> String {
    let word = |word: &crate::exchange::aggregate::Word| {
        let who = match (word.overridden, &word.model) {
            (true, _) => "a person",
            (false, Some(model)) => model,
            (false, None) => "the older pipeline",
        };
        format!("{} ({who}, {})", word.label, word.path)
    };
    let said: Vec<String> = conflict.said.iter().map(word).collect();
    format!("{}: {}", conflict.hash, said.join("; before it: "))
}
