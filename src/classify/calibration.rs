//! From logits to probabilities that mean what they say.
//!
//! Logits z are divided by a temperature T (Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017). Their
//! softmax p says of each label k how likely it is against all others; its log odds are
//!
//! ```text
//! s_k = ln p_k / (1 − p_k) = z_k / T − ln Σ_{j≠k} exp(z_j / T)
//! ```
//!
//! A label that was given a slope a and an offset b of its own (Platt, *Probabilistic Outputs for Support Vector
//! Machines*, 1999) has σ(a s_k + b), the others keep a = 1 and b = 0, which is p_k; then all are divided by their sum.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::labels::Labels;

/// How a model's logits become probabilities. The file is `calibration.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Id of the model it was fitted for.
    pub model: String,
    /// Checksum of the labels it was fitted with.
    pub labels_checksum: String,
    /// The temperature; above 1 where the model is surer than it is right.
    pub temperature: f32,
    /// Slope and offset of the labels that have their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platt: BTreeMap<String, [f32; 2]>,
    /// What it was fitted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<FittedOn>,
    /// What the uncalibrated probabilities were worth on that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Figures>,
    /// What the calibrated ones were, each kit judged by a calibration that was fitted on the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Figures>,
    /// The file it was read from; none where it is compiled in, or was just made.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// `platt` in label order; empty where no label has its own.
    #[serde(skip)]
    curves: Vec<[f32; 2]>,
}

/// What a calibration was fitted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FittedOn {
    /// XXH3 (64 bits, hexadecimal) of the lines `<content hash> <label>`, sorted: the same for the same sounds with the
    /// same labels, wherever they lie.
    pub hash: String,
    /// Sounds.
    pub samples: usize,
    /// Kits they are from.
    pub kits: usize,
}

/// What probabilities are worth on labelled sounds; of the fine labels, and of the canonical labels they are collected
/// under. The calibration error is a mean over sounds, from 0 to 1; the negative log likelihood is in nats a sound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Expected calibration error of the likeliest fine label.
    pub ece_fine: f64,
    /// Expected calibration error of the likeliest canonical label.
    pub ece_canonical: f64,
    /// Negative log likelihood of the fine label.
    pub nll_fine: f64,
    /// Negative log likelihood of the canonical label.
    pub nll_canonical: f64,
    /// How many of the likeliest fine labels are right, from 0 to 1.
    pub top1_fine: f64,
    /// How many of the likeliest canonical labels are right, from 0 to 1.
    pub top1_canonical: f64,
}

/// A calibration that can't be used.
#[derive(Debug, Error, PartialEq)]
pub enum CalibrationError {
    /// Not JSON, or not of the shape that was expected.
    #[error("{0}; fit it again with `drumfs calibrate`, or remove the file")]
    Json(String),
    /// Fitted for another model.
    #[error("fitted for the model `{found}`, the model in use is `{expected}`; fit it again with `drumfs calibrate`")]
    OtherModel {
        /// The model in use.
        expected: String,
        /// The model it names.
        found: String,
    },
    /// Fitted with another label order.
    #[error(
        "fitted with labels of checksum {found}, the labels in use have {expected}; fit it again with `drumfs calibrate`"
    )]
    OtherLabels {
        /// Checksum of the labels in use.
        expected: String,
        /// The checksum it names.
        found: String,
    },
    /// Not a positive number.
    #[error("a temperature of {0}; expected a positive number")]
    Temperature(f32),
    /// A label of its own that the model does not have, or numbers that would turn its order around.
    #[error("`platt` gives `{label}` {problem}")]
    Platt {
        /// The label.
        label: String,
        /// What is wrong.
        problem: String,
    },
}

impl Calibration {
    /// No correction: a temperature of 1.
    pub fn none(model: &str, labels_checksum: &str) -> Self {
        Self {
            model: model.to_owned(),
            labels_checksum: labels_checksum.to_owned(),
            temperature: 1.0,
            platt: BTreeMap::new(),
            data: None,
            before: None,
            after: None,
            file: None,
            curves: Vec::new(),
        }
    }

