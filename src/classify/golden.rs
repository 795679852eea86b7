//! What training recorded for some sounds, and drumfs for the same sounds.

use std::path::Path;

use serde::Deserialize;

use super::Classifier;
use crate::audio::{Decoder, Extractor, Source};

/// How far a logit may be from the one that PyTorch recorded, on features that another build computed.
const TOLERANCE: f32 = 2e-3;

/// A sound of models/golden.json: one that is made from a recipe, or a file of tests/archive.
#[derive(Deserialize)]
struct Golden {
    kind: String,
    path: Option<String>,
    #[serde(default)]
    hz: f64,
    #[serde(default)]
    seed: u32,
    #[serde(default)]
    decay_sec: f64,
    #[serde(default)]
    seconds: f64,
    #[serde(default)]
    rate: u32,
    logits: Vec<f32>,
}

impl Golden {
    /// Mono samples and their rate in Hz.
    fn sound(&self, decoder: &mut Decoder) -> (Vec<f32>, u32) {
        match &self.path {
            Some(path) => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive").join(path);
                let bytes = std::fs::read(&path).unwrap();
                let extension = path.extension().and_then(|extension| extension.to_str());
                let decoded = decoder.decode(Source::Bytes(&bytes), bytes.len() as u64, extension).unwrap();
                (decoded.samples.to_vec(), decoded.sample_rate)
            }
            None => (self.made(), self.rate),
        }
    }

    fn made(&self) -> Vec<f32> {
        let rate = f64::from(self.rate);
        let mut state = self.seed;
        (0..(self.seconds * rate) as usize)
            .map(|n| {
                let n = n as f64;
                let wave = if self.kind == "sine" {
                    (std::f64::consts::TAU * self.hz * n / rate).sin()
                } else {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    f64::from(state) / 2f64.powi(31) - 1.0
                };
                (0.8 * (-n / (self.decay_sec * rate)).exp() * wave) as f32
            })
            .collect()
    }
}

#[test]
fn the_model_gives_what_training_recorded() {
    let golden: Vec<Golden> = serde_json::from_str(include_str!("../../models/golden.json")).unwrap();
    assert!(golden.iter().filter(|sound| sound.path.is_some()).count() >= 8, "real sounds");
    assert!(golden.iter().filter(|sound| sound.path.is_none()).count() >= 5, "made sounds");
    let mut session = Classifier::embedded().unwrap().session().unwrap();
    let (mut decoder, mut extractor) = (Decoder::new(), Extractor::new());
    for sound in golden {
        let (samples, rate) = sound.sound(&mut decoder);
        let features = extractor.extract(&samples, rate).features.unwrap();
        let logits = session.logits(features.as_slice()).unwrap();
        assert_eq!(logits.len(), sound.logits.len());
        for (heard, recorded) in logits.iter().zip(&sound.logits) {
            let what = sound.path.as_deref().unwrap_or(&sound.kind);
            assert!((heard - recorded).abs() < TOLERANCE, "{what} at {rate} Hz: {heard} for {recorded}");
        }
    }
}
