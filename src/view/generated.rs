//! The files of the view that drumfs makes: which there are, and the text of those that follow from the view alone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::assigned::Assigned;
use super::catalogue::Catalogue;
use super::sample::SampleRef;
use super::tree::View;
use crate::index::Status;
use crate::rules::{FolderId, Reason, Router};

/// A file that drumfs makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Generated {
    /// `_stats.json`
    Stats,
    /// `_rebuild_summary.json`
    Summary,
    /// `_errors.txt`
    Errors,
    /// `RULES-ERROR.txt`, only while the last save was refused.
    RulesError,
    /// `_manifests/<folder>.txt`
    Manifest(FolderId),
    /// `_control/rules.yml`
    Rules,
    /// `_control/overrides.jsonl`
    Overrides,
    /// `_control/index.jsonl`
    Index,
    /// `_control/status.json`
    Status,
    /// `_control/rescan`
    Rescan,
    /// `.metadata_never_index`: tells Spotlight to leave the mount alone.
    NeverIndex,
}

impl Generated {
    #[cfg(not(target_os = "macos"))]
    pub(super) const AT_ROOT: [Self; 4] = [Self::Stats, Self::Summary, Self::Errors, Self::RulesError];
    #[cfg(target_os = "macos")]
    pub(super) const AT_ROOT: [Self; 5] =
        [Self::Stats, Self::Summary, Self::Errors, Self::RulesError, Self::NeverIndex];
    pub(super) const CONTROL: [Self; 5] = [Self::Rules, Self::Overrides, Self::Index, Self::Status, Self::Rescan];

    /// The file's name.
    pub fn name(self, router: &Router) -> String {
        let path = self.path(router);
        path.rsplit_once('/').map(|(_, name)| name.to_owned()).unwrap_or_else(|| path.into_owned())
    }

    /// The file's path in the view.
    pub fn path(self, router: &Router) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Stats => "_stats.json",
            Self::Summary => "_rebuild_summary.json",
            Self::Errors => "_errors.txt",
            Self::RulesError => "RULES-ERROR.txt",
            Self::Rules => "_control/rules.yml",
            Self::Overrides => "_control/overrides.jsonl",
            Self::Index => "_control/index.jsonl",
            Self::Status => "_control/status.json",
            Self::Rescan => "_control/rescan",
            Self::NeverIndex => ".metadata_never_index",
            Self::Manifest(folder) => {
                let folder = router.folders().get(usize::from(folder)).map_or("", |folder| folder);
                return Cow::Owned(format!("_manifests/{folder}.txt"));
            }
        })
    }

    /// Whether the file takes writes.
    pub fn is_writable(self) -> bool {
        matches!(self, Self::Rules | Self::Overrides | Self::Rescan)
    }
}

/// Counts of one view.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub struct Numbers {
    /// Samples of the archive that are not missing.
    pub samples: u64,
    /// Those that could not be classified.
    pub failed: u64,
    /// Known samples that the last pass did not find.
    pub missing: u64,
    /// Samples that rules hide.
    pub hidden: u64,
    /// How many of them share their content with one before.
    pub duplicates: u64,
    /// Samples in each folder of the rules.
    pub folders: BTreeMap<String, u64>,
    /// Samples by the reason for their place.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Samples by how listening ended.
    pub statuses: BTreeMap<&'static str, u64>,
    /// Classified samples by their most probable fine label.
    pub fine_labels: BTreeMap<String, u64>,
    /// Bytes of all samples.
    pub bytes: u64,
    /// Seconds of all samples together.
    pub seconds: f64,
    /// Length of each manifest in bytes, by folder.
    #[serde(skip)]
    pub(super) manifest_len: Vec<u64>,
}

impl Numbers {
    /// The counts that the pipeline before drumfs wrote as `stats` of its `_rebuild_summary.json`, under its names.
    pub fn old_stats(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::from([
            ("total", self.samples),
            ("emitted", self.samples - self.hidden),
            ("errors", self.failed),
            ("hidden", self.hidden),
            ("duplicates", self.duplicates),
            ("missing_source", self.missing),
            ("overridden", self.reasons.get(Reason::Override.name()).copied().unwrap_or(0)),
        ])
    }

