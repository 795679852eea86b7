//! What is open: each handle keeps what it was opened on.

use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::control::{Draft, Scratch};
use super::errno::FsError;
use super::passthrough::IoMode;
use super::stream::IndexStream;
use crate::view::{DirId, Ino, View};

/// An open file or folder.
#[derive(Debug)]
pub enum Handle {
    /// An original: reads the same file whatever the rules do.
    Sample {
        /// The original, open for reading.
        file: Arc<File>,
        /// Relative path, for messages.
        path: Box<[u8]>,
        /// Size and time of last modification (ns since 1970) when it was opened.
        stamp: (u64, i64),
        /// How the kernel reads it, for as long as it is open.
        mode: IoMode,
    },
    /// A generated file, as it was when it was opened.
    Text(Arc<[u8]>),
    /// index.jsonl.
    Index(Mutex<IndexStream>),
    /// rules.yml, open for writing.
    Rules(Mutex<Draft>),
    /// overrides.jsonl, open for writing.
    Overrides(Mutex<Draft>),
    /// rescan, open for writing.
    Rescan,
    /// A file beside the control files.
    Scratch {
        /// The file.
        file: Arc<Scratch>,
        /// Whether every write goes to its end.
        append: bool,
    },
    /// A folder, listed as it was when it was opened.
    Dir {
        /// The view it was opened on.
        view: Arc<View>,
        /// The folder in that view.
        dir: DirId,
        /// The folder's number, where the kernel may list it from its memory.
        kept: Option<Ino>,
        /// Files beside the control files, where this is `_control`.
        scratch: Vec<(Vec<u8>, u64)>,
    },
    /// A folder that the view has no longer, with paths below it that go on opening: it lists as empty.
    Kept {
        /// Its number.
        folder: Ino,
        /// That of the folder above.
        above: Ino,
    },
}

/// All open handles, by number.
#[derive(Debug, Default)]
pub struct Handles {
    open: RwLock<HashMap<u64, Arc<Handle>>>,
    last: AtomicU64,
}

impl Handles {
    /// Keeps a handle and gives it a number that was never used before.
    pub fn add(&self, handle: Handle) -> u64 {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::new(handle));
        number
    }

    /// An open handle.
    ///
    /// # Errors
    /// [`FsError::BadHandle`] where it is not open.
    pub fn get(&self, number: u64) -> Result<Arc<Handle>, FsError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&number).cloned().ok_or(FsError::BadHandle)
    }

    /// Closes a handle.
    pub fn remove(&self, number: u64) -> Option<Arc<Handle>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&number)
    }

    /// How many handles are open.
    pub fn count(&self) -> usize {
        self.open.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}
