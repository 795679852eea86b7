//! Opening a store: one owner at a time, the schema it was written with, and what to do when it is damaged.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::journal::Journal;
use super::location::ARCHIVE;
use super::trees::{SAME_TIME, Store};
use super::{JournalEntry, JournalEvent, Override, StoreError};
use crate::archive::{ContentHash, HashAlgorithm};

/// The schema this program writes, and the newest it reads. A change of what the trees hold raises it. Since 2 an
/// analysis has an embedding. Since 3 a copy of the catalogue is vouched for, which an older program would not take back.
pub(super) const SCHEMA: u32 = 3;

/// The oldest schema whose analyses can be read.
const OLDEST_ANALYSES: u32 = 2;

/// The name of what is written on trial.
pub(super) const TRIAL: &str = "trial";

/// How much of the database is kept in memory, in bytes as they are on disk; there they take about three times as many.
/// A pass reads the samples once and in order, and what is heard is read by hash, where of a million no cache helps.
const CACHE: u64 = 2 << 20;

/// How long a store that is locked is waited for: sled lets go on a thread of its own, which a busy machine keeps waiting.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// How to open a store.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The store's folder; made where it is missing, for this user alone.
    pub folder: PathBuf,
    /// The archive it is for, absolute and without links.
    pub archive: PathBuf,
    /// Whether a damaged database is set aside and made anew from the journal.
    pub repair: bool,
    /// What the owner is doing, for the message another process gets: `mounted at /…`.
    pub purpose: String,
}

/// A store that was opened, and what had to be done for it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// What a person should be told, if anything.
    pub notice: Option<String>,
}

impl OpenOptions {
    /// Opens the store.
    ///
    /// # Errors
    /// As [`StoreError`] tells: in use, newer, damaged, another archive's, or the system failing.
    pub fn open(&self) -> Result<Opened, StoreError> {
        let at = |source| StoreError::io(&self.folder, source);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(at)?;
        let was_open = make_private(&self.folder, is_ours).map_err(at)?;
        // What a crash may have left.
        drop(fs::remove_file(self.folder.join(TRIAL)));
        let mut notice = None;
        let db = match self.open_db() {
            Ok(db) => db,
            Err(StoreError::Damaged { reason, .. }) if self.without_snapshots()? => {
                // sled makes its snapshot anew from the log; a damaged snapshot alone costs nothing.
                let db = self.open_db_or_repair(&mut notice)?;
                notice.get_or_insert(format!("the store's snapshot was damaged ({reason}) and was made anew"));
                db
            }
            Err(StoreError::Damaged { reason, .. }) if self.repair => {
                self.set_aside(&reason, &mut notice)?;
                self.open_db()?
            }
            Err(error) => return Err(error),
        };
        let journal_path = self.journal();
        let journal = Journal::open(&journal_path).map_err(|source| StoreError::io(&journal_path, source))?;
        let store = Store::new(db, self.clone(), journal)?;
        self.check_archive(&store)?;
        if store.schema()?.is_some_and(|found| found < OLDEST_ANALYSES) {
            // The schema is written at the end: a crash until then does this again.
            store.forget_analyses()?;
            notice.get_or_insert_with(|| {
                "the store is from an older drumfs: overrides and rules are kept, what was heard is heard again"
                    .to_owned()
            });
        }
        self.replay(&store, &mut notice)?;
        self.complete_journal(&store, &mut notice)?;
        store.mark_opened(&self.archive)?;
        self.name_archive().map_err(at)?;
        fs::write(self.folder.join("owner"), format!("process {}, {}", std::process::id(), self.purpose))
            .map_err(at)?;
        if was_open {
            let told = format!("others had rights to {}: it is yours alone now", self.folder.display());
            notice = Some(notice.map_or(told.clone(), |notice| format!("{notice}; {told}")));
        }
        Ok(Opened { store, notice })
    }

    /// Writes beside the database which archive this is for, unless it is there.
    fn name_archive(&self) -> io::Result<()> {
        let (path, archive) = (self.folder.join(ARCHIVE), self.archive.as_os_str().as_bytes());
        match fs::read(&path) {
            Ok(known) if known == archive => Ok(()),
            _ => fs::write(path, archive),
        }
    }

    fn open_db_or_repair(&self, notice: &mut Option<String>) -> Result<sled::Db, StoreError> {
        match self.open_db() {
            Err(StoreError::Damaged { reason, .. }) if self.repair => {
                self.set_aside(&reason, notice)?;
                self.open_db()
            }
            result => result,
        }
    }

