//! From a file's bytes to numbers: decoding, attributes, features. Knows nothing of models or stores.

use serde::{Deserialize, Serialize};

mod attack;
mod codec;
pub mod decode;
mod descriptors;
pub mod features;
mod frames;
mod mel;
mod mix;
pub mod resample;
mod riff;
mod shape;
pub mod spectral;
#[cfg(test)]
mod tests;
mod vector;

pub use attack::{ATTACK_BANDS, ATTACK_FRAMES};
pub use codec::Codec;
pub use decode::{DecodeError, Decoded, Decoder, Source};
pub use descriptors::{DESCRIPTOR_NAMES, DESCRIPTORS};
pub use features::{Extractor, FEATURES_VERSION, FRAMES, Features, MEL_BANDS};

/// What can be said of a sample's sound without a model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Attributes {
    /// Duration in seconds.
    pub duration_sec: f64,
    /// Root mean square level of the mono mix in dBFS; full-scale square wave is 0, silence [`SILENCE_DBFS`].
    pub rms_dbfs: f32,
    /// Spectral centroid in Hz: the magnitude-weighted mean frequency, averaged over frames.
    pub centroid_hz: f32,
    /// Spectral rolloff in Hz: the frequency below which 85 % of a frame's magnitude lies, averaged over frames.
    pub rolloff_hz: f32,
    /// Frames a second, in Hz.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u16,
    /// The codec's short name, such as `pcm_s16le`, `flac` or `mp3`.
    pub codec: Codec,
}

/// The level given to silence, in dBFS.
pub const SILENCE_DBFS: f32 = -120.0;
