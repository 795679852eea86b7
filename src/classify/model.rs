//! A model and everything that must agree with it, and the sessions that run it.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ort::session::Session as OrtSession;
use ort::session::builder::GraphOptimizationLevel;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::backend::{Backend, BackendError};
use super::calibration::{Calibration, CalibrationError};
use super::description::{DescriptionText, ModelDescription, input_shape};
use super::input::OldInput;
use super::knowledge::{Knowledge, KnowledgeError, Owner};
use super::labels::{self, Labels, LabelsError};
use super::onnx::Interface;
use super::places;
use super::session::Session;
use crate::audio::FEATURES_VERSION;

pub(super) const EMBEDDED_MODEL: &[u8] = include_bytes!("../../models/drums.onnx");
pub(super) const EMBEDDED_DESCRIPTION: &str = include_str!("../../models/drums.json");
pub(super) const EMBEDDED_LABELS: &str = include_str!("../../models/label_mapping.json");
pub(super) const EMBEDDED_CANONICAL: &str = include_str!("../../models/canonical_mapping.json");
const EMBEDDED_CALIBRATION: &str = include_str!("../../models/calibration.json");
/// Empty where the model that is compiled in has no embedding.
const EMBEDDED_KNOWLEDGE: &[u8] = include_bytes!("../../models/knowledge.bin");

/// The name of the knowledge file beside a model.
const KNOWLEDGE: &str = "knowledge.bin";

/// The label of a model with one output that has no list of labels: what a gate's output means.
pub const KIT: &str = "kit";

/// A model that can't be used.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A file could not be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A Keras file was given.
    #[error(
        "{}: a Keras model; convert it with `python -m tf2onnx.convert --keras {} --output {} --opset 17` (docs/models.md) \
         and name that in model_path, or leave model_path and label_map out: drumfs has a model of its own",
        .0.display(),
        .0.display(),
        .0.with_extension("onnx").display()
    )]
    Keras(PathBuf),
    /// There is no description beside the model.
    #[error(
        "{}: there is no such file. It says what the model beside it reads, in one line: {{\"features\": \"{}\"}}, or \
         {{\"features\": \"mfcc\", \"output\": \"probabilities\"}} for a model of the older pipeline (see docs/models.md)",
        .0.display(),
        FEATURES_VERSION
    )]
    NoDescription(PathBuf),
    /// The description beside the model is not one.
    #[error("{path}: {reason}")]
    Description {
        /// The file.
        path: String,
        /// What the JSON reader says, with line and column.
        reason: String,
    },
    /// The model wants an input that can't be given.
    #[error("the model `{model}`: {reason}")]
    Input {
        /// The model's name.
        model: String,
        /// What it wants, and what there is.
        reason: String,
    },
    /// The label list is not the one the model was trained with.
    #[error(
        "the model `{model}` has {outputs} outputs and labels of checksum {expected}; the label list has {labels} \
         labels of checksum {found}"
    )]
    OtherLabels {
        /// The model's name.
        model: String,
        /// Number of the model's outputs.
        outputs: usize,
        /// Checksum of the labels it was trained with.
        expected: String,
        /// Number of labels in the list.
        labels: usize,
        /// Checksum of the list.
        found: String,
    },
    /// The model gives another number of outputs than its description says.
    #[error("the model `{model}` is described with {expected} outputs and gives {found}")]
    Outputs {
        /// The model's name.
        model: String,
        /// What its description says.
        expected: usize,
        /// What it gives.
        found: usize,
    },
    /// The model has no embedding, so that its last layer can't be fitted to corrections.
    #[error(
        "the model `{0}` can't learn from corrections: it has no output that is described as its embedding (see \
         docs/learning.md)"
    )]
    NoEmbedding(String),
    /// The model can't learn because what it knows is not there, or does not belong to it.
    #[error("the model `{model}` can't learn from corrections: {path}: {reason}")]
    Knowledge {
        /// The model's name.
        model: String,
        /// The knowledge file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The labels can't be read.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// The calibration does not belong to the model.
    #[error("{path}: {error}")]
    Calibration {
        /// The file.
        path: String,
        /// Why.
        error: CalibrationError,
    },
    /// No backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The backend refused the model or failed to run it.
    #[error("the model `{model}`: {reason}")]
    Run {
        /// The model's name.
        model: String,
        /// What the backend says.
        reason: String,
    },
}

