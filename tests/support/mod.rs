//! What several test binaries share: sounds, archives, the program, and what it left in its store.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use drumfs::archive::{ContentHash, HashAlgorithm};
use drumfs::classify::Ensemble;
use drumfs::index::Analysis;
use drumfs::store::{OpenOptions, Opened, SampleEntry, StoreError};

/// The archive of real sounds.
pub fn archive() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive")
}

/// The rows of a listing beside the archive, each by column name.
pub fn listing(name: &str) -> Vec<BTreeMap<String, String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

/// A mono 16-bit WAV file of a decaying tone, 8 kHz, an eighth of a second: other bytes for every seed.
pub fn wav(seed: u32) -> Vec<u8> {
    wav_of(seed, 1000, 8000)
}

/// The same with a length in samples and a rate in Hz.
pub fn wav_of(seed: u32, len: u32, rate: u32) -> Vec<u8> {
    let pitch = 50.0 + f64::from(seed % 97) * 20.0;
    let mut data = Vec::with_capacity(len as usize * 2);
    for n in 0..len {
        let t = f64::from(n) / f64::from(rate);
        let x = 0.7 * (-t / 0.08).exp() * (std::f64::consts::TAU * pitch * t).sin();
        data.extend(((x * 32767.0) as i16).to_le_bytes());
    }
    // The seed itself is in the first samples, so that no two files are the same.
    data[..4].copy_from_slice(&(seed & 0x0FFF_0FFF).to_le_bytes());
    let mut file = header(data.len() as u32, rate);
    file.extend(data);
    file
}

/// The header of a mono 16-bit WAV file whose data has `len` bytes.
pub fn header(len: u32, rate: u32) -> Vec<u8> {
    let mut file = b"RIFF".to_vec();
    file.extend((36 + len).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(rate.to_le_bytes());
    file.extend((rate * 2).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(len.to_le_bytes());
    file
}

/// A folder that goes when the test ends, with `archive/` in it and room for a store.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    /// An archive without samples.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("archive")).unwrap();
        Self { dir }
    }

    /// An archive of `count` different sounds in three folders.
    pub fn with_sounds(count: u32) -> Self {
        let place = Self::new();
        (0..count).for_each(|seed| drop(place.put(&format!("pack {}/{seed:05}.wav", seed % 3), &wav(seed))));
        place
    }

    /// A copy of the archive of real sounds.
    pub fn with_real_sounds() -> Self {
        let place = Self::new();
        copy_tree(&archive(), &place.archive());
        place
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The archive.
    pub fn archive(&self) -> PathBuf {
        self.dir.path().join("archive")
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Puts a file into the archive.
    pub fn put(&self, relative: &str, bytes: &[u8]) -> PathBuf {
        let path = self.archive().join(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// `drumfs index` of the archive, with further arguments.
    pub fn index(&self, more: &[&str]) -> Indexed {
        Indexed::of(&index_command(&self.archive(), &self.store(), more).output().unwrap())
    }

    /// What the store knows.
    pub fn known(&self) -> Known {
        Known::read(&self.archive(), &self.store())
    }

    /// Opens the store in this process. sled lets go of its lock a moment after it was dropped, on a thread of its own,
    /// so that a store that was closed in this same process is waited for.
    pub fn open(&self) -> Result<Opened, StoreError> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match self.options(false).open() {
                Err(StoreError::InUse { .. }) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                result => return result,
            }
        }
    }

    /// Opens the database under the store, past drumfs: it is waited for as the store is.
    pub fn database(&self) -> sled::Db {
        wait_for("the database's lock", || match sled::Config::new().path(self.store().join("db")).open() {
            Err(sled::Error::Io(error)) if error.to_string().contains("acquire lock") => None,
            result => Some(result.unwrap()),
        })
    }

    /// How the store is opened.
    pub fn options(&self, repair: bool) -> OpenOptions {
        OpenOptions {
            folder: self.store(),
            archive: self.archive().canonicalize().unwrap(),
            repair,
            purpose: "a test".to_owned(),
        }
    }
}

/// Copies a folder with all that is in it, times included.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
            set_mtime(&target, entry.metadata().unwrap().modified().unwrap());
        }
    }
}

/// Sets a file's time of last modification.
pub fn set_mtime(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// Replaces a file's content and keeps size and time: only one who opens it can tell.
pub fn replace_unseen(path: &Path) {
    let before = fs::metadata(path).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
    fs::write(path, bytes).unwrap();
    set_mtime(path, before.modified().unwrap());
}

/// The program, away from the settings of whoever runs the tests.
pub fn drumfs() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drumfs"));
    command
        .env_remove("RUST_LOG")
        .env_remove("XDG_STATE_HOME")
        .env_remove("XDG_DATA_HOME")
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null());
    command
}

/// `drumfs index ARCHIVE --store STORE --json`.
pub fn index_command(archive: &Path, store: &Path, more: &[&str]) -> Command {
    let mut command = drumfs();
    command.arg("index").arg(archive).arg("--store").arg(store).arg("--json").args(more);
    command
}

