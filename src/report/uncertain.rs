//! Which samples are worth asking a person about.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::diverse;
use crate::archive::ContentHash;
use crate::rules::{Doubt, Router};
use crate::store::Override;
use crate::view::{Assigned, Catalogue, SampleRef, assign};

/// What makes one sample more worth asking about than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The highest Shannon entropy of the fine probabilities first: the model wavers between many labels.
    Entropy,
    /// The smallest distance between the first two labels first: it wavers between two.
    Margin,
    /// The lowest probability of the first label first.
    Confidence,
    /// High entropy, and unlike what was picked before.
    Diverse,
}

/// How many are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// By what.
    pub by: By,
    /// At most so many.
    pub top: usize,
    /// At most so many of one pack; none for no bound, or for `diverse` for one that spreads them over the packs.
    pub per_pack: Option<usize>,
}

/// A sample that is worth asking about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Picked<'a> {
    /// The sample.
    pub sample: SampleRef<'a>,
    /// Its place in the catalogue.
    pub id: u32,
    /// What the model makes of it.
    pub doubt: Doubt,
    /// Where it is now.
    pub assigned: Assigned,
}

/// Picks samples, in the order in which they should be asked about. Left out are those that a person or a route has
/// decided, those that could not be classified, and of several with the same content all but the first by path. The
/// same catalogue always gives the same answer.
pub fn pick<'a>(
    catalogue: &'a Catalogue,
    router: &Router,
    overrides: &HashMap<ContentHash, Override>,
    wanted: Wanted,
) -> Vec<Picked<'a>> {
    if wanted.top == 0 {
        return Vec::new();
    }
    let mut seen: HashSet<ContentHash> = HashSet::new();
    let mut pool: Vec<Candidate> = Vec::new();
    let assigned = assign(catalogue, router, overrides);
    for ((id, sample), assigned) in (0u32..).zip(catalogue.samples().iter()).zip(&assigned) {
        let asked = sample.is_present() && assigned.reason.is_by_ear();
        let Some(doubt) = router.doubt(sample.probs).filter(|_| asked) else { continue };
        // A hidden or routed copy of the same content does not answer for this one; an override would.
        if sample.hash.is_some_and(|hash| !seen.insert(hash)) {
            continue;
        }
        pool.push(Candidate { id, worth: worth(&doubt, wanted.by) });
    }
    drop(seen);
    let picked = match wanted.by {
        By::Diverse => diverse::pick(catalogue, pool, wanted.top, wanted.per_pack),
        _ => first(catalogue, pool, wanted.top, wanted.per_pack),
    };
    let full = |id: u32| {
        let sample = catalogue.sample(id);
        Some(Picked { sample, id, doubt: router.doubt(sample.probs)?, assigned: *assigned.get(id as usize)? })
    };
    picked.into_iter().filter_map(full).collect()
}

/// A sample that may be picked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub id: u32,
    /// The higher, the more it is worth asking about.
    pub worth: f32,
}

impl Candidate {
    /// The worthiest first; of equals the first by path.
    pub fn order(&self, other: &Self) -> Ordering {
        other.worth.total_cmp(&self.worth).then(self.id.cmp(&other.id))
    }
}

fn worth(doubt: &Doubt, by: By) -> f32 {
    match by {
        By::Entropy | By::Diverse => doubt.entropy,
        By::Margin => -doubt.margin(),
        By::Confidence => -doubt.first.1,
    }
}

/// The worthiest, with a bound on each pack where there is one.
fn first(catalogue: &Catalogue, mut pool: Vec<Candidate>, top: usize, per_pack: Option<usize>) -> Vec<u32> {
    let Some(per_pack) = per_pack else {
        shorten(&mut pool, top);
        return pool.into_iter().map(|candidate| candidate.id).collect();
    };
    pool.sort_unstable_by(Candidate::order);
    let mut of_pack: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut within = |candidate: &Candidate| {
        let count = of_pack.entry(catalogue.sample(candidate.id).pack()).or_insert(0);
        *count += 1;
        *count <= per_pack
    };
    pool.iter().filter(|candidate| within(candidate)).take(top).map(|candidate| candidate.id).collect()
}

