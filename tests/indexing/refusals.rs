//! What is refused, and that the refusal says what to do.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use crate::support::{Indexed, Place, drumfs, fingerprints, index_command};

fn refused(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty(), "results are on stdout, complaints are not: {output:?}");
    words.iter().for_each(|word| assert!(said.contains(word), "`{word}` is not in: {said}"));
}

#[test]
fn an_archive_that_is_not_there_is_said_to_be_so() {
    let place = Place::new();
    let missing = place.path().join("no such folder");
    refused(&index_command(&missing, &place.store(), &[]).output().unwrap(), &["no such folder", "drive"]);
    assert!(!place.store().exists(), "nothing is made for it");
}

#[test]
fn an_archive_that_is_a_file_is_said_to_be_so() {
    let place = Place::with_sounds(1);
    let file = place.archive().join("pack 0/00000.wav");
    refused(&index_command(&file, &place.store(), &[]).output().unwrap(), &["00000.wav", "not a folder"]);
}

#[test]
fn a_store_inside_the_archive_is_refused_before_anything_is_made() {
    let place = Place::with_sounds(1);
    let before = fingerprints(&place.archive());
    let inside = [place.archive().join("store"), place.archive(), place.archive().join("a/b/../c")];
    for store in &inside {
        let output = index_command(&place.archive(), store, &[]).output().unwrap();
        refused(&output, &["inside the archive", "--store"]);
    }
    // Another way to the same folder.
    let link = place.path().join("link");
    symlink(place.archive(), &link).unwrap();
    refused(&index_command(&place.archive(), &link.join("store"), &[]).output().unwrap(), &["inside the archive"]);
    refused(&index_command(&link, &place.archive().join("store"), &[]).output().unwrap(), &["inside the archive"]);
    let relative = drumfs()
        .current_dir(place.archive())
        .args(["index", ".", "--store", "pack 0/../store", "--json"])
        .output()
        .unwrap();
    refused(&relative, &["inside the archive"]);
    assert!(before == fingerprints(&place.archive()), "the archive was not written");
}

#[test]
fn a_store_that_is_a_file_or_cannot_be_made_says_which() {
    let place = Place::with_sounds(1);
    fs::write(place.store(), b"a file").unwrap();
    let path = place.store().display().to_string();
    refused(&index_command(&place.archive(), &place.store(), &[]).output().unwrap(), &[&path]);
    assert_eq!(fs::read(place.store()).unwrap(), b"a file");
}

fn with_config(place: &Place, text: &str) -> Output {
    let config = place.path().join("config.yml");
    fs::write(&config, text).unwrap();
    index_command(&place.archive(), &place.store(), &["--config", config.to_str().unwrap()]).output().unwrap()
}

#[test]
fn keys_of_config_yml_that_mean_nothing_are_named_and_the_rest_counts() {
    let place = Place::with_sounds(2);
    let output = with_config(&place, "hash_algorithm: md5\ntarget_sr: 44100\nn_mfcc: 40\n");
    let run = Indexed::of(&output);
    assert_eq!((run.code, run.count("heard")), (Some(0), 2), "{run:?}");
    let line = run.stderr.lines().find(|line| line.contains("config.yml")).unwrap_or_default();
    assert!(line.contains("n_mfcc") && line.contains("target_sr") && !line.contains("hash_algorithm"), "{line}");
}

#[test]
fn a_config_yml_with_a_mistake_says_where_and_what_would_be_right() {
    let place = Place::with_sounds(1);
    refused(&with_config(&place, "hash_algorithm: crc32\n"), &["config.yml", "crc32", "xxh3", "sha256"]);
    refused(&with_config(&place, "threads: 0\n"), &["config.yml", "threads"]);
    refused(&with_config(&place, "threads: many\n"), &["config.yml", "line 1"]);
    let nowhere = index_command(&place.archive(), &place.store(), &["--config", "/nonexistent/config.yml"]).output();
    refused(&nowhere.unwrap(), &["/nonexistent/config.yml"]);
}

#[test]
fn a_label_list_that_is_not_the_models_is_refused_with_both_numbers() {
    let place = Place::with_sounds(1);
    let mapping = place.path().join("label_mapping.json");
    fs::write(&mapping, r#"["Kick", "Snare", "Hihat"]"#).unwrap();
    let output = with_config(&place, "label_map: label_mapping.json\n");
    refused(&output, &["34 outputs", "3 labels"]);
    // The right number in another order is another list.
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/label_mapping.json");
    let mut labels: Vec<String> = serde_json::from_slice(&fs::read(models).unwrap()).unwrap();
    labels.swap(0, 1);
    fs::write(&mapping, serde_json::to_vec(&labels).unwrap()).unwrap();
    refused(&with_config(&place, "label_map: label_mapping.json\n"), &["checksum"]);
    assert!(!place.store().join("db").exists(), "nothing was heard with the wrong labels");
}

#[test]
fn a_model_that_is_none_is_refused() {
    let place = Place::with_sounds(1);
    refused(&with_config(&place, "model_path: model.keras\n"), &["Keras", "tf2onnx"]);
    refused(&with_config(&place, "model_path: missing.onnx\n"), &["missing.onnx"]);
    fs::write(place.path().join("junk.onnx"), b"junk").unwrap();
    let description = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/drums.json");
    fs::copy(description, place.path().join("junk.json")).unwrap();
    for name in ["label_mapping.json", "canonical_mapping.json"] {
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name), place.path().join(name)).unwrap();
    }
    let output = with_config(&place, "model_path: junk.onnx\n");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
}

#[test]
fn wrong_usage_exits_2() {
    for arguments in [&["index"][..], &["index", ".", "--threads", "0"], &["index", ".", "--nonsense"], &["no-command"]]
    {
        let output = drumfs().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--help"), "{output:?}");
    }
}
