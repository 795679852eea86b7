//! From logits to probabilities that mean what they say.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A temperature fitted for one model (Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017): logits are
/// divided by it before the softmax. The file is `calibration.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Id of the model the temperature was fitted for.
    pub model: String,
    /// Checksum of the labels it was fitted with.
    pub labels_checksum: String,
    /// The temperature; above 1 where the model is surer than it is right.
    pub temperature: f32,
}

/// A calibration that can't be used.
#[derive(Debug, Error, PartialEq)]
pub enum CalibrationError {
    /// Not JSON, or not of the shape that was expected.
    #[error("calibration.json: {0}")]
    Json(String),
    /// Fitted for another model.
    #[error("calibration.json was fitted for the model `{found}`, the model in use is `{expected}`")]
    OtherModel {
        /// The model in use.
        expected: String,
        /// The model it names.
        found: String,
    },
    /// Fitted with another label order.
    #[error("calibration.json was fitted with labels of checksum {found}, the labels in use have {expected}")]
    OtherLabels {
        /// Checksum of the labels in use.
        expected: String,
        /// The checksum it names.
        found: String,
    },
    /// Not a positive number.
    #[error("calibration.json: a temperature of {0}; expected a positive number")]
    Temperature(f32),
}

impl Calibration {
    /// No correction: a temperature of 1.
    pub fn none(model: &str, labels_checksum: &str) -> Self {
        Self { model: model.to_owned(), labels_checksum: labels_checksum.to_owned(), temperature: 1.0 }
    }

    /// Reads `calibration.json` for a model and its labels.
    ///
    /// # Errors
    /// [`CalibrationError`] where it is not one, or belongs to another model or label order.
    pub fn parse(json: &str, model: &str, labels_checksum: &str) -> Result<Self, CalibrationError> {
        let calibration: Self =
            serde_json::from_str(json).map_err(|error| CalibrationError::Json(error.to_string()))?;
        if calibration.model != model {
            return Err(CalibrationError::OtherModel { expected: model.to_owned(), found: calibration.model });
        }
        if calibration.labels_checksum != labels_checksum {
            return Err(CalibrationError::OtherLabels {
                expected: labels_checksum.to_owned(),
                found: calibration.labels_checksum,
            });
        }
        if !(calibration.temperature.is_finite() && calibration.temperature > 0.0) {
            return Err(CalibrationError::Temperature(calibration.temperature));
        }
        Ok(calibration)
    }

    /// softmax(logits / temperature): one probability a label, summing to 1; empty for no logits.
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f32> {
        let max = logits.iter().fold(f32::NEG_INFINITY, |max, &logit| max.max(logit));
        let mut values: Vec<f32> = logits.iter().map(|&logit| ((logit - max) / self.temperature).exp()).collect();
        let sum: f32 = values.iter().sum();
        for value in &mut values {
            *value /= sum;
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"model": "a", "labels_checksum": "b", "temperature": 2.0}"#;

    #[test]
    fn probabilities_sum_to_one_and_keep_their_order() {
        let calibration = Calibration::parse(JSON, "a", "b").unwrap();
        let probabilities = calibration.probabilities(&[1000.0, -1000.0, 998.0]);
        assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        // Two apart at temperature 2: odds of e.
        assert!((probabilities[0] / probabilities[2] - std::f32::consts::E).abs() < 1e-3);
        assert_eq!(probabilities[1], 0.0);
        assert!(calibration.probabilities(&[]).is_empty());
    }

    #[test]
    fn a_calibration_of_another_model_or_label_order_is_refused() {
        assert!(matches!(Calibration::parse(JSON, "x", "b"), Err(CalibrationError::OtherModel { .. })));
        assert!(matches!(Calibration::parse(JSON, "a", "x"), Err(CalibrationError::OtherLabels { .. })));
        let zero = JSON.replace("2.0", "0.0");
        assert_eq!(Calibration::parse(&zero, "a", "b"), Err(CalibrationError::Temperature(0.0)));
    }
}
