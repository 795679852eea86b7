//! Which samples are asked about, and in which order.

use std::collections::{HashMap, HashSet};

use crate::archive::ContentHash;
use crate::rules::{Reason, Router, Subject};
use crate::store::Override;
use crate::view::Catalogue;

/// What says how sure the model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum By {
    /// How far the likeliest folder is ahead of the next, as `_uncertain/` is ordered
    #[default]
    Margin,
    /// The probability of the likeliest folder
    Confidence,
    /// The entropy of all labels' probabilities
    Entropy,
}

/// Every sample that the rules asked the model about and that nobody said anything of, the least sure first, by their
/// places in the catalogue; of several with one content the first.
pub fn least_sure(
    catalogue: &Catalogue,
    router: &Router,
    overrides: &HashMap<ContentHash, Override>,
    by: By,
) -> Vec<u32> {
    let sure = catalogue.each(None, |sample, name| {
        let hash = sample.hash?;
        let verdict = router.route(&Subject { read_name: Some(name), ..sample.subject(None) });
        let asked = matches!(
            verdict.reason,
            Reason::Top1 | Reason::LowConfidence | Reason::OutOfTarget | Reason::Name | Reason::Gate
        );
        let sure = match by {
            By::Margin => verdict.margin,
            By::Confidence => verdict.confidence,
            By::Entropy => -verdict.entropy,
        };
        (asked && !sample.probs.is_empty() && !overrides.contains_key(&hash)).then_some(sure)
    });
    // One of each content.
    let mut ids: Vec<(f32, u32)> =
        catalogue.by_hash().iter().filter_map(|&id| Some((sure.get(id as usize).copied().flatten()?, id))).collect();
    ids.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    ids.into_iter().map(|(_, id)| id).collect()
}

/// A list of samples as a queue.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Places in the catalogue, in the order of the list, each content once.
    pub ids: Vec<u32>,
    /// Paths that no sample has, or none that could be read.
    pub unknown: Vec<Vec<u8>>,
    /// How many are left out because something was said of them.
    pub said: usize,
}

/// The samples of a list of paths. Those that something was said of are left out, unless they are asked for `again`.
pub fn listed<'p>(
    catalogue: &Catalogue,
    overrides: &HashMap<ContentHash, Override>,
    paths: impl IntoIterator<Item = &'p [u8]>,
    again: bool,
) -> Listed {
    let mut listed = Listed::default();
    let mut seen = HashSet::new();
    for path in paths {
        let found = catalogue.by_path(path).and_then(|(id, sample)| Some((id, sample.hash?)));
        match found {
            None => listed.unknown.push(path.to_owned()),
            Some((_, hash)) if !seen.insert(hash) => {}
            Some((_, hash)) if !again && overrides.contains_key(&hash) => listed.said += 1,
            Some((id, _)) => listed.ids.push(id),
        }
    }
    listed
}
