//! Pairs of outlines that may be the same sound, without comparing all with all.
//!
//! Locality-sensitive hashing for the Euclidean distance (Datar, Immorlica, Indyk and Mirrokni, *Locality-sensitive
//! hashing scheme based on p-stable distributions*, 2004): each table cuts the space of spectra into cells by a few random
//! projections, and what lies in one cell is compared. The more sounds there are, the smaller the cells; what shares none
//! of them in any table is passed over. In a crowded cell each is compared with those next to it on one more projection,
//! so that the time grows with the number of sounds and no faster than its logarithm.
//!
//! One table stands at a time, and of each sound no more than the best pairs so far: memory stays below 500 bytes a sound
//! even where a hundred thousand are the same.

use std::sync::atomic::{AtomicBool, Ordering};

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

/// So many sounds of a table are compared with their neighbours before what was found is sorted in: 25 MB at most.
const BLOCK: usize = 1 << 15;
/// So many of them by one thread.
const CHUNK: usize = 1 << 9;

/// Pairs that may be the same sound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Pairs of places, the smaller first, in order.
    pub pairs: Vec<(u32, u32)>,
    /// How often two outlines were compared for it.
    pub looked_at: u64,
}

/// Looks for pairs that may be the same sound; by their places in `outlines`. Where `cancel` is set it ends soon, with what
/// was found until then.
pub fn candidates(outlines: &[Outline], cancel: &AtomicBool) -> Candidates {
    let [fewest, most] = PROJECTIONS;
    let projections = ((outlines.len().max(1) as f64).log(4.0).floor() as usize).clamp(fewest, most);
    let mut best: Vec<Best> = vec![Best::default(); outlines.len()];
    let mut looked_at = 0;
    for table in 0..TABLES as u64 {
        let cells = cells(outlines, table, projections);
        for start in (0..cells.len()).step_by(BLOCK) {
            if cancel.load(Ordering::Relaxed) {
                return Candidates::default();
            }
            let end = cells.len().min(start + BLOCK);
            let found: Vec<(Vec<Pair>, u64)> = (start..end)
                .into_par_iter()
                .step_by(CHUNK)
                .map(|from| neighbours(outlines, &cells, from, end.min(from + CHUNK)))
                .collect();
            for (pairs, count) in found {
                looked_at += count;
                for Pair { alike, first, second } in pairs {
                    for (place, other) in [(first, second), (second, first)] {
                        if let Some(best) = best.get_mut(place as usize) {
                            best.offer(alike, other);
                        }
                    }
                }
            }
        }
    }
    let mut pairs = Vec::with_capacity(best.iter().map(|best| best.0.len()).sum::<usize>() / 2);
    for (place, best) in (0u32..).zip(best) {
        pairs.extend(best.others().map(|other| (place.min(other), place.max(other))));
    }
    pairs.par_sort_unstable();
    pairs.dedup();
    Candidates { pairs, looked_at }
}

/// A cell, where in it, and the place of what is there.
type Located = (u64, f32, u32);

/// The cells of a table, in order.
fn cells(outlines: &[Outline], table: u64, projections: usize) -> Vec<Located> {
    let mut random = Normal::new(table + 1);
    // One more than are hashed: those of one cell are ordered by it.
    let rows: Vec<Vec<f32>> =
        (0..=projections).map(|_| (0..MOMENTS * BANDS).map(|_| random.next()).collect()).collect();
    let shifts: Vec<f32> = (0..projections).map(|_| random.unit() * WIDTH).collect();
    let mut cells: Vec<Located> = outlines
        .par_iter()
        .enumerate()
        .map_init(Vec::new, |beginning: &mut Vec<f32>, (place, outline)| {
            beginning.clear();
            beginning.extend(outline.beginning(MOMENTS));
            let at = |row: &[f32]| row.iter().zip(&*beginning).map(|(a, b)| a * b).sum::<f32>();
            let cell = rows.iter().zip(&shifts).fold(0u64, |cell, (row, shift)| {
                // From -8 to 7 is twice as far as any projection goes; further ones share the last cells.
                let slice = ((at(row) + shift) / WIDTH).floor().clamp(-16.0, 15.0) as i64 + 16;
                cell << 5 | slice as u64
            });
            (cell, rows.last().map_or(0.0, |row| at(row)), place as u32)
        })
        .collect();
    cells.par_sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    cells
}

/// Compares a part of a table with what stands behind each in its cell; the pairs that are alike, and how many were
/// compared.
fn neighbours(outlines: &[Outline], cells: &[Located], from: usize, to: usize) -> (Vec<Pair>, u64) {
    let (mut found, mut looked_at) = (Vec::new(), 0);
    for (index, (cell, _, a)) in cells.iter().enumerate().take(to).skip(from) {
        let near = cells.iter().skip(index + 1).take(NEIGHBOURS).take_while(|(other, ..)| other == cell);
        for (_, _, b) in near {
            looked_at += 1;
            let alike = alike(outlines, *a, *b);
            found.extend(alike.map(|alike| Pair { alike, first: *a.min(b), second: *a.max(b) }));
        }
    }
    (found, looked_at)
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    /// How alike the outlines are.
    alike: u32,
    first: u32,
    second: u32,
}

