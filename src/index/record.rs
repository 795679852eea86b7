//! The record: one line of `index.jsonl`.

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::exchange;
use crate::rules::{Reason, Router};
use crate::view::{Assigned, Sample, SampleRef};

/// How many labels `topk` holds.
const TOP_K: usize = 3;

/// A sample joined with what was heard in it and where it was placed: one line as it is written.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    pub relative_path: Cow<'a, str>,
    /// The path's bytes in hexadecimal, only where it is not UTF-8: `relative_path` has U+FFFD there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_path_bytes: Option<String>,
    pub abs_path: Option<Cow<'a, str>>,
    pub hash: Option<String>,
    pub hash_algorithm: Option<&'static str>,
    pub size: Option<u64>,
    pub mtime: Option<Box<RawValue>>,
    pub duration_sec: Option<f64>,
    pub rms: Option<f32>,
    pub centroid_hz: Option<f32>,
    pub rolloff_hz: Option<f32>,
    pub sample_rate: Option<u32>,
    pub channels: Option<u16>,
    pub codec: Option<&'a str>,
    pub label_top1: Option<&'a str>,
    pub conf_top1: Option<f32>,
    pub topk: Vec<(&'a str, f32)>,
    /// Left out where they are in `probs_u8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probs: Option<&'a [f32]>,
    /// The probabilities times 255, as whole numbers that sum to 255.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probs_u8: Option<&'a [u8]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_probability: Option<f32>,
    pub gate_refused: bool,
    pub assigned_label: Option<&'a str>,
    pub assigned_confidence: Option<f32>,
    pub assigned_reason: Option<&'a str>,
    pub misc_routed: bool,
    pub below_misc_threshold: bool,
    pub out_of_target: bool,
    /// Of the older pipeline alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skipped_duplicate: bool,
    pub status: &'static str,
    pub errors: Option<&'a str>,
    pub model: Option<&'a str>,
    pub features: Option<&'a str>,
    /// When it was heard, where `drumfs aggregate` noted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<&'a str>,
}

impl Line<'_> {
    /// The line as JSON, with its newline.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and finite numbers can't fail to be written.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// What is the same in every record of a pass.
#[derive(Debug, Clone, Copy)]
pub struct RecordContext<'a> {
    /// The archive's root, absolute.
    pub root: &'a Path,
    /// The rules in force.
    pub router: &'a Router,
    /// The fine labels in label order.
    pub labels: &'a [String],
    /// The model's id.
    pub model: &'a str,
    /// The version of the model's input; none where nobody knows it.
    pub features: Option<&'a str>,
}

impl RecordContext<'_> {
    /// The record of a sample as a line of JSON, with its newline.
    pub fn line<'s>(&'s self, sample: impl Into<SampleRef<'s>>, assigned: impl Into<Assigned>) -> Vec<u8> {
        self.record(sample.into(), assigned.into()).to_bytes()
    }

    fn record<'s>(&'s self, sample: SampleRef<'s>, assigned: Assigned) -> Line<'s> {
        let attributes = sample.attributes;
        let mut order: Vec<usize> = (0..sample.probs.len().min(self.labels.len())).collect();
        order.sort_by(|&a, &b| sample.probs[b].total_cmp(&sample.probs[a]));
        let topk: Vec<(&str, f32)> =
            order.iter().take(TOP_K).map(|&label| (&self.labels[label][..], sample.probs[label])).collect();
        let hidden = assigned.reason == Reason::Hidden;
        let folder = (!hidden).then(|| self.router.folders().get(usize::from(assigned.folder))).flatten();
        let classified = !sample.probs.is_empty();
        let absolute = self.root.join(std::ffi::OsStr::from_bytes(sample.path));
        let (relative_path, relative_path_bytes) = path_text(sample.path);
        Line {
            relative_path,
            relative_path_bytes,
            abs_path: Some(Cow::Owned(absolute.to_string_lossy().into_owned())),
            hash: sample.hash.map(|hash| hash.to_hex()),
            hash_algorithm: sample.hash.map(|hash| hash.algorithm().name()),
            size: Some(sample.size),
            mtime: Some(seconds(sample.mtime_ns)),
            duration_sec: attributes.map(|a| a.duration_sec),
            rms: attributes.map(|a| a.rms_dbfs),
            centroid_hz: attributes.map(|a| a.centroid_hz),
            rolloff_hz: attributes.map(|a| a.rolloff_hz),
            sample_rate: attributes.map(|a| a.sample_rate),
            channels: attributes.map(|a| a.channels),
            codec: attributes.map(|a| a.codec.as_str()),
            label_top1: topk.first().map(|(label, _)| *label),
            conf_top1: topk.first().map(|(_, confidence)| *confidence),
            topk,
            probs: Some(sample.probs),
            probs_u8: None,
            gate_probability: sample.gate.map(|gate| gate.probability),
            gate_refused: sample.gate.is_some_and(|gate| gate.refused),
            assigned_label: folder.map(|folder| &folder[..]),
            assigned_confidence: classified.then_some(assigned.confidence),
            assigned_reason: Some(assigned.reason.name()),
            misc_routed: matches!(
                assigned.reason,
                Reason::Error | Reason::Gate | Reason::OutOfTarget | Reason::LowConfidence
            ),
            below_misc_threshold: assigned.below_threshold(),
            out_of_target: assigned.out_of_target(),
            skipped_duplicate: false,
            status: sample.status.name(),
            errors: sample.error,
            model: Some(self.model),
            features: self.features,
            run: None,
        }
    }
}

