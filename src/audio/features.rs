//! What the model reads (a picture of a sound's first 2.4 s, and the descriptors), and the spectral attributes, all from
//! the same spectra.
//!
//! Nothing is resampled: the window is fixed in seconds and the mel bands in Hz, so a sound gives (nearly) the same
//! features at any sample rate, and bands above the Nyquist frequency stay at the floor.

use rustfft::FftPlanner;

use super::SILENCE_DBFS;
use super::attack::{ATTACK_BANDS, ATTACK_FRAMES, Attack, AttackPlan};
use super::descriptors::{self, DESCRIPTORS, Spectra};
use super::frames::{FramePlan, Frames, Group};
use super::mel::{self, FilterBank};
use super::shape::Shape;
#[cfg(target_arch = "x86_64")]
use super::vector::Wide;
use super::vector::{Eight, Plain, Vector};

/// Names this definition of the features. It goes into every record and into a model's description, and changes with
/// anything that changes a value.
pub const FEATURES_VERSION: &str = "picture64x64+32x32+63-1";
/// Number of frequency bands, 28 Hz to 17 kHz.
pub const MEL_BANDS: usize = mel::PICTURE.bands;
/// Number of frames, at the times of [`frame_time`].
pub const FRAMES: usize = 64;

/// Length of a window in seconds: 2048 samples at 44.1 kHz, enough to tell a kick's 50 Hz from a tom's 90.
const WINDOW_SEC: f64 = 2048.0 / 44_100.0;
/// Level below the loudest band and frame that counts as nothing, in dB.
const FLOOR_DB: f32 = -80.0;
/// A sound starts where it first reaches this part of its peak (-26 dB).
const ONSET_RATIO: f32 = 0.05;
/// A sound ends where it last reaches this part of its peak (-80 dB).
const END_RATIO: f32 = 1e-4;
/// A peak below this (-80 dBFS) is silence: a few steps of 16-bit dither.
const SILENT_PEAK: f32 = 1e-4;
/// Shortest sound that can be classified, in seconds: a click below it has no pitch, noise or decay to hear.
const SHORTEST_SEC: f64 = 0.005;
/// How many sample rates an extractor keeps tables for.
const PLANS: usize = 8;

/// Time of a frame's centre after the onset, in seconds: every 10 ms up to 0.12 s, where an attack is; every 20 ms up
/// to 0.52 s; every 40 ms up to 1.16 s, where only the decay is left to follow; every 80 ms up to 2.36 s, where crashes
/// and rides part from hi-hats.
pub fn frame_time(frame: usize) -> f64 {
    const FINE: usize = 12;
    const MEDIUM: usize = 32;
    const COARSE: usize = 48;
    let steps = |from: usize, to: usize| frame.clamp(from, to) - from;
    0.010 * steps(0, FINE) as f64
        + 0.020 * steps(FINE, MEDIUM) as f64
        + 0.040 * steps(MEDIUM, COARSE) as f64
        + 0.080 * steps(COARSE, FRAMES) as f64
}

/// Time a frame stands for, in seconds: the step to the next frame.
pub(super) fn frame_step(frame: usize) -> f32 {
    (frame_time(frame.min(FRAMES - 2) + 1) - frame_time(frame.min(FRAMES - 2))) as f32
}

/// What the model reads: a picture of [`MEL_BANDS`] rows of [`FRAMES`] values, low bands first, in which 1 is the loudest
/// band and frame of the sound and 0 is 80 dB below it or nothing at all; a picture of the attack, [`ATTACK_BANDS`] rows of
/// [`ATTACK_FRAMES`]; then [`DESCRIPTORS`] numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Features(Vec<f32>);

impl Features {
    /// Number of values: both pictures and the descriptors.
    pub const LEN: usize = Self::PICTURE + ATTACK_BANDS * ATTACK_FRAMES + DESCRIPTORS;
    /// Number of values of the first picture.
    pub const PICTURE: usize = MEL_BANDS * FRAMES;

    /// The values: the pictures band by band, then the descriptors.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }
}

/// Why a sound that could be decoded has no features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// Shorter than 5 ms.
    #[error("shorter than 5 ms")]
    TooShort,
    /// Nothing in it reaches -80 dBFS.
    #[error("nothing in it is louder than -80 dBFS")]
    Silent,
}

