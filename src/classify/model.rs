//! A model and everything that must agree with it, and the sessions that run it.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ort::session::Session as OrtSession;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::backend::{Backend, BackendError};
use super::calibration::{Calibration, CalibrationError};
use super::labels::{Labels, LabelsError};
use super::places;
use crate::audio::{FEATURES_VERSION, FRAMES, Features, MEL_BANDS};

pub(super) const EMBEDDED_MODEL: &[u8] = include_bytes!("../../models/drums.onnx");
pub(super) const EMBEDDED_DESCRIPTION: &str = include_str!("../../models/drums.json");
pub(super) const EMBEDDED_LABELS: &str = include_str!("../../models/label_mapping.json");
pub(super) const EMBEDDED_CANONICAL: &str = include_str!("../../models/canonical_mapping.json");
const EMBEDDED_CALIBRATION: &str = include_str!("../../models/calibration.json");

/// Shape of a model's input: batch, channel, mel band, frame.
pub const INPUT_SHAPE: [usize; 4] = [1, 1, MEL_BANDS, FRAMES];

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
    #[error("{}: a Keras model; convert it first: python -m tf2onnx.convert --keras {} --output model.onnx --opset 17", .0.display(), .0.display())]
    Keras(PathBuf),
    /// The description beside the model is not one.
    #[error("{path}: {reason}")]
    Description {
        /// The file.
        path: String,
        /// What the JSON reader says, with line and column.
        reason: String,
    },
    /// The model wants features of another definition.
    #[error("the model `{model}` was trained on features `{expected}`, this program computes `{found}`")]
    OtherFeatures {
        /// The model's name.
        model: String,
        /// What it was trained on.
        expected: String,
        /// What this program computes.
        found: &'static str,
    },
    /// The model wants an input of another shape.
    #[error("the model `{model}` takes an input of {expected:?}, the features are {found:?}")]
    OtherInput {
        /// The model's name.
        model: String,
        /// What it takes.
        expected: Vec<usize>,
        /// What there is.
        found: [usize; 4],
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

/// What a model says of itself: the JSON file beside it, of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDescription {
    /// A short name.
    pub name: String,
    /// The [`FEATURES_VERSION`] it was trained on.
    pub features: String,
    /// Shape of its input.
    pub input: Vec<usize>,
    /// Number of its outputs.
    pub outputs: usize,
    /// [`Labels::checksum`] of the labels it was trained with.
    pub labels_checksum: String,
}

/// Where a model and its companions are. Whatever is `None` is looked for beside the model under its usual name
/// (`label_mapping.json`, `canonical_mapping.json`, `calibration.json`), and is what is compiled in where it is not
/// there either. A calibration is looked for in the data folder, too, before the compiled-in one is taken
/// ([`places::calibration_in_force`]); one that is nowhere is a temperature of 1.
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
        let label_mapping = text(&files.label_mapping, "label_mapping.json", EMBEDDED_LABELS)?;
        let canonical_mapping = text(&files.canonical_mapping, "canonical_mapping.json", EMBEDDED_CANONICAL)?;
        let mut classifier = Self::from_parts(model, description, &label_mapping, &canonical_mapping)?;
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
        let names: Vec<String> = (0..description.outputs).map(|index| format!("output {index}")).collect();
        description.labels_checksum = super::labels::checksum(&names);
        let list = serde_json::Value::from(names).to_string();
        Self::from_parts(model, description, &list, "{}")
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
        description: ModelDescription,
        label_mapping: &str,
        canonical_mapping: &str,
    ) -> Result<Self, ModelError> {
        let name = || description.name.clone();
        if description.features != FEATURES_VERSION {
            let expected = description.features.clone();
            return Err(ModelError::OtherFeatures { model: name(), expected, found: FEATURES_VERSION });
        }
        if description.input != INPUT_SHAPE {
            let expected = description.input.clone();
            return Err(ModelError::OtherInput { model: name(), expected, found: INPUT_SHAPE });
        }
        // The list is compared with the model before the mapping is: a wrong list fails with the two checksums.
        let list = Labels::parse(label_mapping, "{}")?;
        if list.len() != description.outputs || list.checksum() != description.labels_checksum {
            return Err(ModelError::OtherLabels {
                model: name(),
                outputs: description.outputs,
                expected: description.labels_checksum.clone(),
                labels: list.len(),
                found: list.checksum().to_owned(),
            });
        }
        let labels = Labels::parse(label_mapping, canonical_mapping)?;
        let hash = xxh3_64(&model) >> 32;
        let id = format!("{}-{hash:08x}-{}", description.name, description.features);
        let calibration = Calibration::none(&id, labels.checksum());
        Ok(Self { model, description, labels, calibration, id, files: ModelFiles::default() })
    }

    /// Name, first 8 hexadecimal digits of the ONNX file's XXH3, and feature version: the key of analyses.
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
        Ok(Session { session, model: self.description.name.clone(), outputs: self.description.outputs })
    }
}

