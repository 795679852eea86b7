//! What somebody says of one content.

use super::{JournalEntry, JournalEvent};
use crate::archive::ContentHash;

/// A person's word on one content, as it comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The content.
    pub hash: ContentHash,
    /// A fine label, a canonical label, or a folder of the rules; none takes the override back.
    pub label: Option<String>,
    /// A remark.
    pub note: Option<String>,
    /// Who says so; kept in the journal alone.
    pub by: Option<String>,
    /// Whether this takes the last word on the content back, so that the one before it holds again.
    pub undo: bool,
}

impl Word {
    /// The word as the journal has it.
    pub(super) fn entry(&self, at: f64) -> JournalEntry {
        let event = JournalEvent::Override {
            hash: self.hash.to_hex(),
            hash_algorithm: self.hash.algorithm().name().to_owned(),
            label: self.label.clone(),
            note: self.note.clone(),
            by: self.by.clone(),
            undo: self.undo,
        };
        JournalEntry { at, event }
    }
}

impl From<(ContentHash, Option<String>, Option<String>)> for Word {
    fn from((hash, label, note): (ContentHash, Option<String>, Option<String>)) -> Self {
        Self { hash, label, note, by: None, undo: false }
    }
}
