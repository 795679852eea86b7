//! A core on an archive and a store that go when the test ends, and what the archive should show.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::time::{Duration, SystemTime};

use drumfs::archive::{ArchiveRoot, ContentHash, HashAlgorithm};
use drumfs::audio::Attributes;
use drumfs::classify::labels::CANONICAL;
use drumfs::index::{Analysis, Status, Update, join};
use drumfs::mount::{Core, Found, FsError, Invalidate, OpenHow, Opened, Request, Unmounted};
use drumfs::rules::{Router, Rules, Vocabulary};
use drumfs::store::{Override, SampleEntry, Store};
use drumfs::view::{Catalogue, Ino, View, ViewInput, control_ino};

use crate::support::{Place, ensemble};

pub static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| {
    let labels = ensemble().labels();
    let canonical = labels.names().iter().zip(labels.canonical());
    let canonical = canonical.map(|(name, &index)| (name.as_str(), CANONICAL.get(index).copied().unwrap_or("misc")));
    Vocabulary::new(labels.names().iter().cloned(), canonical).unwrap()
});

/// To open for writing, emptied first.
pub const TRUNCATE: OpenHow = OpenHow { write: true, append: false, truncate: true };
/// To open for writing at the end.
pub const APPEND: OpenHow = OpenHow { write: true, append: true, truncate: false };
/// To open for reading.
pub const READ: OpenHow = OpenHow { write: false, append: false, truncate: false };

/// Takes note of the samples whose bytes the kernel must forget.
#[derive(Default)]
struct Told(Mutex<Vec<Ino>>);

impl Invalidate for Told {
    fn view_changed(&self, _: &View, _: &View) {}

    fn sample_changed(&self, ino: Ino) {
        self.0.lock().unwrap().push(ino);
    }
}

/// A core, and beside it all that it should know.
pub struct Bench {
    place: Place,
    running: Option<Unmounted>,
    store: Option<Arc<Store>>,
    told: Arc<Told>,
    /// What is known of each path.
    pub known: BTreeMap<Vec<u8>, (SampleEntry, Analysis)>,
    /// The rules in force.
    pub rules: String,
    /// What people said.
    pub said: HashMap<ContentHash, String>,
}

impl Bench {
    /// A core on an archive without samples, with the rules given.
    pub fn new(rules: &str) -> Self {
        let place = Place::new();
        let mut bench = Self {
            place,
            running: None,
            store: None,
            told: Arc::default(),
            known: BTreeMap::new(),
            rules: rules.to_owned(),
            said: HashMap::new(),
        };
        bench.restart();
        bench.save(rules).unwrap();
        bench
    }

    /// Ends the core and starts another on the same store.
    pub fn restart(&mut self) {
        self.running = None;
        self.store = None;
        let store = Arc::new(self.place.open().unwrap().store);
        let root = Arc::new(ArchiveRoot::new(&self.place.archive()).unwrap());
        self.store = Some(Arc::clone(&store));
        let kernel = Arc::clone(&self.told) as _;
        let running = Unmounted::start_with(root, store, Arc::clone(ensemble()), VOCABULARY.clone(), kernel);
        self.running = Some(running.unwrap());
    }

    /// The operations.
    pub fn core(&self) -> &Arc<Core> {
        self.running.as_ref().unwrap().core()
    }

    /// Of which samples the kernel was told since the last call that it must forget their bytes.
    pub fn told(&self) -> Vec<Ino> {
        self.settle();
        std::mem::take(&mut self.told.0.lock().unwrap())
    }

    /// What the indexer was asked for.
    pub fn requests(&self) -> Vec<Request> {
        self.running.as_ref().unwrap().requests()
    }

    /// The view of the moment.
    pub fn view(&self) -> Arc<View> {
        self.running.as_ref().unwrap().shared().view()
    }

    /// Where an original is.
    pub fn original(&self, path: &[u8]) -> PathBuf {
        self.place.archive().join(std::ffi::OsStr::from_bytes(path))
    }

    /// Writes an original.
    pub fn write_original(&self, path: &[u8], bytes: &[u8]) {
        let at = self.original(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, bytes).unwrap();
    }

    /// An original was heard: `label` is what the model is sure of.
    pub fn hear(&mut self, path: &[u8], label: usize) {
        self.know(path, label);
        self.hand_over(path);
        self.settle();
    }

