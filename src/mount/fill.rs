//! Small originals are given to the kernel whole while they are opened, so that the first read needs no message.
//!
//! This is the one thing that a thread which serves requests tells the kernel. It may wait there for a page that is
//! being read, and so for another such thread: one at a time does it, and the others never wait for that one. Nobody
//! else has the file open then, so that even that is rare.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use crate::view::Ino;

/// The largest original that is given, in bytes: what the kernel would ask for with its first read.
pub const MAX: u64 = 128 * 1024;

/// So many files are kept in mind as given. One that is forgotten is given again when it is opened again, which does
/// no harm.
const KEPT: usize = 1 << 16;

/// What was given lately.
#[derive(Debug)]
pub struct Fills {
    turn: Mutex<()>,
    given: Box<[AtomicU64]>,
}

impl Default for Fills {
    fn default() -> Self {
        Self { turn: Mutex::new(()), given: std::iter::repeat_with(|| AtomicU64::new(0)).take(KEPT).collect() }
    }
}

impl Fills {
    /// Whether a file is to be given now: it was not lately, and nobody is giving another.
    pub fn begin(&self, ino: Ino) -> Option<MutexGuard<'_, ()>> {
        let slot = &self.given[ino as usize % KEPT];
        if slot.load(Ordering::Relaxed) == ino {
            return None;
        }
        let turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        slot.store(ino, Ordering::Relaxed);
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_each_once() {
        let fills = Fills::default();
        let first = fills.begin(5);
        assert!(first.is_some());
        assert!(fills.begin(6).is_none(), "somebody is at it");
        drop(first);
        assert!(fills.begin(5).is_none(), "given already");
        assert!(fills.begin(6).is_some());
    }
}
