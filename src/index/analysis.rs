//! What was computed from a file's bytes: one analysis per content hash and model.
//!
//! [`Analyses`] are those of one content, one for each model of an ensemble.

use serde::{Deserialize, Serialize};

use crate::audio::Attributes;
use crate::classify::{Embedding, Ensemble};

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
    /// What went into the model's last layer; none where it does not tell or nothing was classified.
    pub embedding: Option<Box<Embedding>>,
}

/// What the models of an ensemble heard in one content, in the order of
/// [`Ensemble::models`]; none where a model has not heard it yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Analyses {
    heard: Vec<Option<Analysis>>,
    /// So many of them are of models that vote; one more may be of a gate.
    voters: usize,
    /// What an index said that was imported, as logits of the leading model's labels.
    imported: Option<Box<Analysis>>,
}

impl Analyses {
    /// What the models heard, the first `voters` of which vote.
    pub fn new(heard: Vec<Option<Analysis>>, voters: usize) -> Self {
        Self { heard, voters, imported: None }
    }

    /// The same, with what an imported index says of the content: it counts for as long as none of the models has
    /// heard it.
    pub fn or_imported(self, imported: Option<Analysis>) -> Self {
        Self { imported: imported.map(Box::new), ..self }
    }

    /// What an imported index says, where it counts.
    pub fn imported(&self) -> Option<&Analysis> {
        self.imported.as_deref().filter(|_| self.is_unheard())
    }

    /// Whether none of the models has heard it.
    pub fn is_unheard(&self) -> bool {
        self.heard.iter().all(Option::is_none)
    }

    /// Of the models of an ensemble, none of which has heard the content yet.
    pub fn unheard(ensemble: &Ensemble) -> Self {
        Self::new(vec![None; ensemble.models().count()], ensemble.members().len())
    }

    /// What the model at `index` heard.
    pub fn get(&self, index: usize) -> Option<&Analysis> {
        self.heard.get(index)?.as_ref()
    }

    /// Sets what the model at `index` heard.
    pub fn set(&mut self, index: usize, analysis: Analysis) {
        if let Some(slot) = self.heard.get_mut(index) {
            *slot = Some(analysis);
        }
    }

    /// Indices of the models that have not heard the content.
    pub fn missing(&self) -> impl Iterator<Item = usize> + '_ {
        self.heard.iter().enumerate().filter(|(_, analysis)| analysis.is_none()).map(|(index, _)| index)
    }

    /// Whether every model has heard it.
    pub fn is_complete(&self) -> bool {
        self.heard.iter().all(Option::is_some)
    }

    /// The analysis that says how listening ended, of the models that vote: the first that is [`Status::Ok`], for one model that fails on a sound
    /// is no reason not to believe the others; else the first there is, or what was imported.
    pub fn telling(&self) -> Option<&Analysis> {
        let mut heard = self.heard.iter().take(self.voters).flatten();
        let Some(first) = heard.next() else { return self.imported() };
        std::iter::once(first).chain(heard).find(|analysis| analysis.status == Status::Ok).or(Some(first))
    }
}

impl From<Analysis> for Analyses {
    /// Of an ensemble of one.
    fn from(analysis: Analysis) -> Self {
        Self::new(vec![Some(analysis)], 1)
    }
}
