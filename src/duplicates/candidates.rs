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
/// Fewer signs in common than this are another waveform: a correlation of 0.71 gives so many.
const LEAST_AGREEMENT: f32 = 0.75;

/// Of each sound so many pairs are kept, those most alike; more only where they are among the best of the other.
const KEPT: usize = 32;

/// Pairs that may be the same sound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Pairs of places, the smaller first, in order.
    pub pairs: Vec<(u32, u32)>,
    /// How often two outlines were compared for it.
    pub looked_at: u64,
}

/// Looks for pairs that may be the same sound; by their places in `outlines`.
pub fn candidates(outlines: &[Outline]) -> Candidates {
    let dimensions = MOMENTS * BANDS;
    let [fewest, most] = PROJECTIONS;
    let projections = ((outlines.len().max(1) as f64).log(4.0).floor() as usize).clamp(fewest, most);
    let (mut pairs, looked_at) = (0..TABLES)
        .into_par_iter()
        .map(|table| {
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
            let (mut found, mut looked_at) = (Vec::new(), 0);
            for (index, (cell, _, a)) in cells.iter().enumerate() {
                let near = cells.iter().skip(index + 1).take(NEIGHBOURS).take_while(|(other, ..)| other == cell);
                for (_, _, b) in near {
                    looked_at += 1;
                    let alike = alike(outlines, *a, *b);
                    found.extend(alike.map(|alike| Pair { alike, first: *a.min(b), second: *a.max(b) }));
                }
            }
            (found, looked_at)
        })
        .reduce(Default::default, |(mut pairs, looked_at), (more, also)| {
            pairs.extend(more);
            (pairs, looked_at + also)
        });
    pairs.par_sort_unstable();
    pairs.dedup();
    // The most alike stand first.
    let mut counts = vec![0usize; outlines.len()];
    let mut kept: Vec<(u32, u32)> = Vec::new();
    for Pair { first, second, .. } in pairs.into_iter().rev() {
        let [first_has, second_has] = [first, second].map(|place| counts.get(place as usize).copied().unwrap_or(KEPT));
        if first_has < KEPT || second_has < KEPT {
            kept.push((first, second));
            for place in [first, second] {
                if let Some(count) = counts.get_mut(place as usize) {
                    *count += 1;
                }
            }
        }
    }
    kept.par_sort_unstable();
    Candidates { pairs: kept, looked_at }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    /// How alike the outlines are.
    alike: u32,
    first: u32,
    second: u32,
}

/// How alike two outlines are, in millionths, where they are alike enough to be compared.
fn alike(outlines: &[Outline], a: u32, b: u32) -> Option<u32> {
    let (a, b) = (outlines.get(a as usize)?, outlines.get(b as usize)?);
    let apart = a.apart(b);
    if apart > MOST_APART {
        return None;
    }
    // Where too little is heard to say, it is as if it were just enough.
    let agreement = a.agreement(b).unwrap_or(LEAST_AGREEMENT);
    (agreement >= LEAST_AGREEMENT).then_some((agreement * 1e6) as u32)
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
        let found = candidates(&outlines);
        let pairs = &found.pairs;
        let copies = pairs.iter().filter(|(a, b)| a % 2 == 0 && *b == a + 1).count();
        assert_eq!(copies, 300);
        assert!(pairs.len() < 2 * copies, "{} pairs", pairs.len());
        assert_eq!(candidates(&outlines), found);
        assert_eq!(candidates(&[]), Candidates::default());
    }

    /// An outline of its own for each number; `noise` from 0 to 255 moves it a little.
    fn made(number: u64, noise: u8) -> Outline {
        let mut random = Normal::new(number + 1000);
        // Bands that decay each at its own rate, so that neighbours are as close as drums of one kind are.
        let levels: [f32; BANDS] = std::array::from_fn(|_| random.unit().powi(2));
        let decays: [f32; BANDS] = std::array::from_fn(|_| 0.5 + 0.5 * random.unit());
        let loudest = levels.iter().copied().fold(0f32, f32::max);
        let mut bytes = Vec::new();
        for moment in 0..Outline::LEN_OF_SHAPE / BANDS {
            for (level, decay) in levels.iter().zip(decays) {
                let value = level / loudest * decay.powi(moment as i32) * 255.0;
                bytes.push((value as u8).saturating_sub((random.unit() * f32::from(noise)) as u8));
            }
        }
        while bytes.len() < Outline::LEN - 2 {
            bytes.extend_from_slice(&((random.unit() * 65_536.0) as u16).to_le_bytes());
        }
        bytes.extend_from_slice(&(Outline::SIGNS as u16).to_le_bytes());
        Outline::from_bytes(&bytes).unwrap()
    }

    #[test]
    fn thousands_are_not_compared_all_with_all() {
        let looked_at = |count: u64| {
            let outlines: Vec<Outline> =
                (0..count).map(|number| made(number, 0)).chain((0..count / 10).map(|number| made(number, 4))).collect();
            let found = candidates(&outlines);
            let copies = (0..count / 10)
                .filter(|number| found.pairs.binary_search(&(*number as u32, (count + number) as u32)).is_ok());
            assert!(copies.count() as u64 > count / 10 * 97 / 100, "copies are found");
            assert!(found.pairs.len() as u64 <= 2 * count, "{} pairs", found.pairs.len());
            found.looked_at
        };
        let (some, more) = (looked_at(1500), looked_at(6000));
        assert!(some < 1500 * 1500 / 2, "{some}");
        // Sixteen times as many pairs.
        assert!(more < 6 * some, "{some} among 1,500, {more} among 6,000");
    }
}
