//! What learning did, measured on sounds that were not learnt from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::classify::labels::Labels;

/// Equally wide bins of the expected calibration error (Guo et al., ICML 2017).
const BINS: usize = 15;

/// By how much the likelihood may get worse in packs that were not learnt from, and what share of the overrides (at least
/// one) may become wrong there: so much is chance.
const OTHERS_MAY_LOSE: [f64; 2] = [0.02, 0.01];

/// By how much the share of what shipped that is still right may fall: canonical labels and fine labels.
const SHIPPED_MAY_LOSE: [f64; 2] = [0.01, 0.02];

/// How right, and how rightly sure, a model is on some sounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// How many sounds.
    pub sounds: usize,
    /// Share whose likeliest canonical label (probabilities summed first) is what was meant.
    pub top1_canonical: f64,
    /// Share whose likeliest fine label is one that was meant.
    pub top1_fine: f64,
    /// Mean of −ln of the probability of what was meant: lower is better.
    pub nll: f64,
    /// Expected calibration error of the likeliest canonical label, over 15 bins: lower is better.
    pub ece_canonical: f64,
}

impl Figures {
    /// Of calibrated probabilities, each with the fine labels that were meant.
    pub fn of<'a>(labels: &Labels, sounds: impl Iterator<Item = (Vec<f32>, &'a [usize])>) -> Self {
        let (mut count, mut canonical, mut fine, mut nll) = (0usize, 0usize, 0usize, 0.0);
        let mut bins = [(0usize, 0f64, 0usize); BINS];
        for (probabilities, meant) in sounds {
            count += 1;
            fine += usize::from(largest(&probabilities).is_some_and(|(best, _)| meant.contains(&best)));
            let sum: f32 = meant.iter().filter_map(|&label| probabilities.get(label)).sum();
            nll -= f64::from(sum.max(1e-9)).ln();
            let sums = labels.canonical_probabilities(&probabilities);
            let Some((best, confidence)) = largest(&sums) else { continue };
            let right = meant.iter().any(|&label| labels.canonical().get(label) == Some(&best));
            canonical += usize::from(right);
            let bin = ((confidence * BINS as f32) as usize).min(BINS - 1);
            if let Some((sounds, confidences, rights)) = bins.get_mut(bin) {
                *sounds += 1;
                *confidences += f64::from(confidence);
                *rights += usize::from(right);
            }
        }
        let share = |part: f64| if count == 0 { 0.0 } else { part / count as f64 };
        Self {
            sounds: count,
            top1_canonical: share(canonical as f64),
            top1_fine: share(fine as f64),
            nll: share(nll),
            ece_canonical: share(bins.iter().map(|(_, sum, right)| (sum - *right as f64).abs()).sum()),
        }
    }
}

fn largest(values: &[f32]) -> Option<(usize, f32)> {
    values.iter().copied().enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// Which sounds were kept apart while the layer was fitted that is measured on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum HeldOut {
    /// One pack after another; several together where there are many.
    Pack {
        /// Packs.
        packs: usize,
        /// Fits.
        groups: usize,
    },
    /// A part of the only pack there is after another: says nothing of other packs.
    PartOfOnePack {
        /// Fits.
        groups: usize,
    },
}

impl fmt::Display for HeldOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pack { packs, groups } if packs == groups => {
                write!(f, "each of {packs} packs judged by what the others taught")
            }
            Self::Pack { packs, groups } => {
                write!(f, "{packs} packs in {groups} groups, each judged by what the others taught")
            }
            Self::PartOfOnePack { groups } => write!(
                f,
                "all from one pack: each {groups}th judged by what the rest taught, which says nothing of other packs"
            ),
        }
    }
}

/// What learning did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// What was kept apart.
    pub held_out: HeldOut,
    /// The overrides, before.
    pub before: Figures,
    /// Each of them judged by a layer that was not fitted to it or its pack.
    pub after: Figures,
    /// Each of them judged by a layer that was fitted to others of its pack, but not to it; none where there is one
    /// pack, for then `after` is that.
    pub after_same_packs: Option<Figures>,
    /// What shipped with the model, before. It learnt from these sounds: this is no figure for others.
    pub shipped_before: Figures,
    /// The same, with the new layer.
    pub shipped_after: Figures,
}

