//! Statistics of an index.jsonl: what the file itself says, whoever wrote it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::stats::{Counter, Duplicated, Stats};
use crate::archive::ContentHash;
use crate::exchange::Record;
use crate::index::Status;
use crate::rules::{Reason, Router};
use crate::view::Numbers;

/// Why the older pipeline gives a file no place: its content was seen before.
const DUPLICATE: &str = "duplicate";

/// Counts the records of an index, one after another.
#[derive(Default)]
pub struct IndexCounter {
    counter: Counter,
    numbers: Numbers,
    canonical: BTreeMap<String, u64>,
    packs: HashSet<Vec<u8>>,
    seen: HashMap<ContentHash, bool>,
    duplicated: Duplicated,
    nanoseconds: u128,
}

impl IndexCounter {
    /// Counts one. Folders and reasons are those of the line; fine labels are added up as `router` collects them.
    pub fn add(&mut self, record: &Record, router: &Router) {
        let sample = &record.sample;
        let numbers = &mut self.numbers;
        *numbers.statuses.entry(sample.status.name()).or_default() += 1;
        if sample.status == Status::Missing {
            numbers.missing += 1;
            return;
        }
        numbers.samples += 1;
        numbers.bytes += sample.size;
        let pack = sample.borrowed().pack();
        if !self.packs.contains(pack) {
            self.packs.insert(pack.to_vec());
        }
        let copy = match sample.hash {
            Some(hash) => match self.seen.get_mut(&hash) {
                Some(told) => {
                    // The one before is counted with its first copy.
                    self.duplicated.contents += u64::from(!*told);
                    self.duplicated.samples += if *told { 1 } else { 2 };
                    *told = true;
                    true
                }
                None => self.seen.insert(hash, false).is_some(),
            },
            None => false,
        };
        if copy || record.skipped_duplicate {
            numbers.duplicates += 1;
            self.duplicated.bytes += sample.size;
        }
        if let Some(seconds) = record.sound.duration_sec.filter(|seconds| *seconds >= 0.0) {
            self.nanoseconds += u128::from((seconds * 1e9).round() as u64);
        }
        self.counter.decoded(record.sound.duration_sec, record.sound.sample_rate, record.sound.codec);
        if let Some(reason) = record.assigned_reason.as_deref() {
            let known = Reason::ALL.iter().map(|known| known.name()).chain([DUPLICATE]).find(|known| *known == reason);
            *numbers.reasons.entry(known.unwrap_or("other")).or_default() += 1;
            numbers.hidden += u64::from(reason == Reason::Hidden.name());
        }
        if let Some(folder) = &record.assigned_label {
            *numbers.folders.entry(folder.clone()).or_default() += 1;
        }
        if sample.status.is_error() {
            numbers.failed += 1;
            self.counter.errors.add(sample.status.name(), sample.error.as_deref().unwrap_or_default(), &sample.path);
        } else if let Some(label) = &record.label_top1 {
            *numbers.fine_labels.entry(label.clone()).or_default() += 1;
            let fine = router.labels().iter().position(|known| known == label);
            let collected = fine.and_then(|fine| router.collected_under(fine));
            let name = collected.and_then(|label| router.labels().get(usize::from(label)));
            *self.canonical.entry(name.unwrap_or(label).clone()).or_default() += 1;
            self.counter.classified(record.assigned_confidence.or(record.conf_top1), record.conf_top1);
        }
    }

    /// The statistics of all that were counted.
    pub fn finish(mut self) -> Stats {
        self.counter.packs = self.packs.len() as u64;
        self.numbers.seconds = self.nanoseconds as f64 / 1e9;
        self.counter.finish(self.numbers, self.canonical, self.duplicated)
    }
}
