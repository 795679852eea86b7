//! `drumfs review`: hear one sample after another, and say what each is.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::context::{self, Ear};
use super::known::Known;
use super::uncertain::Measure;
use super::{Failure, Global, Outcome, output};
use crate::archive::ArchiveRoot;
use crate::overrides::elsewhere::open;
use crate::report::uncertain::{self, Wanted};
use crate::review::queue::listed;
use crate::review::{Review, Session, list};

/// Hear one sample after another in a browser, and say what each is, a key a sample
///
/// Serves a page on this machine alone and prints its address, which holds a secret: open it in your browser. Each
/// decision is an override at once, on the disk and in the mount. Samples that the model is least sure of come first;
/// those that you said something of do not come again. Ctrl-C ends it; the next time it goes on from there.
#[derive(Debug, Args)]
pub struct ReviewArgs {
    /// The folder that holds the samples
    archive: PathBuf,
    /// Only these samples, in this order: a file with a path a line, a CSV file with a column `path`, or JSONL with
    /// `path` or `relative_path`; - reads standard input. Paths are relative to the archive
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// What makes a sample worth asking about, as in `drumfs uncertain`
    #[arg(long, value_enum, default_value_t = Measure::Margin, conflicts_with = "list")]
    by: Measure,
    /// Only the first so many [default: all; diverse: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// With --list: samples that something was said of, too
    #[arg(long, requires = "list")]
    again: bool,
    #[command(flatten)]
    page: PageArgs,
}

/// How many samples are asked about that are to be unlike each other, unless that is said.
const DIVERSE_TOP: usize = 100;

/// How the page is served; for every command that ends in it.
#[derive(Debug, Args)]
pub(super) struct PageArgs {
    /// Serve the page on this port [default: any that is free]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Who decides, for the history [default: the name you are logged in by]
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &ReviewArgs) -> Result<Outcome, Failure> {
    let root = ArchiveRoot::new(&args.archive)?;
    let ear = Ear::new(global)?;
    // Read before the store is opened: it may come from a command that has it.
    let paths = args.list.as_deref().map(|file| read_list(file, &root)).transpose()?;
    let known = Known::read(global, &ear, &root)?;
    let mut queue = match paths {
        None => {
            let all = if matches!(args.by, Measure::Diverse) { DIVERSE_TOP } else { usize::MAX };
            let top = args.top.map_or(all, |top| top as usize);
            let wanted = Wanted { by: args.by.into(), top, per_pack: None };
            let picked = uncertain::pick(&known.catalogue, &known.router(&ear)?, &known.overrides, wanted);
            picked.into_iter().map(|picked| picked.id).collect()
        }
        Some(paths) => {
            let paths = paths.iter().map(|path| &path[..]);
            let listed = listed(&known.catalogue, &known.overrides, paths, args.again);
            const SHOWN: usize = 10;
            for path in listed.unknown.iter().take(SHOWN) {
                let path = output::printable(&String::from_utf8_lossy(path));
                output::tell(format_args!("no sample `{path}` is known that could be read: passed over"));
            }
            if listed.unknown.len() > SHOWN {
                output::tell(format_args!("… nor {} more of the list", listed.unknown.len() - SHOWN));
            }
            if listed.said > 0 {
                output::tell(format_args!("you said what {} of them are: --again asks again", listed.said));
            }
            listed.ids
        }
    };
    queue.truncate(args.top.map_or(usize::MAX, |top| top as usize));
    serve(&ear, root, known, queue, &args.page)
}

fn read_list(file: &Path, root: &ArchiveRoot) -> Result<Vec<Vec<u8>>, Failure> {
    use std::os::unix::ffi::OsStrExt;
    let mut paths = list::paths(&open(file)?).map_err(|error| format!("{}: {error}", file.display()))?;
    let root = [root.path().as_os_str().as_bytes(), b"/"].concat();
    for path in &mut paths {
        if path.starts_with(&root) {
            path.drain(..root.len());
        }
    }
    Ok(paths)
}

/// Serves the page over a queue of samples, by their places in the catalogue, until Ctrl-C.
pub(super) fn serve(
    ear: &Ear,
    root: ArchiveRoot,
    known: Known,
    queue: Vec<u32>,
    page: &PageArgs,
) -> Result<Outcome, Failure> {
    if queue.is_empty() {
        output::tell("there is nothing to decide");
        return Ok(Outcome::Done);
    }
    let router = known.router(ear)?;
    let recorder = known.from.recorder();
    let by = page.who.clone().or_else(super::overrides::login);
    let vocabulary = ear.vocabulary.clone();
    let session = Session::new(root, known.catalogue, known.overrides, router, vocabulary, recorder, by, queue);
    let review = Review::new(session, page.port)?;
    let stop = context::stop_flag()?;
    output::tell(format_args!(
        "{} samples to decide; Ctrl-C ends. Open in your browser:",
        review.session().decisions().total
    ));
    output::line(review.address())?;
    std::io::stdout().flush()?;
    review.serve(&stop)?;
    let done = review.session().decisions();
    let left = done.total - done.said - done.skipped;
    output::tell(format_args!(
        "{} labelled, {} skipped, {} left; {} taken back",
        done.said, done.skipped, left, done.undone
    ));
    Ok(Outcome::Done)
}
