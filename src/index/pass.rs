//! The indexing pass: walk, compare with what is known, listen to what is new, record it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use thiserror::Error;

use super::listen::{Listener, Prepared};
use super::names::{Followed, Words};
use super::reading::Reading;
use super::{Analyses, Analysis, Status, analyses};
use crate::archive::discover::mtime_ns;
use crate::archive::{ArchiveError, ArchiveRoot, ContentHash, Discovery, Found, HashAlgorithm, Skipped, discover};
use crate::classify::{Classifier, Ensemble};
use crate::store::{Known, SampleEntry, Store, StoreError};

/// So many files are prepared, for at most so long, before the models hear them one after the other, with their weights in
/// the processor's cache: a tenth faster than file by file. More files than these gain nothing.
const TOGETHER: usize = 16;
const TOGETHER_TIME: Duration = Duration::from_millis(50);

/// What was heard is written when this many files are ready or this much time has gone by: a crash costs no more.
const BATCH_FILES: usize = 512;
const BATCH_TIME: Duration = Duration::from_millis(400);

/// A pass that could not be made.
#[derive(Debug, Error)]
pub enum PassError {
    /// The archive can't be walked.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The store can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The threads can't be started.
    #[error("the threads of the indexing pass can't be started: {0}")]
    Threads(String),
}

/// How to make a pass.
#[derive(Debug, Clone)]
pub struct PassOptions {
    /// How many files are heard at a time.
    pub threads: usize,
    /// How contents are named.
    pub algorithm: HashAlgorithm,
    /// Folders that are not entered (absolute): the mounts of drumfs itself.
    pub exclude: Vec<PathBuf>,
    /// Whether samples are marked missing even where more than half of the archive is gone.
    pub forget_missing: bool,
}

/// One path with what is now known of it.
#[derive(Debug, Clone)]
pub struct Update {
    /// Relative path, raw bytes.
    pub path: Vec<u8>,
    /// What the store holds of it.
    pub entry: SampleEntry,
    /// What was heard in it; none where it could not be read or is missing.
    pub heard: Option<Arc<Analyses>>,
}

/// What a pass tells while it runs.
#[derive(Debug)]
pub enum Progress<'a> {
    /// The walk is over: so many samples are there, so many of them are to be heard.
    Planned {
        /// Samples found.
        found: u64,
        /// Samples to be heard.
        todo: u64,
    },
    /// These were heard and are in the store, or are known to be missing.
    Recorded(&'a [Update]),
    /// These paths are forgotten: their content is known under another.
    Moved(&'a [Vec<u8>]),
    /// What people said of these contents is said of the names that they have now. It comes before the samples do.
    Followed(&'a [Followed]),
}

/// How a pass ended.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Summary {
    /// Samples found in the archive.
    pub found: u64,
    /// Samples that had not changed and were not opened.
    pub unchanged: u64,
    /// Samples that were heard or recognised in this pass.
    pub heard: u64,
    /// Those of them whose content was known already under another path.
    pub duplicates: u64,
    /// Those of them that could not be classified, by status.
    pub failed: HashMap<Status, u64>,
    /// Samples that were known and are not there, under no other path either. 0 where the pass was stopped.
    pub gone: u64,
    /// Whether more than half of the known samples were absent, so that nothing was marked missing.
    pub mostly_absent: bool,
    /// Folders and files that could not be looked at, with the reason.
    pub problems: Vec<String>,
    /// What was passed over.
    pub skipped: Skipped,
    /// Whether the pass was stopped before its end.
    pub interrupted: bool,
    /// How long it took.
    pub elapsed: Duration,
    /// How long the walk and the comparison took.
    pub elapsed_walk: Duration,
}

impl Summary {
    /// Files that could not be classified and are no more than that.
    pub fn failed_total(&self) -> u64 {
        self.failed.values().sum()
    }
}

/// Makes a pass. `tell` is called on this thread only.
pub struct Pass<'a> {
    /// The archive.
    pub root: &'a ArchiveRoot,
    /// Where it is recorded.
    pub store: &'a Store,
    /// What listens.
    pub ensemble: &'a Arc<Ensemble>,
    /// How.
    pub options: PassOptions,
    /// Set from anywhere to stop; the next pass goes on from there.
    pub cancel: &'a AtomicBool,
}

