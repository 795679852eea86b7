//! The mode without open messages: the kernel opens and closes without a word, and reads and writes name the inode.
//!
//! What it gives up: an original that was replaced is noticed by the watch alone and not by the next open, whoever
//! reads a file while it is replaced may get bytes of both, index.jsonl is empty, and control files can be replaced
//! (rename) and overrides.jsonl added to (whole lines), but not written in place.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::{Core, OpenHow};
use crate::mount::control::Draft;
use crate::mount::errno::FsError;
use crate::mount::handles::Handle;
use crate::mount::indexer::Request;
use crate::mount::keeper::Message;
use crate::mount::{overrides, status};
use crate::view::{Generated, Ino, Node};

/// So many files are kept open for the next read.
const KEPT: usize = 64;

/// A file is kept open for so long before it is opened again, in case it was replaced.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// A text that changes from moment to moment stays as it is for a program that is reading it: for so long after each
/// time it was asked for, and no longer than [`KEPT_FOR`] in all.
const READING: Duration = Duration::from_millis(100);

/// Files that were read a moment ago.
#[derive(Debug, Default)]
pub struct Lately {
    on: AtomicBool,
    files: Mutex<Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    ino: Ino,
    since: Instant,
    asked: Instant,
    /// Size and time of an original as it was opened.
    stamp: Option<(u64, i64)>,
    handle: Arc<Handle>,
}

impl Lately {
    fn files(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file that is still open and has the size and time that are shown.
    fn get(&self, ino: Ino, stamp: Option<(u64, i64)>) -> Option<Arc<Handle>> {
        let mut files = self.files();
        let good = |kept: &Kept| kept.ino == ino && kept.stamp == stamp && kept.since.elapsed() < KEPT_FOR;
        let place = files.iter().rposition(good)?;
        // The last is the one that was read last.
        let mut file = files.remove(place);
        file.asked = Instant::now();
        files.push(file);
        files.last().map(|kept| Arc::clone(&kept.handle))
    }

    /// A text that somebody is reading, and when it was made.
    fn text(&self, ino: Ino) -> Option<(Arc<[u8]>, SystemTime)> {
        let mut files = self.files();
        let kept = files.iter_mut().find(|kept| kept.ino == ino)?;
        let Handle::Text(text) = &*kept.handle else { return None };
        if kept.since.elapsed() >= KEPT_FOR || kept.asked.elapsed() >= READING {
            return None;
        }
        kept.asked = Instant::now();
        Some((Arc::clone(text), SystemTime::now().checked_sub(kept.since.elapsed())?))
    }

    fn forget(&self, ino: Ino) {
        self.files().retain(|kept| kept.ino != ino);
    }

    fn put(&self, ino: Ino, stamp: Option<(u64, i64)>, handle: Arc<Handle>) {
        let mut files = self.files();
        let same = files.iter().position(|kept| kept.ino == ino);
        let out = same.or((files.len() >= KEPT).then_some(0)).map(|place| files.remove(place));
        let now = Instant::now();
        files.push(Kept { ino, since: now, asked: now, stamp, handle });
        drop(files);
        // Closed with nothing held.
        drop(out);
    }
}

impl Core {
    /// Whether the kernel opens files without a message.
    pub fn is_without_open(&self) -> bool {
        self.lately.on.load(Ordering::Relaxed)
    }

    /// From now on the kernel opens files without a message, or does not.
    pub fn set_without_open(&self, on: bool) {
        self.lately.on.store(on, Ordering::Relaxed);
    }

    /// Size and time of a text that changes from moment to moment. Without open messages it is kept and read as it was
    /// when its size was told, so that nobody reads the beginning of one and the end of the next.
    pub(super) fn text_stat(&self, ino: Ino, text: impl FnOnce() -> Vec<u8>) -> (u64, SystemTime) {
        if !self.is_without_open() {
            return (text().len() as u64, SystemTime::now());
        }
        if let Some((kept, made)) = self.lately.text(ino) {
            return (kept.len() as u64, made);
        }
        let text = text();
        let len = text.len() as u64;
        self.lately.put(ino, None, Arc::new(Handle::Text(text.into())));
        (len, SystemTime::now())
    }

    /// The open file that a read without a handle means.
    pub(super) fn lately(&self, ino: Ino) -> Result<Arc<Handle>, FsError> {
        let view = self.shared.view();
        let node = view.by_ino(self.remembered.own(ino));
        let shown = match node {
            Some(Node::Sample(id)) => Some((view.sample(id).size, view.sample(id).mtime_ns)),
            _ => None,
        };
        // What was opened before it was replaced must not fill the kernel's memory again after that was emptied.
        if let Some(kept) = self.lately.get(ino, shown) {
            return Ok(kept);
        }
        let mut stamp = shown;
        let handle = match node {
            Some(Node::Generated(Generated::Status)) => {
                Handle::Text(status::text(&self.shared, self.passthrough()).into())
            }
            Some(Node::Generated(Generated::Overrides)) => Handle::Text(overrides::text(&self.shared).into()),
            _ => {
                let (handle, changed) = self.open_now(ino, OpenHow::default())?;
                if let Some(changed) = changed {
                    stamp = Some((changed.size, changed.mtime_ns));
                    self.ask(Request::Touch(vec![changed.path.to_vec()]));
                    self.keeper.send(Message::Changed { sample: Arc::new(changed), answer: Box::new(|_| {}) });
                }
                handle
            }
        };
        let handle = Arc::new(handle);
        self.lately.put(ino, stamp, Arc::clone(&handle));
        Ok(handle)
    }

    /// Writes without a handle.
    pub(super) fn write_lately(
        &self,
        ino: Ino,
        offset: u64,
        data: &[u8],
        answer: impl FnOnce(Result<(), FsError>) + Send + 'static,
    ) {
        if let Some(file) = self.scratch.by_ino(ino) {
            return answer(file.write(offset, data, false));
        }
        match self.shared.view().by_ino(ino) {
            Some(Node::Generated(Generated::Rescan)) => {
                self.ask(Request::Rescan);
                self.keeper.send(Message::JudgeAgain { answer: Box::new(answer) });
            }
            Some(Node::Generated(Generated::Overrides)) if data.ends_with(b"\n") => {
                self.lately.forget(ino);
                let mut draft = Draft { text: data.to_vec(), ..Draft::default() };
                self.record_overrides(self.take_lines(&mut draft, data.len()), answer);
            }
            Some(Node::Generated(Generated::Overrides)) => {
                answer(Err(FsError::Invalid("without open messages, overrides.jsonl takes whole lines")));
            }
            _ => answer(Err(FsError::ReadOnly)),
        }
    }
}