/// Where a model and its companions are. Whatever is `None` is looked for beside the model under its usual name
/// (`label_mapping.json`, `canonical_mapping.json`, `calibration.json`), and is what is compiled in where it is not
/// there either. A model's JSON may hold the labels itself. A calibration is looked for in the data folder, too, before
/// the compiled-in one is taken ([`places::calibration_in_force`]); one that is nowhere is a temperature of 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFiles {
    /// The ONNX file; `None` is the one compiled in.
    pub model: Option<PathBuf>,
    /// The label list.
    pub label_mapping: Option<PathBuf>,
    /// The canonical mapping.
    pub canonical_mapping: Option<PathBuf>,
    /// The calibration.
    pub calibration: Option<PathBuf>,
    /// What the older pipeline's config.yml says of the input, for a model that has no JSON beside it.
    pub old_input: OldInput,
    /// Labels for a model that has no list of them: the older pipeline's `fallback_labels`.
    pub fallback_labels: Option<Vec<String>>,
    /// Whether calibrations are passed over, as by commands that judge or replace them.
    pub uncalibrated: bool,
}

/// A model, its labels and its calibration. Shared by all threads.
#[derive(Debug, Clone)]
pub struct Classifier {
    model: Cow<'static, [u8]>,
    description: ModelDescription,
    labels: Labels,
    calibration: Calibration,
    id: String,
    files: ModelFiles,
}

impl Classifier {
    /// The model that is compiled in.
    ///
    /// # Errors
    /// None of [`ModelError`] but in a build whose model files do not belong together.
    pub fn embedded() -> Result<Self, ModelError> {
        Self::open(&ModelFiles::default())
    }

