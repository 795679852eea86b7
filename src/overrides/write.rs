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

/// Writes every override as a line, ordered by hash, with the first path of its content where there is one.
///
/// # Errors
/// What `to` says.
pub fn write(overrides: &HashMap<ContentHash, Override>, catalogue: &Catalogue, to: &mut dyn Write) -> io::Result<()> {
    let mut lines: Vec<_> = overrides.iter().collect();
    lines.sort_by_key(|(hash, _)| **hash);
    for (hash, said) in lines {
        let path = catalogue.with_content(hash).map(|sample| sample.path);
        let lossy = path.map(String::from_utf8_lossy);
        let is_utf8 = |path: &[u8]| lossy.as_ref().is_some_and(|lossy| lossy.as_bytes() == path);
        let line = Written {
            hash: hash.to_hex(),
            hash_algorithm: hash.algorithm().name(),
            path_bytes: path.filter(|path| !is_utf8(path)).map(crate::index::record::to_hex),
            path: lossy.as_ref().map(|lossy| lossy.to_string()),
            label: &said.label,
            note: said.note.as_deref(),
            at: said.at,
        };
        serde_json::to_writer(&mut *to, &line)?;
        to.write_all(b"\n")?;
    }
    Ok(())
}
