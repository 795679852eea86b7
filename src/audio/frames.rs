//! Short windows of a sound and their spectra: what pictures and cepstra are made from.

use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

use super::vector::{Eight, Vector, side_by_side};

/// Tables for windows of one length at one sample rate.
pub(super) struct FramePlan {
    rate: u32,
    transform: Arc<dyn Fft<f32>>,
    window: Vec<f32>,
}

impl FramePlan {
    /// Hann windows (periodic) of so many seconds, padded with zeros to a length that transforms fast.
    pub fn new(planner: &mut FftPlanner<f32>, rate: u32, seconds: f64) -> Self {
        let window = hann(((seconds * f64::from(rate)).round() as usize).max(16));
        FramePlan { rate, transform: planner.plan_fft_forward(fast_even_size(window.len())), window }
    }

    /// Hann windows of so many samples, an even number, and transforms of just that length.
    pub fn of_length(planner: &mut FftPlanner<f32>, rate: u32, len: usize) -> Self {
        FramePlan { rate, transform: planner.plan_fft_forward(len), window: hann(len) }
    }

    /// Number of bins of a spectrum, from 0 Hz to the Nyquist frequency.
    pub fn bins(&self) -> usize {
        self.transform.len() / 2 + 1
    }

    /// Distance of bins in Hz.
    pub fn bin_hz(&self) -> f64 {
        f64::from(self.rate) / self.transform.len() as f64
    }

    /// Where the window starts whose centre is `seconds` after the onset; before the first sample where negative.
    #[inline(always)]
    pub fn start(&self, onset: usize, seconds: f64) -> i64 {
        onset as i64 + (seconds * f64::from(self.rate)).round() as i64 - (self.window.len() / 2) as i64
    }
}

/// A Hann window in its periodic form.
fn hann(len: usize) -> Vec<f32> {
    (0..len).map(|i| (0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / len as f64).cos()) as f32).collect()
}

/// The smallest even number of at least `least` with no prime factor but 2, 3 and 5.
fn fast_even_size(least: usize) -> usize {
    let mut size = least.next_multiple_of(2);
    loop {
        let mut rest = size;
        for prime in [2usize, 3, 5] {
            while rest.is_multiple_of(prime) {
                rest /= prime;
            }
        }
        if rest == 1 {
            return size;
        }
        size += 2;
    }
}

/// Transforms two windows at a time, one as the real part and one as the imaginary: real signals' spectra come apart
/// again for the price of a few additions, which is cheaper than a transform of half the length and its twiddles. Keeps
/// its buffers between sounds.
#[derive(Default)]
pub(super) struct Frames {
    pair: Vec<Complex32>,
    scratch: Vec<Complex32>,
    /// Power spectra of the two windows that were transformed last.
    pub power: [Vec<f32>; 2],
}

impl Frames {
    /// Makes room for windows of `plan`.
    pub fn begin(&mut self, plan: &FramePlan) {
        let size = plan.transform.len();
        self.pair.resize(size, Complex32::default());
        self.scratch.resize(plan.transform.get_inplace_scratch_len(), Complex32::default());
        for power in &mut self.power {
            power.resize(plan.bins(), 0.0);
        }
    }

    /// Leaves in [`Frames::power`] the spectra of the windows that start at `first` and, where there is one, at `second`;
    /// samples are multiplied with `gain`.
    #[inline(always)]
    pub fn transform(&mut self, plan: &FramePlan, samples: &[f32], [first, second]: [Option<i64>; 2], gain: f32) {
        place(&mut self.pair, samples, [first, second], &plan.window, gain);
        plan.transform.process_with_scratch(&mut self.pair, &mut self.scratch);
        split_pair(&self.pair, &mut self.power);
    }
}

/// Spectra of up to eight windows, in both orders.
#[derive(Default)]
pub(super) struct Group {
    /// Power spectra, one window after the other. Of fewer than eight windows the others are those of an earlier group.
    pub rows: [Vec<f32>; Eight::LANES],
    /// The same side by side, one `Eight` a bin: what is summed over bins is summed for eight windows at once, and in no
    /// vector's lanes across.
    pub lanes: Vec<Eight>,
}

