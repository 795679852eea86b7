//! Several indexes as one catalogue, by content.
//!
//! For each place (a file by its absolute path) the record of its latest state stays; for each content one analysis, the
//! newest. Both are found by sorting on disk, so memory does not grow with the number of records. The order of inputs
//! plays no part, and aggregating what came out gives the same again.
//!
//! Of analyses of one content the first of these decides which is the newer:
//!
//! 1. a person's word (an override) before any model's;
//! 2. the later one in the list of models that was asked for;
//! 3. the model in use here before others;
//! 4. a model that says its name before the older pipeline, which does not;
//! 5. the later run.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::record::{Probs, Record};
use super::sort::Sorter;
use crate::archive::ContentHash;
use crate::calendar::utc;
use crate::index::Status;
use crate::store::ImportedModel;

/// The run of what a store knows: later than that of any file.
pub const STORE_RUN: &str = "store";

/// So many bytes of a run's name count.
const RUN_LEN: usize = 40;

/// What came of it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Aggregated {
    /// Records read.
    pub records: u64,
    /// Records written: one a file.
    pub files: u64,
    /// Contents among them.
    pub contents: u64,
    /// Files that could not be heard.
    pub failed: u64,
    /// Records that another one of the same file took the place of.
    pub superseded: u64,
    /// Contents that got different labels.
    pub conflicts: u64,
    /// Contents by the model whose word counts.
    pub models: BTreeMap<String, u64>,
}

/// A content that got different labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conflict {
    /// The content.
    pub hash: String,
    /// What made the hash.
    pub hash_algorithm: &'static str,
    /// What was said, the word that counts first; each label once.
    pub said: Vec<Word>,
}

/// What was said of a content.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Word {
    /// The fine label, or a person's.
    pub label: String,
    /// Its probability, where a model said it.
    pub confidence: Option<f32>,
    /// Whether a person said it.
    pub overridden: bool,
    /// The model.
    pub model: Option<String>,
    /// The run.
    pub run: Option<String>,
    /// A file with the content, of which it was said.
    pub path: String,
}

/// Which models are newer than others.
#[derive(Debug, Clone, Default)]
pub struct Age {
    /// Models from the oldest to the newest, as far as somebody says.
    pub models: Vec<String>,
    /// The model in use.
    pub in_use: String,
}

impl Age {
    /// A key that is the smaller, the newer an analysis is.
    fn key(&self, record: &Record) -> Vec<u8> {
        let model = record.model.as_deref().unwrap_or_default();
        let asked = self.models.iter().position(|known| known == model).map_or(0, |place| place + 1);
        let ranks = [
            u8::from(record.is_said()),
            u8::try_from(asked).unwrap_or(u8::MAX),
            u8::from(model == self.in_use),
            u8::from(!model.is_empty() && !model.starts_with(ImportedModel::PREFIX)),
        ];
        let run = record.run.as_deref().unwrap_or_default().bytes().chain(std::iter::repeat(0)).take(RUN_LEN);
        ranks.into_iter().chain(run).map(|byte| !byte).collect()
    }
}

/// Puts records together.
pub struct Aggregator {
    age: Age,
    places: Sorter,
    folder: PathBuf,
    /// The folder of the record before, as its line had it, and where it is.
    last: Option<(PathBuf, Option<PathBuf>)>,
    done: Aggregated,
}

/// What an entry of the second sort is: analyses come before the places of their content.
const ANALYSIS: u8 = 0;
const PLACE: u8 = 1;

/// Before the keys of contents that have none.
const UNREAD: u8 = 0xFF;

/// Tells the file of a record from others. A line of JSON carries an absolute path that is not UTF-8 with U+FFFD in it, and
/// only the relative one whole: the same has to come out of a record before it is written and after.
fn place(record: &Record) -> Vec<u8> {
    let relative = || record.sample.path.to_vec();
    let Some(absolute) = &record.abs_path else { return relative() };
    let shown = String::from_utf8_lossy(absolute);
    match shown.contains(char::REPLACEMENT_CHARACTER) {
        true => [shown.as_bytes(), b"\0", &relative()].concat(),
        false => absolute.clone(),
    }
}

impl Aggregator {
    /// One that puts aside in `folder` what memory does not hold.
    pub fn new(folder: &Path, age: Age) -> Self {
        Self { age, places: Sorter::new(folder), folder: folder.to_owned(), last: None, done: Aggregated::default() }
    }