/// How a run of `drumfs index` ended.
#[derive(Debug)]
pub struct Indexed {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// The summary; null where there is none.
    pub json: serde_json::Value,
    /// What it said.
    pub stderr: String,
}

impl Indexed {
    /// Of what a process printed.
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            json: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// A count of the summary.
    pub fn count(&self, key: &str) -> u64 {
        self.json[key].as_u64().unwrap_or_else(|| panic!("no count `{key}` in {self:?}"))
    }

    /// Found, unchanged, heard, duplicates, gone.
    pub fn counts(&self) -> [u64; 5] {
        ["found", "unchanged", "heard", "duplicates", "gone"].map(|key| self.count(key))
    }
}

/// What a store holds.
#[derive(Debug, PartialEq)]
pub struct Known {
    /// By path.
    pub samples: BTreeMap<Vec<u8>, SampleEntry>,
    /// What was heard in each content that a sample has.
    pub heard: BTreeMap<String, Analysis>,
}

impl Known {
    /// Opens a store that nobody else has open.
    pub fn read(archive: &Path, store: &Path) -> Self {
        let options = OpenOptions {
            folder: store.to_owned(),
            archive: archive.canonicalize().unwrap(),
            repair: false,
            purpose: "a test".to_owned(),
        };
        let store = options.open().unwrap().store;
        let samples: BTreeMap<_, _> = store.samples().map(Result::unwrap).collect();
        let model = ensemble().leading().model_id();
        let heard = samples
            .values()
            .filter_map(|entry| entry.hash)
            .filter_map(|hash| Some((hash.to_hex(), store.analysis(&hash, model).unwrap()?)));
        let heard = heard.collect();
        Self { samples, heard }
    }

    /// One sample that must be there.
    pub fn sample(&self, path: &str) -> &SampleEntry {
        self.samples.get(path.as_bytes()).unwrap_or_else(|| panic!("{path} is not known: {:?}", self.paths()))
    }

    /// What was heard in a sample that must be there.
    pub fn analysis(&self, path: &str) -> &Analysis {
        let hash = self.sample(path).hash.unwrap_or_else(|| panic!("{path} has no hash"));
        self.heard.get(&hash.to_hex()).unwrap_or_else(|| panic!("nothing was heard in {path}"))
    }

    /// Paths that are known and not missing.
    pub fn paths(&self) -> Vec<String> {
        let present = self.samples.iter().filter(|(_, entry)| !entry.missing);
        present.map(|(path, _)| String::from_utf8_lossy(path).into_owned()).collect()
    }

    /// Paths that are known and missing.
    pub fn missing(&self) -> Vec<String> {
        let missing = self.samples.iter().filter(|(_, entry)| entry.missing);
        missing.map(|(path, _)| String::from_utf8_lossy(path).into_owned()).collect()
    }
}

/// The model that is compiled in, read once.
pub fn ensemble() -> &'static Arc<Ensemble> {
    static ENSEMBLE: OnceLock<Arc<Ensemble>> = OnceLock::new();
    ENSEMBLE.get_or_init(|| Arc::new(Ensemble::embedded().unwrap()))
}

/// What can be told of a file or folder without and with reading it: mode, size, time, content.
pub type Fingerprint = (u32, u64, i64, i64, Option<ContentHash>);

/// Everything below a folder and the folder itself: if any of it was written, two of these differ.
pub fn fingerprints(root: &Path) -> BTreeMap<PathBuf, Fingerprint> {
    fn walk(path: &Path, found: &mut BTreeMap<PathBuf, Fingerprint>) {
        let metadata = fs::symlink_metadata(path).unwrap();
        let content = metadata.is_file().then(|| ContentHash::of(HashAlgorithm::Xxh3, &fs::read(path).unwrap()));
        let size = if metadata.is_dir() { 0 } else { metadata.len() };
        found.insert(path.to_owned(), (metadata.mode(), size, metadata.mtime(), metadata.mtime_nsec(), content));
        if metadata.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path(), found));
        }
    }
    let mut found = BTreeMap::new();
    walk(root, &mut found);
    found
}

/// A process that is killed when the test ends, however it ends.
pub struct Running(pub Child);

impl Running {
    /// Starts a command with its output captured.
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill has no memory preconditions; the child was not waited for, so its number is still its own.
        assert_eq!(unsafe { libc::kill(self.0.id() as i32, signal) }, 0);
    }

    /// Waits for its end and takes what it printed.
    pub fn output(mut self) -> Output {
        use std::io::Read as _;
        let mut output = Output { status: Default::default(), stdout: Vec::new(), stderr: Vec::new() };
        let mut stderr = self.0.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text).unwrap();
            text
        });
        self.0.stdout.take().unwrap().read_to_end(&mut output.stdout).unwrap();
        output.stderr = errors.join().unwrap();
        output.status = self.0.wait().unwrap();
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Waits until `done` gives something.
pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The file's name as raw bytes below a root.
pub fn relative(root: &Path, path: &Path) -> Vec<u8> {
    path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec()
}
