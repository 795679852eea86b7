//! What an archive is made of, in numbers.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::archive::ContentHash;
use crate::audio::Codec;
use crate::rules::Router;
use crate::store::Override;
use crate::view::{Catalogue, Numbers, assign};

/// Bins of the histogram of confidences, equally wide from 0 to 1.
pub const CONFIDENCE_BINS: usize = 20;

/// Ends of the bins of the histogram of durations, in seconds; the last bin has none.
pub const DURATION_ENDS: [f64; 11] = [0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 60.0];

/// How many of the reasons why files can't be heard are told apart; the rest are counted together.
const ERROR_REASONS: usize = 20;

/// Numbers of one archive, as one set of rules sorts it. What stands in the mount's `_stats.json` has the same key and
/// the same value here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// What `_stats.json` says.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// Samples that were classified.
    pub classified: u64,
    /// Classified samples by the label the model favours, fine labels added up as the rules collect them; before any
    /// threshold, override or route.
    pub canonical_labels: BTreeMap<String, u64>,
    /// How sure the model is of those labels, from 0 to 1; none where nothing was classified.
    pub confidence: Option<Spread>,
    /// How sure it is of the likeliest fine label.
    pub fine_confidence: Option<Spread>,
    /// How many of them lie in each twentieth of the range from 0 to 1.
    pub confidence_histogram: [u64; CONFIDENCE_BINS],
    /// Lengths in seconds, of every sample that could be decoded.
    pub duration: Option<Spread>,
    /// How many are shorter than so many seconds, and not shorter than the bin before.
    pub duration_histogram: Vec<DurationBin>,
    /// Why files can't be heard, the most frequent reason first.
    pub errors: Vec<ErrorKind>,
    /// Contents that stand under several paths.
    pub duplicated: Duplicated,
    /// First folders of the archive that hold samples.
    pub packs: u64,
    /// Samples by codec.
    pub codecs: BTreeMap<&'static str, u64>,
    /// Samples by frames a second, in Hz.
    pub sample_rates: BTreeMap<u32, u64>,
}

/// Where a number lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Of how many samples.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// The middle one; the mean of the two middle ones where their number is even.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of some values, which are reordered; none where there is none.
    pub fn of(values: &mut [f64]) -> Option<Self> {
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let (below, upper, _) = (count > 0).then(|| values.select_nth_unstable_by(count / 2, f64::total_cmp))?;
        let upper = *upper;
        let lower = if count.is_multiple_of(2) { below.iter().copied().max_by(f64::total_cmp) } else { None };
        let extreme = |worse: fn(f64, f64) -> f64, from: f64| values.iter().copied().fold(from, worse);
        Some(Self {
            count: count as u64,
            mean,
            median: lower.map_or(upper, |lower| f64::midpoint(lower, upper)),
            min: extreme(f64::min, f64::INFINITY),
            max: extreme(f64::max, f64::NEG_INFINITY),
        })
    }
}

/// One bin of the durations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DurationBin {
    /// Samples in it are shorter than this, in seconds; none for the last.
    pub below: Option<f64>,
    /// How many.
    pub count: u64,
}

/// Files that can't be heard for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorKind {
    /// How listening ended: `load_error`, `unsupported` and so on.
    pub status: &'static str,
    /// Why, without what differs from file to file; `other` for all reasons that are rarer than those listed.
    pub reason: String,
    /// How many files.
    pub count: u64,
    /// The first of them by path.
    pub example: String,
}

/// Contents that stand under several paths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Duplicated {
    /// How many contents.
    pub contents: u64,
    /// How many samples have one of them.
    pub samples: u64,
    /// Bytes of all but one sample of each.
    pub bytes: u64,
}