    fn db_path(&self) -> PathBuf {
        self.folder.join("db")
    }

    pub(super) fn open_db(&self) -> Result<sled::Db, StoreError> {
        let config = sled::Config::new()
            .path(self.db_path())
            .mode(sled::Mode::HighThroughput)
            .cache_capacity(CACHE)
            .flush_every_ms(Some(500));
        // sled 0.34 panics on a truncated file.
        let mut opened = crate::catch_quietly(|| config.open());
        // An owner that is just ending lets go in a moment.
        let patience = Instant::now() + LOCK_PATIENCE;
        while is_locked(&opened) && Instant::now() < patience {
            std::thread::sleep(LOCK_PATIENCE / 100);
            opened = crate::catch_quietly(|| config.open());
        }
        let db = match opened {
            Ok(Ok(db)) => db,
            opened if is_locked(&opened) => {
                let owner = fs::read_to_string(self.folder.join("owner"))
                    .map_or_else(|_| "another drumfs".to_owned(), |owner| format!("another drumfs ({})", owner.trim()));
                return Err(StoreError::InUse { path: self.folder.clone(), owner });
            }
            Ok(Err(error)) => return Err(StoreError::sled(&self.folder, error)),
            Err(payload) => {
                let reason = crate::panic_message(payload.as_ref());
                return Err(StoreError::Damaged { path: self.folder.clone(), reason });
            }
        };
        let found = Store::schema_of(&db).map_err(|error| StoreError::sled(&self.folder, error))?;
        match found {
            Some(found) if found > SCHEMA => {
                Err(StoreError::Newer { path: self.folder.clone(), found, supported: SCHEMA })
            }
            _ => Ok(db),
        }
    }

    /// Moves sled's snapshots aside; whether there were any.
    fn without_snapshots(&self) -> Result<bool, StoreError> {
        let at = |source| StoreError::io(self.db_path(), source);
        let mut any = false;
        let entries = match fs::read_dir(self.db_path()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(at(error)),
        };
        for entry in entries {
            let entry = entry.map_err(at)?;
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("snap.") {
                let aside = self.folder.join(format!("damaged-{}", name.to_string_lossy()));
                fs::rename(entry.path(), aside).map_err(at)?;
                any = true;
            }
        }
        Ok(any)
    }

    /// Moves the database aside, under a name that is free.
    fn set_aside(&self, reason: &str, notice: &mut Option<String>) -> Result<(), StoreError> {
        let aside = self.free_name("damaged-db")?;
        fs::rename(self.db_path(), &aside).map_err(|source| StoreError::io(self.db_path(), source))?;
        *notice = Some(format!(
            "the damaged database ({reason}) was set aside as {}; overrides and rules come from journal.jsonl, and the \
             archive is listened to again",
            aside.display()
        ));
        Ok(())
    }

