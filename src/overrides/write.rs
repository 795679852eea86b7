//! Overrides as lines.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::archive::ContentHash;
use crate::store::Override;
use crate::view::Catalogue;

#[derive(Serialize)]
struct Written<'a> {
    hash: String,
    hash_algorithm: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// In hexadecimal, only where the path is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    label: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    at: f64,
}

#[derive(Serialize)]
struct Old<'a> {
    hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    relative_path: Option<String>,
    correct_label: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

/// The keys of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As drumfs writes them.
    New,
    /// As older pipelines did: hash, relative_path, correct_label, note.
    Old,
}

/// Writes every override as a line, ordered by hash, with the first path of its content where there is one.
///
/// # Errors
/// What `to` says.
pub fn write(
    overrides: &HashMap<ContentHash, Override>,
    catalogue: &Catalogue,
    form: Form,
    to: &mut dyn Write,
) -> io::Result<()> {
    let mut lines: Vec<_> = overrides.iter().collect();
    lines.sort_by_key(|(hash, _)| **hash);
    for (hash, said) in lines {
        let bytes = catalogue.with_content(hash).map(|sample| sample.path);
        let path = bytes.map(|path| String::from_utf8_lossy(path).into_owned());
        let (hash, hash_algorithm) = (hash.to_hex(), hash.algorithm().name());
        let (label, note) = (&said.label[..], said.note.as_deref());
        match form {
            Form::New => {
                let bytes = bytes.filter(|bytes| path.as_ref().is_some_and(|path| path.as_bytes() != *bytes));
                let path_bytes = bytes.map(crate::index::record::bytes_to_hex);
                let line = Written { hash, hash_algorithm, path, path_bytes, label, note, at: said.at };
                serde_json::to_writer(&mut *to, &line)?;
            }
            Form::Old => {
                let line = Old { hash, relative_path: path, correct_label: label, note };
                serde_json::to_writer(&mut *to, &line)?;
            }
        }
        to.write_all(b"\n")?;
    }
    Ok(())
}