/// What was computed from a sound's samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// Root mean square level over all samples, in dBFS, never below [`SILENCE_DBFS`]: 20 log10 of the root of the
    /// mean square, so that a full-scale sine has -3.01 (the convention without AES17's 3 dB offset).
    pub rms_dbfs: f32,
    /// Spectral centroid in Hz: in each frame the magnitude-weighted mean of the bins' frequencies (Peeters, *A large
    /// set of audio features*, Ircam 2004, 6.1.1), then the mean over frames, each weighted with the time it stands
    /// for. 0 where nothing was heard.
    pub centroid_hz: f32,
    /// Spectral rolloff in Hz: in each frame the lowest frequency below which 85 % of the magnitude lies (Scheirer
    /// and Slaney 1997 with another share), averaged as the centroid is. 0 where nothing was heard.
    pub rolloff_hz: f32,
    /// What the model reads.
    pub features: Result<Features, Unheard>,
}

/// Tables for one sample rate.
struct Plan {
    rate: u32,
    frames: FramePlan,
    bank: FilterBank,
    attack: AttackPlan,
}

impl Plan {
    fn new(planner: &mut FftPlanner<f32>, rate: u32) -> Self {
        let frames = FramePlan::new(planner, rate, WINDOW_SEC);
        let bank = FilterBank::new(&mel::PICTURE, frames.bin_hz(), frames.bins());
        Plan { rate, frames, bank, attack: AttackPlan::new(planner, rate) }
    }
}

/// Computes features and attributes; keeps its tables and buffers between sounds. One per thread.
pub struct Extractor {
    planner: FftPlanner<f32>,
    plans: Vec<Plan>,
    frames: Frames,
    group: Group,
    energies: Vec<[f32; MEL_BANDS]>,
    spectra: Spectra,
    attack: Attack,
    avx2: bool,
}

impl Default for Extractor {
    fn default() -> Self {
        Self::new()
    }
}

impl Extractor {
    /// An extractor with no tables yet.
    pub fn new() -> Self {
        Self {
            planner: FftPlanner::new(),
            plans: Vec::new(),
            frames: Frames::default(),
            group: Group::default(),
            energies: Vec::with_capacity(FRAMES),
            spectra: Spectra::new(),
            attack: Attack::default(),
            #[cfg(target_arch = "x86_64")]
            avx2: std::arch::is_x86_feature_detected!("avx2"),
            #[cfg(not(target_arch = "x86_64"))]
            avx2: false,
        }
    }

    /// Features and attributes of a mono sound. `samples` must be finite; `rate` is in Hz and not 0.
    pub fn extract(&mut self, samples: &[f32], rate: u32) -> Sound {
        #[cfg(target_arch = "x86_64")]
        {
            /// The same code with wider registers: same operations in the same order, same values.
            #[target_feature(enable = "avx2")]
            fn extract_avx2(extractor: &mut Extractor, samples: &[f32], rate: u32) -> Sound {
                extractor.extract_with::<Wide>(samples, rate)
            }
            if self.avx2 {
                // SAFETY: the processor was asked for AVX2 when the extractor was made.
                return unsafe { extract_avx2(self, samples, rate) };
            }
        }
        self.extract_with::<Plain>(samples, rate)
    }

    #[inline(always)]
    fn extract_with<V: Vector>(&mut self, samples: &[f32], rate: u32) -> Sound {
        let extent = Extent::of::<V>(samples, rate);
        let too_short = (samples.len() as f64) < SHORTEST_SEC * f64::from(rate);
        if extent.peak < SILENT_PEAK || rate == 0 {
            let unheard = if too_short { Unheard::TooShort } else { Unheard::Silent };
            return Sound { rms_dbfs: extent.rms_dbfs, centroid_hz: 0.0, rolloff_hz: 0.0, features: Err(unheard) };
        }
        let (bin_hz, centroid_hz, rolloff_hz) = self.transform_frames::<V>(samples, rate, &extent);
        let features = if too_short {
            Err(Unheard::TooShort)
        } else {
            let place = descriptors::Place { onset: extent.onset, end: extent.end, peak: extent.peak, rate };
            let descriptors = self.spectra.describe(samples, &place, &self.energies, bin_hz);
            Ok(self.features::<V>(samples, rate, &extent, &descriptors))
        };
        Sound { rms_dbfs: extent.rms_dbfs, centroid_hz, rolloff_hz, features }
    }

