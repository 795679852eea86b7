//! What the kernel may remember of the names it was given.
//!
//! Whoever answers the kernel notes here first and looks at the current view after that; the keeper swaps the view
//! first and looks here after that. So of an answer from the old view the keeper always knows.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::view::{Ino, View, ino};

/// A program has worked an answer into the kernel's memory after this long, however busy the machine is.
const WORKED_IN: Duration = Duration::from_secs(2);

/// What the kernel may remember of names.
#[derive(Debug, Default)]
pub struct Remembered {
    /// Folders of which it was given names to remember.
    folders: RwLock<HashSet<Ino>>,
    /// Names, hashed, that it may hold and was told to ask for again, or was given with no lifetime.
    expired: RwLock<HashSet<u64>>,
    /// When one of those was last asked for.
    asked_again: Mutex<Option<Instant>>,
    stand_ins: RwLock<StandIns>,
}

/// Numbers under which originals are shown that replaced one that is still open: as on a disk, where
/// a file that is renamed over another has a number of its own.
#[derive(Debug, Default)]
struct StandIns {
    /// The one in use, by the sample's own number.
    shown: HashMap<Ino, Ino>,
    /// The sample's own number, by each that was ever in use.
    own: HashMap<Ino, Ino>,
}

fn key(folder: Ino, name: &[u8]) -> u64 {
    xxh3_64_with_seed(name, folder)
}

impl Remembered {
    /// The kernel is about to be given a name of a folder to remember.
    pub fn give(&self, folder: Ino) {
        if !self.is_given(folder) {
            self.folders.write().unwrap_or_else(PoisonError::into_inner).insert(folder);
        }
    }

    /// Whether the kernel was given a name of a folder to remember.
    pub fn is_given(&self, folder: Ino) -> bool {
        self.folders.read().unwrap_or_else(PoisonError::into_inner).contains(&folder)
    }

    /// The kernel holds a name and asks for it again before it uses it.
    pub fn expire(&self, folder: Ino, name: &[u8]) {
        self.expire_all(folder, std::iter::once(name));
    }

    /// The same for several names of a folder.
    pub fn expire_all<'a>(&self, folder: Ino, names: impl Iterator<Item = &'a [u8]>) {
        self.expired.write().unwrap_or_else(PoisonError::into_inner).extend(names.map(|name| key(folder, name)));
    }

    /// A name is about to be looked up. Where the kernel may hold it, it works the answer in with no lock held, so
    /// that what it is told meanwhile may be undone by an answer from before.
    pub fn look_up(&self, folder: Ino, name: &[u8]) {
        let expired = self.expired.read().unwrap_or_else(PoisonError::into_inner);
        if !expired.is_empty() && expired.contains(&key(folder, name)) {
            *self.asked_again.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// Whether an answer may be on its way that undoes what the kernel was just told.
    pub fn may_be_undone(&self) -> bool {
        let asked = *self.asked_again.lock().unwrap_or_else(PoisonError::into_inner);
        asked.is_some_and(|asked| asked.elapsed() < WORKED_IN)
    }

    /// From now on a sample is shown under another number than its own.
    pub fn stand_in(&self, own: Ino, number: Ino) {
        let mut all = self.stand_ins.write().unwrap_or_else(PoisonError::into_inner);
        all.shown.insert(own, number);
        all.own.insert(number, own);
    }

    /// From now on a sample is shown under a number that nothing was ever shown under.
    pub fn stand_in_for(&self, view: &View, own: Ino, path: &[u8]) {
        let fresh = |number: &Ino| view.by_ino(*number).is_none() && self.own(*number) == *number;
        if let Some(number) = (1 << 32..).map(|salt| ino::of_sample(path, salt)).find(fresh) {
            self.stand_in(own, number);
        }
    }

    /// A number that differs where samples are shown under other numbers.
    pub fn numbers(&self) -> u64 {
        self.stand_ins.read().unwrap_or_else(PoisonError::into_inner).own.len() as u64
    }

    /// The number under which a sample is shown.
    pub fn shown(&self, own: Ino) -> Ino {
        let all = self.stand_ins.read().unwrap_or_else(PoisonError::into_inner);
        all.shown.get(&own).copied().unwrap_or(own)
    }

    /// A sample's own number, of one under which it is or was shown, or is found by a path that it has no longer.
    pub fn own(&self, number: Ino) -> Ino {
        let number = ino::kept(number).unwrap_or(number);
        let all = self.stand_ins.read().unwrap_or_else(PoisonError::into_inner);
        all.own.get(&number).copied().unwrap_or(number)
    }

    /// Every number under which a sample was ever shown, or found.
    pub fn all(&self, own: Ino) -> Vec<Ino> {
        let all = self.stand_ins.read().unwrap_or_else(PoisonError::into_inner);
        let others = all.own.iter().filter(|(_, of)| **of == own).map(|(number, _)| *number);
        std::iter::once(own).chain(others).flat_map(|number| [number, ino::of_kept(number)]).collect()
    }

    /// How many names the kernel may hold and asks for again.
    pub fn expired(&self) -> usize {
        self.expired.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The kernel holds no name any longer that it was given before.
    pub fn all_forgotten(&self) {
        *self.expired.write().unwrap_or_else(PoisonError::into_inner) = HashSet::new();
        *self.asked_again.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_was_told_to_be_asked_for_again_can_undo_what_is_told() {
        let remembered = Remembered::default();
        remembered.look_up(1, b"a");
        assert!(!remembered.may_be_undone());
        remembered.expire(1, b"a");
        remembered.look_up(2, b"a");
        remembered.look_up(1, b"b");
        assert!(!remembered.may_be_undone());
        remembered.look_up(1, b"a");
        assert!(remembered.may_be_undone());
        remembered.all_forgotten();
        assert!(!remembered.may_be_undone());
        assert_eq!(remembered.expired(), 0);
    }

    #[test]
    fn a_sample_is_found_under_every_number_it_was_shown_under() {
        let remembered = Remembered::default();
        assert_eq!((remembered.shown(5), remembered.own(5)), (5, 5));
        remembered.stand_in(5, 100);
        remembered.stand_in(5, 101);
        assert_eq!((remembered.shown(5), remembered.own(100), remembered.own(101)), (101, 5, 5));
        assert_eq!(remembered.own(ino::of_kept(101)), 5);
        let mut all = remembered.all(5);
        all.sort_unstable();
        assert_eq!(all, [5, 100, 101].into_iter().chain([5, 100, 101].map(ino::of_kept)).collect::<Vec<_>>());
    }

    #[test]
    fn folders_are_known_once_a_name_was_given() {
        let remembered = Remembered::default();
        assert!(!remembered.is_given(7));
        remembered.give(7);
        assert!(remembered.is_given(7));
    }
}
