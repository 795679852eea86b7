//! How a sample comes into a tree, and putting one there whole or not at all.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::disk::{Folder, Stat, set_mtime};
use crate::archive::ArchiveRoot;

/// How a sample comes into a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// A symbolic link to the original, by its absolute path.
    Symlink,
    /// One more name of the original: the same inode.
    Hard,
    /// A file of its own that shares the original's blocks until one of them is written.
    #[default]
    Reflink,
    /// A file of its own.
    Copy,
}

impl Link {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Symlink, Self::Hard, Self::Reflink, Self::Copy];

    /// The word on the command line and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Symlink => "symlink",
            Self::Hard => "hard",
            Self::Reflink => "reflink",
            Self::Copy => "copy",
        }
    }

    /// Whether the result is a file of its own.
    pub fn is_own_file(self) -> bool {
        matches!(self, Self::Reflink | Self::Copy)
    }

    /// What the result is called, of several.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Symlink => "symbolic links",
            Self::Hard => "hard links",
            Self::Reflink => "copies that share their blocks",
            Self::Copy => "copies",
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is no way of linking.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no way to put a file there: expected symlink, hard, reflink or copy")]
pub struct NoLink(String);

impl FromStr for Link {
    type Err = NoLink;

    fn from_str(text: &str) -> Result<Self, NoLink> {
        // The pipeline before drumfs said `hardlink`.
        let text = if text == "hardlink" { "hard" } else { text };
        Self::ALL.into_iter().find(|link| link.name() == text).ok_or_else(|| NoLink(text.to_owned()))
    }
}

/// Puts samples into a tree, from several threads.
#[derive(Debug)]
pub struct Putter {
    link: Link,
    /// Begins the names of files that are not whole yet.
    prefix: String,
    next: AtomicU64,
    /// The file system shares no blocks: copies are made from now on.
    shares_nothing: AtomicBool,
}

/// One sample to put.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The archive of the original.
    pub archive: &'a ArchiveRoot,
    /// Its path in there.
    pub relative: &'a [u8],
    /// What it was when it was looked at.
    pub expected: Stat,
    /// The name it gets.
    pub name: &'a [u8],
    /// Whether a name that drumfs made before is put over.
    pub over: bool,
}

/// Bytes that are read at a time; most samples are shorter.
const BUFFER: usize = 1 << 18;

thread_local! {
    static BYTES: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Putter {
    /// `run` tells the names of one run's unfinished files from everything else's.
    pub fn new(link: Link, run: &str) -> Self {
        let prefix = format!("{UNFINISHED}{run}-");
        Self { link, prefix, next: AtomicU64::new(0), shares_nothing: AtomicBool::new(false) }
    }

    /// How samples come into the tree: copies where blocks can't be shared.
    pub fn link(&self) -> Link {
        if self.fell_back() { Link::Copy } else { self.link }
    }

    /// Whether blocks were to be shared and can't be.
    pub fn fell_back(&self) -> bool {
        self.shares_nothing.load(Ordering::Relaxed)
    }

    /// A name for something that is not whole yet.
    pub fn temporary(&self) -> Vec<u8> {
        format!("{}{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed)).into_bytes()
    }

    /// Puts a sample at its name. Afterwards it is there whole, or there is what was there before.
    ///
    /// # Errors
    /// What the system says.
    pub fn put(&self, folder: &Folder, job: &Job<'_>) -> io::Result<()> {
        match self.link {
            Link::Symlink => {
                let target = job.archive.absolute(job.relative);
                self.at_once(folder, job, |name| folder.symlink(target.as_os_str().as_bytes(), name))
            }
            Link::Hard => {
                let (file, metadata) = job.archive.open_with_metadata(job.relative)?;
                if metadata.ino() != job.expected.ino {
                    return Err(changed());
                }
                let path = job.archive.absolute(job.relative);
                self.at_once(folder, job, |name| folder.hard_link(&file, &path, name))
            }
            Link::Reflink | Link::Copy => {
                let temporary = self.temporary();
                let done = self.copy(folder, job, &temporary).and_then(|()| match job.over {
                    true => folder.rename_over(&temporary, job.name),
                    false => folder.rename_new(&temporary, job.name),
                });
                done.inspect_err(|_| drop(folder.remove(&temporary)))
            }
        }
    }

    /// Links come to be in one call, which fails where the name is taken.
    fn at_once(&self, folder: &Folder, job: &Job<'_>, make: impl Fn(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if !job.over {
            return make(job.name);
        }
        let temporary = self.temporary();
        make(&temporary)?;
        folder.rename_over(&temporary, job.name).inspect_err(|_| drop(folder.remove(&temporary)))
    }

    fn copy(&self, folder: &Folder, job: &Job<'_>, temporary: &[u8]) -> io::Result<()> {
        let (mut from, before) = job.archive.open_with_metadata(job.relative)?;
        if !is(&before, &job.expected) {
            return Err(changed());
        }
        let mode = before.permissions().mode() & 0o777;
        let mut to = folder.create(temporary, 0o600)?;
        let shared = self.link == Link::Reflink && !self.fell_back() && {
            let done = reflink_copy::reflink_file(&from, &to);
            if let Err(error) = &done {
                log::info!("{} is copied: {error}", job.archive.absolute(job.relative).display());
                self.shares_nothing.store(true, Ordering::Relaxed);
            }
            done.is_ok()
        };
        if !shared && copy_bytes(&mut from, &mut to)? != before.len() {
            return Err(changed());
        }
        if !is(&from.metadata()?, &job.expected) {
            return Err(changed());
        }
        // Some file systems (exFAT) have no modes; the bytes and the time are what counts.
        drop(to.set_permissions(std::fs::Permissions::from_mode(mode)));
        set_mtime(&to, job.expected.mtime_ns)
    }
}

/// Begins the names of all unfinished files.
const UNFINISHED: &str = ".drumfs-";

/// Whether a name is one of an unfinished file: what [`Putter::temporary`] makes.
pub fn is_unfinished(name: &[u8]) -> bool {
    let text = std::str::from_utf8(name).ok().and_then(|name| name.strip_prefix(UNFINISHED));
    let parts: Vec<&str> = text.into_iter().flat_map(|text| text.split('-')).collect();
    let is_hex = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.len() == 3 && parts.iter().all(is_hex)
}

fn changed() -> io::Error {
    io::Error::other("the original changed meanwhile: run again")
}

fn is(metadata: &Metadata, expected: &Stat) -> bool {
    let mtime_ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    metadata.len() == expected.size && mtime_ns == expected.mtime_ns
}

fn copy_bytes(from: &mut File, to: &mut File) -> io::Result<u64> {
    BYTES.with_borrow_mut(|buffer| {
        buffer.resize(BUFFER, 0);
        let mut copied = 0;
        loop {
            let len = match from.read(buffer) {
                Ok(0) => return Ok(copied),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            to.write_all(buffer.get(..len).unwrap_or_default())?;
            copied += len as u64;
            // What is longer goes on in the kernel, without coming through here.
            if copied >= BUFFER as u64 {
                return Ok(copied + io::copy(from, to)?);
            }
        }
    })
}

/// What the original of a sample is now; none where there is no regular file that may be read.
///
/// # Errors
/// What the system says.
pub fn look_at_original(path: &Path) -> io::Result<Stat> {
    let metadata = path.symlink_metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no longer a regular file"));
    }
    let text = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is NUL-terminated and outlives the call.
    if unsafe { libc::access(text.as_ptr(), libc::R_OK) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mtime_ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    Ok(Stat { size: metadata.len(), mtime_ns, ino: metadata.ino(), links: metadata.nlink() })
}
