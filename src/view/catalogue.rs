//! Every sample with what was heard in it, ordered by path: what a view is made from.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::chunk::{Chunk, Totals};
use super::ino::Ino;
use super::numbers::ByIno;
use super::sample::{Sample, SampleRef, name_of};
use crate::archive::ContentHash;
use crate::rules::ReadName;

/// How many samples are packed together. A change of one copies so many.
const CHUNK: usize = 4096;

/// Chunks that shrank below this are packed together with the next.
const CHUNK_MIN: usize = CHUNK / 4;

/// All samples, immutable. A change makes a new catalogue that shares the chunks of samples that stayed.
#[derive(Debug, Default)]
pub struct Catalogue {
    chunks: Chunks,
    by_ino: Arc<ByIno>,
    by_hash: OnceLock<Arc<[u32]>>,
    by_hash_digest: OnceLock<u64>,
    by_name: OnceLock<Arc<[u32]>>,
    totals: OnceLock<Totals>,
    alike: Arc<Alike>,
}

/// Contents that are nearly the same sound: the number of the group of each.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Alike(pub HashMap<ContentHash, u32>);

/// The samples of a catalogue, packed.
#[derive(Debug, Default, Clone)]
pub(super) struct Chunks {
    all: Vec<Arc<Chunk>>,
    /// Id of the first sample of each chunk, and how many samples there are.
    starts: Vec<u32>,
    /// The chunk of every [`CHUNK_MIN`]-th sample: where the search for a sample's chunk begins.
    hints: Vec<u32>,
}

impl Chunks {
    fn new(all: Vec<Arc<Chunk>>) -> Self {
        let mut starts = Vec::with_capacity(all.len() + 1);
        let mut next = 0u32;
        let mut hints = Vec::new();
        for (number, chunk) in all.iter().enumerate() {
            starts.push(next);
            next += chunk.len() as u32;
            while hints.len() * CHUNK_MIN < next as usize {
                hints.push(number as u32);
            }
        }
        starts.push(next);
        Self { all, starts, hints }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.last().map_or(0, |len| *len as usize)
    }

    pub(super) fn all(&self) -> &[Arc<Chunk>] {
        &self.all
    }

    /// The chunk of a sample, and its place in it.
    pub(super) fn find(&self, id: u32) -> (&Chunk, usize) {
        let mut chunk = self.hints[id as usize / CHUNK_MIN] as usize;
        while self.starts[chunk + 1] <= id {
            chunk += 1;
        }
        (&self.all[chunk], (id - self.starts[chunk]) as usize)
    }

    pub(super) fn path(&self, id: u32) -> &[u8] {
        let (chunk, place) = self.find(id);
        chunk.path(place)
    }

    pub(super) fn own_ino(&self, id: u32) -> Ino {
        let (chunk, place) = self.find(id);
        chunk.ino(place)
    }
}

/// The samples of a catalogue, ordered by path bytes. A sample's place is its id.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a>(&'a Chunks);

impl<'a> Samples<'a> {
    /// How many there are.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The sample at a place.
    pub fn get(self, place: usize) -> Option<SampleRef<'a>> {
        (place < self.len()).then(|| {
            let (chunk, place) = self.0.find(place as u32);
            chunk.sample(place)
        })
    }

    /// One after another.
    pub fn iter(self) -> impl Iterator<Item = SampleRef<'a>> {
        self.0.all.iter().flat_map(|chunk| chunk.samples())
    }
}

/// Makes a catalogue of samples that come in the order of their paths, without holding them all as they come.
#[derive(Debug, Default)]
pub struct Builder {
    done: Vec<Arc<Chunk>>,
    waiting: Vec<Sample>,
}

impl Builder {
    /// Takes more samples. Their paths come after those that were taken before, and are in order.
    pub fn add(&mut self, samples: impl IntoIterator<Item = Sample>) {
        self.waiting.extend(samples);
        if self.waiting.len() >= CHUNK {
            self.pack(self.waiting.len() / CHUNK * CHUNK);
        }
    }

