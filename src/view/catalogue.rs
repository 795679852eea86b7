//! Every sample with what was heard in it, ordered by path: what a view is made from.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::ino::{self, Ino};
use crate::archive::ContentHash;
use crate::audio::Attributes;
use crate::index::{GateAnswer, Status};
use crate::rules::Subject;

/// One sample of the archive with what was heard in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Relative path, raw bytes.
    pub path: Box<[u8]>,
    /// Size in bytes.
    pub size: u64,
    /// Time of last modification in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// The content; none where it could not be read.
    pub hash: Option<ContentHash>,
    /// How listening ended.
    pub status: Status,
    /// Why it failed, where it did.
    pub error: Option<Box<str>>,
    /// What can be said without a model.
    pub attributes: Option<Attributes>,
    /// Calibrated probabilities of the fine labels in label order; empty where nothing was classified.
    pub probs: Box<[f32]>,
    /// What the gate says; none where there is no gate, or nothing was classified.
    pub gate: Option<GateAnswer>,
}

impl Sample {
    /// The file name.
    pub fn name(&self) -> &[u8] {
        match self.path.iter().rposition(|&b| b == b'/') {
            Some(slash) => &self.path[slash + 1..],
            None => &self.path,
        }
    }

    /// The path of the folder it lies in; empty for the root.
    pub fn folder(&self) -> &[u8] {
        match self.path.iter().rposition(|&b| b == b'/') {
            Some(slash) => &self.path[..slash],
            None => b"",
        }
    }

    /// The pack it is from: the first folder of its path; empty in the root.
    pub fn pack(&self) -> &[u8] {
        self.folder().split(|&b| b == b'/').next().unwrap_or_default()
    }

    /// The likeliest fine label, by its place in label order, and its probability.
    pub fn best_label(&self) -> Option<(usize, f32)> {
        let best = self.probs.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        best.filter(|_| !self.probs.is_empty())
    }

    /// What the rules look at, with what a person said of it.
    pub fn subject<'a>(&'a self, said: Option<&'a str>) -> Subject<'a> {
        Subject {
            path: &self.path,
            size: self.size,
            status: self.status,
            attributes: self.attributes.as_ref(),
            probs: &self.probs,
            override_label: said,
            gate_refused: self.gate.is_some_and(|gate| gate.refused),
            gate_probability: self.gate.map(|gate| gate.probability),
        }
    }

    /// Whether it is shown: everything but what is known to be missing.
    pub fn is_present(&self) -> bool {
        self.status != Status::Missing
    }
}

/// All samples, immutable. A change makes a new catalogue that shares the samples that stayed.
#[derive(Debug, Default)]
pub struct Catalogue {
    samples: Vec<Arc<Sample>>,
    inos: Vec<Ino>,
    by_ino: HashMap<Ino, u32>,
    by_hash: OnceLock<Arc<[u32]>>,
    name_rank: OnceLock<Box<[u32]>>,
    totals: OnceLock<Totals>,
    outline: OnceLock<Outline>,
}

/// What making a view asks of every sample, side by side, so that the samples themselves need not be looked at.
#[derive(Debug)]
pub(super) struct Outline {
    /// Raised by one where a sample lies in another folder of the archive than the sample before it.
    pub folder: Box<[u32]>,
    /// Length in bytes of the sample's line in a manifest; 0 where the sample is missing.
    pub line_len: Box<[u32]>,
}

/// Counts that no rule changes.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub present: u64,
    pub failed: u64,
    pub missing: u64,
    /// Present samples whose content is known.
    pub hashed: u64,
    pub bytes: u64,
    pub seconds: f64,
    /// By status, in the order of [`Status::ALL`].
    pub statuses: [u64; Status::ALL.len()],
    /// Present samples by their likeliest fine label.
    pub fine: Vec<u64>,
}

impl Catalogue {
    /// The catalogue of `samples`, which must be ordered by path and have each path once.
    pub fn new(samples: Vec<Arc<Sample>>) -> Self {
        debug_assert!(samples.is_sorted_by(|a, b| a.path < b.path));
        let mut by_ino = HashMap::with_capacity(samples.len());
        let mut inos = Vec::with_capacity(samples.len());
        for (id, sample) in samples.iter().enumerate() {
            let mut salt = 0;
            let mut number = ino::of_sample(&sample.path, salt);
            while by_ino.contains_key(&number) {
                salt += 1;
                number = ino::of_sample(&sample.path, salt);
            }
            by_ino.insert(number, id as u32);
            inos.push(number);
        }
        Self {
            samples,
            inos,
            by_ino,
            by_hash: OnceLock::new(),
            name_rank: OnceLock::new(),
            totals: OnceLock::new(),
            outline: OnceLock::new(),
        }
    }

