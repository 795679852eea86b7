//! Running a model.

use ort::session::Session as OrtSession;
use ort::value::TensorRef;

use super::description::{ModelDescription, Output};
use super::embedding::Embedding;
use super::model::ModelError;

/// Runs a model. One per thread.
pub struct Session {
    session: OrtSession,
    description: ModelDescription,
}

/// What a model gives for one sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    /// Logits in label order: the model's raw outputs, or the logarithms of its probabilities.
    pub logits: Vec<f32>,
    /// What went into the last layer; none where the model does not tell.
    pub embedding: Option<Embedding>,
}

impl Session {
    pub(super) fn new(session: OrtSession, description: ModelDescription) -> Self {
        Self { session, description }
    }

    /// What the model gives for one sound. `values` are those of the model's layout, arranged for it
    /// ([`ModelDescription::layout`], [`ModelDescription::arrangement`]).
    ///
    /// # Errors
    /// [`ModelError::Run`] where the backend fails, [`ModelError::Outputs`] where the model is not as described.
    pub fn hear(&mut self, values: &[f32]) -> Result<Outputs, ModelError> {
        let (logits, embedding) = self.outputs(values)?;
        let fail = |reason: String| self.failed(reason);
        if let Some(index) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(fail(format!("output {index} is no number")));
        }
        let logits = match self.description.output {
            Output::Logits => logits,
            Output::Probabilities => log_probabilities(&logits).map_err(fail)?,
        };
        let Some((described, values)) = self.description.embedding.as_ref().zip(embedding) else {
            return Ok(Outputs { logits, embedding: None });
        };
        if values.len() != described.size {
            let (name, size, found) = (&described.output, described.size, values.len());
            return Err(fail(format!("the embedding `{name}` is described with {size} values and has {found}")));
        }
        match Embedding::of(&values) {
            Some(embedding) => Ok(Outputs { logits, embedding: Some(embedding) }),
            None => Err(fail("the embedding holds what is no number".to_owned())),
        }
    }

    /// The model's logits for one sound, in label order.
    ///
    /// # Errors
    /// As [`Session::hear`].
    pub fn logits(&mut self, values: &[f32]) -> Result<Vec<f32>, ModelError> {
        self.hear(values).map(|outputs| outputs.logits)
    }

    /// Proves that the model runs and gives as many numbers as it should, whatever they are for silence.
    pub(super) fn try_out(&mut self) -> Result<(), ModelError> {
        let silence = vec![0f32; self.description.input.iter().product()];
        self.outputs(&silence).map(drop)
    }

    fn failed(&self, reason: String) -> ModelError {
        ModelError::Run { model: self.description.name.clone(), reason }
    }

    fn outputs(&mut self, values: &[f32]) -> Result<(Vec<f32>, Option<Vec<f32>>), ModelError> {
        let result = self.run(values);
        clear_upper_halves();
        let (logits, embedding) = result.map_err(|reason| self.failed(reason))?;
        let expected = self.description.outputs;
        if logits.len() != expected {
            let model = self.description.name.clone();
            return Err(ModelError::Outputs { model, expected, found: logits.len() });
        }
        Ok((logits, embedding))
    }

    fn run(&mut self, values: &[f32]) -> Result<(Vec<f32>, Option<Vec<f32>>), String> {
        let shape = &self.description.input[..];
        let input = TensorRef::from_array_view((shape, values)).map_err(|e| e.to_string())?;
        let outputs = self.session.run(ort::inputs![input]).map_err(|e| e.to_string())?;
        let described = self.description.embedding.as_ref().map(|embedding| &embedding.output[..]);
        let (mut logits, mut embedding) = (None, None);
        for (name, output) in outputs.iter() {
            let slot = if Some(name) == described { &mut embedding } else { &mut logits };
            if slot.is_none() {
                let (_, values) = output.try_extract_tensor::<f32>().map_err(|e| e.to_string())?;
                *slot = Some(values.to_vec());
            }
        }
        if let (Some(name), None) = (described, &embedding) {
            return Err(format!("it has no output `{name}`, which is described as its embedding"));
        }
        Ok((logits.ok_or("no output")?, embedding))
    }
}

/// How far the sum of a model's probabilities may be from 1: half floats are that far.
const SUM_TOLERANCE: f32 = 0.01;

/// What has these probabilities as its softmax: their logarithms; of one alone its log odds, which have it as their
/// sigmoid.
fn log_probabilities(probabilities: &[f32]) -> Result<Vec<f32>, String> {
    let in_range = probabilities.iter().all(|p| (-SUM_TOLERANCE..=1.0 + SUM_TOLERANCE).contains(p));
    let sum: f32 = probabilities.iter().sum();
    if !in_range || (probabilities.len() > 1 && (sum - 1.0).abs() > SUM_TOLERANCE) {
        return Err(format!(
            "its JSON says `output: probabilities`, but its outputs are none (they sum to {sum}); are they logits?"
        ));
    }
    if let [p] = probabilities {
        let p = p.clamp(f32::MIN_POSITIVE, 1.0 - f32::EPSILON / 2.0);
        return Ok(vec![p.ln() - (-p).ln_1p()]);
    }
    Ok(probabilities.iter().map(|p| p.max(f32::MIN_POSITIVE).ln()).collect())
}

/// Clears the upper halves of the vector registers. tract's AVX kernels leave them dirty, which makes all SSE code
/// that runs afterwards on the thread (decoding, transforms) up to twice as slow.
fn clear_upper_halves() {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx")]
        fn zero_upper() {
            std::arch::x86_64::_mm256_zeroupper();
        }
        if std::arch::is_x86_feature_detected!("avx") {
            // SAFETY: the processor has AVX, and the instruction touches nothing but upper halves that no value lives in.
            unsafe { zero_upper() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_come_back_as_the_softmax_of_their_logarithms() {
        let logits = log_probabilities(&[0.7, 0.2, 0.1, 0.0]).unwrap();
        let exp: Vec<f32> = logits.iter().map(|logit| logit.exp()).collect();
        let sum: f32 = exp.iter().sum();
        for (found, expected) in exp.iter().zip([0.7, 0.2, 0.1, 0.0]) {
            assert!((found / sum - expected).abs() < 1e-6);
        }
        for p in [0.0, 1e-6, 0.3, 0.5, 1.0] {
            let logit = log_probabilities(&[p]).unwrap()[0];
            assert!(logit.is_finite() && (1.0 / (1.0 + (-logit).exp()) - p).abs() < 1e-6, "{p}: {logit}");
        }
    }

    #[test]
    fn logits_that_are_said_to_be_probabilities_are_refused() {
        for outputs in [&[3.0, -1.0, 0.5][..], &[0.5, 0.6], &[f32::NAN, 1.0], &[2.0]] {
            assert!(log_probabilities(outputs).unwrap_err().contains("are they logits?"), "{outputs:?}");
        }
    }
}
