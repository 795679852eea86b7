//! Pairs of outlines that may be the same sound, without comparing all with all.
//!
//! Locality-sensitive hashing for the Euclidean distance (Datar, Immorlica, Indyk and Mirrokni, *Locality-sensitive
//! hashing scheme based on p-stable distributions*, 2004): each table cuts the space of spectra into cells by a few random
//! projections, and what lies in one cell is compared. The more sounds there are, the smaller the cells; what shares none
//! of them in any table is passed over. In a crowded cell each is compared with those next to it on one more projection,
//! so that the time grows with the number of sounds and no faster than its logarithm.

use rayon::prelude::*;

use super::outline::{BANDS, Outline};

/// How many tables.
const TABLES: usize = 24;
/// Width of a cell along a projection; spectra are vectors of length 1.
const WIDTH: f32 = 0.5;
/// Only so many moments, 72 ms, are hashed: what was cut behind them does not matter.
const MOMENTS: usize = 5;
/// In a crowded cell so many neighbours are compared.
const NEIGHBOURS: usize = 64;
/// Fewest and most projections of a table: with each a cell has about a quarter of what it had.
const PROJECTIONS: [usize; 2] = [3, 10];

/// Spectra further apart than this are other sounds. A start that was cut 2 ms later moves them by 0.2 at most; formats
/// and rates by 0.07.
const MOST_APART: f32 = 0.3;
/// Fewer signs in common than this are another waveform: a correlation of 0.8 gives 0.80, of 0.6 gives 0.70.
const LEAST_AGREEMENT: f32 = 0.7;

/// Pairs of places in `outlines`, the smaller first, in order.
pub fn candidates(outlines: &[Outline]) -> Vec<(u32, u32)> {
    let dimensions = MOMENTS * BANDS;
    let [fewest, most] = PROJECTIONS;
    let projections = ((outlines.len().max(1) as f64).log(4.0).floor() as usize).clamp(fewest, most);
    let mut pairs: Vec<(u32, u32)> = (0..TABLES)
        .into_par_iter()
        .flat_map_iter(|table| {
            let mut random = Normal::new(table as u64 + 1);
            // One more than are hashed: those of one cell are ordered by it.
            let rows: Vec<Vec<f32>> =
                (0..=projections).map(|_| (0..dimensions).map(|_| random.next()).collect()).collect();
            let shifts: Vec<f32> = (0..projections).map(|_| random.unit() * WIDTH).collect();
            let mut cells: Vec<(u64, f32, u32)> = (0u32..)
                .zip(outlines)
                .map(|(place, outline)| {
                    let beginning: Vec<f32> = outline.beginning(MOMENTS).collect();
                    let at = |row: &[f32]| row.iter().zip(&beginning).map(|(a, b)| a * b).sum::<f32>();
                    let cell = rows.iter().zip(&shifts).fold(0u64, |cell, (row, shift)| {
                        // From -8 to 7 is twice as far as any projection goes; further ones share the last cells.
                        let slice = ((at(row) + shift) / WIDTH).floor().clamp(-16.0, 15.0) as i64 + 16;
                        cell << 5 | slice as u64
                    });
                    (cell, rows.last().map_or(0.0, |row| at(row)), place)
                })
                .collect();
            cells.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
            let mut found = Vec::new();
            for (index, (cell, _, a)) in cells.iter().enumerate() {
                let near = cells.iter().skip(index + 1).take(NEIGHBOURS).take_while(|(other, ..)| other == cell);
                found.extend(near.filter(|(_, _, b)| alike(outlines, *a, *b)).map(|(_, _, b)| (*a.min(b), *a.max(b))));
            }
            found
        })
        .collect();
    pairs.par_sort_unstable();
    pairs.dedup();
    pairs
}

fn alike(outlines: &[Outline], a: u32, b: u32) -> bool {
    let (Some(a), Some(b)) = (outlines.get(a as usize), outlines.get(b as usize)) else { return false };
    a.apart(b) <= MOST_APART && a.agreement(b).is_none_or(|agreement| agreement >= LEAST_AGREEMENT)
}

/// Numbers with a normal distribution, the same in every run: xorshift64* (Vigna 2016) and Box and Muller (1958).
struct Normal(u64);

impl Normal {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// From 0, which it never is, to 1.
    fn unit(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
        (bits as f32 + 0.5) / (1u64 << 24) as f32
    }

    fn next(&mut self) -> f32 {
        let (radius, turn) = (self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f32::consts::TAU * turn).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duplicates::Outliner;

    #[test]
    fn copies_meet_among_many_and_strangers_mostly_do_not() {
        let mut outliner = Outliner::default();
        let mut random = Normal::new(99);
        let mut outlines = Vec::new();
        for sound in 0..300 {
            let (pitch, decay) = (60.0 + 37.0 * sound as f32, 400.0 + 20.0 * (sound % 50) as f32);
            let samples: Vec<f32> = (0..8000)
                .map(|n| {
                    let tone = (std::f32::consts::TAU * pitch * n as f32 / 44_100.0).sin();
                    (tone + 0.3 * random.next()) * (-(n as f32) / decay).exp()
                })
                .collect();
            let quieter: Vec<f32> = samples.iter().map(|x| (x * 3000.0).round() / 30_000.0).collect();
            outlines.push(outliner.outline(&samples, 44_100).unwrap());
            outlines.push(outliner.outline(&quieter, 44_100).unwrap());
        }
        let pairs = candidates(&outlines);
        let copies = pairs.iter().filter(|(a, b)| a % 2 == 0 && *b == a + 1).count();
        assert_eq!(copies, 300);
        assert!(pairs.len() < 2 * copies, "{} pairs", pairs.len());
        assert_eq!(candidates(&outlines), pairs);
        assert!(candidates(&[]).is_empty());
    }
}
