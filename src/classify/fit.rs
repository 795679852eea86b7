//! Fitting a [`Calibration`] on sounds whose labels are known.
//!
//! Everything is judged on kits that were held out: a kit's sounds are alike, and a calibration that has seen some of
//! them flatters itself on the others.

use std::collections::BTreeMap;

use rayon::prelude::*;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::calibration::{Calibration, Figures};
use super::figures::{likelihoods, surprise};
use super::labels::Labels;

/// The fewest sounds that a calibration is fitted on.
pub const FEWEST_SAMPLES: usize = 100;

/// The fewest kits: two to fit on while the third is held out.
pub const FEWEST_KITS: usize = 3;

/// A label gets a slope and an offset of its own only where so many sounds of it, ...
pub const FEWEST_OF_LABEL: usize = 20;

/// ... from so many kits, are there to fit them on.
pub const FEWEST_KITS_OF_LABEL: usize = 3;

/// Into how many parts kits are dealt, each held out once.
const FOLDS: usize = 5;

/// Temperatures that are looked at, as natural logarithms: 1/20 to 20.
const LOG_TEMPERATURES: (f64, f64) = (-2.996, 2.996);

/// One sound whose label is known.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// What the model said, in label order.
    pub logits: &'a [f32],
    /// The place of its label.
    pub label: usize,
    /// The kit it is from.
    pub kit: &'a str,
}

/// Sounds that no calibration can be fitted on.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FitError {
    /// Too few sounds.
    #[error("{found} sounds are too few to calibrate on: it takes {FEWEST_SAMPLES}, better a thousand")]
    TooFewSamples {
        /// How many there are.
        found: usize,
    },
    /// Too few kits.
    #[error(
        "the sounds are from {found} kits, and it takes {FEWEST_KITS}, so that a calibration can be judged on kits it was \
         not fitted on: say in a column `kit` which sounds belong together, or add sounds of other packs"
    )]
    TooFewKits {
        /// How many there are.
        found: usize,
    },
    /// All of one canonical label.
    #[error("all sounds have one canonical label: add sounds of others")]
    OneLabel,
    /// The best temperature is none.
    #[error(
        "the model is {} on these sounds, so they can't tell how sure it may be: give it sounds that it was not trained on",
        if *.always_right { "always right" } else { "no better than chance" }
    )]
    NoTemperature {
        /// Whether the temperature ran down to 0 (never wrong) or up without end (never right).
        always_right: bool,
    },
}

/// What was fitted, and what it is worth.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The calibration, fitted on everything, with the figures of before and after in it.
    pub calibration: Calibration,
    /// The uncalibrated probabilities of each sound.
    pub before: Vec<Vec<f32>>,
    /// The probabilities of each sound by a calibration that was fitted on other kits.
    pub after: Vec<Vec<f32>>,
    /// The figures of a temperature alone, held out in the same way.
    pub temperature_alone: Figures,
    /// Whether labels of their own would have been fitted but made it worse on kits that were held out.
    pub platt_refused: bool,
}

