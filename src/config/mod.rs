//! config.yml: which model, which hash, which backend. Rules are saved in the mount; those of the older pipeline's
//! config.yml hold until then.

mod text;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use self::text::{
    FirstRulesText, GateText, MeanText, MemberText, ModelText, PathsText, TargetLabelsText, TargetText, Text,
    UnusedText,
};

use crate::archive::HashAlgorithm;
use crate::classify::input::OldInput;
use crate::classify::{EnsembleFiles, GateFiles, Mean, MemberFiles, ModelFiles, Target};
use crate::rules::{self, FirstRules, FirstTargets};

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
    /// The archive, where a command line names none.
    pub archive: Option<PathBuf>,
    /// The rules that hold until some are saved.
    pub first_rules: FirstRules,
    /// Keys that mean nothing here, in order.
    pub ignored: Vec<Ignored>,
}

/// A key that means nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The key.
    pub key: String,
    /// What takes its place, or what may have been meant.
    pub instead: Option<String>,
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
            archive: None,
            first_rules: FirstRules::default(),
            ignored: Vec::new(),
        }
    }
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

impl From<TargetText> for Target {
    fn from(text: TargetText) -> Self {
        match text {
            TargetText::Nothing(()) => Self::Nothing,
            TargetText::One(label) => Self::One(label),
            TargetText::Several(labels) => Self::Several(labels),
        }
    }
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
        let mut members = members;
        let ignored = ignored(&text.unused, &text.other, text.paths.as_ref(), &members);
        // Labels of a model that is not there are no labels of the one that is compiled in.
        for member in members.iter_mut().filter(|member| member.files.model.is_none()) {
            member.files.fallback_labels = None;
        }
        let maps = members.iter().any(|member| member.files.canonical_mapping.is_some());
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
            archive: at(text.paths.and_then(|paths| paths.archive_root)),
            first_rules: first_rules(text.first_rules, maps),
            ignored,
        })
    }
}

/// The rules that hold until some are saved. Where the labels that are collected are `mapped` by a file of one's own, no
/// target labels means every label that something is collected under, as it did in the older pipeline; else every label.
fn first_rules(text: FirstRulesText, mapped: bool) -> FirstRules {
    let misc = text.misc.unwrap_or_default();
    FirstRules {
        target_labels: match text.target_labels {
            None => None,
            Some(TargetLabelsText::All(())) if mapped => None,
            Some(TargetLabelsText::All(()) | TargetLabelsText::Word(_)) => Some(FirstTargets::All),
            Some(TargetLabelsText::These(labels)) => Some(FirstTargets::These(labels)),
        },
        misc_threshold: misc.threshold,
        misc_label: misc.label,
        thresholds: text.thresholds.unwrap_or_default(),
        hide_duplicates: text.dedup_hash,
    }
}

/// The keys that mean nothing, in order, and what takes their place.
fn ignored(
    unused: &UnusedText,
    other: &BTreeMap<String, serde_json::Value>,
    paths: Option<&PathsText>,
    members: &[MemberFiles],
) -> Vec<Ignored> {
    let say = |key: &str, instead: &str| Ignored { key: key.to_owned(), instead: Some(instead.to_owned()) };
    let mut ignored: Vec<Ignored> = unused.said().into_iter().map(|(key, instead)| say(key, instead)).collect();
    ignored.extend(other.keys().map(|key| match rules::is_key(key) {
        true => say(key, "it belongs in rules.yml"),
        false => Ignored { key: key.clone(), instead: meant(key) },
    }));
    for key in paths.iter().flat_map(|paths| paths.other.keys()) {
        let key = format!("paths.{key}");
        ignored.push(match key.as_str() {
            "paths.runs_root" => say(&key, "what was heard is in the store; `drumfs export` writes an index.jsonl"),
            "paths.regenerated_root" => say(&key, "`drumfs mount ARCHIVE DIR`, or `drumfs rebuild ARCHIVE --out DIR`"),
            _ => Ignored { key, instead: None },
        });
    }
    // They describe a model that is not there.
    for member in members.iter().filter(|member| member.files.model.is_none()) {
        let said = member.files.old_input.said().into_iter();
        let labels = member.files.fallback_labels.iter().map(|_| "fallback_labels");
        ignored.extend(said.chain(labels).map(|key| say(key, "it describes the model of `model_path`")));
    }
    ignored.sort_by(|a, b| a.key.cmp(&b.key));
    ignored
}

/// What an unknown key may have been meant to be.
fn meant(key: &str) -> Option<String> {
    let schema = schema();
    let known = schema.get("properties").and_then(serde_json::Value::as_object)?;
    let near = |known: &&String| strsim::normalized_damerau_levenshtein(known, key);
    let nearest = known.keys().max_by(|a, b| near(a).total_cmp(&near(b))).filter(|known| near(known) > 0.7)?;
    Some(format!("did you mean `{nearest}`?"))
}

/// The JSON schema of config.yml, from the types that read it.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Text).to_value()
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
        let config = config.unwrap();
        assert_eq!(config.ignored.iter().map(|ignored| &ignored.key[..]).collect::<Vec<_>>(), ["target_sr"]);
        assert_eq!(config.first_rules.misc_threshold, Some(0.5));
    }

    #[test]
    fn what_the_older_pipeline_kept_in_config_yml_becomes_the_first_rules() {
        use crate::rules::{Rules, Vocabulary};
        let drums = Vocabulary::drums();
        let first = |text: &str| Config::parse(text, Path::new("/there")).unwrap().first_rules;
        let rules = |text: &str| Rules::parse(&Rules::first(&drums, &first(text)), &drums).unwrap();
        let said = "target_labels: [Kick, Clap]\nmisc: {threshold: 0.625, label: rest}\nthresholds: {Kick: 0.7}\n";
        let same = Rules::parse(&format!("{said}duplicates: hide\n"), &drums).unwrap();
        assert_eq!(rules(&format!("{said}dedup_hash: true\n")), same);
        assert_eq!(rules("threads: 2\n"), Rules::defaults(&drums));
        assert_eq!(rules("target_labels: null\n"), Rules::parse("target_labels: all\n", &drums).unwrap());
        // With a mapping of one's own: every label that something is collected under.
        assert_eq!(first("target_labels: null\ncanonical_mapping: m.json\n"), FirstRules::default());
        let config = Config::parse("paths: {archive_root: ../sounds, runs_root: x}\n", Path::new("/there")).unwrap();
        assert_eq!(config.archive, Some(PathBuf::from("/there/../sounds")));
        assert_eq!(config.ignored[0].key, "paths.runs_root");
    }

    #[test]
    fn a_key_that_was_misspelt_is_named_with_what_was_meant() {
        let config = Config::parse("model_pth: a.onnx\nroutes: []\nzzz: 1\n", Path::new("")).unwrap();
        let said: Vec<_> =
            config.ignored.iter().map(|ignored| (&ignored.key[..], ignored.instead.as_deref())).collect();
        assert_eq!(
            said,
            [
                ("model_pth", Some("did you mean `model_path`?")),
                ("routes", Some("it belongs in rules.yml")),
                ("zzz", None)
            ]
        );
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