    fn know(&mut self, path: &[u8], label: usize) {
        let bytes = fs::read(self.original(path)).unwrap();
        let metadata = fs::metadata(self.original(path)).unwrap();
        let hash = ContentHash::of(HashAlgorithm::Xxh3, &bytes);
        let entry = SampleEntry {
            size: metadata.len(),
            mtime_ns: metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
            hash: Some(hash),
            unreadable: None,
            missing: false,
        };
        let mut logits = vec![0.0; VOCABULARY.fine().len()];
        logits[label % VOCABULARY.fine().len()] = 20.0;
        let attributes = Attributes {
            duration_sec: bytes.len() as f64 / 1000.0,
            rms_dbfs: -20.0,
            centroid_hz: 1000.0,
            rolloff_hz: 3000.0,
            sample_rate: 44_100,
            channels: 1,
            codec: "pcm_s16le".into(),
        };
        // The same content sounds the same.
        let heard = self.known.values().find(|(entry, _)| entry.hash == Some(hash)).map(|(_, heard)| heard.clone());
        let analysis = heard.unwrap_or(Analysis {
            status: Status::Ok,
            error: None,
            attributes: Some(attributes),
            logits,
            embedding: None,
        });
        self.known.insert(path.to_vec(), (entry, analysis));
    }

    /// The same, and the path is forgotten before what was heard shows.
    pub fn hear_and_forget(&mut self, path: &[u8], label: usize) {
        self.know(path, label);
        self.hand_over(path);
        self.forget(path);
    }

    /// What was heard of the content that is there now comes only after `meanwhile`.
    pub fn hear_late(&mut self, path: &[u8], label: usize, meanwhile: impl FnOnce(&Self)) {
        self.know(path, label);
        meanwhile(self);
        self.hand_over(path);
        self.settle();
    }

    /// A path that was known is not there any more.
    pub fn miss(&mut self, path: &[u8]) {
        self.known.get_mut(path).unwrap().0.missing = true;
        self.hand_over(path);
        self.settle();
    }

    /// A path was forgotten: its content is known under another.
    pub fn forget(&mut self, path: &[u8]) {
        self.known.remove(path);
        self.store.as_ref().unwrap().forget_paths([path].into_iter()).unwrap();
        self.running.as_ref().unwrap().keeper().moved(&[path.to_vec()]);
        self.settle();
    }

    fn hand_over(&self, path: &[u8]) {
        let (entry, analysis) = self.known[path].clone();
        let hash = entry.hash.unwrap();
        self.store.as_ref().unwrap().record(&[(hash, ensemble().id(), &analysis)], &[(path, &entry)]).unwrap();
        let heard = (!entry.missing).then(|| Arc::new(analysis.into()));
        let update = Update { path: path.to_vec(), entry, heard };
        self.running.as_ref().unwrap().keeper().heard(&[update]);
    }

    /// Waits until everything that was handed over shows: changes are made one after another, and this is one.
    pub fn settle(&self) {
        self.append(b"{\"hash\": \"00000000000000000000000000000000\", \"label\": null}\n").unwrap();
    }

    /// The view as it should be, made anew.
    pub fn expected(&self) -> View {
        let samples = self
            .known
            .iter()
            .map(|(path, (entry, analysis))| Arc::new(join(path, entry, Some(&analysis.clone().into()), ensemble())));
        let said: HashMap<ContentHash, Override> = self
            .said
            .iter()
            .map(|(hash, label)| (*hash, Override { label: label.clone(), note: None, at: 0.0 }))
            .collect();
        let rules = Rules::parse(&self.rules, &VOCABULARY).unwrap();
        ViewInput {
            catalogue: Arc::new(Catalogue::new(samples.collect())),
            router: Arc::new(Router::new(&rules, &VOCABULARY)),
            labels: VOCABULARY.fine().to_vec().into(),
            overrides: &said,
            previous: None,
            now: SystemTime::now(),
            epoch: 1,
            rules_error: self.view().rules_error.clone(),
        }
        .build()
    }

    // File operations, as a program would do them.

    /// The inode number of a path of the view; none where nothing is there.
    pub fn find(&self, path: &str) -> Option<Ino> {
        path.split('/').try_fold(1, |parent, name| match self.core().lookup(parent, name.as_bytes()).unwrap() {
            Found::Node(attr) => Some(attr.ino),
            Found::Nothing => None,
        })
    }

    /// Opens a file.
    pub fn open(&self, ino: Ino, how: OpenHow) -> Result<Opened, FsError> {
        answered(|answer| self.core().open(ino, how, answer))
    }