    /// The model at `files`.
    ///
    /// # Errors
    /// [`ModelError`], where a file can't be read or the files do not belong together. Nothing is run yet:
    /// [`Classifier::session`] says whether the backend can.
    pub fn open(files: &ModelFiles) -> Result<Self, ModelError> {
        let folder = files.model.as_deref().and_then(Path::parent);
        let text = |given: &Option<PathBuf>, name: &str, embedded: &'static str| match given {
            Some(path) => read_text(path).map(Cow::Owned),
            None => match folder.map(|folder| folder.join(name)).filter(|path| path.exists()) {
                Some(path) => read_text(&path).map(Cow::Owned),
                None => Ok(Cow::Borrowed(embedded)),
            },
        };
        let (model, description) = read_model(files)?;
        let label_mapping = match (&description.labels, &files.fallback_labels) {
            (Some(labels), _) if files.label_mapping.is_none() => Cow::Owned(labels.to_string()),
            (_, Some(labels)) if !files.label_mapping.as_ref().is_some_and(|path| path.exists()) => {
                Cow::Owned(serde_json::json!(labels).to_string())
            }
            _ => text(&files.label_mapping, "label_mapping.json", "")?,
        };
        let label_mapping = match (&label_mapping[..], description.outputs) {
            ("", Some(1)) => Cow::Owned(serde_json::json!([KIT]).to_string()),
            ("", _) => Cow::Borrowed(EMBEDDED_LABELS),
            _ => label_mapping,
        };
        let canonical_mapping = text(&files.canonical_mapping, "canonical_mapping.json", "")?;
        let mut classifier =
            Self::from_parts(model, description, &files.old_input, &label_mapping, &canonical_mapping)?;
        classifier.files = files.clone();
        classifier.calibration = classifier.read_calibration()?;
        Ok(classifier)
    }

    /// The model at `files` with labels that only count its outputs: to run one whose labels are wrong.
    ///
    /// # Errors
    /// As [`Classifier::open`], but for labels.
    pub(super) fn with_any_labels(files: &ModelFiles) -> Result<Self, ModelError> {
        let (model, mut description) = read_model(files)?;
        let outputs = description.outputs_with(&model).map_err(|reason| {
            let model = description.name.clone().unwrap_or_default();
            ModelError::Input { model, reason }
        })?;
        let names: Vec<String> = (0..outputs).map(|index| format!("output {index}")).collect();
        description.labels_checksum = None;
        let list = serde_json::Value::from(names).to_string();
        Self::from_parts(model, description, &files.old_input, &list, "{}")
    }

    /// The same model with the calibration that is in force where `files` say.
    pub(super) fn calibrated(self, files: &ModelFiles) -> Result<Self, ModelError> {
        let uncalibrated = Self { files: files.clone(), ..self };
        let calibration = uncalibrated.read_calibration()?;
        Ok(Self { calibration, ..uncalibrated })
    }

    /// The calibration that is in force for this model now, from disk: it may have been fitted again since this
    /// classifier was made.
    ///
    /// # Errors
    /// [`ModelError::Io`], [`ModelError::Calibration`].
    pub fn read_calibration(&self) -> Result<Calibration, ModelError> {
        let parse = |json: &str, path: String| {
            let parsed = Calibration::parse(json, &self.id, &self.labels);
            parsed.map_err(|error| ModelError::Calibration { path, error })
        };
        match self.calibration_path() {
            _ if self.files.uncalibrated => Ok(Calibration::none(&self.id, self.labels.checksum())),
            Some(path) => {
                let mut calibration = parse(&read_text(&path)?, path.display().to_string())?;
                calibration.file = Some(path);
                Ok(calibration)
            }
            // The compiled-in calibration is for the compiled-in model only.
            None if self.files.model.is_none() => parse(EMBEDDED_CALIBRATION, places::CALIBRATION.to_owned()),
            None => Ok(Calibration::none(&self.id, self.labels.checksum())),
        }
    }

    /// The file that is in force as this model's calibration; none where the compiled-in one is, or none at all.
    pub fn calibration_path(&self) -> Option<PathBuf> {
        places::calibration_in_force(&self.files, &self.id)
    }

    /// Where this model and its companions were looked for.
    pub fn files(&self) -> &ModelFiles {
        &self.files
    }

    /// The same model with another calibration.
    pub fn with_calibration(&self, calibration: Calibration) -> Self {
        Self { calibration, ..self.clone() }
    }

    fn from_parts(
        model: Cow<'static, [u8]>,
        text: DescriptionText,
        old_input: &OldInput,
        label_mapping: &str,
        canonical_mapping: &str,
    ) -> Result<Self, ModelError> {
        let name = text.name.clone().unwrap_or_else(|| "model".to_owned());
        let refused = |reason: String| ModelError::Input { model: name.clone(), reason };
        let layout = text.layout(old_input).map_err(refused)?;
        // What is compiled in says all of this in its JSON.
        let interface = match &model {
            Cow::Borrowed(_) => None,
            Cow::Owned(bytes) => Some(Interface::read(bytes).map_err(refused)?),
        };
        let (input, arrangement) = input_shape(&layout, text.input.as_deref(), interface.as_ref()).map_err(refused)?;
        // The list is compared with the model before the mapping is: a wrong list fails with the two checksums.
        let list = labels::parse_names(label_mapping)?;
        let found = labels::checksum(&list);
        let declared = interface.as_ref().and_then(|interface| text.declared_outputs(interface));
        let outputs = text.outputs.or(declared).unwrap_or(list.len());
        let expected = text.labels_checksum.clone().unwrap_or_else(|| found.clone());
        if list.len() != outputs || found != expected {
            return Err(ModelError::OtherLabels { model: name, outputs, expected, labels: list.len(), found });
        }
        if let Some(found) = declared.filter(|found| *found != outputs) {
            return Err(ModelError::Outputs { model: name, expected: outputs, found });
        }
        let labels = match canonical_mapping {
            "" => Labels::parse(label_mapping, &known_canonical(&list))?,
            mapping => Labels::parse(label_mapping, mapping)?,
        };
        let hash = xxh3_64(&model) >> 32;
        let more = match text.output {
            super::Output::Logits if input == layout.usual_shape() => String::new(),
            output => format!("{output:?} {input:?}"),
        };
        let features = layout.tag(&more);
        let id = format!("{name}-{hash:08x}-{features}");
        let fixed = interface.map(|interface| interface.fixed(&input)).transpose().map_err(refused)?.flatten();
        let model = fixed.map_or(model, Cow::Owned);
        let description = ModelDescription {
            name,
            features,
            layout,
            input,
            arrangement,
            outputs,
            output: text.output,
            labels_checksum: expected,
            embedding: text.embedding,
        };
        let calibration = Calibration::none(&id, labels.checksum());
        Ok(Self { model, description, labels, calibration, id, files: ModelFiles::default() })
    }

    /// Name, first 8 hexadecimal digits of the ONNX file's XXH3, and what the features are: the key of analyses.
    pub fn model_id(&self) -> &str {
        &self.id
    }

    /// What the model says of itself.
    pub fn description(&self) -> &ModelDescription {
        &self.description
    }

    /// The labels in the order of the logits.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// How logits become probabilities.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// The model's last layer and what it learnt from: compiled in, or `knowledge.bin` beside the model.
    ///
    /// # Errors
    /// [`ModelError::NoEmbedding`] and [`ModelError::Knowledge`] say why the model can't learn.
    pub fn knowledge(&self) -> Result<Knowledge, ModelError> {
        let Some(embedding) = &self.description.embedding else {
            return Err(ModelError::NoEmbedding(self.description.name.clone()));
        };
        let path = self.files.model.as_deref().map(|model| model.parent().unwrap_or(Path::new("")).join(KNOWLEDGE));
        let fail = |reason: String| ModelError::Knowledge {
            model: self.description.name.clone(),
            path: path.as_ref().map_or_else(|| KNOWLEDGE.to_owned(), |path| path.display().to_string()),
            reason,
        };
        let bytes = match &path {
            None => Cow::Borrowed(EMBEDDED_KNOWLEDGE),
            Some(path) => fs::read(path).map(Cow::Owned).map_err(|error| fail(error.to_string()))?,
        };
        let owner = Owner {
            model: &self.id,
            labels_checksum: self.labels.checksum(),
            outputs: self.description.outputs,
            size: embedding.size,
        };
        Knowledge::parse(&bytes, owner).map_err(|error: KnowledgeError| fail(error.to_string()))
    }

    /// A session of this model, for one thread. Costs milliseconds: keep it. Starts the backend if nobody has.
    ///
    /// # Errors
    /// [`ModelError::Backend`] and [`ModelError::Run`].
    pub fn session(&self) -> Result<Session, ModelError> {
        let backend = Backend::start(None)?;
        let fail = |reason: String| ModelError::Run { model: self.description.name.clone(), reason };
        let session = OrtSession::builder(backend.environment())
            .map_err(|error| fail(error.to_string()))?
            .with_optimization_level(GraphOptimizationLevel::Level3)
            .map_err(|error| fail(error.to_string()))?
            .with_intra_threads(1)
            .map_err(|error| fail(error.to_string()))?
            .commit_from_memory(&self.model)
            .map_err(|error| fail(error.to_string()))?;
        Ok(Session::new(session, self.description.clone()))
    }
}

