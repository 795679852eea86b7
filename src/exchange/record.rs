//! One line of any index: what drumfs or the pipeline it replaces knew of one sample.

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::quantized;
use super::text::{PathText, Ranked, Said, without_nan};
use crate::archive::{ContentHash, HashAlgorithm};
use crate::audio::{Attributes, Codec, SILENCE_DBFS};
use crate::index::record::{Line, path_text, seconds};
use crate::index::{GateAnswer, Status};
use crate::rules::Reason;
use crate::view::Sample;

/// A line that is no record. What is wrong, in words; [`super::IndexError`] adds where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct LineError(pub(super) String);

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// drumfs.
    Drumfs,
    /// The pipeline that drumfs replaces, or something like it.
    Old,
}

/// What a line says of the sound itself, each for itself: the older pipeline says only some of it.
///
/// Its `duration_sec`, `rms_db`, `spectral_centroid` and `spectral_rolloff` were measured after the sound had been cut
/// or padded to the model's length, so they are not what drumfs means by these words; they are carried, and never
/// become [`Attributes`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sound {
    /// Duration in seconds.
    pub duration_sec: Option<f64>,
    /// Level in dBFS.
    pub rms_dbfs: Option<f32>,
    /// Spectral centroid in Hz.
    pub centroid_hz: Option<f32>,
    /// Spectral rolloff in Hz.
    pub rolloff_hz: Option<f32>,
    /// Frames a second, in Hz.
    pub sample_rate: Option<u32>,
    /// Number of channels.
    pub channels: Option<u16>,
    /// The codec's short name.
    pub codec: Option<Codec>,
}

/// One line of an index.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Who wrote it.
    pub form: Form,
    /// The sample, as the catalogue has it. `size` and `mtime_ns` are 0 where the line does not say
    /// them ([`Record::has_stat`]); `probs` are in the order of the labels of the model that heard it, and empty where
    /// the line has none.
    pub sample: Sample,
    /// Whether the line says size and time of the file.
    pub has_stat: bool,
    /// What the line says of the sound.
    pub sound: Sound,
    /// The file, absolute, as raw bytes.
    pub abs_path: Option<Vec<u8>>,
    /// The most probable fine label.
    pub label_top1: Option<String>,
    /// Its probability.
    pub conf_top1: Option<f32>,
    /// The most probable fine labels with their probabilities, most probable first.
    pub topk: Vec<(String, f32)>,
    /// The folder it was placed in; none where it is hidden, failed, or was passed over as a duplicate.
    pub assigned_label: Option<String>,
    /// The confidence that was compared with the threshold.
    pub assigned_confidence: Option<f32>,
    /// Why it is there: [`crate::rules::Reason::name`], or `duplicate` of the older pipeline.
    pub assigned_reason: Option<String>,
    /// Whether it was placed in `misc` for want of a better folder.
    pub misc_routed: bool,
    /// Whether the confidence was below the threshold.
    pub below_misc_threshold: bool,
    /// Whether its label is none that has a folder.
    pub out_of_target: bool,
    /// Whether the older pipeline passed it over because another file has the same content: it has no label of its own.
    pub skipped_duplicate: bool,
    /// The model that heard it. The older pipeline does not say.
    pub model: Option<String>,
    /// The version of the model's input.
    pub features: Option<String>,
    /// When it was heard, as `drumfs aggregate` notes it.
    pub run: Option<String>,
}

/// How a line has its probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probs {
    /// As they are.
    Floats,
    /// In eight bits each ([`quantized`]).
    Whole,
    /// Not at all.
    None,
}

/// A line, with the names of both pipelines.
#[derive(Deserialize)]
struct Parsed {
    #[serde(alias = "path")]
    relative_path: Option<PathText>,
    relative_path_bytes: Option<String>,
    abs_path: Option<PathText>,
    /// What errors have in place of `abs_path` in the older pipeline.
    file: Option<PathText>,
    hash: Option<String>,
    hash_algorithm: Option<String>,
    size: Option<u64>,
    mtime: Option<Box<RawValue>>,
    duration_sec: Option<Box<RawValue>>,
    #[serde(alias = "rms_db")]
    rms: Option<f32>,
    #[serde(alias = "spectral_centroid")]
    centroid_hz: Option<f32>,
    #[serde(alias = "spectral_rolloff")]
    rolloff_hz: Option<f32>,
    sample_rate: Option<u32>,
    channels: Option<u16>,
    codec: Option<Codec>,
    label_top1: Option<String>,
    conf_top1: Option<f32>,
    #[serde(default)]
    topk: Ranked,
    probs: Option<Vec<Option<f32>>>,
    probs_u8: Option<Vec<u8>>,
    gate_probability: Option<f32>,
    gate_refused: Option<bool>,
    assigned_label: Option<String>,
    assigned_confidence: Option<f32>,
    assigned_reason: Option<String>,
    misc_routed: Option<bool>,
    below_misc_threshold: Option<bool>,
    out_of_target: Option<bool>,
    skipped_duplicate: Option<bool>,
    status: Option<Status>,
    errors: Option<Said>,
    /// The word of the older pipeline's lines on files that it could not read.
    error: Option<Said>,
    model: Option<String>,
    features: Option<String>,
    run: Option<String>,
}

