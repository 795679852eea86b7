//! What the probabilities of one sample say: sums by label, the favourite, margin and entropy.

/// The fine labels that are collected under each label.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    /// The label collected under, ascending, and how many of `members` are its.
    groups: Vec<(u8, usize)>,
    /// Fine labels, group after group.
    members: Vec<u8>,
}

/// The favourite of a sample, by summed probabilities.
#[derive(Debug, Clone, Copy)]
pub(super) struct Favourite {
    /// The label with the highest sum; the first of equals.
    pub(super) label: u8,
    /// Its sum, from 0 to 1.
    pub(super) confidence: f32,
    /// That minus the second highest.
    pub(super) margin: f32,
}

impl Groups {
    /// Groups fine labels by the label each is collected under.
    pub(super) fn new(collected_under: &[u8]) -> Self {
        let mut pairs: Vec<(u8, u8)> = collected_under.iter().copied().zip(0..=u8::MAX).collect();
        pairs.sort_unstable();
        let groups = pairs.chunk_by(|a, b| a.0 == b.0).filter_map(|chunk| Some((chunk.first()?.0, chunk.len())));
        Self { groups: groups.collect(), members: pairs.iter().map(|(_, member)| *member).collect() }
    }

    /// Whether anything is collected under `label`.
    pub(super) fn collects(&self, label: u8) -> bool {
        self.groups.iter().any(|(collecting, _)| *collecting == label)
    }

    /// Each label that something is collected under, with its sum.
    pub(super) fn sums<'a>(&'a self, probs: &'a [f32]) -> impl Iterator<Item = (u8, f32)> + 'a {
        let mut rest = self.members.as_slice();
        self.groups.iter().map(move |(label, count)| {
            let (members, after) = rest.split_at_checked(*count).unwrap_or((rest, &[]));
            rest = after;
            (*label, members.iter().map(|member| probability(probs, *member)).sum())
        })
    }

    /// The sum of one label, from 0 to 1; 0 where nothing is collected under it.
    pub(super) fn sum_of(&self, label: u8, probs: &[f32]) -> f32 {
        self.sums(probs).find(|(collecting, _)| *collecting == label).map_or(0.0, |(_, sum)| sum.min(1.0))
    }

    pub(super) fn favourite(&self, probs: &[f32]) -> Option<Favourite> {
        let (mut label, mut best, mut second) = (None, f32::NEG_INFINITY, 0.0f32);
        for (collecting, sum) in self.sums(probs) {
            if sum > best {
                second = best;
                best = sum;
                label = Some(collecting);
            } else if sum > second {
                second = sum;
            }
        }
        let (best, second) = (best.clamp(0.0, 1.0), second.clamp(0.0, 1.0));
        Some(Favourite { label: label?, confidence: best, margin: best - second })
    }
}

/// The probability of a fine label. NaN and what is negative count as nothing.
fn probability(probs: &[f32], label: u8) -> f32 {
    probs.get(usize::from(label)).map_or(0.0, |p| p.max(0.0))
}

/// The likeliest fine label; the first of equals.
pub(super) fn likeliest(probs: &[f32]) -> Option<u8> {
    let mut best = (f32::NEG_INFINITY, None);
    for label in (0..=u8::MAX).take(probs.len()) {
        let p = probability(probs, label);
        if p > best.0 {
            best = (p, Some(label));
        }
    }
    best.1
}

/// The three fine labels with the highest probabilities above 0, highest first.
pub(super) fn first_three(probs: &[f32]) -> [Option<u8>; 3] {
    let mut first: [(f32, Option<u8>); 3] = [(0.0, None); 3];
    for (label, p) in (0..=u8::MAX).zip(probs) {
        let mut entry = (*p, Some(label));
        for slot in &mut first {
            if entry.0 > slot.0 {
                std::mem::swap(slot, &mut entry);
            }
        }
    }
    first.map(|(_, label)| label)
}

