//! The text of config.yml: every key there is, for the parser and for the schema.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::archive::HashAlgorithm;

/// Which model, which hash, which backend; and the keys of the older pipeline's config.yml. Relative paths start from
/// the folder of this file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "config.yml of drumfs")]
pub(super) struct Text {
    #[serde(flatten)]
    pub(super) model: ModelText,
    /// Several models that vote, in the place of one: the first leads
    pub(super) models: Option<Vec<MemberText>>,
    /// How votes become one
    pub(super) ensemble: EnsembleText,
    /// A model that says whether something is a kit sound at all
    pub(super) gate: Option<GateText>,
    /// The shared library of ONNX Runtime, to run models by it; else the backend that is compiled in
    pub(super) onnxruntime: Option<PathBuf>,
    /// How contents are named: xxh3 where it is left out; md5 and sha256 are those of older indexes and overrides
    #[schemars(extend("enum" = hash_algorithms()))]
    pub(super) hash_algorithm: Option<String>,
    /// How many files are heard at a time; one for each core where it is left out
    #[schemars(range(min = 1))]
    pub(super) threads: Option<usize>,
    /// The folder that keeps what was heard
    pub(super) store: Option<PathBuf>,
    #[serde(flatten)]
    pub(super) first_rules: FirstRulesText,
    /// Where things are; of the older pipeline
    pub(super) paths: Option<PathsText>,
    #[serde(flatten)]
    pub(super) unused: UnusedText,
    #[serde(flatten)]
    pub(super) other: BTreeMap<String, serde_json::Value>,
}

fn hash_algorithms() -> Vec<serde_json::Value> {
    // Nothing is what is left out.
    HashAlgorithm::ALL.iter().map(|algorithm| algorithm.name().into()).chain([serde_json::Value::Null]).collect()
}

/// A model and its companions, alone at the top or as one of several.
#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct ModelText {
    /// The model, an ONNX file; the one that is compiled in where it is left out
    pub(super) model_path: Option<PathBuf>,
    /// The labels in the order of the model's outputs; label_mapping.json beside the model where it is left out
    pub(super) label_map: Option<PathBuf>,
    /// Where each label is collected; canonical_mapping.json beside the model where it is left out
    pub(super) canonical_mapping: Option<PathBuf>,
    /// What `drumfs calibrate` wrote; calibration.json beside the model where it is left out
    pub(super) calibration: Option<PathBuf>,
    /// The labels where there is no label list
    pub(super) fallback_labels: Option<Vec<String>>,
    /// Input of a model of the older pipeline: the rate that sounds are brought to, in Hz
    pub(super) target_sr: Option<u32>,
    /// Input of a model of the older pipeline: the length that sounds are padded or cut to, in samples
    pub(super) target_samples: Option<usize>,
    /// Input of a model of the older pipeline: number of cepstral coefficients
    pub(super) n_mfcc: Option<usize>,
    /// Input of a model of the older pipeline: length of a transform, in samples
    pub(super) n_fft: Option<usize>,
    /// Input of a model of the older pipeline: samples from one frame to the next
    pub(super) hop_length: Option<usize>,
    /// Input of a model of the older pipeline: whether each frame is divided by its largest value
    pub(super) normalize: Option<bool>,
}

/// One of `models`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberText {
    /// The model, an ONNX file; the one that is compiled in where it is left out
    pub(super) model_path: Option<PathBuf>,
    /// The labels in the order of the model's outputs
    pub(super) label_map: Option<PathBuf>,
    /// Where each label is collected
    pub(super) canonical_mapping: Option<PathBuf>,
    /// What `drumfs calibrate` wrote
    pub(super) calibration: Option<PathBuf>,
    /// What its vote counts beside the others; 1 where it is left out
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub(super) weight: Option<f32>,
    /// What its labels mean in those of the first model: one label, several, or nothing
    #[serde(default)]
    pub(super) mapping: BTreeMap<String, TargetText>,
}

/// What a label means in those of the first model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a label, a list of labels, or null for none")]
pub(super) enum TargetText {
    /// Nothing
    Nothing(()),
    /// One label
    One(String),
    /// Several labels
    Several(Vec<String>),
}

