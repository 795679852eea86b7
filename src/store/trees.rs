//! The trees of the database and what each holds.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sled::{Batch, IVec, Tree};

use super::heard::analysis_key;
use super::imported::{self, ImportedModel};
use super::journal::Journal;
use super::open::{OpenOptions, SCHEMA};
use super::vouched::{self, Vouched, new_key};
use super::{JournalEntry, JournalEvent, StoreError, Word};
use crate::archive::discover::path_from_bytes;
use crate::archive::{ContentHash, HashAlgorithm};
use crate::index::Analysis;

/// What is known of one path of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleEntry {
    /// Size in bytes when it was heard.
    pub size: u64,
    /// Time of last modification when it was heard, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// The content; none where the file could not be read.
    pub hash: Option<ContentHash>,
    /// Why it could not be read.
    pub unreadable: Option<String>,
    /// Whether the last whole pass did not find it.
    pub missing: bool,
}

/// A person's word on one content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Override {
    /// A fine label, a canonical label, or a folder of the rules.
    pub label: String,
    /// A remark.
    pub note: Option<String>,
    /// When it was said, in seconds since 1970.
    pub at: f64,
}

/// The rules in force, and a draft that was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RulesState {
    /// The text in force; none where none was ever saved.
    pub active: Option<String>,
    /// The last text that was refused, until one is accepted.
    pub draft: Option<String>,
}

/// One path of the archive, as a pass compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Relative path, raw bytes.
    pub path: Vec<u8>,
    /// What is known of it.
    pub entry: SampleEntry,
    /// [`Ensemble::ears`](crate::classify::Ensemble::ears) of the models that have all heard its content; 0 where
    /// that has to be looked up.
    pub ears: u64,
}

/// An open store. One process has it at a time; every method may be called from any thread.
///
/// sled refuses everything once a write has failed, also where there is room again: then it is opened anew in its
/// place, as soon as a trial write goes well.
pub struct Store {
    trees: RwLock<Option<Arc<Trees>>>,
    /// Whether sled has failed since the trees were opened.
    failed: AtomicBool,
    /// When it may be tried again to open them anew.
    next_try: Mutex<Instant>,
    options: OpenOptions,
    journal: Mutex<Journal>,
    pub(super) vouched: Mutex<Vouched>,
    /// Whether something failed since the store was opened: nobody knows how much of what was written is there.
    pub(super) unsure: AtomicBool,
    /// Mixed into what is written beside samples of who has heard them: another number makes all of that mean nothing.
    ears_key: AtomicU64,
    /// The models of imported indexes, the newest import first.
    pub(super) imports: RwLock<Vec<ImportedModel>>,
}

/// The database and its trees.
pub(super) struct Trees {
    pub db: sled::Db,
    pub meta: Tree,
    samples: Tree,
    pub(super) analyses: Tree,
    overrides: Tree,
    rules: Tree,
}

impl Trees {
    fn open(db: sled::Db, folder: &Path) -> Result<Self, StoreError> {
        let tree = |name: &str| db.open_tree(name).map_err(|error| StoreError::sled(folder, error));
        Ok(Self {
            meta: tree("meta")?,
            samples: tree("samples")?,
            analyses: tree("analyses")?,
            overrides: tree("overrides")?,
            rules: tree("rules")?,
            db,
        })
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.options.folder).finish_non_exhaustive()
    }
}

/// What is written on trial before the database is opened anew: as much as sled writes at a time, in bytes.
const TRIAL_LEN: usize = 1 << 20;

/// How long those who read the old trees are waited for before the database is opened anew. Whoever asks for the trees
/// may be one of them.
const READERS_PATIENCE: Duration = Duration::from_millis(100);

/// How long it is until that is tried again.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// Where it is kept what the word on who has heard a sample is mixed with.
const EARS_KEY: &str = "ears";

/// Times closer than this, in seconds, are the same: a number may change its last digit on its way through JSON.
pub(super) const SAME_TIME: f64 = 1e-3;

pub(super) fn seconds_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

