//! A sound as a picture: its wave, and its spectrum over time.

use crate::audio::spectral::{Spectral, SpectralParams};

/// Columns of the wave.
const WAVE: usize = 900;
/// Most columns of the spectrum.
const COLUMNS: usize = 360;
/// Rows of the spectrum: bands that are as wide as the ear hears them.
const BANDS: usize = 72;
/// Length of the windows of the spectrum, in seconds.
const WINDOW: f64 = 0.023;
/// How far below the loudest the spectrum is shown, in dB.
const RANGE_DB: f32 = 80.0;
/// The bands' range, in Hz.
const LOWEST: f64 = 40.0;
const HIGHEST: f64 = 18_000.0;

/// What the page draws, as bytes.
///
/// Three numbers of 16 bits, little end first: columns of the wave, columns of the spectrum, rows of the spectrum. Then
/// for each column of the wave the least and the largest sample, -127 to 127, and for each column of the spectrum its
/// rows from low to high, 0 to 255 over [`RANGE_DB`].
pub fn of(samples: &[f32], sample_rate: u32) -> Vec<u8> {
    let wave = wave(samples);
    let (columns, spectrum) = spectrum(samples, sample_rate);
    let mut bytes = Vec::with_capacity(6 + wave.len() + spectrum.len());
    for number in [wave.len() / 2, columns, BANDS] {
        bytes.extend_from_slice(&u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes());
    }
    bytes.extend(wave.iter().map(|value| *value as u8));
    bytes.extend(spectrum);
    bytes
}

/// The least and the largest of each column's samples.
fn wave(samples: &[f32]) -> Vec<i8> {
    let columns = samples.len().min(WAVE);
    let level = |value: f32| (value.clamp(-1.0, 1.0) * 127.0).round() as i8;
    let column = |number: usize| {
        let (from, to) = (number * samples.len() / columns, (number + 1) * samples.len() / columns);
        // With the next one's first, so that columns of few samples hang together.
        let part = samples.get(from..(to + 1).min(samples.len())).unwrap_or_default();
        let least = part.iter().copied().fold(f32::INFINITY, f32::min);
        let largest = part.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        [level(least), level(largest)]
    };
    (0..columns).flat_map(column).collect()
}

/// How many columns there are, and their bands.
fn spectrum(samples: &[f32], sample_rate: u32) -> (usize, Vec<u8>) {
    let rate = f64::from(sample_rate.max(1));
    let n_fft = ((rate * WINDOW) as usize).next_power_of_two().clamp(64, 1 << 16);
    let highest = HIGHEST.min(rate / 2.0);
    let params = SpectralParams {
        sample_rate: sample_rate.max(1),
        samples: samples.len(),
        n_fft,
        hop_length: (samples.len() / COLUMNS).max(1),
        n_mels: BANDS,
        n_mfcc: None,
        fmin: LOWEST.min(highest / 2.0),
        fmax: highest,
        top_db: Some(RANGE_DB),
        normalize: false,
    };
    let columns = params.frames();
    let picture = Spectral::new(params).compute(samples);
    let loudest = picture.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shade = |value: f32| ((value - loudest + RANGE_DB) / RANGE_DB * 255.0).clamp(0.0, 255.0) as u8;
    let column = |number: usize| picture.iter().skip(number).step_by(columns).copied().map(shade);
    (columns, (0..columns).flat_map(column).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_a_band_across_the_picture_and_a_wave_of_its_height() {
        let tone = |i: usize| 0.5 * (std::f32::consts::TAU * 1000.0 * i as f32 / 44_100.0).sin();
        let samples: Vec<f32> = (0..44_100).map(tone).collect();
        let bytes = of(&samples, 44_100);
        let number = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let (wave, columns, rows) = (number(0), number(2), number(4));
        assert_eq!((wave, rows, bytes.len()), (WAVE, BANDS, 6 + 2 * wave + columns * rows));
        assert_eq!((bytes[6 + 100] as i8, bytes[6 + 101] as i8), (-63, 63));
        let middle = &bytes[6 + 2 * wave + columns / 2 * rows..][..rows];
        let loudest = middle.iter().enumerate().max_by_key(|(_, shade)| **shade).unwrap().0;
        // Half way up the range as the ear hears it, 40 Hz to 18 kHz, is 3 kHz.
        assert!((rows / 6..rows / 2).contains(&loudest), "{loudest}");
        assert!(middle[rows - 1] < 60 && middle[loudest] > 200, "{middle:?}");
    }

    #[test]
    fn the_shortest_sound_and_the_oddest_rate_are_drawn_too() {
        for (len, rate) in [(1, 8000), (3, 1), (700, 1_000_000), (100, 44_100)] {
            let bytes = of(&vec![0.25; len], rate);
            assert!(bytes.len() > 6 + BANDS, "{len} {rate}");
        }
    }
}