/// The model's bytes and what it says of itself.
fn read_model(files: &ModelFiles) -> Result<(Cow<'static, [u8]>, ModelDescription), ModelError> {
    match &files.model {
        None => Ok((Cow::Borrowed(EMBEDDED_MODEL), parse_description(EMBEDDED_DESCRIPTION, "drums.json")?)),
        Some(path) => {
            let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
            if extension.is_some_and(|extension| ["keras", "h5", "hdf5"].iter().any(|keras| extension == *keras)) {
                return Err(ModelError::Keras(path.clone()));
            }
            let bytes = fs::read(path).map_err(|error| ModelError::Io { path: path.clone(), error })?;
            let beside = path.with_extension("json");
            let description = parse_description(&read_text(&beside)?, &beside.display().to_string())?;
            Ok((Cow::Owned(bytes), description))
        }
    }
}

fn read_text(path: &Path) -> Result<String, ModelError> {
    fs::read_to_string(path).map_err(|error| ModelError::Io { path: path.to_owned(), error })
}

fn parse_description(json: &str, path: &str) -> Result<ModelDescription, ModelError> {
    serde_json::from_str(json)
        .map_err(|error| ModelError::Description { path: path.to_owned(), reason: error.to_string() })
}

/// Runs a model. One per thread.
pub struct Session {
    session: OrtSession,
    model: String,
    outputs: usize,
}

impl Session {
    /// The model's raw outputs for one sound, in label order.
    ///
    /// # Errors
    /// [`ModelError::Run`] where the backend fails, [`ModelError::Outputs`] where the model is not as described.
    pub fn logits(&mut self, features: &Features) -> Result<Vec<f32>, ModelError> {
        let result = self.run(features);
        clear_upper_halves();
        let logits = result.map_err(|reason| ModelError::Run { model: self.model.clone(), reason })?;
        if logits.len() != self.outputs {
            return Err(ModelError::Outputs { model: self.model.clone(), expected: self.outputs, found: logits.len() });
        }
        if let Some(index) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(ModelError::Run { model: self.model.clone(), reason: format!("output {index} is no number") });
        }
        Ok(logits)
    }

    fn run(&mut self, features: &Features) -> Result<Vec<f32>, String> {
        let input = TensorRef::from_array_view((INPUT_SHAPE, features.as_slice())).map_err(|e| e.to_string())?;
        let outputs = self.session.run(ort::inputs![input]).map_err(|e| e.to_string())?;
        let (_, output) = outputs.iter().next().ok_or("no output")?;
        let (_, logits) = output.try_extract_tensor::<f32>().map_err(|e| e.to_string())?;
        Ok(logits.to_vec())
    }
}

/// Clears the upper halves of the vector registers. tract's AVX kernels leave them dirty, which makes all SSE code
/// that runs afterwards on the thread (decoding, transforms) up to twice as slow.
fn clear_upper_halves() {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx")]
        fn zero_upper() {
            std::arch::x86_64::_mm256_zeroupper();
        }
        if std::arch::is_x86_feature_detected!("avx") {
            // SAFETY: the processor has AVX, and the instruction touches nothing but upper halves that no value lives in.
            unsafe { zero_upper() };
        }
    }
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

    /// The embedded model with another label list.
    fn with_labels(change: impl Fn(&mut Vec<String>)) -> Result<Classifier, ModelError> {
        let mut names: Vec<String> = serde_json::from_str(EMBEDDED_LABELS).unwrap();
        change(&mut names);
        Classifier::from_parts(
            Cow::Borrowed(EMBEDDED_MODEL),
            parse_description(EMBEDDED_DESCRIPTION, "drums.json").unwrap(),
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

    /// What training recorded for sounds that it made from a recipe, and drumfs for the same sounds.
    #[derive(Deserialize)]
    struct Golden {
        kind: String,
        #[serde(default)]
        hz: f64,
        #[serde(default)]
        seed: u32,
        decay_sec: f64,
        seconds: f64,
        rate: u32,
        logits: Vec<f32>,
    }

    impl Golden {
        fn samples(&self) -> Vec<f32> {
            let rate = f64::from(self.rate);
            let mut state = self.seed;
            (0..(self.seconds * rate) as usize)
                .map(|n| {
                    let n = n as f64;
                    let wave = if self.kind == "sine" {
                        (std::f64::consts::TAU * self.hz * n / rate).sin()
                    } else {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        f64::from(state) / 2f64.powi(31) - 1.0
                    };
                    (0.8 * (-n / (self.decay_sec * rate)).exp() * wave) as f32
                })
                .collect()
        }
    }

    #[test]
    fn the_model_gives_what_training_recorded() {
        let golden: Vec<Golden> = serde_json::from_str(include_str!("../../models/golden.json")).unwrap();
        assert!(golden.len() >= 5);
        let classifier = Classifier::embedded().unwrap();
        let mut session = classifier.session().unwrap();
        let mut extractor = crate::audio::Extractor::new();
        for sound in golden {
            let features = extractor.extract(&sound.samples(), sound.rate).features.unwrap();
            let logits = session.logits(&features).unwrap();
            assert_eq!(logits.len(), sound.logits.len());
            for (heard, recorded) in logits.iter().zip(&sound.logits) {
                assert!((heard - recorded).abs() < 1e-3, "{} {}: {heard} for {recorded}", sound.kind, sound.rate);
            }
        }
    }
}