impl Effect {
    /// Why this should not be adopted; none where it should: it must do better in packs it learnt from or in others, on
    /// sounds it did not learn from in either case, no worse in others, and not forget what shipped.
    pub fn objection(&self) -> Option<String> {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let [nll, share] = OTHERS_MAY_LOSE;
        let sounds = self.before.sounds.max(1) as f64;
        let may_lose = (sounds * share).ceil() / sounds + 1e-9;
        let lost = self.before.top1_canonical - self.after.top1_canonical;
        if self.after.nll > self.before.nll * (1.0 + nll) || lost > may_lose {
            return Some(format!(
                "on overrides it did not learn from it does worse than before ({} right before, {} after; negative log \
                 likelihood {:.3} before, {:.3} after)",
                percent(self.before.top1_canonical),
                percent(self.after.top1_canonical),
                self.before.nll,
                self.after.nll
            ));
        }
        if !self.helps_others() && !self.after_same_packs.is_some_and(|same| self.is_better(&same)) {
            return Some("on overrides it did not learn from it does no better than before".to_owned());
        }
        let lost = [
            self.shipped_before.top1_canonical - self.shipped_after.top1_canonical,
            self.shipped_before.top1_fine - self.shipped_after.top1_fine,
        ];
        (lost.iter().zip(SHIPPED_MAY_LOSE).any(|(lost, may)| *lost > may)).then(|| {
            format!(
                "it would forget too much of what the model knew ({} right before, {} after; {} and {} of the labels)",
                percent(self.shipped_before.top1_canonical),
                percent(self.shipped_after.top1_canonical),
                percent(self.shipped_before.top1_fine),
                percent(self.shipped_after.top1_fine)
            )
        })
    }

    /// Whether it does better where it did not learn from the pack (or, where there is one pack, from the sound).
    pub fn helps_others(&self) -> bool {
        self.is_better(&self.after)
    }

    fn is_better(&self, after: &Figures) -> bool {
        after.nll < self.before.nll && after.top1_canonical >= self.before.top1_canonical
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        Labels::parse(r#"["China", "Crash", "Kick", "Vox"]"#, r#"{"China":"Crash","Crash":"Crash","Kick":"Kick"}"#)
            .unwrap()
    }

    #[test]
    fn figures_are_what_their_names_say() {
        let sounds: [(Vec<f32>, &[usize]); 3] = [
            // Kick is likeliest, but China and Crash are together.
            (vec![0.3, 0.3, 0.4, 0.0], &[0]),
            (vec![0.0, 0.0, 0.8, 0.2], &[2]),
            (vec![0.0, 0.0, 0.5, 0.5], &[3, 0]),
        ];
        let figures = Figures::of(&labels(), sounds.into_iter());
        assert_eq!(figures.sounds, 3);
        assert!((figures.top1_canonical - 2.0 / 3.0).abs() < 1e-9, "{figures:?}");
        assert!((figures.top1_fine - 1.0 / 3.0).abs() < 1e-9, "{figures:?}");
        let nll = -(0.3f64.ln() + 0.8f64.ln() + 0.5f64.ln()) / 3.0;
        assert!((figures.nll - nll).abs() < 1e-6, "{figures:?}");
        // Confidences of 0.6 right, 0.8 right, 0.5 wrong, each in a bin of its own.
        assert!((figures.ece_canonical - (0.4 + 0.2 + 0.5) / 3.0).abs() < 1e-6, "{figures:?}");
        assert_eq!(Figures::of(&labels(), std::iter::empty()).nll, 0.0);
    }

    #[test]
    fn what_helps_is_adopted_and_what_harms_or_forgets_is_not() {
        let figures = |canonical: f64, nll: f64| Figures {
            sounds: 100,
            top1_canonical: canonical,
            top1_fine: canonical,
            nll,
            ece_canonical: 0.0,
        };
        let effect = Effect {
            held_out: HeldOut::Pack { packs: 3, groups: 3 },
            before: figures(0.7, 1.0),
            after: figures(0.8, 0.8),
            after_same_packs: None,
            shipped_before: figures(0.95, 0.2),
            shipped_after: figures(0.945, 0.25),
        };
        assert_eq!(effect.objection(), None);
        for after in [figures(0.68, 0.8), figures(0.8, 1.03)] {
            assert!(Effect { after, ..effect }.objection().unwrap().contains("worse"));
        }
        // As good as before elsewhere, and better where it learnt from others of the pack.
        let elsewhere = Effect { after: figures(0.69, 1.01), ..effect };
        assert!(elsewhere.objection().unwrap().contains("no better"));
        assert!(!elsewhere.helps_others());
        assert_eq!(Effect { after_same_packs: Some(figures(0.75, 0.9)), ..elsewhere }.objection(), None);
        let forgetful = Effect { shipped_after: figures(0.93, 0.2), ..effect };
        assert!(forgetful.objection().unwrap().contains("forget"));
    }
}
