//! The search for samples that are the same sound.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use thiserror::Error;

use super::comparing::{BATCH, Comparer, Memory};
use super::groups::{Cluster, Group, clusters, groups};
use super::hearing::{self, Unheard};
use super::{Kept, Outline, candidates};
use crate::archive::{ArchiveRoot, ContentHash};
use crate::index::Status;
use crate::view::Catalogue;

/// Clusters of so many sounds are taken by one thread each, and their sounds held until they are settled; larger ones by
/// all threads together.
const SMALL: usize = 48;

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
    /// It was stopped; what was listened to and compared until then is kept.
    #[error("stopped before the end; the next run goes on from here")]
    Stopped,
    /// Something went wrong that never should.
    #[error("it panicked: {0}")]
    Panicked(String),
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
    /// Those of them that could not be read or decoded in this run, and why; in order of their paths.
    pub failed: Vec<(u32, String)>,
    /// Pairs whose outlines are alike.
    pub candidates: u64,
    /// Those that were compared by their sound in this run. Others were compared before, or can't join a group.
    pub compared: u64,
    /// How often an original was read to be compared.
    pub read: u64,
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
    /// How like each other two sounds have to be, from 0 to 1: see [`super::Ear::likeness`].
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
        let mut failed = BTreeMap::new();
        let (contents, lost) = self.contents(&mut failed);
        if self.cancel.load(Ordering::Relaxed) {
            return Err(SearchError::Stopped);
        }
        let (kept, heard) = self.outlines(&contents, &mut failed)?;
        let mut near = Near { heard, ..Near::default() };
        let mut sounds: Vec<(u32, ContentHash)> = Vec::new();
        let mut outlines: Vec<Outline> = Vec::new();
        for (id, hash) in &contents {
            if let Some(Some(outline)) = kept.of(hash) {
                sounds.push((*id, *hash));
                outlines.push(*outline);
            }
        }
        drop(kept);
        near.unheard = (contents.len() + lost - sounds.len()) as u64;
        drop(contents);
        let pairs = candidates(&outlines, self.cancel).pairs;
        drop(outlines);
        if self.cancel.load(Ordering::Relaxed) {
            return Err(SearchError::Stopped);
        }
        near.candidates = pairs.len() as u64;
        (self.tell)(Step::ToCompare(near.candidates));
        self.compare(&sounds, pairs, &mut near, &mut failed)?;
        near.failed = failed.into_iter().collect();
        Ok(near)
    }

    /// The contents, each by the first of its samples whose file is the one that was indexed. What is known of a file that
    /// has changed since is of another sound: it is named, and compared when it has been indexed again. And of how many
    /// contents no file is left.
    fn contents(&self, failed: &mut BTreeMap<u32, String>) -> (Vec<(u32, ContentHash)>, usize) {
        let samples: Vec<(u32, ContentHash)> = (0u32..)
            .zip(self.catalogue.samples().iter())
            // What is too short to be classified may be a copy of what is too short, too.
            .filter(|(_, sample)| matches!(sample.status, Status::Ok | Status::TooShort))
            .filter_map(|(id, sample)| Some((id, sample.hash?)))
            .collect();
        let first = self.catalogue.is_first_of_content();
        let is_first = |id: u32| first.get(id as usize).copied().unwrap_or(false);
        let stale: HashMap<u32, String> = samples
            .par_iter()
            .filter(|(id, _)| is_first(*id) && !self.cancel.load(Ordering::Relaxed))
            .filter_map(|(id, _)| Some((*id, hearing::stale(self.root, self.catalogue.sample(*id))?)))
            .collect();
        if stale.is_empty() {
            return (samples.into_iter().filter(|(id, _)| is_first(*id)).collect(), 0);
        }
        // Of their contents there may be copies that are as they were.
        let mut left: HashSet<ContentHash> =
            samples.iter().filter(|(id, _)| stale.contains_key(id)).map(|(_, hash)| *hash).collect();
        failed.extend(stale);
        let mut contents = Vec::new();
        for (id, hash) in samples {
            if failed.contains_key(&id) {
                continue;
            }
            if is_first(id) {
                contents.push((id, hash));
            } else if left.contains(&hash) {
                match hearing::stale(self.root, self.catalogue.sample(id)) {
                    Some(why) => _ = failed.insert(id, why),
                    None => {
                        left.remove(&hash);
                        contents.push((id, hash));
                    }
                }
            }
        }
        (contents, left.len())
    }

    /// The outlines of all contents, and how many were computed now.
    fn outlines(
        &self,
        contents: &[(u32, ContentHash)],
        failed: &mut BTreeMap<u32, String>,
    ) -> Result<(Kept, u64), SearchError> {
        let mut kept = Kept::read(self.folder);
        let missing: Vec<(u32, ContentHash)> =
            contents.iter().filter(|(_, hash)| kept.of(hash).is_none()).copied().collect();
        (self.tell)(Step::ToHear(missing.len() as u64));
        let heard = AtomicU64::new(0);
        let mut rest = &missing[..];
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(rest.len().min(BATCH.max(kept.len() / 4)));
            rest = after;
            let outlined: Vec<(u32, ContentHash, Result<Option<Outline>, Unheard>)> = batch
                .par_iter()
                .filter(|_| !self.cancel.load(Ordering::Relaxed))
                .map(|(id, hash)| {
                    let outline = hearing::outline(self.root, self.catalogue.sample(*id));
                    (self.tell)(Step::Heard);
                    heard.fetch_add(1, Ordering::Relaxed);
                    (*id, *hash, outline)
                })
                .collect();
            let mut new = Vec::with_capacity(outlined.len());
            for (id, hash, outline) in outlined {
                match outline {
                    Ok(outline) => new.push((hash, outline)),
                    // Not kept: it may be readable the next time.
                    Err(Unheard::Unread(why)) => _ = failed.insert(id, why),
                    Err(Unheard::Undecoded(why)) => {
                        new.push((hash, None));
                        failed.insert(id, why);
                    }
                }
            }
            kept.add(new);
            kept.write(self.folder).map_err(|source| self.unkept(source))?;
            if self.cancel.load(Ordering::Relaxed) {
                return Err(SearchError::Stopped);
            }
        }
        Ok((kept, heard.into_inner()))
    }

    /// Compares pairs of places in `sounds` as far as groups depend on them, and adds the groups to `near`.
    fn compare(
        &self,
        sounds: &[(u32, ContentHash)],
        pairs: Vec<(u32, u32)>,
        near: &mut Near,
        failed: &mut BTreeMap<u32, String>,
    ) -> Result<(), SearchError> {
        let memory = Memory::new(self.folder, sounds);
        let (small, large): (Vec<Cluster>, Vec<Cluster>) =
            clusters(sounds.len(), &pairs).into_iter().partition(|cluster| cluster.len() <= SMALL);
        let unread = Mutex::new(BTreeMap::new());
        let settle = |cluster: &Cluster, together: bool| -> io::Result<(Vec<Group>, u64)> {
            let mut comparer = Comparer::new(self.root, self.catalogue, sounds, &memory, together, &unread);
            let (mut settled, mut unkept) = (0, None);
            let found = groups(cluster, self.least, |first, later| {
                if self.cancel.load(Ordering::Relaxed) || unkept.is_some() {
                    return Vec::new();
                }
                let likenesses = comparer.likenesses(first, later);
                if comparer.new.len() >= BATCH {
                    unkept = memory.take(&mut comparer.new).err();
                }
                settled += later.len() as u64;
                (self.tell)(Step::Compared(later.len() as u64));
                likenesses
            });
            (self.tell)(Step::Compared(cluster.pairs() - settled));
            memory.take(&mut comparer.new)?;
            unkept.map_or(Ok((found, comparer.read)), Err)
        };
        let settled: io::Result<Vec<(Vec<Group>, u64)>> =
            small.par_iter().map(|cluster| settle(cluster, false)).collect();
        let settled = settled.and_then(|mut settled| {
            large.iter().try_for_each(|cluster| settle(cluster, true).map(|found| settled.push(found)))?;
            Ok(settled)
        });
        let settled = settled.map_err(|source| self.unkept(source))?;
        near.read = settled.iter().map(|(_, read)| read).sum();
        let stopped = self.cancel.load(Ordering::Relaxed);
        near.compared = memory.end((!stopped).then_some(&pairs)).map_err(|source| self.unkept(source))?;
        if stopped {
            return Err(SearchError::Stopped);
        }
        failed.extend(unread.into_inner().unwrap_or_else(PoisonError::into_inner));
        let id = |place: u32| sounds.get(place as usize).map_or(0, |(id, _)| *id);
        near.groups = settled
            .into_iter()
            .flat_map(|(found, _)| found)
            .map(|(first, others)| NearGroup {
                first: id(first),
                others: others.into_iter().map(|(place, likeness)| (id(place), likeness)).collect(),
            })
            .collect();
        near.groups.sort_unstable_by_key(|group| group.first);
        Ok(())
    }

    fn unkept(&self, source: io::Error) -> SearchError {
        SearchError::Keep { path: self.folder.to_owned(), source }
    }
}
