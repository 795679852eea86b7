//! Where a sample goes, and why.

use serde::{Deserialize, Serialize};

use super::route::FolderId;

/// Why a sample is where it is. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The first route that matches hides it.
    Hidden,
    /// It could not be classified.
    Error,
    /// A person said so.
    Override,
    /// The first route that matches leads there.
    Route,
    /// The gate found it to be none of the classes.
    Gate,
    /// Its name decided.
    Name,
    /// The label the audio favours has no folder.
    OutOfTarget,
    /// The audio favours a label with a folder, but not by enough.
    LowConfidence,
    /// The audio decided.
    Top1,
}

impl Reason {
    /// Every reason, in order of precedence.
    pub const ALL: [Self; 9] = [
        Self::Hidden,
        Self::Error,
        Self::Override,
        Self::Route,
        Self::Gate,
        Self::Name,
        Self::OutOfTarget,
        Self::LowConfidence,
        Self::Top1,
    ];

    /// The name in a record and in rules.yml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Error => "error",
            Self::Override => "override",
            Self::Route => "route",
            Self::Gate => "gate",
            Self::Name => "name",
            Self::OutOfTarget => "out_of_target",
            Self::LowConfidence => "low_confidence",
            Self::Top1 => "top1",
        }
    }

    /// Whether the model had a say in it, so that asking a person may tell something: not where a person or a route
    /// decided already, nor where nothing of the classes was heard.
    pub fn is_by_ear(self) -> bool {
        matches!(self, Self::Top1 | Self::LowConfidence | Self::OutOfTarget | Self::Name)
    }

    pub(super) fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Where one sample goes, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Index into [`Router::folders`](super::Router::folders); meaningless where the reason is [`Reason::Hidden`].
    pub folder: FolderId,
    /// Why.
    pub reason: Reason,
    /// Index into [`Router::labels`](super::Router::labels): the label that a name or an override gave, else the one the audio favours.
    /// `None` where there is neither.
    pub label: Option<u8>,
    /// Calibrated probability of `label`, summed over the fine labels collected under it; 0 where nothing was
    /// classified.
    pub confidence: f32,
    /// Probability of the label the audio favours minus that of the next one.
    pub margin: f32,
    /// Shannon entropy of the fine probabilities in nats: 0 where the model is certain, ln 34 = 3.53 where it knows
    /// nothing. −Σ p ln p, Shannon 1948.
    pub entropy: f32,
    /// Whether the label the audio favours stays below its threshold, whatever the reason.
    pub below_threshold: bool,
    /// Whether the label the audio favours has no folder, whatever the reason.
    pub out_of_target: bool,
    /// Index of the first route that matches, whether or not it decided.
    pub route: Option<u16>,
}

impl Verdict {
    /// Whether the sample shows in no folder.
    pub fn is_hidden(&self) -> bool {
        self.reason == Reason::Hidden
    }
}
