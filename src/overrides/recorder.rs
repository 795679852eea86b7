//! Saying something: to the store, or through the mount that has it. The one place here that writes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;
use thiserror::Error;

use crate::mount::MAX_CONTROL_LEN;
use crate::store::{Store, StoreError, Word};

/// Why something could not be said. Nothing of it was recorded, unless the sentence says otherwise.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The mount refused, for a reason it gave.
    #[error("the mount at {} refused: {reason}", mount.display())]
    Refused {
        /// The mount.
        mount: PathBuf,
        /// Its last error.
        reason: String,
    },
    /// The mount could not be written to.
    #[error("{} could not be written: {source}; if the mount has ended, run this again", path.display())]
    Mount {
        /// The control file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A part was recorded before the rest failed.
    #[error("{recorded} were recorded, then: {source}")]
    Partly {
        /// How many words.
        recorded: usize,
        /// Why the rest was not.
        source: Box<RecordError>,
    },
}

/// Where words go.
#[derive(Debug, Clone)]
pub enum Recorder {
    /// The store, which nobody else has.
    Store(Arc<Store>),
    /// The mount that has it.
    Mount(PathBuf),
}

#[derive(Serialize)]
struct Line<'a> {
    hash: String,
    hash_algorithm: &'static str,
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    undo: bool,
}

/// A word as a line of overrides.jsonl, with its newline.
fn line(word: &Word) -> Vec<u8> {
    let line = Line {
        hash: word.hash.to_hex(),
        hash_algorithm: word.hash.algorithm().name(),
        label: word.label.as_deref(),
        note: word.note.as_deref(),
        by: word.by.as_deref(),
        undo: word.undo,
    };
    // Strings can't fail to be written.
    let mut line = serde_json::to_vec(&line).unwrap_or_default();
    line.push(b'\n');
    line
}

impl Recorder {
    /// Records words. When this returns they are in the journal, on the disk, and a mount shows them.
    ///
    /// All of them are taken or none is. Through a mount that holds for as many as a control file holds, some 6,000;
    /// more go in parts.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn record(&self, words: &[Word]) -> Result<(), RecordError> {
        let mount = match self {
            _ if words.is_empty() => return Ok(()),
            Self::Store(store) => return store.set_overrides(words).map(drop).map_err(RecordError::from),
            Self::Mount(mount) => mount,
        };
        let mut recorded = 0;
        let mut part = Vec::new();
        let mut in_part = 0;
        let last = words.len() - 1;
        for (number, word) in words.iter().enumerate() {
            let line = line(word);
            if !part.is_empty() && (part.len() + line.len()) as u64 > MAX_CONTROL_LEN {
                put(mount, &part).map_err(|error| partly(recorded, error))?;
                recorded += in_part;
                part.clear();
                in_part = 0;
            }
            part.extend(line);
            in_part += 1;
            if number == last {
                put(mount, &part).map_err(|error| partly(recorded, error))?;
            }
        }
        Ok(())
    }
}

fn partly(recorded: usize, source: RecordError) -> RecordError {
    if recorded == 0 { source } else { RecordError::Partly { recorded, source: Box::new(source) } }
}

/// Puts lines in force as one: a file beside overrides.jsonl is renamed over it, which takes all of its lines or none.
fn put(mount: &Path, lines: &[u8]) -> Result<(), RecordError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let control = mount.join("_control");
    let name = format!(".said-{}-{}.jsonl", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let (aside, path) = (control.join(name), control.join("overrides.jsonl"));
    let failed = |source| RecordError::Mount { path: path.clone(), source };
    fs::write(&aside, lines).map_err(failed)?;
    fs::rename(&aside, &path).map_err(|source| {
        drop(fs::remove_file(&aside));
        match (source.raw_os_error(), last_error(&control)) {
            (Some(libc::EINVAL), Some(reason)) => RecordError::Refused { mount: mount.to_owned(), reason },
            _ => RecordError::Mount { path: path.clone(), source },
        }
    })
}

fn last_error(control: &Path) -> Option<String> {
    let status = fs::read(control.join("status.json")).ok()?;
    let status: serde_json::Value = serde_json::from_slice(&status).ok()?;
    status["last_error"].as_str().map(str::to_owned)
}
