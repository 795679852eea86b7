//! The search for samples that are the same sound.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::prelude::*;
use thiserror::Error;

use super::{Ear, Excerpt, Kept, Outline, Outliner, candidates};
use crate::archive::{ArchiveRoot, ContentHash};
use crate::audio::Decoder;
use crate::index::Status;
use crate::index::reading::Reading;
use crate::view::{Catalogue, SampleRef};

/// So many outlines that were computed are written down at a time: what a crash costs.
const BATCH: usize = 20_000;

/// So many excerpts of one group's first sounds are held at a time, by each thread.
const HELD: usize = 256;

/// Why near duplicates could not be looked for.
#[derive(Debug, Error)]
pub enum SearchError {
    /// What is kept could not be written.
    #[error("{}: what was heard for `duplicates` can't be kept: {source}", path.display())]
    Keep {
        /// The store's folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was stopped; what was listened to until then is kept.
    #[error("stopped before the end; the next run goes on from here")]
    Stopped,
}

/// How far a search is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many contents have to be listened to.
    ToHear(u64),
    /// One was.
    Heard,
    /// So many pairs are to be compared at most.
    ToCompare(u64),
    /// So many of them are settled.
    Compared(u64),
}

/// Samples of one content, by their ids, in order of their paths.
pub type Exact = Vec<u32>;

/// Contents that are nearly the same sound.
#[derive(Debug, Clone, PartialEq)]
pub struct NearGroup {
    /// The sample that stands for all: the first by path.
    pub first: u32,
    /// One sample of each other content, with how like the first one it is, from 0 to 1; in order of their paths.
    pub others: Vec<(u32, f32)>,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Near {
    /// The groups, in order of their first paths.
    pub groups: Vec<NearGroup>,
    /// Contents that were listened to in this run; the others were known from an earlier one.
    pub heard: u64,
    /// Contents that are silent, or could not be read or decoded.
    pub unheard: u64,
    /// Pairs that were alike enough to be compared.
    pub candidates: u64,
}

/// Contents that stand under several present paths, in order of their first paths.
pub fn exact(catalogue: &Catalogue) -> Vec<Exact> {
    let first = catalogue.is_first_of_content();
    let samples = || (0u32..).zip(catalogue.samples().iter()).filter(|(_, sample)| sample.is_present());
    let copied: HashSet<ContentHash> = samples()
        .zip(samples().map(|(id, _)| first.get(id as usize).copied().unwrap_or(false)))
        .filter(|(_, is_first)| !is_first)
        .filter_map(|((_, sample), _)| sample.hash)
        .collect();
    let mut groups: HashMap<ContentHash, Exact> = HashMap::new();
    for (id, sample) in samples() {
        if let Some(hash) = sample.hash.filter(|hash| copied.contains(hash)) {
            groups.entry(hash).or_default().push(id);
        }
    }
    let mut groups: Vec<Exact> = groups.into_values().collect();
    groups.sort_unstable();
    groups
}

/// Looks for near duplicates.
pub struct Search<'a> {
    /// The samples.
    pub catalogue: &'a Catalogue,
    /// The originals.
    pub root: &'a ArchiveRoot,
    /// The folder of the store, for what is kept.
    pub folder: &'a Path,
    /// How like each other two sounds have to be, from 0 to 1: see [`Ear::likeness`].
    pub least: f32,
    /// Set from anywhere to stop.
    pub cancel: &'a AtomicBool,
    /// Told how far it is, from any thread.
    pub tell: &'a (dyn Fn(Step) + Sync),
}

