//! Numbers that say in a word what a picture needs many pixels for: how long, how fast it decays, in which bands, at
//! what pitch, how noisy. The model reads them beside the picture.
//!
//! Times are in seconds from the onset. None of the numbers depends on the level, nor (nearly) on the sample rate.

use super::features::{FRAMES, MEL_BANDS, frame_step, frame_time};
use super::mel;

/// How many descriptors there are.
pub const DESCRIPTORS: usize = DESCRIPTOR_NAMES.len();

/// What each descriptor is called, in order; docs/models.md says what each is.
pub const DESCRIPTOR_NAMES: [&str; 63] = [
    "share_below_90_hz",
    "share_90_200_hz",
    "share_200_500_hz",
    "share_500_1500_hz",
    "share_1500_4000_hz",
    "share_4000_8000_hz",
    "share_above_8000_hz",
    "time_below_90_hz",
    "time_90_200_hz",
    "time_200_500_hz",
    "time_500_1500_hz",
    "time_1500_4000_hz",
    "time_4000_8000_hz",
    "time_above_8000_hz",
    "energy_by_20_ms",
    "energy_by_50_ms",
    "energy_by_100_ms",
    "energy_by_200_ms",
    "energy_by_360_ms",
    "energy_by_520_ms",
    "energy_by_1160_ms",
    "duration",
    "fall_6_db",
    "fall_10_db",
    "fall_20_db",
    "fall_30_db",
    "fall_40_db",
    "fall_60_db",
    "temporal_centroid",
    "loudest_at",
    "level_at_10_ms",
    "level_at_20_ms",
    "level_at_40_ms",
    "level_at_80_ms",
    "level_at_160_ms",
    "level_at_320_ms",
    "level_at_640_ms",
    "level_at_1280_ms",
    "rises",
    "steep_rises",
    "rms_below_peak",
    "pitch_attack",
    "pitch_body",
    "pitch_tail",
    "pitch",
    "glide_attack_body",
    "glide_body_tail",
    "crest_low",
    "flatness_low",
    "crest_mid",
    "flatness_mid",
    "crest_high",
    "flatness_high",
    "centre_attack",
    "spread_attack",
    "centre_body",
    "spread_body",
    "centre_tail",
    "spread_tail",
    "centre_whole",
    "spread_whole",
    "crossings_attack",
    "crossings_body",
];

/// Upper ends, in Hz, of the regions that shares and decays are told of; the last one is open. A kick's fundamental, a
/// tom's, a snare's body, wood and skin, metal and slap, hiss, air.
const REGION_ENDS: [f64; 6] = [90.0, 200.0, 500.0, 1_500.0, 4_000.0, 8_000.0];
const REGIONS: usize = REGION_ENDS.len() + 1;
/// Frames whose share of the energy so far is told.
const SHARE_AT: [usize; 7] = [2, 5, 10, 16, 24, 32, 48];
/// Levels below the loudest block whose time is told, in dB.
const FALLS: [f32; 6] = [6.0, 10.0, 20.0, 30.0, 40.0, 60.0];
/// Times after the onset whose level is told, in blocks of 5 ms: 10, 20, 40 ... 1280 ms.
const LEVEL_AT: [usize; 8] = [2, 4, 8, 16, 32, 64, 128, 256];
/// Length of an envelope's block in seconds, and how many there are at most (3 s).
const BLOCK_SEC: f64 = 0.005;
const BLOCKS: usize = 600;
/// Milliseconds after the onset in which the separate bursts of a clap or a flam are looked for.
const BURSTS_MS: usize = 80;
/// Range in Hz in which a pitch is looked for.
const PITCH_HZ: [f32; 2] = [25.0, 1_200.0];
/// Frames in which it is looked for, end exclusive: the attack, 40 to 80 ms, 120 to 240 ms, and all.
const STAGES: [[usize; 2]; 4] = [[0, 2], [4, 8], [12, 18], [0, FRAMES]];
/// Frames over which tonality is told (30 to 200 ms), and its regions in Hz.
const BODY: [usize; 2] = [3, 16];
const TONALITY_HZ: [[f32; 2]; 3] = [[25.0, 300.0], [300.0, 2_000.0], [2_000.0, 12_000.0]];
/// Frames whose centre of gravity is told.
const CENTRES: [[usize; 2]; 4] = [[0, 2], [4, 12], [16, 32], [0, FRAMES]];
/// Added to times before their logarithm is taken, in seconds: 5 ms more or less matter to no ear at 1 s.
const TIME_OFFSET: f32 = 0.005;
/// Spectra summed while frames are transformed: [`STAGES`], then [`BODY`].
const SUMS: usize = STAGES.len() + 1;

