//! The gate: a model that says whether something is a kit sound at all.

use super::ensemble::EnsembleError;
use super::model::{Classifier, KIT, ModelFiles};

/// Where a gate is, and how it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct GateFiles {
    /// The model and its companions.
    pub files: ModelFiles,
    /// What is less likely than this to be a kit sound is refused.
    pub threshold: f32,
    /// The label that means a kit sound; none is the one called `kit`, whatever its case.
    pub accept: Option<String>,
}

/// A model that refuses what is no kit sound. It has one output, the log odds of a kit sound, or several labels, one of
/// which means a kit sound.
#[derive(Debug, Clone)]
pub struct Gate {
    pub(super) classifier: Classifier,
    threshold: f32,
    /// The output that means a kit sound.
    accept: usize,
}

impl Gate {
    /// Opens a gate.
    ///
    /// # Errors
    /// [`EnsembleError`], where the model can't be used, or none of its labels is the one that is accepted.
    pub fn open(files: &GateFiles) -> Result<Self, EnsembleError> {
        if !(0.0..=1.0).contains(&files.threshold) {
            return Err(EnsembleError::Threshold(files.threshold));
        }
        let classifier = Classifier::open(&files.files)?;
        let wanted = files.accept.as_deref().unwrap_or(KIT);
        let names = classifier.labels().names();
        let accept = match (names.iter().position(|name| name.eq_ignore_ascii_case(wanted)), &files.accept) {
            (Some(index), _) => index,
            // One output has one meaning, whatever it is called.
            (None, None) if names.len() == 1 => 0,
            (None, _) => {
                let (model, wanted) = (classifier.description().name.clone(), wanted.to_owned());
                return Err(EnsembleError::GateLabel { model, wanted, labels: names.join(", ") });
            }
        };
        Ok(Self { classifier, threshold: files.threshold, accept })
    }

    /// The model.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// What is less likely than this to be a kit sound is refused.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// The output that means a kit sound.
    pub fn accept(&self) -> usize {
        self.accept
    }

    /// The calibrated probability that it is a kit sound; none where the gate has not heard it.
    pub fn probability(&self, logits: &[f32]) -> Option<f32> {
        let calibration = self.classifier.calibration();
        match logits {
            [] => None,
            // The sigmoid of one is the softmax of it and zero.
            [logit] => calibration.probabilities(&[*logit, 0.0]).first().copied(),
            logits => calibration.probabilities(logits).get(self.accept).copied(),
        }
    }
}