impl Group {
    /// Makes room for windows of `plan`.
    pub fn begin(&mut self, plan: &FramePlan) {
        for row in &mut self.rows {
            row.resize(plan.bins(), 0.0);
        }
    }

    /// Transforms the windows that start at `starts`, at most eight; samples are multiplied with `gain`.
    #[inline(always)]
    pub fn transform<V: Vector>(
        &mut self,
        frames: &mut Frames,
        plan: &FramePlan,
        samples: &[f32],
        starts: &[i64],
        gain: f32,
    ) {
        let (pairs, _) = self.rows.as_chunks_mut::<2>();
        for (rows, starts) in pairs.iter_mut().zip(starts.chunks(2)) {
            frames.transform(plan, samples, [starts.first().copied(), starts.get(1).copied()], gain);
            std::mem::swap(rows, &mut frames.power);
        }
        side_by_side::<V>(&self.rows, &mut self.lanes);
    }
}

/// Puts two windows' worth of samples, from their starts on, into the real and the imaginary parts, multiplied with `gain`.
/// What lies before the first sample or after the last is silence, and so is a window that is none, and what the transform
/// has beyond the windows.
#[inline(always)]
fn place(pair: &mut [Complex32], samples: &[f32], starts: [Option<i64>; 2], window: &[f32], gain: f32) {
    /// Samples at a time: those at an end are copied with silence around them.
    const BLOCK: usize = 64;
    let (windowed, beyond) = pair.split_at_mut(window.len().min(pair.len()));
    beyond.fill(Complex32::default());
    let mut edges = [[0f32; BLOCK]; 2];
    for (block, (slots, weights)) in windowed.chunks_mut(BLOCK).zip(window.chunks(BLOCK)).enumerate() {
        let [mut real, mut imaginary] = [&[][..]; 2];
        for ((part, edge), start) in [&mut real, &mut imaginary].into_iter().zip(&mut edges).zip(starts) {
            let from = start.map_or(i64::MIN, |start| start + (block * BLOCK) as i64);
            let whole = usize::try_from(from).ok().and_then(|from| samples.get(from..)?.get(..slots.len()));
            *part = match whole {
                Some(whole) => whole,
                None => at_the_edge(samples, from, edge),
            };
        }
        for (((slot, weight), re), im) in slots.iter_mut().zip(weights).zip(real).zip(imaginary) {
            let weight = weight * gain;
            *slot = Complex32::new(re * weight, im * weight);
        }
    }
}

/// Samples from `from` on, some of which are not there.
#[inline(never)]
fn at_the_edge<'e>(samples: &[f32], from: i64, edge: &'e mut [f32]) -> &'e [f32] {
    edge.fill(0.0);
    let skip = usize::try_from(from.saturating_neg()).unwrap_or(0).min(edge.len());
    let heard = samples.get(usize::try_from(from).unwrap_or(0)..).unwrap_or_default();
    edge.iter_mut().skip(skip).zip(heard).for_each(|(slot, sample)| *slot = *sample);
    edge
}

/// Power of the two real signals whose joint spectrum is `pair`: with Z = X + iY, and X and
/// Y mirrored and conjugated beyond the middle, 2X(k) = Z(k) + Z*(N - k) and 2iY(k) = Z(k) - Z*(N - k).
#[inline(always)]
fn split_pair(pair: &[Complex32], powers: &mut [Vec<f32>; 2]) {
    let Some((first, others)) = pair.split_first() else { return };
    let [power_x, power_y] = powers;
    let bins = power_x.len();
    power_x[0] = first.re * first.re;
    power_y[0] = first.im * first.im;
    let mirrored = others.iter().rev();
    for (((z, m), x), y) in others.iter().zip(mirrored).zip(&mut power_x[1..]).zip(&mut power_y[1..bins]) {
        let (sum_re, sum_im) = (z.re + m.re, z.im + m.im);
        let (difference_re, difference_im) = (z.re - m.re, z.im - m.im);
        *x = (sum_re * sum_re + difference_im * difference_im) * 0.25;
        *y = (sum_im * sum_im + difference_re * difference_re) * 0.25;
    }
}
