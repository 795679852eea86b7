//! Whether two waveforms are the same recording.

use std::collections::HashMap;
use std::f64::consts::TAU;
use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

use super::outline::{ONSET_RATIO, RATE, around_onset};
use crate::audio::resample::Resampler;

/// How much of a sound is compared, in seconds: from so much before the onset to so much after it.
const BEFORE: f32 = 0.04;
const AFTER: f32 = 4.0;
/// What is below this part of the peak (-60 dB) before a sound begins and after it ends is silence.
const HEARD: f32 = 1e-3;
/// Sounds of which this is not all are the same only where their lengths differ by no more than this part.
const LENGTHS: f64 = 0.05;
/// The onsets that were found may be this far apart, in seconds: encoders and cuts move them.
const MOST_LAG: f32 = 0.03;
/// What begins in the middle of a sound is faded in over this time, in seconds, in both.
const FADE: f32 = 0.001;
/// Room after the end for a filter to ring, in seconds.
const RING: f32 = 0.005;

/// The bands that are compared each for itself, in Hz. In the lowest one hits of a drum are nearly the same wave, in the
/// highest never.
const BANDS: [[f32; 2]; 4] = [[40.0, 300.0], [300.0, 1200.0], [1200.0, 3500.0], [3500.0, 7300.0]];
/// A band is compared where it has this part of the energy of both sounds (-40 dB): what is below is noise of formats.
const LEAST_SHARE: f64 = 1e-4;
/// Where one sound has so much more in a band (-30 dB) and the other less than that, they differ.
const CLEAR_SHARE: f64 = 1e-3;
/// Bands up to this part of the rate are compared: resampling filters leave nothing above.
const PASSED: f32 = 0.45;
/// Codecs that put noise of their own, as loud as what was there, in place of noise. Against another codec the highest band
/// is compared by its envelope, where that is more.
const SUBSTITUTING: [&str; 5] = ["aac", "mp1", "mp2", "mp3", "vorbis"];
/// Levels of a band whose noise was substituted differ no more than by this factor (3 dB), the whole sound's apart.
const SAME_SHARE: f64 = 2.0;
/// Beside a band that is louder such a codec puts noise in so much below that one (-25 dB): what the ear does not hear
/// there. A correlation is taken as it were without that noise, of which a band may have this part at most.
const MASKED: f64 = 0.003_16;
const MOST_MASKED: f64 = 0.35;
/// Bands with less than this part of the energy (-20 dB) count less where two sounds are aligned.
const QUIET: f64 = 0.01;
/// Envelopes are means over so much time, in seconds.
const MOMENT: f64 = 0.004;
/// Sounds that are at least so alike are compared once more without their first moments, which a fade, a cut or an encoder
/// changes, and their higher bands lie in these; in seconds.
const HOPEFUL: f32 = 0.4;
const FIRST: f32 = 0.005;
/// Where one sound ends earlier, its last moments may be a fade, in seconds.
const LAST: f32 = 0.006;

/// What lies beside each other holds this part of the energy of both sounds: more than a trim of the tail takes away.
const LEAST_OVERLAP: f64 = 0.8;

/// A sound as it is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Excerpt {
    /// The beginning, from a little before the onset; 1 at its peak.
    samples: Vec<f32>,
    rate: u32,
    /// Where in it something is heard first, in seconds.
    begins: f32,
    /// Length of the whole sound in seconds.
    seconds: f64,
    codec: &'static str,
}

/// Compares excerpts; keeps its tables between them. One per thread.
pub struct Ear {
    resampler: Resampler,
    planner: FftPlanner<f32>,
    plans: HashMap<usize, [Arc<dyn Fft<f32>>; 2]>,
    buffer: Vec<Complex32>,
}

impl Default for Ear {
    fn default() -> Self {
        let (planner, plans) = (FftPlanner::new(), HashMap::new());
        Self { resampler: Resampler::coarse(), planner, plans, buffer: Vec::new() }
    }
}

