//! Several models and a gate, through the program: who listens, what it comes to, and what a change of config.yml costs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use drumfs::classify::{Ensemble, labels};
use drumfs::config::Config;
use drumfs::index::{Analyses, judge};
use drumfs::store::OpenOptions;
use serde_json::Value;

use crate::layouts::models;
use crate::support::{Place, drumfs, wav_of};

/// A config.yml beside the models of tests/models.
fn config(place: &Place, text: &str) -> PathBuf {
    let path = place.path().join("config.yml");
    fs::write(&path, text.replace("MODELS", models().to_str().unwrap())).unwrap();
    path
}

fn index(place: &Place, config: &Path) -> [u64; 2] {
    let run = place.index(&["--config", config.to_str().unwrap()]);
    assert_eq!(run.code, Some(0), "{run:?}");
    [run.count("heard"), run.count("unchanged")]
}

/// Every analysis in the store, by path, in the order of the ensemble's models.
fn heard(place: &Place, ensemble: &Ensemble) -> BTreeMap<String, Analyses> {
    let options = OpenOptions {
        folder: place.store(),
        archive: place.archive().canonicalize().unwrap(),
        repair: false,
        purpose: "a test".to_owned(),
    };
    let store = options.open().unwrap().store;
    let samples = store.samples().map(|item| {
        let (path, entry) = item.unwrap();
        let analyses = drumfs::index::analyses(&store, &entry.hash.unwrap(), ensemble).unwrap();
        (String::from_utf8(path).unwrap(), analyses)
    });
    samples.collect()
}

