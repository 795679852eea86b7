//! Paths of the class folders that programs opened: they go on opening when the sample is shown elsewhere.
//!
//! Of a path two numbers are kept: a hash of the folder's inode number and the name, and the sample's number. Both are
//! made from paths alone (`view/ino.rs`), so they mean the same after a remount. A folder that is on the way is kept by its
//! number and that of the folder above. What is new is added to `opened.bin` every second, by a thread of its own: who
//! opens waits for nothing.
//!
//! They are kept in two halves. Where the newer one is full it becomes the older one, and what was in that is
//! forgotten: so the last million of paths is always known, however often a program opens everything.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::view::{DirId, Ino, Node, View, ino};

/// So many paths are in each half: 16 bytes each.
const HALF: usize = 1_000_000;

/// How long what is new stays unwritten.
const WRITTEN_AFTER: Duration = Duration::from_secs(1);

/// What a file begins with: as long as an entry.
const HEADER: &[u8; ENTRY] = b"drumfs opened 1\n";
const ENTRY: usize = 16;

/// The two halves, in the store's folder.
const NEWER: &str = "opened.bin";
const OLDER: &str = "opened-before.bin";

/// A path that is not kept any longer.
const FORGOTTEN: Ino = 0;

/// Two numbers: a path and its sample, or, in the same form, the folder above and a folder.
type Entry = (u64, Ino);

/// What is known of the paths that were opened.
#[derive(Debug)]
pub struct OpenedPaths {
    paths: RwLock<Paths>,
    /// Samples of a view whose present paths are known, so that opening them again costs nothing.
    noted: ArcSwap<Noted>,
    /// The folder in which it is written; none where it is not. Held while it is.
    folder: Option<Mutex<PathBuf>>,
}

#[derive(Debug, Default)]
struct Noted {
    epoch: u64,
    samples: Box<[AtomicU64]>,
}

#[derive(Debug, Default)]
struct Paths {
    newer: Half,
    older: Half,
    /// The folder above each folder that is on the way to something.
    folders: HashMap<Ino, Ino>,
    /// What is not written yet.
    unwritten: Vec<Entry>,
    /// Where the newer half became the older one since it was last written: what was not written of that.
    turned: Option<Vec<Entry>>,
    /// So many paths are in each half.
    room: usize,
}

/// Many numbers by number: ordered, and what came since.
#[derive(Debug, Default)]
struct Half {
    ordered: Vec<Entry>,
    fresh: HashMap<u64, Ino>,
}

impl Half {
    fn get(&self, key: u64) -> Option<Ino> {
        let ordered = || {
            let place = self.ordered.binary_search_by_key(&key, |entry| entry.0).ok()?;
            self.ordered.get(place).map(|entry| entry.1)
        };
        self.fresh.get(&key).copied().or_else(ordered)
    }

    fn put(&mut self, key: u64, what: Ino) {
        self.fresh.insert(key, what);
        // A quarter more at a time: each entry is moved a few times in all.
        if self.fresh.len() > 4096 + self.ordered.len() / 4 {
            self.ordered.retain(|entry| !self.fresh.contains_key(&entry.0));
            self.ordered.reserve_exact(self.fresh.len());
            self.ordered.extend(std::mem::take(&mut self.fresh));
            self.ordered.sort_unstable();
        }
    }

    fn len(&self) -> usize {
        self.ordered.len() + self.fresh.len()
    }
}

fn key(folder: Ino, name: &[u8]) -> u64 {
    xxh3_64_with_seed(name, folder)
}

impl Paths {
    fn get(&self, key: u64) -> Option<Ino> {
        self.newer.get(key).or_else(|| self.older.get(key)).filter(|what| *what != FORGOTTEN)
    }

    /// Keeps an entry in the newer half; whether it was not there.
    fn put(&mut self, entry: Entry) -> bool {
        let (key, what) = entry;
        if what != FORGOTTEN && !ino::is_sample(what) {
            return self.folders.insert(what, key) != Some(key);
        }
        if self.newer.get(key) == Some(what) {
            return false;
        }
        self.newer.put(key, what);
        true
    }

    /// Keeps an entry, and has it written.
    fn note(&mut self, entry: Entry) {
        if self.newer.len() >= self.room {
            self.older = std::mem::take(&mut self.newer);
            // The folders are written with what comes next: the file that has them goes some time.
            let folders = self.folders.iter().map(|(folder, above)| (*above, *folder)).collect();
            let rest = std::mem::replace(&mut self.unwritten, folders);
            self.turned.get_or_insert_default().extend(rest);
        }
        if self.put(entry) {
            self.unwritten.push(entry);
        }
    }
}

impl OpenedPaths {
    /// Nothing was opened, and nothing is written.
    pub fn in_memory() -> Self {
        Self::with(Paths { room: HALF, ..Paths::default() }, None)
    }

    /// What was opened in earlier mounts, as it stands in the store's folder. Where that can't be read, nothing was.
    pub fn load(folder: &Path) -> Self {
        Self::load_halves_of(folder, HALF)
    }

