//! A few thousand samples side by side, packed: what they share the layout of is not kept for each.
//!
//! A boxed sample costs about 500 bytes beside its path. Here one costs 191 with 34 labels and a 16-byte hash: 136 of
//! them are the probabilities, which are kept exactly, for records show them.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::generated::manifest_line;
use super::ino::{self, Ino};
use super::sample::{SampleRef, best_label, folder_of, name_of};
use crate::archive::{ContentHash, HashAlgorithm};
use crate::audio::{Attributes, Codec};
use crate::index::{GateAnswer, Status};
use crate::rules::ReadName;

/// Values of several samples one after another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Runs<T> {
    values: Box<[T]>,
    ends: Ends,
}

/// Where the values of each sample end.
#[derive(Debug, Clone, PartialEq)]
enum Ends {
    /// All have so many.
    Even(u32),
    /// One end each.
    Each(Box<[u32]>),
}

impl<T: Copy> Runs<T> {
    pub(super) fn new<'a>(runs: impl Iterator<Item = &'a [T]> + Clone) -> Self
    where
        T: 'a,
    {
        let len = runs.clone().next().map_or(0, <[T]>::len);
        let mut values = Vec::with_capacity(runs.clone().map(<[T]>::len).sum());
        runs.clone().for_each(|run| values.extend_from_slice(run));
        let ends = if runs.clone().all(|run| run.len() == len) {
            Ends::Even(len as u32)
        } else {
            let mut end = 0;
            let end_of = |run: &[T]| {
                end += run.len() as u32;
                end
            };
            Ends::Each(runs.map(end_of).collect())
        };
        Self { values: values.into(), ends }
    }

    /// From the values and the length of each run; none where they do not fit.
    pub(super) fn from_parts(values: Box<[T]>, lens: &[u32]) -> Option<Self> {
        let first = lens.first().copied().unwrap_or(0);
        let sum = lens.iter().try_fold(0u32, |sum, &len| sum.checked_add(len))?;
        if usize::try_from(sum).ok()? != values.len() {
            return None;
        }
        let ends = if lens.iter().all(|&len| len == first) {
            Ends::Even(first)
        } else {
            let mut end = 0;
            let end_of = |len: &u32| {
                end += len;
                end
            };
            Ends::Each(lens.iter().map(end_of).collect())
        };
        Some(Self { values, ends })
    }

    pub(super) fn get(&self, place: usize) -> &[T] {
        let (start, end) = match &self.ends {
            Ends::Even(len) => (place * *len as usize, (place + 1) * *len as usize),
            Ends::Each(ends) => (if place == 0 { 0 } else { ends[place - 1] as usize }, ends[place] as usize),
        };
        &self.values[start..end]
    }

    pub(super) fn values(&self) -> &[T] {
        &self.values
    }
}

/// Sizes in bytes: most samples are shorter than 4 GiB.
#[derive(Debug)]
enum Sizes {
    Short(Box<[u32]>),
    Long(Box<[u64]>),
}

impl Sizes {
    fn new(sizes: impl Iterator<Item = u64> + Clone) -> Self {
        let short: Option<Box<[u32]>> = sizes.clone().map(|size| u32::try_from(size).ok()).collect();
        short.map_or_else(|| Self::Long(sizes.collect()), Self::Short)
    }

    fn get(&self, place: usize) -> u64 {
        match self {
            Self::Short(sizes) => u64::from(sizes[place]),
            Self::Long(sizes) => sizes[place],
        }
    }
}

/// Attributes side by side. Of rates, channels and codecs there are few combinations.
#[derive(Debug)]
struct Measured {
    /// Place in `formats`, or [`Measured::NONE`].
    format: Box<[u16]>,
    formats: Box<[(u32, u16, Codec)]>,
    duration_sec: Box<[f64]>,
    /// Level, centroid and rolloff.
    sound: Box<[[f32; 3]]>,
}

impl Measured {
    const NONE: u16 = u16::MAX;

