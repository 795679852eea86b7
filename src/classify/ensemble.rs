//! The models that listen together: one, or several that vote.

use super::model::{Classifier, ModelError};
use super::{Backend, Head, Labels};

/// One or more models. The first one leads: its labels, in its order, are those of the probabilities.
#[derive(Debug, Clone)]
pub struct Ensemble {
    members: Vec<Member>,
    id: String,
}

/// A model that votes.
#[derive(Debug, Clone)]
pub struct Member {
    classifier: Classifier,
    head: Option<Head>,
}

impl Member {
    /// The model.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// What was learnt from corrections, as a change of its last layer.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }
}

impl From<Classifier> for Ensemble {
    /// An ensemble of one: what it says is what the model says.
    fn from(classifier: Classifier) -> Self {
        Self { id: classifier.model_id().to_owned(), members: vec![Member { classifier, head: None }] }
    }
}

impl Ensemble {
    /// The model that is compiled in, alone.
    ///
    /// # Errors
    /// None of [`ModelError`] but in a build whose model files do not belong together.
    pub fn embedded() -> Result<Self, ModelError> {
        Classifier::embedded().map(Self::from)
    }

    /// What was learnt from corrections, which the leading model alone does.
    pub fn head(&self) -> Option<&Head> {
        self.members.first().and_then(Member::head)
    }

    /// The same models, the leading one with another head, or none.
    pub fn with_head(&self, head: Option<Head>) -> Self {
        let mut changed = self.clone();
        if let Some(leading) = changed.members.first_mut() {
            leading.head = head;
        }
        changed
    }

    /// The models that vote; never empty.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The model whose labels are those of the probabilities.
    pub fn leading(&self) -> &Classifier {
        &self.members[0].classifier
    }

    /// The labels of the probabilities, in order.
    pub fn labels(&self) -> &Labels {
        self.leading().labels()
    }

    /// Every model that listens, in the order in which analyses are kept: the members.
    pub fn models(&self) -> impl ExactSizeIterator<Item = &Classifier> {
        self.members.iter().map(Member::classifier)
    }

    /// What is written into records as the model: the model's id, or the ids joined with ` + `.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// This ensemble with the calibrations that are in force now, from disk; none where they are what they were.
    ///
    /// # Errors
    /// [`ModelError`] where one can't be read or belongs to another model or label order.
    pub fn recalibrated(&self) -> Result<Option<Self>, ModelError> {
        let mut changed = false;
        let mut ensemble = self.clone();
        for member in &mut ensemble.members {
            let calibration = member.classifier.read_calibration()?;
            if calibration != *member.classifier.calibration() {
                member.classifier = member.classifier.with_calibration(calibration);
                changed = true;
            }
        }
        Ok(changed.then_some(ensemble))
    }

    /// Proves that the backend runs every model. Starts it if nobody has.
    ///
    /// # Errors
    /// [`ModelError`] of the first that does not run.
    pub fn check(&self) -> Result<(), ModelError> {
        Backend::start(None)?;
        self.models().try_for_each(|model| model.session().map(drop))
    }
}
