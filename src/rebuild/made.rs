//! The files of a tree that drumfs makes: those of the view, and what a run adds to them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use super::disk::{Found, Root};
use super::ledger::{self, Ledger, text_of};
use super::link::Link;
use super::plan::Plan;
use super::problem::{Kind, Problem};
use super::step::Last;
use crate::calendar::utc;
use crate::view::Generated;

/// The list of what could not be put there: one JSON object a line, with `path` in the tree, `from`, `kind` and `error`.
pub const ERRORS_NAME: &str = "_rebuild_errors.jsonl";

/// A file that drumfs makes or made, as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    Nothing,
    File { hash: u64, is_mine: bool },
    Other,
}

/// The files that drumfs makes, beside what is there.
#[derive(Debug)]
pub(super) struct Files {
    now: BTreeMap<Vec<u8>, Now>,
    wanted: BTreeSet<Vec<u8>>,
}

/// One that is to be written.
#[derive(Debug)]
pub(super) struct ToWrite {
    pub path: Vec<u8>,
    text: Vec<u8>,
    pub hash: u64,
    is_new: bool,
}

/// What the text of some of the files depends on, beside the view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub out: &'a Path,
    pub index: Option<&'a Path>,
    pub link: Link,
    /// Samples that are where they should be.
    pub emitted: u64,
    /// Ordered by path.
    pub problems: &'a [Problem],
}

impl Files {
    /// Looks at the files of a plan, and at those that drumfs made before.
    ///
    /// # Errors
    /// What the system says.
    pub fn look(plan: &Plan<'_>, root: Option<&Root>, ledger: Option<&Ledger>) -> io::Result<Self> {
        let of_view = plan.made.iter().map(|(path, _)| path.as_bytes().to_vec());
        let wanted: BTreeSet<Vec<u8>> = of_view.chain([ERRORS_NAME.as_bytes().to_vec()]).collect();
        let before = ledger.into_iter().flat_map(|ledger| ledger.made.iter().map(|made| made.path.to_vec()));
        let mut last = Last::new(root);
        let mut now = BTreeMap::new();
        for path in wanted.iter().cloned().chain(before) {
            if let Entry::Vacant(place) = now.entry(path) {
                let found = look_at(&mut last, place.key(), ledger)?;
                place.insert(found);
            }
        }
        Ok(Self { now, wanted })
    }

    /// Those that are drumfs's as they are, and whether they are still wanted: path, hash, wanted.
    pub fn mine(&self) -> impl Iterator<Item = (&[u8], u64, bool)> {
        self.now.iter().filter_map(|(path, now)| match now {
            Now::File { hash, is_mine: true } => Some((&path[..], *hash, self.wanted.contains(path))),
            _ => None,
        })
    }

    /// Those that are wanted no more: drumfs's own, which go, and others, which stay.
    pub fn unwanted(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.now.iter().filter(|(path, _)| !self.wanted.contains(*path)).filter_map(|(path, now)| match now {
            Now::File { is_mine, .. } => Some((&path[..], *is_mine)),
            Now::Other => Some((&path[..], false)),
            Now::Nothing => None,
        })
    }

    /// Those that are to be written, and those that something else is in the way of.
    ///
    /// # Errors
    /// What the system says.
    pub fn to_write(
        &self,
        plan: &Plan<'_>,
        root: Option<&Root>,
        facts: &Facts<'_>,
    ) -> io::Result<(Vec<ToWrite>, Vec<Problem>)> {
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        for (path, file) in &plan.made {
            let text = match file {
                Generated::Summary => self.summary(plan, root, path, facts)?,
                file => plan.view().generated_text(*file).map(|text| text.to_vec()).unwrap_or_default(),
            };
            match self.beside(path.as_bytes(), text) {
                Ok(file) => files.extend(file),
                Err(problem) => problems.push(problem),
            }
        }
        let text = lines(facts.problems.iter().chain(&problems));
        match self.beside(ERRORS_NAME.as_bytes(), text) {
            Ok(file) => files.extend(file),
            Err(problem) => problems.push(problem),
        }
        Ok((files, problems))
    }

    /// A file to write; none where it is there already.
    fn beside(&self, path: &[u8], text: Vec<u8>) -> Result<Option<ToWrite>, Problem> {
        let hash = ledger::hash(&text);
        let is_new = match self.now.get(path) {
            None | Some(Now::Nothing) => true,
            Some(Now::File { hash: is, .. }) if *is == hash => return Ok(None),
            Some(Now::File { is_mine: true, .. }) => false,
            Some(Now::File { .. } | Now::Other) => {
                let error = "something that drumfs did not make, or that was changed since, has the name".to_owned();
                return Err(Problem { path: path.to_vec(), from: Vec::new(), kind: Kind::InTheWay, error });
            }
        };
        Ok(Some(ToWrite { path: path.to_vec(), text, hash, is_new }))
    }

