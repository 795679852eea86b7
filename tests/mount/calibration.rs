//! A calibration that is fitted while mounted is in force when the command returns, nothing is heard again, and it is
//! kept over remounts and crashes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::mount::{DRUMFS, Mount, put};

/// Every sample's path with its probabilities.
fn judged(mount: &Mount) -> Vec<(String, Vec<f64>)> {
    let probs = |record: &Value| -> Vec<f64> {
        record["probs"].as_array().map(|probs| probs.iter().filter_map(Value::as_f64).collect()).unwrap_or_default()
    };
    mount.index().iter().map(|record| (record["relative_path"].to_string(), probs(record))).collect()
}

/// Where a person's own calibration of the mount's model lies.
fn own(mount: &Mount) -> PathBuf {
    let model = mount.status()["model"].as_str().unwrap().to_owned();
    mount.data().join("drumfs/calibrations").join(format!("{model}.json"))
}

/// A manifest of the labelled sounds of the test archive, as they lie in the mount's copy.
fn manifest(mount: &Mount) -> PathBuf {
    let listing = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/archive-labels.csv");
    let path = mount.archive.with_file_name("manifest.csv");
    let mut writer = csv::Writer::from_path(&path).unwrap();
    writer.write_record(["path", "label", "kit"]).unwrap();
    for record in csv::Reader::from_path(listing).unwrap().records().map(Result::unwrap) {
        writer.write_record([&format!("archive/{}", &record[0]), &record[1], &record[2]]).unwrap();
    }
    writer.flush().unwrap();
    path
}

fn calibrate(mount: &Mount, more: &[&str]) -> Output {
    let mut command = Command::new(DRUMFS);
    command.arg("calibrate").arg("--val-manifest").arg(manifest(mount)).args(more);
    command.env("XDG_DATA_HOME", mount.data()).env_remove("RUST_LOG").output().unwrap()
}

fn rescan(mount: &Mount) {
    fs::write(mount.path("_control/rescan"), "now\n").unwrap();
}

#[test]
fn a_calibration_fitted_while_mounted_is_in_force_when_the_command_returns_and_afterwards() {
    let mut mount = Mount::of_test_archive();
    // So high that many samples are just below or just above.
    fs::write(mount.path("_control/rules.yml"), "misc: {threshold: 0.9}\n").unwrap();
    let (before, folders) = (judged(&mount), mount.status()["folders"].clone());
    let output = calibrate(&mount, &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    // 3: some of the archive's sounds can't be heard, and the rest was fitted on.
    assert_eq!(output.status.code(), Some(3), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("the mount at {} uses it now", mount.at.display())), "{said}");
    // At once: nothing is waited for here.
    let status = mount.status();
    let after = judged(&mount);
    let fitted: Value = serde_json::from_slice(&fs::read(own(&mount)).unwrap()).unwrap();
    assert_eq!(status["calibration"][0]["temperature"], fitted["temperature"]);
    assert_eq!(status["calibration"][0]["data_hash"], fitted["data"]["hash"]);
    assert!(own(&mount).with_extension("svg").exists());
    assert_ne!(status["folders"], folders, "other confidences, other folders");
    assert_eq!(before.len(), after.len());
    let mut changed = 0;
    for ((path, before), (same, after)) in before.iter().zip(&after) {
        assert_eq!(path, same);
        assert_eq!(before.is_empty(), after.is_empty());
        assert!(after.is_empty() || (after.iter().sum::<f64>() - 1.0).abs() < 1e-3, "{path}");
        changed += usize::from(before != after);
    }
    assert!(changed > 100, "{changed}");
    mount.rescan();
    assert_eq!(mount.status()["indexing"]["total"], 0, "nothing is heard again");
    mount.kill9();
    mount.mount_again();
    assert_eq!(judged(&mount), after);
    assert_eq!(mount.status()["indexing"]["total"], 0, "nothing is heard again");
    // Without it the compiled-in one is in force.
    fs::remove_file(own(&mount)).unwrap();
    rescan(&mount);
    assert_eq!(judged(&mount), before);
    assert!(mount.end().success());
    mount.mount_again();
    assert_eq!(judged(&mount), before);
}

#[test]
fn a_calibration_that_is_refused_leaves_what_is_in_force_and_says_why() {
    let mount = Mount::of(&["pack/kick.wav", "pack/snare.wav"]);
    let (before, epoch) = (judged(&mount), mount.status()["epoch"].clone());
    for (text, word) in [
        (r#"{"model": "another", "labels_checksum": "0", "temperature": 1.0}"#, "fitted for the model `another`"),
        ("{", "fit it again"),
    ] {
        put(&own(&mount), text.as_bytes());
        rescan(&mount);
        let status = mount.status();
        let error = status["last_error"].as_str().unwrap_or_default().to_owned();
        assert!(error.contains(word) && error.contains("calibrations/"), "{error}");
        assert_eq!((judged(&mount), &status["epoch"]), (before.clone(), &epoch));
    }
    // It is still said after the pass that the rescan asked for.
    mount.rescan();
    assert!(mount.status()["last_error"].is_string());
    // The command mends it.
    assert_eq!(mount.status()["calibration"][0]["file"], Value::Null);
    fs::remove_file(own(&mount)).unwrap();
    rescan(&mount);
    assert_eq!(mount.status()["last_error"], Value::Null);
}