/// Fits a temperature, and a slope and an offset for each label that is better off with its own on kits that were held
/// out; neither changes what a kit's sounds are judged by in `after`.
///
/// The temperature has the least sum of the negative log likelihoods of the fine and of the canonical label: thresholds
/// are set on the canonical label's probability, `_uncertain/` and routes look at the fine ones, and what is best for
/// the one alone is worse for the other.
///
/// # Errors
/// [`FitError`] where there is too little to fit on.
pub fn fit(samples: &[Labelled<'_>], model: &str, labels: &Labels) -> Result<Fitted, FitError> {
    if samples.len() < FEWEST_SAMPLES {
        return Err(FitError::TooFewSamples { found: samples.len() });
    }
    let fold_of = deal(samples);
    let kits = kits_of(samples);
    if kits < FEWEST_KITS {
        return Err(FitError::TooFewKits { found: kits });
    }
    let canonical = |sample: &Labelled<'_>| labels.canonical().get(sample.label).copied();
    if samples.iter().all(|sample| canonical(sample) == samples.first().and_then(canonical)) {
        return Err(FitError::OneLabel);
    }
    let all: Vec<Labelled<'_>> = samples.to_vec();
    let whole = fit_once(&all, labels, true);
    let log_temperature = f64::from(whole.temperature).ln();
    if !(LOG_TEMPERATURES.0 + 0.01..=LOG_TEMPERATURES.1 - 0.01).contains(&log_temperature) {
        return Err(FitError::NoTemperature { always_right: log_temperature < 0.0 });
    }
    let truth: Vec<usize> = samples.iter().map(|sample| sample.label).collect();
    let none = Calibration::none(model, labels.checksum());
    let before: Vec<Vec<f32>> = samples.iter().map(|sample| none.probabilities(sample.logits)).collect();
    let before_figures = Figures::of(&before, &truth, labels);
    let (mut with_platt, mut alone) = (vec![Vec::new(); samples.len()], vec![Vec::new(); samples.len()]);
    for fold in 0..FOLDS {
        let known: Vec<Labelled<'_>> = part(samples, &fold_of, |of| of != fold);
        if known.is_empty() || known.len() == samples.len() {
            continue;
        }
        let fitted = fit_once(&known, labels, !whole.platt.is_empty());
        let (platt, temperature) =
            (fitted.calibration(&none, labels), fitted.without_platt().calibration(&none, labels));
        for (index, sample) in samples.iter().enumerate().filter(|(index, _)| fold_of.get(*index) == Some(&fold)) {
            if let (Some(with), Some(without)) = (with_platt.get_mut(index), alone.get_mut(index)) {
                *with = platt.probabilities(sample.logits);
                *without = temperature.probabilities(sample.logits);
            }
        }
    }
    let (with, temperature_alone) = (Figures::of(&with_platt, &truth, labels), Figures::of(&alone, &truth, labels));
    let cost = |figures: &Figures| figures.nll_fine + figures.nll_canonical;
    let platt_helps = !whole.platt.is_empty() && cost(&with) < cost(&temperature_alone);
    let platt_refused = !whole.platt.is_empty() && !platt_helps;
    let (chosen, after, after_figures) =
        if platt_helps { (whole, with_platt, with) } else { (whole.without_platt(), alone, temperature_alone) };
    let mut calibration = chosen.calibration(&none, labels);
    calibration.before = Some(before_figures);
    calibration.after = Some(after_figures);
    Ok(Fitted { calibration, before, after, temperature_alone, platt_refused })
}

/// What a calibration was fitted on, in one number: XXH3 (64 bits, hexadecimal) of the lines `<content hash> <label>`,
/// sorted.
pub fn data_hash<'a>(pairs: impl Iterator<Item = (String, &'a str)>) -> String {
    let mut lines: Vec<String> = pairs.map(|(hash, label)| format!("{hash} {label}\n")).collect();
    lines.sort_unstable();
    format!("{:016x}", xxh3_64(lines.concat().as_bytes()))
}

/// Temperature, and labels with a slope and an offset of their own.
struct Numbers {
    temperature: f32,
    platt: BTreeMap<usize, [f32; 2]>,
}

impl Numbers {
    fn without_platt(&self) -> Self {
        Self { temperature: self.temperature, platt: BTreeMap::new() }
    }

    fn calibration(&self, none: &Calibration, labels: &Labels) -> Calibration {
        let name = |index: usize| labels.names().get(index).cloned().unwrap_or_default();
        let platt = self.platt.iter().map(|(index, curve)| (name(*index), *curve)).collect();
        let mut calibration = none.clone();
        (calibration.temperature, calibration.platt) = (self.temperature, platt);
        // The numbers are positive and finite, and the labels the model's: nothing here can be refused.
        calibration.for_labels(labels).unwrap_or_else(|_| none.clone())
    }
}

