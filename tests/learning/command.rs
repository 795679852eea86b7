//! `drumfs learn` on a store that nobody else has.

use std::fs;
use std::path::Path;

use drumfs::store::OpenOptions;

use crate::place::{command, learn, learn_json, packs, path, words};

/// Says what the person says, of sounds that were heard.
fn say(dir: &Path, words: &[(String, &str)]) {
    let dir = dir.canonicalize().unwrap();
    let options = OpenOptions {
        folder: dir.join("store"),
        archive: dir.join("archive"),
        repair: false,
        purpose: "a test".to_owned(),
    };
    let store = options.open().unwrap().store;
    let changes: Vec<_> = words
        .iter()
        .map(|(path, word)| {
            (store.sample(path.as_bytes()).unwrap().unwrap().hash.unwrap(), Some(word.to_string()), None)
        })
        .collect();
    store.set_overrides(&changes).unwrap();
}

fn indexed() -> tempfile::TempDir {
    let dir = packs();
    let output = command(dir.path(), &["index"], &[]);
    assert!(output.status.success(), "{output:?}");
    dir
}

/// The folder a sound of the pack that nothing was said of goes to.
fn folder(dir: &Path, sound: u64) -> String {
    let path = path(3, sound);
    let output = command(dir, &["rules", "explain"], &[&path, "--json"]);
    let explained: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    explained["folder"].as_str().unwrap_or_else(|| panic!("{explained}")).to_owned()
}

#[test]
fn what_is_learnt_moves_sounds_of_a_pack_that_nothing_was_said_of_and_undo_moves_them_back() {
    let dir = indexed();
    let dir = dir.path();
    say(dir, &words());
    let before = [folder(dir, 0), folder(dir, 1)];
    assert_eq!(before, ["Kick", "Snare"]);
    let dry = learn_json(dir, &["--dry-run"]);
    assert_eq!((&dry["adopted"], &dry["objection"]), (&false.into(), &serde_json::Value::Null), "{dry}");
    assert_eq!(dry["fitted_on"]["overrides"], 72);
    assert_eq!(dry["fitted_on"]["packs"], 3);
    assert!(dry["effect"]["after"]["nll"].as_f64() < dry["effect"]["before"]["nll"].as_f64(), "{dry}");
    assert!(!dir.join("store/learned.json").exists(), "nothing is written");
    assert_eq!(learn_json(dir, &["--status"])["learnt"], false);

    let output = learn(dir, &[]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for words in ["72 overrides of 3 packs", "each of 3 packs", "other packs", "same packs", "adopted", "--undo"] {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
    assert_eq!([folder(dir, 0), folder(dir, 1)], ["Kick", "Hihat"], "{text}");
    let moved = &dry["moved"]["moves"][0];
    assert_eq!((&moved["from"], &moved["to"]), (&"Snare".into(), &"Hihat".into()), "{dry}");
    assert!(moved["count"].as_u64() >= Some(10), "{dry}");
    let state = learn_json(dir, &["--status"]);
    assert_eq!((&state["in_use"], &state["fitted_on"]["hash"]), (&true.into(), &dry["fitted_on"]["hash"]), "{state}");

    let state = learn_json(dir, &["--undo"]);
    assert_eq!(state["learnt"], false);
    assert_eq!([folder(dir, 0), folder(dir, 1)], before);
    assert!(String::from_utf8(learn(dir, &["--undo"]).stdout).unwrap().contains("nothing to take back"));
}

#[test]
fn too_few_corrections_and_folders_that_say_nothing_are_told() {
    let dir = indexed();
    let dir = dir.path();
    let mut words = words();
    words.truncate(25);
    words.iter_mut().take(8).for_each(|(_, word)| *word = "Loops");
    say(dir, &words);
    let output = learn(dir, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("17 overrides can be learnt from") && said.contains("8 name a folder"), "{said}");
}

#[test]
fn what_was_learnt_for_another_model_is_told_and_not_used() {
    let dir = indexed();
    let dir = dir.path();
    say(dir, &words());
    assert!(learn(dir, &[]).status.success());
    let file = dir.join("store/learned.json");
    let learned = fs::read_to_string(&file).unwrap();
    let mut other: serde_json::Value = serde_json::from_str(&learned).unwrap();
    other["model"] = "another-0123-model".into();
    for (text, words) in [(other.to_string(), "another-0123-model"), ("{".to_owned(), "damaged")] {
        fs::write(&file, text).unwrap();
        assert_eq!(folder(dir, 1), "Snare", "the model judges as it was shipped");
        let state = learn_json(dir, &["--status"]);
        assert_eq!((&state["learnt"], &state["in_use"]), (&true.into(), &false.into()));
        assert!(state["refused"].as_str().unwrap().contains(words), "{state}");
    }
    // Learning again puts it right.
    assert!(learn(dir, &[]).status.success());
    assert_eq!(folder(dir, 1), "Hihat");
}

#[test]
fn what_harms_is_adopted_only_by_force() {
    let dir = indexed();
    let dir = dir.path();
    // Every other sound of each pack is called something else at random: there is nothing to learn.
    let labels = ["Ride", "Tom", "Crash", "Clap", "Vox", "Rim", "Bell"];
    let mut words = words();
    for (place, (_, word)) in words.iter_mut().enumerate() {
        *word = labels[place * 5 % 7];
    }
    say(dir, &words);
    let output = learn(dir, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("not adopted") && text.contains("--force"), "{text}");
    assert!(!dir.join("store/learned.json").exists());
    assert!(learn(dir, &["--dry-run"]).status.success());
    let forced = learn(dir, &["--force"]);
    assert!(forced.status.success(), "{forced:?}");
    assert!(dir.join("store/learned.json").exists());
}