impl Stats {
    /// Counts a catalogue as `router` and the overrides sort it. `labels` are the fine labels in label order.
    pub fn of(
        catalogue: &Catalogue,
        router: &Router,
        overrides: &HashMap<ContentHash, Override>,
        labels: &[String],
    ) -> Self {
        let assigned = assign(catalogue, router, overrides);
        let numbers = Numbers::count(catalogue, router, &assigned, labels);
        drop(assigned);
        let mut counter = Counter::default();
        let mut canonical = vec![0u64; router.labels().len()];
        let mut pack: Option<&[u8]> = None;
        for sample in catalogue.samples().iter().filter(|sample| sample.is_present()) {
            // Samples are ordered by path, so that those of one pack follow each other.
            if pack != Some(sample.pack()) {
                pack = Some(sample.pack());
                counter.packs += 1;
            }
            if sample.status.is_error() {
                counter.errors.add(sample.status.name(), sample.error.unwrap_or_default(), sample.path);
            } else if let (Some(doubt), Some((_, fine))) = (router.doubt(sample.probs), sample.best_label()) {
                let (label, confidence) = doubt.first;
                count_at(&mut canonical, usize::from(label));
                counter.classified(Some(confidence), Some(fine));
            }
            if let Some(attributes) = &sample.attributes {
                counter.decoded(Some(attributes.duration_sec), Some(attributes.sample_rate), Some(attributes.codec));
            }
        }
        let canonical = router.labels().iter().cloned().zip(canonical).filter(|(_, count)| *count > 0).collect();
        counter.finish(numbers, canonical, duplicated(catalogue))
    }
}

/// Sums over samples.
#[derive(Default)]
pub(super) struct Counter {
    classified: u64,
    confidences: Vec<f64>,
    fine_confidences: Vec<f64>,
    confidence_histogram: [u64; CONFIDENCE_BINS],
    durations: Vec<f64>,
    duration_counts: [u64; DURATION_ENDS.len() + 1],
    pub errors: Errors,
    pub packs: u64,
    codecs: BTreeMap<&'static str, u64>,
    sample_rates: BTreeMap<u32, u64>,
}

impl Counter {
    /// One sample was classified, with its confidences in the collected and in the fine label.
    pub fn classified(&mut self, confidence: Option<f32>, fine: Option<f32>) {
        self.classified += 1;
        if let Some(confidence) = confidence {
            count_at(&mut self.confidence_histogram, bin_of(confidence));
            self.confidences.push(f64::from(confidence));
        }
        self.fine_confidences.extend(fine.map(f64::from));
    }

    /// One sample was decoded.
    pub fn decoded(&mut self, seconds: Option<f64>, sample_rate: Option<u32>, codec: Option<Codec>) {
        if let Some(seconds) = seconds {
            count_at(&mut self.duration_counts, DURATION_ENDS.partition_point(|end| *end <= seconds));
            self.durations.push(seconds);
        }
        codec.iter().for_each(|codec| *self.codecs.entry(codec.as_str()).or_default() += 1);
        sample_rate.iter().for_each(|rate| *self.sample_rates.entry(*rate).or_default() += 1);
    }

    /// The statistics, with what was counted elsewhere.
    pub fn finish(
        mut self,
        numbers: Numbers,
        canonical_labels: BTreeMap<String, u64>,
        duplicated: Duplicated,
    ) -> Stats {
        let ends = DURATION_ENDS.into_iter().map(Some).chain([None]);
        let bins = ends.zip(self.duration_counts).map(|(below, count)| DurationBin { below, count });
        Stats {
            numbers,
            classified: self.classified,
            canonical_labels,
            confidence: Spread::of(&mut self.confidences),
            fine_confidence: Spread::of(&mut self.fine_confidences),
            confidence_histogram: self.confidence_histogram,
            duration: Spread::of(&mut self.durations),
            duration_histogram: bins.collect(),
            errors: self.errors.finish(),
            duplicated,
            packs: self.packs,
            codecs: self.codecs,
            sample_rates: self.sample_rates,
        }
    }
}

fn count_at(counts: &mut [u64], place: usize) {
    if let Some(count) = counts.get_mut(place) {
        *count += 1;
    }
}

/// The bin of a confidence.
fn bin_of(confidence: f32) -> usize {
    ((confidence * CONFIDENCE_BINS as f32) as usize).min(CONFIDENCE_BINS - 1)
}

