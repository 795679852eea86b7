//! Models that read something else than the shipped one: what drumfs computes for them is what librosa computes, and
//! what comes out is what ONNX Runtime gave for that. `tests/models/make.py` made the models and the numbers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drumfs::audio::{Decoder, Extractor, Source};
use drumfs::classify::{Arrangement, Classifier, Ensemble, Inputs, Labels, Layout, ModelFiles, Output};
use drumfs::index::Listener;
use ndarray::Array2;
use ndarray_npy::ReadNpyExt;
use serde::Deserialize;

/// What librosa and ONNX Runtime say of one sound.
#[derive(Deserialize)]
struct Expected {
    sound: String,
    sample_rate: u32,
    old: Vec<f32>,
    six: Vec<f32>,
    waveform: Vec<f32>,
    gate: Vec<f32>,
}

/// How far a value of the features may be from librosa's where nothing is resampled: its transforms are in double
/// precision, drumfs's in single.
const FEATURES_EXACT: f32 = 1e-5;
/// The same where the sound is resampled: two filters of one design differ at the edge of what they pass.
const FEATURES_RESAMPLED: f32 = 1e-3;
/// How far a probability may be.
const PROBABILITY_EXACT: f32 = 1e-5;
const PROBABILITY_RESAMPLED: f32 = 1e-3;
/// How far an output may be, in parts of the largest, of a model that hears resampled sounds at a low rate.
const OUTPUT_RESAMPLED: f32 = 0.02;

pub fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models")
}

fn expected() -> Vec<Expected> {
    serde_json::from_slice(&fs::read(models().join("expected.json")).unwrap()).unwrap()
}

fn sound(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive").join(path)).unwrap()
}

fn files(name: &str) -> ModelFiles {
    ModelFiles { model: Some(models().join(format!("{name}.onnx"))), ..ModelFiles::default() }
}