impl Store {
    pub(super) fn new(db: sled::Db, options: OpenOptions, journal: Journal) -> Result<Self, StoreError> {
        let trees = Trees::open(db, &options.folder)?;
        let word = |key| trees.meta.get(key).map_err(|error| StoreError::sled(&options.folder, error));
        let vouched = Vouched::by(word(vouched::WORD)?.as_deref());
        let ears_key = word(EARS_KEY)?.and_then(|key| key[..].try_into().ok().map(u64::from_be_bytes)).unwrap_or(0);
        let imports =
            RwLock::new(imported::all(&trees.meta).map_err(|error| StoreError::sled(&options.folder, error))?);
        Ok(Self {
            imports,
            trees: RwLock::new(Some(Arc::new(trees))),
            failed: AtomicBool::new(false),
            next_try: Mutex::new(Instant::now()),
            options,
            journal: Mutex::new(journal),
            vouched: Mutex::new(vouched),
            unsure: AtomicBool::new(false),
            ears_key: AtomicU64::new(ears_key),
        })
    }

    /// The store's folder.
    pub fn folder(&self) -> &Path {
        &self.options.folder
    }

    pub(super) fn failed(&self, error: sled::Error) -> StoreError {
        self.failed.store(true, Ordering::Relaxed);
        self.unsure.store(true, Ordering::Relaxed);
        StoreError::sled(self.folder(), error)
    }

    /// The trees; opened anew where they failed before and there is room again.
    pub(super) fn trees(&self) -> Result<Arc<Trees>, StoreError> {
        if self.failed.load(Ordering::Relaxed) && self.is_time_to_try() {
            match self.open_anew() {
                Ok(trees) => return Ok(trees),
                // Still no room.
                Err(StoreError::Io { source, .. }) => log::debug!("the database is not opened anew yet: {source}"),
                Err(error) => log::error!("{error}"),
            }
        }
        let trees = self.trees.read().unwrap_or_else(PoisonError::into_inner);
        let closed = || std::io::Error::other("the database has failed and could not be opened anew yet");
        trees.clone().ok_or_else(|| StoreError::io(self.folder(), closed()))
    }

    fn is_time_to_try(&self) -> bool {
        let mut next = self.next_try.lock().unwrap_or_else(PoisonError::into_inner);
        let due = Instant::now() >= *next;
        if due {
            *next = Instant::now() + BETWEEN_TRIES;
        }
        due
    }

    /// Opens the database in the place of one that failed. What sled held in memory and could not write is dropped: of
    /// what people said the journal has it, and what was heard is heard again.
    fn open_anew(&self) -> Result<Arc<Trees>, StoreError> {
        let mut place = self.trees.write().unwrap_or_else(PoisonError::into_inner);
        if let (Some(trees), false) = (&*place, self.failed.load(Ordering::Relaxed)) {
            // Another thread was faster.
            return Ok(Arc::clone(trees));
        }
        self.try_to_write()?;
        if let Some(trees) = place.take() {
            // sled lets go of its files when the last reader has.
            let (readers, until) = (Arc::downgrade(&trees), Instant::now() + READERS_PATIENCE);
            while readers.strong_count() > 1 && Instant::now() < until {
                std::thread::sleep(READERS_PATIENCE / 20);
            }
            if readers.strong_count() > 1 {
                *place = Some(trees);
                return Err(StoreError::InUse { path: self.folder().to_owned(), owner: "a reader of its own".into() });
            }
        }
        let trees = Arc::new(Trees::open(self.options.open_db()?, self.folder())?);
        *place = Some(Arc::clone(&trees));
        self.failed.store(false, Ordering::Relaxed);
        drop(place);
        let mut notice = None;
        self.options.replay(self, &mut notice)?;
        log::warn!("the database of {} failed and was opened anew", self.folder().display());
        Ok(trees)
    }

    /// Whether the disk takes anything.
    fn try_to_write(&self) -> Result<(), StoreError> {
        let path = self.folder().join(super::open::TRIAL);
        let write = || {
            let mut file = std::fs::File::create(&path)?;
            std::io::Write::write_all(&mut file, &vec![0xA5; TRIAL_LEN])?;
            file.sync_all()
        };
        let written = write();
        drop(std::fs::remove_file(&path));
        written.map_err(|source| StoreError::io(path, source))
    }

    pub(super) fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, StoreError> {
        postcard::from_bytes(bytes).map_err(|error| self.damaged(&error))
    }

    /// Decodes what stands at the beginning.
    pub(super) fn decode_start<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, StoreError> {
        postcard::take_from_bytes(bytes).map(|(value, _)| value).map_err(|error| self.damaged(&error))
    }

    fn damaged(&self, error: &postcard::Error) -> StoreError {
        StoreError::Damaged { path: self.folder().to_owned(), reason: format!("a record: {error}") }
    }

    fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, StoreError> {
        postcard::to_stdvec(value)
            .map_err(|error| StoreError::io(self.folder(), std::io::Error::other(error.to_string())))
    }

