//! Comparing the sounds of a cluster, each read once as far as memory allows.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::hearing::{self, Unheard};
use super::likenesses::rounded;
use super::{Excerpt, Likenesses};
use crate::archive::{ArchiveRoot, ContentHash};
use crate::view::Catalogue;

/// So many excerpts are held at a time: 130 MB where all are as long as excerpts can be.
const HELD: usize = 512;

/// Compares sounds of one cluster.
pub(super) struct Comparer<'a> {
    root: &'a ArchiveRoot,
    catalogue: &'a Catalogue,
    /// Ids and contents by places.
    sounds: &'a [(u32, ContentHash)],
    known: &'a Likenesses,
    /// Whether all threads work on it; from a thread that is not itself one of several on clusters.
    together: bool,
    held: HashMap<u32, Option<Excerpt>>,
    unread: &'a Mutex<BTreeMap<u32, String>>,
    /// What was found now, by places.
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
        known: &'a Likenesses,
        together: bool,
        unread: &'a Mutex<BTreeMap<u32, String>>,
    ) -> Self {
        Self { root, catalogue, sounds, known, together, held: HashMap::new(), unread, new: Vec::new(), read: 0 }
    }

    /// How alike a sound is to others, all by their places; 0 where one can't be heard. Firsts come in order, and `later`
    /// lies behind them.
    pub fn likenesses(&mut self, first: u32, later: &[u32]) -> Vec<f32> {
        let hash = |place: u32| self.sounds.get(place as usize).map(|(_, hash)| hash);
        let known = |other: &u32| self.known.of(hash(first)?, hash(*other)?);
        let mut likenesses: HashMap<u32, f32> =
            later.iter().filter_map(|other| Some((*other, known(other)?))).collect();
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