    fn load_halves_of(folder: &Path, room: usize) -> Self {
        let mut paths = Paths { room, ..Paths::default() };
        read(&folder.join(OLDER)).for_each(|entry| _ = paths.put(entry));
        paths.older = std::mem::take(&mut paths.newer);
        read(&folder.join(NEWER)).for_each(|entry| _ = paths.put(entry));
        Self::with(paths, Some(folder))
    }

    fn with(paths: Paths, folder: Option<&Path>) -> Self {
        let folder = folder.map(|folder| Mutex::new(folder.to_owned()));
        Self { paths: RwLock::new(paths), noted: ArcSwap::default(), folder }
    }

    /// A sample was opened where a view shows it.
    pub fn note(&self, view: &View, sample: u32) {
        let noted = self.noted.load();
        let noted = if noted.epoch == view.epoch && !noted.samples.is_empty() {
            noted
        } else {
            let words = view.catalogue().samples().len().div_ceil(64);
            let samples = std::iter::repeat_with(AtomicU64::default).take(words).collect();
            self.noted.store(Arc::new(Noted { epoch: view.epoch, samples }));
            self.noted.load()
        };
        let (word, bit) = (sample as usize / 64, 1u64 << (sample % 64));
        let known = noted.samples.get(word).map(|word| word.fetch_or(bit, Ordering::Relaxed) & bit);
        if noted.epoch == view.epoch && known.is_some_and(|known| known != 0) {
            return;
        }
        let Some((dir, name)) = view.place_of(sample) else { return };
        let first = (key(view.ino(Node::Dir(dir)), &name), view.ino(Node::Sample(sample)));
        if self.paths.read().unwrap_or_else(PoisonError::into_inner).newer.get(first.0) == Some(first.1) {
            return;
        }
        let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        let mut dir = dir;
        while dir != DirId::ROOT {
            let (folder, above) = (view.ino(Node::Dir(dir)), view.parent(dir));
            if paths.folders.contains_key(&folder) {
                break;
            }
            paths.note((view.ino(Node::Dir(above)), folder));
            dir = above;
        }
        paths.note(first);
    }

    /// The sample that was opened at a name of a folder, by its number.
    pub fn find(&self, folder: Ino, name: &[u8]) -> Option<Ino> {
        self.paths.read().unwrap_or_else(PoisonError::into_inner).get(key(folder, name))
    }

    /// The folder above one in or below which something was opened.
    pub fn above(&self, folder: Ino) -> Option<Ino> {
        self.paths.read().unwrap_or_else(PoisonError::into_inner).folders.get(&folder).copied()
    }

    /// A name of a folder is not kept any longer: somebody gave its file another.
    pub fn forget(&self, folder: Ino, name: &[u8]) {
        let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        if paths.get(key(folder, name)).is_some() {
            paths.note((key(folder, name), FORGOTTEN));
        }
    }

    /// Writes what is new.
    ///
    /// # Errors
    /// What the system says; what is not written then is written with what comes next.
    pub fn write(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let folder = folder.lock().unwrap_or_else(PoisonError::into_inner);
        let (newer, older) = (folder.join(NEWER), folder.join(OLDER));
        let (mut entries, mut turned) = {
            let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut paths.unwritten), paths.turned.take())
        };
        let done = write_turn(&newer, &older, &mut turned).and_then(|()| append(&newer, &mut entries));
        if done.is_err() {
            let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(later) = &mut paths.turned {
                // It turned once more meanwhile.
                *later = [turned.unwrap_or_default(), entries, std::mem::take(later)].concat();
            } else {
                paths.turned = turned;
                entries.append(&mut paths.unwritten);
                paths.unwritten = entries;
            }
        }
        done
    }
}

/// Where the newer half became the older one, writes what is left of it and gives its file the other name. What was done
/// is taken out of `turned`.
fn write_turn(newer: &Path, older: &Path, turned: &mut Option<Vec<Entry>>) -> io::Result<()> {
    let Some(rest) = turned else { return Ok(()) };
    append(newer, rest)?;
    match fs::rename(newer, older) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => {
            *turned = None;
            Ok(())
        }
    }
}

/// The entries of a file, the first one first. None where it can't be read, or is something else.
fn read(file: &Path) -> impl Iterator<Item = Entry> {
    let mut bytes = fs::read(file).unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            log::warn!("{}: {error}: paths that were opened before are not known", file.display());
        }
        Vec::new()
    });
    if !bytes.starts_with(HEADER) {
        bytes.clear();
    }
    let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).unwrap_or_default();
    let entries = bytes.as_chunks::<ENTRY>().0.iter().skip(1).map(|entry| (number(&entry[..8]), number(&entry[8..])));
    entries.collect::<Vec<_>>().into_iter()
}