/// The model's bytes and what it says of itself.
pub(super) fn read_model(files: &ModelFiles) -> Result<(Cow<'static, [u8]>, DescriptionText), ModelError> {
    let Some(path) = &files.model else {
        return Ok((Cow::Borrowed(EMBEDDED_MODEL), parse_description(EMBEDDED_DESCRIPTION, "drums.json")?));
    };
    if is_keras(path) {
        return Err(ModelError::Keras(path.clone()));
    }
    let bytes = fs::read(path).map_err(|error| ModelError::Io { path: path.clone(), error })?;
    Ok((Cow::Owned(bytes), read_description(path, &files.old_input)?))
}

/// Whether a file is a Keras model, by its name.
pub(super) fn is_keras(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
    extension.is_some_and(|extension| ["keras", "h5", "hdf5"].iter().any(|keras| extension == *keras))
}

/// What the JSON beside a model says, or, where there is none, what `old_input` does.
pub(super) fn read_description(model: &Path, old_input: &OldInput) -> Result<DescriptionText, ModelError> {
    let beside = model.with_extension("json");
    let mut description = match read_text(&beside) {
        Ok(json) => parse_description(&json, &beside.display().to_string())?,
        Err(_) if !beside.exists() && old_input.is_said() => DescriptionText::of_the_older_pipeline(),
        Err(_) if !beside.exists() => return Err(ModelError::NoDescription(beside)),
        Err(error) => return Err(error),
    };
    let stem = || model.file_stem().map_or("model".into(), |stem| stem.to_string_lossy().into_owned());
    description.name.get_or_insert_with(stem);
    Ok(description)
}