/// Where the sound is in its samples.
pub(super) struct Place {
    pub onset: usize,
    pub end: usize,
    pub peak: f32,
    pub rate: u32,
}

/// Power spectra summed over the frames that descriptors speak of; buffers are kept from sound to sound.
pub(super) struct Spectra {
    sums: [Vec<f32>; SUMS],
    envelope: Vec<f32>,
    region_of: [usize; MEL_BANDS],
}

impl Spectra {
    /// Buffers with nothing in them.
    pub fn new() -> Self {
        Self { sums: Default::default(), envelope: Vec::with_capacity(BLOCKS), region_of: regions() }
    }

    /// Forgets the last sound; `bins` is the length of this one's spectra.
    pub fn begin(&mut self, bins: usize) {
        for sum in &mut self.sums {
            sum.clear();
            sum.resize(bins, 0.0);
        }
    }

    /// Adds a frame's power spectrum to the sums it belongs to.
    #[inline(always)]
    pub fn add(&mut self, frame: usize, power: &[f32]) {
        for ([from, to], sum) in STAGES.iter().chain([&BODY]).zip(&mut self.sums) {
            if (*from..*to).contains(&frame) {
                for (sum, power) in sum.iter_mut().zip(power) {
                    *sum += power;
                }
            }
        }
    }

    /// The descriptors of a sound, of whose frames `energies` holds those that were heard.
    #[inline(always)]
    pub fn describe(
        &mut self,
        samples: &[f32],
        place: &Place,
        energies: &[[f32; MEL_BANDS]],
        bin_hz: f32,
    ) -> [f32; DESCRIPTORS] {
        let mut list = List { values: [0.0; DESCRIPTORS], len: 0 };
        shares(energies, &self.region_of, &mut list);
        self.envelope(samples, place, &mut list);
        bursts(samples, place, &mut list);
        self.pitches(bin_hz, &mut list);
        self.tonality(bin_hz, &mut list);
        centres(energies, &mut list);
        crossings(samples, place, &mut list);
        debug_assert_eq!(list.len, DESCRIPTORS);
        list.values
    }

    /// Duration, how long each fall takes, centre of gravity, time of the loudest block; levels at fixed times.
    #[inline(always)]
    fn envelope(&mut self, samples: &[f32], place: &Place, list: &mut List) {
        let block = ((BLOCK_SEC * f64::from(place.rate)) as usize).max(1);
        let gain = 1.0 / place.peak;
        let heard = samples.get(place.onset..place.end).unwrap_or_default();
        self.envelope.clear();
        self.envelope.extend(heard.chunks(block).take(BLOCKS).map(|chunk| sum_of_squares(chunk, gain) / block as f32));
        let (mut loudest, mut most) = (0, 0f32);
        for (index, &power) in self.envelope.iter().enumerate() {
            if power > most {
                (loudest, most) = (index, power);
            }
        }
        let most = most.max(f32::MIN_POSITIVE);
        let seconds = |blocks: usize| blocks as f32 * BLOCK_SEC as f32;
        list.push_time(heard.len() as f32 / place.rate.max(1) as f32);
        for fall in FALLS {
            let below = most * 10f32.powf(-fall / 10.0);
            let after = self.envelope.iter().skip(loudest).position(|&power| power < below);
            list.push_time(seconds(after.unwrap_or(self.envelope.len().saturating_sub(loudest))));
        }
        let (mut total, mut moment) = (f32::MIN_POSITIVE, 0f32);
        for (index, &power) in self.envelope.iter().enumerate() {
            total += power;
            moment += power * seconds(index);
        }
        list.push_time(moment / total);
        list.push_time(seconds(loudest));
        for at in LEVEL_AT {
            let power = self.envelope.get(at).copied().unwrap_or(0.0);
            list.push((10.0 * (power / most).max(1e-8).log10()) / 20.0);
        }
    }

    /// Logarithm of the frequency (Hz) of the strongest low partial at each stage, and its glide between them. A stage
    /// in which nothing is left keeps the pitch of the one before.
    fn pitches(&self, bin_hz: f32, list: &mut List) {
        let mut pitches = [PITCH_HZ[0].ln(); STAGES.len()];
        let mut last = pitches[0];
        for (pitch, sum) in pitches.iter_mut().zip(&self.sums) {
            last = strongest(sum, bin_hz).unwrap_or(last);
            *pitch = last;
        }
        pitches.iter().for_each(|&pitch| list.push(pitch));
        let [attack, body, tail, _] = pitches;
        list.push(attack - body);
        list.push(body - tail);
    }