fn kits_of(samples: &[Labelled<'_>]) -> usize {
    let kits: std::collections::BTreeSet<&str> = samples.iter().map(|sample| sample.kit).collect();
    kits.len()
}

/// Deals kits into folds of about the same size, the largest kit first; the same for the same kits in any order.
fn deal(samples: &[Labelled<'_>]) -> Vec<usize> {
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for sample in samples {
        *sizes.entry(sample.kit).or_default() += 1;
    }
    let mut kits: Vec<(&str, usize)> = sizes.into_iter().collect();
    kits.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let mut filled = [0usize; FOLDS];
    let mut fold_of: BTreeMap<&str, usize> = BTreeMap::new();
    for (kit, size) in kits {
        let emptiest = (0..FOLDS).min_by_key(|fold| filled.get(*fold).copied().unwrap_or(usize::MAX)).unwrap_or(0);
        if let Some(filled) = filled.get_mut(emptiest) {
            *filled += size;
        }
        fold_of.insert(kit, emptiest);
    }
    samples.iter().map(|sample| fold_of.get(sample.kit).copied().unwrap_or(0)).collect()
}

fn part<T: Copy>(samples: &[T], fold_of: &[usize], wanted: impl Fn(usize) -> bool) -> Vec<T> {
    samples.iter().zip(fold_of).filter(|(_, fold)| wanted(**fold)).map(|(sample, _)| *sample).collect()
}

fn fit_once(samples: &[Labelled<'_>], labels: &Labels, with_platt: bool) -> Numbers {
    let temperature = fit_temperature(samples, labels) as f32;
    if !with_platt {
        return Numbers { temperature, platt: BTreeMap::new() };
    }
    let fold_of = deal(samples);
    let platt = (0..labels.len())
        .into_par_iter()
        .filter_map(|label| Some((label, fit_label(samples, &fold_of, label, temperature)?)))
        .collect();
    Numbers { temperature, platt }
}

/// The temperature with the least cost: golden-section search over its logarithm.
fn fit_temperature(samples: &[Labelled<'_>], labels: &Labels) -> f64 {
    let none = Calibration::none("", labels.checksum());
    let cost = |log_temperature: f64| -> f64 {
        let mut calibration = none.clone();
        calibration.temperature = log_temperature.exp() as f32;
        let each = |sample: &Labelled<'_>| {
            let one = [calibration.probabilities(sample.logits)];
            let (fine, canonical) = likelihoods(&one, std::iter::once(sample.label), labels);
            fine + canonical
        };
        // In chunks of a fixed size that are added up in order: the same sum however many threads there are.
        let sums: Vec<f64> = samples.par_chunks(256).map(|chunk| chunk.iter().map(each).sum()).collect();
        sums.iter().sum()
    };
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = LOG_TEMPERATURES;
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_left, mut at_right) = (cost(left), cost(right));
    // 30 steps leave 3e-6 of the range.
    for _ in 0..30 {
        if at_left < at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - golden * (high - low);
            at_left = cost(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + golden * (high - low);
            at_right = cost(right);
        }
    }
    ((low + high) / 2.0).exp()
}

/// Slope and offset of one label, where there are enough sounds of it and it is better off with its own on kits that
/// were held out.
fn fit_label(samples: &[Labelled<'_>], fold_of: &[usize], label: usize, temperature: f32) -> Option<[f32; 2]> {
    let positive: Vec<Labelled<'_>> = samples.iter().filter(|sample| sample.label == label).copied().collect();
    let enough = positive.len() >= FEWEST_OF_LABEL && kits_of(&positive) >= FEWEST_KITS_OF_LABEL;
    if !enough || samples.len() - positive.len() < FEWEST_OF_LABEL {
        return None;
    }
    let points: Vec<(f64, bool)> = samples
        .iter()
        .map(|sample| (log_odds(sample.logits, label, f64::from(temperature)), sample.label == label))
        .collect();
    let (mut own, mut shared) = (0.0, 0.0);
    for fold in 0..FOLDS {
        let curve = fit_curve(&part(&points, fold_of, |of| of != fold));
        for (odds, positive) in part(&points, fold_of, |of| of == fold) {
            own += cost_of(curve, odds, positive);
            shared += cost_of([1.0, 0.0], odds, positive);
        }
    }
    let [slope, offset] = fit_curve(&points);
    (own < shared && slope > 0.05).then_some([slope as f32, offset as f32])
}

/// ln p / (1 − p) of a label: its logit over the temperature, minus the logarithm of the sum of the others'.
fn log_odds(logits: &[f32], label: usize, temperature: f64) -> f64 {
    let scaled = |logit: f32| f64::from(logit) / temperature;
    let others = || logits.iter().enumerate().filter(|(index, _)| *index != label).map(|(_, logit)| scaled(*logit));
    let highest = others().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = others().map(|logit| (logit - highest).exp()).sum();
    scaled(logits.get(label).copied().unwrap_or(0.0)) - highest - sum.ln()
}

fn cost_of(curve: [f64; 2], odds: f64, positive: bool) -> f64 {
    let probability = sigmoid(curve[0] * odds + curve[1]);
    surprise(if positive { probability } else { 1.0 - probability } as f32)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Slope and offset with the highest likelihood for sounds of and not of a label, found by Newton's method with
/// halved steps (Lin, Lin and Weng, *A Note on Platt's Probabilistic Outputs*, Machine Learning 68, 2007), with Platt's
/// targets: (n + 1) / (n + 2) and 1 / (n + 2) in place of 1 and 0. A quadratic penalty on how far they are from 1 and 0
/// keeps few sounds from saying much.
fn fit_curve(points: &[(f64, bool)]) -> [f64; 2] {
    let positives = points.iter().filter(|point| point.1).count() as f64;
    let negatives = points.len() as f64 - positives;
    let (high, low) = ((positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0));
    let target = |positive: bool| if positive { high } else { low };
    let softplus = |x: f64| if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() };
    let cost = |[slope, offset]: [f64; 2]| -> f64 {
        let each = |&(odds, positive): &(f64, bool)| {
            let u = slope * odds + offset;
            softplus(u) - target(positive) * u
        };
        points.iter().map(each).sum::<f64>() + PENALTY / 2.0 * ((slope - 1.0).powi(2) + offset.powi(2))
    };
    let mut curve = [1.0, 0.0];
    let mut at = cost(curve);
    for _ in 0..50 {
        let (mut g0, mut g1) = (PENALTY * (curve[0] - 1.0), PENALTY * curve[1]);
        let (mut h00, mut h01, mut h11) = (PENALTY, 0.0, PENALTY);
        for &(odds, positive) in points {
            let p = sigmoid(curve[0] * odds + curve[1]);
            let (difference, weight) = (p - target(positive), p * (1.0 - p));
            g0 += difference * odds;
            g1 += difference;
            h00 += weight * odds * odds;
            h01 += weight * odds;
            h11 += weight;
        }
        let determinant = h00 * h11 - h01 * h01;
        let step = [(h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant];
        let mut length = 1.0;
        loop {
            let next = [curve[0] - length * step[0], curve[1] - length * step[1]];
            let there = cost(next);
            if there < at {
                (curve, at) = (next, there);
                break;
            }
            length /= 2.0;
            if length < 1e-8 {
                return curve;
            }
        }
    }
    curve
}

/// How much a slope and an offset that are not 1 and 0 cost, as if so many sounds spoke against it.
const PENALTY: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from 0 to 1 that are the same in every run: a 64-bit linear congruential generator with Knuth's
    /// constants.
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    fn labels() -> Labels {
        let list = r#"["China", "Clap", "Crash", "Kick", "Snare", "Tom"]"#;
        let mapping = r#"{"China": "Crash", "Crash": "Crash", "Kick": "Kick", "Snare": "Snare", "Tom": "Tom"}"#;
        Labels::parse(list, mapping).unwrap()
    }

    /// A sound: logits, label, kit.
    type Sound = (Vec<f32>, usize, String);

    /// Sounds of 12 kits whose labels were drawn with the probabilities that their logits have, before `distort` makes
    /// the logits something else.
    fn sounds(count: usize, seed: u64, distort: impl Fn(usize, f64) -> f64) -> Vec<Sound> {
        let mut numbers = Numbers(seed);
        (0..count)
            .map(|index| {
                let logits: Vec<f64> = (0..labels().len()).map(|_| 6.0 * numbers.next() - 3.0).collect();
                let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
                let mut rest = numbers.next() * sum;
                let drawn = logits.iter().position(|logit| {
                    rest -= logit.exp();
                    rest < 0.0
                });
                let seen = logits.iter().enumerate().map(|(label, logit)| distort(label, *logit) as f32).collect();
                (seen, drawn.unwrap_or(0), format!("kit {}", index % 12))
            })
            .collect()
    }

    fn fitted(sounds: &[Sound]) -> Result<Fitted, FitError> {
        let labelled: Vec<Labelled<'_>> =
            sounds.iter().map(|(logits, label, kit)| Labelled { logits, label: *label, kit }).collect();
        fit(&labelled, "a", &labels())
    }

    #[test]
    fn a_model_that_is_too_sure_gets_the_temperature_that_it_is_too_sure_by() {
        let fitted = fitted(&sounds(3000, 1, |_, logit| 3.0 * logit)).unwrap();
        let calibration = &fitted.calibration;
        assert!((calibration.temperature - 3.0).abs() < 0.15, "{}", calibration.temperature);
        let (before, after) = (calibration.before.unwrap(), calibration.after.unwrap());
        assert!(before.ece_fine > 0.15 && after.ece_fine < 0.03, "{before:?} {after:?}");
        assert!(before.ece_canonical > 0.15 && after.ece_canonical < 0.03, "{before:?} {after:?}");
        assert!(after.nll_fine < before.nll_fine && after.nll_canonical < before.nll_canonical);
        assert_eq!(before.top1_fine, after.top1_fine, "a temperature turns no order around");
        assert_eq!((fitted.before.len(), fitted.after.len()), (3000, 3000));
        assert!(fitted.after.iter().all(|p| (p.iter().sum::<f32>() - 1.0).abs() < 1e-5), "each was held out once");
    }

    #[test]
    fn a_label_that_is_heard_too_often_gets_its_own_offset_and_the_others_do_without() {
        // Kick is said too easily and too loudly; a temperature can't tell it from the others.
        let fitted =
            fitted(&sounds(3000, 2, |label, logit| if label == 3 { 2.0 * logit + 2.5 } else { logit })).unwrap();
        let [slope, offset] = fitted.calibration.platt["Kick"];
        assert!(slope > 0.0 && offset < -0.5, "{slope} {offset}");
        assert!(!fitted.platt_refused);
        let after = fitted.calibration.after.unwrap();
        assert!(after.nll_fine < fitted.temperature_alone.nll_fine, "{after:?} {:?}", fitted.temperature_alone);
        assert!(after.ece_fine < fitted.temperature_alone.ece_fine);
    }

    #[test]
    fn a_label_is_left_alone_where_its_own_numbers_do_not_hold_on_other_kits() {
        // In each kit another label is said too easily: what one kit teaches is wrong for the next.
        let mut unlike = sounds(1200, 3, |_, logit| logit);
        for (index, (logits, _, _)) in unlike.iter_mut().enumerate() {
            logits[(index % 12) % 6] += 3.0;
        }
        let unlike = fitted(&unlike).unwrap();
        let (after, alone) = (unlike.calibration.after.unwrap(), unlike.temperature_alone);
        assert!(after.nll_fine + after.nll_canonical <= alone.nll_fine + alone.nll_canonical);
        assert_eq!(unlike.calibration.platt, BTreeMap::new());
        // A label with few sounds never has its own.
        let mut few = sounds(1500, 4, |label, logit| if label == 1 { logit + 3.0 } else { logit });
        let mut kept = 0;
        few.retain(|(_, label, _)| {
            kept += usize::from(*label == 1);
            *label != 1 || kept < FEWEST_OF_LABEL
        });
        assert!(!fitted(&few).unwrap().calibration.platt.contains_key("Clap"));
    }

    #[test]
    fn the_order_of_the_sounds_changes_nothing() {
        let mut sounds = sounds(600, 5, |_, logit| 2.0 * logit);
        let one = fitted(&sounds).unwrap().calibration;
        sounds.reverse();
        let other = fitted(&sounds).unwrap().calibration;
        assert!((one.temperature - other.temperature).abs() < 1e-3, "{} {}", one.temperature, other.temperature);
        assert_eq!(one.platt.keys().collect::<Vec<_>>(), other.platt.keys().collect::<Vec<_>>());
    }

    #[test]
    fn too_little_to_fit_on_is_refused_with_what_it_takes() {
        let all = sounds(400, 6, |_, logit| logit);
        let error = |sounds: &[Sound]| fitted(sounds).unwrap_err();
        assert_eq!(error(&all[..99]), FitError::TooFewSamples { found: 99 });
        let kits: Vec<Sound> = all.iter().cloned().map(|(l, t, _)| (l, t, "one".to_owned())).collect();
        assert!(error(&kits).to_string().contains("from 1 kits, and it takes 3"));
        // A china is a crash: two fine labels, one folder.
        let crashes: Vec<Sound> =
            all.iter().cloned().enumerate().map(|(i, (l, _, k))| (l, if i % 2 == 0 { 0 } else { 2 }, k)).collect();
        assert_eq!(error(&crashes), FitError::OneLabel);
    }

    #[test]
    fn sounds_that_the_model_always_or_never_knows_can_not_tell_how_sure_it_may_be() {
        let mut known = sounds(400, 7, |_, logit| logit);
        for (logits, label, _) in &mut known {
            *label = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        }
        assert_eq!(fitted(&known).unwrap_err(), FitError::NoTemperature { always_right: true });
        for (logits, label, _) in &mut known {
            *label = (0..logits.len()).min_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        }
        assert_eq!(fitted(&known).unwrap_err(), FitError::NoTemperature { always_right: false });
    }

    #[test]
    fn the_hash_of_the_data_knows_labels_and_contents_and_no_order() {
        let hash = |pairs: &[(&str, &'static str)]| data_hash(pairs.iter().map(|(h, l)| ((*h).to_owned(), *l)));
        assert_eq!(hash(&[("a", "Kick"), ("b", "Tom")]), hash(&[("b", "Tom"), ("a", "Kick")]));
        assert_ne!(hash(&[("a", "Kick"), ("b", "Tom")]), hash(&[("a", "Tom"), ("b", "Kick")]));
    }

    #[test]
    fn newtons_method_finds_the_curve_that_the_points_were_drawn_from() {
        let mut numbers = Numbers(8);
        let points: Vec<(f64, bool)> = (0..20_000)
            .map(|_| {
                let odds = 8.0 * numbers.next() - 4.0;
                (odds, numbers.next() < sigmoid(0.6 * odds - 0.8))
            })
            .collect();
        let [slope, offset] = fit_curve(&points);
        assert!((slope - 0.6).abs() < 0.03 && (offset + 0.8).abs() < 0.05, "{slope} {offset}");
    }
}