    fn new(all: impl ExactSizeIterator<Item = Option<Attributes>>) -> Self {
        let mut formats: Vec<(u32, u16, Codec)> = Vec::new();
        let mut numbers: HashMap<(u32, u16, Codec), u16> = HashMap::new();
        let (mut format, mut durations, mut sounds) =
            (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
        for attributes in all {
            // A chunk has fewer samples than there are numbers.
            format.push(attributes.as_ref().map_or(Self::NONE, |of| {
                *numbers.entry((of.sample_rate, of.channels, of.codec)).or_insert_with_key(|key| {
                    formats.push(*key);
                    (formats.len() - 1) as u16
                })
            }));
            durations.push(attributes.as_ref().map_or(0.0, |of| of.duration_sec));
            sounds.push(attributes.map_or([0.0; 3], |of| [of.rms_dbfs, of.centroid_hz, of.rolloff_hz]));
        }
        Self { format: format.into(), formats: formats.into(), duration_sec: durations.into(), sound: sounds.into() }
    }

    fn get(&self, place: usize) -> Option<Attributes> {
        let &(sample_rate, channels, codec) = self.formats.get(usize::from(self.format[place]))?;
        let [rms_dbfs, centroid_hz, rolloff_hz] = self.sound[place];
        let duration_sec = self.duration_sec[place];
        Some(Attributes { duration_sec, rms_dbfs, centroid_hz, rolloff_hz, sample_rate, channels, codec })
    }
}

/// What a byte says of each sample: status, algorithm of the hash, and two flags.
mod bits {
    pub const STATUS: u8 = 0b0000_0111;
    pub const HASH: u8 = 0b0011_1000;
    pub const HASH_SHIFT: u32 = 3;
    /// It has an error.
    pub const ERROR: u8 = 0b0100_0000;
    /// It lies in another folder of the archive than the sample before it in the chunk.
    pub const FOLDER: u8 = 0b1000_0000;
}

/// Samples side by side, ordered by path. Never empty.
#[derive(Debug)]
pub(super) struct Chunk {
    paths: Runs<u8>,
    sizes: Sizes,
    mtimes: Box<[i64]>,
    hashes: Runs<u8>,
    /// See [`bits`].
    kinds: Box<[u8]>,
    attributes: Measured,
    probs: Runs<f32>,
    /// Of every sample, or empty where none has any.
    gates: Box<[Option<GateAnswer>]>,
    /// Of those that have one, ordered by place; equal ones are kept once.
    errors: Box<[(u32, Arc<str>)]>,
    totals: OnceLock<Totals>,
    /// What the names say, as far as anybody asked.
    read_names: OnceLock<Box<[ReadName]>>,
}

/// The parts of a chunk that are not computed from others, to write it down and to read it back.
pub(super) struct Parts {
    pub paths: Runs<u8>,
    pub sizes: Box<[u64]>,
    pub mtimes: Box<[i64]>,
    pub hashes: Vec<Option<ContentHash>>,
    pub statuses: Vec<Status>,
    pub attributes: Box<[Option<Attributes>]>,
    pub probs: Runs<f32>,
    pub gates: Box<[Option<GateAnswer>]>,
    pub errors: Box<[(u32, Arc<str>)]>,
}

/// Counts of samples that no rule changes.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Totals {
    pub present: u64,
    pub failed: u64,
    pub missing: u64,
    /// Present samples whose content is known.
    pub hashed: u64,
    pub bytes: u64,
    /// Nanoseconds, so that the sum is the same in whatever order.
    pub nanoseconds: u128,
    /// By status, in the order of [`Status::ALL`].
    pub statuses: [u64; Status::ALL.len()],
    /// Present samples by their likeliest fine label.
    pub fine: Vec<u64>,
}

impl Totals {
    pub(super) fn add(&mut self, other: &Self) {
        self.present += other.present;
        self.failed += other.failed;
        self.missing += other.missing;
        self.hashed += other.hashed;
        self.bytes += other.bytes;
        self.nanoseconds += other.nanoseconds;
        self.statuses.iter_mut().zip(other.statuses).for_each(|(sum, count)| *sum += count);
        self.fine.resize(self.fine.len().max(other.fine.len()), 0);
        self.fine.iter_mut().zip(&other.fine).for_each(|(sum, count)| *sum += count);
    }
}

impl Chunk {
    /// What is kept of the samples' names.
    pub(super) fn read_names(&self) -> &[ReadName] {
        self.read_names.get_or_init(|| std::iter::repeat_with(ReadName::default).take(self.len()).collect())
    }