    fn check_archive(&self, store: &Store) -> Result<(), StoreError> {
        match store.archive()? {
            Some(found) if found != self.archive => {
                Err(StoreError::OtherArchive { path: self.folder.clone(), found, wanted: self.archive.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Puts back what the journal has and the database lacks: all of it in a new database, and the last words where a
    /// damaged one lost its end, which looks like one that was never written.
    pub(super) fn replay(&self, store: &Store, notice: &mut Option<String>) -> Result<(), StoreError> {
        let LastWords { overrides, rules, .. } = self.last_words()?;
        let journal = self.journal();
        let mut restored = 0u64;
        for (hash, (label, note, at)) in overrides {
            restored += u64::from(store.restore_override(&hash, label.as_deref(), note.as_deref(), at)?);
        }
        if let Some((text, at)) = rules {
            restored += u64::from(store.restore_rules(&text, at)?);
        }
        if restored == 0 {
            return Ok(());
        }
        store.flush()?;
        let mut told = Vec::from_iter(notice.take());
        if !store.is_new()? {
            told.push(format!("the database had lost {restored} overrides or rules; {} had them", journal.display()));
        }
        *notice = Some(told.join("; ")).filter(|told| !told.is_empty());
        Ok(())
    }

    fn journal(&self) -> PathBuf {
        self.folder.join("journal.jsonl")
    }

    fn last_words(&self) -> Result<LastWords, StoreError> {
        let (entries, bad) = Journal::read(&self.journal()).map_err(|source| StoreError::io(self.journal(), source))?;
        let mut words = LastWords { overrides: BTreeMap::new(), rules: None, bad };
        for JournalEntry { event, at } in entries {
            match event {
                JournalEvent::Override { hash, hash_algorithm, label, note, .. } => {
                    let Ok(algorithm) = hash_algorithm.parse::<HashAlgorithm>() else { continue };
                    let Ok(hash) = ContentHash::from_hex(algorithm, &hash) else { continue };
                    words.overrides.insert(hash, (label, note, at));
                }
                JournalEvent::Rules { text } => words.rules = Some((text, at)),
            }
        }
        Ok(words)
    }

    /// Writes into the journal what the database has and the journal lost, so that each of them is enough again. A
    /// journal with lines that can't be read is kept under another name, and one without them takes its place.
    fn complete_journal(&self, store: &Store, notice: &mut Option<String>) -> Result<(), StoreError> {
        let words = self.last_words()?;
        let mut lost = Vec::new();
        for item in store.overrides() {
            let (hash, Override { label, note, at }) = item?;
            if words.overrides.get(&hash).is_none_or(|(.., said)| said + SAME_TIME < at) {
                let (hash, hash_algorithm) = (hash.to_hex(), hash.algorithm().name().to_owned());
                let (label, by, undo) = (Some(label), None, false);
                let event = JournalEvent::Override { hash, hash_algorithm, label, note, by, undo };
                lost.push(JournalEntry { at, event });
            }
        }
        if let Some((text, at)) = store.active_rules()?
            && words.rules.is_none_or(|(_, said)| said + SAME_TIME < at)
        {
            lost.push(JournalEntry { at, event: JournalEvent::Rules { text } });
        }
        let mut told = Vec::from_iter(notice.take());
        if words.bad > 0 {
            let aside = self.free_name("damaged-journal")?;
            store.mend_journal(&aside)?;
            told.push(format!(
                "{} lines of {} could not be read and were passed over; they are kept in {}",
                words.bad,
                self.journal().display(),
                aside.display()
            ));
        }
        if !lost.is_empty() {
            store.write_journal(&lost)?;
            let path = self.journal();
            told.push(format!("{} had lost {} overrides or rules; the database had them", path.display(), lost.len()));
        }
        *notice = Some(told.join("; ")).filter(|told| !told.is_empty());
        Ok(())
    }

    /// A name in the folder that is free: `stem-1`, `stem-2` and so on.
    fn free_name(&self, stem: &str) -> Result<PathBuf, StoreError> {
        let taken = || StoreError::io(self.folder.join(stem), io::ErrorKind::AlreadyExists.into());
        (1..u32::MAX).map(|n| self.folder.join(format!("{stem}-{n}"))).find(|path| !path.exists()).ok_or_else(taken)
    }
}

/// The last word on each content, and the last rules, of a journal.
struct LastWords {
    /// Label, remark and time.
    overrides: BTreeMap<ContentHash, (Option<String>, Option<String>, f64)>,
    /// Text and time.
    rules: Option<(String, f64)>,
    /// How many lines could not be read.
    bad: usize,
}

/// What drumfs makes in a store's folder. Files of others that lie there are left as they are.
fn is_ours(name: &str) -> bool {
    matches!(name, "db" | "journal.jsonl" | "owner" | ARCHIVE | "drumfs.log")
        || name.starts_with("catalogue.bin")
        || name.starts_with("opened")
        || name.starts_with("learned.json")
        || name.starts_with("damaged-")
}

/// Takes the rights of others to a folder and to those of its files that are `ours` away. Whether anybody had any to
/// the folder itself. Links are passed over.
fn make_private(folder: &Path, ours: fn(&str) -> bool) -> io::Result<bool> {
    const OTHERS: u32 = 0o077;
    let before = fs::metadata(folder)?.permissions().mode();
    // First of all: nobody comes in any more.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !ours(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let done = entry.metadata().and_then(|metadata| {
            let mode = metadata.permissions().mode();
            if metadata.is_dir() {
                make_private(&entry.path(), |_| true).map(drop)
            } else if metadata.is_file() && mode & OTHERS != 0 {
                fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode & 0o700))
            } else {
                Ok(())
            }
        });
        match done {
            // An owner that is just ending removes files.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(before & OTHERS != 0)
}

/// Whether another process has the database. sled tells by the text alone.
fn is_locked<P>(opened: &Result<sled::Result<sled::Db>, P>) -> bool {
    matches!(opened, Ok(Err(sled::Error::Io(error))) if error.to_string().contains("could not acquire lock"))
}
