//! What a model reads: the layouts that a model's JSON may name, and how a sound becomes one.

use std::fmt;

use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::audio::decode::MAX_SECONDS;
use crate::audio::resample::Resampler;
use crate::audio::spectral::{Spectral, SpectralParams};
use crate::audio::{FEATURES_VERSION, Features};

/// Names what [`Layout::Mfcc`], [`Layout::LogMel`] and [`Layout::Waveform`] compute; goes into model ids and changes with
/// anything that changes a value.
const VERSION: &str = "1";
/// Most values a model may read: 16 MiB of them.
const MAX_VALUES: usize = 4 << 20;

/// A kind of input.
#[derive(Debug, Clone, PartialEq)]
pub enum Layout {
    /// What the shipped model reads: the values of [`Features`] in a row.
    Own,
    /// Mel frequency cepstral coefficients as librosa computes them.
    Mfcc(SpectralParams),
    /// The mel bands in decibels as librosa computes them.
    LogMel(SpectralParams),
    /// The sound itself, mono.
    Waveform(Waveform),
}

/// The sound itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Waveform {
    /// The rate that sounds are brought to, in Hz.
    pub sample_rate: u32,
    /// The length that sounds are padded with zeros or cut to, in samples.
    pub samples: usize,
    /// Whether the largest absolute value is made 1.
    pub peak: bool,
}

/// `features` in a model's JSON, where it is a name with parameters.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Parameters {
    Mfcc(SpectralText),
    LogMel(SpectralText),
    Waveform(WaveformText),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpectralText {
    sample_rate: Option<u32>,
    samples: Option<usize>,
    n_fft: Option<usize>,
    hop_length: Option<usize>,
    n_mels: Option<usize>,
    n_mfcc: Option<usize>,
    fmin: Option<f64>,
    fmax: Option<f64>,
    /// `null` is no floor.
    #[serde(default, deserialize_with = "said")]
    top_db: Option<Option<f32>>,
    normalize: Option<bool>,
}

/// Tells a key that is `null` from one that is not there.
fn said<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<f32>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaveformText {
    sample_rate: u32,
    samples: usize,
    #[serde(default)]
    normalize: WaveformLevel,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WaveformLevel {
    #[default]
    None,
    Peak,
}

/// What a config.yml of the older pipeline says of its model's input; what is none is what that pipeline had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct OldInput {
    /// The rate that sounds are brought to, in Hz.
    pub target_sr: Option<u32>,
    /// The length that sounds are padded or cut to, in samples.
    pub target_samples: Option<usize>,
    /// Number of cepstral coefficients.
    pub n_mfcc: Option<usize>,
    /// Length of a transform, in samples.
    pub n_fft: Option<usize>,
    /// Samples from one frame to the next.
    pub hop_length: Option<usize>,
    /// Whether each frame is divided by its largest value.
    pub normalize: Option<bool>,
}

impl OldInput {
    /// Whether a config.yml says any of it.
    pub fn is_said(&self) -> bool {
        !self.said().is_empty()
    }

    /// The keys that it says.
    pub fn said(&self) -> Vec<&'static str> {
        let keys = [
            ("hop_length", self.hop_length.is_some()),
            ("n_fft", self.n_fft.is_some()),
            ("n_mfcc", self.n_mfcc.is_some()),
            ("normalize", self.normalize.is_some()),
            ("target_samples", self.target_samples.is_some()),
            ("target_sr", self.target_sr.is_some()),
        ];
        keys.into_iter().filter(|(_, said)| *said).map(|(key, _)| key).collect()
    }

    /// The layout.
    ///
    /// # Errors
    /// A sentence where a number is out of bounds.
    pub fn layout(&self) -> Result<Layout, String> {
        let text = SpectralText {
            sample_rate: self.target_sr,
            samples: self.target_samples,
            n_mfcc: self.n_mfcc,
            n_fft: self.n_fft,
            hop_length: self.hop_length,
            normalize: self.normalize,
            ..SpectralText::default()
        };
        spectral(text, true).map(Layout::Mfcc)
    }
}

