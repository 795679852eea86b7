//! How sure the model is of one sample, for reports: its first two labels and what lies between them.

use super::heard::entropy;
use super::route::Router;

/// What the probabilities of one sample say before any threshold, by collected label: fine labels that the rules collect
/// in one place are added up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Doubt {
    /// The label with the highest sum, an index into [`Router::labels`], and that sum, from 0 to 1.
    pub first: (u8, f32),
    /// The next one; none where everything is collected in one place.
    pub second: Option<(u8, f32)>,
    /// Shannon entropy of the fine probabilities in nats: −Σ p ln p.
    pub entropy: f32,
}

impl Doubt {
    /// The distance between the first two sums.
    pub fn margin(&self) -> f32 {
        self.first.1 - self.second.map_or(0.0, |(_, sum)| sum)
    }
}

impl Router {
    /// How sure the model is, given the fine probabilities in label order; none where they are not this model's.
    pub fn doubt(&self, probs: &[f32]) -> Option<Doubt> {
        if probs.len() != self.fine {
            return None;
        }
        let sums = self.groups.sums(probs).map(|(label, sum)| (label, sum.clamp(0.0, 1.0)));
        let (first, second) = two_highest(sums)?;
        Some(Doubt { first, second, entropy: entropy(probs) })
    }

    /// The label that a fine label, by its place in label order, is collected under.
    pub fn collected_under(&self, fine: usize) -> Option<u8> {
        self.collected_under.get(fine).copied()
    }
}

/// A label and its probability.
type Share = (u8, f32);

/// The label with the highest value and the one with the next, the first of equals, as where routing asks for the
/// favourite; none where there is none.
pub(crate) fn two_highest(values: impl Iterator<Item = Share>) -> Option<(Share, Option<Share>)> {
    let (mut first, mut second): (Option<Share>, Option<Share>) = (None, None);
    for this in values {
        if first.is_none_or(|(_, best)| this.1 > best) {
            (first, second) = (Some(this), first);
        } else if second.is_none_or(|(_, next)| this.1 > next) {
            second = Some(this);
        }
    }
    Some((first?, second))
}

#[cfg(test)]
mod tests {
    use crate::index::Status;
    use crate::rules::{Router, Rules, Subject, Vocabulary};

    #[test]
    fn what_reports_say_is_what_routing_goes_by() {
        let drums = Vocabulary::drums();
        let router = Router::new(&Rules::defaults(&drums), &drums);
        let mut probs = vec![0.0; drums.fine().len()];
        let at = |name: &str| drums.fine().iter().position(|label| label == name).unwrap();
        probs[at("Kick")] = 0.4;
        probs[at("Snare")] = 0.25;
        probs[at("Rim")] = 0.25;
        probs[at("Clap")] = 0.1;
        let doubt = router.doubt(&probs).unwrap();
        let label = |index: u8| &router.labels()[usize::from(index)][..];
        assert_eq!((label(doubt.first.0), doubt.first.1), ("Snare", 0.5));
        assert_eq!((label(doubt.second.unwrap().0), doubt.second.unwrap().1), ("Kick", 0.4));
        let subject = Subject {
            path: b"a.wav",
            size: 1,
            status: Status::Ok,
            attributes: None,
            probs: &probs,
            override_label: None,
            gate_refused: false,
            gate_probability: None,
            read_name: None,
        };
        let verdict = router.route(&subject);
        assert_eq!((verdict.margin, verdict.entropy), (doubt.margin(), doubt.entropy));
        assert_eq!(label(router.collected_under(at("Rim")).unwrap()), "Snare");
        assert!(router.doubt(&[1.0]).is_none());
    }
}