    /// Transforms each frame once: leaves its band energies in `self.energies` and its spectrum in `self.spectra`, returns
    /// the distance of bins, centroid and rolloff in Hz.
    #[inline(always)]
    fn transform_frames<V: Vector>(&mut self, samples: &[f32], rate: u32, extent: &Extent) -> (f32, f32, f32) {
        let plan = match self.plans.iter().position(|plan| plan.rate == rate) {
            Some(index) => &self.plans[index],
            None => {
                if self.plans.len() >= PLANS {
                    self.plans.remove(0);
                }
                self.plans.push(Plan::new(&mut self.planner, rate));
                &self.plans[self.plans.len() - 1]
            }
        };
        self.frames.begin(&plan.frames);
        self.group.begin(&plan.frames);
        self.energies.clear();
        self.spectra.begin(plan.frames.bins());
        let bin_hz = plan.frames.bin_hz() as f32;
        // A frame counts while it starts before the sound's end.
        let starts: [i64; FRAMES] = std::array::from_fn(|frame| plan.frames.start(extent.onset, frame_time(frame)));
        let count = starts.iter().take_while(|&&start| start < extent.end as i64).count();
        // The peak becomes 1, so that no float file, however hot, overflows the squares.
        let gain = 1.0 / extent.peak;
        let mut shapes = [Shape::default(); FRAMES];
        for (group, starts) in starts[..count].chunks(Eight::LANES).enumerate() {
            let first = group * Eight::LANES;
            self.group.transform::<V>(&mut self.frames, &plan.frames, samples, starts, gain);
            let Group { rows, lanes } = &self.group;
            let mut energies = [Eight::ZERO; MEL_BANDS];
            plan.bank.apply::<V>(lanes, &mut energies);
            self.energies.extend((0..starts.len()).map(|lane| energies.map(|energy| energy.0[lane])));
            Shape::of::<V>(lanes, bin_hz, &mut shapes[first..first + starts.len()]);
            for (lane, row) in rows.iter().take(starts.len()).enumerate() {
                self.spectra.add(first + lane, row);
            }
        }
        let (centroid_hz, rolloff_hz) = Shape::average(&shapes[..count]);
        (bin_hz, centroid_hz, rolloff_hz)
    }

    /// Both pictures and the descriptors in a row.
    #[inline(always)]
    fn features<V: Vector>(
        &mut self,
        samples: &[f32],
        rate: u32,
        extent: &Extent,
        descriptors: &[f32; DESCRIPTORS],
    ) -> Features {
        let mut values = Vec::with_capacity(Features::LEN);
        log_picture(&self.energies, FRAMES, FLOOR_DB, &mut values);
        // The plan of this rate was made for the first picture.
        if let Some(plan) = self.plans.iter().find(|plan| plan.rate == rate) {
            let gain = 1.0 / extent.peak;
            self.attack.draw::<V>(&plan.attack, samples, [extent.onset, extent.end], gain, &mut values);
        }
        values.extend_from_slice(descriptors);
        Features(values)
    }
}

/// Appends a picture of the energies of some frames, bands times `frames`: decibels below the loudest, floored at
/// `floor_db` and scaled to 0..1.
#[inline(always)]
pub(super) fn log_picture<const BANDS: usize>(
    energies: &[[f32; BANDS]],
    frames: usize,
    floor_db: f32,
    values: &mut Vec<f32>,
) {
    let loudest = energies.iter().flatten().fold(f32::MIN_POSITIVE, |max, &energy| max.max(energy));
    let least = loudest * 10f32.powf(floor_db / 10.0);
    // 10 log10(x) = DB_PER_OCTAVE log2(x).
    const DB_PER_OCTAVE: f32 = 3.010_3;
    let scale = DB_PER_OCTAVE / -floor_db;
    let first = values.len();
    values.resize(first + BANDS * frames, 0.0);
    let picture = &mut values[first..];
    for (frame, energies) in energies.iter().enumerate().take(frames) {
        // Of what is not above the least it is 0; without a branch the whole frame is done at once.
        let mut column = *energies;
        for value in &mut column {
            let above = if *value > least { *value } else { least };
            *value = log2(above / least) * scale;
        }
        for (band, value) in column.into_iter().enumerate() {
            picture[band * frames + frame] = value;
        }
    }
}