/// What a model of this folder gives for a sound, through everything that listens.
fn logits(name: &str, path: &str) -> Vec<f32> {
    let ensemble = Arc::new(Ensemble::from(Classifier::open(&files(name)).unwrap()));
    let bytes = sound(path);
    let heard = Listener::new(ensemble).unwrap().listen(Source::Bytes(&bytes), bytes.len() as u64, None);
    let analysis = heard.get(0).unwrap();
    assert_eq!(analysis.error, None, "{path}");
    analysis.logits.clone()
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f32> = logits.iter().map(|logit| (logit - max).exp()).collect();
    let sum: f32 = exp.iter().sum();
    exp.iter().map(|value| value / sum).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn the_mfcc_of_the_old_layout_are_librosas() {
    let expected = expected();
    let layout = Layout::parse(&"mfcc".into()).unwrap();
    for number in [0, 1, 5, 7] {
        let row = &expected[number];
        let matrix: Array2<f32> =
            Array2::read_npy(File::open(models().join(format!("mfcc-{number}.npy"))).unwrap()).unwrap();
        assert_eq!(matrix.shape(), [40, 98]);
        let bytes = sound(&row.sound);
        let mut decoder = Decoder::new();
        let decoded = decoder.decode(Source::Bytes(&bytes), bytes.len() as u64, None).unwrap();
        let features = Extractor::new().extract(decoded.samples, decoded.sample_rate).features.unwrap();
        let mut inputs = Inputs::default();
        let values = inputs.get(&layout, Arrangement::Straight, &features, decoded.samples, decoded.sample_rate);
        let far = distance(values, matrix.as_slice().unwrap());
        let near = if row.sample_rate == 44_100 { FEATURES_EXACT } else { FEATURES_RESAMPLED };
        println!("mfcc of {} ({} Hz): {far:.1e}", row.sound, row.sample_rate);
        assert!(far <= near, "{} ({} Hz): {far}", row.sound, row.sample_rate);
    }
}

#[test]
fn a_model_of_the_older_pipeline_gives_what_it_gave_there() {
    let classifier = Classifier::open(&files("old")).unwrap();
    let description = classifier.description();
    assert_eq!(
        (&description.input[..], description.outputs, description.output),
        (&[1, 40, 98, 1][..], 34, Output::Probabilities)
    );
    for row in expected() {
        let far = distance(&softmax(&logits("old", &row.sound)), &row.old);
        let near = if row.sample_rate == 44_100 { PROBABILITY_EXACT } else { PROBABILITY_RESAMPLED };
        println!("probabilities of {} ({} Hz): {far:.1e}", row.sound, row.sample_rate);
        assert!(far <= near, "{} ({} Hz): {far}", row.sound, row.sample_rate);
    }
}

#[test]
fn what_tf2onnx_makes_of_a_keras_model_runs_as_it_is_and_gives_what_keras_gave() {
    let keras: BTreeMap<String, Vec<f32>> =
        serde_json::from_slice(&fs::read(models().join("keras-expected.json")).unwrap()).unwrap();
    assert!(keras.len() >= 10);
    for row in expected() {
        let far = distance(&softmax(&logits("keras", &row.sound)), &keras[&row.sound]);
        println!("keras, {} ({} Hz): {far:.1e}", row.sound, row.sample_rate);
        let near = if row.sample_rate == 44_100 { PROBABILITY_EXACT } else { PROBABILITY_RESAMPLED };
        assert!(far <= near, "{} ({} Hz): {far}", row.sound, row.sample_rate);
    }
}

#[test]
fn a_config_of_the_older_pipeline_describes_a_model_that_has_no_json() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(models().join("old.onnx"), folder.path().join("model1.onnx")).unwrap();
    let text = "model_path: model1.onnx\nlabel_map: gone.json\nfallback_labels: [Crash, Hihat]\ntarget_sr: 44100\n\
                target_samples: 50000\nn_mfcc: 40\nn_fft: 2048\nhop_length: 512\nnormalize: true\nmin_duration_sec: 0.05\n";
    let config = |text: &str| drumfs::config::Config::parse(text, folder.path()).unwrap();
    // Two labels for 34 outputs: the order can't be guessed.
    let refused = Ensemble::open(&config(text).ensemble).unwrap_err().to_string();
    assert!(refused.contains("34 outputs") && refused.contains("2 labels"), "{refused}");
    let labels =
        Labels::parse(&fs::read_to_string(models().join("../../models/label_mapping.json")).unwrap(), "{}").unwrap();
    let text = text.replace("[Crash, Hihat]", &format!("[{}]", labels.names().join(", ")));
    let ignored: Vec<String> = config(&text).ignored.into_iter().map(|ignored| ignored.key).collect();
    assert_eq!(ignored, ["min_duration_sec"]);
    let ensemble = Ensemble::open(&config(&text).ensemble).unwrap();
    let same = Classifier::open(&files("old")).unwrap();
    assert_eq!(ensemble.leading().description().layout, same.description().layout);
    assert_eq!(ensemble.leading().description().output, Output::Probabilities);
    assert_eq!(ensemble.labels().names(), labels.names());
    // Without those keys the JSON is asked for.
    let refused = Ensemble::open(&config("model_path: model1.onnx\n").ensemble).unwrap_err().to_string();
    assert!(refused.contains("model1.json") && refused.contains("\"mfcc\""), "{refused}");
}

#[test]
fn raw_audio_and_features_with_frames_first_are_read_as_described() {
    for row in expected() {
        let scale = |expected: &[f32]| expected.iter().fold(1f32, |max, value| max.max(value.abs()));
        for (name, expected) in [("six", &row.six), ("waveform", &row.waveform), ("gate", &row.gate)] {
            let far = distance(&logits(name, &row.sound), expected) / scale(expected);
            println!("{name}, {} ({} Hz): {far:.1e}", row.sound, row.sample_rate);
            assert!(far <= OUTPUT_RESAMPLED, "{name}, {}: {far}", row.sound);
        }
    }
}