fn explain(place: &Place, config: &Path, sample: &str) -> Value {
    let mut command = drumfs();
    command.args(["rules", "explain"]).arg(place.archive()).arg(sample).arg("--json");
    let output = command.arg("--store").arg(place.store()).arg("--config").arg(config).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

const VOTING: &str = "models:\n- weight: 3\n- {model_path: MODELS/six.onnx, weight: 1}\n";

#[test]
fn a_second_model_alone_listens_when_it_is_added_and_nobody_when_it_goes() {
    let place = Place::with_sounds(6);
    let alone = config(&place, "# the shipped model\n");
    assert_eq!(index(&place, &alone), [6, 0]);
    let before = heard(&place, &Ensemble::embedded().unwrap());
    let both = config(&place, VOTING);
    assert_eq!(index(&place, &both), [6, 0]);
    let ensemble = Ensemble::open(&Config::read(&both).unwrap().ensemble).unwrap();
    for (path, analyses) in heard(&place, &ensemble) {
        assert_eq!(analyses.get(0), before[&path].get(0), "{path}: the shipped model was not asked again");
        assert_eq!(analyses.get(1).unwrap().logits.len(), 6, "{path}");
    }
    assert_eq!(index(&place, &both), [0, 6]);
    // Weights and the kind of mean are a matter of judging.
    let other = config(&place, &format!("{}ensemble: {{mean: geometric}}\n", VOTING.replace("weight: 3", "weight: 7")));
    assert_eq!(index(&place, &other), [0, 6]);
    assert_eq!(index(&place, &config(&place, "# the shipped model\n")), [0, 6]);
    // A copy of a sound that both know is heard by nobody.
    fs::copy(place.archive().join("pack 0/00000.wav"), place.archive().join("copy.wav")).unwrap();
    let run = place.index(&["--config", config(&place, VOTING).to_str().unwrap()]);
    assert_eq!((run.count("heard"), run.count("duplicates")), (1, 1));
}

#[test]
fn a_vote_of_six_classes_moves_the_sums_and_keeps_the_shares_below_them() {
    let place = Place::with_sounds(4);
    let both = config(&place, VOTING);
    index(&place, &both);
    let ensemble = Ensemble::open(&Config::read(&both).unwrap().ensemble).unwrap();
    let shipped = Ensemble::embedded().unwrap();
    for (path, analyses) in heard(&place, &ensemble) {
        let fused = judge(&analyses, &ensemble).probs;
        let alone = judge(&analyses.get(0).unwrap().clone().into(), &shipped).probs;
        let logits = &analyses.get(1).unwrap().logits;
        let exp: Vec<f32> = logits.iter().map(|logit| logit.exp()).collect();
        let six: Vec<f32> = exp.iter().map(|value| value / exp.iter().sum::<f32>()).collect();
        let (labels, sums) = (shipped.labels(), shipped.labels().canonical_probabilities(&alone));
        let kit = 1.0 - sums[labels::MISC];
        for (label, (fused, alone)) in fused.iter().zip(&alone).enumerate() {
            let canonical = labels.canonical()[label];
            let vote = match canonical {
                labels::MISC => *alone,
                canonical => kit * six[canonical] * alone / sums[canonical],
            };
            let expected = 0.75 * alone + 0.25 * vote;
            assert!((fused - expected).abs() < 1e-5, "{path}, {}: {fused} for {expected}", labels.names()[label]);
        }
        // What the program says is the same.
        let said = explain(&place, &both, &path)["fine"][0].clone();
        let best = fused.iter().copied().fold(0.0, f32::max);
        assert!((said["probability"].as_f64().unwrap() as f32 - best).abs() < 1e-5, "{path}: {said}");
    }
}

#[test]
fn what_the_gate_refuses_goes_to_misc_and_a_threshold_costs_no_listening() {
    let place = Place::new();
    // A decaying tone, and two seconds of another that does not decay.
    place.put("hit.wav", &wav_of(1, 4_000, 44_100));
    let mut drone = crate::support::header(2 * 44_100 * 2, 44_100);
    drone.extend((0..2 * 44_100).flat_map(|n| (((f64::from(n) * 0.05).sin() * 20_000.0) as i16).to_le_bytes()));
    place.put("drone.wav", &drone);
    let gate =
        |threshold: &str| config(&place, &format!("gate: {{model_path: MODELS/gate.onnx, threshold: {threshold}}}\n"));
    assert_eq!(index(&place, &gate("0.5")), [2, 0]);
    let told = |threshold: &str, sample: &str| {
        let explained = explain(&place, &gate(threshold), sample);
        let stages = explained["stages"].as_array().unwrap().clone();
        let stage = stages.iter().find(|stage| stage["reason"] == "gate").unwrap();
        (
            explained["reason"].as_str().unwrap().to_owned(),
            explained["folder"].clone(),
            stage["note"].as_str().unwrap().to_owned(),
        )
    };
    let (reason, folder, note) = told("0.5", "drone.wav");
    assert_eq!((&reason[..], &folder), ("gate", &Value::from("misc")));
    assert!(note.contains("no kit sound") && note.contains("probability of 0.0"), "{note}");
    let (reason, _, note) = told("0.5", "hit.wav");
    assert_ne!(reason, "gate");
    assert!(note.contains("lets it pass") && note.contains("0.98"), "{note}");
    assert_ne!(told("0.0", "drone.wav").0, "gate");
    assert_eq!(told("1.0", "hit.wav").0, "gate");
    assert_eq!(index(&place, &gate("0.9")), [0, 2]);
    // The same without any gate: nobody listens, nobody refuses.
    let none = config(&place, "# no gate\n");
    assert_eq!(index(&place, &none), [0, 2]);
    let explained = explain(&place, &none, "drone.wav");
    assert_ne!(explained["reason"], "gate");
}

#[test]
fn models_that_do_not_go_together_are_refused_with_a_sentence() {
    let place = Place::with_sounds(1);
    for (text, words) in [
        ("models: []\n", &["`models` is empty"][..]),
        ("models:\n- weight: 0\n", &["weight of 0", "positive"]),
        ("models:\n- weight: .nan\n", &["weight of NaN"]),
        ("models:\n- {}\n- {}\n", &["listed twice", "weight of 2"]),
        ("models:\n- {}\n- {model_path: MODELS/gate.onnx}\n", &["gate", "one output"]),
        ("models:\n- {mapping: {Kick: Snare}}\n", &["the first"]),
        (
            "models:\n- {}\n- {model_path: MODELS/six.onnx, mapping: {Kik: Kick}}\n",
            &["six", "`Kik`", "none of its labels"],
        ),
        ("models:\n- {}\n- {model_path: MODELS/six.onnx, mapping: {Kick: Drum}}\n", &["`Kick` to `Drum`"]),
        ("models:\n- {}\n- {model_path: MODELS/six.onnx, wieght: 2}\n", &["wieght", "line 3"]),
        ("model_path: MODELS/six.onnx\nmodels:\n- {}\n", &["leave those at the top out"]),
        ("ensemble: {mean: harmonic}\n", &["harmonic", "geometric"]),
        ("gate: {model_path: MODELS/six.onnx}\n", &["six", "`kit`", "accept"]),
        ("gate: {model_path: MODELS/gate.onnx, threshold: 1.5}\n", &["threshold of 1.5"]),
        ("gate: {threshold: 0.5}\n", &["model_path"]),
    ] {
        let config = config(&place, text);
        let run = place.index(&["--config", config.to_str().unwrap()]);
        assert_eq!(run.code, Some(1), "{text}: {run:?}");
        for word in words {
            assert!(run.stderr.contains(word), "{text}: {}", run.stderr);
        }
    }
}

#[test]
fn a_gate_of_several_labels_says_which_one_it_accepts() {
    let place = Place::with_sounds(1);
    let gate =
        |more: &str| config(&place, &format!("gate: {{model_path: MODELS/waveform.onnx, threshold: 1{more}}}\n"));
    let run = place.index(&["--config", gate("").to_str().unwrap()]);
    assert!(run.stderr.contains("say with `accept` which one means a kit sound"), "{run:?}");
    assert_eq!(index(&place, &gate(", accept: misc")), [1, 0]);
    assert_eq!(explain(&place, &gate(", accept: misc"), "pack 0/00000.wav")["reason"], "gate");
}
