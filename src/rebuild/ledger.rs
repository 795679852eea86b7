//! The log of what drumfs put into a tree: `_rebuild_log.jsonl`. It tells which file is which original, and which files
//! are drumfs's to change and to take away.
//!
//! The log of a run is on the disk before its first file is put, so that nothing is ever there that no log tells of. A
//! line at its end says that the run was finished; without that line what it lists may be there or not. A file counts
//! as put by drumfs only while it is what the log says it was.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::disk::{Found, Stat};
use super::link::Link;

/// Its name in the tree.
pub const NAME: &str = "_rebuild_log.jsonl";

/// The log that is being written.
const UNFINISHED: &str = ".drumfs-rebuild-log.tmp";

/// The format that this program writes, and the newest it reads.
const FORMAT: u32 = 1;

/// A log that can't be used. Nothing is touched then.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// It can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not one of a log.
    #[error(
        "{}: line {line}: {message}. Without its log drumfs can't tell its files from yours: put back the log as it was, \
         or give another --out",
        path.display()
    )]
    Line {
        /// The log.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// It was written by a later program.
    #[error("{} was written by a newer drumfs (format {format}): use that one", path.display())]
    Newer {
        /// The log.
        path: PathBuf,
        /// The format it has.
        format: u32,
    },
}

/// The first line: what is the same for a whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    drumfs_rebuild: u32,
    /// The program and its version.
    pub program: String,
    /// Names the run; its unfinished files begin with it.
    pub run: String,
    /// Which start of the system it was made in, where that can be told: files that were written and not yet on the
    /// disk when the power went can only be damaged where it is another.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub boot: Option<String>,
    /// How samples were to come into the tree.
    pub link: Link,
    /// Whether the file system takes `a` and `A` for the same name.
    #[serde(skip_serializing_if = "is_false", default)]
    pub ignores_case: bool,
}

impl Header {
    /// That of a new run.
    pub fn new(link: Link) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self {
            drumfs_rebuild: FORMAT,
            program: concat!("drumfs ", env!("CARGO_PKG_VERSION")).to_owned(),
            run: format!("{:x}-{:x}", now.as_nanos(), std::process::id()),
            boot: boot(),
            link,
            ignores_case: false,
        }
    }
}

/// Names the start of the system, random(4).
fn boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|text| text.trim().to_owned())
}

/// A sample in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path in the tree.
    pub path: Box<[u8]>,
    /// The absolute path of the original.
    pub from: Box<[u8]>,
    /// How it came there.
    pub link: Link,
    /// Size and time that it has, for copies; the original's inode number, for hard links.
    pub stat: Stat,
    /// Whether the run that wrote the log was to change or remove it.
    pub was: bool,
}

/// A file that drumfs made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its path in the tree.
    pub path: Box<[u8]>,
    /// XXH3 (64 bits) of its bytes.
    pub hash: u64,
    /// Whether the run that wrote the log was to change or remove it.
    pub was: bool,
}

/// Whose something is that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// As drumfs put it.
    Drumfs,
    /// drumfs put it, and it lost bytes when the power went.
    Torn,
    /// Somebody changed it, or put it there.
    Yours,
}

/// What a log says.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// The first line.
    pub header: Header,
    /// Ordered by [`key`]; of one path there may be several, each of which may be there.
    pub entries: Vec<Entry>,
    /// The folders that drumfs made, and whether the run that wrote the log was to remove them. The empty path is the
    /// tree itself.
    pub folders: BTreeMap<Box<[u8]>, bool>,
    /// What drumfs made; of one path there may be several.
    pub made: Vec<Made>,
    /// Whether the run was finished.
    pub done: bool,
    /// Whether the system has been started anew since.
    started_anew: bool,
    /// Bytes up to the end of the last whole line.
    len: u64,
}

/// What entries are ordered by: the folder, then the name.
pub fn key(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

#[derive(Serialize, Deserialize, Default)]
struct Line<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    folder: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    path: Option<Cow<'a, str>>,
    /// The bytes of path or folder in hexadecimal, only where they are not UTF-8.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    path_bytes: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    from: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    from_bytes: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    link: Option<Link>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    mtime_ns: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    ino: Option<u64>,
    /// Of a file that drumfs made.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    made: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "is_false", default)]
    was: bool,
    #[serde(skip_serializing_if = "is_false", default)]
    done: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for it
fn is_false(value: &bool) -> bool {
    !value
}

/// Text, and the bytes in hexadecimal where it is not all there is.
pub(super) fn text_of(bytes: &[u8]) -> (Cow<'_, str>, Option<String>) {
    let text = String::from_utf8_lossy(bytes);
    let hex = matches!(text, Cow::Owned(_)).then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect());
    (text, hex)
}

