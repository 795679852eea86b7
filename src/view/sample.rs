//! One sample: owned, as it comes in, and borrowed, as a catalogue has it.

use super::names::EXTENSION_MAX;
use crate::archive::{ContentHash, kind};
use crate::audio::Attributes;
use crate::index::{GateAnswer, Status};
use crate::rules::Subject;

/// One sample of the archive with what was heard in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Relative path, raw bytes.
    pub path: Box<[u8]>,
    /// Size in bytes.
    pub size: u64,
    /// Time of last modification in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// The content; none where it could not be read.
    pub hash: Option<ContentHash>,
    /// How listening ended.
    pub status: Status,
    /// Why it failed, where it did.
    pub error: Option<Box<str>>,
    /// What can be said without a model.
    pub attributes: Option<Attributes>,
    /// Calibrated probabilities of the fine labels in label order; empty where nothing was classified.
    pub probs: Box<[f32]>,
    /// What the gate says; none where there is no gate, or nothing was classified.
    pub gate: Option<GateAnswer>,
}

/// A [`Sample`] of a catalogue, which keeps the parts of many side by side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRef<'a> {
    /// Relative path, raw bytes.
    pub path: &'a [u8],
    /// Size in bytes.
    pub size: u64,
    /// Time of last modification in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// The content; none where it could not be read.
    pub hash: Option<ContentHash>,
    /// How listening ended.
    pub status: Status,
    /// Why it failed, where it did.
    pub error: Option<&'a str>,
    /// What can be said without a model.
    pub attributes: Option<Attributes>,
    /// Calibrated probabilities of the fine labels in label order; empty where nothing was classified.
    pub probs: &'a [f32],
    /// What the gate says; none where there is no gate, or nothing was classified.
    pub gate: Option<GateAnswer>,
}

/// The file name at the end of a path.
pub(super) fn name_of(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => &path[slash + 1..],
        None => path,
    }
}

/// The path of the folder a path lies in; empty for the root.
pub(super) fn folder_of(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => &path[..slash],
        None => b"",
    }
}

/// The likeliest fine label, by its place in label order, and its probability; the last of equals.
pub(super) fn best_label(probs: &[f32]) -> Option<(usize, f32)> {
    probs.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))
}

fn subject<'s>(
    sample: SampleRef<'s>,
    attributes: Option<&'s Attributes>,
    override_label: Option<&'s str>,
) -> Subject<'s> {
    Subject {
        path: sample.path,
        size: sample.size,
        status: sample.status,
        attributes,
        probs: sample.probs,
        override_label,
        gate_refused: sample.gate.is_some_and(|gate| gate.refused),
        gate_probability: sample.gate.map(|gate| gate.probability),
        read_name: None,
    }
}

impl Sample {
    /// The same, borrowed.
    pub fn borrowed(&self) -> SampleRef<'_> {
        SampleRef {
            path: &self.path,
            size: self.size,
            mtime_ns: self.mtime_ns,
            hash: self.hash,
            status: self.status,
            error: self.error.as_deref(),
            attributes: self.attributes,
            probs: &self.probs,
            gate: self.gate,
        }
    }

    /// The file name.
    pub fn name(&self) -> &[u8] {
        name_of(&self.path)
    }

    /// The path of the folder it lies in; empty for the root.
    pub fn folder(&self) -> &[u8] {
        folder_of(&self.path)
    }

    /// What the rules look at, with what a person said of it.
    pub fn subject<'a>(&'a self, said: Option<&'a str>) -> Subject<'a> {
        subject(self.borrowed(), self.attributes.as_ref(), said)
    }

    /// Whether it is shown: everything but what is known to be missing.
    pub fn is_present(&self) -> bool {
        self.status != Status::Missing
    }
}

impl<'a> From<&'a Sample> for SampleRef<'a> {
    fn from(sample: &'a Sample) -> Self {
        sample.borrowed()
    }
}

impl<'a> SampleRef<'a> {
    /// A copy of its own.
    pub fn to_sample(&self) -> Sample {
        Sample {
            path: self.path.into(),
            size: self.size,
            mtime_ns: self.mtime_ns,
            hash: self.hash,
            status: self.status,
            error: self.error.map(Box::from),
            attributes: self.attributes,
            probs: self.probs.into(),
            gate: self.gate,
        }
    }

    /// The file name.
    pub fn name(&self) -> &'a [u8] {
        name_of(self.path)
    }

    /// The path of the folder it lies in; empty for the root.
    pub fn folder(&self) -> &'a [u8] {
        folder_of(self.path)
    }

    /// The pack it is from: the first folder of its path; empty in the root.
    pub fn pack(&self) -> &'a [u8] {
        self.folder().split(|&b| b == b'/').next().unwrap_or_default()
    }

    /// Its name in `_by-id/`: the digest in hexadecimal and the extension in lower case.
    pub fn by_id_name(&self) -> Vec<u8> {
        let mut name = self.hash.map(|hash| hash.to_hex()).unwrap_or_default().into_bytes();
        if let Some(extension) = kind::extension(self.name()).filter(|extension| extension.len() <= EXTENSION_MAX) {
            name.push(b'.');
            name.extend_from_slice(&extension.to_ascii_lowercase());
        }
        name
    }

    /// The likeliest fine label, by its place in label order, and its probability.
    pub fn best_label(&self) -> Option<(usize, f32)> {
        best_label(self.probs)
    }

    /// What the rules look at, with what a person said of it.
    pub fn subject<'s>(&'s self, said: Option<&'s str>) -> Subject<'s> {
        subject(*self, self.attributes.as_ref(), said)
    }

    /// Whether it is shown: everything but what is known to be missing.
    pub fn is_present(&self) -> bool {
        self.status != Status::Missing
    }
}