    /// The schema a database was written with; none for a new one.
    pub(super) fn schema_of(db: &sled::Db) -> sled::Result<Option<u32>> {
        let value = db.open_tree("meta")?.get("schema")?;
        Ok(value.and_then(|bytes| bytes.as_ref().try_into().ok().map(u32::from_be_bytes)))
    }

    /// The schema this database was written with; none for a new one.
    pub(super) fn schema(&self) -> Result<Option<u32>, StoreError> {
        Self::schema_of(&self.trees()?.db).map_err(|error| self.failed(error))
    }

    /// Forgets what was heard, of which an older schema tells too little: it is heard again.
    pub(super) fn forget_analyses(&self) -> Result<(), StoreError> {
        self.doubt_ears()?;
        self.changing(|| self.trees()?.analyses.clear().map_err(|error| self.failed(error)))?;
        self.flush()
    }

    pub(super) fn is_new(&self) -> Result<bool, StoreError> {
        self.schema().map(|schema| schema.is_none())
    }

    pub(super) fn archive(&self) -> Result<Option<PathBuf>, StoreError> {
        let value = self.trees()?.meta.get("archive").map_err(|error| self.failed(error))?;
        Ok(value.map(|bytes| path_from_bytes(bytes.to_vec())))
    }

    pub(super) fn mark_opened(&self, archive: &Path) -> Result<(), StoreError> {
        self.trees()?.meta.insert("schema", &SCHEMA.to_be_bytes()).map_err(|error| self.failed(error))?;
        self.trees()?.meta.insert("archive", archive.as_os_str().as_bytes()).map_err(|error| self.failed(error))?;
        self.flush()
    }