impl Record {
    /// Reads a line of drumfs's own index.jsonl, or of the older pipeline's.
    ///
    /// # Errors
    /// [`LineError`] where it is no JSON object, names no file, or says something that can't be.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let parsed: Parsed = match serde_json::from_slice(line) {
            Ok(parsed) => parsed,
            // Only now: the numbers that Python writes and JSON lacks are rare.
            Err(error) => serde_json::from_slice(&without_nan(line)).map_err(|_| LineError(in_short(&error)))?,
        };
        parsed.record()
    }

    /// The line as drumfs writes it, with its newline.
    pub fn line(&self, probs: Probs) -> Vec<u8> {
        let whole = match probs {
            Probs::Whole if !self.sample.probs.is_empty() => Some(quantized::quantize(&self.sample.probs)),
            _ => None,
        };
        let Self { sample, sound, .. } = self;
        let (relative_path, relative_path_bytes) = path_text(&sample.path);
        Line {
            relative_path,
            relative_path_bytes,
            abs_path: self.abs_path.as_deref().map(String::from_utf8_lossy),
            hash: sample.hash.map(|hash| hash.to_hex()),
            hash_algorithm: sample.hash.map(|hash| hash.algorithm().name()),
            size: self.has_stat.then_some(sample.size),
            mtime: self.has_stat.then(|| seconds(sample.mtime_ns)),
            duration_sec: sound.duration_sec,
            rms: sound.rms_dbfs,
            centroid_hz: sound.centroid_hz,
            rolloff_hz: sound.rolloff_hz,
            sample_rate: sound.sample_rate,
            channels: sound.channels,
            codec: sound.codec.map(Codec::as_str),
            label_top1: self.label_top1.as_deref(),
            conf_top1: self.conf_top1,
            topk: self.topk.iter().map(|(label, probability)| (&label[..], *probability)).collect(),
            probs: (probs != Probs::None && whole.is_none()).then_some(&sample.probs[..]),
            probs_u8: whole.as_deref(),
            gate_probability: sample.gate.map(|gate| gate.probability),
            gate_refused: sample.gate.is_some_and(|gate| gate.refused),
            assigned_label: self.assigned_label.as_deref(),
            assigned_confidence: self.assigned_confidence,
            assigned_reason: self.assigned_reason.as_deref(),
            misc_routed: self.misc_routed,
            below_misc_threshold: self.below_misc_threshold,
            out_of_target: self.out_of_target,
            skipped_duplicate: self.skipped_duplicate,
            status: sample.status.name(),
            errors: sample.error.as_deref(),
            model: self.model.as_deref(),
            features: self.features.as_deref(),
            run: self.run.as_deref(),
        }
        .to_bytes()
    }

    /// Whether a person said what it is.
    pub fn is_said(&self) -> bool {
        self.assigned_reason.as_deref() == Some(Reason::Override.name())
    }

    /// The fine label: what a person said, or else the most probable one.
    pub fn fine_label(&self) -> Option<&str> {
        let said = self.assigned_label.as_deref().filter(|_| self.is_said());
        said.or(self.label_top1.as_deref())
    }

    /// The label a person would say it has: the folder it was placed in, or else the most probable label.
    pub fn label(&self) -> Option<&str> {
        self.assigned_label.as_deref().or(self.label_top1.as_deref())
    }
}

/// A JSON error without its line, which is always 1 here.
fn in_short(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line 1 column ") {
        Some((what, column)) => format!("{what} (column {column})"),
        None => text,
    }
}

