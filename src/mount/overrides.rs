//! overrides.jsonl: one line a word of a person on one content.
//!
//! A line is `{"hash": "…", "label": "Kick"}`, with `"path"` (relative to the archive) instead of the hash where that
//! is easier, an optional `"note"`, and `null` as the label to take an override back. `correct_label` and
//! `relative_path`, as older pipelines wrote them, mean the same.

use serde::{Deserialize, Serialize};

use super::keeper::{OverrideChange, Shared};
use crate::archive::{ContentHash, HashAlgorithm};
use crate::view::View;

#[derive(Deserialize)]
struct Line {
    hash: Option<String>,
    hash_algorithm: Option<String>,
    #[serde(alias = "relative_path")]
    path: Option<String>,
    #[serde(default, alias = "correct_label", deserialize_with = "given")]
    label: Option<Option<String>>,
    note: Option<String>,
}

/// Tells `"label": null` from no label at all.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

#[derive(Serialize)]
struct Written<'a> {
    hash: String,
    hash_algorithm: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    label: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    at: f64,
}

/// Reads one line. Blank lines say nothing.
///
/// # Errors
/// A sentence on what is wrong with the line.
pub fn parse_line(line: &[u8], shared: &Shared) -> Result<Option<OverrideChange>, String> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let parsed: Line = serde_json::from_slice(line).map_err(|error| {
        format!("not a line of overrides.jsonl ({error}): expected {{\"hash\": \"…\", \"label\": \"Kick\"}}")
    })?;
    let view = shared.view();
    let hash = match (&parsed.hash, &parsed.path) {
        (Some(hash), _) => read_hash(hash, parsed.hash_algorithm.as_deref(), &view)?,
        (None, Some(path)) => {
            let sample =
                view.catalogue().by_path(path.as_bytes()).ok_or_else(|| format!("no sample has the path `{path}`"))?;
            sample.1.hash.ok_or_else(|| format!("`{path}` could not be read, so it has no hash yet"))?
        }
        (None, None) => return Err("neither `hash` nor `path` says which sample is meant".to_owned()),
    };
    let label = match parsed.label {
        None => return Err("`label` is missing; null takes an override back".to_owned()),
        Some(None) => None,
        Some(Some(label)) => Some(known_label(&label, shared, &view)?),
    };
    Ok(Some((hash, label, parsed.note)))
}

fn read_hash(text: &str, algorithm: Option<&str>, view: &View) -> Result<ContentHash, String> {
    let in_use = view.catalogue().samples().iter().find_map(|sample| sample.hash).map(|hash| hash.algorithm());
    let algorithm = match algorithm {
        Some(name) => name.parse().map_err(|error: crate::archive::HashError| error.to_string())?,
        None => in_use.unwrap_or(HashAlgorithm::Xxh3),
    };
    if let Some(in_use) = in_use.filter(|in_use| *in_use != algorithm) {
        return Err(format!(
            "the hash is {}, but this archive's contents are named by {}: set `hash_algorithm: {}` in config.yml and \
             index again to use it",
            algorithm.name(),
            in_use.name(),
            algorithm.name()
        ));
    }
    ContentHash::from_hex(algorithm, text).map_err(|error| error.to_string())
}

/// The label in its usual spelling: a label of the model, a canonical one, or a folder of the rules.
fn known_label(label: &str, shared: &Shared, view: &View) -> Result<String, String> {
    let known = || shared.vocabulary.labels().iter().chain(view.router().folders());
    if let Some(known) = known().find(|known| known.eq_ignore_ascii_case(label)) {
        return Ok(known.clone());
    }
    let near = known().min_by_key(|known| strsim::damerau_levenshtein(&known.to_lowercase(), &label.to_lowercase()));
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(format!("unknown label `{label}`{hint}"))
}

/// Every override as a line, ordered by hash.
pub fn text(shared: &Shared) -> Vec<u8> {
    let overrides = shared.overrides.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let view = shared.view();
    let by_hash = view.catalogue().by_hash();
    let mut lines: Vec<_> = overrides.iter().collect();
    lines.sort_by(|a, b| a.0.cmp(b.0));
    let mut text = Vec::new();
    for (hash, said) in lines {
        let place = by_hash.binary_search_by(|&id| {
            view.sample(id).hash.map_or(std::cmp::Ordering::Less, |known| known.as_bytes().cmp(hash.as_bytes()))
        });
        let path = place.ok().map(|place| String::from_utf8_lossy(view.sample(by_hash[place]).path).into_owned());
        let line = Written {
            hash: hash.to_hex(),
            hash_algorithm: hash.algorithm().name(),
            path,
            label: &said.label,
            note: said.note.as_deref(),
            at: said.at,
        };
        // Strings and numbers can't fail to be written.
        text.extend(serde_json::to_vec(&line).unwrap_or_default());
        text.push(b'\n');
    }
    text
}
