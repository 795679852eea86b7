//! `drumfs override merge`: a training manifest brought up to what people said.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Here;
use crate::cli::outside::write_outside;
use crate::cli::{Failure, Global, Outcome, output};
use crate::overrides::manifest::{Merge, merge};

/// Merge overrides into a curated training manifest (path,label,kit)
///
/// Each content gets one line. A line that is there and says another label gets the override's, or keeps its own with
/// --keep; each is named. Other lines stay as they are, byte for byte. The file is written whole or not at all. Overrides
/// that name a folder and no label of the model are left out.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The manifest: a CSV file whose first line names its columns, path and label among them. Made where it is missing
    #[arg(long, value_name = "CSV")]
    manifest: PathBuf,
    /// Lines that are there keep their label
    #[arg(long)]
    keep: bool,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// The archive [default: the one that the working folder lies in, else the only one there is]
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(global: &Global, args: &MergeArgs) -> Result<Outcome, Failure> {
    let here = Here::new(global, args.archive.as_deref(), None)?;
    let named = |error: io::Error| format!("{}: {error}", args.manifest.display());
    // Where it is a link, what it leads to is written and the link stays.
    let manifest = match args.manifest.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => absolute(&args.manifest).map_err(named)?,
        found => found.map_err(named)?,
    };
    let text = match fs::read(&manifest) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read.map_err(named)?,
    };
    let about = Merge {
        manifest: &manifest,
        root: here.root.path(),
        catalogue: &here.known.catalogue,
        overrides: &here.known.overrides,
        vocabulary: &here.ear.vocabulary,
        keep: args.keep,
    };
    let merged = merge(&about, &text)?;
    if !args.dry_run && (merged.changes() || text.is_empty()) {
        write_outside(&manifest, Some(&here.root), &merged.text)?;
    }
    if args.json {
        output::json(&merged)?;
        return Ok(Outcome::Done);
    }
    for contradiction in &merged.contradictions {
        let ((before, old), (line, new)) = (&contradiction.earlier, &contradiction.later);
        output::tell(format_args!("line {line} says `{new}` of a content of which line {before} says `{old}`"));
    }
    for d in &merged.disagreements {
        let done = if args.keep { "kept" } else { "updated" };
        output::line(format_args!("line {}: {}: `{}` here, `{}` said: {done}", d.line, d.path, d.manifest, d.said))?;
    }
    for (label, count) in &merged.no_fine_label {
        output::tell(format_args!("`{label}` is no label of the model: {count} overrides are left out"));
    }
    if merged.not_here > 0 {
        output::tell(format_args!("{} overrides are of contents that are not in the archive now", merged.not_here));
    }
    output::line(format_args!(
        "{}: {} added, {} updated, {} said so already{}",
        args.manifest.display(),
        merged.added,
        merged.updated,
        merged.same,
        if args.dry_run { "; nothing was written" } else { "" }
    ))?;
    Ok(Outcome::Done)
}

/// The path of a file that is not there, in a folder that is.
fn absolute(file: &Path) -> io::Result<PathBuf> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(folder.canonicalize()?.join(file.file_name().ok_or(io::ErrorKind::InvalidInput)?))
}
