//! What probabilities are worth on sounds whose labels are known.

use super::calibration::Figures;
use super::labels::Labels;

/// Bins of a calibration error, equally wide from 0 to 1. 15 as in Guo et al., ICML 2017.
pub const BINS: usize = 15;

/// Sounds whose likeliest label has a confidence in one range.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    /// How many.
    pub count: usize,
    /// Their mean confidence, from 0 to 1; 0 where there are none.
    pub confidence: f64,
    /// How many of them are what they were taken for, from 0 to 1; 0 where there are none.
    pub right: f64,
}

/// The bins of a reliability diagram: `pairs` are the confidence in the likeliest label and whether it is right.
pub fn bins(pairs: impl Iterator<Item = (f32, bool)>) -> [Bin; BINS] {
    let mut bins = [Bin::default(); BINS];
    for (confidence, right) in pairs {
        let place = ((confidence * BINS as f32) as usize).min(BINS - 1);
        if let Some(bin) = bins.get_mut(place) {
            bin.count += 1;
            bin.confidence += f64::from(confidence);
            bin.right += f64::from(u8::from(right));
        }
    }
    for bin in &mut bins {
        bin.confidence /= bin.count.max(1) as f64;
        bin.right /= bin.count.max(1) as f64;
    }
    bins
}

/// Expected calibration error: how far confidence and truth lie apart, averaged over sounds.
pub fn calibration_error(bins: &[Bin]) -> f64 {
    let total: usize = bins.iter().map(|bin| bin.count).sum();
    let apart: f64 = bins.iter().map(|bin| bin.count as f64 * (bin.confidence - bin.right).abs()).sum();
    apart / total.max(1) as f64
}

/// Confidence in the likeliest fine label of each sound, and whether it is right.
pub fn fine_pairs<'a>(
    probabilities: &'a [Vec<f32>],
    truth: impl Iterator<Item = usize> + 'a,
) -> impl Iterator<Item = (f32, bool)> + 'a {
    probabilities.iter().zip(truth).map(|(probabilities, truth)| likeliest(probabilities, truth))
}

/// Confidence in the likeliest canonical label of each sound, and whether it is right.
pub fn canonical_pairs<'a>(
    probabilities: &'a [Vec<f32>],
    truth: impl Iterator<Item = usize> + 'a,
    labels: &'a Labels,
) -> impl Iterator<Item = (f32, bool)> + 'a {
    probabilities.iter().zip(truth).map(|(probabilities, truth)| {
        let truth = labels.canonical().get(truth).copied().unwrap_or(usize::MAX);
        likeliest(&labels.canonical_probabilities(probabilities), truth)
    })
}

fn likeliest(probabilities: &[f32], truth: usize) -> (f32, bool) {
    let mut best = (f32::NEG_INFINITY, usize::MAX);
    for (index, &probability) in probabilities.iter().enumerate() {
        if probability > best.0 {
            best = (probability, index);
        }
    }
    (best.0.clamp(0.0, 1.0), best.1 == truth)
}

/// The negative log likelihood of something that was given this probability, in nats. What was held to be impossible
/// costs 27.6, not infinity.
pub(super) fn surprise(probability: f32) -> f64 {
    -f64::from(probability).max(1e-12).ln()
}

/// The mean negative log likelihood of the fine and of the canonical label.
pub(super) fn likelihoods(
    probabilities: &[Vec<f32>],
    truth: impl Iterator<Item = usize>,
    labels: &Labels,
) -> (f64, f64) {
    let (mut fine, mut canonical) = (0.0, 0.0);
    for (probabilities, truth) in probabilities.iter().zip(truth) {
        fine += surprise(probabilities.get(truth).copied().unwrap_or(0.0));
        let folder = labels.canonical().get(truth).copied().unwrap_or(usize::MAX);
        canonical += surprise(labels.canonical_probabilities(probabilities).get(folder).copied().unwrap_or(0.0));
    }
    let count = probabilities.len().max(1) as f64;
    (fine / count, canonical / count)
}

impl Figures {
    /// What `probabilities` (one list a sound, in label order) are worth, given the places of the true labels.
    pub fn of(probabilities: &[Vec<f32>], truth: &[usize], labels: &Labels) -> Self {
        let truth = || truth.iter().copied();
        let (nll_fine, nll_canonical) = likelihoods(probabilities, truth(), labels);
        let share =
            |pairs: &[(f32, bool)]| pairs.iter().filter(|pair| pair.1).count() as f64 / pairs.len().max(1) as f64;
        let fine: Vec<_> = fine_pairs(probabilities, truth()).collect();
        let canonical: Vec<_> = canonical_pairs(probabilities, truth(), labels).collect();
        Self {
            ece_fine: calibration_error(&bins(fine.iter().copied())),
            ece_canonical: calibration_error(&bins(canonical.iter().copied())),
            nll_fine,
            nll_canonical,
            top1_fine: share(&fine),
            top1_canonical: share(&canonical),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_how_far_confidence_and_truth_lie_apart() {
        // Four at 0.9 of which three are right, one at 0.2 that is right: (4 · 0.15 + 0.8) / 5.
        let pairs = [(0.9, true), (0.9, true), (0.9, true), (0.9, false), (0.2, true)];
        let bins = bins(pairs.into_iter());
        assert_eq!(bins.iter().map(|bin| bin.count).sum::<usize>(), 5);
        assert!((calibration_error(&bins) - (4.0 * 0.15 + 0.8) / 5.0).abs() < 1e-6);
        assert_eq!(super::bins([(1.0, true), (0.0, false)].into_iter())[BINS - 1].count, 1);
        assert_eq!(calibration_error(&[]), 0.0);
    }

    #[test]
    fn figures_tell_fine_labels_from_those_they_are_collected_under() {
        let labels = Labels::parse(r#"["China", "Crash", "Kick"]"#, r#"{"China": "Crash", "Crash": "Crash"}"#).unwrap();
        // A crash taken for a china, and a sound of misc (nothing is said of Kick here) taken for itself.
        let probabilities = [vec![0.5, 0.25, 0.25], vec![0.0, 0.0, 1.0]];
        let figures = Figures::of(&probabilities, &[1, 2], &labels);
        assert_eq!((figures.top1_fine, figures.top1_canonical), (0.5, 1.0));
        assert!((figures.nll_fine - 0.25f64.ln() / -2.0).abs() < 1e-6);
        assert!((figures.nll_canonical - 0.75f64.ln() / -2.0).abs() < 1e-6);
        assert!((figures.ece_fine - 0.25).abs() < 1e-6 && (figures.ece_canonical - 0.125).abs() < 1e-6);
        assert!(surprise(0.0).is_finite());
    }
}
