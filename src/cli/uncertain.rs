//! `drumfs uncertain`: what to ask a person about.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::context::Ear;
use super::known::Known;
use super::outside::write_outside;
use super::review::{self, PageArgs};
use super::{Failure, Global, Outcome, output};
use crate::archive::ArchiveRoot;
use crate::report::uncertain::{self, By, Line, Wanted};

/// List the samples that are most worth a correction
///
/// Of several copies of a sound one is listed; what a person or a route has decided is left out. The list is the same
/// whenever what is known is the same.
#[derive(Debug, Args)]
pub struct UncertainArgs {
    /// The folder that holds the samples
    archive: PathBuf,
    /// What makes a sample worth asking about
    #[arg(long, value_enum, default_value_t = Measure::Margin)]
    by: Measure,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    top: usize,
    /// At most so many of one pack (the first folder of a path) [default: no bound; diverse: twice an even share]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    per_pack: Option<u32>,
    /// Write the CSV to this file, outside the archive
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print JSON instead of CSV
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// Ask about them in the page of `drumfs review`
    #[arg(long, conflicts_with_all = ["output", "json"])]
    review: bool,
    #[command(flatten)]
    page: PageArgs,
}

/// The measures, as a command line names them.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Measure {
    /// Probabilities spread over many labels
    Entropy,
    /// The first two labels are close, as in the mount's _uncertain/
    Margin,
    /// The first label is improbable
    Confidence,
    /// Uncertain, and unlike each other: over packs and kinds of sound, for labelling many at once
    Diverse,
}

impl From<Measure> for By {
    fn from(measure: Measure) -> Self {
        match measure {
            Measure::Entropy => Self::Entropy,
            Measure::Margin => Self::Margin,
            Measure::Confidence => Self::Confidence,
            Measure::Diverse => Self::Diverse,
        }
    }
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &UncertainArgs) -> Result<Outcome, Failure> {
    let root = ArchiveRoot::new(&args.archive)?;
    let ear = Ear::new(global)?;
    let known = Known::read(global, &ear, &root)?;
    let router = known.router(&ear)?;
    let wanted = Wanted { by: args.by.into(), top: args.top, per_pack: args.per_pack.map(|most| most as usize) };
    let picked = uncertain::pick(&known.catalogue, &router, &known.overrides, wanted);
    if args.review {
        let queue = picked.iter().map(|picked| picked.id).collect();
        return review::serve(&ear, root, known, queue, &args.page);
    }
    let labels = ear.ensemble.labels().names();
    let lines: Vec<Line<'_>> =
        picked.iter().zip(1..).map(|(picked, rank)| Line::of(rank, picked, &router, labels)).collect();
    if args.json {
        output::json(&lines)?;
        return Ok(Outcome::Done);
    }
    // A path is written as it is, be it UTF-8 or not.
    let rows = picked.iter().zip(&lines).map(|(picked, line)| line.fields(picked.sample.path));
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(Line::COLUMNS)?;
    for row in rows {
        csv.write_record(row)?;
    }
    let text = csv.into_inner().map_err(|error| error.to_string())?;
    write_outside(args.output.as_deref().unwrap_or(Path::new("-")), Some(&root), &text)?;
    if let Some(path) = args.output.as_deref().filter(|path| *path != Path::new("-")) {
        output::tell(format_args!("wrote {} samples to {}", lines.len(), path.display()));
    }
    Ok(Outcome::Done)
}