impl Ear {
    /// What is compared of a sound; none for silence.
    pub fn excerpt(&mut self, samples: &[f32], rate: u32, seconds: f64, codec: &'static str) -> Option<Excerpt> {
        let to = rate.min(RATE);
        let around = around_onset(samples, rate, [BEFORE, AFTER])?;
        let peak = around.samples.iter().fold(0f32, |peak, sample| peak.max(sample.abs()));
        let is_heard = |sample: &f32| sample.abs() >= peak * HEARD;
        let begins = around.samples.iter().position(is_heard)? as f32 / rate as f32;
        let ends = around.samples.iter().rposition(is_heard)? + (RING * rate as f32) as usize;
        let heard: Vec<f32> = around.samples.iter().take(ends).map(|sample| sample / peak).collect();
        Some(Excerpt {
            samples: self.resampler.resample(&heard, rate, to, usize::MAX),
            rate: to,
            begins,
            seconds,
            codec,
        })
    }

    /// How alike two sounds are where the two are aligned: the least normalised correlation over the bands that both
    /// have, from 0 to 1, whatever their levels and whichever way round their waves are. 0 where what is in both is not
    /// nearly all of each.
    pub fn likeness(&mut self, a: &Excerpt, b: &Excerpt) -> f32 {
        let (short, long) = (a.seconds.min(b.seconds), a.seconds.max(b.seconds));
        if short > f64::from(AFTER) && short < long * (1.0 - LENGTHS) {
            return 0.0;
        }
        let rate = a.rate.min(b.rate);
        let mut at_rate = |excerpt: &Excerpt| self.resampler.resample(&excerpt.samples, excerpt.rate, rate, usize::MAX);
        let (whole_a, whole_b) = (at_rate(a), at_rate(b));
        let lag = self.lag(&whole_a, &whole_b, rate);
        // What is beside each other, from where both have begun.
        let at = |seconds: f32| (seconds * rate as f32).round() as i64;
        let (skip_a, skip_b) = (lag.max(0), (-lag).max(0));
        let begin = (at(a.begins) - skip_a).max(at(b.begins) - skip_b).max(0);
        let is_cut = (at(a.begins) - at(b.begins) - lag).abs() > at(FADE) / 2;
        let rest = |samples: &[f32], skip: i64| -> Vec<f32> {
            samples.get((skip + begin) as usize..).unwrap_or_default().to_vec()
        };
        let (mut rest_a, mut rest_b) = (rest(&whole_a, skip_a), rest(&whole_b, skip_b));
        let (shorter, longer) = (rest_a.len().min(rest_b.len()), rest_a.len().max(rest_b.len()));
        // Of another length: one was cut at its end, and may be faded there.
        let last = (LAST * rate as f32) as usize;
        let both = if longer - shorter > last { shorter.saturating_sub(last) } else { shorter };
        rest_a.truncate(both);
        rest_b.truncate(both);
        let energy = |samples: &[f32]| samples.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
        let (energy_a, energy_b) = (energy(&whole_a), energy(&whole_b));
        let is_enough = |a: &[f32], b: &[f32]| {
            (energy(a) / energy_a.max(f64::MIN_POSITIVE)).min(energy(b) / energy_b.max(f64::MIN_POSITIVE))
                >= LEAST_OVERLAP
        };
        if !is_enough(&rest_a, &rest_b) {
            return 0.0;
        }
        let substituted = a.codec != b.codec && [a, b].iter().any(|excerpt| SUBSTITUTING.contains(&excerpt.codec));
        let fade = at(FADE).max(1);
        let fade_in = |samples: &mut [f32]| {
            samples.iter_mut().zip(0..fade).for_each(|(sample, n)| *sample *= n as f32 / fade as f32);
        };
        if is_cut {
            fade_in(&mut rest_a);
            fade_in(&mut rest_b);
        }
        let found = self.alike(&rest_a, &rest_b, rate, substituted);
        if found < HOPEFUL {
            return found;
        }
        let onset = rest_a.iter().position(|sample| sample.abs() >= ONSET_RATIO).unwrap_or(0);
        let skip = (onset + (FIRST * rate as f32) as usize).min(both);
        let (rest_a, rest_b) = (rest_a.get_mut(skip..).unwrap_or_default(), rest_b.get_mut(skip..).unwrap_or_default());
        if !is_enough(rest_a, rest_b) {
            return found;
        }
        fade_in(rest_a);
        fade_in(rest_b);
        found.max(self.alike(rest_a, rest_b, rate, substituted))
    }

