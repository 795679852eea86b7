//! What is kept of a sound to find others like it: 130 bytes that do not depend on level, and hardly on format, sample
//! rate and trim.

use std::f32::consts::TAU;
use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

use crate::audio::resample::Resampler;

/// Sounds are looked at at this rate, in Hz. What is above half of it tells sounds apart less than it depends on formats.
pub(super) const RATE: u32 = 16_000;

/// A sound starts where it first reaches this part of its peak (-14 dB). What an encoder spreads before a beginning (AAC up
/// to 30 ms of it) is below that, other than the -26 dB of the model's features.
pub(super) const ONSET_RATIO: f32 = 0.2;
/// A peak below this (-80 dBFS) is silence.
const SILENT_PEAK: f32 = 1e-4;

/// Bands of the spectrum, spaced evenly by logarithm.
pub(super) const BANDS: usize = 8;
/// Moments it is looked at.
pub(super) const MOMENTS: usize = 8;
/// The lowest and the highest frequency of the bands, in Hz.
const RANGE_HZ: [f32; 2] = [80.0, 5_500.0];
/// When, in seconds after the onset.
const TIMES: [f32; MOMENTS] = [0.0, 0.012, 0.025, 0.04, 0.06, 0.09, 0.13, 0.19];
/// Length of a window in samples: 32 ms.
const WINDOW: usize = 512;
/// How much of a sound is looked at, in seconds, from so much before the onset to so much after it.
const BEFORE: f32 = 0.02;
const AFTER: f32 = 0.24;

/// Signs of the waveform: 32 ms.
const SIGNS: usize = 512;
/// Between these frequencies, in Hz.
const PASSED_HZ: [f32; 2] = [600.0, 2_400.0];
const WORDS: usize = SIGNS / 64;
/// What lies below this part of the peak is silence or noise, whose sign says nothing.
const HEARD: f32 = 0.01;
/// How far two onsets may be apart and still be aligned, in signs: 5 ms.
const MOST_LAG: usize = 80;
/// Where so many signs agree, the lags beside it are tried too.
const MORE_THAN_CHANCE: f32 = 0.62;
/// Fewer signs than this prove nothing.
const LEAST_SIGNS: usize = 48;

/// What is kept of one content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// Amplitudes, moment after moment, 255 for the loudest.
    shape: [u8; BANDS * MOMENTS],
    /// Signs from 4 ms before the onset on.
    signs: [u64; WORDS],
    /// How many of them are of something that is heard.
    heard: u16,
}

impl Outline {
    /// Length of an outline in bytes.
    pub const LEN: usize = BANDS * MOMENTS + SIGNS / 8 + 2;

    /// How many signs there are.
    #[cfg(test)]
    pub(super) const SIGNS: usize = SIGNS;

    /// How many of the bytes are the spectrum.
    #[cfg(test)]
    pub(super) const LEN_OF_SHAPE: usize = BANDS * MOMENTS;