    /// Counts what [`assign`](super::assign) gave for a catalogue; `labels` are the fine ones in label order.
    pub fn count(catalogue: &Catalogue, router: &Router, assigned: &[Assigned], labels: &[String]) -> Self {
        let totals = catalogue.totals();
        let mut reasons = [0u64; Reason::ALL.len()];
        let mut folders = vec![0u64; router.folders().len()];
        let mut manifest_len = folders.clone();
        let chunks = catalogue.chunks().all().iter();
        let lines = chunks.flat_map(|chunk| (0..chunk.len()).map(|place| chunk.line_len(place)));
        for (line_len, assigned) in lines.zip(assigned) {
            if line_len == 0 {
                continue;
            }
            reasons[assigned.reason as usize] += 1;
            if assigned.reason != Reason::Hidden
                && let Some(count) = folders.get_mut(usize::from(assigned.folder))
            {
                *count += 1;
                manifest_len[usize::from(assigned.folder)] += line_len;
            }
        }
        let counted = |names: &[&'static str], counts: &[u64]| -> BTreeMap<&'static str, u64> {
            names.iter().copied().zip(counts.iter().copied()).filter(|(_, count)| *count > 0).collect()
        };
        Self {
            samples: totals.present,
            failed: totals.failed,
            missing: totals.missing,
            hidden: reasons[Reason::Hidden as usize],
            duplicates: totals.hashed - catalogue.by_hash().len() as u64,
            folders: router.folders().iter().cloned().zip(folders).collect(),
            reasons: counted(&Reason::ALL.map(Reason::name), &reasons),
            statuses: counted(&Status::ALL.map(Status::name), &totals.statuses),
            fine_labels: labels.iter().cloned().zip(totals.fine.iter().copied()).filter(|(_, n)| *n > 0).collect(),
            bytes: totals.bytes,
            seconds: totals.nanoseconds as f64 / 1e9,
            manifest_len,
        }
    }
}

/// A path as a line of a manifest: as it is, but that a newline in it is written `\n`.
pub(super) fn manifest_line(path: &[u8]) -> Cow<'_, [u8]> {
    if path.contains(&b'\n') {
        let mut line = Vec::with_capacity(path.len() + 8);
        for &byte in path {
            match byte {
                b'\n' => line.extend_from_slice(b"\\n"),
                _ => line.push(byte),
            }
        }
        Cow::Owned(line)
    } else {
        Cow::Borrowed(path)
    }
}

/// A sample's line in `_errors.txt`: status, path and reason, separated by tabs.
pub fn error_line(sample: SampleRef<'_>) -> Option<Vec<u8>> {
    if !sample.status.is_error() {
        return None;
    }
    let mut line = format!("{}\t", sample.status.name()).into_bytes();
    line.extend_from_slice(&manifest_line(sample.path));
    line.push(b'\t');
    line.extend_from_slice(sample.error.unwrap_or("").replace(['\n', '\t'], " ").as_bytes());
    Some(line)
}

impl View {
    /// Size in bytes of a generated file that follows from the view alone; none for those of `_control/`.
    pub fn generated_len(&self, file: Generated) -> Option<u64> {
        match file {
            Generated::Manifest(folder) => self.tree.numbers.manifest_len.get(usize::from(folder)).copied(),
            _ => self.generated_text(file).map(|text| text.len() as u64),
        }
    }

    /// The text of a generated file that follows from the view alone; none for those of `_control/`.
    pub fn generated_text(&self, file: Generated) -> Option<Arc<[u8]>> {
        let tree = &self.tree;
        Some(match file {
            Generated::Stats => Arc::clone(tree.stats.get_or_init(|| json(&tree.numbers))),
            Generated::Summary => Arc::clone(tree.summary.get_or_init(|| self.summary())),
            Generated::Errors => Arc::clone(tree.errors.get_or_init(|| self.errors())),
            Generated::RulesError => self.rules_error.as_ref().map_or_else(|| [].into(), |text| text.as_bytes().into()),
            Generated::NeverIndex => [].into(),
            Generated::Manifest(folder) => {
                let mut text = Vec::with_capacity(self.generated_len(file).unwrap_or(0) as usize);
                for sample in self.placed_in(folder) {
                    text.extend_from_slice(&manifest_line(sample.path));
                    text.push(b'\n');
                }
                text.into()
            }
            Generated::Rules | Generated::Overrides | Generated::Index | Generated::Status | Generated::Rescan => {
                return None;
            }
        })
    }

    /// `_rebuild_summary.json`, with the keys of the pipeline that copied files.
    fn summary(&self) -> Arc<[u8]> {
        #[derive(Serialize)]
        struct Summary<'a> {
            copy_mode: &'a str,
            stats: BTreeMap<&'a str, u64>,
            class_counts: &'a BTreeMap<String, u64>,
            reasons: &'a BTreeMap<&'static str, u64>,
        }
        let numbers = &self.tree.numbers;
        let stats = numbers.old_stats();
        json(&Summary { copy_mode: "mount", stats, class_counts: &numbers.folders, reasons: &numbers.reasons })
    }

    fn errors(&self) -> Arc<[u8]> {
        let mut text = Vec::new();
        for sample in self.tree.catalogue.samples().iter() {
            if let Some(line) = error_line(sample) {
                text.extend_from_slice(&line);
                text.push(b'\n');
            }
        }
        text.into()
    }
}

fn json<T: Serialize>(value: &T) -> Arc<[u8]> {
    // Maps of strings and numbers can't fail to be written; an empty file would be the honest answer if they did.
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text.into()
}
