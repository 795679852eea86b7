//! config.yml: which model, which hash, which backend. Rules are not in it: they are saved in the mount.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::archive::HashAlgorithm;
use crate::classify::model::ModelFiles;

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
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Config {
    /// The model and what belongs to it.
    pub model: ModelFiles,
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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Text {
    model_path: Option<PathBuf>,
    label_map: Option<PathBuf>,
    canonical_mapping: Option<PathBuf>,
    calibration: Option<PathBuf>,
    onnxruntime: Option<PathBuf>,
    hash_algorithm: Option<String>,
    threads: Option<usize>,
    store: Option<PathBuf>,
    #[serde(flatten)]
    other: BTreeMap<String, serde_json::Value>,
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
        Ok(Self {
            model: ModelFiles {
                model: at(text.model_path),
                label_mapping: at(text.label_map),
                canonical_mapping: at(text.canonical_mapping),
                calibration: at(text.calibration),
                old_input: text.old_input,
                fallback_labels: text.fallback_labels,
            },
            onnxruntime: at(text.onnxruntime),
            hash_algorithm,
            threads: text.threads,
            store: at(text.store),
            ignored: text.other.into_keys().collect(),
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
        assert_eq!(config.model.model, Some(PathBuf::from("/etc/drumfs/../models/mine.onnx")));
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