impl Layout {
    /// Reads `features` of a model's JSON.
    ///
    /// # Errors
    /// A sentence that says what would be right.
    pub fn parse(json: &serde_json::Value) -> Result<Self, String> {
        match json.as_str() {
            Some(FEATURES_VERSION) => Ok(Self::Own),
            Some("mfcc") => spectral(SpectralText::default(), true).map(Self::Mfcc),
            Some("log_mel") => spectral(SpectralText::default(), false).map(Self::LogMel),
            Some(name) => Err(format!("features: `{name}`, this program computes {}", expected())),
            None if !json.is_object() => Err(format!("features: {json}; expected {}", expected())),
            None => match Parameters::deserialize(json).map_err(|error| format!("features: {error}"))? {
                Parameters::Mfcc(text) => spectral(text, true).map(Self::Mfcc),
                Parameters::LogMel(text) => spectral(text, false).map(Self::LogMel),
                Parameters::Waveform(text) => waveform(&text).map(Self::Waveform),
            },
        }
    }

    /// Rows and columns of what is computed; one row for a waveform and for what is a row of values.
    pub fn size(&self) -> (usize, usize) {
        match self {
            Self::Own => (1, Features::LEN),
            Self::Mfcc(params) | Self::LogMel(params) => (params.rows(), params.frames()),
            Self::Waveform(waveform) => (1, waveform.samples),
        }
    }

    /// The shape of a model's input where its JSON does not give one.
    pub fn usual_shape(&self) -> Vec<usize> {
        let (rows, columns) = self.size();
        match self {
            // As Keras has it, with the channel last.
            Self::Mfcc(_) | Self::LogMel(_) => vec![1, rows, columns, 1],
            Self::Own | Self::Waveform(_) => vec![1, columns],
        }
    }

    /// How values have to be arranged for an input of `shape`; none where it can't hold them. Ones may stand anywhere;
    /// of two other numbers the first is the rows, or the columns, and values are turned for the latter.
    pub fn arrangement(&self, shape: &[usize]) -> Option<Arrangement> {
        let (rows, columns) = self.size();
        let numbers: Vec<usize> = shape.iter().copied().filter(|&size| size != 1).collect();
        let straight: Vec<usize> = [rows, columns].into_iter().filter(|&size| size != 1).collect();
        let turned: Vec<usize> = straight.iter().rev().copied().collect();
        if shape.len() > 8 {
            None
        } else if numbers == straight {
            Some(Arrangement::Straight)
        } else if numbers == turned {
            Some(Arrangement::Turned)
        } else {
            None
        }
    }

    /// What names this layout in a model's id: [`FEATURES_VERSION`], or a kind, a size, and a hash of everything that the
    /// stored outputs depend on, `more` included.
    pub fn tag(&self, more: &str) -> String {
        let (rows, columns) = self.size();
        let kind = match self {
            Self::Own if more.is_empty() => return FEATURES_VERSION.to_owned(),
            Self::Own => FEATURES_VERSION.to_owned(),
            Self::Mfcc(_) => format!("mfcc{rows}x{columns}"),
            Self::LogMel(_) => format!("mel{rows}x{columns}"),
            Self::Waveform(_) => format!("waveform{columns}"),
        };
        let hash = xxh3_64(format!("{VERSION} {self:?} {more}").as_bytes()) >> 32;
        format!("{kind}-{hash:08x}")
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, columns) = self.size();
        match self {
            Self::Own => write!(f, "{FEATURES_VERSION} ({columns} values)"),
            Self::Mfcc(_) => write!(f, "mfcc ({rows} x {columns})"),
            Self::LogMel(_) => write!(f, "log_mel ({rows} x {columns})"),
            Self::Waveform(_) => write!(f, "waveform ({columns} samples)"),
        }
    }
}

/// How values lie in a model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// Row by row.
    Straight,
    /// Column by column.
    Turned,
}

/// What `features` may be.
pub(super) fn expected() -> String {
    format!(
        "\"{FEATURES_VERSION}\", \"mfcc\", \"log_mel\", or an object such as {{\"mfcc\": {{\"n_mfcc\": 40}}}} or \
         {{\"waveform\": {{\"sample_rate\": 16000, \"samples\": 16000}}}}"
    )
}

/// `value`, or a sentence where it is out of bounds.
fn within<T: PartialOrd + fmt::Display>(name: &str, value: T, low: T, high: T) -> Result<T, String> {
    if value >= low && value <= high {
        Ok(value)
    } else {
        Err(format!("features: {name} is {value}; expected {low} to {high}"))
    }
}

