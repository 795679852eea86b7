//! A last layer that was learnt from corrections, as the difference to the one that ships with the model.

use serde::{Deserialize, Serialize};

use super::Embedding;

/// What is added to a model's logits: `change of the weights · embedding + change of the biases`. With all of them zero
/// a model says exactly what it says without, whatever the embedding lost by being kept in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// One row an output, one column a value of the embedding.
    weights: Vec<Vec<f32>>,
    /// One an output.
    bias: Vec<f32>,
}

impl Head {
    /// A head that changes nothing.
    pub fn none(outputs: usize, size: usize) -> Self {
        Self { weights: vec![vec![0.0; size]; outputs], bias: vec![0.0; outputs] }
    }

    /// From its change in the order in which fitting has it: one row a value of the embedding and one for the biases,
    /// one column an output.
    pub fn from_change(change: &[f32], outputs: usize, size: usize) -> Self {
        let at = |row: usize, output: usize| change.get(row * outputs + output).copied().unwrap_or_default();
        Self {
            weights: (0..outputs).map(|output| (0..size).map(|row| at(row, output)).collect()).collect(),
            bias: (0..outputs).map(|output| at(size, output)).collect(),
        }
    }

    /// Whether it is made for this many outputs and this size of embedding, and holds nothing but numbers.
    pub fn fits(&self, outputs: usize, size: usize) -> bool {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        self.bias.len() == outputs
            && self.weights.len() == outputs
            && finite(&self.bias)
            && self.weights.iter().all(|row| row.len() == size && finite(row))
    }

    /// Changes the logits that the model gave together with `embedding`. Logits or an embedding of another size are
    /// left as they are.
    pub fn apply(&self, logits: &mut [f32], embedding: &Embedding) {
        if logits.len() != self.bias.len() || self.weights.first().is_some_and(|row| row.len() != embedding.len()) {
            return;
        }
        let values: Vec<f32> = embedding.values().collect();
        for ((logit, row), bias) in logits.iter_mut().zip(&self.weights).zip(&self.bias) {
            *logit += bias + row.iter().zip(&values).map(|(weight, value)| weight * value).sum::<f32>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_adds_what_it_says_and_none_adds_nothing() {
        let embedding = Embedding::of(&[0.0, 255.0]).unwrap();
        let mut logits = [1.0, 2.0, 3.0];
        Head::none(3, 2).apply(&mut logits, &embedding);
        assert_eq!(logits, [1.0, 2.0, 3.0]);
        // Rows: first value, second value, biases.
        let head = Head::from_change(&[9.0, 9.0, 9.0, 0.1, 0.2, 0.0, 1.0, 0.0, -1.0], 3, 2);
        head.apply(&mut logits, &embedding);
        for (logit, expected) in logits.iter().zip([27.5, 53.0, 2.0]) {
            assert!((logit - expected).abs() < 1e-4, "{logit} for {expected}");
        }
    }

    #[test]
    fn a_head_of_another_shape_changes_nothing_and_says_so() {
        let head = Head::from_change(&[1.0; 9], 3, 2);
        assert!(head.fits(3, 2) && !head.fits(2, 3) && !head.fits(3, 3));
        let mut logits = [1.0, 2.0, 3.0];
        head.apply(&mut logits, &Embedding::of(&[1.0; 3]).unwrap());
        head.apply(&mut logits[..2], &Embedding::of(&[1.0; 2]).unwrap());
        assert_eq!(logits, [1.0, 2.0, 3.0]);
        assert!(!Head::from_change(&[f32::NAN; 9], 3, 2).fits(3, 2));
    }
}