    /// The absolute path of a record that has it relative to the folder that the older pipeline was started in: where there
    /// is such a folder from here on.
    fn locate(&mut self, record: &mut Record) {
        let Some(path) = record.abs_path.as_deref().map(|path| Path::new(OsStr::from_bytes(path))) else { return };
        let (true, Some(folder), Some(name)) = (path.is_relative(), path.parent(), path.file_name()) else { return };
        if self.last.as_ref().is_none_or(|(known, _)| known != folder) {
            let real = Path::new(".").join(folder).canonicalize().ok();
            self.last = Some((folder.to_owned(), real));
        }
        if let Some((_, Some(real))) = &self.last {
            record.abs_path = Some(real.join(name).into_os_string().into_vec());
        }
    }

    /// Takes a record, heard in `run` where it does not say so itself.
    ///
    /// # Errors
    /// Where the disk is full.
    pub fn take(&mut self, mut record: Record, run: &str) -> io::Result<()> {
        self.done.records += 1;
        self.locate(&mut record);
        if record.run.is_none() {
            record.run = Some(run.to_owned());
        }
        self.places.push(place(&record), record.line(Probs::Floats))
    }

    /// Gives the records one after the other, ordered by content and path, and tells of conflicts.
    ///
    /// # Errors
    /// Where the disk fails, or `each` or `tell` does.
    pub fn finish(
        mut self,
        each: &mut dyn FnMut(&Record) -> io::Result<()>,
        tell: &mut dyn FnMut(&Conflict) -> io::Result<()>,
    ) -> io::Result<Aggregated> {
        let mut contents = Sorter::new(&self.folder);
        let places = std::mem::replace(&mut self.places, Sorter::new(&self.folder));
        let mut group: Vec<Record> = Vec::new();
        let mut at: Option<Vec<u8>> = None;
        for entry in places.sorted()? {
            let (place, line) = entry?;
            if at.as_ref() != Some(&place) {
                self.settle(&mut group, &mut contents)?;
                at = Some(place);
            }
            group.push(parsed(&line)?);
        }
        self.settle(&mut group, &mut contents)?;
        self.join(contents, each, tell)?;
        Ok(self.done)
    }

    /// Chooses among the records of one file.
    fn settle(&mut self, group: &mut Vec<Record>, contents: &mut Sorter) -> io::Result<()> {
        let state = |record: &Record| {
            let sample = &record.sample;
            // What was read tells more than what was not, and a later time is that of the file as it is.
            (sample.hash.is_some(), sample.status != Status::Missing, record.has_stat, sample.mtime_ns)
        };
        let newest = |record: &Record| std::cmp::Reverse((self.age.key(record), record.line(Probs::Floats)));
        let latest = group.iter().max_by_key(|record| (state(record), has_word(record), newest(record)));
        let Some(latest) = latest.cloned() else { return Ok(()) };
        self.done.superseded += group.len() as u64 - 1;
        for record in group.drain(..) {
            if record.sample.hash == latest.sample.hash && has_word(&record) {
                let mut key = content_key(&record);
                key.push(ANALYSIS);
                key.extend(self.age.key(&record));
                contents.push(key, record.line(Probs::Floats))?;
            }
        }
        let mut key = content_key(&latest);
        key.push(PLACE);
        key.extend_from_slice(&latest.sample.path);
        contents.push(key, latest.line(Probs::Floats))
    }

    fn join(
        &mut self,
        contents: Sorter,
        each: &mut dyn FnMut(&Record) -> io::Result<()>,
        tell: &mut dyn FnMut(&Conflict) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut content: Option<Vec<u8>> = None;
        let mut best: Option<Record> = None;
        let mut said: Vec<Word> = Vec::new();
        let mut told = |best: &Option<Record>, said: &mut Vec<Word>, done: &mut Aggregated| {
            let said = std::mem::take(said);
            if let (Some(hash), true) = (best.as_ref().and_then(|best| best.sample.hash), said.len() > 1) {
                done.conflicts += 1;
                let hash_algorithm = hash.algorithm().name();
                tell(&Conflict { hash: hash.to_hex(), hash_algorithm, said })?;
            }
            Ok::<(), io::Error>(())
        };
        for entry in contents.sorted()? {
            let (sorted_by, line) = entry?;
            let record = parsed(&line)?;
            let key = content_key(&record);
            if content.as_ref() != Some(&key) {
                told(&best, &mut said, &mut self.done)?;
                best = None;
                self.done.contents += u64::from(record.sample.hash.is_some());
            }
            let is_analysis = sorted_by.get(key.len()) == Some(&ANALYSIS);
            content = Some(key);
            if is_analysis {
                let word = word(&record);
                if !said.iter().any(|known| word.as_ref().is_some_and(|word| word.label == known.label)) {
                    said.extend(word);
                }
                if best.is_none() {
                    *self.done.models.entry(record.model.clone().unwrap_or_default()).or_default() += 1;
                    best = Some(record);
                }
                continue;
            }
            let whole = best.as_ref().map_or_else(|| record.clone(), |best| joined(&record, best));
            self.done.files += 1;
            self.done.failed += u64::from(whole.sample.status.is_error());
            each(&whole)?;
        }
        told(&best, &mut said, &mut self.done)
    }
}

