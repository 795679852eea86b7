//! Probabilities in eight bits each: whole numbers of 255ths that sum to 255.
//!
//! Each probability is rounded down to a multiple of 1/255, and what is missing to 255 is given, one each, to those that
//! lost most (the method of largest remainders). So they still sum to 1, their order stays but for ties, and none is off
//! by 1/255 or more, which is 0.0039.

/// No probability is off by as much as this, where they sum to 1 before.
pub const MAX_ERROR: f32 = 1.0 / 255.0;

/// Whole numbers of 255ths of probabilities that sum to 1, in their order.
pub fn quantize(probabilities: &[f32]) -> Vec<u8> {
    let sum: f64 = probabilities.iter().map(|p| f64::from(*p)).sum();
    if !(sum > 0.0 && sum.is_finite()) {
        return vec![0; probabilities.len()];
    }
    let exact: Vec<f64> = probabilities.iter().map(|p| f64::from(p.max(0.0)) / sum * 255.0).collect();
    let mut whole: Vec<u8> = exact.iter().map(|value| value.floor().clamp(0.0, 255.0) as u8).collect();
    let given: usize = whole.iter().map(|value| usize::from(*value)).sum();
    let mut order: Vec<(usize, f64)> = exact.iter().map(|value| value.fract()).enumerate().collect();
    // The sort keeps the order of equals.
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (place, _) in order.into_iter().take(255usize.saturating_sub(given)) {
        if let Some(value) = whole.get_mut(place) {
            *value = value.saturating_add(1);
        }
    }
    whole
}

/// The probabilities that whole numbers of 255ths mean.
pub fn probabilities(whole: &[u8]) -> Vec<f32> {
    let sum: f32 = whole.iter().map(|value| f32::from(*value)).sum();
    let whole_of = if sum > 0.0 { sum } else { 1.0 };
    whole.iter().map(|value| f32::from(*value) / whole_of).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn none_is_off_by_the_stated_error_they_sum_to_one_and_keep_their_order(
            raw in proptest::collection::vec(0f32..1.0, 2..80), power in 1i32..12,
        ) {
            let raw: Vec<f32> = raw.iter().map(|value| value.powi(power) + 1e-9).collect();
            let sum: f32 = raw.iter().sum();
            let before: Vec<f32> = raw.iter().map(|value| value / sum).collect();
            let whole = quantize(&before);
            prop_assert_eq!(whole.iter().map(|value| u32::from(*value)).sum::<u32>(), 255);
            let after = probabilities(&whole);
            for (a, b) in before.iter().zip(&after) {
                prop_assert!((a - b).abs() < MAX_ERROR + 1e-6, "{} became {}", a, b);
            }
            for (i, a) in before.iter().enumerate() {
                for (j, b) in before.iter().enumerate() {
                    prop_assert!(a <= b || whole[i] >= whole[j]);
                }
            }
            prop_assert_eq!(quantize(&after), whole, "doing it again changes nothing");
        }
    }

    #[test]
    fn nothing_stays_nothing() {
        assert_eq!(quantize(&[]), Vec::<u8>::new());
        assert_eq!(quantize(&[0.0, 0.0]), [0, 0]);
        assert_eq!(quantize(&[1.0]), [255]);
        assert_eq!(probabilities(&[0, 0]), [0.0, 0.0]);
    }
}
