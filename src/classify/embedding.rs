//! What goes into a model's last layer, kept in a quarter of its size.

use serde::{Deserialize, Serialize};

/// The input of a model's last layer for one sound, one byte a value: `min + step * value`, with `min` and `step` of its
/// own, so that a value is off by half a step at most, which is a 510th of the range.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Embedding {
    min: f32,
    step: f32,
    #[serde(with = "bytes")]
    values: Box<[u8]>,
}

impl Embedding {
    /// Quantises `values`; none where one of them is no number.
    pub fn of(values: &[f32]) -> Option<Self> {
        if values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let (mut min, mut max) = values.first().map_or((0.0, 0.0), |first| (*first, *first));
        for &value in values {
            min = min.min(value);
            max = max.max(value);
        }
        let step = (max - min) / 255.0;
        // A range wider than a float can hold is none that a network gives.
        if !step.is_finite() {
            return None;
        }
        let quantise = |value: &f32| if step > 0.0 { ((value - min) / step).round() as u8 } else { 0 };
        Some(Self { min, step, values: values.iter().map(quantise).collect() })
    }

    /// From its parts; none where `min` or `step` is no number.
    pub(super) fn from_parts(min: f32, step: f32, values: &[u8]) -> Option<Self> {
        (min.is_finite() && step.is_finite() && (min + 255.0 * step).is_finite()).then(|| Self {
            min,
            step,
            values: values.into(),
        })
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The values.
    pub fn values(&self) -> impl ExactSizeIterator<Item = f32> + '_ {
        self.values.iter().map(|&value| self.min + self.step * f32::from(value))
    }
}

/// A byte string, where serde would write a list of numbers one by one.
mod bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(values: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(values)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[u8]>, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Box::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_off_by_half_a_step_at_most_and_zero_stays_zero() {
        let values: Vec<f32> =
            (0..96).map(|n| if n % 3 == 0 { 0.0 } else { (n as f32 * 0.37).sin().abs() * 7.0 }).collect();
        let embedding = Embedding::of(&values).unwrap();
        assert_eq!(embedding.len(), 96);
        let step = values.iter().fold(0.0f32, |max, &value| max.max(value)) / 255.0;
        for (kept, value) in embedding.values().zip(&values) {
            assert!((kept - value).abs() <= step * 0.501, "{kept} for {value}");
            assert!(*value != 0.0 || kept == 0.0);
        }
        let again: Embedding = postcard::from_bytes(&postcard::to_stdvec(&embedding).unwrap()).unwrap();
        assert_eq!(again, embedding);
        assert!(postcard::to_stdvec(&embedding).unwrap().len() <= 96 + 10);
    }

    #[test]
    fn values_that_are_all_the_same_and_none_at_all_are_kept() {
        assert_eq!(Embedding::of(&[2.5; 3]).unwrap().values().collect::<Vec<_>>(), [2.5; 3]);
        assert!(Embedding::of(&[]).unwrap().is_empty());
        assert_eq!(Embedding::of(&[1.0, f32::NAN]), None);
        assert_eq!(Embedding::of(&[f32::MAX, f32::MIN]), None);
    }
}