impl Search<'_> {
    /// Listens to what has no outline yet, looks for pairs, compares them. Runs on the current thread pool.
    ///
    /// # Errors
    /// [`SearchError`]. A file that can't be read or decoded costs itself alone.
    pub fn run(&self) -> Result<Near, SearchError> {
        let first = self.catalogue.is_first_of_content();
        let contents: Vec<(u32, ContentHash)> = (0u32..)
            .zip(self.catalogue.samples().iter())
            .zip(first)
            // What is too short to be classified may be a copy of what is too short, too.
            .filter(|((_, sample), first)| *first && matches!(sample.status, Status::Ok | Status::TooShort))
            .filter_map(|((id, sample), _)| Some((id, sample.hash?)))
            .collect();
        let (kept, heard) = self.outlines(&contents)?;
        let mut ids = Vec::new();
        let mut outlines: Vec<Outline> = Vec::new();
        for (id, hash) in &contents {
            if let Some(Some(outline)) = kept.0.get(hash) {
                ids.push(*id);
                outlines.push(*outline);
            }
        }
        drop(kept);
        let pairs = candidates(&outlines);
        let unheard = (contents.len() - ids.len()) as u64;
        (self.tell)(Step::ToCompare(pairs.len() as u64));
        let mut near = Near { groups: Vec::new(), heard, unheard, candidates: pairs.len() as u64 };
        let clusters = clusters(outlines.len(), pairs);
        drop(outlines);
        let compare = |pairs: &Vec<(u32, u32)>| {
            let found = HEARING.with_borrow_mut(|hearing| self.groups(pairs, &ids, hearing));
            (self.tell)(Step::Compared(pairs.len() as u64));
            found
        };
        near.groups = clusters.par_iter().flat_map_iter(compare).collect();
        if self.cancel.load(Ordering::Relaxed) {
            return Err(SearchError::Stopped);
        }
        near.groups.sort_unstable_by_key(|group| group.first);
        Ok(near)
    }

    /// The outlines of all contents, and how many were computed now.
    fn outlines(&self, contents: &[(u32, ContentHash)]) -> Result<(Kept, u64), SearchError> {
        let mut kept = Kept::read(self.folder);
        let missing: Vec<(u32, ContentHash)> =
            contents.iter().filter(|(_, hash)| !kept.0.contains_key(hash)).copied().collect();
        (self.tell)(Step::ToHear(missing.len() as u64));
        let heard = AtomicU64::new(0);
        for batch in missing.chunks(BATCH) {
            let outlined: Vec<(ContentHash, Option<Outline>)> = batch
                .par_iter()
                .filter(|_| !self.cancel.load(Ordering::Relaxed))
                .filter_map(|(id, hash)| {
                    let outline = HEARING.with_borrow_mut(|hearing| {
                        hearing.hear(self.root, self.catalogue.sample(*id), |hearing, samples, rate, _| {
                            hearing.outliner.outline(samples, rate)
                        })
                    });
                    (self.tell)(Step::Heard);
                    heard.fetch_add(1, Ordering::Relaxed);
                    match outline {
                        Ok(outline) => Some((*hash, outline)),
                        // Not kept: it may be readable the next time.
                        Err(Unheard::Unread) => None,
                        Err(Unheard::Undecoded) => Some((*hash, None)),
                    }
                })
                .collect();
            kept.0.extend(outlined);
            let keep = |source| SearchError::Keep { path: self.folder.to_owned(), source };
            kept.write(self.folder).map_err(keep)?;
            if self.cancel.load(Ordering::Relaxed) {
                return Err(SearchError::Stopped);
            }
        }
        Ok((kept, heard.into_inner()))
    }

    /// The groups among some contents that hang together by candidate pairs. One after another by path: each joins the
    /// first sound it is most like, or else begins a group of its own, so that all of a group are like its first and not
    /// only like each other in a chain.
    fn groups(&self, pairs: &[(u32, u32)], ids: &[u32], hearing: &mut Hearing) -> Vec<NearGroup> {
        let mut earlier: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        pairs.iter().for_each(|(a, b)| earlier.entry(*b).or_default().push(*a));
        let mut groups: BTreeMap<u32, Vec<(u32, f32)>> = BTreeMap::new();
        let mut joined: HashSet<u32> = HashSet::new();
        let mut held: HashMap<u32, Option<Excerpt>> = HashMap::new();
        for (place, firsts) in earlier {
            if self.cancel.load(Ordering::Relaxed) {
                return Vec::new();
            }
            let firsts: Vec<u32> = firsts.into_iter().filter(|first| !joined.contains(first)).collect();
            if firsts.is_empty() {
                continue;
            }
            let Some(own) = self.excerpt(place, ids, hearing) else { continue };
            let mut best: Option<(f32, u32)> = None;
            for first in firsts {
                if !held.contains_key(&first) {
                    if held.len() >= HELD {
                        held.clear();
                    }
                    held.insert(first, self.excerpt(first, ids, hearing));
                }
                let Some(Some(other)) = held.get(&first) else { continue };
                let likeness = hearing.ear.likeness(other, &own);
                if likeness >= self.least && best.is_none_or(|(most, _)| likeness > most) {
                    best = Some((likeness, first));
                }
            }
            if let Some((likeness, first)) = best {
                joined.insert(place);
                groups.entry(first).or_default().push((place, likeness));
            }
        }
        let id = |place: u32| ids.get(place as usize).copied().unwrap_or_default();
        let group = |(first, others): (u32, Vec<(u32, f32)>)| NearGroup {
            first: id(first),
            others: others.into_iter().map(|(place, likeness)| (id(place), likeness)).collect(),
        };
        groups.into_iter().map(group).collect()
    }

    fn excerpt(&self, place: u32, ids: &[u32], hearing: &mut Hearing) -> Option<Excerpt> {
        let sample = self.catalogue.sample(*ids.get(place as usize)?);
        let excerpt = hearing
            .hear(self.root, sample, |hearing, samples, rate, seconds| hearing.ear.excerpt(samples, rate, seconds));
        excerpt.ok().flatten()
    }
}