    /// As bytes, to keep it.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::LEN);
        bytes.extend_from_slice(&self.shape);
        self.signs.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        bytes.extend_from_slice(&self.heard.to_le_bytes());
        bytes
    }

    /// From what [`Outline::to_bytes`] gave; none for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (shape, rest) = bytes.split_first_chunk()?;
        let (signs, rest) = rest.split_first_chunk::<{ SIGNS / 8 }>()?;
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(signs.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let heard = u16::from_le_bytes(rest.try_into().ok()?);
        (usize::from(heard) <= SIGNS).then_some(Self { shape: *shape, signs: words, heard })
    }

    /// The first `moments` of the spectrum as a vector of length 1.
    pub(super) fn beginning(&self, moments: usize) -> impl Iterator<Item = f32> + '_ {
        let shape = self.shape.get(..moments * BANDS).unwrap_or(&self.shape);
        let energy: f32 = shape.iter().map(|&value| f32::from(value) * f32::from(value)).sum();
        let gain = if energy > 0.0 { 1.0 / energy.sqrt() } else { 0.0 };
        shape.iter().map(move |&value| f32::from(value) * gain)
    }

    /// How far apart two spectra are over the moments in which both sound, from 0 to √2: a tail that was cut does not
    /// count.
    pub fn apart(&self, other: &Self) -> f32 {
        let both = self.moments().min(other.moments()).max(1) * BANDS;
        let (a, b) = (self.shape.get(..both).unwrap_or(&self.shape), other.shape.get(..both).unwrap_or(&other.shape));
        let product = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(&a, &b)| u32::from(a) * u32::from(b)).sum::<u32>();
        let scale = (f64::from(product(a, a)) * f64::from(product(b, b))).sqrt();
        let alike = if scale > 0.0 { f64::from(product(a, b)) / scale } else { 0.0 };
        (2.0 - 2.0 * alike).max(0.0).sqrt() as f32
    }

    /// The moments before silence.
    fn moments(&self) -> usize {
        let mut moments = self.shape.as_chunks::<BANDS>().0.iter();
        moments.rposition(|bands| bands.iter().any(|&band| band > 2)).map_or(0, |last| last + 1)
    }

    /// Which share of the signs is the same where the two lie on each other best, or opposite where that is more: above
    /// 0.5 for any two sounds, 1 for a copy. None where too little is heard to say.
    pub fn agreement(&self, other: &Self) -> Option<f32> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("popcnt") {
            // SAFETY: the processor has what the function was compiled for.
            return unsafe { agreement_fast(self, other) };
        }
        agreement(self, other)
    }

    /// A bit for each sign that is heard.
    #[inline(always)]
    fn heard_bits(&self) -> [u64; WORDS] {
        let mut bits = [0; WORDS];
        let mut left = usize::from(self.heard);
        for word in &mut bits {
            *word = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
            left = left.saturating_sub(64);
        }
        bits
    }
}

/// [`agreement`] with the instruction that counts bits: six times as fast.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn agreement_fast(a: &Outline, b: &Outline) -> Option<f32> {
    agreement(a, b)
}

/// See [`Outline::agreement`]. Every second lag is tried, and those beside one where more agree than chance brings about:
/// the wave between 600 and 2,400 Hz is still much like itself one sign later. Without closures, which are not compiled for
/// the processor that was found.
#[inline(always)]
fn agreement(a: &Outline, b: &Outline) -> Option<f32> {
    let mut best = -1.0f32;
    for (early, late) in [(a, b), (b, a)] {
        let (early_heard, late_heard) = (early.heard_bits(), late.heard_bits());
        let (mut signs, mut heard) = (early.signs, early_heard);
        let mut more = 0u64;
        for step in 0..=MOST_LAG / 2 {
            let count = usize::from(early.heard).saturating_sub(2 * step).min(usize::from(late.heard));
            if count < LEAST_SIGNS {
                break;
            }
            let here = share(&signs, &heard, &late.signs, &late_heard, count);
            best = best.max(here);
            more |= u64::from(here >= MORE_THAN_CHANCE) << step;
            for place in 0..WORDS - 1 {
                signs[place] = signs[place] >> 2 | signs[place + 1] << 62;
                heard[place] = heard[place] >> 2 | heard[place + 1] << 62;
            }
            signs[WORDS - 1] >>= 2;
            heard[WORDS - 1] >>= 2;
        }
        // Behind or before such a one.
        let mut odd = more | more >> 1;
        while odd != 0 {
            let lag = 2 * odd.trailing_zeros() as usize + 1;
            odd &= odd - 1;
            let count = usize::from(early.heard).saturating_sub(lag).min(usize::from(late.heard));
            if count >= LEAST_SIGNS && lag <= MOST_LAG {
                let (signs, heard) = (shifted(&early.signs, lag), shifted(&early_heard, lag));
                best = best.max(share(&signs, &heard, &late.signs, &late_heard, count));
            }
        }
    }
    (best >= 0.0).then_some(best)
}

