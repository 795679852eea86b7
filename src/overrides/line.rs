//! The form of one line, whatever archive it is about.

use serde::Deserialize;
use thiserror::Error;

use crate::archive::{HashAlgorithm, HashError};
use crate::exchange::PathText;

/// What is wrong with a line.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LineError {
    /// No JSON object with these keys.
    #[error("not a line of overrides.jsonl ({0}): expected {{\"hash\": \"…\", \"label\": \"Kick\"}}")]
    Form(String),
    /// Neither hash nor path.
    #[error("neither `hash` nor `path` says which sample is meant")]
    NoSample,
    /// No label.
    #[error("`label` is missing; null takes an override back")]
    NoLabel,
    /// The same thing is said twice, and not alike.
    #[error("`{0}` and `{1}` say two things")]
    Both(&'static str, &'static str),
    /// A hash that is none.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// A path that is none.
    #[error("`path_bytes` is not hexadecimal")]
    PathBytes,
    /// No sample has the path.
    #[error("no sample has the path `{0}`")]
    NoSuchPath(String),
    /// The sample has no content yet.
    #[error("`{0}` could not be read, so it has no hash yet")]
    Unread(String),
    /// The file that lies at the path now is another one.
    #[error("`{path}` has other bytes now: their {algorithm} is not the one of the line")]
    OtherBytes {
        /// The path.
        path: String,
        /// The algorithm of the line's hash.
        algorithm: &'static str,
    },
    /// A hash of a kind that the archive's contents are not named by, and nothing that tells which content it is.
    #[error(
        "the hash is {kind}, but this archive's contents are named by {in_use}, and no sample is known by it: say which \
         sample it is with `path`, or import the file with `drumfs override import FILE --hash-originals`, which looks \
         for it in the originals, or with `--index FILE`, the index.jsonl that has these hashes"
    )]
    OtherKind {
        /// What made the line's hash.
        kind: &'static str,
        /// What names this archive's contents.
        in_use: &'static str,
    },
    /// A label that is none.
    #[error("unknown label `{label}`{hint}")]
    UnknownLabel {
        /// The label, shortened.
        label: String,
        /// What may be meant.
        hint: String,
    },
}

/// One line, as it says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The content by its hash.
    pub hash: Option<Digest>,
    /// The sample by its path in the archive, raw bytes.
    pub path: Option<Vec<u8>>,
    /// The label as it is written; none takes an override back.
    pub label: Option<String>,
    /// A remark.
    pub note: Option<String>,
    /// Who says so.
    pub by: Option<String>,
    /// Whether this takes the last word on the content back.
    pub undo: bool,
}

/// A hash as a line gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Hexadecimal digits.
    pub text: String,
    /// What made it, where the line says so.
    pub named: Option<HashAlgorithm>,
    /// Whether the line is in the form of the older pipelines, which made MD5 unless they were told otherwise.
    pub old_form: bool,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Keys {
    hash: Option<String>,
    hash_algorithm: Option<String>,
    path: Option<PathText>,
    relative_path: Option<PathText>,
    path_bytes: Option<String>,
    relative_path_bytes: Option<String>,
    #[serde(default, deserialize_with = "given")]
    label: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    correct_label: Option<Option<String>>,
    note: Option<String>,
    by: Option<String>,
    #[serde(default)]
    undo: bool,
}

/// Tells `"label": null` from no label at all.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// The one of two keys that is there; both may be where they say the same.
fn one_of<T: PartialEq>(
    (a, a_name): (Option<T>, &'static str),
    (b, b_name): (Option<T>, &'static str),
) -> Result<Option<T>, LineError> {
    match (a, b) {
        (Some(a), Some(b)) if a != b => Err(LineError::Both(a_name, b_name)),
        (a, b) => Ok(a.or(b)),
    }
}

impl Line {
    /// Reads one line. Blank lines say nothing.
    ///
    /// # Errors
    /// What is wrong with its form; the content and the label are not looked at.
    pub fn parse(line: &[u8]) -> Result<Option<Self>, LineError> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let keys: Keys = serde_json::from_slice(line).map_err(|error| LineError::Form(error.to_string()))?;
        let old_form = keys.correct_label.is_some() && keys.label.is_none();
        let label = one_of((keys.label, "label"), (keys.correct_label, "correct_label"))?.ok_or(LineError::NoLabel)?;
        let path = one_of((keys.path, "path"), (keys.relative_path, "relative_path"))?;
        let bytes = keys.path_bytes.or(keys.relative_path_bytes);
        let path = match bytes {
            Some(hex) => Some(crate::exchange::record::from_hex(&hex).ok_or(LineError::PathBytes)?),
            None => path.map(|PathText(bytes)| bytes),
        };
        let named = keys.hash_algorithm.map(|name| name.parse()).transpose()?;
        let hash = keys.hash.map(|text| Digest { text, named, old_form });
        if hash.is_none() && path.is_none() {
            return Err(LineError::NoSample);
        }
        Ok(Some(Self { hash, path, label, note: keys.note, by: keys.by, undo: keys.undo }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line::parse(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn old_and_new_keys_mean_the_same() {
        let new = line(r#"{"hash": "ab", "path": "a/b.wav", "label": "Snare", "note": "rim"}"#);
        let old = line(r#"{"hash":"ab","relative_path":"a/b.wav","correct_label":"Snare","note":"rim"}"#);
        assert_eq!((&new.path, &new.label, &new.note), (&old.path, &old.label, &old.note));
        assert_eq!((new.hash.unwrap().old_form, old.hash.unwrap().old_form), (false, true));
        assert_eq!(line(r#"{"path": "a", "label": null}"#).label, None);
        assert_eq!(line(r#"{"path": "?", "path_bytes": "61ff", "label": "Kick"}"#).path.unwrap(), b"a\xff");
        assert_eq!(Line::parse(b" \r\n"), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| Line::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(error("not json"), LineError::Form(_)));
        assert!(matches!(error(r#"{"path": 3, "label": "Kick"}"#), LineError::Form(_)));
        assert_eq!(error(r#"{"label": "Kick"}"#), LineError::NoSample);
        assert_eq!(error(r#"{"path": "a"}"#), LineError::NoLabel);
        let both = error(r#"{"path": "a", "label": "Kick", "correct_label": "Snare"}"#);
        assert_eq!(both, LineError::Both("label", "correct_label"));
        assert_eq!(error(r#"{"path_bytes": "6", "label": "Kick"}"#), LineError::PathBytes);
        let algorithm = error(r#"{"hash": "ab", "hash_algorithm": "crc", "label": "Kick"}"#);
        assert_eq!(algorithm, LineError::Hash(HashError::UnknownAlgorithm("crc".to_owned())));
    }
}