/// What is most like a sound: how alike, and its place, in one number; the least alike first.
#[derive(Debug, Clone, Default)]
struct Best(Vec<u64>);

impl Best {
    fn offer(&mut self, alike: u32, other: u32) {
        let entry = u64::from(alike) << 32 | u64::from(other);
        let Err(place) = self.0.binary_search(&entry) else { return };
        if self.0.len() < KEPT {
            self.0.insert(place, entry);
        } else if let Some(better) = self.0.get_mut(..place) {
            // The least alike goes.
            better.rotate_left(usize::from(place > 0));
            if let Some(last) = better.last_mut() {
                *last = entry;
            }
        }
    }

    fn others(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().map(|entry| *entry as u32)
    }
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
        let found = candidates(&outlines, &AtomicBool::new(false));
        let pairs = &found.pairs;
        let copies = pairs.iter().filter(|(a, b)| a % 2 == 0 && *b == a + 1).count();
        assert_eq!(copies, 300);
        assert!(pairs.len() < 2 * copies, "{} pairs", pairs.len());
        assert_eq!(candidates(&outlines, &AtomicBool::new(false)), found);
        assert_eq!(candidates(&[], &AtomicBool::new(false)), Candidates::default());
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
            let found = candidates(&outlines, &AtomicBool::new(false));
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

    #[test]
    fn of_a_crowd_the_best_pairs_of_each_are_kept_and_no_more() {
        let mut best = Best::default();
        for other in 0..200u32 {
            best.offer(1000 + other * 37 % 200, other);
            best.offer(1000 + other * 37 % 200, other);
        }
        let mut expected: Vec<u32> = (0..200).collect();
        expected.sort_unstable_by_key(|other| other * 37 % 200);
        assert_eq!(best.others().collect::<Vec<_>>(), expected[200 - KEPT..]);
        // A thousand times the same sound.
        let crowd: Vec<Outline> = std::iter::repeat_n(made(1, 0), 1000).chain((2..500).map(|n| made(n, 0))).collect();
        let found = candidates(&crowd, &AtomicBool::new(false));
        assert!(found.pairs.len() <= crowd.len() * KEPT, "{} pairs", found.pairs.len());
        assert!(found.pairs.len() >= 1000 * KEPT / 2, "{} pairs", found.pairs.len());
        assert_eq!(candidates(&crowd, &AtomicBool::new(true)), Candidates::default());
    }

    /// `cargo test --release --lib a_million_outlines -- --ignored --nocapture`; `DRUMFS_OUTLINES` for another number. A
    /// tenth of them are one sound with changes that hardly matter, and a tenth hiss of the same spectrum.
    #[test]
    #[ignore = "a measurement, of minutes"]
    #[allow(clippy::print_stdout)]
    fn a_million_outlines() {
        let count: u64 = std::env::var("DRUMFS_OUTLINES").map_or(1_000_000, |count| count.parse().unwrap());
        let outlines: Vec<Outline> = (0..count)
            .into_par_iter()
            .map(|number| match number % 10 {
                0 => {
                    let mut one = made(7, 0).to_bytes();
                    let mut random = Normal::new(number + 1);
                    for byte in &mut one[..Outline::LEN_OF_SHAPE] {
                        *byte = byte.saturating_sub((random.unit() * 3.0) as u8);
                    }
                    for _ in 0..10 {
                        one[Outline::LEN_OF_SHAPE + (random.unit() * 64.0) as usize] ^= 1;
                    }
                    Outline::from_bytes(&one).unwrap()
                }
                1 => {
                    let mut random = Normal::new(number + 1);
                    let mut hiss = made(number, 0).to_bytes();
                    for byte in &mut hiss[..Outline::LEN_OF_SHAPE] {
                        *byte = 200 + (random.unit() * 55.0) as u8;
                    }
                    Outline::from_bytes(&hiss).unwrap()
                }
                // Each fifth of the rest has a copy.
                2 => made(number + 1, 4),
                _ => made(number, 0),
            })
            .collect();
        let started = std::time::Instant::now();
        let found = candidates(&outlines, &AtomicBool::new(false));
        let took = started.elapsed();
        let copies = (0..count / 10)
            .filter(|tenth| found.pairs.binary_search(&(*tenth as u32 * 10 + 2, *tenth as u32 * 10 + 3)).is_ok())
            .count();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        println!(
            "{count} outlines: {:.1} s on {} threads, {} compared, {} pairs, {copies} of {} copies, {peak}",
            took.as_secs_f64(),
            rayon::current_num_threads(),
            found.looked_at,
            found.pairs.len(),
            count / 10,
        );
    }
}