    /// Reads `calibration.json` for a model and its labels.
    ///
    /// # Errors
    /// [`CalibrationError`] where it is not one, or belongs to another model or label order.
    pub fn parse(json: &str, model: &str, labels: &Labels) -> Result<Self, CalibrationError> {
        let calibration: Self =
            serde_json::from_str(json).map_err(|error| CalibrationError::Json(error.to_string()))?;
        if calibration.model != model {
            return Err(CalibrationError::OtherModel { expected: model.to_owned(), found: calibration.model });
        }
        if calibration.labels_checksum != labels.checksum() {
            return Err(CalibrationError::OtherLabels {
                expected: labels.checksum().to_owned(),
                found: calibration.labels_checksum,
            });
        }
        calibration.for_labels(labels)
    }

    /// Checks the numbers and puts the labels' own in label order.
    pub(super) fn for_labels(mut self, labels: &Labels) -> Result<Self, CalibrationError> {
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(CalibrationError::Temperature(self.temperature));
        }
        self.curves = Vec::new();
        for (label, &[slope, offset]) in &self.platt {
            let wrong = |problem: String| CalibrationError::Platt { label: label.clone(), problem };
            let index = labels.index_of(label).ok_or_else(|| wrong("a slope, which the model has not".to_owned()))?;
            if !(slope.is_finite() && slope > 0.0 && offset.is_finite()) {
                return Err(wrong(format!("[{slope}, {offset}]; expected a positive slope and an offset")));
            }
            self.curves.resize(labels.len(), [1.0, 0.0]);
            if let Some(curve) = self.curves.get_mut(index) {
                *curve = [slope, offset];
            }
        }
        Ok(self)
    }

    /// One probability a label, summing to 1, as the module says; empty for no logits.
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f32> {
        let (index, max) = max_of(logits);
        let mut values: Vec<f32> = logits.iter().map(|&logit| ((logit - max) / self.temperature).exp()).collect();
        if !self.curves.is_empty() {
            let before = values.clone();
            let sum: f32 = values.iter().sum();
            // Of the likeliest label itself the others are added up, so that next to nothing stays next to nothing.
            let without_max: f32 = values.iter().enumerate().filter(|(k, _)| *k != index).map(|(_, value)| value).sum();
            for (k, ((value, &logit), &[slope, offset])) in values.iter_mut().zip(logits).zip(&self.curves).enumerate()
            {
                let others = if k == index { without_max } else { sum - *value };
                let log_odds = (logit - max) / self.temperature - others.max(f32::MIN_POSITIVE).ln();
                *value = 1.0 / (1.0 + (-(slope * log_odds + offset)).exp());
            }
            // Curves so low that no label is left, or so steep that no number is, say nothing.
            let sum: f32 = values.iter().sum();
            if !(sum.is_finite() && sum >= f32::MIN_POSITIVE) {
                values = before;
            }
        }
        let sum: f32 = values.iter().sum();
        for value in &mut values {
            *value /= sum;
        }
        values
    }
}

