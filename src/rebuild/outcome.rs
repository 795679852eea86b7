//! What comes of a run: what it changed, or why it did not.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::ledger::LedgerError;
use super::link::Link;
use super::place::PlaceError;
use super::problem::{Problem, Stay};

/// Why nothing was done, or not everything.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// The folder can't be used.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The log can't be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no room for copies.
    #[error(
        "copies need {} and {} has {} left: nothing was put there. --link symlink and --link hard take no room",
        bytes(*needed),
        path.display(),
        bytes(*free)
    )]
    NoRoom {
        /// The tree.
        path: PathBuf,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Hard links can't lead there.
    #[error(
        "hard links can't lead from {} to {}, which is another file system: use --link copy, or an --out on the same one",
        archive.display(),
        path.display()
    )]
    OtherDisk {
        /// The archive.
        archive: PathBuf,
        /// The tree.
        path: PathBuf,
    },
    /// The file system has no such links.
    #[error("the file system of {} has no {} ({source}): use --link copy", path.display(), link.plural())]
    NoLinks {
        /// The tree.
        path: PathBuf,
        /// What it lacks.
        link: Link,
        /// What the system said.
        source: io::Error,
    },
    /// The disk failed or is full.
    #[error("{}: {source}. What is there so far is whole; run again to go on", path.display())]
    Io {
        /// The tree.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A size for people.
fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

/// Something that a run changes in a tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A sample is put there.
    Put {
        /// Its path in the tree.
        path: Vec<u8>,
        /// The original.
        from: Vec<u8>,
    },
    /// A sample takes the place of what drumfs put there before.
    Replace {
        /// Its path in the tree.
        path: Vec<u8>,
        /// The original.
        from: Vec<u8>,
    },
    /// A copy goes to another folder.
    Move {
        /// Where it was.
        old: Vec<u8>,
        /// Where it will be.
        path: Vec<u8>,
    },
    /// Something that drumfs put there goes.
    Remove {
        /// Its path in the tree.
        path: Vec<u8>,
    },
    /// A file that drumfs makes is written.
    Write {
        /// Its path in the tree.
        path: Vec<u8>,
    },
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// How samples came there; `copy` where blocks could not be shared.
    pub link: Link,
    /// Whether copies were made because blocks could not be shared.
    pub fell_back: bool,
    /// Samples that the tree should have.
    pub samples: u64,
    /// Samples that were there, as drumfs put them.
    pub kept: u64,
    /// Samples that were there and that drumfs did not put there.
    pub there: u64,
    /// Samples that were put there.
    pub put: u64,
    /// Samples that took the place of something out of date.
    pub replaced: u64,
    /// Copies that went from one folder to another.
    pub moved: u64,
    /// Samples that no longer belonged and went.
    pub removed: u64,
    /// Bytes of what was put there, moved or replaced.
    pub bytes: u64,
    /// Files written that drumfs makes, and those of them removed.
    pub written: u64,
    /// Folders made.
    pub folders: u64,
    /// Samples whose names the file system would not tell apart, and which got another.
    pub renamed: u64,
    /// What could not be put there or removed, ordered by path.
    pub problems: Vec<Problem>,
    /// What no longer belongs and is not drumfs's to remove.
    pub stays: Vec<Stay>,
    /// What would be done; of a dry run alone.
    pub changes: Vec<Change>,
    /// Whether it was stopped before the end.
    pub interrupted: bool,
    /// How long it took.
    pub elapsed: Duration,
}

impl Report {
    /// Whether the tree was as it should be, and nothing was changed.
    pub fn is_unchanged(&self) -> bool {
        self.put + self.replaced + self.moved + self.removed + self.written + self.folders == 0
    }
}
