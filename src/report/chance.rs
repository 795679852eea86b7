//! Whether something happens more often in one place than chance would have it.

/// Logarithms of factorials, to a given number.
#[derive(Debug)]
pub struct Chance(Vec<f64>);

impl Chance {
    /// For populations of at most so many.
    pub fn new(most: u64) -> Self {
        let mut logs = Vec::with_capacity(most as usize + 1);
        let mut sum = 0.0;
        logs.push(sum);
        for n in 1..=most {
            sum += (n as f64).ln();
            logs.push(sum);
        }
        Self(logs)
    }

    fn ln_factorial(&self, n: u64) -> f64 {
        self.0.get(n as usize).copied().unwrap_or(f64::NAN)
    }

    fn ln_choose(&self, n: u64, k: u64) -> f64 {
        self.ln_factorial(n) - self.ln_factorial(k) - self.ln_factorial(n - k)
    }

    /// The probability that of `drawn` out of `all`, `marked` of which are marked, `hits` or more are: Fisher's exact
    /// test, one-sided (Fisher 1935), which holds for small numbers as well as for large ones. 1 where the numbers do not
    /// go together.
    pub fn of_so_many(&self, all: u64, marked: u64, drawn: u64, hits: u64) -> f64 {
        let most = marked.min(drawn);
        let least = (marked + drawn).saturating_sub(all);
        if hits <= least || hits > most || marked > all || drawn > all {
            return 1.0;
        }
        let ln = self.ln_choose(marked, hits) + self.ln_choose(all - marked, drawn - hits) - self.ln_choose(all, drawn);
        let (mut term, mut sum) = (ln.exp(), ln.exp());
        for x in hits..most {
            // From x to x + 1.
            let up = (marked - x) as f64 * (drawn - x) as f64;
            let down = (x + 1) as f64 * ((all - marked) + x + 1 - drawn) as f64;
            term *= up / down;
            sum += term;
            if term < sum * 1e-16 && up < down {
                break;
            }
        }
        if sum.is_finite() { sum.min(1.0) } else { 1.0 }
    }
}

/// What probabilities are worth when `tests` things were asked at once and only these were found worth a look: for each
/// the share of false ones to be expected among it and all that are at least as improbable (Benjamini and Hochberg, 1995).
pub fn false_discovery_rates(probabilities: &[f64], tests: u64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    let at = |place: usize| probabilities.get(place).copied().unwrap_or(1.0);
    order.sort_by(|a, b| at(*a).total_cmp(&at(*b)));
    let mut rates = vec![1.0; probabilities.len()];
    let mut least: f64 = 1.0;
    for (rank, &place) in order.iter().enumerate().rev() {
        least = least.min(at(place) * tests.max(1) as f64 / (rank + 1) as f64);
        if let Some(rate) = rates.get_mut(place) {
            *rate = least;
        }
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_counts_are_exact() {
        let chance = Chance::new(100);
        // Fisher's lady: 4 of 8 cups, all four told right.
        assert!((chance.of_so_many(8, 4, 4, 4) - 1.0 / 70.0).abs() < 1e-12);
        assert!((chance.of_so_many(8, 4, 4, 3) - 17.0 / 70.0).abs() < 1e-12);
        assert_eq!(chance.of_so_many(8, 4, 4, 0), 1.0);
        // What has to be is no surprise.
        assert_eq!(chance.of_so_many(10, 10, 5, 5), 1.0);
        assert_eq!(chance.of_so_many(10, 3, 10, 3), 1.0);
        assert_eq!(chance.of_so_many(10, 3, 4, 5), 1.0);
    }

    #[test]
    fn large_counts_stay_numbers() {
        let chance = Chance::new(1_000_000);
        let p = chance.of_so_many(1_000_000, 50_000, 1_000, 300);
        assert!((0.0..1e-100).contains(&p));
        let even = chance.of_so_many(1_000_000, 50_000, 1_000, 50);
        assert!((0.4..0.6).contains(&even), "{even}");
    }

    #[test]
    fn asking_often_enough_finds_nothing_by_chance() {
        let rates = false_discovery_rates(&[0.04, 0.001, 0.9], 100);
        assert_eq!(rates.iter().map(|rate| (rate * 1000.0).round()).collect::<Vec<_>>(), [1000.0, 100.0, 1000.0]);
        assert!(false_discovery_rates(&[], 5).is_empty());
    }
}
