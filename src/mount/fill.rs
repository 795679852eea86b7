//! Small originals are given to the kernel whole while they are opened, so that the first read needs no message.
//!
//! This is the one thing that a thread which serves requests tells the kernel. It may wait there for a page that is
//! being read, and so for another such thread: one at a time does it, and the others never wait for that one. Nobody
//! else has the file open then, so that even that is rare.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use crate::view::Ino;

/// The largest original that is given, in bytes: what the kernel would ask for with its first read.
pub const MAX: u64 = 128 * 1024;

/// So many sets of files are kept in mind as given, and so many files in each. One that is forgotten is given again when
/// it is opened again, which does no harm: of 100,000 that is one in fifty.
const SETS: usize = 1 << 16;
const WAYS: usize = 4;

/// What was given lately.
#[derive(Debug)]
pub struct Fills {
    turn: Mutex<()>,
    /// The upper half of the inode number; of those with the same lower bits the last few.
    given: Box<[[AtomicU32; WAYS]]>,
}

impl Default for Fills {
    fn default() -> Self {
        Self { turn: Mutex::new(()), given: std::iter::repeat_with(Default::default).take(SETS).collect() }
    }
}

impl Fills {
    /// Whether a file is to be given now: it was not lately, and nobody is giving another.
    pub fn begin(&self, ino: Ino) -> Option<MutexGuard<'_, ()>> {
        let set = &self.given[ino as usize % SETS];
        // Never 0, which stands for none.
        let tag = (ino >> 32) as u32 | 1;
        if set.iter().any(|slot| slot.load(Ordering::Relaxed) == tag) {
            return None;
        }
        let turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        for place in (1..WAYS).rev() {
            set[place].store(set[place - 1].load(Ordering::Relaxed), Ordering::Relaxed);
        }
        set[0].store(tag, Ordering::Relaxed);
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_each_once() {
        let fills = Fills::default();
        let numbers: Vec<Ino> = (1..=WAYS as u64).map(|number| number << 33 | 5).collect();
        let first = fills.begin(numbers[0]);
        assert!(first.is_some());
        assert!(fills.begin(6).is_none(), "somebody is at it");
        drop(first);
        assert!(numbers[1..].iter().all(|number| fills.begin(*number).is_some()));
        assert!(numbers.iter().all(|number| fills.begin(*number).is_none()), "given already");
        assert!(fills.begin(6).is_some());
    }
}