fn length(samples: usize, sample_rate: u32) -> Result<usize, String> {
    // More is not decoded.
    within("samples", samples, 64, (sample_rate * MAX_SECONDS) as usize)
}

fn spectral(text: SpectralText, cepstral: bool) -> Result<SpectralParams, String> {
    let sample_rate = within("sample_rate", text.sample_rate.unwrap_or(44_100), 4_000, 192_000)?;
    let n_fft = within("n_fft", text.n_fft.unwrap_or(2_048), 16, 16_384)?;
    if !n_fft.is_multiple_of(2) {
        return Err(format!("features: n_fft is {n_fft}; expected an even number"));
    }
    let n_mels = within("n_mels", text.n_mels.unwrap_or(128), 2, 512)?;
    let n_mfcc = match (cepstral, text.n_mfcc) {
        (true, n_mfcc) => Some(within("n_mfcc", n_mfcc.unwrap_or(40), 2, n_mels)?),
        (false, None) => None,
        (false, Some(_)) => return Err("features: log_mel has no n_mfcc; leave it out, or say mfcc".to_owned()),
    };
    let nyquist = f64::from(sample_rate) / 2.0;
    let fmin = within("fmin", text.fmin.unwrap_or(0.0), 0.0, nyquist)?;
    let fmax = within("fmax", text.fmax.unwrap_or(nyquist), fmin + 1.0, nyquist)?;
    let top_db = text.top_db.unwrap_or(Some(80.0));
    let params = SpectralParams {
        sample_rate,
        samples: length(text.samples.unwrap_or(50_000), sample_rate)?,
        n_fft,
        hop_length: within("hop_length", text.hop_length.unwrap_or(512), 1, n_fft)?,
        n_mels,
        n_mfcc,
        fmin,
        fmax,
        top_db: top_db.map(|top_db| within("top_db", top_db, 1.0, 200.0)).transpose()?,
        normalize: text.normalize.unwrap_or(cepstral),
    };
    let values = params.frames().saturating_mul(params.n_mels);
    if values > MAX_VALUES {
        return Err(format!(
            "features: {} frames of {} bands are more than {MAX_VALUES} values; take a longer hop_length",
            params.frames(),
            params.n_mels
        ));
    }
    Ok(params)
}

fn waveform(text: &WaveformText) -> Result<Waveform, String> {
    let sample_rate = within("sample_rate", text.sample_rate, 4_000, 192_000)?;
    let samples = length(text.samples, sample_rate)?;
    Ok(Waveform { sample_rate, samples, peak: matches!(text.normalize, WaveformLevel::Peak) })
}

/// Turns sounds into inputs; keeps tables between sounds, and the inputs of one sound until the next, so that models
/// with the same layout share one. One per thread.
#[derive(Default)]
pub struct Inputs {
    resampler: Resampler,
    spectral: Vec<Spectral>,
    made: Vec<(Layout, Arrangement, Vec<f32>)>,
}

impl Inputs {
    /// Forgets the inputs of the sound before.
    pub fn begin(&mut self) {
        self.made.clear();
    }

