//! Writing in `_control/`: drafts of rules.yml and overrides.jsonl, and the files that editors put beside them.
//!
//! What programs do when they save (measured on Linux):
//! - `echo > rules.yml` truncates, FLUSHes before it has written anything, writes, flushes; it reports an error of
//!   `write` and swallows one of `close`. So a write that can't become valid whatever follows is refused at once, and
//!   a flush before the first write commits nothing.
//! - vim and nano truncate, write and fsync in place; cp, tee, dd and Python write and close. They report errors of
//!   fsync and close: that is where a whole text is put in force.
//! - `sed -i`, VS Code and TextEdit write another file and rename it over: the rename puts it in force.
//! - `mv` from elsewhere removes rules.yml first: the rules stay in force, and the name comes back by itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::errno::FsError;
use crate::view::{Generated, Ino};

/// The most a control file or one beside it may hold, in bytes.
pub const MAX_LEN: u64 = 1 << 20;

/// The highest bits of the inode numbers of files beside the control files: no sample, folder or generated file has
/// such a number, and none is used twice.
const SCRATCH: Ino = 0b11 << 62;

/// The most files beside the control files.
const MAX_SCRATCH: usize = 64;

/// A program that removes a control file before it writes it anew does so within this time.
const COMES_BACK: Duration = Duration::from_secs(2);

/// What is being written through one handle.
#[derive(Debug, Default)]
pub struct Draft {
    /// The text so far.
    pub text: Vec<u8>,
    /// Whether anything was written since the last time it was put in force or refused.
    pub dirty: bool,
    /// Whether it was put in force before, or is being.
    pub sent: bool,
    /// Whether every write goes to the end.
    pub append: bool,
    /// In overrides.jsonl: how much of the text was taken.
    pub taken: usize,
    /// In overrides.jsonl: how many bytes were acknowledged as the beginning of a line and dropped when the rest of it
    /// was refused. The writer's offsets count them.
    pub dropped: u64,
}

impl Draft {
    /// Puts bytes at an offset, or at the end of an appending handle.
    ///
    /// # Errors
    /// [`FsError::TooLarge`].
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), FsError> {
        let offset = if self.append { self.text.len() as u64 } else { offset };
        write_at(&mut self.text, offset, data)?;
        self.dirty = true;
        Ok(())
    }

    /// Drops what was not taken, of which `acknowledged` bytes of the text's length were.
    pub fn drop_untaken(&mut self, acknowledged: u64) {
        self.text.truncate(self.taken);
        self.dropped += acknowledged.saturating_sub(self.text.len() as u64);
    }

    /// Cuts the text or fills it with zeros.
    ///
    /// # Errors
    /// [`FsError::TooLarge`].
    pub fn resize(&mut self, size: u64) -> Result<(), FsError> {
        if size > MAX_LEN {
            return Err(FsError::TooLarge);
        }
        self.text.resize(size as usize, 0);
        self.dropped = 0;
        self.taken = self.taken.min(self.text.len());
        // Cutting alone saves nothing: a shell does it before its first write.
        self.dirty &= size > 0;
        Ok(())
    }
}

fn write_at(text: &mut Vec<u8>, offset: u64, data: &[u8]) -> Result<(), FsError> {
    let end = offset.checked_add(data.len() as u64).filter(|end| *end <= MAX_LEN).ok_or(FsError::TooLarge)?;
    if text.len() < end as usize {
        text.resize(end as usize, 0);
    }
    text[offset as usize..end as usize].copy_from_slice(data);
    Ok(())
}

/// Up to `size` bytes of a text from `offset`.
pub fn slice(text: &[u8], offset: u64, size: usize) -> &[u8] {
    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
    &text[from..from.saturating_add(size).min(text.len())]
}

/// A file beside the control files: an editor's swap, backup or new version. In memory, gone with the mount.
#[derive(Debug)]
pub struct Scratch {
    /// Inode number.
    pub ino: Ino,
    inner: Mutex<ScratchInner>,
}

#[derive(Debug)]
struct ScratchInner {
    data: Vec<u8>,
    perm: u16,
    changed: SystemTime,
}