    fn pack(&mut self, count: usize) {
        let packed: Vec<Arc<Chunk>> = self.waiting[..count].par_chunks(CHUNK).map(pack).collect();
        self.done.extend(packed);
        self.waiting.drain(..count);
    }

    /// The catalogue of all that were taken.
    pub fn finish(mut self) -> Catalogue {
        self.pack(self.waiting.len());
        Catalogue::of_chunks(self.done)
    }
}

fn pack<S: std::borrow::Borrow<Sample>>(samples: &[S]) -> Arc<Chunk> {
    let samples: Vec<SampleRef<'_>> = samples.iter().map(|sample| sample.borrow().borrowed()).collect();
    Arc::new(Chunk::new(&samples))
}

/// Packs samples, some of which are in chunks already, anew.
struct Repacking<'a> {
    done: Vec<Arc<Chunk>>,
    open: Vec<SampleRef<'a>>,
}

impl<'a> Repacking<'a> {
    fn push(&mut self, sample: SampleRef<'a>) {
        self.open.push(sample);
        // So much is left in any case that the next chunk is none of a few.
        if self.open.len() == 2 * CHUNK {
            self.done.push(Arc::new(Chunk::new(&self.open[..CHUNK])));
            self.open.drain(..CHUNK);
        }
    }

    fn close(&mut self) {
        let parts = if self.open.len() > CHUNK + CHUNK / 2 { 2 } else { 1 };
        if !self.open.is_empty() {
            let each = self.open.len().div_ceil(parts);
            self.done.extend(self.open.chunks(each).map(|part| Arc::new(Chunk::new(part))));
            self.open.clear();
        }
    }
}

impl Catalogue {
    /// The catalogue of `samples`, which must be ordered by path and have each path once.
    pub fn new(samples: Vec<Arc<Sample>>) -> Self {
        debug_assert!(samples.is_sorted_by(|a, b| a.path < b.path));
        Self::of_chunks(samples.par_chunks(CHUNK).map(pack).collect())
    }

    /// The catalogue of chunks whose samples are in order.
    pub(super) fn of_chunks(chunks: Vec<Arc<Chunk>>) -> Self {
        let chunks = Chunks::new(chunks);
        let by_ino = Arc::new(ByIno::new(&chunks));
        Self { chunks, by_ino, ..Self::default() }
    }

    /// This catalogue with samples put in or replaced, and others taken out.
    pub fn with(&self, mut changed: Vec<Arc<Sample>>, mut removed: Vec<Vec<u8>>) -> Self {
        // The last word on a path counts.
        changed.reverse();
        changed.sort_by(|a, b| a.path.cmp(&b.path));
        changed.dedup_by(|later, earlier| later.path == earlier.path);
        removed.sort_unstable();
        let (mut changed, mut removed) = (changed.iter().peekable(), removed.iter().peekable());
        let mut new = Repacking { done: Vec::with_capacity(self.chunks.all.len() + 1), open: Vec::new() };
        for (number, chunk) in self.chunks.all.iter().enumerate() {
            // What lies before the next chunk belongs here.
            let end = self.chunks.all.get(number + 1).map(|next| next.path(0));
            let is_here = |path: &[u8]| end.is_none_or(|end| path < end);
            let touched = changed.peek().is_some_and(|sample| is_here(&sample.path))
                || removed.peek().is_some_and(|path| is_here(path));
            if !touched && (new.open.is_empty() || new.open.len() >= CHUNK_MIN) {
                new.close();
                new.done.push(Arc::clone(chunk));
                continue;
            }
            for old in chunk.samples() {
                while let Some(sample) = changed.next_if(|sample| *sample.path < *old.path) {
                    new.push(sample.borrowed());
                }
                while removed.next_if(|path| path[..] < *old.path).is_some() {}
                let gone = removed.peek().is_some_and(|path| path[..] == *old.path);
                match changed.next_if(|sample| *sample.path == *old.path) {
                    Some(sample) => new.push(sample.borrowed()),
                    None if gone => {}
                    None => new.push(old),
                }
            }
            while let Some(sample) = changed.next_if(|sample| is_here(&sample.path)) {
                new.push(sample.borrowed());
            }
            while removed.next_if(|path| is_here(path)).is_some() {}
        }
        changed.for_each(|sample| new.push(sample.borrowed()));
        new.close();
        self.replaced_by(new.done)
    }