thread_local! {
    static HEARING: std::cell::RefCell<Hearing> = std::cell::RefCell::default();
}

/// What a thread listens with.
#[derive(Default)]
struct Hearing {
    outliner: Outliner,
    ear: Ear,
}

enum Unheard {
    /// It can't be read, or is another content by now.
    Unread,
    /// It can't be decoded.
    Undecoded,
}

impl Hearing {
    /// Decodes a sample, if its content is still the one that is known, and gives samples, rate and length in seconds to
    /// `make`. A decoder that panics costs this sample.
    fn hear<T>(
        &mut self,
        root: &ArchiveRoot,
        sample: SampleRef<'_>,
        make: impl FnOnce(&mut Self, &[f32], u32, f64) -> Option<T>,
    ) -> Result<Option<T>, Unheard> {
        let Some(hash) = sample.hash else { return Err(Unheard::Unread) };
        let reading = Reading::new(root, sample.path, hash.algorithm()).map_err(|_| Unheard::Unread)?;
        if reading.hash != hash {
            return Err(Unheard::Unread);
        }
        let made = crate::catch_quietly(|| {
            let mut decoder = Decoder::new();
            let decoded = reading.decode(&mut decoder).ok()?;
            Some(make(self, decoded.samples, decoded.sample_rate, decoded.duration_sec()))
        });
        match made {
            Ok(Some(made)) => Ok(made),
            Ok(None) => Err(Unheard::Undecoded),
            Err(_) => {
                *self = Self::default();
                Err(Unheard::Undecoded)
            }
        }
    }
}

/// Pairs that hang together, each set in order.
fn clusters(count: usize, pairs: Vec<(u32, u32)>) -> Vec<Vec<(u32, u32)>> {
    let mut parents: Vec<u32> = (0..count as u32).collect();
    fn root(parents: &mut [u32], mut of: u32) -> u32 {
        while let Some(&parent) = parents.get(of as usize) {
            if parent == of {
                break;
            }
            let above = parents.get(parent as usize).copied().unwrap_or(parent);
            if let Some(slot) = parents.get_mut(of as usize) {
                *slot = above;
            }
            of = above;
        }
        of
    }
    for (a, b) in &pairs {
        let (a, b) = (root(&mut parents, *a), root(&mut parents, *b));
        if let Some(slot) = parents.get_mut(a.max(b) as usize) {
            *slot = a.min(b);
        }
    }
    let mut sets: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
    for pair in pairs {
        sets.entry(root(&mut parents, pair.0)).or_default().push(pair);
    }
    sets.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_share_a_sound_hang_together() {
        let found = clusters(9, vec![(0, 3), (1, 2), (3, 5), (6, 7), (5, 8)]);
        assert_eq!(found, [vec![(0, 3), (3, 5), (5, 8)], vec![(1, 2)], vec![(6, 7)]]);
        assert!(clusters(0, Vec::new()).is_empty());
    }
}