    /// Forward and inverse transforms of a length.
    fn plan(&mut self, len: usize) -> [Arc<dyn Fft<f32>>; 2] {
        let planner = &mut self.planner;
        let plan = self.plans.entry(len);
        plan.or_insert_with(|| [planner.plan_fft_forward(len), planner.plan_fft_inverse(len)]).clone()
    }

    /// The first `bins` of the spectra of two real signals, by one complex transform: one is its real part, the other its
    /// imaginary part, and symmetry tells them apart.
    fn spectra(&mut self, a: &[f32], b: &[f32], len: usize, bins: usize) -> [Vec<Complex32>; 2] {
        let [forward, _] = self.plan(len);
        self.buffer.clear();
        let at = |samples: &[f32], place: usize| samples.get(place).copied().unwrap_or(0.0);
        self.buffer.extend((0..len).map(|place| Complex32::new(at(a, place), at(b, place))));
        forward.process(&mut self.buffer);
        let both = |bin: usize| {
            let at = |bin: usize| self.buffer.get(bin).copied().unwrap_or_default();
            (at(bin), at((len - bin) % len).conj())
        };
        let first = (0..bins).map(both).map(|(x, y)| (x + y) * 0.5).collect();
        let second = (0..bins).map(both).map(|(x, y)| (x - y) * Complex32::new(0.0, -0.5)).collect();
        [first, second]
    }

    /// By how many samples `a` is later than `b`, where the two correlate most. Each band counts as much as any other, so
    /// that one that rings does not decide which of its waves is the same.
    fn lag(&mut self, a: &[f32], b: &[f32], rate: u32) -> i64 {
        let most = (MOST_LAG * rate as f32) as i64;
        let len = smooth(a.len().max(b.len()) + most as usize);
        let [spectrum_a, spectrum_b] = self.spectra(a, b, len, len / 2 + 1);
        let [_, inverse] = self.plan(len);
        self.buffer.clear();
        self.buffer.resize(len, Complex32::default());
        let weights = weights(&spectrum_a, &spectrum_b, len, rate);
        for (bin, (a, b)) in spectrum_a.iter().zip(&spectrum_b).enumerate() {
            let cross = a * b.conj() * weights.get(bin).copied().unwrap_or(0.0);
            if let Some(slot) = self.buffer.get_mut(bin) {
                *slot = cross;
            }
            if let Some(slot) = self.buffer.get_mut((len - bin) % len) {
                *slot = cross.conj();
            }
        }
        inverse.process(&mut self.buffer);
        let value = |lag: i64| {
            let place = lag.rem_euclid(len as i64) as usize;
            self.buffer.get(place).map_or(0.0, |value| value.re.abs())
        };
        (-most..=most).max_by(|x, y| value(*x).total_cmp(&value(*y)).then(y.abs().cmp(&x.abs()))).unwrap_or(0)
    }

    /// How loud a band is over time, of the part of a spectrum that it is: its amplitude, and so many values of it in one.
    fn envelope(&mut self, band: &[Complex32], moment: usize) -> Vec<f64> {
        let len = smooth(band.len());
        let [_, inverse] = self.plan(len);
        let mut values = band.to_vec();
        values.resize(len, Complex32::default());
        inverse.process(&mut values);
        let loudness =
            |values: &[Complex32]| values.iter().map(|value| f64::from(value.norm_sqr())).sum::<f64>().sqrt();
        values.chunks(moment.max(1)).map(loudness).collect()
    }

