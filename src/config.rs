//! config.yml: which model, which hash, which backend. Rules are not in it: they are saved in the mount.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::archive::HashAlgorithm;
use crate::classify::input::OldInput;
use crate::classify::{EnsembleFiles, GateFiles, Mean, MemberFiles, ModelFiles, Target};

/// A config.yml that can't be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It can't be read.
    #[error("{path} can't be read: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what a config.yml looks like.
    #[error("{path}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its position.
        message: String,
    },
}

/// What config.yml says. Paths are absolute, or relative to the file's folder as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The models and what belongs to them.
    pub ensemble: EnsembleFiles,
    /// The shared library of ONNX Runtime.
    pub onnxruntime: Option<PathBuf>,
    /// How contents are named.
    pub hash_algorithm: HashAlgorithm,
    /// How many files are heard at a time.
    pub threads: Option<usize>,
    /// The store's folder.
    pub store: Option<PathBuf>,
    /// Keys that mean nothing here, in order.
    pub ignored: Vec<String>,
}

impl Default for Config {
    /// The model that is compiled in, and what is usual.
    fn default() -> Self {
        Self {
            ensemble: ModelFiles::default().into(),
            onnxruntime: None,
            hash_algorithm: HashAlgorithm::default(),
            threads: None,
            store: None,
            ignored: Vec::new(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Text {
    #[serde(flatten)]
    model: ModelText,
    models: Option<Vec<MemberText>>,
    ensemble: EnsembleText,
    gate: Option<GateText>,
    onnxruntime: Option<PathBuf>,
    hash_algorithm: Option<String>,
    threads: Option<usize>,
    store: Option<PathBuf>,
    #[serde(flatten)]
    other: BTreeMap<String, serde_json::Value>,
}

/// A model and its companions, alone at the top or as one of several.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct ModelText {
    model_path: Option<PathBuf>,
    label_map: Option<PathBuf>,
    canonical_mapping: Option<PathBuf>,
    calibration: Option<PathBuf>,
    fallback_labels: Option<Vec<String>>,
    target_sr: Option<u32>,
    target_samples: Option<usize>,
    n_mfcc: Option<usize>,
    n_fft: Option<usize>,
    hop_length: Option<usize>,
    normalize: Option<bool>,
}

impl ModelText {
    fn files(self, folder: &Path) -> ModelFiles {
        let at = |path: Option<PathBuf>| path.map(|path| folder.join(path));
        ModelFiles {
            model: at(self.model_path),
            label_mapping: at(self.label_map),
            canonical_mapping: at(self.canonical_mapping),
            calibration: at(self.calibration),
            uncalibrated: false,
            old_input: OldInput {
                target_sr: self.target_sr,
                target_samples: self.target_samples,
                n_mfcc: self.n_mfcc,
                n_fft: self.n_fft,
                hop_length: self.hop_length,
                normalize: self.normalize,
            },
            fallback_labels: self.fallback_labels,
        }
    }
}

/// One of `models`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberText {
    model_path: Option<PathBuf>,
    label_map: Option<PathBuf>,
    canonical_mapping: Option<PathBuf>,
    calibration: Option<PathBuf>,
    weight: Option<f32>,
    #[serde(default)]
    mapping: BTreeMap<String, TargetText>,
}

impl MemberText {
    fn files(self, folder: &Path) -> MemberFiles {
        let text = ModelText {
            model_path: self.model_path,
            label_map: self.label_map,
            canonical_mapping: self.canonical_mapping,
            calibration: self.calibration,
            ..ModelText::default()
        };
        let mapping = self.mapping.into_iter().map(|(label, target)| (label, target.into())).collect();
        MemberFiles { files: text.files(folder), weight: self.weight.unwrap_or(1.0), mapping }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TargetText {
    Nothing(()),
    One(String),
    Several(Vec<String>),
}

impl From<TargetText> for Target {
    fn from(text: TargetText) -> Self {
        match text {
            TargetText::Nothing(()) => Self::Nothing,
            TargetText::One(label) => Self::One(label),
            TargetText::Several(labels) => Self::Several(labels),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EnsembleText {
    mean: MeanText,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MeanText {
    #[default]
    Arithmetic,
    Geometric,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GateText {
    model_path: PathBuf,
    label_map: Option<PathBuf>,
    calibration: Option<PathBuf>,
    threshold: Option<f32>,
    accept: Option<String>,
}

impl GateText {
    fn files(self, folder: &Path) -> GateFiles {
        let text = ModelText {
            model_path: Some(self.model_path),
            label_map: self.label_map,
            calibration: self.calibration,
            ..ModelText::default()
        };
        GateFiles { files: text.files(folder), threshold: self.threshold.unwrap_or(0.5), accept: self.accept }
    }
}

impl Config {
    /// Reads the config.yml at `path`.
    ///
    /// # Errors
    /// As [`ConfigError`] tells.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder).map_err(|message| ConfigError::Syntax { path: path.to_owned(), message })
    }

    /// Reads a text whose relative paths are relative to `folder`.
    ///
    /// # Errors
    /// A sentence with line and column.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::default());
        }
        let text: Text = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let at = |path: Option<PathBuf>| path.map(|path| folder.join(path));
        let hash_algorithm = match text.hash_algorithm {
            Some(name) => {
                name.parse().map_err(|error: crate::archive::HashError| format!("hash_algorithm: {error}"))?
            }
            None => HashAlgorithm::default(),
        };
        if text.threads == Some(0) {
            return Err("threads: 0 files at a time is none; leave the key out to use every core".to_owned());
        }
        let members = match text.models {
            None => EnsembleFiles::from(text.model.files(folder)).members,
            Some(_) if text.model != ModelText::default() => {
                return Err(
                    "models: each model says its own model_path, label_map and so on; leave those at the top out, \
                            or leave `models` out"
                        .to_owned(),
                );
            }
            Some(models) => models.into_iter().map(|model| model.files(folder)).collect(),
        };
        // They describe a model that is not there.
        let mut ignored: Vec<String> = text.other.into_keys().collect();
        for member in members.iter().filter(|member| member.files.model.is_none()) {
            ignored.extend(member.files.old_input.said().into_iter().map(str::to_owned));
            ignored.extend(member.files.fallback_labels.iter().map(|_| "fallback_labels".to_owned()));
        }
        ignored.sort();
        let mean = match text.ensemble.mean {
            MeanText::Arithmetic => Mean::Arithmetic,
            MeanText::Geometric => Mean::Geometric,
        };
        Ok(Self {
            ensemble: EnsembleFiles { members, mean, gate: text.gate.map(|gate| gate.files(folder)) },
            onnxruntime: at(text.onnxruntime),
            hash_algorithm,
            threads: text.threads,
            store: at(text.store),
            ignored,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = Config::parse("model_path: ../models/mine.onnx\nhash_algorithm: md5\n", Path::new("/etc/drumfs"));
        let config = config.unwrap();
        assert_eq!(config.ensemble.members[0].files.model, Some(PathBuf::from("/etc/drumfs/../models/mine.onnx")));
        assert_eq!(config.hash_algorithm, HashAlgorithm::Md5);
    }

    #[test]
    fn keys_of_the_old_pipeline_that_mean_nothing_are_named() {
        let config = Config::parse("target_sr: 44100\nmisc: {threshold: 0.5}\nhash_algorithm: sha256\n", Path::new(""));
        assert_eq!(config.unwrap().ignored, ["misc", "target_sr"]);
    }

    #[test]
    fn mistakes_say_what_would_be_right() {
        let error = Config::parse("hash_algorithm: crc32\n", Path::new("")).unwrap_err();
        assert!(error.contains("crc32") && error.contains("xxh3"), "{error}");
        assert!(Config::parse("threads: 0\n", Path::new("")).unwrap_err().contains("leave the key out"));
        assert!(Config::parse("model_path: [\n", Path::new("")).is_err());
        assert_eq!(Config::parse("# nothing yet\n", Path::new("")).unwrap(), Config::default());
    }
}