impl Parsed {
    fn record(self) -> Result<Record, LineError> {
        let form = if self.status.is_some() { Form::Drumfs } else { Form::Old };
        let floats = [self.rms, self.centroid_hz, self.rolloff_hz, self.gate_probability];
        let confidences = [self.conf_top1, self.assigned_confidence];
        let duration_sec = self.duration_sec.as_deref().map(RawValue::get).map(double).transpose()?.flatten();
        let ranked = self.topk.0.iter().filter_map(|(_, probability)| *probability);
        let probs = self.probs.iter().flatten().filter_map(|probability| *probability);
        let mut all = floats.into_iter().chain(confidences).flatten().chain(ranked).chain(probs);
        // JSON has no numbers that are none, but some that are too large to be one here.
        if !all.all(f32::is_finite) || duration_sec.is_some_and(|seconds| !seconds.is_finite()) {
            return Err(LineError("a number is out of range".to_owned()));
        }
        let abs_path = self.abs_path.or(self.file).map(|path| path.0);
        let path = match (self.relative_path_bytes, self.relative_path) {
            (Some(hex), _) => {
                from_hex(&hex).ok_or_else(|| LineError("`relative_path_bytes` is not hexadecimal".to_owned()))?
            }
            (None, Some(path)) => path.0,
            (None, None) => Vec::new(),
        };
        // Without a path of its own it is known by its name.
        let path = match (path.is_empty(), &abs_path) {
            (false, _) => path,
            (true, Some(file)) => file.rsplit(|&byte| byte == b'/').next().unwrap_or_default().to_vec(),
            (true, None) => path,
        };
        if path.is_empty() {
            return Err(LineError("it names no file: `relative_path` is missing".to_owned()));
        }
        if path.contains(&0) {
            return Err(LineError("a path can't have a zero byte in it".to_owned()));
        }
        let hash = self.hash.map(|hash| read_hash(&hash, self.hash_algorithm.as_deref())).transpose()?;
        let mtime_ns = match self.mtime.as_deref().map(RawValue::get) {
            None | Some("null") => None,
            Some(text) => Some(nanoseconds(text).ok_or_else(|| LineError(format!("`mtime` is no time: {text}")))?),
        };
        let mut error = [self.errors, self.error].into_iter().flatten().find_map(|said| said.0);
        let mut probs: Vec<f32> = Vec::new();
        if let Some(said) = self.probs {
            // One that is no number makes all of them worthless.
            probs = said.into_iter().collect::<Option<_>>().unwrap_or_else(|| {
                error.get_or_insert_with(|| "the probabilities are no numbers".to_owned());
                Vec::new()
            });
        }
        if let (true, Some(whole)) = (probs.is_empty(), self.probs_u8) {
            probs = quantized::probabilities(&whole);
        }
        let status = match (self.status, error.as_deref()) {
            (Some(status), _) => status,
            (None, None) => Status::Ok,
            (None, Some("too_short")) => Status::TooShort,
            (None, Some(_)) => Status::LoadError,
        };
        let sound = Sound {
            duration_sec,
            rms_dbfs: self.rms,
            centroid_hz: self.centroid_hz,
            rolloff_hz: self.rolloff_hz,
            sample_rate: self.sample_rate,
            channels: self.channels,
            codec: self.codec,
        };
        let sample = Sample {
            path: path.into(),
            size: self.size.unwrap_or(0),
            mtime_ns: mtime_ns.unwrap_or(0),
            hash,
            status,
            error: error.map(Into::into),
            attributes: sound.attributes(),
            probs: probs.into(),
            gate: self
                .gate_probability
                .map(|probability| GateAnswer { probability, refused: self.gate_refused.unwrap_or(false) }),
        };
        Ok(Record {
            form,
            sample,
            has_stat: self.size.is_some() && mtime_ns.is_some(),
            sound,
            abs_path,
            label_top1: self.label_top1,
            conf_top1: self.conf_top1,
            topk: self.topk.0.into_iter().filter_map(|(label, probability)| Some((label, probability?))).collect(),
            assigned_label: self.assigned_label,
            assigned_confidence: self.assigned_confidence,
            assigned_reason: self.assigned_reason,
            misc_routed: self.misc_routed.unwrap_or(false),
            below_misc_threshold: self.below_misc_threshold.unwrap_or(false),
            out_of_target: self.out_of_target.unwrap_or(false),
            skipped_duplicate: self.skipped_duplicate.unwrap_or(false),
            model: self.model,
            features: self.features,
            run: self.run,
        })
    }
}

impl Sound {
    /// Everything that is known of a sound that drumfs decoded; none where some of it is missing.
    pub fn attributes(&self) -> Option<Attributes> {
        Some(Attributes {
            duration_sec: self.duration_sec?,
            sample_rate: self.sample_rate?,
            channels: self.channels?,
            codec: self.codec?,
            rms_dbfs: self.rms_dbfs.unwrap_or(SILENCE_DBFS),
            centroid_hz: self.centroid_hz.unwrap_or(0.0),
            rolloff_hz: self.rolloff_hz.unwrap_or(0.0),
        })
    }
}

