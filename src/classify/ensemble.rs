//! The models that listen together: one, or several that vote.

use std::collections::BTreeMap;

use thiserror::Error;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::gate::{Gate, GateFiles};
use super::model::{Classifier, ModelError, ModelFiles};
use super::votes::{Mean, Target, Votes, VotesError};
use super::{Backend, Head, Labels};

/// An ensemble that can't be used.
#[derive(Debug, Error)]
pub enum EnsembleError {
    /// One of its models.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// There is none.
    #[error("`models` is empty: list at least one, or leave the key out to use the model that is compiled in")]
    Empty,
    /// A weight that is none.
    #[error("the model `{model}` has a weight of {weight}; expected a positive number, or leave the model out")]
    Weight {
        /// The model's name.
        model: String,
        /// The weight.
        weight: f32,
    },
    /// A model that is listed twice.
    #[error("the model `{0}` is listed twice; list it once, with a weight of 2")]
    Twice(String),
    /// A model with one output among those that vote.
    #[error("the model `{0}` has one output, which says nothing of labels; it may be a gate: put it under `gate`")]
    OneOutput(String),
    /// Labels that mean nothing among the first model's.
    #[error("the model `{model}`: {error}")]
    Votes {
        /// The model's name.
        model: String,
        /// Why.
        error: VotesError,
    },
    /// A mapping of the first model.
    #[error("the model `{0}` is the first, whose labels all others are mapped to: it can't have a `mapping` itself")]
    LeadingMapping(String),
    /// A gate's threshold that is no probability.
    #[error("gate: a threshold of {0}; expected a probability, from 0 to 1")]
    Threshold(f32),
    /// A gate without the label that it is to accept.
    #[error("the gate `{model}` has no label `{wanted}` ({labels}): say with `accept` which one means a kit sound")]
    GateLabel {
        /// The gate's name.
        model: String,
        /// The label that was looked for.
        wanted: String,
        /// Those it has.
        labels: String,
    },
}

/// Which models make an ensemble, and how.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EnsembleFiles {
    /// The models that vote; the first one leads.
    pub members: Vec<MemberFiles>,
    /// How their votes become one.
    pub mean: Mean,
    /// What refuses sounds that are none of the classes.
    pub gate: Option<GateFiles>,
}

/// Where a model that votes is, and how it votes.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberFiles {
    /// The model and its companions.
    pub files: ModelFiles,
    /// Its weight among the others; positive, of any size.
    pub weight: f32,
    /// What its labels mean among the first model's, where their names do not say it.
    pub mapping: BTreeMap<String, Target>,
}

impl From<ModelFiles> for EnsembleFiles {
    /// One model, alone.
    fn from(files: ModelFiles) -> Self {
        let member = MemberFiles { files, weight: 1.0, mapping: BTreeMap::new() };
        Self { members: vec![member], mean: Mean::default(), gate: None }
    }
}

impl EnsembleFiles {
    /// Passes over all calibrations.
    pub fn uncalibrated(mut self) -> Self {
        let gate = self.gate.iter_mut().map(|gate| &mut gate.files);
        self.members.iter_mut().map(|member| &mut member.files).chain(gate).for_each(|files| files.uncalibrated = true);
        self
    }
}

/// One or more models. The first one leads: its labels, in its order, are those of the probabilities.
#[derive(Debug, Clone)]
pub struct Ensemble {
    members: Vec<Member>,
    mean: Mean,
    gate: Option<Gate>,
    id: String,
}

/// A model that votes.
#[derive(Debug, Clone)]
pub struct Member {
    classifier: Classifier,
    weight: f32,
    votes: Votes,
    head: Option<Head>,
}

impl Member {
    /// The model.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// Its part of all weights, which sum to 1.
    pub fn weight(&self) -> f32 {
        self.weight
    }

    /// What its labels mean among the leading ones.
    pub fn votes(&self) -> &Votes {
        &self.votes
    }

    /// What was learnt from corrections, as a change of its last layer.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }
}

