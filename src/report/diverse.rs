//! Samples that are worth asking about and unlike each other.
//!
//! Of the samples with the highest entropy, one after another is picked that lies far from all that were picked before:
//! the one with the greatest product of its entropy and its distance to the nearest of them, which is greedy k-center
//! (Gonzalez, *Clustering to minimize the maximum intercluster distance*, 1985; as a way to pick what to label: Sener
//! and Savarese, *Active learning for convolutional neural networks: a core-set approach*, ICLR 2018) weighted by how
//! unsure the model is. What lies near each other is one cluster in all but name, and one of it is enough. Any beginning
//! of the list is as spread out as a list of that length can be made in this way.

use std::collections::HashMap;

use rayon::prelude::*;

use super::uncertain::{Candidate, shorten};
use crate::view::{Catalogue, SampleRef};

/// So many times as many candidates as are wanted are looked at, ...
const POOL: usize = 40;
/// ... at least so many, ...
const POOL_LEAST: usize = 4_000;
/// ... and so many at most: the time is their product with how many are wanted.
const POOL_MOST: usize = 60_000;

/// A pack may have so many times its even share.
const PACK_SHARE: usize = 2;

/// Attributes a point has beside the probabilities.
const ATTRIBUTES: usize = 4;

/// Picks `top` ids, at most `per_pack` of one pack; without a bound, twice what an even share would be. Where too few
/// packs have anything left, the bound gives way rather than the number.
pub(super) fn pick(catalogue: &Catalogue, mut pool: Vec<Candidate>, top: usize, per_pack: Option<usize>) -> Vec<u32> {
    let mut packs: HashMap<&[u8], usize> = HashMap::new();
    let numbers = pool.iter().map(|candidate| {
        let next = packs.len();
        (candidate.id, *packs.entry(catalogue.sample(candidate.id).pack()).or_insert(next))
    });
    let pack_of: HashMap<u32, usize> = numbers.collect();
    let mut bound = per_pack.unwrap_or_else(|| (PACK_SHARE * top).div_ceil(packs.len().max(1)).max(1));
    let wanted = top.saturating_mul(POOL).clamp(POOL_LEAST, POOL_MOST).max(top);
    // No pack fills the pool: what stands behind it in another would never be looked at.
    if pool.len() > wanted {
        pool.sort_unstable_by(Candidate::order);
        let share = (bound.saturating_mul(POOL)).max(wanted.div_ceil(packs.len().max(1)));
        let mut counts = vec![0usize; packs.len()];
        pool.retain(|candidate| {
            let count = pack_of.get(&candidate.id).and_then(|&pack| counts.get_mut(pack));
            count.is_some_and(|count| {
                *count += 1;
                *count <= share
            })
        });
    }
    shorten(&mut pool, wanted);
    let mut points: Vec<Point> = pool
        .iter()
        .map(|candidate| Point {
            id: candidate.id,
            pack: pack_of.get(&candidate.id).copied().unwrap_or(0),
            worth: candidate.worth,
            at: place(catalogue.sample(candidate.id)),
            distance: f32::INFINITY,
            taken: false,
        })
        .collect();
    let mut counts = vec![0usize; packs.len()];
    let mut picked = Vec::with_capacity(top.min(points.len()));
    while picked.len() < top.min(points.len()) {
        let full = |pack: usize| counts.get(pack).is_some_and(|&count| count >= bound);
        let best = points
            .par_iter()
            .enumerate()
            .filter(|(_, point)| !point.taken && !full(point.pack))
            .map(|(place, point)| (point.gain(), place))
            // Equal ones by their place: the order in which threads end says nothing.
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        let Some((_, place)) = best else {
            // Someone who gave a bound means it.
            if per_pack.is_some() {
                break;
            }
            bound += 1;
            continue;
        };
        let Some(chosen) = points.get_mut(place) else { break };
        chosen.taken = true;
        let (id, pack, at) = (chosen.id, chosen.pack, chosen.at.clone());
        picked.push(id);
        if let Some(count) = counts.get_mut(pack) {
            *count += 1;
        }
        points
            .par_iter_mut()
            .with_min_len(512)
            .for_each(|point| point.distance = point.distance.min(apart(&point.at, &at)));
    }
    picked
}

struct Point {
    id: u32,
    pack: usize,
    worth: f32,
    at: Box<[f32]>,
    /// To the nearest that was picked; infinite before the first.
    distance: f32,
    taken: bool,
}

impl Point {
    fn gain(&self) -> f32 {
        if self.distance == f32::INFINITY { self.worth } else { self.worth * self.distance }
    }
}

/// Where a sample lies among the others. Roots of probabilities, so that the distance is Hellinger's (Hellinger 1909),
/// and what can be said without a model, each so scaled that a difference a listener would call large (four times as
/// long, 20 dB, two octaves) weighs as much as another label.
fn place(sample: SampleRef<'_>) -> Box<[f32]> {
    let roots = sample.probs.iter().map(|prob| prob.max(0.0).sqrt());
    let attributes = sample.attributes.map_or([0.0; ATTRIBUTES], |attributes| {
        let octaves = |hz: f32| hz.max(20.0).log2() / 2.0;
        [
            (attributes.duration_sec.max(0.01).log2() / 2.0) as f32,
            attributes.rms_dbfs / 20.0,
            octaves(attributes.centroid_hz),
            octaves(attributes.rolloff_hz),
        ]
    });
    roots.chain(attributes).collect()
}

/// Euclidean distance.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}