    /// Writes at an offset.
    pub fn write(&self, handle: u64, offset: u64, data: &[u8]) -> Result<usize, FsError> {
        answered(|answer| self.core().write(0, handle, offset, data, answer))
    }

    /// Flushes, as close does.
    pub fn flush(&self, handle: u64) -> Result<(), FsError> {
        answered(|answer| self.core().flush(handle, answer))
    }

    /// Renames in `_control`.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), FsError> {
        self.rename_between((control_ino(), from), (control_ino(), to), false)
    }

    /// Renames anywhere.
    pub fn rename_between(&self, from: (Ino, &[u8]), to: (Ino, &[u8]), no_replace: bool) -> Result<(), FsError> {
        answered(|answer| self.core().rename(from, to, no_replace, answer))
    }

    /// Everything a file reads as, in pieces of a size.
    pub fn read_all(&self, ino: Ino, piece: usize) -> Result<Vec<u8>, FsError> {
        let opened = self.open(ino, READ)?;
        let mut bytes = Vec::new();
        loop {
            let more = self.core().read(ino, opened.handle, bytes.len() as u64, piece)?;
            bytes.extend_from_slice(&more);
            if more.is_empty() {
                break;
            }
        }
        self.core().release(opened.handle);
        Ok(bytes)
    }

    /// A control file by name.
    pub fn control(&self, name: &str) -> Ino {
        match self.core().lookup(control_ino(), name.as_bytes()).unwrap() {
            Found::Node(attr) => attr.ino,
            Found::Nothing => panic!("there is no {name}"),
        }
    }

    /// Saves rules.yml as `cp` does: truncate, write, close.
    pub fn save(&self, text: &str) -> Result<(), FsError> {
        self.save_in_pieces(text.as_bytes(), 1 << 17)
    }

    /// The same in pieces of a size; the first error ends it.
    pub fn save_in_pieces(&self, text: &[u8], piece: usize) -> Result<(), FsError> {
        let handle = self.open(self.control("rules.yml"), TRUNCATE)?.handle;
        // A shell flushes before it has written anything.
        self.flush(handle)?;
        let done = self.write_pieces(handle, text, piece).and_then(|()| self.flush(handle));
        self.core().release(handle);
        done
    }

    /// Writes in pieces of a size.
    pub fn write_pieces(&self, handle: u64, text: &[u8], piece: usize) -> Result<(), FsError> {
        let mut offset = 0;
        for part in text.chunks(piece.max(1)) {
            assert_eq!(self.write(handle, offset, part)?, part.len());
            offset += part.len() as u64;
        }
        Ok(())
    }

    /// Appends to overrides.jsonl.
    pub fn append(&self, text: &[u8]) -> Result<(), FsError> {
        self.append_in_pieces(text, 1 << 17)
    }

    /// The same in pieces of a size; the first error ends it.
    pub fn append_in_pieces(&self, text: &[u8], piece: usize) -> Result<(), FsError> {
        let handle = self.open(self.control("overrides.jsonl"), APPEND)?.handle;
        let done = self.write_pieces(handle, text, piece).and_then(|()| self.flush(handle));
        self.core().release(handle);
        done
    }

    /// What a folder's handle lists from a place on: name and inode number, as many as there is room for, and the
    /// place to go on from.
    pub fn list(&self, handle: u64, from: u64, room: usize) -> (Vec<(Vec<u8>, Ino)>, u64) {
        let (mut entries, mut at) = (Vec::new(), from);
        let done = self.core().readdir(handle, from, &mut |ino, next, _, name| {
            if entries.len() == room {
                return true;
            }
            entries.push((name.to_vec(), ino));
            at = next;
            false
        });
        done.unwrap();
        (entries, at)
    }
}

type Answer<T> = Box<dyn FnOnce(Result<T, FsError>) + Send>;

/// Waits for the answer of an operation.
fn answered<T: Send + 'static>(work: impl FnOnce(Answer<T>)) -> Result<T, FsError> {
    let (sender, receiver) = mpsc::channel();
    work(Box::new(move |answer| sender.send(answer).unwrap()));
    receiver.recv_timeout(Duration::from_secs(60)).expect("every operation is answered")
}

/// The errno of a result.
pub fn errno<T>(result: Result<T, FsError>) -> i32 {
    result.err().map_or(0, |error| error.errno())
}