/// Which share of `count` signs that are heard in both is the same, or opposite where that is more.
#[inline(always)]
fn share(
    signs: &[u64; WORDS],
    heard: &[u64; WORDS],
    other: &[u64; WORDS],
    other_heard: &[u64; WORDS],
    count: usize,
) -> f32 {
    let mut differing = 0;
    for place in 0..WORDS {
        differing += ((signs[place] ^ other[place]) & heard[place] & other_heard[place]).count_ones();
    }
    differing.max(count as u32 - differing) as f32 / count as f32
}

/// The bits from `lag` on, at the beginning.
#[inline(always)]
fn shifted(words: &[u64; WORDS], lag: usize) -> [u64; WORDS] {
    let (whole, bits) = (lag / 64, lag % 64);
    // Silence behind them.
    let mut padded = [0; WORDS + MOST_LAG / 64 + 2];
    padded[..WORDS].copy_from_slice(words);
    let mut moved = [0; WORDS];
    let Some(from) = padded.get(whole..whole + WORDS + 1) else { return moved };
    for place in 0..WORDS {
        // Twice, so that a shift by 64 leaves nothing.
        moved[place] = from[place] >> bits | from[place + 1] << (63 - bits) << 1;
    }
    moved
}

/// Makes outlines; keeps its tables between sounds. One per thread.
pub struct Outliner {
    resampler: Resampler,
    fft: Arc<dyn Fft<f32>>,
    window: Vec<f32>,
    /// The band of each bin of the spectrum; none below and above them.
    bands: Vec<Option<usize>>,
}

impl Default for Outliner {
    fn default() -> Self {
        let bin_hz = RATE as f32 / WINDOW as f32;
        let [lowest, highest] = RANGE_HZ;
        let band = |bin: usize| {
            let hz = bin as f32 * bin_hz;
            let at = (hz / lowest).ln() / (highest / lowest).ln() * BANDS as f32;
            (hz >= lowest && at < BANDS as f32).then_some(at as usize)
        };
        Self {
            resampler: Resampler::coarse(),
            fft: FftPlanner::new().plan_fft_forward(WINDOW),
            // Hann.
            window: (0..WINDOW).map(|n| 0.5 - 0.5 * (TAU * n as f32 / WINDOW as f32).cos()).collect(),
            bands: (0..=WINDOW / 2).map(band).collect(),
        }
    }
}

/// A part of a sound.
pub(super) struct Around {
    pub samples: Vec<f32>,
    /// Where the onset is in it, in samples.
    pub onset: usize,
}

/// A part of a sound around its onset, in seconds before and after it, after silence where there is less before; none for
/// silence.
pub(super) fn around_onset(samples: &[f32], rate: u32, [before, after]: [f32; 2]) -> Option<Around> {
    let peak = samples.iter().fold(0f32, |peak, sample| peak.max(sample.abs()));
    if peak < SILENT_PEAK || rate == 0 {
        return None;
    }
    let onset = samples.iter().position(|sample| sample.abs() >= peak * ONSET_RATIO)?;
    let count = |seconds: f32| (seconds * rate as f32) as usize;
    let lead = count(before);
    let end = samples.len().min(onset + count(after));
    let mut part = vec![0.0; lead.saturating_sub(onset)];
    part.extend_from_slice(samples.get(onset.saturating_sub(lead)..end)?);
    // Room for the filter to ring.
    part.resize(part.len() + count(0.005), 0.0);
    Some(Around { samples: part, onset: lead })
}

