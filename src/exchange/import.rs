//! What an index says into the store, so that its labels show at once; no original is opened.
//!
//! A record of the model in use, as `drumfs worker` and `index.jsonl` of another machine have it, counts as heard: its
//! logits are `T ln p` with the temperature T of the calibration in force, of which the same probabilities come again
//! (softmax of `z / T`, see [`crate::classify::calibration`]). The word of any other model is kept under an id of its own,
//! `imported:<model>`, as `ln p` of the leading model's labels; it counts until the models in use have heard the content.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::record::{Form, Record};
use crate::archive::discover::mtime_ns;
use crate::archive::identity::ContentHasher;
use crate::archive::{ArchiveRoot, ContentHash, HashAlgorithm};
use crate::classify::{Classifier, Ensemble, Labels, Mean, Vote, Votes, fuse};
use crate::index::{Analysis, Status};
use crate::store::{ImportedModel, SampleEntry, Store, StoreError};

/// A probability below this counts as this: the logarithm of nothing is no number.
const LEAST: f32 = 1e-12;

/// So many records are written at a time.
const BATCH: usize = 1024;

/// What the older pipeline's model is called, which does not say its name.
pub const OLDER: &str = "older-pipeline";

/// What became of the records.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub struct Imported {
    /// Records read.
    pub records: u64,
    /// Samples whose analysis counts as heard: it is of the model in use.
    pub heard: u64,
    /// Samples that show a label of another model until they are heard.
    pub labelled: u64,
    /// Duplicates of the older pipeline: they have the label of their content.
    pub duplicates: u64,
    /// Files that could not be heard.
    pub failed: u64,
    /// Samples that were imported before, just so.
    pub same: u64,
    /// Samples that the store knows better already.
    pub known: u64,
    /// Records of files that are not in the archive.
    pub absent: u64,
    /// Records of files that have another size or, of the model in use, another time now.
    pub changed: u64,
    /// Records with a label but no hash: the store has no place for them until they are heard.
    pub no_hash: u64,
    /// Records whose labels mean nothing here, by label; the first of each is counted.
    pub unknown_labels: BTreeMap<String, u64>,
    /// Whether contents are named by another algorithm than the one in use.
    pub other_algorithm: Option<&'static str>,
}

/// Imports records.
pub struct Importer<'a> {
    store: &'a Store,
    root: &'a ArchiveRoot,
    ensemble: &'a Ensemble,
    algorithm: HashAlgorithm,
    /// What models are called that do not say their name.
    name: String,
    /// The models of which the store knows already.
    models: HashMap<String, String>,
    /// What lists of labels mean among the leading model's.
    votes: HashMap<Vec<String>, Option<Votes>>,
    at: f64,
    dry: bool,
    /// Whether originals are read whose records have no hash.
    hashes: bool,
    analyses: Vec<(ContentHash, String, Analysis)>,
    samples: Vec<(Vec<u8>, SampleEntry)>,
    done: Imported,
}

/// What is at a record's path.
enum Here {
    /// Nothing, or no file.
    Absent,
    /// Another file than the record's.
    Changed,
    /// The file: its path, size and time.
    File(Vec<u8>, u64, i64),
}