fn parsed(line: &[u8]) -> io::Result<Record> {
    Record::parse(line.trim_ascii()).map_err(|error| io::Error::other(format!("a part put aside is damaged: {error}")))
}

/// What a record is sorted by: its content, or its place where it has none.
fn content_key(record: &Record) -> Vec<u8> {
    record.sample.hash.as_ref().map_or_else(
        || {
            let place = record.abs_path.as_deref().unwrap_or(&record.sample.path);
            // Ended by what no path has in it, so that none is the beginning of another.
            [&[UNREAD], place, &[0]].concat()
        },
        ContentHash::key,
    )
}

/// Whether a record says something of its content, and be it that it can't be heard.
fn has_word(record: &Record) -> bool {
    let sample = &record.sample;
    let told = !sample.probs.is_empty() || record.label_top1.is_some() || record.is_said();
    let failed = sample.status.is_error() && sample.status != Status::Missing;
    sample.hash.is_some() && !record.skipped_duplicate && (told || failed)
}

fn word(record: &Record) -> Option<Word> {
    Some(Word {
        label: record.fine_label()?.to_owned(),
        confidence: record.conf_top1.filter(|_| !record.is_said()),
        overridden: record.is_said(),
        model: record.model.clone(),
        run: record.run.clone(),
        path: String::from_utf8_lossy(record.abs_path.as_deref().unwrap_or(&record.sample.path)).into_owned(),
    })
}

/// A file with the analysis of its content that counts. Where that is its own, nothing changes; else it is also placed
/// as the file of the analysis was.
fn joined(place: &Record, best: &Record) -> Record {
    let same = has_word(place)
        && (&place.model, &place.run, &place.sample.probs, &place.label_top1, place.is_said())
            == (&best.model, &best.run, &best.sample.probs, &best.label_top1, best.is_said());
    if same || place.sample.status == Status::Missing {
        return place.clone();
    }
    let mut whole = best.clone();
    whole.sample.path = place.sample.path.clone();
    whole.sample.size = place.sample.size;
    whole.sample.mtime_ns = place.sample.mtime_ns;
    whole.has_stat = place.has_stat;
    whole.abs_path = place.abs_path.clone();
    whole
}

/// The run of an index: the time in the name of a folder `run_20251005_145016`, as the older pipeline called them, or else
/// when the file was written (UTC).
pub fn run_of(path: &Path, written: Option<std::time::SystemTime>) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let named = absolute.components().rev().find_map(|part| stamp(&part.as_os_str().to_string_lossy()));
    let since = written.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let time = |since: std::time::Duration| utc(since.as_secs_f64().floor()).trim_end_matches('Z').replace(' ', "T");
    named.unwrap_or_else(|| since.map_or_else(String::new, time))
}

fn stamp(name: &str) -> Option<String> {
    let (date, time) = name.strip_prefix("run_")?.split_once('_')?;
    let digits = |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    if !(digits(date, 8) && digits(time, 6)) {
        return None;
    }
    let part = |text: &str, from: usize, to: usize| text.get(from..to).unwrap_or_default().to_owned();
    let date = [part(date, 0, 4), part(date, 4, 6), part(date, 6, 8)].join("-");
    Some(format!("{date}T{}", [part(time, 0, 2), part(time, 2, 4), part(time, 4, 6)].join(":")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_known_by_its_folder_or_by_its_time() {
        let run = |path: &str| run_of(Path::new(path), Some(std::time::UNIX_EPOCH));
        assert_eq!(run("/a/run_20251005_145016/index.jsonl"), "2025-10-05T14:50:16");
        assert_eq!(run("/a/run_x/index.jsonl"), "1970-01-01T00:00:00");
    }
}