    /// The least correlation over the bands, at the best place between two samples.
    fn alike(&mut self, a: &[f32], b: &[f32], rate: u32, substituted: bool) -> f32 {
        // Room for a shift by a sample.
        let len = smooth((a.len() + 32).max(64));
        let half = len / 2;
        let [a, b] = self.spectra(a, b, len, half);
        let cross: Vec<Complex32> = a.iter().zip(&b).map(|(a, b)| a * b.conj()).collect();
        let summed = |shift: f64| -> f64 {
            turned(&cross, shift, len).enumerate().map(|(bin, x)| x * f64::from(weight(bin, len, rate))).sum()
        };
        let shift = best_shift(summed);
        let turned: Vec<f64> = turned(&cross, shift, len).collect();
        let power =
            |spectrum: &[Complex32]| -> Vec<f64> { spectrum.iter().map(|bin| f64::from(bin.norm_sqr())).collect() };
        let (power_a, power_b) = (power(&a), power(&b));
        let sum =
            |values: &[f64], from: usize, to: usize| -> f64 { values.get(from..to).unwrap_or_default().iter().sum() };
        let (all_a, all_b) = (sum(&power_a, 0, half), sum(&power_b, 0, half));
        let correlation = |from: usize, to: usize| {
            let scale = (sum(&power_a, from, to) * sum(&power_b, from, to)).sqrt();
            if scale > 0.0 { sum(&turned, from, to) / scale } else { 0.0 }
        };
        let whole = correlation(0, half);
        let bin = |hz: f32| (hz.min(PASSED * rate as f32) / rate as f32 * len as f32) as usize;
        let places = BANDS.map(|[lowest, highest]| (bin(lowest), bin(highest).min(half)));
        let shares = places.map(|(from, to)| {
            [(&power_a, all_a), (&power_b, all_b)].map(|(power, all)| sum(power, from, to) / all.max(f64::MIN_POSITIVE))
        });
        let mut least = whole.abs();
        for (place, ((from, to), [share_a, share_b])) in places.into_iter().zip(shares).enumerate() {
            if to < from + 4 {
                continue;
            }
            let (less, more) = (share_a.min(share_b), share_a.max(share_b));
            if less < LEAST_SHARE {
                if more > CLEAR_SHARE {
                    return 0.0;
                }
                continue;
            }
            // Turned the other way round it is so in every band.
            let mut alike = correlation(from, to) * whole.signum();
            if substituted && place + 1 == BANDS.len() && more <= less * SAME_SHARE {
                let moment = (MOMENT * f64::from(rate) * (to - from) as f64 / len as f64) as usize;
                let mut envelope =
                    |spectrum: &[Complex32]| self.envelope(spectrum.get(from..to).unwrap_or_default(), moment);
                alike = alike.max(cosine(&envelope(&a), &envelope(&b)));
            }
            if substituted {
                let beside = [place.checked_sub(1), Some(place + 1)].into_iter().flatten();
                let louder = beside.filter_map(|place| shares.get(place)).flatten().copied().fold(0.0, f64::max);
                if louder > more {
                    alike = (alike * (1.0 + (louder / more * MASKED).min(MOST_MASKED)).sqrt()).min(1.0);
                }
            }
            least = least.min(alike);
        }
        least.clamp(0.0, 1.0) as f32
    }
}

/// The least length from `len` on that is a power of 2, or three times one.
fn smooth(len: usize) -> usize {
    let power = len.next_power_of_two();
    let less = power / 4 * 3;
    if less >= len { less } else { power }
}

/// Of two series that are nowhere negative.
fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt().max(f64::MIN_POSITIVE)
}

