//! From raw model outputs to what the rules look at: the one place where logits become probabilities.

use super::Analyses;
use crate::classify::Ensemble;

/// What an ensemble makes of one content.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgement {
    /// Calibrated probabilities of the leading model's labels, summing to 1; empty where nothing was classified.
    pub probs: Box<[f32]>,
}

/// What `ensemble` makes of what its models heard in one content. Pure, so that a change of calibration, weights or
/// mapping takes no listening.
pub fn judge(heard: &Analyses, ensemble: &Ensemble) -> Judgement {
    let mut votes = ensemble.members().iter().enumerate().filter_map(|(index, member)| {
        let analysis = heard.get(index).filter(|analysis| !analysis.logits.is_empty())?;
        Some(member.classifier().calibration().probabilities(&analysis.logits))
    });
    Judgement { probs: votes.next().unwrap_or_default().into() }
}
