//! A filter bank laid out in Hz, so that one definition serves every sample rate.

use super::vector::{Eight, Vector};

/// A scale of frequencies and the bands on it.
pub(super) struct Scale {
    /// How many bands.
    pub bands: usize,
    low_hz: f64,
    high_hz: f64,
    /// Frequency below which the scale is nearly linear and above which it is nearly logarithmic.
    break_hz: f64,
}

/// The scale of the first picture. The mel scale's break is at 700 Hz, which leaves five bands below 250 Hz, where kicks and
/// toms are told apart; 120 Hz gives them twelve.
pub(super) const PICTURE: Scale = Scale { bands: 64, low_hz: 28.0, high_hz: 17_000.0, break_hz: 120.0 };

/// The scale of the attack's picture: the mel scale, since short windows have no low bands to tell apart.
pub(super) const ATTACK: Scale = Scale { bands: 32, low_hz: 60.0, high_hz: 16_000.0, break_hz: 700.0 };

impl Scale {
    /// Position of a frequency: ln(1 + f / break), the mel scale's form (O'Shaughnessy, *Speech Communication: Human and
    /// Machine*, 1987, p. 150).
    fn position(&self, hz: f64) -> f64 {
        (1.0 + hz / self.break_hz).ln()
    }

    /// The inverse of [`Scale::position`].
    fn hz(&self, position: f64) -> f64 {
        self.break_hz * (position.exp() - 1.0)
    }

    /// Lower edge, centre and upper edge in Hz of each band's triangle: centres equally spaced on the scale, each
    /// triangle reaching to its neighbours' centres.
    pub fn triangles(&self) -> impl Iterator<Item = [f64; 3]> {
        let (low, high) = (self.position(self.low_hz), self.position(self.high_hz));
        let step = (high - low) / (self.bands + 1) as f64;
        (0..self.bands).map(move |band| [0, 1, 2].map(|edge| self.hz(low + step * (band + edge) as f64)))
    }
}

/// The triangles sampled on the bins of one transform. A bin's weight is the mean of the triangle over the bin's
/// width, so that a narrow triangle between two bins is never lost and banks of different resolution agree.
pub(super) struct FilterBank {
    /// First bin and range in `weights` of each band.
    bands: Vec<(usize, std::ops::Range<usize>)>,
    weights: Vec<f32>,
}

impl FilterBank {
    /// The bank for bins `bin_hz` apart, `bins` of them from 0 Hz up. A band that lies wholly above the last bin has
    /// no weights and an energy of 0.
    pub fn new(scale: &Scale, bin_hz: f64, bins: usize) -> Self {
        let mut bank = FilterBank { bands: Vec::with_capacity(scale.bands), weights: Vec::new() };
        for [low, centre, high] in scale.triangles() {
            let first = ((low / bin_hz - 0.5).ceil().max(0.0)) as usize;
            let end = (((high / bin_hz + 0.5).floor()) as usize + 1).min(bins);
            let start = bank.weights.len();
            for bin in first..end.max(first) {
                let (from, to) = ((bin as f64 - 0.5) * bin_hz, (bin as f64 + 0.5) * bin_hz);
                let area = ramp_area(from, to, low, centre) + ramp_area(-to, -from, -high, -centre);
                bank.weights.push((area / bin_hz) as f32);
            }
            bank.bands.push((first, start..bank.weights.len()));
        }
        bank
    }

    /// Energy of each band: the weighted sum of `power`, one `Eight` a bin.
    #[inline(always)]
    pub fn apply<V: Vector>(&self, power: &[Eight], energies: &mut [Eight]) {
        for ((first, range), energy) in self.bands.iter().zip(energies.iter_mut()) {
            let weights = self.weights.get(range.clone()).unwrap_or_default();
            let bins = power.get(*first..first + weights.len()).unwrap_or_default();
            // Four sums, so that no addition waits for the one before.
            let mut sums = [V::splat(0.0); 4];
            let ((weights4, weights_rest), (bins4, bins_rest)) = (weights.as_chunks::<4>(), bins.as_chunks::<4>());
            for (weights, bins) in weights4.iter().zip(bins4) {
                for ((sum, weight), bin) in sums.iter_mut().zip(weights).zip(bins) {
                    *sum = sum.add(V::load(&bin.0).mul(V::splat(*weight)));
                }
            }
            for ((sum, weight), bin) in sums.iter_mut().zip(weights_rest).zip(bins_rest) {
                *sum = sum.add(V::load(&bin.0).mul(V::splat(*weight)));
            }
            let [a, b, c, d] = sums;
            a.add(b).add(c.add(d)).store(&mut energy.0);
        }
    }
}

/// Integral over `from..to` of the ramp that rises from 0 at `low` to 1 at `high` and is 0 elsewhere.
fn ramp_area(from: f64, to: f64, low: f64, high: f64) -> f64 {
    let (from, to) = (from.clamp(low, high), to.clamp(low, high));
    ((to - low).powi(2) - (from - low).powi(2)) / (2.0 * (high - low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::vector::Plain;

    #[test]
    fn every_band_below_nyquist_has_the_weight_of_its_triangle() {
        for (rate, size) in [(44_100.0, 2048usize), (48_000.0, 2250), (96_000.0, 4500), (8_000.0, 384)] {
            let bin_hz = rate / size as f64;
            let bank = FilterBank::new(&PICTURE, bin_hz, size / 2 + 1);
            let mut energies = [Eight::ZERO; PICTURE.bands];
            bank.apply::<Plain>(&vec![Eight([1.0; 8]); size / 2 + 1], &mut energies);
            for ([low, _, high], Eight([energy, ..])) in PICTURE.triangles().zip(energies) {
                if high < rate / 2.0 {
                    let expected = (high - low) / 2.0 / bin_hz;
                    assert!((f64::from(energy) - expected).abs() < 1e-3 * expected.max(1.0), "{low} Hz at {rate}");
                } else if low > rate / 2.0 + bin_hz {
                    assert_eq!(energy, 0.0);
                }
            }
        }
    }
}
