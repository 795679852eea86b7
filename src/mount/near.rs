//! The thread that looks for near duplicates while mounted, aside from all others, where the rules hide them
//! (`duplicates: hide-near`). What it finds it writes beside the store and the keeper takes up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use serde::Serialize;

use super::keeper::{KeeperHandle, Shared};
use crate::archive::ArchiveRoot;
use crate::duplicates::{self, LIKENESS, Near, Search, SearchError, Step};
use crate::store::Store;

/// How a search is getting on, and how to ask for one.
#[derive(Debug)]
pub struct NearDuplicates {
    progress: Mutex<Progress>,
    ask: Sender<()>,
    asked: Receiver<()>,
}

/// What status.json says of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Progress {
    /// `listening` or `comparing` while it runs.
    state: State,
    /// Contents listened to, or pairs settled.
    done: u64,
    /// Of so many.
    total: u64,
    /// Searches that have ended since the mount began.
    searches: u64,
    /// Groups that the last one found; none where there was none yet.
    groups: Option<u64>,
    /// Why the last one failed.
    error: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    #[default]
    Idle,
    Listening,
    Comparing,
}

impl Default for NearDuplicates {
    fn default() -> Self {
        let (ask, asked) = bounded(1);
        Self { progress: Mutex::default(), ask, asked }
    }
}

impl NearDuplicates {
    /// Asks for a search. Nothing comes of it where the rules do not hide near duplicates, or no content is new.
    pub fn ask(&self) {
        // One that waits already is enough.
        _ = self.ask.try_send(());
    }

    /// How it is getting on.
    pub fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What the thread works with.
pub(super) struct NearSearch {
    pub root: Arc<ArchiveRoot>,
    pub store: Arc<Store>,
    pub keeper: KeeperHandle,
    pub shared: Arc<Shared>,
    pub cancel: Arc<AtomicBool>,
    pub threads: usize,
}

impl NearSearch {
    /// Starts the thread. It ends when it is asked after `cancel` was set.
    pub fn start(self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("near".to_owned()).spawn(move || self.run())
    }

    fn run(self) {
        let asked = &self.shared.near.asked;
        // Contents of the last search.
        let mut searched = None;
        while asked.recv().is_ok() {
            if self.cancel.load(Ordering::Relaxed) {
                return;
            }
            // While a pass runs there is more to come; its end asks again.
            let passing = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner).started.is_some();
            if passing || !self.shared.view().router().hide_near_duplicates() {
                continue;
            }
            let Some((catalogue, _)) = self.keeper.known() else { continue };
            let contents = catalogue.contents_digest();
            if searched == Some(contents) {
                continue;
            }
            let started = Instant::now();
            match self.search(&catalogue) {
                Ok(near) => {
                    searched = Some(contents);
                    self.shared.near.change(|progress| progress.groups = Some(near.groups.len() as u64));
                    self.keeper.look_at_near_duplicates();
                }
                Err(error) => log::error!("near duplicates: {error}"),
            }
            drop(catalogue);
            crate::memory::give_back();
            // Who goes on writing to the archive must not keep all cores busy with this.
            self.rest((started.elapsed() * 4).max(Duration::from_secs(1)));
            if self.cancel.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Waits so long, or until the mount ends; who asks meanwhile is heard afterwards.
    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut was_asked = false;
        loop {
            match self.shared.near.asked.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(()) if self.cancel.load(Ordering::Relaxed) => return,
                Ok(()) => was_asked = true,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        if was_asked {
            self.shared.near.ask();
        }
    }

    fn search(&self, catalogue: &crate::view::Catalogue) -> Result<Near, Failed> {
        let near = &self.shared.near;
        let folder = self.store.folder();
        let least = duplicates::last_likeness(folder).unwrap_or(LIKENESS);
        near.change(|progress| *progress = Progress { state: State::Listening, error: None, ..progress.clone() });
        let tell = |step: Step| {
            near.change(|progress| match step {
                Step::ToHear(total) => (progress.done, progress.total) = (0, total),
                Step::ToCompare(total) => {
                    (progress.state, progress.done, progress.total) = (State::Comparing, 0, total);
                }
                Step::Heard => progress.done += 1,
                Step::Compared(count) => progress.done += count,
            });
        };
        let search = Search { catalogue, root: &self.root, folder, least, cancel: &self.cancel, tell: &tell };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads).build()?;
        let found = crate::catch_quietly(|| pool.install(|| search.run()));
        let result = found
            .unwrap_or_else(|panic| Err(SearchError::Panicked(crate::panic_message(&*panic))))
            .map_err(Failed::from);
        let result = result.and_then(|found| {
            duplicates::write_alike(folder, catalogue, &found, least)?;
            Ok(found)
        });
        near.change(|progress| {
            progress.state = State::Idle;
            progress.searches += 1;
            progress.error = result.as_ref().err().map(ToString::to_string);
        });
        result
    }
}

/// Why a search came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Search(#[from] SearchError),
    #[error("no threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    #[error("what was found can't be kept: {0}")]
    Keep(#[from] std::io::Error),
}