/// Adds entries to a file. One that does not begin as it should is written anew, and an entry that was cut off at its
/// end is taken away, so that it does not shift those that follow.
/// They are taken out of `entries` when that is done.
fn append(path: &Path, entries: &mut Vec<Entry>) -> io::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let mut start = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(&file, ENTRY as u64), &mut start)?;
    let mut bytes = Vec::new();
    if start == HEADER {
        let len = file.metadata()?.len();
        file.set_len(len - len % ENTRY as u64)?;
    } else {
        file.set_len(0)?;
        bytes.extend(HEADER);
    }
    bytes.extend(entries.iter().flat_map(|(key, what)| [key.to_le_bytes(), what.to_le_bytes()]).flatten());
    file.write_all(&bytes)?;
    entries.clear();
    Ok(())
}

/// Writes what is new every second, and once more when dropped.
#[derive(Debug)]
pub struct Writing {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Writing {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where none can be started.
    pub fn start(opened: Arc<OpenedPaths>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let work = move || {
            let mut failed = false;
            loop {
                let goes_on = stopped.recv_timeout(WRITTEN_AFTER) == Err(mpsc::RecvTimeoutError::Timeout);
                match opened.write() {
                    Ok(()) => failed = false,
                    Err(error) if !std::mem::replace(&mut failed, true) => {
                        log::warn!("which paths were opened could not be written: {error}");
                    }
                    Err(_) => {}
                }
                if !goes_on {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("opened".to_owned()).spawn(work)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample's number.
    fn sample(n: u64) -> Ino {
        ino::of_sample(&n.to_le_bytes(), 0)
    }

    fn note(opened: &OpenedPaths, entry: Entry) {
        opened.paths.write().unwrap().note(entry);
    }

    #[test]
    fn what_was_written_is_known_again_also_where_the_end_was_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(NEWER);
        let opened = OpenedPaths::load(dir.path());
        let kick = ino::of_folder(ino::ROOT, b"Kick");
        note(&opened, (ino::ROOT, kick));
        note(&opened, (key(kick, b"a.wav"), sample(1)));
        opened.write().unwrap();
        note(&opened, (key(kick, b"b.wav"), sample(2)));
        opened.write().unwrap();
        let text = fs::read(&file).unwrap();
        assert_eq!(text.len(), 4 * ENTRY);
        fs::write(&file, &text[..text.len() - 3]).unwrap();
        let again = OpenedPaths::load(dir.path());
        assert_eq!((again.find(kick, b"a.wav"), again.find(kick, b"b.wav")), (Some(sample(1)), None));
        assert_eq!((again.above(kick), again.above(5)), (Some(ino::ROOT), None));
        note(&again, (key(kick, b"c.wav"), sample(3)));
        again.write().unwrap();
        let third = OpenedPaths::load(dir.path());
        assert_eq!((third.find(kick, b"a.wav"), third.find(kick, b"c.wav")), (Some(sample(1)), Some(sample(3))));
        third.forget(kick, b"a.wav");
        third.forget(kick, b"never.wav");
        third.write().unwrap();
        let fourth = OpenedPaths::load(dir.path());
        assert_eq!((fourth.find(kick, b"a.wav"), fourth.find(kick, b"c.wav")), (None, Some(sample(3))));
        fs::write(&file, "something else that is longer than an entry").unwrap();
        let other = OpenedPaths::load(dir.path());
        assert_eq!(other.find(kick, b"c.wav"), None);
        note(&other, (key(kick, b"d.wav"), sample(4)));
        other.write().unwrap();
        assert_eq!(OpenedPaths::load(dir.path()).find(kick, b"d.wav"), Some(sample(4)));
    }

    #[test]
    fn of_too_many_those_that_were_opened_last_are_kept_with_all_folders() {
        let dir = tempfile::tempdir().unwrap();
        let room = 20_000;
        let opened = OpenedPaths::load_halves_of(dir.path(), room);
        note(&opened, (ino::ROOT, ino::of_folder(ino::ROOT, b"Kick")));
        for n in 1..=5 * room as u64 {
            note(&opened, (n, sample(n)));
            if n % 7919 == 0 {
                opened.write().unwrap();
            }
        }
        opened.write().unwrap();
        let again = OpenedPaths::load_halves_of(dir.path(), room);
        for opened in [&opened, &again] {
            let paths = opened.paths.read().unwrap();
            assert!(paths.newer.len() <= room && paths.older.len() <= room);
            // One half whole, and the one before.
            for n in 3 * room as u64 + 1..=5 * room as u64 {
                assert_eq!(paths.get(n), Some(sample(n)), "{n}");
            }
            assert_eq!(paths.get(3 * room as u64), None);
            assert_eq!(paths.folders.len(), 1);
        }
        for file in [NEWER, OLDER] {
            assert!(fs::metadata(dir.path().join(file)).unwrap().len() <= ((room + 2) * ENTRY) as u64);
        }
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("store");
        let opened = OpenedPaths::load(&gone);
        note(&opened, (1, sample(1)));
        assert!(opened.write().is_err());
        note(&opened, (2, sample(2)));
        fs::create_dir(&gone).unwrap();
        opened.write().unwrap();
        let again = OpenedPaths::load(&gone);
        let paths = again.paths.read().unwrap();
        assert_eq!((paths.get(1), paths.get(2)), (Some(sample(1)), Some(sample(2))));
    }
}
