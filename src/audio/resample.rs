//! Another sample rate, for models that want one.
//!
//! A polyphase filter whose kernel is a sinc in a Kaiser window. What librosa uses where nobody says otherwise, soxr's
//! high quality, is described by three numbers: it passes up to 0.913 of the lower Nyquist frequency, stops from that
//! frequency on, and is 20 bits good. A Kaiser window makes a filter from just these numbers (Kaiser, *Nonrecursive
//! digital filter design using the I0-sinh window function*, 1974; Oppenheim and Schafer, *Discrete-Time Signal
//! Processing*, 7.5.3), so that features of resampled sounds come close to librosa's.

use std::f64::consts::PI;

/// What a filter is made from.
#[derive(Debug, Clone, Copy)]
struct Quality {
    /// Part of the lower Nyquist frequency that is passed.
    pass: f64,
    /// Part of the lower Nyquist frequency from which on nothing is passed.
    stop: f64,
    /// Attenuation in dB.
    attenuation_db: f64,
}

/// 20 bits, and the 6 dB that a filter's middle lies below its passband.
const FINE: Quality = Quality { pass: PASS, stop: 1.0, attenuation_db: 126.0 };
/// A third of the work: what lies above the passband is folded back, but only to above it.
const COARSE: Quality = Quality { pass: PASS, stop: 2.0 - PASS, attenuation_db: 80.0 };
const PASS: f64 = 0.913;
/// Most phases that are tabulated. Rates with more between them, such as 22,255 and 44,100 Hz, fall between two of so
/// many and are interpolated linearly, which is right to 120 dB.
const MAX_PHASES: usize = 1024;
/// How many pairs of rates a resampler keeps tables for.
const PLANS: usize = 4;

/// The kernel for one pair of rates.
struct Plan {
    from: u32,
    to: u32,
    /// Samples on either side of a point that count.
    half: usize,
    /// Phases between two samples; one row more, so that the last has a neighbour.
    phases: usize,
    /// One row of `2 * half` weights a phase.
    rows: Vec<f32>,
}

impl Plan {
    fn new(from: u32, to: u32, Quality { pass, stop, attenuation_db }: Quality) -> Self {
        // In units of the input's Nyquist frequency.
        let lower = (f64::from(to) / f64::from(from)).min(1.0);
        let width = (stop - pass) * lower;
        let cutoff = (stop + pass) / 2.0 * lower;
        let beta = 0.1102 * (attenuation_db - 8.7);
        let half = ((attenuation_db - 8.0) / (2.285 * PI * width) / 2.0).ceil();
        let phases = ((to / gcd(from, to)) as usize).min(MAX_PHASES);
        let edge = bessel_i0(beta);
        let weight = |distance: f64| {
            let inside = 1.0 - (distance / half).powi(2);
            if inside <= 0.0 { 0.0 } else { cutoff * sinc(cutoff * distance) * bessel_i0(beta * inside.sqrt()) / edge }
        };
        let taps = 2 * half as usize;
        let rows = (0..=phases)
            .flat_map(|phase| {
                let fraction = phase as f64 / phases as f64;
                (0..taps).map(move |tap| tap as f64 - (half - 1.0) - fraction)
            })
            .map(|distance| weight(distance) as f32)
            .collect();
        Self { from, to, half: half as usize, phases, rows }
    }

    /// Fills `out`; what lies before the first sample or after the last is silence.
    fn run(&self, samples: &[f32], out: &mut [f32]) {
        let (from, to) = (u64::from(self.from), u64::from(self.to));
        let taps = 2 * self.half;
        let row = |phase: usize| self.rows.get(phase * taps..(phase + 1) * taps).unwrap_or_default();
        for (index, slot) in (0u64..).zip(out.iter_mut()) {
            let position = index * from;
            let (whole, rest) = ((position / to) as usize, position % to);
            let phase = rest as f64 * self.phases as f64 / to as f64;
            let (lower, between) = (phase as usize, phase.fract() as f32);
            // The first tap lies `half - 1` samples before the point.
            let skip = (self.half - 1).saturating_sub(whole).min(taps);
            let begin = (whole + skip + 1).saturating_sub(self.half);
            let heard = samples.get(begin..).unwrap_or_default();
            let sum = |row: &[f32]| dot(row.get(skip..).unwrap_or_default(), heard);
            *slot = match between {
                0.0 => sum(row(lower)),
                _ => sum(row(lower)) * (1.0 - between) + sum(row(lower + 1)) * between,
            };
        }
    }
}

/// Sum of products over the shorter length, in 32 sums so that none waits for the one before: what this program spends
/// on other models' inputs it spends here.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const SUMS: usize = 32;
    let count = a.len().min(b.len());
    let (a, b) = (a.get(..count).unwrap_or_default(), b.get(..count).unwrap_or_default());
    let mut sums = [0f32; SUMS];
    let (a, rest_a) = a.as_chunks::<SUMS>();
    let (b, rest_b) = b.as_chunks::<SUMS>();
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f32>()
}

fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// The modified Bessel function of the first kind and order 0, by its power series (Abramowitz and Stegun, 9.6.12).
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut term, mut sum, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-17 {
        term *= quarter / (k * k);
        sum += term;
        k += 1.0;
    }
    sum
}

/// Changes sample rates; keeps its tables between sounds. One per thread.
pub struct Resampler {
    quality: Quality,
    plans: Vec<Plan>,
}

impl Default for Resampler {
    fn default() -> Self {
        Self { quality: FINE, plans: Vec::new() }
    }
}

impl Resampler {
    /// One that takes a third of the time: right to 80 dB up to 0.913 of the lower Nyquist frequency, and not above.
    pub fn coarse() -> Self {
        Self { quality: COARSE, plans: Vec::new() }
    }

    /// The first `most` samples that `samples`, taken at `from` Hz, have at `to` Hz: fewer where the sound ends before,
    /// `ceil(samples * to / from)` as librosa has it. Rates are not 0.
    pub fn resample(&mut self, samples: &[f32], from: u32, to: u32, most: usize) -> Vec<f32> {
        if from == to || from == 0 || to == 0 {
            return samples.iter().copied().take(most).collect();
        }
        let whole = (samples.len() as u64 * u64::from(to)).div_ceil(u64::from(from));
        let mut out = vec![0f32; usize::try_from(whole).unwrap_or(usize::MAX).min(most)];
        let plan = match self.plans.iter().position(|plan| (plan.from, plan.to) == (from, to)) {
            Some(index) => &self.plans[index],
            None => {
                if self.plans.len() >= PLANS {
                    self.plans.remove(0);
                }
                self.plans.push(Plan::new(from, to, self.quality));
                &self.plans[self.plans.len() - 1]
            }
        };
        plan.run(samples, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f64, rate: u32, count: usize) -> Vec<f32> {
        (0..count).map(|n| (std::f64::consts::TAU * hz * n as f64 / f64::from(rate)).sin() as f32).collect()
    }

    /// The largest difference away from both ends, where a sine that begins or stops is no sine.
    fn distance(a: &[f32], b: &[f32]) -> f32 {
        let inner = 2_000..a.len().min(b.len()) - 2_000;
        a[inner.clone()].iter().zip(&b[inner]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_sine_below_the_passband_is_the_same_sine_at_another_rate() {
        let mut resampler = Resampler::default();
        // The last two have more phases between them than are tabulated.
        for (from, to) in
            [(48_000, 44_100), (22_050, 44_100), (96_000, 44_100), (44_100, 16_000), (22_255, 44_100), (8_363, 44_100)]
        {
            let hz = 0.45 * f64::from(from.min(to)) * PASS;
            let out = resampler.resample(&sine(hz, from, from as usize), from, to, usize::MAX);
            assert_eq!(out.len(), to as usize);
            let error = distance(&out, &sine(hz, to, to as usize));
            assert!(error < 1e-4, "{from} to {to}: {error}");
        }
    }

    #[test]
    fn the_coarse_one_is_right_below_its_limit() {
        let mut resampler = Resampler::coarse();
        for (from, to) in [(44_100, 16_000), (22_050, 16_000), (16_000, 11_025), (48_000, 16_000)] {
            let below = 0.45 * f64::from(to) * PASS;
            let out = resampler.resample(&sine(below, from, from as usize), from, to, usize::MAX);
            let error = distance(&out, &sine(below, to, to as usize));
            assert!(error < 1e-3, "{from} to {to}: {error}");
            let above = 0.5 * f64::from(to) * (2.02 - PASS);
            if above < 0.5 * f64::from(from) {
                let out = resampler.resample(&sine(above, from, from as usize), from, to, usize::MAX);
                assert!(distance(&out, &vec![0.0; out.len()]) < 1e-3, "{from} to {to}");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_can_not_hold_is_gone() {
        let mut resampler = Resampler::default();
        for (from, to, hz) in [(48_000u32, 22_050u32, 11_100.0), (96_000, 44_100, 30_000.0)] {
            let out = resampler.resample(&sine(hz, from, from as usize), from, to, usize::MAX);
            let silence = vec![0.0; out.len()];
            assert!(distance(&out, &silence) < 1e-5, "{from} to {to}");
        }
    }

    #[test]
    fn lengths_are_librosas_and_ends_are_silence() {
        let mut resampler = Resampler::default();
        assert_eq!(resampler.resample(&[1.0; 1_001], 22_050, 44_100, 50_000).len(), 2_002);
        assert_eq!(resampler.resample(&[1.0; 1_001], 48_000, 44_100, 50_000).len(), 920);
        assert_eq!(resampler.resample(&[1.0; 1_001], 48_000, 44_100, 10).len(), 10);
        assert_eq!(resampler.resample(&[0.5, 0.25], 44_100, 44_100, 50_000), [0.5, 0.25]);
        assert!(resampler.resample(&[], 48_000, 44_100, 50_000).is_empty());
        assert!(resampler.resample(&[1.0; 3], 1_000_000, 8_000, 9).iter().all(|sample| sample.is_finite()));
    }
}
