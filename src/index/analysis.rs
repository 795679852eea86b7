//! What was computed from a file's bytes: one analysis per content hash and model.

use serde::{Deserialize, Serialize};

use crate::audio::Attributes;

/// How listening to a sample ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Decoded and classified.
    Ok,
    /// Decoded, but shorter than the shortest sound that can be classified.
    TooShort,
    /// Decoded, but nothing in it is louder than the floor.
    Silent,
    /// The format is known and the content is damaged, or the file could not be read.
    LoadError,
    /// Not a format that can be decoded.
    Unsupported,
    /// The file was there in an earlier pass and is not now.
    Missing,
}

impl Status {
    /// Every status, in order.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::TooShort, Self::Silent, Self::LoadError, Self::Unsupported, Self::Missing];

    /// The name in a record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::TooShort => "too_short",
            Self::Silent => "silent",
            Self::LoadError => "load_error",
            Self::Unsupported => "unsupported",
            Self::Missing => "missing",
        }
    }

    /// Whether the sample is listed in `_errors.txt` and goes to `misc` with the reason `error`.
    pub fn is_error(self) -> bool {
        !matches!(self, Self::Ok)
    }
}

/// Attributes and raw model outputs of one content, never a decision: temperature, mapping, thresholds and overrides
/// are applied when the view is built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// How listening ended.
    pub status: Status,
    /// Why, where the status is an error.
    pub error: Option<String>,
    /// Present wherever the content could be decoded.
    pub attributes: Option<Attributes>,
    /// Raw logits in label order, before any temperature; empty where nothing was classified.
    pub logits: Vec<f32>,
}
