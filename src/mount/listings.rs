//! Which folders the kernel may list from its own memory.
//!
//! It keeps one listing a folder (FOPEN_CACHE_DIR), filled by every handle that may use it, from whatever that handle was
//! opened on. So only handles that were opened on the same names and numbers may use it at a time: one that is opened
//! on others while such a handle is open asks for itself. The first that is opened after the last of them was closed
//! has what was kept thrown away (an open without FOPEN_KEEP_CACHE does) and fills it again. The kernel does that after it
//! was answered: until that first handle reads, others ask for themselves, or they could be given what is not thrown away yet.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};

use crate::view::Ino;

/// How a handle on a folder is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Every part is asked for, and none is kept.
    Asked,
    /// From the kernel's memory, which is emptied first.
    Anew,
    /// From the kernel's memory.
    Kept,
}

#[derive(Debug)]
struct Listing {
    /// Tells names and numbers from others.
    version: u64,
    /// How many handles use the kernel's memory of it.
    open: usize,
    /// Whether the kernel has certainly thrown away what it kept of the version before.
    emptied: bool,
}

/// What the kernel may have kept, by folder.
#[derive(Debug, Default)]
pub struct Listings(Mutex<HashMap<Ino, Listing>>);

impl Listings {
    /// A handle is opened on a folder whose names and numbers are those of `version`.
    pub fn open(&self, folder: Ino, version: u64) -> Listed {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(folder) {
            Entry::Vacant(none) => {
                none.insert(Listing { version, open: 1, emptied: false });
                Listed::Anew
            }
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                if known.version == version && known.emptied {
                    known.open += 1;
                    Listed::Kept
                } else if known.open == 0 {
                    *known = Listing { version, open: 1, emptied: false };
                    Listed::Anew
                } else {
                    Listed::Asked
                }
            }
        }
    }

    /// A handle that was not [`Listed::Asked`] is read: its open has ended in the kernel, too.
    pub fn read(&self, folder: Ino) {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&folder) {
            known.emptied = true;
        }
    }

    /// A handle that was not [`Listed::Asked`] is closed.
    pub fn close(&self, folder: Ino) {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&folder) {
            known.open = known.open.saturating_sub(1);
            known.emptied = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_on_the_same_names_share_what_is_kept() {
        let listings = Listings::default();
        assert_eq!(listings.open(7, 1), Listed::Anew);
        assert_eq!(listings.open(7, 1), Listed::Asked, "what was kept before may not be thrown away yet");
        listings.read(7);
        assert_eq!(listings.open(7, 1), Listed::Kept);
        listings.close(7);
        listings.close(7);
        assert_eq!(listings.open(7, 1), Listed::Kept);
        assert_eq!(listings.open(8, 1), Listed::Anew);
    }

    #[test]
    fn a_handle_on_other_names_never_meets_one_that_fills_the_same_memory() {
        let listings = Listings::default();
        assert_eq!(listings.open(7, 1), Listed::Anew);
        listings.read(7);
        assert_eq!(listings.open(7, 2), Listed::Asked);
        assert_eq!(listings.open(7, 1), Listed::Kept);
        listings.close(7);
        assert_eq!(listings.open(7, 2), Listed::Asked);
        listings.close(7);
        assert_eq!(listings.open(7, 2), Listed::Anew);
        assert_eq!(listings.open(7, 1), Listed::Asked);
    }
}