    /// The values of `layout`, arranged, for a mono sound of `rate` Hz whose picture is `features`.
    pub fn get<'v>(
        &'v mut self,
        layout: &Layout,
        arrangement: Arrangement,
        features: &'v Features,
        samples: &[f32],
        rate: u32,
    ) -> &'v [f32] {
        if (layout, arrangement) == (&Layout::Own, Arrangement::Straight) {
            // It is there already.
            return features.as_slice();
        }
        let known = self.made.iter().position(|(made, arranged, _)| made == layout && *arranged == arrangement);
        let index = known.unwrap_or_else(|| {
            let values = self.make(layout, features, samples, rate);
            let values = match arrangement {
                Arrangement::Straight => values,
                Arrangement::Turned => turned(&values, layout.size().1),
            };
            self.made.push((layout.clone(), arrangement, values));
            self.made.len() - 1
        });
        self.made.get(index).map_or(&[], |(_, _, values)| values)
    }

    fn make(&mut self, layout: &Layout, features: &Features, samples: &[f32], rate: u32) -> Vec<f32> {
        match layout {
            Layout::Own => features.as_slice().to_vec(),
            Layout::Mfcc(params) | Layout::LogMel(params) => {
                let sound = self.resampler.resample(samples, rate, params.sample_rate, params.samples);
                let known = self.spectral.iter().position(|spectral| spectral.params() == params);
                let index = known.unwrap_or_else(|| {
                    self.spectral.push(Spectral::new(params.clone()));
                    self.spectral.len() - 1
                });
                self.spectral.get_mut(index).map(|spectral| spectral.compute(&sound)).unwrap_or_default()
            }
            Layout::Waveform(waveform) => {
                let mut sound = self.resampler.resample(samples, rate, waveform.sample_rate, waveform.samples);
                sound.resize(waveform.samples, 0.0);
                if waveform.peak {
                    let peak = sound.iter().fold(0f32, |peak, sample| peak.max(sample.abs()));
                    if peak > f32::MIN_POSITIVE {
                        sound.iter_mut().for_each(|sample| *sample /= peak);
                    }
                }
                sound
            }
        }
    }
}

/// A picture with `columns` columns, column by column.
fn turned(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns.max(1)).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Layout, String> {
        Layout::parse(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_old_layout_is_what_mfcc_means_alone() {
        let layout = parse("\"mfcc\"").unwrap();
        assert_eq!(layout.size(), (40, 98));
        assert_eq!(layout.usual_shape(), [1, 40, 98, 1]);
        let said = r#"{"mfcc": {"sample_rate": 44100, "samples": 50000, "n_fft": 2048, "hop_length": 512,
                       "n_mels": 128, "n_mfcc": 40, "fmin": 0, "top_db": 80, "normalize": true}}"#;
        assert_eq!(parse(said).unwrap(), layout);
        let old = OldInput { target_sr: Some(44_100), n_mfcc: Some(40), ..OldInput::default() };
        assert_eq!(old.layout().unwrap(), layout);
        assert!(old.is_said() && !OldInput::default().is_said());
        assert_ne!(parse(r#"{"mfcc": {"top_db": null}}"#).unwrap().tag(""), layout.tag(""));
    }

    #[test]
    fn a_number_out_of_bounds_is_refused_with_the_bounds() {
        for (json, word) in [
            (r#"{"mfcc": {"n_mfcc": 200}}"#, "2 to 128"),
            (r#"{"mfcc": {"n_fft": 1023}}"#, "even"),
            (r#"{"mfcc": {"n_ftt": 1024}}"#, "n_ftt"),
            (r#"{"mfcc": {"hop_length": 0}}"#, "1 to 2048"),
            (r#"{"log_mel": {"n_mfcc": 13}}"#, "log_mel has no n_mfcc"),
            (r#"{"log_mel": {"samples": 441000, "hop_length": 1, "n_mels": 512}}"#, "longer hop_length"),
            (r#"{"waveform": {"sample_rate": 16000, "samples": 160001}}"#, "160000"),
            (r#"{"waveform": {"sample_rate": 16000}}"#, "samples"),
            (r#"{"cqt": {}}"#, "mfcc"),
            ("3", "expected"),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(word), "{json}: {error}");
        }
        let error = parse("\"logmel64x48-0\"").unwrap_err();
        assert!(error.contains("logmel64x48-0") && error.contains(FEATURES_VERSION), "{error}");
    }

    #[test]
    fn shapes_may_have_ones_anywhere_and_be_turned() {
        let layout = parse("\"mfcc\"").unwrap();
        for shape in [&[1, 40, 98, 1][..], &[1, 1, 40, 98], &[40, 98]] {
            assert_eq!(layout.arrangement(shape), Some(Arrangement::Straight), "{shape:?}");
        }
        assert_eq!(layout.arrangement(&[1, 98, 40]), Some(Arrangement::Turned));
        assert_eq!(layout.arrangement(&[1, 40, 97, 1]), None);
        assert_eq!(layout.arrangement(&[2, 40, 98]), None);
        let sound = parse(r#"{"waveform": {"sample_rate": 8000, "samples": 800}}"#).unwrap();
        assert_eq!(sound.arrangement(&[1, 1, 800]), Some(Arrangement::Straight));
        assert_eq!(turned(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}
