//! What a view keeps of a verdict: what records and listings show, in eight bytes.

use crate::rules::{FolderId, Reason, Verdict};

/// Where the rules put a sample, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assigned {
    /// Calibrated probability of the label it was put there for, from 0 to 1.
    pub confidence: f32,
    /// Index of the folder in [`crate::rules::Router::folders`]; meaningless where the reason is [`Reason::Hidden`].
    pub folder: FolderId,
    /// Why.
    pub reason: Reason,
    flags: u8,
}

const BELOW_THRESHOLD: u8 = 1;
const OUT_OF_TARGET: u8 = 2;

impl Assigned {
    /// Nowhere.
    pub(super) const HIDDEN: Self = Self { confidence: 0.0, folder: 0, reason: Reason::Hidden, flags: 0 };

    /// Whether the label the audio favours stays below its threshold, whatever the reason.
    pub fn below_threshold(&self) -> bool {
        self.flags & BELOW_THRESHOLD != 0
    }

    /// Whether the label the audio favours has no folder, whatever the reason.
    pub fn out_of_target(&self) -> bool {
        self.flags & OUT_OF_TARGET != 0
    }
}

impl From<&Verdict> for Assigned {
    fn from(verdict: &Verdict) -> Self {
        let flag = |flag, set| if set { flag } else { 0 };
        Self {
            confidence: verdict.confidence,
            folder: verdict.folder,
            reason: verdict.reason,
            flags: flag(BELOW_THRESHOLD, verdict.below_threshold) | flag(OUT_OF_TARGET, verdict.out_of_target),
        }
    }
}