/// Shannon entropy in nats, −Σ p ln p.
pub(super) fn entropy(probs: &[f32]) -> f32 {
    // Several sums side by side, so that the compiler can use vector instructions.
    const LANES: usize = 8;
    let mut sums = [0.0f32; LANES];
    let (chunks, rest) = probs.as_chunks::<LANES>();
    let mut last = [0.0; LANES];
    for (slot, p) in last.iter_mut().zip(rest) {
        *slot = *p;
    }
    let mut add = |chunk: &[f32; LANES]| {
        let terms = chunk.map(p_ln_p);
        for (sum, term) in sums.iter_mut().zip(terms) {
            *sum += term;
        }
    };
    chunks.iter().for_each(&mut add);
    add(&last);
    // Rounding may leave a certain sample a hair below 0.
    (-sums.iter().sum::<f32>()).max(0.0)
}

/// p ln p for p from 0 to 1, without a branch or a table, to about 1e-7.
///
/// p = m · 2^e with m between √½ and √2, and ln m = 2 artanh s with s = (m − 1) / (m + 1), by its power series
/// s + s³/3 + s⁵/5 + …: the first term left out is below 2 · 0.1716⁹ / 9 = 3e-8.
fn p_ln_p(p: f32) -> f32 {
    // The bits of √½: subtracting them first puts m between √½ and √2.
    const ROOT_HALF: u32 = 0x3f35_04f3;
    // Comparisons rather than `clamp`: each is one instruction, and NaN becomes 0.
    let p = if p > 0.0 { p } else { 0.0 };
    let p = if p < 1.0 { p } else { 1.0 };
    let positive = if p > f32::MIN_POSITIVE { p } else { f32::MIN_POSITIVE };
    let shifted = positive.to_bits().wrapping_sub(ROOT_HALF);
    let exponent = (shifted as i32 >> 23) as f32;
    let m = f32::from_bits((shifted & 0x007f_ffff) + ROOT_HALF);
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let series = s * (2.0 + s2 * (2.0 / 3.0 + s2 * (2.0 / 5.0 + s2 * (2.0 / 7.0))));
    p * (exponent * std::f32::consts::LN_2 + series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_that_of_the_standard_library() {
        for i in 0..=200_000 {
            let p = i as f32 / 200_000.0;
            let expected = if p == 0.0 { 0.0 } else { f64::from(p) * f64::from(p).ln() };
            assert!((f64::from(p_ln_p(p)) - expected).abs() < 2e-7, "{p}: {} and {expected}", p_ln_p(p));
        }
        for p in [f32::MIN_POSITIVE, 1e-30, 1e-9, 1e-40, f32::NAN, f32::INFINITY, -1.0] {
            assert!(p_ln_p(p).abs() < 1e-6, "{p}: {}", p_ln_p(p));
        }
    }

    #[test]
    fn every_length_of_probabilities_is_summed_whole() {
        for n in 1..40 {
            let even = vec![1.0 / n as f32; n];
            assert!((entropy(&even) - (n as f32).ln()).abs() < 1e-5, "{n}");
        }
        assert_eq!(entropy(&[]), 0.0);
        assert_eq!(entropy(&[1.0]), 0.0);
    }

    #[test]
    fn sums_follow_the_groups() {
        let groups = Groups::new(&[2, 0, 2, 1]);
        let probs = [0.1, 0.2, 0.3, 0.4];
        assert_eq!(groups.sums(&probs).collect::<Vec<_>>(), [(0, 0.2), (1, 0.4), (2, 0.4)]);
        let favourite = groups.favourite(&probs).unwrap();
        assert_eq!((favourite.label, favourite.margin), (1, 0.0));
        assert!(groups.collects(2) && !groups.collects(3));
        assert_eq!((likeliest(&probs), first_three(&probs)), (Some(3), [Some(3), Some(2), Some(1)]));
        assert!(Groups::new(&[]).favourite(&[]).is_none());
    }
}