    /// The catalogue of other chunks, with what this one knows of samples that are the same.
    fn replaced_by(&self, all: Vec<Arc<Chunk>>) -> Self {
        let same_paths = all.len() == self.chunks.all.len()
            && all.iter().zip(&self.chunks.all).all(|(new, old)| Arc::ptr_eq(new, old) || new.has_paths_of(old));
        if !same_paths {
            return Self { alike: Arc::clone(&self.alike), ..Self::of_chunks(all) };
        }
        // Ids are what they were.
        Self {
            chunks: Chunks::new(all),
            by_ino: Arc::clone(&self.by_ino),
            by_name: self.by_name.clone(),
            alike: Arc::clone(&self.alike),
            ..Self::default()
        }
    }

    /// This catalogue, knowing which contents are nearly the same sound. A changed one knows it as well.
    pub fn with_alike(self, alike: Alike) -> Self {
        Self { alike: Arc::new(alike), ..self }
    }

    /// This catalogue with other words on which contents are nearly the same sound.
    pub fn knowing(&self, alike: Alike) -> Self {
        let same = self.chunks.all.clone();
        self.replaced_by(same).with_alike(alike)
    }

    /// Whether this is what it knows of contents that are nearly the same sound.
    pub fn knows(&self, alike: &Alike) -> bool {
        *self.alike == *alike
    }

    /// One present sample of each content that is nearly the same sound as another which stands first by path.
    pub(super) fn later_alike(&self) -> Vec<u32> {
        let mut alike: Vec<(u32, u32)> = Vec::new();
        if !self.alike.0.is_empty() {
            let group = |id: u32| self.sample(id).hash.and_then(|hash| self.alike.0.get(&hash).copied());
            alike.extend(self.by_hash().iter().filter_map(|&id| Some((group(id)?, id))));
        }
        alike.sort_unstable();
        alike.chunk_by(|a, b| a.0 == b.0).flat_map(|group| group.iter().skip(1).map(|(_, id)| *id)).collect()
    }