/// How votes become one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a mapping such as {mean: arithmetic}")]
pub(super) struct EnsembleText {
    /// arithmetic follows whoever is sure; in geometric a label needs a word from everybody
    pub(super) mean: MeanText,
}

/// The mean of the votes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum MeanText {
    #[default]
    Arithmetic,
    Geometric,
}

/// A model that says whether something is a kit sound at all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GateText {
    /// The model, an ONNX file
    pub(super) model_path: PathBuf,
    /// Its labels, where it has several outputs
    pub(super) label_map: Option<PathBuf>,
    /// What `drumfs calibrate` wrote
    pub(super) calibration: Option<PathBuf>,
    /// What is less likely to be a kit sound goes to misc; 0.5 where it is left out
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) threshold: Option<f32>,
    /// The label that means a kit sound; `kit` where it is left out
    pub(super) accept: Option<String>,
}

/// Keys of the older pipeline that are rules here: they hold until `_control/rules.yml` is saved.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct FirstRulesText {
    /// The labels that have a folder until rules.yml is saved; null is all of them
    #[serde(deserialize_with = "said")]
    pub(super) target_labels: Option<TargetLabelsText>,
    /// Where uncertain sounds go until rules.yml is saved
    pub(super) misc: Option<MiscText>,
    /// Thresholds of single folders until rules.yml is saved
    pub(super) thresholds: Option<BTreeMap<String, f32>>,
    /// Whether of files with the same bytes only the first is shown, until rules.yml is saved
    pub(super) dedup_hash: Option<bool>,
}

/// Tells a null from what is not there.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The labels that have a folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "target_labels: expected a list of labels such as [Kick, Snare], `all`, or null")]
pub(super) enum TargetLabelsText {
    /// All of them
    All(()),
    /// All of them, as rules.yml calls them
    Word(AllText),
    /// These
    These(#[schemars(length(min = 1))] Vec<String>),
}

/// All labels.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AllText {
    All,
}

/// Where uncertain sounds go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a mapping such as {threshold: 0.5, label: misc}")]
pub(super) struct MiscText {
    /// What the model is less sure of goes to misc
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) threshold: Option<f32>,
    /// The name of that folder
    pub(super) label: Option<String>,
}

/// Where things are; of the older pipeline.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct PathsText {
    /// The archive, where a command line names none
    pub(super) archive_root: Option<PathBuf>,
    #[serde(flatten)]
    pub(super) other: BTreeMap<String, serde_json::Value>,
}

macro_rules! unused {
    ($($key:ident: $instead:literal,)*) => {
        /// Keys of the older pipeline that mean nothing here. They may stay.
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(default)]
        pub(super) struct UnusedText {
            $(
                #[doc = concat!("Of the older pipeline, not used here: ", $instead)]
                #[schemars(extend("deprecated" = true))]
                $key: Option<serde_json::Value>,
            )*
        }

        impl UnusedText {
            /// Those that are said, and what takes their place.
            pub(super) fn said(&self) -> Vec<(&'static str, &'static str)> {
                [$((stringify!($key), $instead, self.$key.is_some()),)*]
                    .into_iter()
                    .filter(|(.., said)| *said)
                    .map(|(key, instead, _)| (key, instead))
                    .collect()
            }
        }
    };
}

unused! {
    min_duration_sec: "sounds from 5 ms on are heard; a route `- {duration: \"< 0.05\", to: misc}` in rules.yml sends short ones to misc",
    batch_size: "each sound is heard alone",
    confidence_threshold: "every sound is recorded; `misc: {threshold: 0.5}` is what routes",
    top_k: "a record has three labels and all probabilities",
    supported_formats: "every format that can be decoded is heard; a route `- {name: \"*.mp3\", hide: true}` leaves one out of the view",
    max_files_per_run: "a pass that is stopped goes on where it was",
    include_audio_stats: "attributes are always there",
    cache_dir: "what was heard is in the store; `drumfs import` takes seen_hashes.txt",
    compress_index: "`drumfs export` compresses a file whose name ends in .gz",
}
