//! Where the magnitude of a frame's spectrum lies: centroid and rolloff.

use super::features::frame_step;
use super::vector::{Eight, Vector};

/// Frames more than 60 dB below the loudest are left out of centroid and rolloff: there is only noise floor in them.
const QUIET_FRAME: f32 = 1e-6;
/// Share of a frame's magnitude that lies below the rolloff frequency.
const ROLLOFF_SHARE: f32 = 0.85;
/// Most blocks of bins whose sums are kept, and the bins of a block of a usual transform.
const BLOCKS: usize = 64;
const BLOCK: usize = 64;

/// Centroid and rolloff of one frame.
#[derive(Clone, Copy, Default)]
pub(super) struct Shape {
    centroid_hz: f32,
    rolloff_hz: f32,
    /// Square of the summed magnitude, to tell loud frames from quiet ones.
    energy: f32,
}

impl Shape {
    /// The shapes of the frames whose power spectra are in the first lanes of `power`, one `Eight` a bin.
    #[inline(always)]
    pub fn of<V: Vector>(power: &[Eight], bin_hz: f32, shapes: &mut [Self]) {
        // Sums by blocks, of which the rolloff then looks into one. Very long transforms use longer blocks.
        let block = BLOCK.max(power.len().div_ceil(BLOCKS).next_multiple_of(BLOCK));
        let mut block_sums = [Eight::ZERO; BLOCKS];
        let mut total = V::splat(0.0);
        let mut moment = V::splat(0.0);
        for (index, (bins, block_sum)) in power.chunks(block).zip(&mut block_sums).enumerate() {
            // Two of each, so that no addition waits for the one before.
            let mut sums = [V::splat(0.0); 2];
            let mut inner = [V::splat(0.0); 2];
            for (pair, bins) in bins.chunks(2).enumerate() {
                for (half, bin) in bins.iter().enumerate() {
                    let magnitude = V::load(&bin.0).sqrt();
                    sums[half] = sums[half].add(magnitude);
                    inner[half] = inner[half].add(magnitude.mul(V::splat((2 * pair + half) as f32)));
                }
            }
            let sum = sums[0].add(sums[1]);
            sum.store(&mut block_sum.0);
            moment = moment.add(inner[0].add(inner[1])).add(sum.mul(V::splat((index * block) as f32)));
            total = total.add(sum);
        }
        let (mut totals, mut moments) = (Eight::ZERO, Eight::ZERO);
        total.store(&mut totals.0);
        moment.store(&mut moments.0);
        for (lane, (shape, (total, moment))) in shapes.iter_mut().zip(totals.0.iter().zip(moments.0)).enumerate() {
            *shape = match *total > 0.0 {
                true => {
                    let rolloff = rolloff(power, lane, &block_sums, block, total * ROLLOFF_SHARE);
                    Self {
                        centroid_hz: moment / total * bin_hz,
                        rolloff_hz: rolloff as f32 * bin_hz,
                        energy: total * total,
                    }
                }
                false => Self::default(),
            };
        }
    }

    /// Mean centroid and rolloff of the frames that are not too quiet, weighted with the time each stands for.
    pub fn average(shapes: &[Shape]) -> (f32, f32) {
        let loudest = shapes.iter().fold(0f32, |max, shape| max.max(shape.energy));
        let (mut time, mut centroid, mut rolloff) = (0f32, 0f32, 0f32);
        for (frame, shape) in shapes.iter().enumerate() {
            if shape.energy > loudest * QUIET_FRAME {
                let step = frame_step(frame);
                time += step;
                centroid += step * shape.centroid_hz;
                rolloff += step * shape.rolloff_hz;
            }
        }
        if time > 0.0 { (centroid / time, rolloff / time) } else { (0.0, 0.0) }
    }
}

/// The first bin of a lane up to which the magnitudes sum to `share`.
#[inline(always)]
fn rolloff(power: &[Eight], lane: usize, block_sums: &[Eight; BLOCKS], block: usize, share: f32) -> usize {
    let mut below = 0f32;
    let mut bin = 0usize;
    for sum in block_sums {
        if below + sum.0[lane] >= share {
            break;
        }
        below += sum.0[lane];
        bin += block;
    }
    for power in power.get(bin..).unwrap_or_default() {
        below += power.0[lane].sqrt();
        if below >= share {
            break;
        }
        bin += 1;
    }
    bin.min(power.len().saturating_sub(1))
}