impl Outliner {
    /// The outline of a sound; none for silence.
    pub fn outline(&mut self, samples: &[f32], rate: u32) -> Option<Outline> {
        let around = around_onset(samples, rate, [BEFORE, AFTER])?;
        let excerpt = self.resampler.resample(&around.samples, rate, RATE, usize::MAX);
        let onset = (around.onset as f32 / rate as f32 * RATE as f32) as usize;
        let mut amplitudes = [0f32; BANDS * MOMENTS];
        for (time, bands) in TIMES.iter().zip(amplitudes.as_chunks_mut::<BANDS>().0) {
            let middle = onset + (time * RATE as f32) as usize;
            *bands = self.spectrum(&excerpt, middle.saturating_sub(WINDOW / 3));
        }
        let loudest = amplitudes.iter().copied().fold(0f32, f32::max);
        if loudest <= 0.0 {
            return None;
        }
        let mut shape = [0u8; BANDS * MOMENTS];
        for (value, amplitude) in shape.iter_mut().zip(amplitudes) {
            *value = (amplitude / loudest * 255.0).round() as u8;
        }
        let (signs, heard) = signs(&excerpt, onset.saturating_sub(RATE as usize / 250));
        Some(Outline { shape, signs, heard })
    }

    /// Amplitudes in the bands of a window that starts at a sample.
    fn spectrum(&self, excerpt: &[f32], start: usize) -> [f32; BANDS] {
        let samples = excerpt.get(start..).unwrap_or_default().iter().chain(std::iter::repeat(&0.0));
        let mut buffer: Vec<Complex32> =
            samples.zip(&self.window).map(|(sample, window)| Complex32::new(sample * window, 0.0)).collect();
        self.fft.process(&mut buffer);
        let mut powers = [0f32; BANDS];
        for (bin, band) in buffer.iter().zip(&self.bands) {
            if let Some(power) = band.and_then(|band| powers.get_mut(band)) {
                *power += bin.norm_sqr();
            }
        }
        powers.map(f32::sqrt)
    }
}

/// Signs from `start` on, of the sound between 600 and 2,400 Hz: formats change what is higher, and lower down many sounds
/// are the same wave; and how many of them are heard.
fn signs(excerpt: &[f32], start: usize) -> ([u64; WORDS], u16) {
    let (mut low, mut high) = (Section::new(PASSED_HZ[1], Cut::Above), Section::new(PASSED_HZ[0], Cut::Below));
    let values: Vec<f32> =
        excerpt.iter().take(start + SIGNS).map(|sample| high.next(low.next(*sample))).skip(start).collect();
    let peak = values.iter().fold(0f32, |peak, value| peak.max(value.abs()));
    let heard = values.iter().rposition(|value| value.abs() > peak * HEARD).map_or(0, |last| last + 1);
    let mut words = [0u64; WORDS];
    for (word, values) in words.iter_mut().zip(values.chunks(64)) {
        *word = values.iter().rev().fold(0, |word, value| word << 1 | u64::from(*value > 0.0));
    }
    (words, heard as u16)
}

/// A Butterworth filter of the second order at [`RATE`], by the bilinear transform (Oppenheim and Schafer, *Discrete-Time
/// Signal Processing*, 7.1).
struct Section {
    input: [f32; 3],
    output: [f32; 2],
    before: [f32; 4],
}

enum Cut {
    Above,
    Below,
}

impl Section {
    fn new(hz: f32, cut: Cut) -> Self {
        let warped = (std::f32::consts::PI * hz / RATE as f32).tan();
        let scale = 1.0 / (1.0 + std::f32::consts::SQRT_2 * warped + warped * warped);
        let output = [
            2.0 * (warped * warped - 1.0) * scale,
            (1.0 - std::f32::consts::SQRT_2 * warped + warped * warped) * scale,
        ];
        let input = match cut {
            Cut::Above => [1.0, 2.0, 1.0].map(|tap| tap * warped * warped * scale),
            Cut::Below => [1.0, -2.0, 1.0].map(|tap| tap * scale),
        };
        Self { input, output, before: [0.0; 4] }
    }

