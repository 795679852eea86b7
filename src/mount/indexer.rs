//! The thread that makes indexing passes while mounted: one at the start, and whenever the archive changes or
//! somebody asks.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after, never, select};

use super::keeper::{KeeperHandle, Shared};
use crate::archive::ArchiveRoot;
use crate::archive::watch::{Changes, Watcher};
use crate::classify::Ensemble;
use crate::index::snapshot::Keeping;
use crate::index::{Analyses, Pass, PassError, PassOptions, Progress, Status, Summary};
use crate::store::Store;

/// What the indexer is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A whole pass.
    Rescan,
    /// Another look at these paths.
    Touch(Vec<Vec<u8>>),
    /// To end.
    Stop,
}

/// Told of the progress of passes, for a bar in a terminal.
pub type Reporter = Box<dyn Fn(Report<'_>) + Send>;

/// What a pass while mounted reports.
#[derive(Debug)]
pub enum Report<'a> {
    /// So many files are to be heard.
    Planned(u64),
    /// So many more were heard.
    Heard(u64),
    /// The pass has ended.
    Ended(&'a Result<Summary, String>),
}

/// How long it is until a pass that failed is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(15);

/// What the thread works with.
pub(super) struct Indexer {
    pub root: Arc<ArchiveRoot>,
    pub store: Arc<Store>,
    pub ensemble: Arc<Ensemble>,
    pub options: PassOptions,
    pub keeper: KeeperHandle,
    pub shared: Arc<Shared>,
    pub cancel: Arc<AtomicBool>,
    pub watched: Arc<AtomicBool>,
    pub report: Reporter,
}

impl Indexer {
    /// Starts the thread: a whole pass, then whatever is asked.
    pub fn start(self, requests: Receiver<Request>) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("indexer".to_owned()).spawn(move || self.run(&requests))
    }

    fn run(self, requests: &Receiver<Request>) {
        let mut keeping = Keeping::new(&self.store);
        self.serve(requests, &mut keeping);
        self.keep(&mut keeping, true);
    }

    /// Writes a copy of the catalogue for the next mount, where one is due.
    fn keep(&self, keeping: &mut Keeping, last: bool) {
        // What this thread wrote until now is handed over already: the keeper answers after having taken it.
        let changes = self.store.changes();
        if keeping.is_due(&self.store, last)
            && let Some((catalogue, ensemble)) = self.keeper.known()
        {
            keeping.keep(&self.store, &ensemble, &catalogue, changes);
        }
        // A pass over many files leaves much behind.
        crate::memory::give_back();
    }

    fn serve(&self, requests: &Receiver<Request>, keeping: &mut Keeping) {
        // Watching begins before the walk: what changes during it is seen by one or the other.
        let watcher = match Watcher::new(self.root.path()) {
            Ok(watcher) => {
                self.watched.store(true, Ordering::Relaxed);
                Some(watcher)
            }
            Err(error) => {
                log::warn!("{error}");
                None
            }
        };
        let unwatched = never();
        let changes: &Receiver<Changes> = watcher.as_ref().map_or(&unwatched, |watcher| watcher.changes());
        let (mut rested, mut walk_is_due) = self.pass();
        self.keep(keeping, false);
        loop {
            let due = if walk_is_due { after(rested.saturating_duration_since(Instant::now())) } else { never() };
            let request = select! {
                recv(requests) -> request => request.unwrap_or(Request::Stop),
                recv(changes) -> change => match change {
                    Ok(Changes { rescan: true, .. }) => {
                        walk_is_due = true;
                        continue;
                    }
                    Ok(Changes { touched, .. }) => Request::Touch(touched),
                    Err(_) => Request::Stop,
                },
                recv(due) -> _ => Request::Rescan,
            };
            if self.cancel.load(Ordering::Relaxed) {
                return;
            }
            match request {
                Request::Stop => return,
                Request::Rescan => {
                    (rested, walk_is_due) = self.pass();
                    self.keep(keeping, false);
                }
                Request::Touch(paths) => self.touch(&paths),
            }
        }
    }

    fn with_progress<T>(&self, change: impl FnOnce(&mut super::status::IndexProgress) -> T) -> T {
        change(&mut self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, progress: &Progress<'_>) {
        match progress {
            Progress::Planned { todo, .. } => {
                self.with_progress(|progress| progress.total = *todo);
                (self.report)(Report::Planned(*todo));
            }
            Progress::Recorded(updates) => {
                let failed = |u: &&crate::index::Update| {
                    let told = u.heard.as_deref().and_then(Analyses::telling);
                    !u.entry.missing && told.is_none_or(|analysis| analysis.status != Status::Ok)
                };
                let failed = updates.iter().filter(failed).count() as u64;
                let heard = updates.iter().filter(|update| !update.entry.missing).count() as u64;
                self.with_progress(|progress| {
                    progress.done += heard;
                    progress.failed += failed;
                });
                self.keeper.heard(updates);
                (self.report)(Report::Heard(heard));
            }
            Progress::Moved(paths) => self.keeper.moved(paths),
            Progress::Followed(words) => self.keeper.followed(words),
        }
    }

    fn pass_of(&self) -> Pass<'_> {
        Pass {
            root: &self.root,
            store: &self.store,
            ensemble: &self.ensemble,
            options: self.options.clone(),
            cancel: &self.cancel,
        }
    }

    /// Makes a pass, and says from when on the archive may be walked again because something changed in it: a program
    /// that goes on writing there must not keep the disk busy with walks. Says, too, whether that is due anyway.
    fn pass(&self) -> (Instant, bool) {
        self.with_progress(|progress| progress.begin());
        let result = self.pass_of().run(&mut |progress| self.tell(&progress));
        // What failed as a whole, on a full disk or without the archive's drive, is tried again after a while.
        let again = match &result {
            Ok(summary) if summary.mostly_absent => {
                (Instant::now() + AFTER_FAILURE.max(summary.elapsed_walk * 20), true)
            }
            Ok(summary) => (Instant::now() + summary.elapsed_walk * 4, false),
            Err(_) => (Instant::now() + AFTER_FAILURE, true),
        };
        self.ended(result);
        again
    }

    fn touch(&self, paths: &[Vec<u8>]) {
        match self.pass_of().touch(paths, &mut |progress| self.tell(&progress)) {
            Ok(_) => self.shared.near.ask(),
            Err(error) => log::error!("{error}"),
        }
    }

    fn ended(&self, result: Result<Summary, PassError>) {
        let error = match &result {
            Ok(summary) if summary.mostly_absent => Some(mostly_absent(summary, self.root.path().to_owned())),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = &error {
            log::error!("{error}");
        }
        // Whoever reads that the pass has ended finds all of it in the view.
        self.keeper.settle();
        self.with_progress(|progress| progress.end(error));
        self.shared.near.ask();
        (self.report)(Report::Ended(&result.map_err(|error| error.to_string())));
    }
}

/// What a person is told when most of a known archive is not there.
pub fn mostly_absent(summary: &Summary, archive: PathBuf) -> String {
    format!(
        "{} of the samples known in {} are not there, more than half: is a drive not attached? Nothing was forgotten. \
         If they are gone for good, run `drumfs index {} --forget-missing`",
        summary.gone,
        archive.display(),
        archive.display()
    )
}