    /// The samples, ordered by path bytes. A sample's place in it is its id.
    pub fn samples(&self) -> Samples<'_> {
        Samples(&self.chunks)
    }

    pub(super) fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    /// The sample with this id, which must be one.
    pub fn sample(&self, id: u32) -> SampleRef<'_> {
        let (chunk, place) = self.chunks.find(id);
        chunk.sample(place)
    }

    /// The file name of the sample with this id.
    pub(super) fn name(&self, id: u32) -> &[u8] {
        name_of(self.chunks.path(id))
    }

    /// The inode number of the sample with this id.
    pub fn ino(&self, id: u32) -> Ino {
        self.by_ino.ino(&self.chunks, id)
    }

    /// The sample with this inode number.
    pub fn by_ino(&self, ino: Ino) -> Option<(u32, SampleRef<'_>)> {
        let id = self.by_ino.find(&self.chunks, ino)?;
        Some((id, self.sample(id)))
    }

    /// The sample at a path.
    pub fn by_path(&self, path: &[u8]) -> Option<(u32, SampleRef<'_>)> {
        let number = self.chunks.all.partition_point(|chunk| chunk.path(0) <= path).checked_sub(1)?;
        let chunk = &self.chunks.all[number];
        let (mut from, mut to) = (0, chunk.len());
        while from < to {
            let middle = from.midpoint(to);
            match chunk.path(middle).cmp(path) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
                std::cmp::Ordering::Equal => {
                    return Some((self.chunks.starts[number] + middle as u32, chunk.sample(middle)));
                }
            }
        }
        None
    }

    /// What `of` says of each sample, in order; many at a time. It is given what is kept of the sample's name as well.
    pub fn each<T: Send + Clone>(&self, blank: T, of: impl Fn(SampleRef<'_>, &ReadName) -> T + Sync) -> Vec<T> {
        let mut all = vec![blank; self.chunks.len()];
        let mut parts = Vec::with_capacity(self.chunks.all.len());
        let mut rest = &mut all[..];
        for chunk in &self.chunks.all {
            let (part, after) = rest.split_at_mut(chunk.len());
            parts.push((part, chunk));
            rest = after;
        }
        parts.into_par_iter().for_each(|(part, chunk)| {
            let samples = chunk.samples().zip(chunk.read_names());
            part.iter_mut().zip(samples).for_each(|(slot, (sample, name))| *slot = of(sample, name));
        });
        all
    }

    /// This catalogue with other words on some of its samples: `of` gives the new one where there is one. The paths
    /// stay, many at a time are asked for.
    ///
    /// # Errors
    /// The first of `of`.
    pub fn replaced<E: Send>(&self, of: impl Fn(SampleRef<'_>) -> Result<Option<Sample>, E> + Sync) -> Result<Self, E> {
        let one = |chunk: &Arc<Chunk>| {
            let new: Result<Vec<Option<Sample>>, E> = chunk.samples().map(&of).collect();
            let new = new?;
            if new.iter().all(Option::is_none) {
                return Ok(Arc::clone(chunk));
            }
            let samples: Vec<SampleRef<'_>> =
                chunk.samples().zip(&new).map(|(old, new)| new.as_ref().map_or(old, Sample::borrowed)).collect();
            Ok(Arc::new(Chunk::new(&samples)))
        };
        let all: Result<Vec<Arc<Chunk>>, E> = self.chunks.all.par_iter().map(one).collect();
        Ok(self.replaced_by(all?))
    }

    /// One present sample of each content (the first by path), ordered by digest.
    pub fn by_hash(&self) -> &Arc<[u32]> {
        self.by_hash.get_or_init(|| {
            // The first bytes of nearly all differ, so that the digests themselves are hardly looked at.
            let mut keys: Vec<(u64, u32)> = Vec::with_capacity(self.chunks.len());
            for (chunk, &start) in self.chunks.all.iter().zip(&self.chunks.starts) {
                let hashed = (0..chunk.len()).filter(|&place| chunk.is_present(place) && chunk.has_hash(place));
                keys.extend(hashed.map(|place| {
                    let first = chunk.digest(place).first_chunk().copied().unwrap_or_default();
                    (u64::from_be_bytes(first), start + place as u32)
                }));
            }
            let digest = |id: u32| {
                let (chunk, place) = self.chunks.find(id);
                chunk.digest(place)
            };
            keys.par_sort_unstable_by(|a, b| {
                a.0.cmp(&b.0).then_with(|| digest(a.1).cmp(digest(b.1))).then(a.1.cmp(&b.1))
            });
            let hash = |id: u32| {
                let (chunk, place) = self.chunks.find(id);
                chunk.hash(place)
            };
            keys.dedup_by(|later, earlier| later.0 == earlier.0 && hash(later.1) == hash(earlier.1));
            keys.iter().map(|(_, id)| *id).collect()
        })
    }

    /// For each sample whether it is the present one that stands for its content: the first by path. One whose content
    /// is not known stands for itself.
    pub fn is_first_of_content(&self) -> Vec<bool> {
        let chunks = || self.chunks.all.iter().flat_map(|chunk| (0..chunk.len()).map(move |place| (chunk, place)));
        let mut first: Vec<bool> =
            chunks().map(|(chunk, place)| chunk.is_present(place) && !chunk.has_hash(place)).collect();
        self.by_hash().iter().for_each(|&id| first[id as usize] = true);
        first
    }

    /// The first present sample by path that has this content.
    pub fn with_content(&self, hash: &ContentHash) -> Option<SampleRef<'_>> {
        let by_hash = self.by_hash();
        let digest = |id: u32| {
            let (chunk, place) = self.chunks.find(id);
            chunk.digest(place)
        };
        let start = by_hash.partition_point(|&id| digest(id) < hash.as_bytes());
        let same = by_hash.get(start..)?.iter().take_while(|&&id| digest(id) == hash.as_bytes());
        same.map(|&id| self.sample(id)).find(|sample| sample.hash.as_ref() == Some(hash))
    }

    /// A number that differs where [`Catalogue::by_hash`] or the samples in it do.
    /// A sum over the contents of present samples and the order of their first paths.
    pub fn contents_digest(&self) -> u64 {
        self.by_hash_digest()
    }

    pub(super) fn by_hash_digest(&self) -> u64 {
        *self.by_hash_digest.get_or_init(|| {
            self.by_hash().iter().fold(0, |sum, &id| {
                let (chunk, place) = self.chunks.find(id);
                super::tree::mix(super::tree::mix(sum, self.ino(id)), xxh3_64(chunk.digest(place)))
            })
        })
    }

    /// Counts that no rule changes.
    pub(super) fn totals(&self) -> &Totals {
        self.totals.get_or_init(|| {
            self.chunks.all.par_iter().for_each(|chunk| _ = chunk.totals());
            let mut totals = Totals::default();
            self.chunks.all.iter().for_each(|chunk| totals.add(chunk.totals()));
            totals
        })
    }

    /// The ids of all samples ordered by file name, those of one name by path; with [`SAME_NAME`] where the name is
    /// that of the one before.
    pub(super) fn by_name(&self) -> &Arc<[u32]> {
        self.by_name.get_or_init(|| {
            // The first 16 bytes of most names differ: nearly nothing else is compared.
            let key = |name: &[u8]| {
                let mut first = [0u8; 16];
                let len = name.len().min(16);
                first[..len].copy_from_slice(&name[..len]);
                u128::from_be_bytes(first)
            };
            let mut keys: Vec<(u128, u32)> = Vec::with_capacity(self.chunks.len());
            for (chunk, &start) in self.chunks.all.iter().zip(&self.chunks.starts) {
                keys.extend((0..chunk.len()).map(|place| (key(chunk.name(place)), start + place as u32)));
            }
            keys.par_sort_unstable_by(|a, b| {
                a.0.cmp(&b.0).then_with(|| self.name(a.1).cmp(self.name(b.1))).then(a.1.cmp(&b.1))
            });
            let mut before: Option<(u128, u32)> = None;
            let marked = keys.iter().map(|&(key, id)| {
                let same = before.is_some_and(|(old, other)| old == key && self.name(other) == self.name(id));
                before = Some((key, id));
                if same { id | SAME_NAME } else { id }
            });
            marked.collect()
        })
    }
}