/// Keeps the worthiest, in order.
pub(super) fn shorten(pool: &mut Vec<Candidate>, top: usize) {
    if pool.len() > top {
        pool.select_nth_unstable_by(top, Candidate::order);
        pool.truncate(top);
    }
    pool.sort_unstable_by(Candidate::order);
}

/// One line of the list, as CSV and JSON show it.
#[derive(Debug, Clone, Serialize)]
pub struct Line<'a> {
    /// Its place in the list, from 1.
    pub rank: usize,
    /// Relative path in the archive; `\u{fffd}` stands for what is not UTF-8.
    pub path: String,
    /// The first folder of the path.
    pub pack: String,
    /// The content hash in hexadecimal.
    pub hash: Option<String>,
    /// How it was computed.
    pub hash_algorithm: Option<&'static str>,
    /// The label the model favours, fine labels added up as the rules collect them.
    pub label: &'a str,
    /// Its probability.
    pub confidence: f32,
    /// The next one.
    pub second_label: Option<&'a str>,
    /// Its probability.
    pub second_confidence: Option<f32>,
    /// The distance between the two.
    pub margin: f32,
    /// Entropy of the fine probabilities in nats.
    pub entropy: f32,
    /// The likeliest fine label.
    pub fine_label: Option<&'a str>,
    /// Its probability.
    pub fine_confidence: Option<f32>,
    /// The folder it is in now.
    pub folder: &'a str,
    /// Why.
    pub reason: &'static str,
}

impl<'a> Line<'a> {
    /// The names of the columns of the CSV.
    pub const COLUMNS: [&'static str; 16] = [
        "rank",
        "path",
        "pack",
        "hash",
        "hash_algorithm",
        "label",
        "confidence",
        "second_label",
        "second_confidence",
        "margin",
        "entropy",
        "fine_label",
        "fine_confidence",
        "folder",
        "reason",
        "label_was",
    ];

    /// The columns of the CSV, with the path as it is.
    pub fn fields(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let number = |value: f32| format!("{value:.4}").into_bytes();
        let text = |text: &str| text.as_bytes().to_vec();
        vec![
            self.rank.to_string().into_bytes(),
            path.to_vec(),
            text(&self.pack),
            text(self.hash.as_deref().unwrap_or_default()),
            text(self.hash_algorithm.unwrap_or_default()),
            text(self.label),
            number(self.confidence),
            text(self.second_label.unwrap_or_default()),
            self.second_confidence.map(number).unwrap_or_default(),
            number(self.margin),
            number(self.entropy),
            text(self.fine_label.unwrap_or_default()),
            self.fine_confidence.map(number).unwrap_or_default(),
            text(self.folder),
            text(self.reason),
            // So that an import tells what somebody changed from what the model said.
            text(self.label),
        ]
    }

    /// The line of a sample.
    pub fn of(rank: usize, picked: &Picked<'_>, router: &'a Router, labels: &'a [String]) -> Self {
        let name = |label: u8| router.labels().get(usize::from(label)).map_or("", |label| &label[..]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let Picked { sample, doubt, assigned, .. } = picked;
        let fine = sample.best_label();
        Self {
            rank,
            path: text(sample.path),
            pack: text(sample.pack()),
            hash: sample.hash.map(|hash| hash.to_hex()),
            hash_algorithm: sample.hash.map(|hash| hash.algorithm().name()),
            label: name(doubt.first.0),
            confidence: doubt.first.1,
            second_label: doubt.second.map(|(label, _)| name(label)),
            second_confidence: doubt.second.map(|(_, confidence)| confidence),
            margin: doubt.margin(),
            entropy: doubt.entropy,
            fine_label: fine.and_then(|(label, _)| labels.get(label)).map(|label| &label[..]),
            fine_confidence: fine.map(|(_, confidence)| confidence),
            folder: router.folder_name(assigned.folder),
            reason: assigned.reason.name(),
        }
    }
}