/// Weights that make the bands equally strong in the cross-spectrum of two, but those that are [`QUIET`].
fn weights(a: &[Complex32], b: &[Complex32], len: usize, rate: u32) -> Vec<f32> {
    let bin = |hz: f32| ((hz / rate as f32 * len as f32) as usize).min(a.len());
    let power = |spectrum: &[Complex32]| spectrum.iter().map(|bin| f64::from(bin.norm_sqr())).sum::<f64>();
    let all = (power(a) * power(b)).sqrt();
    let mut weights = vec![0.0; a.len()];
    for [lowest, highest] in BANDS {
        let (from, to) = (bin(lowest), bin(highest.min(PASSED * rate as f32)));
        let (Some(a), Some(b)) = (a.get(from..to), b.get(from..to)) else { continue };
        let both = (power(a) * power(b)).sqrt().max(all * QUIET).max(f64::MIN_POSITIVE);
        weights.iter_mut().take(to).skip(from).for_each(|slot| *slot = (all / both) as f32);
    }
    weights
}

/// From 0.05 at 0 Hz to 1 at 1 kHz and above.
fn weight(bin: usize, len: usize, rate: u32) -> f32 {
    let hz = bin.min(len - bin.min(len)) as f32 / len as f32 * rate as f32;
    (hz / 1000.0).min(1.0) * 0.95 + 0.05
}

/// The real parts of a cross-spectrum whose second sound is shifted by a part of a sample.
fn turned(cross: &[Complex32], shift: f64, len: usize) -> impl Iterator<Item = f64> + '_ {
    let (step_sin, step_cos) = (TAU * shift / len as f64).sin_cos();
    let mut turn = (1.0f64, 0.0f64);
    cross.iter().map(move |bin| {
        let (cos, sin) = turn;
        turn = (cos * step_cos - sin * step_sin, sin * step_cos + cos * step_sin);
        f64::from(bin.re) * cos - f64::from(bin.im) * sin
    })
}