    fn next(&mut self, sample: f32) -> f32 {
        let [x1, x2, y1, y2] = self.before;
        let [b0, b1, b2] = self.input;
        let [a1, a2] = self.output;
        let value = b0 * sample + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2;
        self.before = [sample, x1, value, y1];
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(mut seed: u64, count: usize) -> Vec<f32> {
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        (0..count).map(|n| next() * (-(n as f32) / 6000.0).exp()).collect()
    }

    #[test]
    fn level_leading_silence_and_rate_change_an_outline_hardly() {
        let mut outliner = Outliner::default();
        let sound = noise(7, 20_000);
        let own = outliner.outline(&sound, 44_100).unwrap();
        let quiet: Vec<f32> = sound.iter().map(|x| x * 0.1).collect();
        let late: Vec<f32> = std::iter::repeat_n(0.0, 3000).chain(sound.iter().copied()).collect();
        let slow = Resampler::default().resample(&sound, 44_100, 22_050, usize::MAX);
        for (other, rate) in [(quiet, 44_100), (late, 44_100), (slow, 22_050)] {
            let other = outliner.outline(&other, rate).unwrap();
            assert!(own.apart(&other) < 0.05, "{}", own.apart(&other));
            assert!(own.agreement(&other).unwrap() > 0.75, "{:?}", own.agreement(&other));
        }
        // Another burst of the same noise has the same spectrum and another waveform.
        let other = outliner.outline(&noise(8, 20_000), 44_100).unwrap();
        assert!(own.agreement(&other).unwrap() < 0.72, "{:?}", own.agreement(&other));
    }

    #[test]
    fn an_outline_survives_being_kept_and_anything_else_is_none() {
        let outline = Outliner::default().outline(&noise(3, 5_000), 44_100).unwrap();
        let bytes = outline.to_bytes();
        assert_eq!(bytes.len(), Outline::LEN);
        assert_eq!(Outline::from_bytes(&bytes), Some(outline));
        assert_eq!(Outline::from_bytes(&bytes[1..]), None);
        assert_eq!(Outline::from_bytes(&[0xff; Outline::LEN]), None);
    }

    #[test]
    fn silence_and_next_to_nothing_have_none_or_one_without_a_panic() {
        let mut outliner = Outliner::default();
        assert!(outliner.outline(&[], 44_100).is_none());
        assert!(outliner.outline(&[0.0; 500], 44_100).is_none());
        assert!(outliner.outline(&[0.5], 44_100).is_some());
        assert!(outliner.outline(&[0.5; 10], 1_000_000).is_some());
        assert!(outliner.outline(&[0.5], 0).is_none());
    }

    #[test]
    fn bits_are_shifted_over_words() {
        let words: [u64; WORDS] = std::array::from_fn(|place| 1 << (place % 3));
        for lag in [0, 1, 40, 64, 70] {
            let moved = shifted(&words, lag);
            for bit in 0..SIGNS - lag {
                let of = |words: &[u64; WORDS], bit: usize| words[bit / 64] >> (bit % 64) & 1;
                assert_eq!(of(&moved, bit), of(&words, bit + lag), "{lag} {bit}");
            }
        }
    }

    #[test]
    fn a_wave_agrees_with_itself_at_any_lag_and_the_other_way_round() {
        let mut outliner = Outliner::default();
        let sound = outliner.outline(&noise(21, 20_000), 44_100).unwrap();
        for lag in [0, 1, 2, 33, 64, 79, 80] {
            let late = Outline { signs: shifted(&sound.signs, lag), heard: sound.heard - lag as u16, ..sound };
            let over = Outline { signs: late.signs.map(|word| !word), ..late };
            for (a, b) in [(&sound, &late), (&late, &sound), (&sound, &over)] {
                assert_eq!(a.agreement(b), Some(1.0), "{lag}");
                // Whatever the processor has.
                assert_eq!(agreement(a, b), a.agreement(b));
            }
        }
        let short = Outline { heard: LEAST_SIGNS as u16 - 1, ..sound };
        assert_eq!(sound.agreement(&short), None);
    }
}