/// Logarithm to base 2 of a normal positive number, within 2e-7: the exponent, and the series of the inverse hyperbolic
/// tangent for the rest. The library's takes four times as long, and can't be done for several numbers at once.
#[inline(always)]
fn log2(x: f32) -> f32 {
    /// The square root of a half: what is split off lies around 1, where the series is short.
    const ROOT_HALF: u32 = 0x3F35_04F3;
    let offset = x.to_bits().wrapping_sub(ROOT_HALF);
    let exponent = offset as i32 >> 23;
    let rest = f32::from_bits((offset & 0x007F_FFFF) + ROOT_HALF);
    let s = (rest - 1.0) / (rest + 1.0);
    let square = s * s;
    let series = 1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0 + square * (1.0 / 9.0))));
    exponent as f32 + s * series * (2.0 * std::f32::consts::LOG2_E)
}

/// Where a sound is in its samples, and how loud.
struct Extent {
    peak: f32,
    rms_dbfs: f32,
    onset: usize,
    end: usize,
}

impl Extent {
    #[inline(always)]
    fn of<V: Vector>(samples: &[f32], rate: u32) -> Self {
        // Blocks of a millisecond: peaks first, then only the two blocks that matter are looked into.
        let block = (rate as usize / 1000).max(1);
        let mut squares = 0f64;
        let mut peak = 0f32;
        for chunk in samples.chunks(1024) {
            let (eights, rest) = chunk.as_chunks::<8>();
            let mut sums = V::splat(0.0);
            let mut peaks = V::splat(0.0);
            for eight in eights {
                let values = V::load(eight);
                sums = sums.add(values.mul(values));
                peaks = peaks.larger_size(values);
            }
            let [mut sum, mut most] = [Eight::ZERO; 2];
            sums.store(&mut sum.0);
            peaks.store(&mut most.0);
            squares += sum.0.iter().map(|&sum| f64::from(sum)).sum::<f64>();
            squares += rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
            peak = most.0.iter().chain(rest).fold(peak, |max, &x| max.max(x.abs()));
        }
        if !squares.is_finite() {
            // Samples beyond 1e19 square to infinity in single precision.
            squares = samples.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        }
        let mean = squares / samples.len().max(1) as f64;
        let rms_dbfs = if mean > 0.0 { (10.0 * mean.log10()) as f32 } else { SILENCE_DBFS };
        let reaches = |level: f32| move |chunk: &[f32]| chunk.iter().any(|x| x.abs() >= level);
        let first = samples.chunks(block).position(reaches(peak * ONSET_RATIO)).unwrap_or(0) * block;
        let onset = samples[first..].iter().position(|x| x.abs() >= peak * ONSET_RATIO).unwrap_or(0) + first;
        let end = samples.iter().rposition(|x| x.abs() >= peak * END_RATIO).map_or(0, |last| last + 1);
        Extent { peak, rms_dbfs: rms_dbfs.max(SILENCE_DBFS), onset, end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_that_of_the_library() {
        for step in 0..400_000u32 {
            let x = f32::from_bits(1.0f32.to_bits() + step * 600);
            let (found, expected) = (f64::from(log2(x)), f64::from(x).log2());
            assert!((found - expected).abs() < 2e-7 * expected.max(1.0), "{x}: {found}, {expected}");
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn avx2_changes_no_bit_of_the_features() {
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let [mut plain, mut wide] = [Extractor::new(), Extractor::new()];
        plain.avx2 = false;
        for (rate, seconds) in
            [(44_100, 0.3), (44_100, 3.0), (48_000, 0.9), (22_050, 0.01), (96_000, 1.0), (11_025, 0.2)]
        {
            let len = (f64::from(rate) * seconds) as usize;
            let decay = -6.0 / len as f32;
            let samples: Vec<f32> = (0..len).map(|n| noise() * (n as f32 * decay).exp()).collect();
            assert_eq!(plain.extract(&samples, rate), wide.extract(&samples, rate), "{rate} Hz, {seconds} s");
        }
    }
}