    /// For each region the logarithms of peak over mean power and of geometric over arithmetic mean (spectral crest
    /// and flatness: Peeters, *A large set of audio features*, Ircam 2004, 6.6): large and small for a tone, small and
    /// near 0 for noise. Of the whole sound where it ends before its body.
    fn tonality(&self, bin_hz: f32, list: &mut List) {
        let [.., whole, body] = &self.sums;
        let spectrum = if body.iter().any(|&power| power > 0.0) { body } else { whole };
        let total: f32 = spectrum.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        for [low, high] in TONALITY_HZ {
            let bins = |hz: f32| ((hz / bin_hz).ceil() as usize).min(spectrum.len());
            let region = spectrum.get(bins(low)..bins(high)).unwrap_or_default();
            let count = region.len().max(1) as f32;
            let (mut most, mut sum, mut logs) = (0f32, 0f32, 0f32);
            for &power in region {
                // Nothing below -90 dB of the whole counts as more than nothing.
                let share = power / total + 1e-9;
                most = most.max(share);
                sum += share;
                logs += share.ln();
            }
            let mean = sum / count;
            let silent = mean <= 0.0;
            list.push(if silent { 0.0 } else { (most / mean).ln() });
            list.push(if silent { 0.0 } else { logs / count - mean.ln() });
        }
    }
}

/// Descriptors in the making.
struct List {
    values: [f32; DESCRIPTORS],
    len: usize,
}

impl List {
    fn push(&mut self, value: f32) {
        if let Some(slot) = self.values.get_mut(self.len) {
            *slot = if value.is_finite() { value } else { 0.0 };
        }
        self.len += 1;
    }

    /// The logarithm of a time in seconds.
    fn push_time(&mut self, seconds: f32) {
        self.push((seconds + TIME_OFFSET).ln());
    }
}

/// Share and mean time of each region's energy, then how much of all energy has come by some frames.
#[inline(always)]
fn shares(energies: &[[f32; MEL_BANDS]], region_of: &[usize; MEL_BANDS], list: &mut List) {
    let mut energy = [0f32; REGIONS];
    let mut moment = [0f32; REGIONS];
    let mut so_far = [0f32; FRAMES];
    let mut total = 0f32;
    for (frame, so_far) in so_far.iter_mut().enumerate() {
        if let Some(bands) = energies.get(frame) {
            let (step, time) = (frame_step(frame), frame_time(frame) as f32);
            for (&band, &region) in bands.iter().zip(region_of) {
                energy[region] += band * step;
                moment[region] += band * step * time;
                total += band * step;
            }
        }
        *so_far = total;
    }
    let total = total.max(f32::MIN_POSITIVE);
    energy.iter().for_each(|energy| list.push((energy / total + 1e-5).ln()));
    for (energy, moment) in energy.iter().zip(moment) {
        // A region that holds nothing has no time.
        list.push_time(if energy / total > 1e-7 { moment / energy } else { 0.0 });
    }
    SHARE_AT.iter().for_each(|&frame| list.push(so_far[frame] / total));
}

/// The region of each band, by its centre.
fn regions() -> [usize; MEL_BANDS] {
    let mut region_of = [0; MEL_BANDS];
    for (region, [_, centre, _]) in region_of.iter_mut().zip(mel::PICTURE.triangles()) {
        *region = REGION_ENDS.iter().position(|end| centre < *end).unwrap_or(REGIONS - 1);
    }
    region_of
}

