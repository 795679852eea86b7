//! The trees of the database and what each holds.

use std::hash::{BuildHasher, RandomState};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use super::journal::Journal;
use super::open::SCHEMA;
use super::{JournalEntry, JournalEvent, StoreError};
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

/// Says of a copy of the catalogue that it is of what the store holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; 16]);

impl Token {
    /// One that never was.
    pub fn new() -> Self {
        let mut token = [0; 16];
        token.as_chunks_mut::<8>().0.iter_mut().for_each(|half| *half = new_key());
        Self(token)
    }

    /// To be written down.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Default for Token {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether there is such a copy, and what is written meanwhile.
#[derive(Debug, Default)]
struct Vouched {
    token: Option<Token>,
    /// Raised before and after samples or analyses are written.
    changes: u64,
    /// How many are writing them now.
    writing: u32,
    /// Whether a write failed: nobody knows how much of it is there.
    unsure: bool,
}

/// An open store. One process has it at a time; every method may be called from any thread.
pub struct Store {
    db: sled::Db,
    meta: Tree,
    samples: Tree,
    analyses: Tree,
    overrides: Tree,
    rules: Tree,
    folder: PathBuf,
    journal: Mutex<Journal>,
    vouched: Mutex<Vouched>,
    /// Mixed into what is written beside samples of who has heard them: another number makes all of that mean nothing.
    ears_key: AtomicU64,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Where the word on a copy of the catalogue is kept.
const CATALOGUE: &str = "catalogue";

/// Where it is kept what the word on who has heard a sample is mixed with.
const EARS_KEY: &str = "ears";

/// Bytes that are never the same twice.
fn new_key() -> [u8; 8] {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    RandomState::new().hash_one((time, std::process::id())).to_le_bytes()
}

/// Times closer than this, in seconds, are the same: a number may change its last digit on its way through JSON.
const SAME_TIME: f64 = 1e-3;

fn seconds_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

impl Store {
    pub(super) fn new(db: sled::Db, folder: PathBuf, journal: Journal) -> Result<Self, StoreError> {
        let tree = |name: &str| db.open_tree(name).map_err(|error| StoreError::sled(&folder, error));
        let meta = tree("meta")?;
        let token = meta.get(CATALOGUE).map_err(|error| StoreError::sled(&folder, error))?;
        let token = token.and_then(|token| token[..].try_into().ok().map(Token));
        let ears_key = meta.get(EARS_KEY).map_err(|error| StoreError::sled(&folder, error))?;
        let ears_key = ears_key.and_then(|key| key[..].try_into().ok().map(u64::from_be_bytes)).unwrap_or(0);
        Ok(Self {
            meta,
            samples: tree("samples")?,
            analyses: tree("analyses")?,
            overrides: tree("overrides")?,
            rules: tree("rules")?,
            db,
            folder,
            journal: Mutex::new(journal),
            vouched: Mutex::new(Vouched { token, ..Vouched::default() }),
            ears_key: AtomicU64::new(ears_key),
        })
    }

    /// The store's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn failed(&self, error: sled::Error) -> StoreError {
        StoreError::sled(&self.folder, error)
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, StoreError> {
        postcard::from_bytes(bytes).map_err(|error| self.damaged(&error))
    }

    fn damaged(&self, error: &postcard::Error) -> StoreError {
        StoreError::Damaged { path: self.folder.clone(), reason: format!("a record: {error}") }
    }

    fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, StoreError> {
        postcard::to_stdvec(value)
            .map_err(|error| StoreError::io(&self.folder, std::io::Error::other(error.to_string())))
    }

    /// The schema a database was written with; none for a new one.
    pub(super) fn schema_of(db: &sled::Db) -> sled::Result<Option<u32>> {
        let value = db.open_tree("meta")?.get("schema")?;
        Ok(value.and_then(|bytes| bytes.as_ref().try_into().ok().map(u32::from_be_bytes)))
    }

    /// The schema this database was written with; none for a new one.
    pub(super) fn schema(&self) -> Result<Option<u32>, StoreError> {
        Self::schema_of(&self.db).map_err(|error| self.failed(error))
    }

    /// Forgets what was heard, of which an older schema tells too little: it is heard again.
    pub(super) fn forget_analyses(&self) -> Result<(), StoreError> {
        self.doubt_ears()?;
        self.changing(|| self.analyses.clear().map_err(|error| self.failed(error)))?;
        self.flush()
    }

    pub(super) fn is_new(&self) -> Result<bool, StoreError> {
        self.schema().map(|schema| schema.is_none())
    }