    /// This catalogue with samples put in or replaced, and others taken out.
    pub fn with(&self, mut changed: Vec<Arc<Sample>>, mut removed: Vec<Vec<u8>>) -> Self {
        // The last word on a path counts.
        changed.reverse();
        changed.sort_by(|a, b| a.path.cmp(&b.path));
        changed.dedup_by(|later, earlier| later.path == earlier.path);
        removed.sort_unstable();
        let mut merged = Vec::with_capacity(self.samples.len() + changed.len());
        let mut changed = changed.into_iter().peekable();
        let gone = |sample: &Sample| removed.binary_search_by(|path| path[..].cmp(&sample.path)).is_ok();
        for old in &self.samples {
            while let Some(new) = changed.next_if(|new| new.path < old.path) {
                merged.push(new);
            }
            match changed.next_if(|new| new.path == old.path) {
                Some(new) => merged.push(new),
                None if gone(old) => {}
                None => merged.push(Arc::clone(old)),
            }
        }
        merged.extend(changed);
        Self::new(merged)
    }

    /// The samples, ordered by path bytes. A sample's place in it is its id.
    pub fn samples(&self) -> &[Arc<Sample>] {
        &self.samples
    }

    /// The inode number of the sample with this id.
    pub fn ino(&self, id: u32) -> Ino {
        self.inos[id as usize]
    }

    /// The sample with this inode number.
    pub fn by_ino(&self, ino: Ino) -> Option<(u32, &Arc<Sample>)> {
        let id = *self.by_ino.get(&ino)?;
        Some((id, &self.samples[id as usize]))
    }

    /// The sample at a path.
    pub fn by_path(&self, path: &[u8]) -> Option<(u32, &Arc<Sample>)> {
        let id = self.samples.binary_search_by(|sample| sample.path[..].cmp(path)).ok()?;
        Some((id as u32, &self.samples[id]))
    }

    /// One present sample of each content (the first by path), ordered by digest.
    pub fn by_hash(&self) -> &Arc<[u32]> {
        self.by_hash.get_or_init(|| {
            let mut ids: Vec<u32> = (0..self.samples.len() as u32)
                .filter(|&id| self.samples[id as usize].is_present() && self.samples[id as usize].hash.is_some())
                .collect();
            let hash = |id: u32| self.samples[id as usize].hash;
            rayon::slice::ParallelSliceMut::par_sort_unstable_by(&mut ids[..], |&a, &b| {
                let digest = |id| hash(id).map(|hash| (hash.to_hex(), id));
                match (hash(a), hash(b)) {
                    (Some(x), Some(y)) => x.as_bytes().cmp(y.as_bytes()).then(a.cmp(&b)),
                    _ => digest(a).cmp(&digest(b)),
                }
            });
            ids.dedup_by(|later, earlier| hash(*later) == hash(*earlier));
            ids.into()
        })
    }

    /// What making a view asks of every sample.
    pub(super) fn outline(&self) -> &Outline {
        self.outline.get_or_init(|| {
            let mut number = 0;
            let mut before: &[u8] = b"";
            let folder = self.samples.iter().map(|sample| {
                if sample.folder() != before {
                    number += 1;
                    before = sample.folder();
                }
                number
            });
            let folder = folder.collect();
            let line_len = self.samples.iter().map(|sample| match sample.is_present() {
                true => super::generated::manifest_line(&sample.path).len() as u32 + 1,
                false => 0,
            });
            Outline { folder, line_len: line_len.collect() }
        })
    }

    /// Counts that no rule changes.
    pub(super) fn totals(&self) -> &Totals {
        self.totals.get_or_init(|| {
            let mut totals = Totals::default();
            for sample in &self.samples {
                totals.statuses[sample.status as usize] += 1;
                if !sample.is_present() {
                    totals.missing += 1;
                    continue;
                }
                totals.present += 1;
                totals.failed += u64::from(sample.status.is_error());
                totals.hashed += u64::from(sample.hash.is_some());
                totals.bytes += sample.size;
                totals.seconds += sample.attributes.as_ref().map_or(0.0, |attributes| attributes.duration_sec);
                if let Some((label, _)) = sample.best_label() {
                    totals.fine.resize(totals.fine.len().max(sample.probs.len()), 0);
                    totals.fine[label] += 1;
                }
            }
            totals
        })
    }

    /// The rank of each sample's file name among all file names; the same name has the same rank.
    pub fn name_rank(&self) -> &[u32] {
        self.name_rank.get_or_init(|| {
            let mut ids: Vec<u32> = (0..self.samples.len() as u32).collect();
            let name = |id: u32| self.samples[id as usize].name();
            rayon::slice::ParallelSliceMut::par_sort_unstable_by(&mut ids[..], |&a, &b| name(a).cmp(name(b)));
            let mut rank = vec![0u32; ids.len()].into_boxed_slice();
            let mut current = 0;
            for pair in 0..ids.len() {
                if pair > 0 && name(ids[pair]) != name(ids[pair - 1]) {
                    current += 1;
                }
                rank[ids[pair] as usize] = current;
            }
            rank
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let all: Vec<_> = new.samples().iter().map(|s| (&s.path[..], s.size)).collect();
        assert_eq!(all, [(&b"a"[..], 1), (b"b", 3), (b"c", 1)]);
        assert_eq!(new.by_ino(new.ino(1)).unwrap().0, 1);
        assert_eq!(old.ino(0), new.ino(0));
    }

    #[test]
    fn equal_names_have_equal_rank() {
        let catalogue = Catalogue::new(vec![sample("a/k.wav", 1), sample("b/a.wav", 1), sample("b/k.wav", 1)]);
        assert_eq!(catalogue.name_rank(), [1, 0, 1]);
    }
}