/// Rises of the envelope, in steps of 1 ms, after the first 4 ms: their sum, a tenth of the number of steep ones; and
/// the level below the peak, as the logarithm of RMS over peak.
#[inline(always)]
fn bursts(samples: &[f32], place: &Place, list: &mut List) {
    let heard = samples.get(place.onset..place.end).unwrap_or_default();
    let gain = 1.0 / place.peak;
    let block = (place.rate as usize / 1_000).max(1);
    let mut levels = [0f32; BURSTS_MS];
    for (level, chunk) in levels.iter_mut().zip(samples.get(place.onset..).unwrap_or_default().chunks(block)) {
        *level = (sum_of_squares(chunk, gain) / block as f32).sqrt();
    }
    let at = |index: usize| levels.get(index).copied().unwrap_or(0.0);
    let smooth = |index: usize| (0.25 * at(index - 1) + 0.5 * at(index) + 0.25 * at(index + 1) + 1e-3).ln();
    let (mut rises, mut steep) = (0f32, 0f32);
    let mut before = smooth(4);
    for index in 5..BURSTS_MS {
        let level = smooth(index);
        let rise = level - before;
        before = level;
        rises += rise.max(0.0);
        steep += f32::from(rise > 0.15);
    }
    list.push(rises);
    list.push(steep / 10.0);
    let mean: f32 =
        heard.chunks(1024).map(|chunk| sum_of_squares(chunk, gain)).sum::<f32>() / heard.len().max(1) as f32;
    list.push((mean.sqrt() + 1e-4).ln());
}

/// Mean and spread of the band number, weighted with energy, over some frames; in units of 16 and 8 bands.
#[inline(always)]
fn centres(energies: &[[f32; MEL_BANDS]], list: &mut List) {
    for [from, to] in CENTRES {
        let mut sums = [0f32; MEL_BANDS];
        for bands in energies.iter().take(to).skip(from) {
            for (sum, band) in sums.iter_mut().zip(bands) {
                *sum += band;
            }
        }
        let total: f32 = sums.iter().sum();
        if total <= 0.0 {
            list.push(0.0);
            list.push(0.0);
            continue;
        }
        let weighted = |of: &dyn Fn(f32) -> f32| -> f32 {
            sums.iter().enumerate().map(|(band, sum)| sum / total * of(band as f32)).sum()
        };
        let mean = weighted(&|band| band);
        let spread = weighted(&|band| (band - mean) * (band - mean)).max(0.0).sqrt();
        list.push(mean / 16.0);
        list.push(spread / 8.0);
    }
}

/// Logarithm of the frequency (Hz) that crosses zero as often as the sound does, in its first 20 ms and from 30 to
/// 200 ms (Kedem 1986).
#[inline(always)]
fn crossings(samples: &[f32], place: &Place, list: &mut List) {
    let at = |ms: usize| (place.onset + place.rate as usize * ms / 1_000).min(place.end);
    for [from, to] in [[0, 20], [30, 200]] {
        let part = samples.get(at(from)..at(to)).unwrap_or_default();
        let signs = part.iter().zip(part.iter().skip(1));
        let count = signs.filter(|(a, b)| a.is_sign_negative() != b.is_sign_negative()).count();
        list.push((count as f32 / part.len().max(1) as f32 * place.rate as f32 / 2.0 + 20.0).ln());
    }
}

/// Logarithm of the frequency (Hz) of the strongest bin within [`PITCH_HZ`], between bins by the parabola through
/// three logarithms (Smith and Serra 1987); `None` where there is nothing.
fn strongest(power: &[f32], bin_hz: f32) -> Option<f32> {
    let first = (PITCH_HZ[0] / bin_hz).floor() as usize + 1;
    let end = ((PITCH_HZ[1] / bin_hz).ceil() as usize).min(power.len());
    let mut best = None;
    let mut most = 0f32;
    for (bin, &value) in power.iter().enumerate().take(end).skip(first) {
        if value > most {
            (best, most) = (Some(bin), value);
        }
    }
    let bin = best?;
    let log = |bin: usize| (power.get(bin).copied().unwrap_or(0.0) / most + 1e-9).ln();
    let (before, at, after) = (log(bin.saturating_sub(1)), log(bin), log(bin + 1));
    let bend = before - 2.0 * at + after;
    let shift = if bend.abs() > 1e-6 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 };
    Some(((bin as f32 + shift).max(0.5) * bin_hz).ln())
}