/// The shift between -1 and 1 sample where `of` is largest, either way round: the top of a parabola through three points,
/// closer and closer to it.
fn best_shift(of: impl Fn(f64) -> f64) -> f64 {
    let value = |shift: f64| of(shift).abs();
    let mut best = 0.0f64;
    for step in [0.5, 0.125, 0.0625] {
        let [before, here, after] = [best - step, best, best + step].map(value);
        let bend = before - 2.0 * here + after;
        let move_by = if bend < 0.0 {
            (0.5 * (before - after) / bend).clamp(-1.0, 1.0)
        } else if after > before {
            1.0
        } else {
            -1.0
        };
        best = (best + move_by * step).clamp(-1.0, 1.0);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(mut seed: u64, count: usize, decay: f32) -> Vec<f32> {
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        (0..count).map(|n| next() * (-(n as f32) / decay).exp()).collect()
    }

    fn likeness(a: &[f32], rate_a: u32, b: &[f32], rate_b: u32) -> f32 {
        let mut ear = Ear::default();
        let seconds = |samples: &[f32], rate: u32| samples.len() as f64 / f64::from(rate);
        let (a, b) = (
            ear.excerpt(a, rate_a, seconds(a, rate_a), "a").unwrap(),
            ear.excerpt(b, rate_b, seconds(b, rate_b), "b").unwrap(),
        );
        let found = ear.likeness(&a, &b);
        assert!((found - ear.likeness(&b, &a)).abs() < 0.01, "the same either way");
        found
    }

    #[test]
    fn level_trim_rate_and_polarity_are_no_difference() {
        let sound = noise(5, 30_000, 5000.0);
        let quieter: Vec<f32> = sound.iter().map(|x| x * -0.1).collect();
        let late: Vec<f32> = std::iter::repeat_n(0.0, 2345).chain(sound.iter().copied()).collect();
        let slow = Resampler::default().resample(&sound, 44_100, 11_025, usize::MAX);
        for (other, rate) in [(&quieter[..], 44_100), (&late, 44_100), (&sound[..9000], 44_100), (&slow, 11_025)] {
            let found = likeness(&sound, 44_100, other, rate);
            assert!(found > 0.97, "{found} at {rate} Hz, {} samples", other.len());
        }
    }

    #[test]
    fn a_cut_or_faded_beginning_or_end_is_no_difference() {
        let sound = noise(11, 30_000, 5000.0);
        let cut = sound[130..].to_vec();
        let mut faded_in = sound.clone();
        faded_in.iter_mut().take(130).enumerate().for_each(|(n, x)| *x *= n as f32 / 130.0);
        let mut faded_out = sound[..7000].to_vec();
        faded_out.iter_mut().rev().take(220).enumerate().for_each(|(n, x)| *x *= n as f32 / 220.0);
        for other in [cut, faded_in, faded_out] {
            let found = likeness(&sound, 44_100, &other, 44_100);
            assert!(found > 0.97, "{found} of {} samples", other.len());
        }
    }

    #[test]
    fn noise_that_a_codec_put_in_place_of_noise_is_no_difference_to_another_codec_alone() {
        // Noise below 1 kHz that both have, and around 5 kHz noise of its own, as loud in both and of the same course.
        let smooth = |seed: u64| {
            let (mut once, mut twice) = (0.0, 0.0);
            noise(seed, 30_000, 5000.0).into_iter().map(move |x| {
                once += 0.08 * (x - once);
                twice += 0.08 * (once - twice);
                twice
            })
        };
        let with = |seed: u64| -> Vec<f32> {
            let wave = |n: usize| (std::f32::consts::TAU * 5000.0 * n as f32 / 44_100.0).cos();
            smooth(77).zip(smooth(seed)).enumerate().map(|(n, (shared, own))| shared + 0.2 * own * wave(n)).collect()
        };
        let (a, b) = (with(1), with(2));
        let mut ear = Ear::default();
        let mut of = |codecs: [&'static str; 2]| {
            let [x, y] =
                [(&a, codecs[0]), (&b, codecs[1])].map(|(x, codec)| ear.excerpt(x, 44_100, 0.68, codec).unwrap());
            ear.likeness(&x, &y)
        };
        assert!(of(["aac", "flac"]) > 0.85, "{}", of(["aac", "flac"]));
        assert!(of(["flac", "pcm_s16le"]) < 0.6, "{}", of(["flac", "pcm_s16le"]));
        assert_eq!(of(["aac", "aac"]), of(["flac", "flac"]), "layers in one format");
    }

    #[test]
    fn another_hit_of_the_same_drum_is_another_sound() {
        // The same low tone, another noise 20 dB below it.
        let hit = |seed: u64| -> Vec<f32> {
            let noise = noise(seed, 20_000, 3000.0);
            let tone =
                |n: usize| (std::f32::consts::TAU * 70.0 * n as f32 / 44_100.0).sin() * (-(n as f32) / 6000.0).exp();
            noise.iter().enumerate().map(|(n, x)| tone(n) + 0.1 * x).collect()
        };
        assert!(likeness(&hit(1), 44_100, &hit(2), 44_100) < 0.3);
        assert!(likeness(&hit(1), 44_100, &hit(1), 44_100) > 0.999);
    }

    #[test]
    fn what_only_begins_the_same_is_not_the_same() {
        let sound = noise(9, 44_100, 1e9);
        assert_eq!(likeness(&sound, 44_100, &sound[..15_000], 44_100), 0.0);
        let mut dull = sound.clone();
        dull.iter_mut().fold(0.0, |last, x| {
            *x = last * 0.9 + *x * 0.1;
            *x
        });
        assert!(likeness(&sound, 44_100, &dull, 44_100) < 0.93);
    }
}
