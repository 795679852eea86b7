//! `drumfs mount`: show the view, and listen to what is new.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use crossbeam_channel::bounded;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::background;
use super::context::{self, Ear};
use super::output;
use super::progress::{PassBar, sentences};
use super::{Failure, Global, Outcome};
use crate::archive::ArchiveRoot;
use crate::mount::{self, MountOptions, Mounted, Report, mostly_absent};
use crate::store::MOUNTED;

/// Mount an archive, sorted
///
/// The mount is up at once and shows what is known; new samples appear as they are heard. It stays until it is
/// unmounted (`umount MOUNTPOINT`, or `fusermount3 -u MOUNTPOINT`) or drumfs is stopped with Ctrl-C.
///
/// Edit MOUNTPOINT/_control/rules.yml and save it: the folders change at once.
#[derive(Debug, Args)]
pub struct MountArgs {
    /// The folder that holds the samples
    archive: PathBuf,
    /// Where to show them sorted: an empty folder outside the archive, made if it is missing
    mountpoint: PathBuf,
    /// Return when the view is up, or with the error; drumfs goes on in the background
    #[arg(long)]
    background: bool,
    /// Let other users in, to the samples whose originals they may read
    ///
    /// Rules, overrides and lists stay with you. Names and bytes of a sample are for those who may read the original and
    /// enter every folder above it. An ordinary user needs the line `user_allow_other` in /etc/fuse.conf.
    #[arg(long, conflicts_with = "no_open")]
    allow_other: bool,
    /// Listen to so many files at a time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Set a damaged database aside and listen again; overrides and rules are kept
    #[arg(long)]
    repair: bool,
    /// Open files with no message to drumfs: many small files are read as fast as from the disk the second time.
    /// Gives up: control files can be replaced (rename over them) and overrides.jsonl added to, but not written in
    /// place; index.jsonl is empty; whoever reads an original while it is replaced may get bytes of both
    #[arg(long, conflicts_with = "allow_other")]
    no_open: bool,
    /// What --background starts: says on stdout when the view is up
    #[arg(long, hide = true)]
    as_background: bool,
}

/// Runs the command.
pub(super) fn run(global: &Global, args: MountArgs) -> Result<Outcome, Failure> {
    if args.background {
        return background::start(&log_folder(global, &args)?);
    }
    let in_background = args.as_background;
    match run_here(global, args) {
        Err(error) if in_background => {
            // Whoever waits reads it from stdout; the log keeps it.
            background::failed(&error.to_string());
            Err(error)
        }
        result => result,
    }
}

fn log_folder(global: &Global, args: &MountArgs) -> Result<PathBuf, Failure> {
    let root = ArchiveRoot::new(&args.archive)?;
    context::store_folder(global, &Ear::new(global)?.config, &root)
}

fn run_here(global: &Global, args: MountArgs) -> Result<Outcome, Failure> {
    let root = Arc::new(ArchiveRoot::new(&args.archive)?);
    let ear = Ear::new(global)?;
    let folder = context::store_folder(global, &ear.config, &root)?;
    let (at, notice) = mount::prepare(&args.mountpoint, root.path())?;
    if let Some(notice) = notice {
        output::tell(format_args!("drumfs: {notice}"));
    }
    match mount::raise_open_files() {
        Ok(limit) => log::debug!("{limit} files may be open at a time"),
        Err(error) => log::warn!("no more files may be open at a time than before: {error}"),
    }
    // Signals are caught before anything is mounted, so that none leaves a dead mount behind.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (asked, stop) = bounded(1);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for (count, _) in signals.forever().enumerate() {
            if count > 0 {
                // Asked twice: whatever was acknowledged is on the disk already.
                std::process::exit(130);
            }
            let _ = asked.try_send(());
        }
    })?;
    let store = context::open_store(folder, &root, args.repair, &format!("{MOUNTED} {}", at.display()))?;
    let backend = ear.start()?;
    let threads = ear.threads(args.threads.map(usize::from));
    let algorithm = ear.algorithm();
    let first_rules = ear.first_rules();
    let Ear { ensemble, vocabulary, .. } = ear;
    let without_open = args.no_open;
    let report = reporter(args.as_background, root.path().to_owned());
    let options = MountOptions {
        root,
        at: at.clone(),
        store,
        ensemble,
        vocabulary,
        first_rules,
        user: super::overrides::login(),
        backend,
        threads,
        algorithm,
        without_open,
        allow_other: args.allow_other,
        report,
    };
    let mounted = Mounted::start(options)?;
    if let Some(folder) = mounted.closed_at() {
        output::tell(format_args!(
            "drumfs: not everybody may enter {}, so other users may see no samples (`chmod o+rx` lets them)",
            folder.display()
        ));
    }
    let samples = mounted.shared().view().numbers().samples;
    if args.as_background {
        background::ready(&at)?;
    } else {
        output::tell(format_args!("mounted at {} ({samples} samples known); Ctrl-C ends it", at.display()));
    }
    mounted.wait(&stop)?;
    Ok(Outcome::Done)
}

/// Draws a bar, and says in sentences how each pass that heard something ended.
fn reporter(quiet: bool, archive: PathBuf) -> mount::Reporter {
    let bar = std::sync::Mutex::new(None::<PassBar>);
    let first = std::sync::atomic::AtomicBool::new(true);
    Box::new(move |report| {
        if quiet {
            return;
        }
        let mut bar = bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match report {
            Report::Planned(todo) if todo > 0 => bar.insert(PassBar::new()).planned(todo),
            Report::Planned(_) => {}
            Report::Heard(count) => bar.iter().for_each(|bar| bar.heard(count)),
            Report::Ended(result) => {
                bar.take().iter().for_each(PassBar::finish);
                let first = first.swap(false, std::sync::atomic::Ordering::Relaxed);
                match result {
                    // Said in the log already.
                    Err(_) => {}
                    Ok(summary) if summary.mostly_absent => output::tell(mostly_absent(summary, archive.clone())),
                    Ok(summary) if first || summary.heard > 0 || summary.gone > 0 => {
                        sentences(summary).iter().for_each(output::tell);
                    }
                    Ok(_) => {}
                }
            }
        }
    })
}
