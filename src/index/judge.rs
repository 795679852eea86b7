//! From raw model outputs to what the rules look at: the one place where logits become probabilities.

use super::Analyses;
use crate::classify::{Ensemble, Gate, Member, Vote, fuse};

/// What an ensemble makes of one content.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgement {
    /// Calibrated probabilities of the leading model's labels, summing to 1; empty where nothing was classified.
    pub probs: Box<[f32]>,
    /// What the gate says; none where there is no gate, or it has not heard the content.
    pub gate: Option<GateAnswer>,
}

/// What a gate says of a sound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateAnswer {
    /// The calibrated probability that it is a kit sound.
    pub probability: f32,
    /// Whether that is below the threshold.
    pub refused: bool,
}

/// What `ensemble` makes of what its models heard in one content: each member's learnt head, its calibration, the votes
/// that these give and their mean ([`crate::classify::votes`]), and the gate. Pure, so that a change of heads,
/// calibrations, weights, mappings or thresholds takes no listening.
pub fn judge(heard: &Analyses, ensemble: &Ensemble) -> Judgement {
    let members = ensemble.members();
    let said: Vec<(&Member, Vec<f32>)> = members
        .iter()
        .enumerate()
        .filter_map(|(index, member)| Some((member, probabilities(heard, index, member)?)))
        .collect();
    let words: Vec<Vote<'_>> = said
        .iter()
        .map(|(member, probabilities)| Vote { weight: member.weight(), votes: member.votes(), probabilities })
        .collect();
    let answer = |gate: &Gate| {
        let probability = gate.probability(&heard.get(members.len())?.logits)?;
        Some(GateAnswer { probability, refused: probability < gate.threshold() })
    };
    let probs = match heard.imported() {
        // They were probabilities, and no calibration is for them.
        Some(imported) => softmax(&imported.logits),
        None => fuse(&words, ensemble.mean()),
    };
    Judgement { probs: probs.into(), gate: ensemble.gate().and_then(answer) }
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let values: Vec<f32> = logits.iter().map(|logit| (logit - max).exp()).collect();
    let sum: f32 = values.iter().sum();
    values.into_iter().map(|value| value / sum).collect()
}

/// One member's calibrated probabilities, in the order of its own labels; none where it heard nothing.
fn probabilities(heard: &Analyses, index: usize, member: &Member) -> Option<Vec<f32>> {
    let analysis = heard.get(index).filter(|analysis| !analysis.logits.is_empty())?;
    let calibration = member.classifier().calibration();
    match (member.head(), &analysis.embedding) {
        (Some(head), Some(embedding)) => {
            let mut logits = analysis.logits.clone();
            head.apply(&mut logits, embedding);
            Some(calibration.probabilities(&logits))
        }
        _ => Some(calibration.probabilities(&analysis.logits)),
    }
}
