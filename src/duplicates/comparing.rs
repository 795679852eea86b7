//! Comparing the sounds of a cluster, each read once as far as memory allows.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};

use rayon::prelude::*;

use super::hearing::{self, Unheard};
use super::likenesses::rounded;
use super::{Excerpt, Likenesses};
use crate::archive::{ArchiveRoot, ContentHash};
use crate::view::Catalogue;

/// So many excerpts are held at a time: 130 MB where all are as long as excerpts can be.
const HELD: usize = 512;

/// So many outlines or likenesses are written down at a time, or a quarter of what is there: what a crash costs.
pub(super) const BATCH: usize = 20_000;

/// What is known of pairs while they are compared, for all threads.
pub(super) struct Memory<'a> {
    folder: &'a Path,
    /// Ids and contents by places.
    sounds: &'a [(u32, ContentHash)],
    known: RwLock<Known>,
}

struct Known {
    likenesses: Likenesses,
    /// So many were found now.
    new: u64,
    /// So many of them are not on the disk yet.
    unwritten: usize,
}

impl<'a> Memory<'a> {
    /// What is known in the folder of a store.
    pub fn new(folder: &'a Path, sounds: &'a [(u32, ContentHash)]) -> Self {
        let known = Known { likenesses: Likenesses::read(folder), new: 0, unwritten: 0 };
        Self { folder, sounds, known: RwLock::new(known) }
    }

    fn hash(&self, place: u32) -> Option<&ContentHash> {
        self.sounds.get(place as usize).map(|(_, hash)| hash)
    }

    /// How alike a sound is to others, as far as it is known.
    fn of(&self, first: u32, others: &[u32]) -> HashMap<u32, f32> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let of = |other: &u32| known.likenesses.of(self.hash(first)?, self.hash(*other)?);
        others.iter().filter_map(|other| Some((*other, of(other)?))).collect()
    }

    /// Takes in what was found, and writes it down when it is much.
    ///
    /// # Errors
    /// What the system says.
    pub fn take(&self, new: &mut Vec<(u32, u32, f32)>) -> io::Result<()> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.new += new.len() as u64;
        known.unwritten += new.len();
        for (a, b, likeness) in new.drain(..) {
            if let (Some(a), Some(b)) = (self.hash(a), self.hash(b)) {
                known.likenesses.put(a, b, likeness);
            }
        }
        if known.unwritten >= BATCH.max(known.likenesses.len() / 4) {
            known.unwritten = 0;
            known.likenesses.write(self.folder)?;
        }
        Ok(())
    }

    /// Writes down what is left, and says how many were found; forgets all but some pairs where those are less than half.
    ///
    /// # Errors
    /// What the system says.
    pub fn end(self, pairs: Option<&Vec<(u32, u32)>>) -> io::Result<u64> {
        let (sounds, folder) = (self.sounds, self.folder);
        let mut known = self.known.into_inner().unwrap_or_else(PoisonError::into_inner);
        let hash = |place: u32| sounds.get(place as usize).map(|(_, hash)| hash);
        if let Some(pairs) = pairs.filter(|pairs| known.new > 0 && pairs.len() < known.likenesses.len() / 2) {
            known.likenesses.keep_only(pairs.iter().filter_map(|(a, b)| Some((hash(*a)?, hash(*b)?))));
            known.unwritten += 1;
        }
        if known.unwritten > 0 {
            known.likenesses.write(folder)?;
        }
        Ok(known.new)
    }
}

/// Compares sounds of one cluster.
pub(super) struct Comparer<'a> {
    root: &'a ArchiveRoot,
    catalogue: &'a Catalogue,
    /// Ids and contents by places.
    sounds: &'a [(u32, ContentHash)],
    memory: &'a Memory<'a>,
    /// Whether all threads work on it; from a thread that is not itself one of several on clusters.
    together: bool,
    held: HashMap<u32, Option<Excerpt>>,
    unread: &'a Mutex<BTreeMap<u32, String>>,
    /// What was found since the memory took it last, by places.
    pub new: Vec<(u32, u32, f32)>,
    /// How often an original was read.
    pub read: u64,
}

impl<'a> Comparer<'a> {
    /// One that has compared nothing.
    pub fn new(
        root: &'a ArchiveRoot,
        catalogue: &'a Catalogue,
        sounds: &'a [(u32, ContentHash)],
        memory: &'a Memory<'a>,
        together: bool,
        unread: &'a Mutex<BTreeMap<u32, String>>,
    ) -> Self {
        Self { root, catalogue, sounds, memory, together, held: HashMap::new(), unread, new: Vec::new(), read: 0 }
    }

