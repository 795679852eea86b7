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

    /// What a record says: folder, reason, confidence, and whether the label the audio favours stays below its threshold
    /// or has no folder.
    pub fn new(folder: FolderId, reason: Reason, confidence: f32, below_threshold: bool, out_of_target: bool) -> Self {
        let flag = |flag, set| if set { flag } else { 0 };
        let flags = flag(BELOW_THRESHOLD, below_threshold) | flag(OUT_OF_TARGET, out_of_target);
        Self { confidence, folder, reason, flags }
    }

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
        let Verdict { folder, reason, confidence, below_threshold, out_of_target, .. } = *verdict;
        Self::new(folder, reason, confidence, below_threshold, out_of_target)
    }
}