/// Place and value of the highest logit.
fn max_of(logits: &[f32]) -> (usize, f32) {
    let highest = logits.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    highest.unwrap_or((0, f32::NEG_INFINITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_that_leave_no_label_possible_give_no_nan() {
        let labels = Labels::parse(r#"["Kick", "Snare"]"#, "{}").unwrap();
        let logits = [1.0, 0.0];
        let plain = Calibration::none("m", labels.checksum()).probabilities(&logits);
        for curve in [[1.0, -200.0], [1e38, f32::MIN]] {
            let platt = [("Kick".to_owned(), curve), ("Snare".to_owned(), curve)].into();
            let calibration = Calibration { platt, ..Calibration::none("m", labels.checksum()) };
            assert_eq!(calibration.for_labels(&labels).unwrap().probabilities(&logits), plain);
        }
    }

    fn labels() -> Labels {
        Labels::parse(r#"["Clap", "Kick", "Snare"]"#, r#"{"Kick": "Kick", "Snare": "Snare"}"#).unwrap()
    }

    fn json(more: &str) -> String {
        format!(r#"{{"model": "a", "labels_checksum": "{}", "temperature": 2.0{more}}}"#, labels().checksum())
    }

    fn parse(more: &str) -> Result<Calibration, CalibrationError> {
        Calibration::parse(&json(more), "a", &labels())
    }

    #[test]
    fn probabilities_sum_to_one_and_keep_their_order() {
        // The form of the first version: a temperature and nothing more.
        let calibration = parse("").unwrap();
        let probabilities = calibration.probabilities(&[1000.0, -1000.0, 998.0]);
        assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        // Two apart at temperature 2: odds of e.
        assert!((probabilities[0] / probabilities[2] - std::f32::consts::E).abs() < 1e-3);
        assert_eq!(probabilities[1], 0.0);
        assert!(calibration.probabilities(&[]).is_empty());
    }

    #[test]
    fn a_slope_of_one_and_no_offset_change_nothing() {
        let (plain, platt) = (parse("").unwrap(), parse(r#", "platt": {"Kick": [1.0, 0.0]}"#).unwrap());
        for logits in [[0.0, 0.0, 0.0], [4.0, -2.0, 1.0], [-30.0, 30.0, 29.0]] {
            for (a, b) in plain.probabilities(&logits).iter().zip(platt.probabilities(&logits)) {
                assert!((a - b).abs() < 1e-6, "{logits:?}: {a} and {b}");
            }
        }
    }

    #[test]
    fn a_label_of_its_own_is_the_sigmoid_of_its_log_odds() {
        let calibration = parse(r#", "platt": {"Kick": [0.5, -1.0]}"#).unwrap();
        let logits = [1.0f32, 3.0, -1.0];
        let exp = logits.map(|logit| (f64::from(logit) / 2.0).exp());
        let sum: f64 = exp.iter().sum();
        let odds = (exp[1] / (exp[0] + exp[2])).ln();
        let kick = 1.0 / (1.0 + (-(0.5 * odds - 1.0)).exp());
        let all = exp[0] / sum + kick + exp[2] / sum;
        let found = calibration.probabilities(&logits);
        for (found, expected) in found.iter().zip([exp[0] / sum / all, kick / all, exp[2] / sum / all]) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} for {expected}");
        }
        // Logits far apart give no number that is none.
        for logits in [[1e4f32, -1e4, 0.0], [-1e4, 1e4, 0.0], [f32::MAX, f32::MIN, 0.0]] {
            let found = calibration.probabilities(&logits);
            assert!((found.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{logits:?}: {found:?}");
        }
    }

    #[test]
    fn a_calibration_of_another_model_or_label_order_is_refused() {
        let labels = labels();
        assert!(matches!(Calibration::parse(&json(""), "x", &labels), Err(CalibrationError::OtherModel { .. })));
        let turned = Labels::parse(r#"["Kick", "Clap", "Snare"]"#, "{}").unwrap();
        assert!(matches!(Calibration::parse(&json(""), "a", &turned), Err(CalibrationError::OtherLabels { .. })));
    }

    #[test]
    fn numbers_that_make_no_probability_are_refused() {
        let zero = json("").replace("2.0", "0.0");
        assert_eq!(Calibration::parse(&zero, "a", &labels()), Err(CalibrationError::Temperature(0.0)));
        for (platt, word) in [
            (r#"{"Kik": [1.0, 0.0]}"#, "`Kik` a slope, which the model has not"),
            (r#"{"Kick": [-1.0, 0.0]}"#, "expected a positive slope"),
            (r#"{"Kick": [1.0, 1e99]}"#, "expected a positive slope"),
            (r#"{"Kick": [1.0]}"#, "fit it again"),
        ] {
            let error = parse(&format!(", \"platt\": {platt}")).unwrap_err().to_string();
            assert!(error.contains(word), "{platt}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let mut calibration = parse(r#", "platt": {"Snare": [1.25, -0.5]}"#).unwrap();
        calibration.data = Some(FittedOn { hash: "0123".to_owned(), samples: 200, kits: 9 });
        calibration.before = Some(Figures { ece_fine: 0.125, ..Figures::default() });
        let text = serde_json::to_string(&calibration).unwrap();
        assert_eq!(Calibration::parse(&text, "a", &labels()).unwrap(), calibration);
    }
}
