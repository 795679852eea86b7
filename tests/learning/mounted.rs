//! `drumfs learn` while a mount has the store.

use std::fs;

use crate::common::mount::Mount;
use crate::place::{learn, packs, path, words};

fn mount() -> Mount {
    let mount = Mount::start(packs());
    for (path, word) in words() {
        mount.append_override(&format!("{{\"path\": \"{path}\", \"label\": \"{word}\"}}")).unwrap();
    }
    mount
}

/// Path, folder, probability and reason of every sample.
fn view(mount: &Mount) -> Vec<String> {
    let keys = ["relative_path", "assigned_label", "assigned_confidence", "assigned_reason", "probs"];
    mount.index().iter().map(|record| keys.map(|key| record[key].to_string()).join(" ")).collect()
}

#[test]
fn the_view_changes_when_something_was_learnt_and_is_as_before_when_it_is_taken_back() {
    let mut mount = mount();
    let before = view(&mount);
    // Of the pack that nothing was said of.
    let hats = |mount: &Mount| fs::read_dir(mount.path("Hihat/pack 3")).map_or(0, Iterator::count);
    assert!(hats(&mount) <= 2 && mount.path("Snare/pack 3/01.wav").exists());
    let output = learn(mount.dir.path(), &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(hats(&mount), 12, "{output:?}");
    assert!(mount.path("Hihat/pack 3/01.wav").exists() && !mount.path("Snare/pack 3/01.wav").exists());
    assert_eq!((&mount.status()["learned"], &mount.status()["last_error"]), (&true.into(), &serde_json::Value::Null));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("of 96 samples go to another folder"), "{text}");
    // What a person said still wins, and is still the reason.
    let record = |mount: &Mount, wanted: &str| {
        mount.index().into_iter().find(|record| record["relative_path"] == wanted).unwrap()
    };
    mount.append_override(&format!("{{\"path\": \"{}\", \"label\": \"Ride\"}}", path(3, 1))).unwrap();
    assert_eq!(record(&mount, &path(3, 1))["assigned_reason"], "override");
    assert!(mount.path("Ride/pack 3/01.wav").exists());
    mount.append_override(&format!("{{\"path\": \"{}\", \"label\": null}}", path(3, 1))).unwrap();
    // It is in force after a remount, too.
    let learned = view(&mount);
    mount.end();
    mount.mount_again();
    assert_eq!(view(&mount), learned);
    let output = learn(mount.dir.path(), &["--undo"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(view(&mount), before, "to the last digit");
    assert_eq!(mount.status()["learned"], false);
}

#[test]
fn what_was_learnt_for_another_model_is_no_failed_mount_and_is_told_in_the_status() {
    let mut mount = mount();
    let before = view(&mount);
    assert!(learn(mount.dir.path(), &[]).status.success());
    mount.end();
    let file = mount.store.join("learned.json");
    let mut other: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    other["model"] = "another-0123-model".into();
    fs::write(&file, other.to_string()).unwrap();
    mount.mount_again();
    assert_eq!(view(&mount), before);
    let status = mount.status();
    assert!(status["last_error"].as_str().is_some_and(|error| error.contains("another-0123-model")), "{status}");
    assert_eq!(status["learned"], false);
    // Damaged while it is mounted: what is in force stays.
    fs::write(&file, "{").unwrap();
    mount.rescan();
    assert!(mount.status()["last_error"].as_str().is_some_and(|error| error.contains("damaged")));
    assert_eq!(view(&mount), before);
    assert!(learn(mount.dir.path(), &["--undo"]).status.success());
    assert_eq!(mount.status()["last_error"], serde_json::Value::Null);
}