fn bytes_of(text: Cow<'_, str>, hex: Option<&str>) -> Option<Box<[u8]>> {
    let Some(hex) = hex else { return Some(text.into_owned().into_bytes().into()) };
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?);
    hex.as_bytes().chunks(2).map(pair).collect::<Option<Vec<u8>>>().map(Into::into)
}

impl Ledger {
    /// Reads the log of a tree; none where there is none.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn read(tree: &Path) -> Result<Option<Self>, LedgerError> {
        let path = tree.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LedgerError::Io { path, source }),
        };
        Self::parse(&text, &path).map(Some)
    }

    fn parse(text: &[u8], path: &Path) -> Result<Self, LedgerError> {
        let wrong = |line: usize, message: String| LedgerError::Line { path: path.to_owned(), line: line + 1, message };
        let mut lines = text.split_inclusive(|&byte| byte == b'\n').enumerate();
        let first = lines.next().map_or(&[][..], |(_, line)| line);
        let header: Header = serde_json::from_slice(first).map_err(|error| wrong(0, error.to_string()))?;
        if header.drumfs_rebuild > FORMAT {
            return Err(LedgerError::Newer { path: path.to_owned(), format: header.drumfs_rebuild });
        }
        let started_anew = header.boot.is_some() && header.boot != boot();
        let (entries, folders, made) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut ledger = Self { header, entries, folders, made, done: false, started_anew, len: first.len() as u64 };
        for (number, line) in lines {
            // Half a line is one that was being added when the program ended.
            if !line.ends_with(b"\n") {
                break;
            }
            ledger.len += line.len() as u64;
            let line: Line<'_> = serde_json::from_slice(line).map_err(|error| wrong(number, error.to_string()))?;
            ledger.take(line).ok_or_else(|| wrong(number, "this is no line of a log".to_owned()))?;
        }
        // Nearly in order.
        ledger.entries.sort_by(|a, b| key(&a.path).cmp(&key(&b.path)));
        Ok(ledger)
    }

    fn take(&mut self, line: Line<'_>) -> Option<()> {
        if line.done {
            self.done = true;
            // What was to be changed or removed is.
            self.entries.retain(|entry| !entry.was);
            self.folders.retain(|_, was| !*was);
            self.made.retain(|made| !made.was);
            return Some(());
        }
        let hex = line.path_bytes.as_deref();
        if let Some(folder) = line.folder {
            self.folders.insert(bytes_of(folder, hex)?, line.was);
            return Some(());
        }
        let path = bytes_of(line.path?, hex)?;
        if let Some(hash) = line.made {
            self.made.push(Made { path, hash: u64::from_str_radix(&hash, 16).ok()?, was: line.was });
            return Some(());
        }
        let link = line.link?;
        let stat = Stat {
            size: line.size.unwrap_or(0),
            mtime_ns: line.mtime_ns.unwrap_or(0),
            ino: line.ino.unwrap_or(0),
            links: 0,
        };
        let from = bytes_of(line.from?, line.from_bytes.as_deref())?;
        self.entries.push(Entry { path, from, link, stat, was: line.was });
        Some(())
    }

    /// Whose something is that is where an entry says.
    pub fn whose(&self, entry: &Entry, found: &Found) -> Whose {
        match (entry.link, found) {
            (Link::Symlink, Found::Link(target)) if target[..] == entry.from[..] => Whose::Drumfs,
            (Link::Hard, Found::File(stat)) if stat.ino == entry.stat.ino => Whose::Drumfs,
            (Link::Reflink | Link::Copy, Found::File(stat)) if same_time(entry.stat.mtime_ns, stat.mtime_ns) => {
                match stat.size {
                    size if size == entry.stat.size => Whose::Drumfs,
                    size if self.started_anew && size < entry.stat.size => Whose::Torn,
                    _ => Whose::Yours,
                }
            }
            _ => Whose::Yours,
        }
    }

    /// Whether a file with these bytes is one that drumfs made; an empty one lost its bytes when the power went.
    pub fn has_made(&self, path: &[u8], bytes: &[u8]) -> bool {
        let mut of_path = self.made.iter().filter(|made| *made.path == *path).peekable();
        of_path.peek().is_some() && (bytes.is_empty() || of_path.any(|made| made.hash == hash(bytes)))
    }

    /// Whether the run that wrote the log was to change or remove something, and did not say that it has.
    pub fn has_unsettled(&self) -> bool {
        let entries = self.entries.iter().map(|entry| entry.was);
        entries.chain(self.folders.values().copied()).chain(self.made.iter().map(|made| made.was)).any(|was| was)
    }

    /// The entries of one path, and their places.
    pub fn entries_at<'s>(&'s self, path: &'s [u8]) -> impl Iterator<Item = (u32, &'s Entry)> {
        let from = self.entries.partition_point(|entry| key(&entry.path) < key(path));
        let rest = self.entries.get(from..).unwrap_or_default();
        (from as u32..).zip(rest).take_while(move |(_, entry)| *entry.path == *path)
    }
}

