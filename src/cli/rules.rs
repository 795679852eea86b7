//! `drumfs rules`: what a rules file would do, before it does it.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::context::Ear;
use super::known::Known;
use super::{Failure, Global, Outcome, output};
use crate::archive::ArchiveRoot;
use crate::rules::{Router, Rules, Subject, Verdict, diff};
use crate::view::SampleRef;

/// Check a rules file, ask why a sample is where it is, or see what a change would move
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    Check(CheckArgs),
    Explain(ExplainArgs),
    Diff(DiffArgs),
}

/// Say whether a rules file would be accepted, and where its mistake is
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The rules file; - reads standard input
    file: PathBuf,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Say why a sample goes where it goes
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The folder that holds the samples
    archive: PathBuf,
    /// The sample: its path in the archive, or the path of a file in a mount
    sample: PathBuf,
    /// Use this rules file instead of the rules in force
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Say which samples a rules file would move, without moving them
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The folder that holds the samples
    archive: PathBuf,
    /// The new rules file; - reads standard input
    new: PathBuf,
    /// Compare with this rules file instead of the rules in force
    #[arg(long, value_name = "FILE")]
    old: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(global: &Global, command: RulesCommand) -> Result<Outcome, Failure> {
    let ear = Ear::new(global)?;
    match command {
        RulesCommand::Check(args) => check(&ear, &args),
        RulesCommand::Explain(args) => explain(global, &ear, &args),
        RulesCommand::Diff(args) => compare(global, &ear, &args),
    }
}

#[derive(Serialize)]
struct Checked {
    ok: bool,
    line: Option<usize>,
    column: Option<usize>,
    message: Option<String>,
    hint: Option<String>,
    warnings: Vec<String>,
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let done = if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut text).map(drop)
    } else {
        fs::File::open(path).and_then(|mut file| file.read_to_end(&mut text).map(drop))
    };
    done.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text)
}

fn check(ear: &Ear, args: &CheckArgs) -> Result<Outcome, Failure> {
    let parsed = Rules::parse_bytes(&read(&args.file)?, &ear.vocabulary);
    let warnings =
        parsed.as_ref().map_or_else(|_| Vec::new(), |r| r.warnings().iter().map(|w| w.to_string()).collect());
    let error = parsed.as_ref().err();
    if args.json {
        let checked = Checked {
            ok: error.is_none(),
            line: error.map(|error| error.line),
            column: error.map(|error| error.column),
            message: error.map(|error| error.message.clone()),
            hint: error.and_then(|error| error.hint.clone()),
            warnings,
        };
        output::json(&checked)?;
    } else {
        for warning in warnings {
            output::line(format_args!("{}: warning: {warning}", args.file.display()))?;
        }
        match error {
            Some(error) => output::line(format_args!("{}: {error}", args.file.display()))?,
            None => output::line(format_args!("{}: accepted", args.file.display()))?,
        }
    }
    Ok(if error.is_some() { Outcome::Failed } else { Outcome::Done })
}

/// The rules of a file, or those in force.
pub(super) fn rules(ear: &Ear, in_force: Option<&str>, file: Option<&Path>) -> Result<Rules, Failure> {
    Ok(match (file, in_force) {
        (Some(file), _) => {
            Rules::parse_bytes(&read(file)?, &ear.vocabulary).map_err(|error| format!("{}: {error}", file.display()))?
        }
        (None, Some(text)) => Rules::parse(text, &ear.vocabulary)?,
        (None, None) => Rules::defaults(&ear.vocabulary),
    })
}

/// The router of a rules file, or of the rules in force.
fn router(ear: &Ear, known: &Known, file: Option<&Path>) -> Result<Router, Failure> {
    Ok(Router::new(&rules(ear, known.rules.as_deref(), file)?, &ear.vocabulary))
}

fn subject<'a>(known: &'a Known, sample: &'a SampleRef<'a>) -> Subject<'a> {
    let said = sample.hash.as_ref().and_then(|hash| known.overrides.get(hash));
    sample.subject(said.map(|said| &said.label[..]))
}

fn explain(global: &Global, ear: &Ear, args: &ExplainArgs) -> Result<Outcome, Failure> {
    let root = ArchiveRoot::new(&args.archive)?;
    let known = Known::read(global, ear, &root)?;
    let router = router(ear, &known, args.rules.as_deref())?;
    let not_known = || format!("no sample {} is known in {}", args.sample.display(), root.path().display());
    let sample = known.find(&root, &args.sample).ok_or_else(not_known)?;
    let explanation = router.explain(&subject(&known, &sample));
    if args.json {
        output::json(&explanation)?;
    } else {
        output::line(explanation)?;
    }
    Ok(Outcome::Done)
}

fn compare(global: &Global, ear: &Ear, args: &DiffArgs) -> Result<Outcome, Failure> {
    let root = ArchiveRoot::new(&args.archive)?;
    let known = Known::read(global, ear, &root)?;
    let (old, new) = (router(ear, &known, args.old.as_deref())?, router(ear, &known, Some(&args.new))?);
    let present: Vec<SampleRef<'_>> = known.catalogue.samples().iter().filter(SampleRef::is_present).collect();
    let verdicts = |router: &Router| -> Vec<Verdict> {
        present.iter().map(|sample| router.route(&subject(&known, sample))).collect()
    };
    let moved = diff((&old, &verdicts(&old)), (&new, &verdicts(&new)));
    if args.json {
        output::json(&moved)?;
    } else {
        let path = |index: usize| {
            present.get(index).map_or_else(String::new, |s| output::printable(&String::from_utf8_lossy(s.path)))
        };
        output::line(moved.with_paths(path))?;
    }
    Ok(Outcome::Done)
}
