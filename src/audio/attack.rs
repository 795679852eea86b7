//! A second picture, of the attack alone: windows a quarter as long, ten times as close. What the long windows of the
//! first picture blur (a beater's click, a clap's separate bursts, a stick on metal) is apart in it.

use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

use super::features::{fast_even_size, hann, log_picture, place, split_pair};
use super::mel::{self, FilterBank};

/// Number of frequency bands of the attack's picture, 60 Hz to 16 kHz.
pub const ATTACK_BANDS: usize = mel::ATTACK.bands;
/// Number of its frames: every 2 ms, from 6 ms before the onset to 56 ms after it.
pub const ATTACK_FRAMES: usize = 32;

/// Length of a window in seconds: 512 samples at 44.1 kHz.
const WINDOW_SEC: f64 = 512.0 / 44_100.0;
const FIRST_SEC: f64 = -0.006;
const STEP_SEC: f64 = 0.002;
/// Level below the attack's loudest band and frame that counts as nothing, in dB.
const FLOOR_DB: f32 = -60.0;

/// Tables for one sample rate.
pub(super) struct AttackPlan {
    rate: u32,
    transform: Arc<dyn Fft<f32>>,
    window: Vec<f32>,
    bank: FilterBank,
}

impl AttackPlan {
    pub fn new(planner: &mut FftPlanner<f32>, rate: u32) -> Self {
        let window = hann(((WINDOW_SEC * f64::from(rate)).round() as usize).max(16));
        let size = fast_even_size(window.len());
        let bank = FilterBank::new(&mel::ATTACK, f64::from(rate) / size as f64, size / 2 + 1);
        AttackPlan { rate, transform: planner.plan_fft_forward(size), window, bank }
    }
}

/// Draws the picture; keeps its buffers from sound to sound.
#[derive(Default)]
pub(super) struct Attack {
    pair: Vec<Complex32>,
    frames: [Vec<f32>; 2],
    scratch: Vec<Complex32>,
    power: [Vec<f32>; 2],
    magnitude: [Vec<f32>; 2],
    energies: Vec<[f32; ATTACK_BANDS]>,
}

impl Attack {
    /// Appends the picture of the sound that lies in `onset..end` of `samples` to `values`: bands times frames, 1 the
    /// loudest, 0 60 dB below it.
    #[inline(always)]
    pub fn draw(
        &mut self,
        plan: &AttackPlan,
        samples: &[f32],
        [onset, end]: [usize; 2],
        gain: f32,
        values: &mut Vec<f32>,
    ) {
        let size = plan.transform.len();
        self.pair.resize(size, Complex32::default());
        self.scratch.resize(plan.transform.get_inplace_scratch_len(), Complex32::default());
        for frame in &mut self.frames {
            // Zero beyond the window, which may be shorter than the transform.
            frame.clear();
            frame.resize(size, 0.0);
        }
        for buffer in self.power.iter_mut().chain(&mut self.magnitude) {
            buffer.resize(size / 2 + 1, 0.0);
        }
        self.energies.clear();
        let start_of = |frame: usize| {
            let seconds = FIRST_SEC + STEP_SEC * frame as f64;
            onset as i64 + (seconds * f64::from(plan.rate)).round() as i64 - (plan.window.len() / 2) as i64
        };
        let count = (0..ATTACK_FRAMES).take_while(|&frame| start_of(frame) < end as i64).count();
        for frame in (0..count).step_by(2) {
            let [first, second] = &mut self.frames;
            place(first, samples, start_of(frame), &plan.window, gain);
            if frame + 1 < count {
                place(second, samples, start_of(frame + 1), &plan.window, gain);
            } else {
                second.fill(0.0);
            }
            for ((slot, re), im) in self.pair.iter_mut().zip(first.iter()).zip(second.iter()) {
                *slot = Complex32::new(*re, *im);
            }
            plan.transform.process_with_scratch(&mut self.pair, &mut self.scratch);
            split_pair(&self.pair, &mut self.power, &mut self.magnitude);
            for power in self.power.iter().take(count - frame) {
                let mut energies = [0f32; ATTACK_BANDS];
                plan.bank.apply(power, &mut energies);
                self.energies.push(energies);
            }
        }
        log_picture(&self.energies, ATTACK_FRAMES, FLOOR_DB, values);
    }
}