    /// `_rebuild_summary.json`, with the keys of the pipeline that copied files. Its time is that of the last change: a
    /// run that changes nothing else leaves it.
    fn summary(&self, plan: &Plan<'_>, root: Option<&Root>, path: &str, facts: &Facts<'_>) -> io::Result<Vec<u8>> {
        let numbers = plan.view().numbers();
        let of_kind = |kind: Kind| facts.problems.iter().filter(|problem| problem.kind == kind).count() as u64;
        let mut stats = numbers.old_stats();
        stats.insert("emitted", facts.emitted);
        stats.insert("missing_source", numbers.missing + of_kind(Kind::Missing));
        stats.insert("copy_errors", facts.problems.len() as u64 - of_kind(Kind::Missing));
        let mut summary = Summary {
            timestamp: iso(SystemTime::now()),
            index_path: facts.index.map(|path| path.to_string_lossy().into_owned()),
            output_root: facts.out.to_string_lossy().into_owned(),
            copy_mode: facts.link.name(),
            stats,
            class_counts: &numbers.folders,
            reasons: &numbers.reasons,
        };
        if let Some(Now::File { is_mine: true, .. }) = self.now.get(path.as_bytes()) {
            let before = read(&mut Last::new(root), path.as_bytes())?;
            if let Some(timestamp) = timestamp(&before) {
                let new = std::mem::replace(&mut summary.timestamp, timestamp);
                if json(&summary)? == before {
                    return Ok(before);
                }
                summary.timestamp = new;
            }
        }
        json(&summary)
    }
}

impl ToWrite {
    /// Writes the file: whole, or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, root: &Root, temporary: &[u8]) -> io::Result<()> {
        let (folder, name) = ledger::key(&self.path);
        let folder = root.folder(folder)?;
        let write = || {
            folder.create(temporary, 0o666)?.write_all(&self.text)?;
            if self.is_new { folder.rename_new(temporary, name) } else { folder.rename_over(temporary, name) }
        };
        write().inspect_err(|_| drop(folder.remove(temporary)))
    }
}

fn look_at(last: &mut Last<'_>, path: &[u8], ledger: Option<&Ledger>) -> io::Result<Now> {
    Ok(match last.look(path)? {
        Found::Nothing => Now::Nothing,
        Found::File(_) => {
            let bytes = read(last, path)?;
            let is_mine = ledger.is_some_and(|ledger| ledger.has_made(path, &bytes));
            Now::File { hash: ledger::hash(&bytes), is_mine }
        }
        _ => Now::Other,
    })
}

/// The bytes of a file that drumfs may have made.
///
/// # Errors
/// What the system says.
pub(super) fn read(last: &mut Last<'_>, path: &[u8]) -> io::Result<Vec<u8>> {
    let (folder, name) = ledger::key(path);
    let mut bytes = Vec::new();
    last.folder(folder)?.read(name)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[derive(Serialize)]
struct Summary<'a> {
    timestamp: String,
    index_path: Option<String>,
    output_root: String,
    copy_mode: &'a str,
    stats: BTreeMap<&'a str, u64>,
    class_counts: &'a BTreeMap<String, u64>,
    reasons: &'a BTreeMap<&'static str, u64>,
}

fn json(summary: &Summary<'_>) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(summary)?;
    text.push(b'\n');
    Ok(text)
}

fn timestamp(summary: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Timestamp {
        timestamp: String,
    }
    serde_json::from_slice::<Timestamp>(summary).ok().map(|of| of.timestamp)
}

/// Problems as lines of [`ERRORS_NAME`].
fn lines<'p>(problems: impl Iterator<Item = &'p Problem>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a> {
        path: std::borrow::Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path_bytes: Option<String>,
        #[serde(skip_serializing_if = "str::is_empty")]
        from: std::borrow::Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        from_bytes: Option<String>,
        kind: Kind,
        error: &'a str,
    }
    let mut text = Vec::new();
    for problem in problems {
        let (path, path_bytes) = text_of(&problem.path);
        let (from, from_bytes) = text_of(&problem.from);
        let line = Line { path, path_bytes, from, from_bytes, kind: problem.kind, error: &problem.error };
        // Strings can't fail to be written.
        text.extend(serde_json::to_vec(&line).unwrap_or_default());
        text.push(b'\n');
    }
    text
}

/// A time as ISO 8601 writes it, in UTC.
fn iso(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    utc(seconds as f64).replace(' ', "T")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_those_that_date_prints() {
        let at = |seconds| iso(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_764_000_000), "2025-11-24T16:00:00Z");
        assert_eq!(at(4_102_444_799), "2099-12-31T23:59:59Z");
    }
}