impl Scratch {
    fn with<T>(&self, work: impl FnOnce(&mut ScratchInner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Its bytes.
    pub fn data(&self) -> Vec<u8> {
        self.with(|inner| inner.data.clone())
    }

    /// Size in bytes, time of last change, permission bits.
    pub fn stat(&self) -> (u64, SystemTime, u16) {
        self.with(|inner| (inner.data.len() as u64, inner.changed, inner.perm))
    }

    /// Sets the permission bits, which nobody checks.
    pub fn set_perm(&self, perm: u16) {
        self.with(|inner| inner.perm = perm & 0o777);
    }

    /// Puts bytes at an offset, or at the end.
    ///
    /// # Errors
    /// [`FsError::TooLarge`].
    pub fn write(&self, offset: u64, data: &[u8], append: bool) -> Result<(), FsError> {
        self.with(|inner| {
            let offset = if append { inner.data.len() as u64 } else { offset };
            inner.changed = SystemTime::now();
            write_at(&mut inner.data, offset, data)
        })
    }

    /// Cuts the file or fills it with zeros.
    ///
    /// # Errors
    /// [`FsError::TooLarge`].
    pub fn resize(&self, size: u64) -> Result<(), FsError> {
        if size > MAX_LEN {
            return Err(FsError::TooLarge);
        }
        self.with(|inner| {
            inner.data.resize(size as usize, 0);
            inner.changed = SystemTime::now();
        });
        Ok(())
    }

    /// Up to `size` bytes from `offset`.
    pub fn read(&self, offset: u64, size: usize) -> Vec<u8> {
        self.with(|inner| slice(&inner.data, offset, size).to_vec())
    }
}

/// The files beside the control files.
#[derive(Debug, Default)]
pub struct ScratchFiles {
    files: Mutex<BTreeMap<Vec<u8>, Arc<Scratch>>>,
    last: AtomicU64,
    hidden: Mutex<BTreeMap<Generated, Instant>>,
}

impl ScratchFiles {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<Vec<u8>, Arc<Scratch>>) -> T) -> T {
        work(&mut self.files.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A file by name.
    pub fn get(&self, name: &[u8]) -> Option<Arc<Scratch>> {
        self.with(|files| files.get(name).cloned())
    }

    /// A file by inode number.
    pub fn by_ino(&self, ino: Ino) -> Option<Arc<Scratch>> {
        // Every stat of a sample comes by here: it must not wait for a lock.
        if ino & SCRATCH != SCRATCH {
            return None;
        }
        self.with(|files| files.values().find(|file| file.ino == ino).cloned())
    }

    /// Names and inode numbers, in order.
    pub fn list(&self) -> Vec<(Vec<u8>, Ino)> {
        self.with(|files| files.iter().map(|(name, file)| (name.clone(), file.ino)).collect())
    }

    /// Makes a file.
    ///
    /// # Errors
    /// [`FsError::Exists`], or [`FsError::NoRoom`] where there are too many.
    pub fn create(&self, name: &[u8], perm: u16, data: Vec<u8>) -> Result<Arc<Scratch>, FsError> {
        if name.len() > 255 {
            return Err(FsError::NameTooLong);
        }
        let ino = SCRATCH | (self.last.fetch_add(1, Ordering::Relaxed) + 1);
        self.with(|files| {
            if files.contains_key(name) {
                return Err(FsError::Exists);
            }
            if files.len() >= MAX_SCRATCH {
                return Err(FsError::NoRoom);
            }
            let inner = ScratchInner { data, perm: perm & 0o777, changed: SystemTime::now() };
            let file = Arc::new(Scratch { ino, inner: Mutex::new(inner) });
            files.insert(name.to_vec(), Arc::clone(&file));
            Ok(file)
        })
    }

    /// Removes a file.
    ///
    /// # Errors
    /// [`FsError::NotFound`].
    pub fn remove(&self, name: &[u8]) -> Result<(), FsError> {
        self.with(|files| files.remove(name)).map(drop).ok_or(FsError::NotFound)
    }

    /// Gives a file another name; one that has the name is replaced.
    ///
    /// # Errors
    /// [`FsError::NotFound`].
    pub fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), FsError> {
        self.with(|files| {
            let file = files.remove(from).ok_or(FsError::NotFound)?;
            files.insert(to.to_vec(), file);
            Ok(())
        })
    }

    /// A control file was removed or moved away: its name is gone for a moment, what it says stays in force.
    pub fn hide(&self, file: Generated) {
        self.hidden.lock().unwrap_or_else(PoisonError::into_inner).insert(file, Instant::now());
    }

    /// A control file is there again.
    pub fn show(&self, file: Generated) {
        self.hidden.lock().unwrap_or_else(PoisonError::into_inner).remove(&file);
    }

    /// Whether a control file was removed just now.
    pub fn is_hidden(&self, file: Generated) -> bool {
        let hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        hidden.get(&file).is_some_and(|at| at.elapsed() < COMES_BACK)
    }
}