#[test]
fn what_does_not_fit_the_onnx_file_is_refused_before_anything_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("six.onnx");
    fs::copy(models().join("six.onnx"), &path).unwrap();
    let refusal = |json: &str| {
        fs::write(folder.path().join("six.json"), json).unwrap();
        let files = ModelFiles { model: Some(path.clone()), ..ModelFiles::default() };
        match Classifier::open(&files) {
            Err(error) => error.to_string(),
            // What only running tells.
            Ok(classifier) => Ensemble::from(classifier).check().unwrap_err().to_string(),
        }
    };
    let six = r#""labels": ["Crash", "Hihat", "Kick", "Ride", "Snare", "Tom"]"#;
    for (json, words) in [
        (format!(r#"{{"features": "mfcc", {six}}}"#), &["the model `six`", "[1, 22, 13]", "[1, 40, 98, 1]"][..]),
        (format!(r#"{{"features": "mfcc", "input": [1, 13, 22], {six}}}"#), &["[1, 13, 22]", "can't hold", "40 x 98"]),
        (r#"{"features": "mfcc"}"#.to_owned(), &["6 outputs", "34 labels"]),
        (r#"{"labels": ["Kick"]}"#.to_owned(), &["six.json", "features"]),
        (format!(r#"{{"features": "logmel1-1", {six}}}"#), &["logmel1-1", drumfs::audio::FEATURES_VERSION]),
        (format!(r#"{{"features": {{"mfcc": {{"n_mfcc": 13, "n_mfccs": 1}}}}, {six}}}"#), &["n_mfccs"]),
        ("{".to_owned(), &["six.json", "line 1"]),
    ] {
        let message = refusal(&json);
        for word in words {
            assert!(message.contains(word), "{json}: {message}");
        }
    }
    fs::write(&path, b"not ONNX").unwrap();
    assert!(refusal(&fs::read_to_string(models().join("six.json")).unwrap()).contains("not an ONNX file"));
}

#[test]
fn outputs_that_are_said_to_be_probabilities_and_are_none_cost_the_sound_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(models().join("six.onnx"), folder.path().join("six.onnx")).unwrap();
    let json = fs::read_to_string(models().join("six.json")).unwrap();
    fs::write(folder.path().join("six.json"), json.replacen('{', "{\"output\": \"probabilities\",", 1)).unwrap();
    let files = ModelFiles { model: Some(folder.path().join("six.onnx")), ..ModelFiles::default() };
    let classifier = Classifier::open(&files).unwrap();
    assert_ne!(classifier.model_id(), Classifier::open(&self::files("six")).unwrap().model_id());
    let bytes = sound("Akai/Layered/BD_019.wav");
    let mut listener = Listener::new(Arc::new(classifier.into())).unwrap();
    let heard = listener.listen(Source::Bytes(&bytes), bytes.len() as u64, None);
    let error = heard.get(0).unwrap().error.clone().unwrap();
    assert!(error.contains("are they logits?"), "{error}");
}

/// The code blocks of docs/models.md in a language.
fn examples(language: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/models.md")).unwrap();
    let begin = format!("```{language}\n");
    text.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_examples_of_the_documentation_are_read_and_its_defaults_are_the_defaults() {
    let descriptions = examples("json");
    assert!(descriptions.len() >= 4, "{descriptions:?}");
    for example in &descriptions {
        let json: serde_json::Value = serde_json::from_str(example).unwrap();
        Layout::parse(&json["features"]).unwrap_or_else(|error| panic!("{example}: {error}"));
    }
    let said: serde_json::Value =
        serde_json::from_str(descriptions.iter().find(|example| example.contains("n_mels")).unwrap()).unwrap();
    assert_eq!(Layout::parse(&said["features"]).unwrap(), Layout::parse(&"mfcc".into()).unwrap());
    let configs = examples("yaml");
    assert!(configs.len() >= 4, "{configs:?}");
    for example in &configs {
        let config = drumfs::config::Config::parse(example, Path::new("/there")).unwrap();
        assert!(config.ignored.is_empty(), "{example}: {:?}", config.ignored);
    }
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/models.md")).unwrap();
    let version = format!("### `{}`", drumfs::audio::FEATURES_VERSION);
    assert!(text.contains(&version), "docs/models.md defines the features of the shipped model under {version}");
}