    /// How alike a sound is to others, all by their places; 0 where one can't be heard. Firsts come in order, and `later`
    /// lies behind them.
    pub fn likenesses(&mut self, first: u32, later: &[u32]) -> Vec<f32> {
        let mut likenesses = self.memory.of(first, later);
        let unknown: Vec<u32> = later.iter().filter(|other| !likenesses.contains_key(other)).copied().collect();
        for some in unknown.chunks(HELD / 2) {
            self.hold(first, some);
            let (held, sounds) = (&self.held, self.sounds);
            let compare = |other: &u32| {
                let (Some(Some(a)), Some(Some(b))) = (held.get(&first), held.get(other)) else { return None };
                // In an order of their own, so that it is the same whatever they are called.
                let hash = |place: u32| sounds.get(place as usize).map(|(_, hash)| *hash);
                let (a, b) = if hash(first) <= hash(*other) { (a, b) } else { (b, a) };
                Some((*other, rounded(hearing::likeness(a, b))))
            };
            let found: Vec<(u32, f32)> = if self.together {
                some.par_iter().filter_map(compare).collect()
            } else {
                some.iter().filter_map(compare).collect()
            };
            self.new.extend(found.iter().map(|(other, likeness)| (first, *other, *likeness)));
            likenesses.extend(found);
        }
        later.iter().map(|other| likenesses.get(other).copied().unwrap_or(0.0)).collect()
    }

    /// Reads what is not held of a first and others.
    fn hold(&mut self, first: u32, others: &[u32]) {
        let wanted = || others.iter().chain([&first]);
        if self.held.len() + others.len() >= HELD {
            // Those before this first will not be asked for again; then, where that is not enough, the rest.
            self.held.retain(|place, _| *place >= first);
            if self.held.len() + others.len() >= HELD {
                let wanted: HashSet<u32> = wanted().copied().collect();
                self.held.retain(|place, _| wanted.contains(place));
            }
        }
        let missing: Vec<u32> = wanted().filter(|place| !self.held.contains_key(place)).copied().collect();
        let (root, catalogue, sounds) = (self.root, self.catalogue, self.sounds);
        let read = |place: &u32| {
            let id = sounds.get(*place as usize).map(|(id, _)| *id)?;
            Some((*place, id, hearing::excerpt(root, catalogue.sample(id))))
        };
        type Read = (u32, u32, Result<Option<Excerpt>, Unheard>);
        let found: Vec<Read> = if self.together {
            missing.par_iter().filter_map(read).collect()
        } else {
            missing.iter().filter_map(read).collect()
        };
        self.read += found.len() as u64;
        for (place, id, excerpt) in found {
            let excerpt = excerpt.unwrap_or_else(|(Unheard::Unread(why) | Unheard::Undecoded(why))| {
                self.unread.lock().unwrap_or_else(PoisonError::into_inner).insert(id, why);
                None
            });
            self.held.insert(place, excerpt);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::HashAlgorithm;

    #[test]
    fn what_was_found_is_on_the_disk_before_the_end_and_what_no_pair_needs_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let sounds: Vec<(u32, ContentHash)> =
            (0..400u32).map(|id| (id, ContentHash::of(HashAlgorithm::Xxh3, &id.to_le_bytes()))).collect();
        let pairs: Vec<(u32, u32)> = (0..200).flat_map(|a| (200..310).map(move |b| (a, b))).collect();
        assert!(pairs.len() > BATCH);
        let memory = Memory::new(folder.path(), &sounds);
        memory.take(&mut pairs.iter().map(|(a, b)| (*a, *b, 0.5)).collect()).unwrap();
        assert_eq!(Likenesses::read(folder.path()).len(), pairs.len(), "a crash costs no more than a batch");
        memory.take(&mut vec![(0, 399, 1.0)]).unwrap();
        assert_eq!(memory.of(0, &[200, 350, 399]), HashMap::from([(200, rounded(0.5)), (399, 1.0)]));
        assert_eq!(memory.end(Some(&pairs)).unwrap(), pairs.len() as u64 + 1);
        assert_eq!(Likenesses::read(folder.path()).len(), pairs.len() + 1);
        // Nothing new: nothing is written.
        std::fs::remove_file(folder.path().join("likenesses.bin")).unwrap();
        assert_eq!(Memory::new(folder.path(), &sounds).end(Some(&pairs)).unwrap(), 0);
        assert!(!folder.path().join("likenesses.bin").exists());
        let memory = Memory::new(folder.path(), &sounds);
        memory.take(&mut vec![(0, 1, 0.5), (0, 2, 0.5), (0, 3, 0.5), (0, 4, 0.5)]).unwrap();
        assert_eq!(memory.end(Some(&vec![(0, 2)])).unwrap(), 4);
        let left = Likenesses::read(folder.path());
        assert_eq!((left.len(), left.of(&sounds[0].1, &sounds[2].1)), (1, Some(rounded(0.5))));
    }
}
