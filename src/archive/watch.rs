//! Watching an archive change while it is mounted.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use notify::{Event, EventKind, RecursiveMode, Watcher as _};
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

/// Watches until it is dropped.
pub struct Watcher {
    _inner: notify::RecommendedWatcher,
    changes: Receiver<Changes>,
}

/// A burst is over when nothing has happened for this long: a copy in progress is not read half-way.
const QUIET: Duration = Duration::from_millis(300);

impl Watcher {
    /// Watches the archive at `root` (absolute, without links).
    ///
    /// # Errors
    /// Where the system can't: too many folders for inotify, or a file system without notifications.
    pub fn new(root: &Path) -> Result<Self, WatchError> {
        let (sender, events) = unbounded();
        let failed = |source| WatchError { path: root.display().to_string(), source };
        // A link may lead anywhere; what it leads to is not of the archive.
        let config = notify::Config::default().with_follow_symlinks(false);
        let mut inner =
            notify::RecommendedWatcher::new(move |event| drop(sender.send(event)), config).map_err(failed)?;
        inner.watch(root, RecursiveMode::Recursive).map_err(failed)?;
        let (bursts, changes) = bounded(64);
        let root = root.to_owned();
        std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || gather(&root, &events, &bursts))
            .map_err(|error| failed(notify::Error::io(error)))?;
        Ok(Self { _inner: inner, changes })
    }

    /// The bursts of changes, in order.
    pub fn changes(&self) -> &Receiver<Changes> {
        &self.changes
    }
}

fn gather(root: &Path, events: &Receiver<notify::Result<Event>>, bursts: &Sender<Changes>) {
    while let Ok(first) = events.recv() {
        let mut changes = Changes::default();
        add(&mut changes, root, first);
        loop {
            match events.recv_timeout(QUIET) {
                Ok(event) => add(&mut changes, root, event),
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