/// A content hash of an algorithm that is named, or else the one whose digests have that length: the older pipeline
/// wrote `md5` or `sha256` and did not say which.
///
/// # Errors
/// A sentence.
pub fn read_hash(text: &str, algorithm: Option<&str>) -> Result<ContentHash, LineError> {
    let text = text.trim();
    let algorithm = match algorithm {
        Some(name) => name.parse().map_err(|error: crate::archive::HashError| LineError(error.to_string()))?,
        None => algorithm_of_length(text.len()).ok_or_else(|| {
            LineError(format!("`{text}` is no hash: expected 32 hexadecimal digits (md5) or 64 (sha256)"))
        })?,
    };
    ContentHash::from_hex(algorithm, text).map_err(|error| LineError(error.to_string()))
}

/// The algorithm that older files mean by a digest of so many hexadecimal digits.
pub fn algorithm_of_length(digits: usize) -> Option<HashAlgorithm> {
    match digits {
        32 => Some(HashAlgorithm::Md5),
        64 => Some(HashAlgorithm::Sha256),
        16 => Some(HashAlgorithm::Xxh64),
        _ => None,
    }
}

/// Bytes as pairs of hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    text.as_bytes().chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// A JSON number as the double that is nearest to it, of which it comes again digit by digit: serde_json's own may be the
/// next one. None for `null`.
fn double(text: &str) -> Result<Option<f64>, LineError> {
    match text {
        "null" => Ok(None),
        // What else Rust takes for a number (`inf`, `+1`) is no JSON.
        text => text.parse().map(Some).map_err(|_| LineError(format!("`duration_sec` is no number: {text}"))),
    }
}

/// The nanoseconds of a JSON number of seconds, exactly where it is written without an exponent and with nine decimals
/// or fewer.
fn nanoseconds(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_plain(whole) || !is_plain(fraction) {
        let nanoseconds = text.parse::<f64>().ok()? * 1e9;
        // Of all numbers that an i64 holds; a cast would saturate.
        return (nanoseconds.abs() < i64::MAX as f64).then_some(nanoseconds as i64);
    }
    let fraction: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let whole: i64 = whole.parse().ok()?;
    whole.checked_mul(1_000_000_000)?.checked_add(fraction.parse().ok()?)?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_exact_where_it_can_be() {
        assert_eq!(nanoseconds("1730723456.123456789"), Some(1_730_723_456_123_456_789));
        assert_eq!(nanoseconds("-1.5"), Some(-1_500_000_000));
        assert_eq!(nanoseconds("1.730723456e9"), Some(1_730_723_456_000_000_000));
        assert_eq!(nanoseconds("12"), Some(12_000_000_000));
        for none in ["", "1e300", "true", "\"1\"", "nan", "99999999999999999999"] {
            assert_eq!(nanoseconds(none), None, "{none}");
        }
    }

    #[test]
    fn a_duration_comes_back_to_its_last_digit() {
        for seconds in [0.4120181405895692_f64, 0.1, 1.0 / 3.0, 5e-324, 123_456.789_012_345_67] {
            let line = format!(r#"{{"relative_path": "a", "duration_sec": {seconds:?}}}"#);
            let record = Record::parse(line.as_bytes()).unwrap();
            assert_eq!(record.sound.duration_sec.map(f64::to_bits), Some(seconds.to_bits()), "{seconds:?}");
        }
        let parse =
            |said: &str| Record::parse(format!(r#"{{"relative_path": "a", "duration_sec": {said}}}"#).as_bytes());
        assert_eq!(parse("null").unwrap().sound.duration_sec, None);
        assert!(parse("\"x\"").unwrap_err().to_string().contains("duration_sec"));
        assert!(parse("1e999").unwrap_err().to_string().contains("out of range"));
    }

    #[test]
    fn a_hash_is_known_by_its_length_where_nothing_says_what_it_is() {
        let md5 = read_hash("D41D8CD98F00B204E9800998ECF8427E", None).unwrap();
        assert_eq!(md5, ContentHash::of(HashAlgorithm::Md5, b""));
        let xxh3 = read_hash("99aa06d3014798d86001c324468d497f", Some("xxh3")).unwrap();
        assert_eq!(xxh3, ContentHash::of(HashAlgorithm::Xxh3, b""));
        assert!(read_hash("abc", None).unwrap_err().to_string().contains("md5"));
        assert!(read_hash("abc", Some("crc")).unwrap_err().to_string().contains("crc"));
    }
}
