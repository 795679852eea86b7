//! What `drumfs calibrate` and `drumfs validate` answer, through the program itself.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::{Place, drumfs, wav};

/// 120 sounds of 4 kits, two in three called what they are not.
fn labelled(place: &Place) {
    let mut manifest = "path,label,pack\n".to_owned();
    for seed in 0..120u32 {
        let path = format!("{seed}.wav");
        place.put(&path, &wav(seed));
        let label = ["Kick", "Tom", "Clave"][seed as usize % 3];
        manifest += &format!("{path},{label},pack {}\n", seed / 30);
    }
    fs::write(place.archive().join("manifest.csv"), manifest).unwrap();
}

fn calibrate(place: &Place, more: &[&str]) -> Output {
    let mut command = drumfs();
    command.env("XDG_DATA_HOME", place.path().join("data"));
    command.arg("calibrate").arg("--val-manifest").arg(place.archive().join("manifest.csv")).args(more);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn too_little_to_calibrate_on_is_refused_with_what_it_takes() {
    let place = Place::with_sounds(3);
    fs::write(place.archive().join("manifest.csv"), "path,label\npack 0/00000.wav,Kick\n").unwrap();
    let output = calibrate(&place, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("1 sounds are too few to calibrate on: it takes 100"), "{}", said(&output));
    assert!(!place.path().join("data").exists());
}

#[test]
fn what_could_not_be_heard_is_told_and_the_rest_is_fitted_and_written() {
    let place = Place::new();
    labelled(&place);
    let path = place.archive().join("manifest.csv");
    let manifest = fs::read_to_string(&path).unwrap() + "gone.wav,Kick,pack 0\n0.wav,Kik,pack 0\n";
    fs::write(&path, manifest).unwrap();
    let out = place.path().join("out/mine.json");
    let output = calibrate(&place, &["--json", "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(
        said(&output).contains("line 122: ") && said(&output).contains("did you mean `Kick`?"),
        "{}",
        said(&output)
    );
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let written: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    assert_eq!((&printed["left_out"], &printed["models"][0]["in_force"]), (&2.into(), &false.into()));
    for key in ["model", "labels_checksum", "temperature", "data", "before", "after"] {
        assert_eq!(printed["models"][0][key], written[key], "{key}");
    }
    assert_eq!((&written["data"]["samples"], &written["data"]["kits"]), (&120.into(), &4.into()));
    assert!(written["after"]["nll_fine"].as_f64() < written["before"]["nll_fine"].as_f64());
    assert!(fs::read_to_string(out.with_extension("svg")).unwrap().starts_with("<svg"));
    // The same data has the same hash, wherever it lies; a dry run writes nothing.
    let again = calibrate(&place, &["--json", "--dry-run"]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["models"][0]["data"], written["data"]);
    assert!(!place.path().join("data").exists());
}

#[test]
fn a_calibration_named_in_the_configuration_is_made_there_also_in_the_place_of_one_that_is_refused() {
    let place = Place::new();
    labelled(&place);
    let (config, named) = (place.path().join("config.yml"), place.path().join("mine.json"));
    fs::write(&config, "calibration: mine.json\n").unwrap();
    let of_config = ["--config", config.to_str().unwrap()];
    for before in [None, Some("{\"model\": \"another\", \"labels_checksum\": \"\", \"temperature\": 1}")] {
        if let Some(before) = before {
            fs::write(&named, before).unwrap();
            let refused = place.index(&of_config);
            assert!(refused.code == Some(1) && refused.stderr.contains("fit it again with `drumfs calibrate`"));
        }
        let output = calibrate(&place, &of_config);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!(place.index(&of_config).code, Some(0));
        fs::remove_file(&named).unwrap();
    }
    let output = calibrate(&place, &["--model", "nobody"]);
    assert!(said(&output).contains("there is no model `nobody`"), "{}", said(&output));
}

#[test]
fn logits_that_a_training_held_out_are_fitted_on_without_listening() {
    let place = Place::new();
    let labels = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/label_mapping.json")).unwrap();
    let labels: Vec<String> = serde_json::from_str(&labels).unwrap();
    let mut text = format!("path,label,kit,fold,{}\n", labels.join(","));
    for index in 0..200usize {
        // As sure as can be of one label of three, and right in three cases of four.
        let said = ["Kick", "Snare", "Tom"][index % 3];
        let truth = if index % 4 == 3 { "Clap" } else { said };
        let logits: Vec<&str> = labels.iter().map(|label| if label == said { "9" } else { "0" }).collect();
        text += &format!("{index}.wav,{truth},kit {},{},{}\n", index % 10, index % 5, logits.join(","));
    }
    let csv = place.path().join("heldout.csv");
    fs::write(&csv, &text).unwrap();
    let fit = || {
        let mut command = drumfs();
        command.env("XDG_DATA_HOME", place.path().join("data"));
        command.args(["calibrate", "--json", "--val-logits"]).arg(&csv).output().unwrap()
    };
    let output = fit();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let model = &printed["models"][0];
    assert_eq!((&model["data"]["samples"], &model["data"]["kits"]), (&200.into(), &10.into()));
    assert!(model["temperature"].as_f64() > Some(1.2), "{model}");
    assert!(model["after"]["ece_fine"].as_f64() < model["before"]["ece_fine"].as_f64(), "{model}");
    assert_eq!(model["in_force"], true, "into the data folder, where it is found");
    fs::write(&csv, text.replacen("0.wav,Kick", "0.wav,Loop", 1)).unwrap();
    assert_eq!(fit().status.code(), Some(3));
    fs::write(&csv, text.replacen(",Agogo,", ",Agoga,", 1)).unwrap();
    let output = fit();
    assert!(output.status.code() == Some(1) && said(&output).contains("no column `Agogo`"), "{}", said(&output));
}

#[test]
fn validate_says_all_and_its_exit_code_says_whether_something_is_wrong() {
    let place = Place::new();
    let validate = |more: &[&str]| drumfs().arg("validate").args(more).output().unwrap();
    let output = validate(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("ok     order"), "{}", said(&output));
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    for name in ["drums.onnx", "drums.json"] {
        fs::copy(models.join(name), place.path().join(name)).unwrap();
    }
    fs::write(place.path().join("canonical_mapping.json"), r#"{"Kick": "Kickk", "Rimm": "Snare"}"#).unwrap();
    fs::write(place.path().join("rules.yml"), "target_labels: [Kick, Snar]\n").unwrap();
    let config = place.path().join("config.yml");
    fs::write(&config, "model_path: drums.onnx\n").unwrap();
    let rules = place.path().join("rules.yml");
    let more = ["--config", config.to_str().unwrap(), "--json", "--rules", rules.to_str().unwrap()];
    let output = validate(&more);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let wrong: Vec<&str> = printed["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["level"] == "wrong")
        .filter_map(|check| check["found"].as_str())
        .collect();
    assert_eq!((wrong.len(), &printed["ok"]), (2, &false.into()), "{wrong:?}");
    fs::write(place.path().join("canonical_mapping.json"), r#"{"Kick": "Kick"}"#).unwrap();
    let output = validate(&more);
    assert!(said(&output).contains("did you mean `Snare`?"), "{}", said(&output));
    assert_eq!(output.status.code(), Some(1));
}
