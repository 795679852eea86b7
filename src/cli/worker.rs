//! `drumfs worker`: a list of files on stdin, one record a line on stdout.

use std::io::{self, BufReader, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};

use super::context::{self, Ear};
use super::progress::PassBar;
use super::{Failure, Global, Outcome, output};
use crate::archive::{ArchiveRoot, discover};
use crate::learn;
use crate::mount::platform;
use crate::rules::Router;
use crate::worker::{Answerer, Form, Input, Options, Shard, listed, run as answer_all};

/// Listen to the files of a list, one record a line on stdout, in order
///
/// The list comes on standard input: paths, or JSON with `relative_path`, `path` or `abs_path` (as in index.jsonl), one a
/// line. Each line is answered with one line of index.jsonl, in order, as soon as it is known; an empty line is passed
/// over. What goes wrong with a file is in its record (`status`, `errors`), and so are the model and the version of the
/// features. No store is made or needed. Engines that spread lists over processes and machines run it: docs/scale.md.
///
/// Ctrl-C and SIGTERM stop it cleanly: what was taken from the list is answered. Exit codes: 0 where every line was
/// answered, whatever the answers are; 1 where it was stopped or could not go on; with --list 3 where a folder could not be
/// looked at, 0 where all were.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// The archive's folder: paths are relative to it, and nothing outside it is opened [default: the current folder]
    #[arg(long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    root: PathBuf,
    /// Listen to so many files at a time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Answer only the I-th of N parts of the list, such as 3/16; a path is always in the same part
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE, hide_default_value = true)]
    shard: Shard,
    /// Lines end with NUL and are paths, as `find -print0` writes them
    #[arg(short = '0', long, conflicts_with = "input")]
    null: bool,
    /// What the lines are
    #[arg(long, value_enum, default_value = "auto")]
    input: InputForm,
    /// Place samples by this rules file [default: by the default rules, and what config.yml says of them]
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Read no list: print one, of all samples below the root (of the shard), as an indexing pass finds them
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InputForm {
    /// Lines from { to } are JSON, others are paths
    Auto,
    /// Paths
    Paths,
    /// JSON
    Jsonl,
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &WorkerArgs) -> Result<Outcome, Failure> {
    let root = ArchiveRoot::new(&args.root)?;
    if args.list {
        return list(&root, args);
    }
    let ear = Ear::new(global)?;
    let ensemble = match global.store.as_ref().or(ear.config.store.as_ref()) {
        // What was learnt there counts here.
        Some(store) => {
            let (ensemble, refused) = learn::in_force(&ear.ensemble, store);
            refused.iter().for_each(output::tell);
            Arc::new(ensemble)
        }
        None => Arc::clone(&ear.ensemble),
    };
    let rules = ear.rules(args.rules.as_deref())?;
    log::info!("run by {}", ear.start()?);
    let form = match args.input {
        _ if args.null => Form::Paths,
        InputForm::Auto => Form::Auto,
        InputForm::Paths => Form::Paths,
        InputForm::Jsonl => Form::Jsonl,
    };
    let roots = vec![root.path().to_owned(), std::path::absolute(&args.root)?];
    let input = Input::new(BufReader::new(io::stdin()), form, args.null, roots);
    let answerer = Arc::new(Answerer::new(root, ensemble, Router::new(&rules, &ear.vocabulary), ear.algorithm()));
    let options = Options { threads: ear.threads(args.threads.map(usize::from)), shard: args.shard };
    let cancel = context::stop_flag()?;
    // On the terminal that the records go to, a bar would stand between them.
    let bar = (!io::stdout().is_terminal()).then(PassBar::unmeasured);
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout());
    let mut tell = || bar.iter().for_each(|bar| bar.heard(1));
    let result = answer_all(&answerer, input, &mut out, options, &cancel, &mut tell);
    bar.iter().for_each(PassBar::finish);
    let answered = result?;
    log::info!("{} lines were answered", answered.lines);
    if answered.interrupted {
        output::tell(format_args!(
            "drumfs: stopped after {} records; the rest of the list was not read",
            answered.lines
        ));
        return Ok(Outcome::Failed);
    }
    Ok(Outcome::Done)
}

/// Prints the paths of all samples, in order.
fn list(root: &ArchiveRoot, args: &WorkerArgs) -> Result<Outcome, Failure> {
    let exclude: Vec<PathBuf> = platform::own_mounts().into_iter().map(|mount| mount.path).collect();
    let found = discover(root, &|_| false, &exclude, &AtomicBool::new(false))?;
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout());
    for sample in found.samples.iter().filter(|sample| args.shard.takes(&sample.path)) {
        if args.null {
            out.write_all(&sample.path)?;
            out.write_all(b"\0")?;
        } else {
            out.write_all(&listed(&sample.path))?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    for (path, error) in &found.problems {
        output::tell(format_args!("could not be looked at: {}: {error}", path.display()));
    }
    Ok(if found.problems.is_empty() { Outcome::Done } else { Outcome::SomeFailed })
}
