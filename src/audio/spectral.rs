//! MFCC and log-mel as librosa computes them, for models that were trained on its features.
//!
//! The steps and their constants are those of `librosa.feature.mfcc` (0.10 and later) with its usual arguments: frames
//! centred on multiples of the hop, with zeros beyond both ends; a periodic Hann window; power spectra; a mel bank on
//! Slaney's scale (*Auditory Toolbox*, 1998) whose triangles have the same area; decibels, floored 80 below the loudest;
//! an orthonormal DCT-II over the bands.

use rustfft::FftPlanner;

use super::frames::{FramePlan, Frames};
use super::resample::dot;

/// What counts as no power: `amin` of librosa's `power_to_db`.
const LEAST_POWER: f32 = 1e-10;

/// Which features, in librosa's names.
#[derive(Debug, Clone, PartialEq)]
pub struct SpectralParams {
    /// The rate that sounds are brought to, in Hz.
    pub sample_rate: u32,
    /// The length that sounds are padded with zeros or cut to, in samples.
    pub samples: usize,
    /// Length of a transform and its window, in samples.
    pub n_fft: usize,
    /// Samples from one frame to the next.
    pub hop_length: usize,
    /// Number of mel bands.
    pub n_mels: usize,
    /// Number of cepstral coefficients; none gives the mel bands themselves, in decibels.
    pub n_mfcc: Option<usize>,
    /// Lower end of the mel bands, in Hz.
    pub fmin: f64,
    /// Upper end of the mel bands, in Hz.
    pub fmax: f64,
    /// What is further below the loudest is raised to this, in dB; none leaves it.
    pub top_db: Option<f32>,
    /// Whether each frame is divided by the largest of its absolute values, as `librosa.util.normalize` does.
    pub normalize: bool,
}

impl SpectralParams {
    /// Rows of the picture: coefficients or bands.
    pub fn rows(&self) -> usize {
        self.n_mfcc.unwrap_or(self.n_mels)
    }

    /// Columns of the picture: frames.
    pub fn frames(&self) -> usize {
        1 + self.samples / self.hop_length.max(1)
    }
}

/// Computes one kind of features; keeps its tables and buffers between sounds. One per thread.
pub struct Spectral {
    params: SpectralParams,
    plan: FramePlan,
    spectra: Frames,
    /// For each band the first bin and the weights from there on.
    bands: Vec<(usize, Vec<f32>)>,
    /// One row of `n_mels` weights a coefficient; empty where there are none.
    cosines: Vec<f32>,
}

impl Spectral {
    /// Tables for `params`, whose numbers are not 0.
    pub fn new(params: SpectralParams) -> Self {
        let plan = FramePlan::of_length(&mut FftPlanner::new(), params.sample_rate, params.n_fft);
        let mut spectra = Frames::default();
        spectra.begin(&plan);
        let n_mels = params.n_mels as f64;
        // Orthonormal: sqrt(2 / N) cos(pi k (2n + 1) / 2N), and sqrt(1 / N) for k = 0.
        let cosines = (0..params.n_mfcc.unwrap_or(0))
            .flat_map(|k| {
                let scale = if k == 0 { 1.0 / n_mels } else { 2.0 / n_mels }.sqrt();
                (0..params.n_mels).map(move |n| {
                    let angle = std::f64::consts::PI * k as f64 * (2 * n + 1) as f64 / (2.0 * n_mels);
                    (scale * angle.cos()) as f32
                })
            })
            .collect();
        Self { bands: mel_bands(&params), plan, spectra, cosines, params }
    }

    /// What it computes.
    pub fn params(&self) -> &SpectralParams {
        &self.params
    }

    /// The picture of a sound that is at the right rate: [`SpectralParams::rows`] rows of [`SpectralParams::frames`]
    /// values. What is longer than [`SpectralParams::samples`] is cut, what is shorter padded.
    pub fn compute(&mut self, samples: &[f32]) -> Vec<f32> {
        let samples = samples.get(..self.params.samples).unwrap_or(samples);
        let (frames, n_mels) = (self.params.frames(), self.params.n_mels);
        // Band by band within a frame.
        let mut levels = vec![LEAST_POWER; frames * n_mels];
        for (pair, levels) in levels.chunks_mut(2 * n_mels).enumerate() {
            let start = (2 * pair * self.params.hop_length) as i64 - (self.params.n_fft / 2) as i64;
            let second = start + self.params.hop_length as i64;
            self.spectra.transform(&self.plan, samples, [Some(start), Some(second)], 1.0);
            for (power, levels) in self.spectra.power.iter().zip(levels.chunks_mut(n_mels)) {
                for (level, (first, weights)) in levels.iter_mut().zip(&self.bands) {
                    let bins = power.get(*first..).unwrap_or_default();
                    let energy = dot(weights, bins);
                    *level = energy.max(LEAST_POWER);
                }
            }
        }
        let mut loudest = f32::NEG_INFINITY;
        for level in &mut levels {
            *level = 10.0 * level.log10();
            loudest = loudest.max(*level);
        }
        if let Some(top_db) = self.params.top_db {
            levels.iter_mut().for_each(|level| *level = level.max(loudest - top_db));
        }
        let rows = self.params.rows();
        let mut picture = vec![0f32; rows * frames];
        let mut column = vec![0f32; rows];
        for (frame, levels) in levels.chunks(n_mels).enumerate() {
            if self.cosines.is_empty() {
                column.copy_from_slice(levels);
            } else {
                for (value, cosines) in column.iter_mut().zip(self.cosines.chunks(n_mels)) {
                    *value = dot(cosines, levels);
                }
            }
            if self.params.normalize {
                let largest = column.iter().fold(0f32, |largest, value| largest.max(value.abs()));
                if largest > f32::MIN_POSITIVE {
                    column.iter_mut().for_each(|value| *value /= largest);
                }
            }
            for (row, value) in column.iter().enumerate() {
                if let Some(slot) = picture.get_mut(row * frames + frame) {
                    *slot = *value;
                }
            }
        }
        picture
    }
}