/// The archive compared with the store.
struct Comparison {
    /// What is new or changed.
    work: Vec<Found>,
    /// What is known and was not found.
    gone: Vec<(Vec<u8>, SampleEntry)>,
    /// How many samples were known and not missing.
    known: u64,
}

struct Heard {
    update: Update,
    hash: Option<ContentHash>,
    /// The models that listened now; the others knew the content, or another thread listens to it.
    fresh: Vec<usize>,
}

impl Pass<'_> {
    /// Runs the pass to its end or until it is cancelled.
    ///
    /// # Errors
    /// Where the archive's root or the store fails; a single file never ends a pass.
    pub fn run(&self, tell: &mut dyn FnMut(Progress<'_>)) -> Result<Summary, PassError> {
        let started = Instant::now();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.options.threads)
            .thread_name(|n| format!("listen-{n}"))
            .build()
            .map_err(|error| PassError::Threads(error.to_string()))?;
        let known = |found: &Found| {
            // A store that can't be read says so soon enough.
            let entry = self.store.sample(&found.path).ok().flatten();
            entry.is_some_and(|entry| (entry.size, entry.mtime_ns) == (found.size, found.mtime_ns))
        };
        let discovery = pool.install(|| discover(self.root, &known, &self.options.exclude, self.cancel))?;
        let mut summary = Summary { found: discovery.samples.len() as u64, ..Summary::default() };
        let Comparison { work, gone, known } = self.compare(&discovery, &mut summary)?;
        summary.elapsed_walk = started.elapsed();
        summary.skipped = discovery.skipped;
        summary.interrupted = discovery.cancelled;
        summary.problems = discovery.problems.iter().map(|(path, why)| format!("{}: {why}", path.display())).collect();
        drop(discovery);
        tell(Progress::Planned { found: summary.found, todo: work.len() as u64 });
        if !summary.interrupted {
            let mut words = Words::new(self.store, self.options.algorithm)?;
            self.hear_all(&pool, &work, &mut words, &mut summary, tell)?;
            if !summary.interrupted {
                words.settle(self.store, tell)?;
            }
        }
        if !summary.interrupted {
            self.settle_gone(gone, known, &mut summary, tell)?;
        }
        self.store.flush()?;
        summary.elapsed = started.elapsed();
        Ok(summary)
    }

    /// Looks at single paths again, as the watcher or a reader reports them. Paths that are gone are left to the next
    /// whole pass.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn touch(&self, paths: &[Vec<u8>], tell: &mut dyn FnMut(Progress<'_>)) -> Result<Summary, PassError> {
        let started = Instant::now();
        let mut summary = Summary::default();
        let mut work = Vec::new();
        for path in paths {
            let Some(known) = self.store.sample(path)? else { continue };
            let Ok(metadata) = std::fs::symlink_metadata(self.root.absolute(path)) else { continue };
            if metadata.is_file() && (known.size != metadata.len() || known.mtime_ns != mtime_ns(&metadata)) {
                work.push(Found { path: path.clone(), size: metadata.len(), mtime_ns: mtime_ns(&metadata) });
            }
        }
        summary.found = work.len() as u64;
        if !work.is_empty() {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(1)
                .build()
                .map_err(|error| PassError::Threads(error.to_string()))?;
            let mut words = Words::new(self.store, self.options.algorithm)?;
            self.hear_all(&pool, &work, &mut words, &mut summary, tell)?;
            self.store.flush()?;
        }
        summary.elapsed = started.elapsed();
        Ok(summary)
    }

    /// What there is to do: both lists are ordered by path, so one walk along them tells new, changed and gone.
    fn compare(&self, discovery: &Discovery, summary: &mut Summary) -> Result<Comparison, PassError> {
        let (mut work, mut gone) = (Vec::new(), Vec::new());
        let ears = self.ensemble.ears();
        let mut noted: Vec<Known> = Vec::new();
        let mut known = self.store.known().peekable();
        let mut known_present = 0u64;
        let lost = |path: Vec<u8>, entry: SampleEntry, gone: &mut Vec<_>| {
            if !entry.missing && !below_a_problem(&path, discovery, self.root) {
                gone.push((path, entry));
            }
        };
        for found in &discovery.samples {
            let mut here = None;
            while let Some(item) = known.next_if(|item| item.as_ref().map_or(true, |known| known.path <= found.path)) {
                let known = item?;
                known_present += u64::from(!known.entry.missing);
                if known.path == found.path {
                    here = Some(known);
                } else {
                    lost(known.path, known.entry, &mut gone);
                }
            }
            let same = |known: &Known| {
                let Known { entry, .. } = known;
                (entry.size, entry.mtime_ns, entry.missing) == (found.size, found.mtime_ns, false)
                    && entry.hash.is_some_and(|hash| hash.algorithm() == self.options.algorithm)
            };
            let here = here.filter(same);
            // A million look-ups by hash take longer than all the rest: mostly the entry itself tells who heard it.
            let unchanged = match &here {
                Some(known) if known.ears == ears => true,
                Some(Known { entry: SampleEntry { hash: Some(hash), .. }, .. }) => self.is_heard(hash)?,
                _ => false,
            };
            if unchanged {
                summary.unchanged += 1;
                noted.extend(here.filter(|known| known.ears != ears));
                if noted.len() >= BATCH_FILES {
                    self.note_ears(&mut noted, ears)?;
                }
            } else {
                work.push(found.clone());
            }
        }
        self.note_ears(&mut noted, ears)?;
        for item in known {
            let Known { path, entry, .. } = item?;
            known_present += u64::from(!entry.missing);
            lost(path, entry, &mut gone);
        }
        Ok(Comparison { work, gone, known: known_present })
    }

    /// Writes down that every model has heard these, so that it need not be looked up again.
    fn note_ears(&self, known: &mut Vec<Known>, ears: u64) -> Result<(), StoreError> {
        let noted: Vec<_> = known.iter().map(|known| (&known.path[..], &known.entry, ears)).collect();
        self.store.note_ears(&noted)?;
        known.clear();
        Ok(())
    }

    /// Whether every model has heard a content.
    fn is_heard(&self, hash: &ContentHash) -> Result<bool, StoreError> {
        for model in self.ensemble.models() {
            if !self.store.has_analysis(hash, model.model_id())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn hear_all(
        &self,
        pool: &rayon::ThreadPool,
        work: &[Found],
        words: &mut Words,
        summary: &mut Summary,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), PassError> {
        let next = AtomicUsize::new(0);
        let in_flight: Mutex<HashSet<ContentHash>> = Mutex::default();
        let stop = AtomicBool::new(false);
        let (sender, receiver) = bounded::<Heard>(4 * BATCH_FILES);
        let result = std::thread::scope(|scope| {
            let workers = scope.spawn(|| {
                pool.scope(|pool_scope| {
                    for _ in 0..self.options.threads.max(1) {
                        let sender = sender.clone();
                        let (next, in_flight, stop) = (&next, &in_flight, &stop);
                        pool_scope.spawn(move |_| self.worker(work, next, in_flight, stop, &sender));
                    }
                });
                drop(sender);
            });
            let written = self.write_all(&receiver, words, summary, tell);
            if written.is_err() {
                // Nobody takes what is heard any more: the workers stop at their next file.
                stop.store(true, Ordering::Relaxed);
            }
            drop(receiver);
            if workers.join().is_err() {
                return Err(PassError::Threads("a thread ended unexpectedly".to_owned()));
            }
            written
        });
        summary.interrupted |= self.cancel.load(Ordering::Relaxed) && next.load(Ordering::Relaxed) < work.len();
        result
    }

    fn worker(
        &self,
        work: &[Found],
        next: &AtomicUsize,
        in_flight: &Mutex<HashSet<ContentHash>>,
        stop: &AtomicBool,
        sender: &Sender<Heard>,
    ) {
        let mut listener = None;
        let mut prepared = Vec::with_capacity(TOGETHER);
        loop {
            let started = Instant::now();
            while prepared.len() < TOGETHER && (prepared.is_empty() || started.elapsed() < TOGETHER_TIME) {
                if self.cancel.load(Ordering::Relaxed) || stop.load(Ordering::Relaxed) {
                    break;
                }
                let Some(found) = work.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                prepared.push(self.prepare(found, &mut listener, in_flight));
            }
            if prepared.is_empty() {
                return;
            }
            for (mut heard, unheard) in prepared.drain(..) {
                if let (Some(unheard), Some(listener)) = (unheard, &mut listener) {
                    heard.update.heard = Some(Arc::new(listener.conclude(unheard)));
                }
                if sender.send(heard).is_err() {
                    return;
                }
            }
        }
    }

    /// What is known of a file once it was read, and what the models have yet to hear of it.
    fn prepare(
        &self,
        found: &Found,
        listener: &mut Option<Listener>,
        in_flight: &Mutex<HashSet<ContentHash>>,
    ) -> (Heard, Option<Prepared>) {
        match self.prepare_file(found, listener, in_flight) {
            Ok(prepared) => prepared,
            Err(error) => {
                let entry = SampleEntry {
                    size: found.size,
                    mtime_ns: found.mtime_ns,
                    hash: None,
                    unreadable: Some(error.to_string()),
                    missing: false,
                };
                let update = Update { path: found.path.clone(), entry, heard: None };
                (Heard { update, hash: None, fresh: Vec::new() }, None)
            }
        }
    }

    /// Opens and reads the file once: hash and sound come from the same bytes.
    fn prepare_file(
        &self,
        found: &Found,
        listener: &mut Option<Listener>,
        in_flight: &Mutex<HashSet<ContentHash>>,
    ) -> io::Result<(Heard, Option<Prepared>)> {
        let reading = Reading::new(self.root, &found.path, self.options.algorithm)?;
        let Reading { size, mtime_ns, hash, .. } = reading;
        let entry = SampleEntry { size, mtime_ns, hash: Some(hash), unreadable: None, missing: false };
        let update = |heard| Update { path: found.path.clone(), entry: entry.clone(), heard };
        let store_failed = |error: StoreError| io::Error::other(error.to_string());
        let known = analyses(self.store, &hash, self.ensemble).map_err(store_failed)?;
        if known.is_complete() {
            return Ok((Heard { update: update(Some(Arc::new(known))), hash: Some(hash), fresh: Vec::new() }, None));
        }
        let first = in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(hash);
        if !first {
            // Another thread listens to the same bytes now: the writer joins the two.
            return Ok((Heard { update: update(None), hash: Some(hash), fresh: Vec::new() }, None));
        }
        let fresh = known.missing().collect();
        let prepared = reading.prepare(known, listener, self.ensemble)?;
        Ok((Heard { update: update(None), hash: Some(hash), fresh }, Some(prepared)))
    }

    /// Takes what was heard and writes it in batches.
    fn write_all(
        &self,
        receiver: &Receiver<Heard>,
        words: &mut Words,
        summary: &mut Summary,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), PassError> {
        let mut waiting: Vec<Heard> = Vec::new();
        let mut batch: Vec<Heard> = Vec::new();
        let mut last = Instant::now();
        loop {
            let message = receiver.recv_timeout(BATCH_TIME);
            let ended = matches!(message, Err(RecvTimeoutError::Disconnected));
            if let Ok(heard) = message {
                match heard.hash {
                    // A twin of something another thread is listening to.
                    Some(_) if heard.update.heard.is_none() => waiting.push(heard),
                    _ => batch.push(heard),
                }
            }
            if batch.len() < BATCH_FILES && last.elapsed() < BATCH_TIME && !ended {
                continue;
            }
            self.write(&mut batch, words, summary, tell)?;
            let mut still = Vec::new();
            for mut twin in waiting.drain(..) {
                let known = twin.hash.map(|hash| analyses(self.store, &hash, self.ensemble)).transpose()?;
                match known.filter(Analyses::is_complete) {
                    Some(known) => {
                        twin.update.heard = Some(Arc::new(known));
                        batch.push(twin);
                    }
                    None => still.push(twin),
                }
            }
            waiting = still;
            last = Instant::now();
            if ended {
                // Twins still waiting belong to files a cancelled thread never finished: the next pass hears them.
                return self.write(&mut batch, words, summary, tell);
            }
        }
    }

    fn write(
        &self,
        batch: &mut Vec<Heard>,
        words: &mut Words,
        summary: &mut Summary,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), PassError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut fresh = Vec::with_capacity(batch.len());
        let updates: Vec<Update> = batch
            .drain(..)
            .map(|heard| {
                summary.heard += 1;
                summary.duplicates += u64::from(heard.hash.is_some() && heard.fresh.is_empty());
                let analysis = heard.update.heard.as_deref().and_then(Analyses::telling);
                let status = analysis.map_or(Status::LoadError, |analysis| analysis.status);
                if status.is_error() {
                    *summary.failed.entry(status).or_default() += 1;
                }
                fresh.push(heard.fresh);
                heard.update
            })
            .collect();
        let models: Vec<&str> = self.ensemble.models().map(Classifier::model_id).collect();
        let analyses: Vec<(ContentHash, &str, &Analysis)> = updates
            .iter()
            .zip(&fresh)
            .filter_map(|(update, fresh)| Some((update.entry.hash?, update.heard.as_deref()?, fresh)))
            .flat_map(|(hash, heard, fresh)| {
                fresh
                    .iter()
                    .filter_map(|&index| Some((hash, *models.get(index)?, heard.get(index)?)))
                    .collect::<Vec<_>>()
            })
            .collect();
        let ears = |update: &Update| match &update.heard {
            Some(heard) if heard.is_complete() => self.ensemble.ears(),
            _ => 0,
        };
        let samples: Vec<(&[u8], &SampleEntry, u64)> =
            updates.iter().map(|update| (&update.path[..], &update.entry, ears(update))).collect();
        words.follow(self.store, &updates, tell)?;
        self.store.record_heard(&analyses, &samples)?;
        tell(Progress::Recorded(&updates));
        Ok(())
    }

    /// Marks what is gone as missing, or forgets it where its content is known under another path. Where more than
    /// half of what was `known` is gone and nowhere else, a drive is probably not attached: nothing is done then.
    fn settle_gone(
        &self,
        gone: Vec<(Vec<u8>, SampleEntry)>,
        known: u64,
        summary: &mut Summary,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), PassError> {
        if gone.is_empty() {
            return Ok(());
        }
        let lost: HashSet<ContentHash> = gone.iter().filter_map(|(_, entry)| entry.hash).collect();
        let gone_paths: HashSet<&[u8]> = gone.iter().map(|(path, _)| &path[..]).collect();
        let mut elsewhere = HashSet::new();
        for item in self.store.samples() {
            let (path, entry) = item?;
            if let Some(hash) = entry.hash
                && !entry.missing
                && lost.contains(&hash)
                && !gone_paths.contains(&path[..])
            {
                elsewhere.insert(hash);
            }
        }
        drop(gone_paths);
        let moved = |entry: &SampleEntry| entry.hash.is_some_and(|hash| elsewhere.contains(&hash));
        let (moved, missing): (Vec<_>, Vec<_>) = gone.into_iter().partition(|(_, entry)| moved(entry));
        summary.gone = missing.len() as u64;
        summary.mostly_absent = summary.gone * 2 > known && !self.options.forget_missing;
        if summary.mostly_absent {
            return Ok(());
        }
        let moved: Vec<Vec<u8>> = moved.into_iter().map(|(path, _)| path).collect();
        self.store.forget_paths(moved.iter().map(|path| &path[..]))?;
        tell(Progress::Moved(&moved));
        let updates: Vec<Update> = missing
            .into_iter()
            .map(|(path, entry)| Update { path, entry: SampleEntry { missing: true, ..entry }, heard: None })
            .collect();
        let samples: Vec<(&[u8], &SampleEntry)> = updates.iter().map(|u| (&u.path[..], &u.entry)).collect();
        self.store.record(&[], &samples)?;
        tell(Progress::Recorded(&updates));
        Ok(())
    }
}

/// Whether a path lies in a folder that could not be listed, so that nothing is known of it now.
fn below_a_problem(path: &[u8], discovery: &Discovery, root: &ArchiveRoot) -> bool {
    !discovery.problems.is_empty() && {
        let path = root.absolute(path);
        discovery.problems.iter().any(|(problem, _)| path.starts_with(problem))
    }
}