    /// Writes everything to the disk.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.trees()?.db.flush().map(drop).map_err(|error| self.failed(error))
    }

    // Samples and analyses.

    /// Every sample, ordered by path bytes.
    pub fn samples(&self) -> impl Iterator<Item = Result<(Vec<u8>, SampleEntry), StoreError>> + '_ {
        self.all(|trees| &trees.samples).map(|item| {
            let (path, value) = item?;
            Ok((path.to_vec(), self.decode(&value)?))
        })
    }

    /// Every entry of a tree, which is kept open meanwhile; the error alone where there is none.
    fn all(&self, tree: fn(&Trees) -> &Tree) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> + '_ {
        let (trees, error) = match self.trees() {
            Ok(trees) => (Some(trees), None),
            Err(error) => (None, Some(error)),
        };
        let entries = trees.into_iter().flat_map(move |trees| {
            let entries = tree(&trees).iter();
            entries.map(move |item| {
                let _open = &trees;
                item.map_err(|error| self.failed(error))
            })
        });
        error.into_iter().map(Err).chain(entries)
    }

    /// Every sample, ordered by path bytes, with who has heard it.
    pub fn known(&self) -> impl Iterator<Item = Result<Known, StoreError>> + '_ {
        let key = self.ears_key.load(Ordering::Relaxed);
        self.all(|trees| &trees.samples).map(move |item| {
            let (path, value) = item?;
            let (entry, rest) = postcard::take_from_bytes(&value).map_err(|error| self.damaged(&error))?;
            let ears = rest.try_into().map_or(0, |ears| u64::from_le_bytes(ears) ^ key);
            Ok(Known { path: path.to_vec(), entry, ears })
        })
    }

    /// An analysis that should be there is not: from now on, in later processes too, it is looked up who has heard a
    /// sample, whatever is written beside it.
    ///
    /// # Errors
    /// Where the store can't be written.
    pub fn doubt_ears(&self) -> Result<(), StoreError> {
        let key = u64::from_le_bytes(new_key());
        self.trees()?.meta.insert(EARS_KEY, &key.to_be_bytes()).map_err(|error| self.failed(error))?;
        self.ears_key.store(key, Ordering::Relaxed);
        self.flush()
    }

    /// One sample.
    pub fn sample(&self, path: &[u8]) -> Result<Option<SampleEntry>, StoreError> {
        let value = self.trees()?.samples.get(path).map_err(|error| self.failed(error))?;
        value.map(|bytes| self.decode(&bytes)).transpose()
    }

    /// Writes a batch of what was heard: contents with the id of the model that heard them, and paths. Analyses go
    /// first, so that no sample ever points at one that is not there.
    pub fn record(
        &self,
        analyses: &[(ContentHash, &str, &Analysis)],
        samples: &[(&[u8], &SampleEntry)],
    ) -> Result<(), StoreError> {
        let samples: Vec<_> = samples.iter().map(|(path, entry)| (*path, *entry, 0)).collect();
        self.record_heard(analyses, &samples)
    }

    /// The same, with [`Known::ears`] of each path.
    pub fn record_heard(
        &self,
        analyses: &[(ContentHash, &str, &Analysis)],
        samples: &[(&[u8], &SampleEntry, u64)],
    ) -> Result<(), StoreError> {
        self.changing(|| {
            let mut batch = Batch::default();
            for (hash, model, analysis) in analyses {
                batch.insert(analysis_key(hash, model), self.encode(analysis)?);
            }
            // The same for both: a database that was opened anew in between does not have the first.
            let trees = self.trees()?;
            trees.analyses.apply_batch(batch).map_err(|error| self.failed(error))?;
            self.put_samples(&trees, samples)
        })
    }

    /// Writes beside samples who has heard them, which changes nothing of what is known.
    pub fn note_ears(&self, samples: &[(&[u8], &SampleEntry, u64)]) -> Result<(), StoreError> {
        self.put_samples(&*self.trees()?, samples)
    }

    fn put_samples(&self, trees: &Trees, samples: &[(&[u8], &SampleEntry, u64)]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let key = self.ears_key.load(Ordering::Relaxed);
        for (path, entry, ears) in samples {
            let mut value = self.encode(entry)?;
            // A version that knows nothing of it passes over what follows an entry.
            if *ears != 0 {
                value.extend_from_slice(&(ears ^ key).to_le_bytes());
            }
            batch.insert(*path, value);
        }
        trees.samples.apply_batch(batch).map_err(|error| self.failed(error))
    }

    /// Forgets paths: their content is known under another. What was heard in them stays.
    pub fn forget_paths<'a>(&self, paths: impl Iterator<Item = &'a [u8]>) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        paths.for_each(|path| batch.remove(path));
        self.changing(|| self.trees()?.samples.apply_batch(batch).map_err(|error| self.failed(error)))
    }

    // What people said.

    /// Every override.
    pub fn overrides(&self) -> impl Iterator<Item = Result<(ContentHash, Override), StoreError>> + '_ {
        self.all(|trees| &trees.overrides).map(|item| {
            let (key, value) = item?;
            let hash = hash_of_key(&key).ok_or_else(|| StoreError::Damaged {
                path: self.folder().to_owned(),
                reason: "an override's hash".to_owned(),
            })?;
            Ok((hash, self.decode(&value)?))
        })
    }

    /// Records what was said. When this returns it is on the disk. All of one call has one time.
    ///
    /// # Errors
    /// Where the journal can't be written: then nothing was recorded.
    pub fn set_overrides<W: Clone + Into<Word>>(
        &self,
        words: &[W],
    ) -> Result<Vec<(ContentHash, Option<Override>)>, StoreError> {
        let at = seconds_now();
        let words: Vec<Word> = words.iter().cloned().map(Into::into).collect();
        let entries: Vec<JournalEntry> = words.iter().map(|word| word.entry(at)).collect();
        let done = words.into_iter().map(|Word { hash, label, note, .. }| {
            let said = label.map(|label| Override { label, note, at });
            (hash, said)
        });
        let done: Vec<_> = done.collect();
        self.journalled(&entries, || {
            done.iter().try_for_each(|(hash, said)| self.put_override(hash, said.as_ref()))?;
            self.flush()
        })?;
        Ok(done)
    }

    /// What is said of a content.
    ///
    /// # Errors
    /// Where the store can't be read.
    pub fn override_of(&self, hash: &ContentHash) -> Result<Option<Override>, StoreError> {
        let said = self.trees()?.overrides.get(hash.key()).map_err(|error| self.failed(error))?;
        said.map(|bytes| self.decode(&bytes)).transpose()
    }

    pub(super) fn put_override(&self, hash: &ContentHash, said: Option<&Override>) -> Result<(), StoreError> {
        let result = match said {
            Some(said) => self.trees()?.overrides.insert(hash.key(), self.encode(said)?),
            None => self.trees()?.overrides.remove(hash.key()),
        };
        result.map(drop).map_err(|error| self.failed(error))
    }

    /// Puts the journal's last word on a content into the database, unless that knows as much; whether it did not.
    pub(super) fn restore_override(
        &self,
        hash: &ContentHash,
        label: Option<&str>,
        note: Option<&str>,
        at: f64,
    ) -> Result<bool, StoreError> {
        let known = self.override_of(hash)?;
        let said = label.map(|label| Override { label: label.to_owned(), note: note.map(str::to_owned), at });
        let newer = known.as_ref().is_some_and(|known| known.at > at + SAME_TIME);
        let words = |said: &Option<Override>| said.as_ref().map(|said| (said.label.clone(), said.note.clone()));
        if newer || words(&known) == words(&said) {
            return Ok(false);
        }
        self.put_override(hash, said.as_ref())?;
        Ok(true)
    }

    /// The rules in force and the draft that was refused.
    pub fn rules(&self) -> Result<RulesState, StoreError> {
        let text = |name: &str| -> Result<Option<String>, StoreError> {
            let value = self.trees()?.rules.get(name).map_err(|error| self.failed(error))?;
            Ok(value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        };
        Ok(RulesState { active: text("active")?, draft: text("draft")? })
    }

    /// Puts rules in force and drops the draft. When this returns they are on the disk.
    ///
    /// # Errors
    /// Where the journal can't be written: then nothing was recorded.
    pub fn accept_rules(&self, text: &str) -> Result<(), StoreError> {
        let at = seconds_now();
        self.journalled(&[JournalEntry { at, event: JournalEvent::Rules { text: text.to_owned() } }], || {
            self.put_rules(text, at)?;
            self.flush()
        })
    }

    fn put_rules(&self, text: &str, at: f64) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.insert("active", text);
        batch.insert("at", &at.to_be_bytes());
        batch.remove("draft");
        self.trees()?.rules.apply_batch(batch).map_err(|error| self.failed(error))
    }

    /// Puts the journal's last rules into the database, unless that has them or newer ones; whether it had not.
    pub(super) fn restore_rules(&self, text: &str, at: f64) -> Result<bool, StoreError> {
        let known_at = self.trees()?.rules.get("at").map_err(|error| self.failed(error))?;
        let known_at = known_at.and_then(|bytes| bytes.as_ref().try_into().ok().map(f64::from_be_bytes));
        if known_at.is_some_and(|known_at| known_at > at + SAME_TIME) || self.rules()?.active.as_deref() == Some(text) {
            return Ok(false);
        }
        self.put_rules(text, at)?;
        Ok(true)
    }

    /// The rules in force and since when, in seconds since 1970; 0 where that is not known.
    pub(super) fn active_rules(&self) -> Result<Option<(String, f64)>, StoreError> {
        let at = self.trees()?.rules.get("at").map_err(|error| self.failed(error))?;
        let at = at.and_then(|bytes| bytes.as_ref().try_into().ok().map(f64::from_be_bytes)).unwrap_or(0.0);
        Ok(self.rules()?.active.map(|text| (text, at)))
    }

    /// Appends to the journal alone.
    pub(super) fn write_journal(&self, entries: &[JournalEntry]) -> Result<(), StoreError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.append(entries).map_err(|source| StoreError::io(self.folder().join("journal.jsonl"), source))
    }

    /// Keeps the journal as `aside` and puts one in its place that has every line of it that can be read.
    pub(super) fn mend_journal(&self, aside: &Path) -> Result<(), StoreError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.folder().join("journal.jsonl");
        *journal = Journal::mend(&path, aside).map_err(|source| StoreError::io(path, source))?;
        Ok(())
    }

    /// Keeps a draft that was refused, so that nobody has to write it again.
    pub fn keep_draft(&self, text: &str) -> Result<(), StoreError> {
        self.trees()?.rules.insert("draft", text).map_err(|error| self.failed(error))?;
        self.flush()
    }

    /// Appends to the journal, then does `work` on the database. A database that fails then, on a full disk for one,
    /// is no reason to refuse what is on the disk already: it gets it from the journal when it is opened again, here or
    /// at the next start.
    pub(super) fn journalled(
        &self,
        entries: &[JournalEntry],
        work: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.append(entries).map_err(|source| StoreError::io(self.folder().join("journal.jsonl"), source))?;
        if let Err(error) = work() {
            log::error!(
                "{error}; what was said is in journal.jsonl and goes into the database when that is opened again"
            );
        }
        Ok(())
    }
}

fn hash_of_key(key: &[u8]) -> Option<ContentHash> {
    let (&algorithm, digest) = key.split_first()?;
    let algorithm = HashAlgorithm::ALL.into_iter().find(|known| *known as u8 == algorithm)?;
    ContentHash::from_digest(algorithm, digest)
}