    /// A chunk of samples that are ordered by path.
    pub(super) fn new(samples: &[SampleRef<'_>]) -> Self {
        let digests: Vec<ContentHash> = samples.iter().filter_map(|sample| sample.hash).collect();
        let mut next = digests.iter();
        let digest_of = |sample: &SampleRef<'_>| match sample.hash {
            Some(_) => next.next().map_or(&[][..], ContentHash::as_bytes),
            None => &[],
        };
        let digests: Vec<&[u8]> = samples.iter().map(digest_of).collect();
        let gates: Vec<Option<GateAnswer>> = samples.iter().map(|sample| sample.gate).collect();
        let mut errors: Vec<(u32, Arc<str>)> = Vec::new();
        let mut texts: HashMap<&str, Arc<str>> = HashMap::new();
        for (place, sample) in samples.iter().enumerate() {
            if let Some(error) = sample.error {
                errors.push((place as u32, Arc::clone(texts.entry(error).or_insert_with(|| error.into()))));
            }
        }
        let kind = |sample: &SampleRef<'_>| {
            let hash = sample.hash.map_or(0, |hash| hash.algorithm() as u8 + 1);
            sample.status as u8 | hash << bits::HASH_SHIFT
        };
        Self {
            paths: Runs::new(samples.iter().map(|sample| sample.path)),
            sizes: Sizes::new(samples.iter().map(|sample| sample.size)),
            mtimes: samples.iter().map(|sample| sample.mtime_ns).collect(),
            hashes: Runs::new(digests.iter().copied()),
            kinds: samples.iter().map(kind).collect(),
            attributes: Measured::new(samples.iter().map(|sample| sample.attributes)),
            probs: Runs::new(samples.iter().map(|sample| sample.probs)),
            gates: if gates.iter().all(Option::is_none) { [].into() } else { gates.into() },
            errors: errors.into(),
            totals: OnceLock::new(),
            read_names: OnceLock::new(),
        }
        .finished()
    }

    /// A chunk of parts that were read; none where they do not fit together.
    pub(super) fn from_parts(parts: Parts) -> Option<Self> {
        let Parts { paths, sizes, mtimes, hashes, statuses, attributes, probs, gates, errors } = parts;
        let len = statuses.len();
        // More would not be told apart by the numbers of their formats.
        let fits = (1..usize::from(Measured::NONE)).contains(&len)
            && [sizes.len(), mtimes.len(), hashes.len(), attributes.len()].iter().all(|part| *part == len)
            && (gates.is_empty() || gates.len() == len)
            && errors.is_sorted_by(|a, b| a.0 < b.0)
            && errors.last().is_none_or(|(place, _)| (*place as usize) < len);
        if !fits {
            return None;
        }
        let kind = |(status, hash): (&Status, &Option<ContentHash>)| {
            *status as u8 | hash.map_or(0, |hash| hash.algorithm() as u8 + 1) << bits::HASH_SHIFT
        };
        let chunk = Self {
            kinds: statuses.iter().zip(&hashes).map(kind).collect(),
            hashes: Runs::new(hashes.iter().map(|hash| hash.as_ref().map_or(&[][..], ContentHash::as_bytes))),
            paths,
            sizes: Sizes::new(sizes.iter().copied()),
            mtimes,
            attributes: Measured::new(attributes.iter().copied()),
            probs,
            gates,
            errors,
            totals: OnceLock::new(),
            read_names: OnceLock::new(),
        };
        let ordered = (1..len).all(|place| chunk.path(place - 1) < chunk.path(place));
        ordered.then(|| chunk.finished())
    }

    /// With what is computed from the rest.
    fn finished(mut self) -> Self {
        for (place, _) in &self.errors {
            self.kinds[*place as usize] |= bits::ERROR;
        }
        for place in 1..self.len() {
            if folder_of(self.path(place)) != folder_of(self.path(place - 1)) {
                self.kinds[place] |= bits::FOLDER;
            }
        }
        self
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn path(&self, place: usize) -> &[u8] {
        self.paths.get(place)
    }

    pub(super) fn name(&self, place: usize) -> &[u8] {
        name_of(self.path(place))
    }

    /// The inode number that the path gives, before collisions are looked for.
    pub(super) fn ino(&self, place: usize) -> Ino {
        ino::of_sample(self.path(place), 0)
    }

    pub(super) fn status(&self, place: usize) -> Status {
        Status::ALL[usize::from(self.kinds[place] & bits::STATUS)]
    }

    pub(super) fn is_present(&self, place: usize) -> bool {
        self.kinds[place] & bits::STATUS != Status::Missing as u8
    }

    /// Whether it lies in another folder of the archive than the sample before it in this chunk.
    pub(super) fn begins_folder(&self, place: usize) -> bool {
        self.kinds[place] & bits::FOLDER != 0
    }

    pub(super) fn has_hash(&self, place: usize) -> bool {
        self.kinds[place] & bits::HASH != 0
    }

    pub(super) fn hash(&self, place: usize) -> Option<ContentHash> {
        let algorithm = (self.kinds[place] & bits::HASH) >> bits::HASH_SHIFT;
        let algorithm = *HashAlgorithm::ALL.get(usize::from(algorithm).checked_sub(1)?)?;
        ContentHash::from_digest(algorithm, self.hashes.get(place))
    }

    /// The digest; empty where there is none.
    pub(super) fn digest(&self, place: usize) -> &[u8] {
        self.hashes.get(place)
    }

    /// Length in bytes of the sample's line in a manifest; 0 where the sample is missing.
    pub(super) fn line_len(&self, place: usize) -> u64 {
        if self.is_present(place) { manifest_line(self.path(place)).len() as u64 + 1 } else { 0 }
    }

    pub(super) fn sample(&self, place: usize) -> SampleRef<'_> {
        let error = (self.kinds[place] & bits::ERROR != 0).then(|| {
            let found = self.errors.binary_search_by_key(&(place as u32), |(place, _)| *place).ok()?;
            Some(&*self.errors[found].1)
        });
        SampleRef {
            path: self.path(place),
            size: self.sizes.get(place),
            mtime_ns: self.mtimes[place],
            hash: self.hash(place),
            status: self.status(place),
            error: error.flatten(),
            attributes: self.attributes.get(place),
            probs: self.probs.get(place),
            gate: self.gates.get(place).copied().flatten(),
        }
    }

    pub(super) fn samples(&self) -> impl ExactSizeIterator<Item = SampleRef<'_>> {
        (0..self.len()).map(|place| self.sample(place))
    }

    pub(super) fn paths(&self) -> &Runs<u8> {
        &self.paths
    }

    pub(super) fn probs(&self) -> &Runs<f32> {
        &self.probs
    }

    pub(super) fn size(&self, place: usize) -> u64 {
        self.sizes.get(place)
    }

    pub(super) fn mtimes(&self) -> &[i64] {
        &self.mtimes
    }

    pub(super) fn attributes(&self, place: usize) -> Option<Attributes> {
        self.attributes.get(place)
    }

    pub(super) fn gates(&self) -> &[Option<GateAnswer>] {
        &self.gates
    }

    pub(super) fn errors(&self) -> &[(u32, Arc<str>)] {
        &self.errors
    }

    /// Counts that no rule changes.
    pub(super) fn totals(&self) -> &Totals {
        self.totals.get_or_init(|| {
            let mut totals = Totals::default();
            for place in 0..self.len() {
                let status = self.status(place);
                totals.statuses[status as usize] += 1;
                if !self.is_present(place) {
                    totals.missing += 1;
                    continue;
                }
                totals.present += 1;
                totals.failed += u64::from(status.is_error());
                totals.hashed += u64::from(self.has_hash(place));
                totals.bytes += self.sizes.get(place);
                let seconds = self.attributes.duration_sec[place];
                // What is negative or no number counts as nothing.
                totals.nanoseconds += u128::from((seconds * 1e9).round() as u64);
                let probs = self.probs.get(place);
                if let Some((label, _)) = best_label(probs) {
                    totals.fine.resize(totals.fine.len().max(probs.len()), 0);
                    totals.fine[label] += 1;
                }
            }
            totals
        })
    }

    /// Whether both have the same samples, by path.
    pub(super) fn has_paths_of(&self, other: &Self) -> bool {
        self.paths == other.paths
    }
}