/// See [`Catalogue::by_name`].
pub(super) const SAME_NAME: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Status;

    fn sample(path: &str, size: u64) -> Arc<Sample> {
        Arc::new(Sample {
            path: path.as_bytes().into(),
            size,
            mtime_ns: 0,
            hash: None,
            status: Status::Ok,
            error: None,
            attributes: None,
            probs: [].into(),
            gate: None,
        })
    }

    #[test]
    fn a_change_replaces_adds_and_removes_and_the_last_word_counts() {
        let old = Catalogue::new(vec![sample("a", 1), sample("b", 1), sample("d", 1)]);
        let new = old.with(vec![sample("b", 2), sample("c", 1), sample("b", 3)], vec![b"d".to_vec()]);
        let all: Vec<_> = new.samples().iter().map(|s| (s.path, s.size)).collect();
        assert_eq!(all, [(&b"a"[..], 1), (b"b", 3), (b"c", 1)]);
        assert_eq!(new.by_ino(new.ino(1)).unwrap().0, 1);
        assert_eq!(old.ino(0), new.ino(0));
    }

    #[test]
    fn samples_are_ordered_by_name_and_equal_names_are_marked() {
        let catalogue = Catalogue::new(vec![sample("a/k.wav", 1), sample("b/a.wav", 1), sample("b/k.wav", 1)]);
        assert_eq!(catalogue.by_name()[..], [1, 0, 2 | SAME_NAME]);
    }
}