/// What tells the bytes of a file that drumfs made.
pub fn hash(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// Whether a time that was read is one that was set: some file systems keep it less exactly (100 ns NTFS, 1 µs HFS+ over
/// the network, 10 ms exFAT, 1 s NFSv2 and ext3, 2 s FAT).
pub fn same_time(set: i64, read: i64) -> bool {
    set == read
        || [100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000]
            .iter()
            .any(|unit| read % unit == 0 && (set - read).abs() < *unit)
}

/// Writes a log.
#[derive(Debug)]
pub struct Writer {
    tree: PathBuf,
    file: BufWriter<File>,
}

impl Writer {
    /// Begins a log, beside the one that is there.
    ///
    /// # Errors
    /// What the system says.
    pub fn begin(tree: &Path, header: &Header) -> io::Result<Self> {
        let unfinished = tree.join(UNFINISHED);
        // Left by a run that crashed, or a link that leads elsewhere.
        drop(fs::remove_file(&unfinished));
        let file = OpenOptions::new().write(true).create_new(true).open(unfinished)?;
        let mut writer = Self { tree: tree.to_owned(), file: BufWriter::with_capacity(1 << 17, file) };
        serde_json::to_writer(&mut writer.file, header)?;
        writer.file.write_all(b"\n")?;
        Ok(writer)
    }

    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, line)?;
        self.file.write_all(b"\n")
    }

    /// A folder that drumfs made or is about to make; with `was` one that is about to go.
    ///
    /// # Errors
    /// What the system says.
    pub fn folder(&mut self, path: &[u8], was: bool) -> io::Result<()> {
        let (folder, hex) = text_of(path);
        self.line(&Line { folder: Some(folder), path_bytes: hex.map(Cow::Owned), was, ..Line::default() })
    }

    /// A sample that is there, or is about to be; with `was` one that is about to go.
    ///
    /// # Errors
    /// What the system says.
    pub fn entry(&mut self, path: &[u8], from: &[u8], link: Link, stat: &Stat, was: bool) -> io::Result<()> {
        let (path, path_bytes) = text_of(path);
        let (from, from_bytes) = text_of(from);
        let (own, hard) = (link.is_own_file(), link == Link::Hard);
        self.line(&Line {
            path: Some(path),
            path_bytes: path_bytes.map(Cow::Owned),
            from: Some(from),
            from_bytes: from_bytes.map(Cow::Owned),
            link: Some(link),
            size: own.then_some(stat.size),
            mtime_ns: own.then_some(stat.mtime_ns),
            ino: hard.then_some(stat.ino),
            was,
            ..Line::default()
        })
    }

    /// A file that drumfs made or is about to make; with `was` one that is about to change or go.
    ///
    /// # Errors
    /// What the system says.
    pub fn made(&mut self, path: &[u8], hash: u64, was: bool) -> io::Result<()> {
        let (path, path_bytes) = text_of(path);
        self.line(&Line {
            path: Some(path),
            path_bytes: path_bytes.map(Cow::Owned),
            made: Some(format!("{hash:016x}").into()),
            was,
            ..Line::default()
        })
    }

    /// Puts the log in the place of the one before, on the disk; lines can be added.
    ///
    /// # Errors
    /// What the system says.
    pub fn install(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(self.tree.join(UNFINISHED), self.tree.join(NAME))?;
        File::open(&self.tree)?.sync_all()
    }

    /// Hands what was added to the system: it is kept, whatever becomes of this program.
    ///
    /// # Errors
    /// What the system says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Says that everything is as the log says.
    ///
    /// # Errors
    /// What the system says.
    pub fn done(mut self) -> io::Result<()> {
        self.line(&Line { done: true, ..Line::default() })?;
        self.file.flush()
    }
}

/// Says in the log of a run that was interrupted that there is nothing left to do.
///
/// # Errors
/// What the system says.
pub fn add_done(tree: &Path, ledger: &Ledger) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Line { done: true, ..Line::default() })?;
    line.push(b'\n');
    let mut file = OpenOptions::new().append(true).open(tree.join(NAME))?;
    // Half a line may be the last.
    file.set_len(ledger.len)?;
    file.write_all(&line)
}

/// Removes the log.
///
/// # Errors
/// What the system says.
pub fn remove(tree: &Path) -> io::Result<()> {
    drop(fs::remove_file(tree.join(UNFINISHED)));
    fs::remove_file(tree.join(NAME))
}