impl From<Classifier> for Ensemble {
    /// An ensemble of one: what it says is what the model says.
    fn from(classifier: Classifier) -> Self {
        let (id, votes) = (classifier.model_id().to_owned(), Votes::same(classifier.labels().len()));
        let member = Member { classifier, weight: 1.0, votes, head: None };
        Self { id, members: vec![member], mean: Mean::default(), gate: None }
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

    /// The ensemble of `files`.
    ///
    /// # Errors
    /// [`EnsembleError`], where a model can't be read, or they do not go together. Nothing is run yet:
    /// [`Ensemble::check`] says whether the backend can.
    pub fn open(files: &EnsembleFiles) -> Result<Self, EnsembleError> {
        let mut members: Vec<Member> = Vec::with_capacity(files.members.len());
        for MemberFiles { files, weight, mapping } in &files.members {
            let classifier = Classifier::open(files)?;
            let model = || classifier.description().name.clone();
            if !(weight.is_finite() && *weight > 0.0) {
                return Err(EnsembleError::Weight { model: model(), weight: *weight });
            }
            if members.iter().any(|member| member.classifier.model_id() == classifier.model_id()) {
                return Err(EnsembleError::Twice(model()));
            }
            if classifier.labels().len() < 2 {
                return Err(EnsembleError::OneOutput(model()));
            }
            let votes = match members.first() {
                None if mapping.is_empty() => Votes::same(classifier.labels().len()),
                None => return Err(EnsembleError::LeadingMapping(model())),
                Some(leading) => Votes::new(classifier.labels(), leading.classifier.labels(), mapping)
                    .map_err(|error| EnsembleError::Votes { model: model(), error })?,
            };
            members.push(Member { classifier, weight: *weight, votes, head: None });
        }
        if members.is_empty() {
            return Err(EnsembleError::Empty);
        }
        let sum: f32 = members.iter().map(|member| member.weight).sum();
        members.iter_mut().for_each(|member| member.weight /= sum);
        let gate = files.gate.as_ref().map(Gate::open).transpose()?;
        let ids: Vec<&str> = members.iter().map(|member| member.classifier.model_id()).collect();
        Ok(Self { id: ids.join(" + "), members, mean: files.mean, gate })
    }

    /// How the members' votes become one.
    pub fn mean(&self) -> Mean {
        self.mean
    }

    /// What refuses sounds that are none of the classes.
    pub fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
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

    /// Every model that listens, in the order in which analyses are kept: the members, then the gate.
    pub fn models(&self) -> impl Iterator<Item = &Classifier> {
        self.members.iter().map(Member::classifier).chain(self.gate.iter().map(Gate::classifier))
    }

    /// What is written into records as the model: the model's id, or the ids joined with ` + `.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A number of the models that listen: what they all have heard, an ensemble with the same number has. Never 0.
    pub fn ears(&self) -> u64 {
        let ids: Vec<&str> = self.models().map(Classifier::model_id).collect();
        xxh3_64(ids.join("\n").as_bytes()).max(1)
    }

    /// A number of everything that makes a judgement of what was heard: two ensembles that have the same one judge
    /// alike.
    pub fn judgement_id(&self) -> u128 {
        let mut parts: Vec<String> = Vec::new();
        let mut model = |classifier: &Classifier, more: String| {
            parts.push(classifier.model_id().to_owned());
            parts.push(classifier.labels().checksum().to_owned());
            // Numbers are written so that they read back as what they are.
            parts.push(serde_json::to_string(classifier.calibration()).unwrap_or_default());
            parts.push(more);
        };
        for member in &self.members {
            let head = serde_json::to_string(&member.head).unwrap_or_default();
            model(&member.classifier, format!("{:x} {:?} {head}", member.weight.to_bits(), member.votes));
        }
        if let Some(gate) = &self.gate {
            model(gate.classifier(), format!("gate {:x} {}", gate.threshold().to_bits(), gate.accept()));
        }
        parts.push(format!("{:?}", self.mean));
        let mut hasher = Xxh3::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.digest128()
    }

    /// This ensemble with the calibrations that are in force now, from disk; none where they are what they were.
    ///
    /// # Errors
    /// [`ModelError`] where one can't be read or belongs to another model or label order.
    pub fn recalibrated(&self) -> Result<Option<Self>, ModelError> {
        let mut changed = false;
        let mut ensemble = self.clone();
        let members = ensemble.members.iter_mut().map(|member| &mut member.classifier);
        for classifier in members.chain(ensemble.gate.iter_mut().map(|gate| &mut gate.classifier)) {
            let calibration = classifier.read_calibration()?;
            if calibration != *classifier.calibration() {
                *classifier = classifier.with_calibration(calibration);
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
        self.models().try_for_each(|model| model.session()?.try_out())
    }
}