/// Slaney's mel scale: linear up to 1 kHz, 15 mel there; logarithmic above, 27 mel for a factor of 6.4.
fn hz_to_mel(hz: f64) -> f64 {
    const LINEAR: f64 = 200.0 / 3.0;
    if hz < 1000.0 { hz / LINEAR } else { 15.0 + 27.0 * (hz / 1000.0).ln() / 6.4f64.ln() }
}

fn mel_to_hz(mel: f64) -> f64 {
    const LINEAR: f64 = 200.0 / 3.0;
    if mel < 15.0 { mel * LINEAR } else { 1000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp() }
}

/// Triangles over the bins, each divided by half its width in Hz, so that all have the same area.
fn mel_bands(params: &SpectralParams) -> Vec<(usize, Vec<f32>)> {
    let (low, high) = (hz_to_mel(params.fmin), hz_to_mel(params.fmax));
    let edge = |index: usize| mel_to_hz(low + (high - low) * index as f64 / (params.n_mels + 1) as f64);
    let bin_hz = f64::from(params.sample_rate) / params.n_fft as f64;
    (0..params.n_mels)
        .map(|band| {
            let (left, middle, right) = (edge(band), edge(band + 1), edge(band + 2));
            let weight = |bin: usize| {
                let hz = bin as f64 * bin_hz;
                let rising = (hz - left) / (middle - left);
                let falling = (right - hz) / (right - middle);
                rising.min(falling).max(0.0) * 2.0 / (right - left)
            };
            let first = (left / bin_hz).ceil().max(0.0) as usize;
            let last = ((right / bin_hz).floor() as usize).min(params.n_fft / 2);
            (first, (first..=last).map(|bin| weight(bin) as f32).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> SpectralParams {
        SpectralParams {
            sample_rate: 44_100,
            samples: 50_000,
            n_fft: 2048,
            hop_length: 512,
            n_mels: 128,
            n_mfcc: Some(40),
            fmin: 0.0,
            fmax: 22_050.0,
            top_db: Some(80.0),
            normalize: true,
        }
    }

    #[test]
    fn the_old_layout_has_forty_rows_of_ninety_eight_frames_none_above_one() {
        let mut spectral = Spectral::new(params());
        let sound: Vec<f32> = (0..30_000).map(|n| (n as f32 * 0.01).sin() * (-n as f32 / 5_000.0).exp()).collect();
        let picture = spectral.compute(&sound);
        assert_eq!(picture.len(), 40 * 98);
        for frame in 0..98 {
            let largest = (0..40).map(|row| picture[row * 98 + frame].abs()).fold(0.0, f32::max);
            assert!((largest - 1.0).abs() < 1e-6, "frame {frame}: {largest}");
        }
        // A longer sound is cut, the same samples give the same picture.
        let mut longer = vec![0.0; 50_000];
        longer[..30_000].copy_from_slice(&sound);
        longer.extend([1.0; 500]);
        assert_eq!(spectral.compute(&longer), picture);
    }

    #[test]
    fn silence_and_other_sizes_give_numbers() {
        assert!(Spectral::new(params()).compute(&[]).iter().all(|value| value.is_finite()));
        let other = SpectralParams {
            n_fft: 256,
            hop_length: 100,
            n_mels: 12,
            n_mfcc: None,
            top_db: None,
            samples: 999,
            ..params()
        };
        let picture = Spectral::new(other).compute(&[0.5; 999]);
        assert_eq!(picture.len(), 12 * 10);
        assert!(picture.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn the_mel_scale_turns_back() {
        for hz in [0.0, 440.0, 999.9, 1_000.0, 6_400.0, 22_050.0] {
            assert!((mel_to_hz(hz_to_mel(hz)) - hz).abs() < 1e-6 * hz.max(1.0));
        }
        assert!((hz_to_mel(6_400.0) - 42.0).abs() < 1e-9);
    }
}
