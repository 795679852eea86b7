//! Watching an archive change while it is mounted.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use notify::{Event, EventKind, EventKindMask, RecursiveMode, Watcher as _};
use thiserror::Error;

/// Why an archive can't be watched. It is still checked at every start and whenever somebody asks for a rescan.
#[derive(Debug, Error)]
#[error("changes in {path} are not noticed by themselves ({source}); write to _control/rescan to look for them")]
pub struct WatchError {
    path: String,
    source: notify::Error,
}

/// What was seen to happen, in one quiet-separated burst.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Relative paths of files whose content or attributes changed.
    pub touched: Vec<Vec<u8>>,
    /// Whether something was made, moved or removed, or events were lost: a walk is needed to know what.
    pub rescan: bool,
}

/// Watches until it is dropped, also an archive that is unmounted and comes back.
pub struct Watcher {
    _inner: Arc<Mutex<notify::RecommendedWatcher>>,
    changes: Receiver<Changes>,
}

/// A burst is over when nothing has happened for this long: a copy in progress is not read half-way.
const QUIET: Duration = Duration::from_millis(300);

/// How often it is looked whether the root is still the folder that is watched.
const LOOK: Duration = Duration::from_secs(2);

impl Watcher {
    /// Watches the archive at `root` (absolute, without links).
    ///
    /// # Errors
    /// Where the system can't: too many folders for inotify, or a file system without notifications.
    pub fn new(root: &Path) -> Result<Self, WatchError> {
        let (sender, events) = unbounded();
        let failed = |source| WatchError { path: root.display().to_string(), source };
        // A link may lead anywhere; what it leads to is not of the archive.
        // That an original was opened or read is none of our business, and happens at every look at the mount.
        let config = notify::Config::default().with_follow_symlinks(false).with_event_kinds(EventKindMask::CORE);
        let mut inner =
            notify::RecommendedWatcher::new(move |event| drop(sender.send(event)), config).map_err(failed)?;
        inner.watch(root, RecursiveMode::Recursive).map_err(failed)?;
        let (bursts, changes) = bounded(64);
        let inner = Arc::new(Mutex::new(inner));
        let mut place = Place { root: root.to_owned(), watched: identity(root), inner: Arc::downgrade(&inner) };
        std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || gather(&mut place, &events, &bursts))
            .map_err(|error| failed(notify::Error::io(error)))?;
        Ok(Self { _inner: inner, changes })
    }

    /// The bursts of changes, in order.
    pub fn changes(&self) -> &Receiver<Changes> {
        &self.changes
    }
}

/// Device and number of a folder; none where it is not there.
fn identity(root: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(root).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The root, and which folder is watched there. The system watches folders, not paths: where an archive was unmounted,
/// or renamed, and another folder took its place or it came back, nothing would be told of it any more.
struct Place {
    root: PathBuf,
    watched: Option<(u64, u64)>,
    inner: Weak<Mutex<notify::RecommendedWatcher>>,
}

impl Place {
    /// Watches what is at the root now, where that is another folder than before; whether it is.
    fn follow(&mut self) -> bool {
        let now = identity(&self.root);
        if now == self.watched {
            return false;
        }
        if let Some(inner) = self.inner.upgrade() {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            drop(inner.unwatch(&self.root));
            if now.is_some()
                && let Err(error) = inner.watch(&self.root, RecursiveMode::Recursive)
            {
                log::warn!("{}", WatchError { path: self.root.display().to_string(), source: error });
            }
        }
        self.watched = now;
        true
    }
}

fn gather(place: &mut Place, events: &Receiver<notify::Result<Event>>, bursts: &Sender<Changes>) {
    loop {
        let mut changes = Changes::default();
        match events.recv_timeout(LOOK) {
            Ok(first) => add(&mut changes, &place.root, first),
            Err(RecvTimeoutError::Timeout) if place.follow() => changes.rescan = true,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        }
        loop {
            match events.recv_timeout(QUIET) {
                Ok(event) => add(&mut changes, &place.root, event),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        changes.touched.sort_unstable();
        changes.touched.dedup();
        if changes != Changes::default() && bursts.send(changes).is_err() {
            return;
        }
    }
}

fn add(changes: &mut Changes, root: &Path, event: notify::Result<Event>) {
    let Ok(event) = event else {
        changes.rescan = true;
        return;
    };
    changes.rescan |= event.need_rescan();
    match event.kind {
        EventKind::Access(_) => {}
        EventKind::Modify(notify::event::ModifyKind::Data(_) | notify::event::ModifyKind::Metadata(_)) => {
            let relative = event.paths.iter().filter_map(|path| path.strip_prefix(root).ok());
            changes.touched.extend(relative.map(|path| path.as_os_str().as_bytes().to_vec()));
        }
        _ => changes.rescan = true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reading is not changing: a burst would never end while somebody reads, and every open would wake us.
    #[test]
    fn opening_and_reading_says_nothing_and_does_not_hold_up_what_changed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::write(root.join("a.wav"), b"a").unwrap();
        let watcher = Watcher::new(&root).unwrap();
        let (sender, events) = unbounded();
        let config = notify::Config::default().with_event_kinds(EventKindMask::CORE);
        let mut raw = notify::RecommendedWatcher::new(move |event| drop(sender.send(event)), config).unwrap();
        raw.watch(&root, RecursiveMode::Recursive).unwrap();
        for _ in 0..100 {
            std::fs::read(root.join("a.wav")).unwrap();
        }
        assert!(events.recv_timeout(Duration::from_millis(200)).is_err(), "nothing has changed");
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    drop(std::fs::read(root.join("a.wav")));
                }
            });
            std::fs::write(root.join("b.wav"), b"b").unwrap();
            let changes = watcher.changes().recv_timeout(Duration::from_secs(20));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(changes.is_ok_and(|changes| changes.rescan), "noticed while somebody reads without end");
        });
    }

    #[test]
    fn a_new_file_asks_for_a_walk_and_a_changed_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::write(root.join("a.wav"), b"1").unwrap();
        let watcher = Watcher::new(&root).unwrap();
        std::fs::write(root.join("b.wav"), b"1").unwrap();
        let burst = watcher.changes().recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(burst.rescan);
        let mut file = std::fs::OpenOptions::new().append(true).open(root.join("a.wav")).unwrap();
        std::io::Write::write_all(&mut file, b"2").unwrap();
        drop(file);
        let burst = watcher.changes().recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(burst.touched, [b"a.wav".to_vec()]);
    }
}