#[inline(always)]
fn sum_of_squares(samples: &[f32], gain: f32) -> f32 {
    let (eights, rest) = samples.as_chunks::<8>();
    let mut sums = [0f32; 8];
    for eight in eights {
        for (sum, x) in sums.iter_mut().zip(eight) {
            *sum += (x * gain) * (x * gain);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|x| (x * gain) * (x * gain)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{Extractor, Features};

    const RATE: u32 = 44_100;

    /// Descriptors, by name, of a second of sound that `at` gives for a time in seconds.
    fn describe(rate: u32, at: impl Fn(f64) -> f64) -> impl Fn(&str) -> f32 {
        let samples: Vec<f32> = (0..rate).map(|n| at(f64::from(n) / f64::from(rate)) as f32).collect();
        let features = Extractor::new().extract(&samples, rate).features.unwrap();
        let values = features.as_slice()[Features::LEN - DESCRIPTORS..].to_vec();
        move |name| values[DESCRIPTOR_NAMES.iter().position(|known| *known == name).unwrap()]
    }

    fn noise(seed: u32) -> impl Fn(f64) -> f64 {
        move |t| {
            let n = ((t * 96_000.0) as u32 ^ seed.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B);
            let n = (n ^ (n >> 13)).wrapping_mul(0xC2B2_AE35);
            f64::from(n ^ (n >> 16)) / 2f64.powi(31) - 1.0
        }
    }

    #[test]
    fn times_and_levels_of_an_exponential_decay_are_what_they_are() {
        let tau = std::f64::consts::TAU;
        for rate in [22_050, RATE, 96_000] {
            // 60 dB in half a second: 10 dB every 83 ms.
            let is = describe(rate, |t| (-6.908 * t / 0.5).exp() * (tau * 400.0 * t).sin());
            let seconds = |name: &str| is(name).exp() - TIME_OFFSET;
            assert!((seconds("fall_10_db") - 0.0833).abs() < 0.01, "{}", seconds("fall_10_db"));
            assert!((seconds("fall_40_db") - 0.333).abs() < 0.02, "{}", seconds("fall_40_db"));
            assert!((seconds("duration") - 0.66).abs() < 0.05, "{}", seconds("duration"));
            assert!((is("level_at_160_ms") * 20.0 + 19.2).abs() < 1.5, "{}", is("level_at_160_ms"));
            assert!((is("pitch").exp() - 400.0).abs() < 8.0, "{} Hz", is("pitch").exp());
            assert!(is("glide_attack_body").abs() < 0.05 && seconds("loudest_at") < 0.011);
            assert!(is("share_200_500_hz") > -0.1 && is("share_4000_8000_hz") < -5.0);
        }
    }

    #[test]
    fn a_kick_glides_a_tone_does_not_and_noise_has_no_pitch_to_speak_of() {
        let tau = std::f64::consts::TAU;
        // From 250 Hz down to 50, by an exponential of 30 ms: the phase is the integral.
        let kick = describe(RATE, |t| {
            let phase = 50.0 * t + 200.0 * 0.03 * (1.0 - (-t / 0.03).exp());
            (-t / 0.2).exp() * (tau * phase).sin()
        });
        assert!(kick("glide_attack_body") > 0.3, "{}", kick("glide_attack_body"));
        assert!((kick("pitch_tail").exp() - 50.0).abs() < 8.0, "{} Hz", kick("pitch_tail").exp());
        let tone = describe(RATE, |t| (-t / 0.2).exp() * (tau * 150.0 * t).sin());
        let hiss = noise(1);
        let hat = describe(RATE, |t| (-t / 0.03).exp() * hiss(t));
        assert!(tone("flatness_mid") < hat("flatness_mid") && tone("crest_low") > hat("crest_low"));
        assert!(hat("crossings_attack") > tone("crossings_attack") + 2.0);
        assert!(hat("centre_attack") > tone("centre_attack") + 1.0);
    }

    #[test]
    fn a_clap_has_bursts_and_a_snare_has_one() {
        let hiss = noise(2);
        let burst = |t: f64, from: f64| if t < from { 0.0 } else { (-(t - from) / 0.006).exp() * hiss(t) };
        let clap = describe(RATE, |t| burst(t, 0.0) + burst(t, 0.012) + burst(t, 0.024) + 0.5 * burst(t, 0.036));
        let snare = describe(RATE, |t| (-t / 0.05).exp() * hiss(t));
        assert!(clap("rises") > snare("rises") + 1.0, "{} {}", clap("rises"), snare("rises"));
    }

    #[test]
    fn every_descriptor_is_finite_whatever_the_sound() {
        let mut extractor = Extractor::new();
        for (len, rate) in [(300usize, RATE), (50, 8_000), (40, 4_000), (2, 1), (9_000, 384_000)] {
            for level in [1e-3f32, 1.0, 1e30] {
                let samples: Vec<f32> = (0..len).map(|n| if n % 7 < 3 { level } else { -level }).collect();
                let Ok(features) = extractor.extract(&samples, rate).features else { continue };
                assert_eq!(features.as_slice().len(), Features::LEN);
                assert!(features.as_slice().iter().all(|value| value.is_finite()), "{len} at {rate}");
            }
        }
    }
}