/// Contents under several present paths: those of which something is left when one of each is taken away.
fn duplicated(catalogue: &Catalogue) -> Duplicated {
    let mut duplicated = Duplicated::default();
    let mut seen: HashSet<ContentHash> = HashSet::new();
    for (sample, first) in catalogue.samples().iter().zip(catalogue.is_first_of_content()) {
        let Some(hash) = sample.hash.filter(|_| sample.is_present() && !first) else { continue };
        duplicated.samples += 1;
        duplicated.bytes += sample.size;
        if seen.insert(hash) {
            duplicated.contents += 1;
            duplicated.samples += 1;
        }
    }
    duplicated
}

/// Counts of reasons.
#[derive(Default)]
pub(super) struct Errors(HashMap<(&'static str, String), (u64, Vec<u8>)>);

/// More different reasons than so many are counted together, so that a million files with a reason each stay countable.
const MOST_REASONS: usize = 4096;

const OTHER: &str = "other";

impl Errors {
    pub fn add(&mut self, status: &'static str, error: &str, path: &[u8]) {
        let mut key = (status, general(error));
        if self.0.len() >= MOST_REASONS && !self.0.contains_key(&key) {
            key.1 = OTHER.to_owned();
        }
        self.0.entry(key).or_insert_with(|| (0, path.to_vec())).0 += 1;
    }

    fn finish(self) -> Vec<ErrorKind> {
        let kind = |((status, reason), (count, example)): ((&'static str, String), (u64, Vec<u8>))| ErrorKind {
            status,
            reason,
            count,
            example: String::from_utf8_lossy(&example).into_owned(),
        };
        let mut kinds: Vec<ErrorKind> = self.0.into_iter().map(kind).collect();
        kinds.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (a.status, &a.reason).cmp(&(b.status, &b.reason))));
        let rest = kinds.split_off(kinds.len().min(ERROR_REASONS));
        let mut others: BTreeMap<&'static str, ErrorKind> = BTreeMap::new();
        for kind in rest {
            let reason = OTHER.to_owned();
            others.entry(kind.status).or_insert(ErrorKind { count: 0, reason, ..kind.clone() }).count += kind.count;
        }
        kinds.extend(others.into_values());
        kinds
    }
}

/// A reason without the position and the numbers that differ from file to file.
fn general(error: &str) -> String {
    let text = error.split(" (at byte ").next().unwrap_or(error);
    let mut general = String::with_capacity(text.len());
    for part in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        // Short numbers are part of a name, as in `16 bits`.
        if digits > 3 {
            general.push('#');
            general.push_str(part.get(digits..).unwrap_or_default());
        } else {
            general.push_str(part);
        }
    }
    general
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_that_of_the_values() {
        assert_eq!(Spread::of(&mut []), None);
        let one = Spread::of(&mut [3.0]).unwrap();
        assert_eq!((one.mean, one.median, one.min, one.max), (3.0, 3.0, 3.0, 3.0));
        let four = Spread::of(&mut [4.0, 1.0, 3.0, 100.0]).unwrap();
        assert_eq!((four.count, four.mean, four.median, four.min, four.max), (4, 27.0, 3.5, 1.0, 100.0));
    }

    #[test]
    fn the_surest_stand_in_the_last_bin() {
        assert_eq!((bin_of(0.0), bin_of(0.05), bin_of(0.999), bin_of(1.0)), (0, 1, 19, 19));
    }

    #[test]
    fn reasons_that_differ_in_a_position_are_one() {
        assert_eq!(general("the file ends too early (at byte 123)"), "the file ends too early");
        assert_eq!(general("chunk of 123456 bytes, 16 bits"), "chunk of # bytes, 16 bits");
        let mut errors = Errors::default();
        for n in 0..30u8 {
            for _ in 0..=n {
                errors.add("load_error", &format!("reason {}", char::from(b'A' + n)), &[b'a' + n % 26]);
            }
        }
        let kinds = errors.finish();
        assert_eq!((kinds.len(), kinds[0].count, &kinds[0].reason[..]), (21, 30, "reason ^"));
        assert_eq!((&kinds[20].reason[..], kinds[20].count), ("other", (1..=10).sum()));
    }
}