    pub(super) fn archive(&self) -> Result<Option<PathBuf>, StoreError> {
        let value = self.meta.get("archive").map_err(|error| self.failed(error))?;
        Ok(value.map(|bytes| path_from_bytes(bytes.to_vec())))
    }

    pub(super) fn mark_opened(&self, archive: &Path) -> Result<(), StoreError> {
        self.meta.insert("schema", &SCHEMA.to_be_bytes()).map_err(|error| self.failed(error))?;
        self.meta.insert("archive", archive.as_os_str().as_bytes()).map_err(|error| self.failed(error))?;
        self.flush()
    }

    /// Writes everything to the disk.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map(drop).map_err(|error| self.failed(error))
    }

    // Samples and analyses.

    /// Every sample, ordered by path bytes.
    pub fn samples(&self) -> impl Iterator<Item = Result<(Vec<u8>, SampleEntry), StoreError>> + '_ {
        self.samples.iter().map(|item| {
            let (path, value) = item.map_err(|error| self.failed(error))?;
            Ok((path.to_vec(), self.decode(&value)?))
        })
    }

    /// Every sample, ordered by path bytes, with who has heard it.
    pub fn known(&self) -> impl Iterator<Item = Result<Known, StoreError>> + '_ {
        let key = self.ears_key.load(Ordering::Relaxed);
        self.samples.iter().map(move |item| {
            let (path, value) = item.map_err(|error| self.failed(error))?;
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
        self.meta.insert(EARS_KEY, &key.to_be_bytes()).map_err(|error| self.failed(error))?;
        self.ears_key.store(key, Ordering::Relaxed);
        Ok(())
    }

    /// One sample.
    pub fn sample(&self, path: &[u8]) -> Result<Option<SampleEntry>, StoreError> {
        let value = self.samples.get(path).map_err(|error| self.failed(error))?;
        value.map(|bytes| self.decode(&bytes)).transpose()
    }

    /// What `model` heard in a content.
    pub fn analysis(&self, hash: &ContentHash, model: &str) -> Result<Option<Analysis>, StoreError> {
        let value = self.analyses.get(analysis_key(hash, model)).map_err(|error| self.failed(error))?;
        value.map(|bytes| self.decode(&bytes)).transpose()
    }

    /// Whether `model` has heard a content.
    pub fn has_analysis(&self, hash: &ContentHash, model: &str) -> Result<bool, StoreError> {
        self.analyses.contains_key(analysis_key(hash, model)).map_err(|error| self.failed(error))
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
            self.analyses.apply_batch(batch).map_err(|error| self.failed(error))?;
            self.put_samples(samples)
        })
    }

    /// Writes beside samples who has heard them, which changes nothing of what is known.
    pub fn note_ears(&self, samples: &[(&[u8], &SampleEntry, u64)]) -> Result<(), StoreError> {
        self.put_samples(samples)
    }

    fn put_samples(&self, samples: &[(&[u8], &SampleEntry, u64)]) -> Result<(), StoreError> {
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
        self.samples.apply_batch(batch).map_err(|error| self.failed(error))
    }

    /// Forgets paths: their content is known under another. What was heard in them stays.
    pub fn forget_paths<'a>(&self, paths: impl Iterator<Item = &'a [u8]>) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        paths.for_each(|path| batch.remove(path));
        self.changing(|| self.samples.apply_batch(batch).map_err(|error| self.failed(error)))
    }

    // The copy of the catalogue.

    fn vouched(&self) -> MutexGuard<'_, Vouched> {
        self.vouched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work`, which writes samples or analyses. Before anything of it can be on the disk, the word on a copy of
    /// the catalogue is taken back there: whatever is lost in a crash, no old copy is taken for a new one.
    fn changing<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        {
            let mut vouched = self.vouched();
            vouched.changes += 1;
            if vouched.token.is_some() {
                self.meta.remove(CATALOGUE).map_err(|error| self.failed(error))?;
                self.flush()?;
                vouched.token = None;
            }
            vouched.writing += 1;
        }
        let done = work();
        let mut vouched = self.vouched();
        vouched.changes += 1;
        vouched.writing -= 1;
        vouched.unsure |= done.is_err();
        done
    }

    /// What a copy of the catalogue must carry to be one of what the store holds now; none where there is no such copy.
    pub fn token(&self) -> Option<Token> {
        self.vouched().token
    }

    /// A number that is another whenever samples or analyses were written in between.
    pub fn changes(&self) -> u64 {
        self.vouched().changes
    }

    /// Says that a copy of the catalogue that carries `token`, and is on the disk, is of what the store holds, if
    /// nothing was written since [`Store::changes`] was `changes`, and no write failed; whether it now is vouched for.
    ///
    /// # Errors
    /// Where the store can't be written; no copy is vouched for then.
    pub fn vouch(&self, token: Token, changes: u64) -> Result<bool, StoreError> {
        let mut vouched = self.vouched();
        if vouched.writing > 0 || vouched.unsure || vouched.changes != changes {
            return Ok(false);
        }
        self.meta.insert(CATALOGUE, &token.0).map_err(|error| self.failed(error))?;
        // Whatever happens now, it may be there and has to be taken back.
        vouched.token = Some(token);
        self.flush()?;
        Ok(true)
    }

    // What people said.

    /// Every override.
    pub fn overrides(&self) -> impl Iterator<Item = Result<(ContentHash, Override), StoreError>> + '_ {
        self.overrides.iter().map(|item| {
            let (key, value) = item.map_err(|error| self.failed(error))?;
            let hash = hash_of_key(&key).ok_or_else(|| StoreError::Damaged {
                path: self.folder.clone(),
                reason: "an override's hash".to_owned(),
            })?;
            Ok((hash, self.decode(&value)?))
        })
    }

    /// Records overrides (none as the label takes one back). When this returns they are on the disk.
    ///
    /// # Errors
    /// Where the journal can't be written: then nothing was recorded.
    pub fn set_overrides(
        &self,
        changes: &[(ContentHash, Option<String>, Option<String>)],
    ) -> Result<Vec<(ContentHash, Option<Override>)>, StoreError> {
        let at = seconds_now();
        let entries: Vec<JournalEntry> = changes
            .iter()
            .map(|(hash, label, note)| JournalEntry {
                at,
                event: JournalEvent::Override {
                    hash: hash.to_hex(),
                    hash_algorithm: hash.algorithm().name().to_owned(),
                    label: label.clone(),
                    note: note.clone(),
                },
            })
            .collect();
        let done = changes
            .iter()
            .map(|(hash, label, note)| (*hash, label.clone().map(|label| Override { label, note: note.clone(), at })));
        let done: Vec<_> = done.collect();
        self.journalled(&entries, || {
            done.iter().try_for_each(|(hash, said)| self.put_override(hash, said.as_ref()))?;
            self.flush()
        })?;
        Ok(done)
    }

    fn put_override(&self, hash: &ContentHash, said: Option<&Override>) -> Result<(), StoreError> {
        let result = match said {
            Some(said) => self.overrides.insert(hash.key(), self.encode(said)?),
            None => self.overrides.remove(hash.key()),
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
        let known = self.overrides.get(hash.key()).map_err(|error| self.failed(error))?;
        let known: Option<Override> = known.map(|bytes| self.decode(&bytes)).transpose()?;
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
            let value = self.rules.get(name).map_err(|error| self.failed(error))?;
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
        self.rules.apply_batch(batch).map_err(|error| self.failed(error))
    }

    /// Puts the journal's last rules into the database, unless that has them or newer ones; whether it had not.
    pub(super) fn restore_rules(&self, text: &str, at: f64) -> Result<bool, StoreError> {
        let known_at = self.rules.get("at").map_err(|error| self.failed(error))?;
        let known_at = known_at.and_then(|bytes| bytes.as_ref().try_into().ok().map(f64::from_be_bytes));
        if known_at.is_some_and(|known_at| known_at > at + SAME_TIME) || self.rules()?.active.as_deref() == Some(text) {
            return Ok(false);
        }
        self.put_rules(text, at)?;
        Ok(true)
    }

    /// Keeps a draft that was refused, so that nobody has to write it again.
    pub fn keep_draft(&self, text: &str) -> Result<(), StoreError> {
        self.rules.insert("draft", text).map_err(|error| self.failed(error))?;
        self.flush()
    }

    /// Appends to the journal, then does `work` on the database. A database that fails then, on a full disk for one,
    /// is no reason to refuse what is on the disk already: it gets it from the journal when it is opened again. sled
    /// goes on failing until then, also where there is room again.
    fn journalled(
        &self,
        entries: &[JournalEntry],
        work: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.append(entries).map_err(|source| StoreError::io(self.folder.join("journal.jsonl"), source))?;
        if let Err(error) = work() {
            log::error!("{error}; what was said is in journal.jsonl and goes into the database at the next start");
        }
        Ok(())
    }
}

fn analysis_key(hash: &ContentHash, model: &str) -> Vec<u8> {
    let mut key = hash.key();
    key.extend_from_slice(model.as_bytes());
    key
}

fn hash_of_key(key: &[u8]) -> Option<ContentHash> {
    let (&algorithm, digest) = key.split_first()?;
    let algorithm = HashAlgorithm::ALL.into_iter().find(|known| *known as u8 == algorithm)?;
    ContentHash::from_digest(algorithm, digest)
}