fn read_text(path: &Path) -> Result<String, ModelError> {
    fs::read_to_string(path).map_err(|error| ModelError::Io { path: path.to_owned(), error })
}

/// What is compiled in of a canonical mapping, for the labels of another model: those that both know.
pub(super) fn known_canonical(labels: &[String]) -> String {
    let shipped: serde_json::Value = serde_json::from_str(EMBEDDED_CANONICAL).unwrap_or_default();
    let known = shipped.get("model_class_to_canonical").or(Some(&shipped)).and_then(serde_json::Value::as_object);
    let shared = known.into_iter().flatten().filter(|(fine, _)| labels.contains(fine));
    serde_json::Value::Object(shared.map(|(fine, canonical)| (fine.clone(), canonical.clone())).collect()).to_string()
}

fn parse_description(json: &str, path: &str) -> Result<DescriptionText, ModelError> {
    serde_json::from_str(json)
        .map_err(|error| ModelError::Description { path: path.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::labels::{CANONICAL, MISC};

    #[test]
    fn the_model_that_is_compiled_in_agrees_with_its_companions() {
        let classifier = Classifier::embedded().unwrap();
        let labels = classifier.labels();
        assert_eq!(labels.len(), 34);
        assert_eq!(labels.checksum(), classifier.description().labels_checksum);
        assert!(labels.names().is_sorted());
        let folder = |fine: &str| CANONICAL[labels.canonical()[labels.index_of(fine).unwrap()]];
        for (fine, canonical) in [
            ("China", "Crash"),
            ("Sizzle", "Crash"),
            ("Rim", "Snare"),
            ("Timpani", "Tom"),
            ("Kick", "Kick"),
            ("Cowbell", "misc"),
        ] {
            assert_eq!(folder(fine), canonical);
        }
        assert_eq!(labels.canonical().iter().filter(|to| **to == MISC).count(), 34 - 6 - 7);
        assert_eq!(classifier.calibration().model, classifier.model_id());
        assert!(classifier.model_id().ends_with(FEATURES_VERSION));
    }

    #[test]
    fn the_knowledge_that_is_compiled_in_belongs_to_the_model_if_it_can_learn() {
        let classifier = Classifier::embedded().unwrap();
        match &classifier.description().embedding {
            Some(embedding) => {
                let knowledge = classifier.knowledge().unwrap();
                assert_eq!((knowledge.outputs(), knowledge.size()), (34, embedding.size));
                assert!(knowledge.samples().len() >= 1000, "{}", knowledge.samples().len());
            }
            None => {
                assert!(EMBEDDED_KNOWLEDGE.is_empty(), "a knowledge file that no embedding belongs to");
                assert!(matches!(classifier.knowledge(), Err(ModelError::NoEmbedding(_))));
            }
        }
    }

    /// The embedded model with another label list.
    fn with_labels(change: impl Fn(&mut Vec<String>)) -> Result<Classifier, ModelError> {
        let mut names: Vec<String> = serde_json::from_str(EMBEDDED_LABELS).unwrap();
        change(&mut names);
        Classifier::from_parts(
            Cow::Borrowed(EMBEDDED_MODEL),
            parse_description(EMBEDDED_DESCRIPTION, "drums.json").unwrap(),
            &OldInput::default(),
            &serde_json::to_string(&names).unwrap(),
            EMBEDDED_CANONICAL,
        )
    }

    #[test]
    fn a_label_list_of_another_length_or_order_is_refused_with_both_numbers() {
        let right = Classifier::embedded().unwrap().labels().checksum().to_owned();
        let message = with_labels(|names| names.truncate(33)).unwrap_err().to_string();
        assert!(message.contains("34 outputs") && message.contains("33 labels") && message.contains(&right));
        let message = with_labels(|names| names.swap(3, 4)).unwrap_err().to_string();
        let wrong = message.split_once("34 labels of checksum ").unwrap().1;
        assert!(message.contains(&right) && wrong.len() == 16 && wrong != right, "{message}");
        assert!(with_labels(|_| ()).is_ok());
    }

    #[test]
    fn a_model_from_a_path_is_the_same_model_and_a_keras_file_is_told_what_to_do() {
        let folder = std::env::temp_dir().join(format!("drumfs-model-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("own.onnx");
        let open = || Classifier::open(&ModelFiles { model: Some(path.clone()), ..ModelFiles::default() });
        fs::write(&path, EMBEDDED_MODEL).unwrap();
        let missing = open().unwrap_err().to_string();
        assert!(missing.contains("own.json"), "{missing}");
        fs::write(folder.join("own.json"), EMBEDDED_DESCRIPTION).unwrap();
        let classifier = open().unwrap();
        assert_eq!(classifier.model_id(), Classifier::embedded().unwrap().model_id());
        assert_eq!(classifier.calibration().temperature, 1.0);
        let calibration = EMBEDDED_CALIBRATION.replace(classifier.model_id(), "another");
        fs::write(folder.join("calibration.json"), calibration).unwrap();
        let message = open().unwrap_err().to_string();
        assert!(message.contains("calibration.json: fitted for the model `another`"), "{message}");
        let passed_over =
            Classifier::open(&ModelFiles { model: Some(path.clone()), uncalibrated: true, ..ModelFiles::default() });
        assert_eq!(passed_over.unwrap().calibration().temperature, 1.0);
        fs::write(folder.join("calibration.json"), EMBEDDED_CALIBRATION).unwrap();
        let fitted_since = classifier.read_calibration().unwrap();
        assert_ne!(fitted_since, *classifier.calibration());
        assert_eq!(open().unwrap().calibration(), &fitted_since);
        fs::remove_file(folder.join("calibration.json")).unwrap();
        let other = EMBEDDED_DESCRIPTION.replace(FEATURES_VERSION, "mfcc-40");
        fs::write(folder.join("own.json"), other).unwrap();
        let message = open().unwrap_err().to_string();
        assert!(message.contains("mfcc-40") && message.contains(FEATURES_VERSION), "{message}");
        fs::remove_dir_all(&folder).unwrap();
        let keras = ModelFiles { model: Some("best.keras".into()), ..ModelFiles::default() };
        assert!(Classifier::open(&keras).unwrap_err().to_string().contains("tf2onnx"));
    }

    #[test]
    fn bytes_that_are_no_model_are_refused_without_a_panic() {
        let mut classifier = Classifier::embedded().unwrap();
        classifier.model = Cow::Borrowed(b"not ONNX");
        assert!(matches!(classifier.session().err(), Some(ModelError::Run { .. })));
    }
}
