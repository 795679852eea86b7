//! `drumfs confusions`: what the model mixes up.

use std::path::PathBuf;

use clap::Args;

use super::context::Ear;
use super::known::Known;
use super::outside::write_outside;
use super::{Failure, Global, Outcome, output};
use crate::archive::ArchiveRoot;
use crate::report::confusions::{self, Wanted};

/// Show what the model mixes up, with examples to listen to
///
/// Three lists: fine labels that are nearly as likely as each other; corrections that disagree with the model; and packs
/// where one thing is taken for another far more often than elsewhere, by corrections, by what names say, or by how
/// close the labels are. A pack is listed only where Fisher's exact test finds it unlikely, at a false discovery rate of
/// 5 % over all that was asked, and with 3 contents at least. Copies count once. Listens to nothing.
#[derive(Debug, Args)]
pub struct ConfusionsArgs {
    /// The folder that holds the samples
    archive: PathBuf,
    /// Two labels are close where their probabilities differ by less than this
    #[arg(long, value_name = "P", default_value_t = 0.1, value_parser = probability)]
    margin: f32,
    /// At most so many lines of each list
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// At most so many examples a line
    #[arg(long, value_name = "N", default_value_t = 3)]
    examples: usize,
    /// Write a page to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the lists as JSON
    #[arg(long)]
    json: bool,
}

fn probability(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|p: &f32| (0.0..=1.0).contains(p))
        .ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &ConfusionsArgs) -> Result<Outcome, Failure> {
    let root = ArchiveRoot::new(&args.archive)?;
    let ear = Ear::new(global)?;
    let known = Known::read(global, &ear, &root)?;
    let router = known.router(&ear)?;
    let labels = ear.ensemble.labels().names();
    let wanted = Wanted { margin: args.margin, top: args.top, examples: args.examples.min(1000) };
    let found = confusions::find(&known.catalogue, &router, &known.overrides, labels, known.mount(), wanted);
    if let Some(path) = &args.html {
        let page = found.html(&root.path().display().to_string());
        write_outside(path, Some(&root), page.as_bytes())?;
        output::tell(format_args!("wrote {}", path.display()));
    }
    if args.json {
        output::json(&found)?;
    } else if args.html.is_none() {
        output::lines(found.text(output::style()))?;
    }
    Ok(Outcome::Done)
}