impl<'a> Importer<'a> {
    /// Into the store of an archive. `algorithm` is what names contents here, `name` stands for models that do not say
    /// theirs; a `dry` one writes nothing.
    pub fn new(
        store: &'a Store,
        root: &'a ArchiveRoot,
        ensemble: &'a Ensemble,
        algorithm: HashAlgorithm,
        name: String,
        dry: bool,
    ) -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        Self {
            store,
            root,
            ensemble,
            algorithm,
            name,
            models: HashMap::new(),
            votes: HashMap::new(),
            at,
            dry,
            hashes: false,
            analyses: Vec::new(),
            samples: Vec::new(),
            done: Imported::default(),
        }
    }

    /// The same, which reads originals whose records have no hash.
    pub fn hashing(self) -> Self {
        Self { hashes: true, ..self }
    }

    /// Takes a record, whose probabilities are in the order of `labels`.
    ///
    /// # Errors
    /// Where the store can't be read or written.
    pub fn take(&mut self, record: &Record, labels: Option<&[String]>) -> Result<(), StoreError> {
        self.done.records += 1;
        if record.sample.status == Status::Missing {
            self.done.absent += 1;
            return Ok(());
        }
        let own = self.own_model(record).map(Classifier::model_id);
        let (path, size, mtime) = match self.here(record, own.is_some()) {
            Here::Absent => {
                self.done.absent += 1;
                return Ok(());
            }
            Here::Changed => {
                self.done.changed += 1;
                return Ok(());
            }
            Here::File(path, size, mtime) => (path, size, mtime),
        };
        if self.is_known(&path, size, mtime)? {
            self.done.known += 1;
            return Ok(());
        }
        let mut entry =
            SampleEntry { size, mtime_ns: mtime, hash: record.sample.hash, unreadable: None, missing: false };
        if self.hashes && entry.hash.is_none() && entry.unreadable.is_none() && record.sample.error.is_none() {
            entry.hash = self.hash_of(&path, size).ok();
        }
        let Some(hash) = entry.hash else {
            match &record.sample.error {
                Some(error) => {
                    entry.unreadable = Some(error.to_string());
                    if self.is_there(&path, &entry, None)? {
                        return Ok(());
                    }
                    self.done.failed += 1;
                    self.samples.push((path, entry));
                    return self.write_if(BATCH);
                }
                None => self.done.no_hash += 1,
            }
            return Ok(());
        };
        if hash.algorithm() != self.algorithm {
            self.done.other_algorithm = Some(hash.algorithm().name());
        }
        let said = match own {
            Some(model) => Some((model.to_owned(), self.own_analysis(record))),
            None => self.analysis(record, labels)?,
        };
        if said.is_none() && !record.skipped_duplicate {
            return Ok(());
        }
        if self.is_there(&path, &entry, said.as_ref().map(|(model, analysis)| (&hash, &model[..], analysis)))? {
            return Ok(());
        }
        match (&said, record.skipped_duplicate) {
            (None, _) => self.done.duplicates += 1,
            (Some((_, analysis)), _) if analysis.status.is_error() => self.done.failed += 1,
            (Some(_), _) if own.is_some() => self.done.heard += 1,
            (Some(_), _) => self.done.labelled += 1,
        }
        self.analyses.extend(said.map(|(model, analysis)| (hash, model, analysis)));
        self.samples.push((path, entry));
        self.write_if(BATCH)
    }

    /// Writes what is left, and says what became of all.
    ///
    /// # Errors
    /// Where the store can't be written.
    pub fn finish(mut self) -> Result<Imported, StoreError> {
        self.write_if(1)?;
        if !self.dry {
            self.store.flush()?;
        }
        Ok(self.done)
    }

    fn write_if(&mut self, enough: usize) -> Result<(), StoreError> {
        if self.samples.len() < enough {
            return Ok(());
        }
        if !self.dry {
            let analyses: Vec<_> = self.analyses.iter().map(|(hash, model, said)| (*hash, &model[..], said)).collect();
            let samples: Vec<_> = self.samples.iter().map(|(path, entry)| (&path[..], entry)).collect();
            self.store.record(&analyses, &samples)?;
        }
        self.analyses.clear();
        self.samples.clear();
        Ok(())
    }

    /// The model in use where the record is of it, alone, and its probabilities tell its logits.
    fn own_model(&self, record: &Record) -> Option<&'a Classifier> {
        let (leading, probs) = (self.ensemble.leading(), record.sample.probs.len());
        let alone = self.ensemble.members().len() == 1 && self.ensemble.gate().is_none();
        let same = record.form == Form::Drumfs
            && record.model.as_deref() == Some(self.ensemble.id())
            && record.features.as_deref() == Some(&leading.description().features[..]);
        // Curves of single labels can't be turned back.
        let told = leading.calibration().platt.is_empty() && (probs == leading.labels().len() || probs == 0);
        let complete = record.sample.status.is_error() || probs > 0;
        (alone && same && told && complete && record.sample.hash.is_some()).then_some(leading)
    }

    fn own_analysis(&self, record: &Record) -> Analysis {
        let temperature = self.ensemble.leading().calibration().temperature;
        let logits = record.sample.probs.iter().map(|p| temperature * p.max(LEAST).ln()).collect();
        analysis(record, logits)
    }

    /// What another model said, under its id.
    fn analysis(
        &mut self,
        record: &Record,
        labels: Option<&[String]>,
    ) -> Result<Option<(String, Analysis)>, StoreError> {
        let failed = record.sample.status.is_error();
        let probabilities = if failed { Some(Vec::new()) } else { self.probabilities(record, labels) };
        let Some(probabilities) = probabilities else { return Ok(None) };
        let logits = probabilities.into_iter().map(|p| p.max(LEAST).ln()).collect();
        let id = self.model(record.model.as_deref())?;
        Ok(Some((id, analysis(record, logits))))
    }

    /// The id under which a model's word is kept.
    fn model(&mut self, name: Option<&str>) -> Result<String, StoreError> {
        let name = name.filter(|name| !name.is_empty()).unwrap_or(&self.name);
        if let Some(id) = self.models.get(name) {
            return Ok(id.clone());
        }
        // Of an index that drumfs exported from a store that had it imported itself.
        let plain = name.strip_prefix(ImportedModel::PREFIX).unwrap_or(name);
        let model = ImportedModel::new(plain, self.ensemble.labels().names().to_vec(), self.at);
        if !self.dry {
            self.store.put_imported_model(&model)?;
        }
        self.models.insert(name.to_owned(), model.id.clone());
        Ok(model.id)
    }

    /// Probabilities of the leading model's labels: of all labels of the model that heard it, or of the best that the
    /// line names, with what is left divided among all others.
    fn probabilities(&mut self, record: &Record, labels: Option<&[String]>) -> Option<Vec<f32>> {
        let probs = &record.sample.probs;
        let leading = self.ensemble.labels().names();
        let at = |label: &str| leading.iter().position(|known| known.eq_ignore_ascii_case(label));
        if let Some(labels) = labels.filter(|labels| labels.len() == probs.len() && !probs.is_empty()) {
            // A model with some of the same labels: what it can't name, it has not heard.
            if let Some(places) = labels.iter().map(|label| at(label)).collect::<Option<Vec<usize>>>() {
                let mut all = vec![0.0; leading.len()];
                for (place, p) in places.into_iter().zip(probs.iter()) {
                    if let Some(slot) = all.get_mut(place) {
                        *slot += p;
                    }
                }
                return Some(all);
            }
            if let Some(votes) = self.votes(labels) {
                return Some(fuse(&[Vote { weight: 1.0, votes, probabilities: probs }], Mean::Arithmetic));
            }
            self.unknown(record);
            return None;
        }
        let mut named: Vec<(String, f32)> = record.topk.clone();
        if named.is_empty() {
            named.extend(record.label_top1.clone().zip(record.conf_top1));
        }
        if named.is_empty() {
            return None;
        }
        let known: Vec<(usize, f32)> = named.iter().filter_map(|(label, p)| Some((at(label)?, *p))).collect();
        if known.len() != named.len() {
            // One of a coarser model: what its labels mean is told by their names.
            let names: Vec<String> = named.iter().map(|(label, _)| label.clone()).collect();
            let probabilities: Vec<f32> = named.iter().map(|(_, p)| *p).collect();
            if let Some(votes) = self.votes(&names) {
                let vote = Vote { weight: 1.0, votes, probabilities: &probabilities };
                return Some(fuse(&[vote], Mean::Arithmetic));
            }
            self.unknown(record);
            return None;
        }
        let sum: f32 = known.iter().map(|(_, p)| p).sum();
        let rest = (1.0 - sum).max(0.0) / (leading.len() - known.len()).max(1) as f32;
        let mut all = vec![rest; leading.len()];
        for (place, p) in known {
            if let Some(slot) = all.get_mut(place) {
                *slot = p;
            }
        }
        Some(all)
    }

    /// What labels mean among the leading model's; none where they mean nothing.
    fn votes(&mut self, labels: &[String]) -> Option<&Votes> {
        if !self.votes.contains_key(labels) {
            let list = serde_json::to_string(labels).unwrap_or_default();
            let own = Labels::parse(&list, "{}").ok();
            let votes = own.and_then(|own| Votes::new(&own, self.ensemble.labels(), &BTreeMap::new()).ok());
            self.votes.insert(labels.to_vec(), votes);
        }
        self.votes.get(labels).and_then(Option::as_ref)
    }

    fn unknown(&mut self, record: &Record) {
        let label = record.label_top1.clone().unwrap_or_else(|| "?".to_owned());
        // A file that names a million labels names none.
        if self.done.unknown_labels.len() < 100 || self.done.unknown_labels.contains_key(&label) {
            *self.done.unknown_labels.entry(label).or_default() += 1;
        }
    }

    /// The file that a record is of: at its path in the archive, or at its absolute one where that is in the archive.
    fn here(&self, record: &Record, exact: bool) -> Here {
        let root = self.root.path().as_os_str().as_bytes();
        let below = |path: &[u8]| path.strip_prefix(root)?.strip_prefix(b"/").map(<[u8]>::to_vec);
        let candidates = [Some(record.sample.path.to_vec()), record.abs_path.as_deref().and_then(below)];
        for path in candidates.into_iter().flatten().filter(|path| is_plain(path)) {
            let Ok(metadata) = fs::symlink_metadata(self.root.absolute(&path)) else { continue };
            if !metadata.is_file() {
                continue;
            }
            let (size, mtime) = (metadata.len(), mtime_ns(&metadata));
            // What counts as heard is not heard again: there the time has to be the same, too.
            let same = size == record.sample.size && (!exact || is_same_time(mtime, record.sample.mtime_ns));
            return if same || !record.has_stat { Here::File(path, size, mtime) } else { Here::Changed };
        }
        Here::Absent
    }

    /// The content of an original that has this size.
    fn hash_of(&self, path: &[u8], size: u64) -> io::Result<ContentHash> {
        let (mut hasher, mut read) = (ContentHasher::new(self.algorithm), 0);
        let mut file = self.root.open(path)?;
        let mut block = vec![0; 1 << 16];
        loop {
            let bytes = match file.read(&mut block)? {
                0 => break,
                count => block.get(..count).unwrap_or_default(),
            };
            hasher.update(bytes);
            read += bytes.len() as u64;
        }
        match read == size {
            true => Ok(hasher.finish()),
            false => Err(io::Error::other("it has changed meanwhile")),
        }
    }

    /// Whether the store has all of it already, as after an import before. It is counted then.
    fn is_there(
        &mut self,
        path: &[u8],
        entry: &SampleEntry,
        said: Option<(&ContentHash, &str, &Analysis)>,
    ) -> Result<bool, StoreError> {
        let mut same = self.store.sample(path)?.is_some_and(|known| known == *entry);
        if let (true, Some((hash, model, analysis))) = (same, said) {
            same = self.store.analysis(hash, model)?.is_some_and(|known| known == *analysis);
        }
        // What was read before in this file and is not written yet comes between.
        let pending = |(known, written): &(Vec<u8>, SampleEntry)| known == path || written.hash == entry.hash;
        same &= !self.samples.iter().any(pending);
        self.done.same += u64::from(same);
        Ok(same)
    }

    /// Whether the store knows a file as it is now, and the models have heard it.
    fn is_known(&self, path: &[u8], size: u64, mtime: i64) -> Result<bool, StoreError> {
        let Some(entry) = self.store.sample(path)? else { return Ok(false) };
        let (true, Some(hash)) = ((entry.size, entry.mtime_ns, entry.missing) == (size, mtime, false), entry.hash)
        else {
            return Ok(false);
        };
        for model in self.ensemble.models() {
            if !self.store.has_analysis(&hash, model.model_id())? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether two times in nanoseconds are the same, one of which may have been a 64-bit float of seconds on its way, as it
/// is in every program that reads and writes JSON: those are a quarter of a microsecond apart until 2106.
fn is_same_time(here: i64, there: i64) -> bool {
    here.abs_diff(there) < 500
}

/// Whether a path leads nowhere but below the archive.
fn is_plain(path: &[u8]) -> bool {
    !path.is_empty() && path.split(|&byte| byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

fn analysis(record: &Record, logits: Vec<f32>) -> Analysis {
    let sample = &record.sample;
    Analysis {
        status: sample.status,
        error: sample.error.as_deref().map(str::to_owned),
        attributes: sample.attributes,
        logits,
        embedding: None,
    }
}