/// A path as text, and its bytes in hexadecimal where the text is not all of it.
pub(crate) fn path_text(path: &[u8]) -> (Cow<'_, str>, Option<String>) {
    let text = String::from_utf8_lossy(path);
    let bytes = matches!(text, Cow::Owned(_)).then(|| exchange::to_hex(path));
    (text, bytes)
}

/// A line of index.jsonl that is not a record.
#[derive(Debug, Error)]
#[error("not a record of index.jsonl: {0}")]
pub struct RecordError(String);

/// Reads a record back: the sample, as the catalogue that wrote it had it.
///
/// # Errors
/// [`RecordError`] for anything that drumfs did not write.
pub fn parse_line(line: &[u8]) -> Result<Sample, RecordError> {
    let record = exchange::Record::parse(line).map_err(|error| RecordError(error.to_string()))?;
    if record.form != exchange::Form::Drumfs {
        return Err(RecordError("it has no `status`".to_owned()));
    }
    if !record.has_stat {
        return Err(RecordError("`size` or `mtime` is missing".to_owned()));
    }
    Ok(record.sample)
}

/// Nanoseconds as a JSON number of seconds, exact: a double would lose the last digits.
pub(crate) fn seconds(ns: i64) -> Box<RawValue> {
    let (sign, ns) = (if ns < 0 { "-" } else { "" }, ns.unsigned_abs());
    let text = format!("{sign}{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{GateAnswer, Status};
    use crate::rules::{Rules, Vocabulary};

    #[test]
    fn a_sample_survives_the_trip_through_a_line_gate_and_all() {
        let vocabulary = Vocabulary::new(["Kick".to_owned(), "Snare".to_owned()], [("Kick", "Kick")]).unwrap();
        let router = Router::new(&Rules::defaults(&vocabulary), &vocabulary);
        let labels = ["Kick".to_owned(), "Snare".to_owned()];
        let context =
            RecordContext { root: Path::new("/a"), router: &router, labels: &labels, model: "m", features: Some("f") };
        let gates = [
            None,
            Some(GateAnswer { probability: 0.125, refused: true }),
            Some(GateAnswer { probability: 0.875, refused: false }),
        ];
        for gate in gates {
            let sample = Sample {
                path: b"x/k.wav".as_slice().into(),
                size: 7,
                mtime_ns: 1_730_723_456_123_456_789,
                hash: None,
                status: Status::Ok,
                error: None,
                attributes: None,
                probs: [0.75, 0.25].into(),
                gate,
            };
            let verdict = router.route(&sample.subject(None));
            let refused = gate.is_some_and(|gate| gate.refused);
            assert_eq!(verdict.reason == Reason::Gate, refused);
            let line = context.line(&sample, &verdict);
            let json: serde_json::Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(json["gate_refused"], refused);
            assert_eq!(json["assigned_reason"] == "gate", refused);
            let back = parse_line(&line).unwrap();
            assert_eq!(back, sample);
            assert_eq!(router.route(&back.subject(None)), verdict);
        }
    }

    #[test]
    fn a_line_of_an_older_version_has_no_gate() {
        let line = br#"{"relative_path": "k.wav", "size": 1, "mtime": 1.5, "probs": [1.0], "status": "ok"}"#;
        assert_eq!(parse_line(line).unwrap().gate, None);
    }

    #[test]
    fn a_number_beyond_floats_is_refused_and_not_infinite() {
        for number in ["\"probs\": [1e39]", "\"probs\": [1.0], \"rms\": -1e39"] {
            let line =
                format!("{{\"relative_path\": \"k.wav\", \"size\": 1, \"mtime\": 1.5, \"status\": \"ok\", {number}}}");
            assert!(parse_line(line.as_bytes()).unwrap_err().to_string().contains("out of range"), "{line}");
        }
    }

    #[test]
    fn times_are_exact_json_numbers() {
        assert_eq!(seconds(1_730_723_456_123_456_789).get(), "1730723456.123456789");
        assert_eq!(seconds(-1_500_000_000).get(), "-1.500000000");
        assert_eq!(seconds(0).get(), "0.000000000");
    }
}
