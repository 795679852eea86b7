//! A second picture, of the attack alone: windows a quarter as long, ten times as close. What the long windows of the
//! first picture blur (a beater's click, a clap's separate bursts, a stick on metal) is apart in it.

use rustfft::FftPlanner;

use super::features::log_picture;
use super::frames::{FramePlan, Frames, Group};
use super::mel::{self, FilterBank};
use super::vector::{Eight, Vector};

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
    frames: FramePlan,
    bank: FilterBank,
}

impl AttackPlan {
    pub fn new(planner: &mut FftPlanner<f32>, rate: u32) -> Self {
        let frames = FramePlan::new(planner, rate, WINDOW_SEC);
        let bank = FilterBank::new(&mel::ATTACK, frames.bin_hz(), frames.bins());
        AttackPlan { frames, bank }
    }
}

/// Draws the picture; keeps its buffers from sound to sound.
#[derive(Default)]
pub(super) struct Attack {
    frames: Frames,
    group: Group,
    energies: Vec<[f32; ATTACK_BANDS]>,
}

impl Attack {
    /// Appends the picture of the sound that lies in `onset..end` of `samples` to `values`: bands times frames, 1 the
    /// loudest, 0 60 dB below it.
    #[inline(always)]
    pub fn draw<V: Vector>(
        &mut self,
        plan: &AttackPlan,
        samples: &[f32],
        [onset, end]: [usize; 2],
        gain: f32,
        values: &mut Vec<f32>,
    ) {
        self.frames.begin(&plan.frames);
        self.group.begin(&plan.frames);
        self.energies.clear();
        let starts: [i64; ATTACK_FRAMES] =
            std::array::from_fn(|frame| plan.frames.start(onset, FIRST_SEC + STEP_SEC * frame as f64));
        let count = starts.iter().take_while(|&&start| start < end as i64).count();
        for starts in starts[..count].chunks(Eight::LANES) {
            self.group.transform::<V>(&mut self.frames, &plan.frames, samples, starts, gain);
            let mut energies = [Eight::ZERO; ATTACK_BANDS];
            plan.bank.apply::<V>(&self.group.lanes, &mut energies);
            self.energies.extend((0..starts.len()).map(|lane| energies.map(|energy| energy.0[lane])));
        }
        log_picture(&self.energies, ATTACK_FRAMES, FLOOR_DB, values);
    }
}
