//! `drumfs override`: from the store and through a mount, by path and by hash, and back again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::common::mount::Mount;
use crate::support::{Place, drumfs};

/// `drumfs override` about an archive.
pub fn about(archive: &Path, store: &Path, arguments: &[&str]) -> Output {
    let mut command = drumfs();
    command.arg("override").args(arguments).arg("--archive").arg(archive).arg("--store").arg(store);
    command.env("USER", "tester").output().unwrap()
}

pub fn run(place: &Place, arguments: &[&str]) -> Output {
    about(&place.archive(), &place.store(), arguments)
}

/// The same, which must go well; what it printed.
#[track_caller]
pub fn done(place: &Place, arguments: &[&str]) -> String {
    let output = run(place, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What is overridden, by path.
pub fn overrides(place: &Place) -> BTreeMap<String, String> {
    let text = done(place, &["export"]);
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["path"].as_str().unwrap().to_owned(), line["label"].as_str().unwrap().to_owned())
    };
    text.lines().map(line).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn place() -> Place {
    let place = Place::with_sounds(6);
    place.index(&[]);
    place
}

#[test]
fn a_sample_is_said_by_path_or_hash_listed_and_taken_back() {
    let place = place();
    assert_eq!(done(&place, &["pack 0/00000.wav", "kick", "--note", "by ear"]), "pack 0/00000.wav: Kick\n");
    let absolute = place.archive().join("pack 1/00001.wav");
    assert_eq!(done(&place, &[absolute.to_str().unwrap(), "Clap"]), "pack 1/00001.wav: Clap\n");
    let said: Value = serde_json::from_str(&done(&place, &["pack 0/00000.wav", "Tom", "--json"])).unwrap();
    assert_eq!((&said[0]["before"], &said[0]["label"]), (&"Kick".into(), &"Tom".into()));
    let hash = said[0]["hash"].as_str().unwrap().to_owned();
    assert_eq!(done(&place, &[&hash, "Ride"]), "pack 0/00000.wav: Ride (before: Tom)\n");
    assert_eq!(done(&place, &["pack 2/00002.wav", "pack 2/00005.wav", "Cowbell"]).lines().count(), 2);
    let listed = done(&place, &["list"]);
    assert_eq!(listed.lines().next(), Some("Ride     pack 0/00000.wav"), "{listed}");
    assert_eq!(done(&place, &["list", "pack 2"]).lines().count(), 2);
    assert_eq!(done(&place, &["list", &hash]), "Ride  pack 0/00000.wav\n");
    assert_eq!(done(&place, &["remove", &hash]), "pack 0/00000.wav: taken back (before: Ride)\n");
    let expected = [("pack 1/00001.wav", "Clap"), ("pack 2/00002.wav", "Cowbell"), ("pack 2/00005.wav", "Cowbell")];
    assert_eq!(overrides(&place), expected.map(|(path, label)| (path.to_owned(), label.to_owned())).into());
}

#[test]
fn what_means_nothing_is_refused_with_what_may_be_meant_and_nothing_is_said() {
    let place = place();
    for (arguments, words) in [
        (&["pack 0/00000.wav", "Kik"][..], &["unknown label `Kik`", "did you mean `Kick`?"][..]),
        (&["pack 0/00000.wav", "no.wav", "Kick"], &["no sample `no.wav` is known in"]),
        (&["00000000000000000000000000000000", "Kick"], &["no sample `00000000000000000000000000000000`"]),
        (&["list", "/nowhere"], &["no sample `/nowhere`"]),
    ] {
        let output = run(&place, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
    }
    place.put("new.wav", b"RIFF");
    let new = place.archive().join("new.wav");
    assert!(text(&run(&place, &[new.to_str().unwrap(), "Kick"]).stderr).contains("drumfs index"));
    assert_eq!(run(&place, &["pack 0/00000.wav"]).status.code(), Some(2));
    assert_eq!(overrides(&place).len(), 0);
    assert!(text(&run(&place, &["list"]).stderr).contains("nothing is overridden"));
}

#[test]
fn undo_goes_back_step_by_step_and_the_history_keeps_everything() {
    let place = place();
    done(&place, &["pack 0/00000.wav", "Kick", "--who", "him"]);
    done(&place, &["pack 0/00000.wav", "pack 1/00001.wav", "Tom", "--note", "both"]);
    done(&place, &["remove", "pack 1/00001.wav"]);
    assert!(done(&place, &["undo"]).contains("pack 1/00001.wav: nothing is taken back; Tom is said of it now"));
    assert_eq!(overrides(&place).len(), 2);
    assert_eq!(done(&place, &["undo"]).lines().count(), 2);
    assert_eq!(overrides(&place), BTreeMap::from([("pack 0/00000.wav".to_owned(), "Kick".to_owned())]));
    done(&place, &["pack 2/00002.wav", "Ride"]);
    // Of one folder, whatever was said of others since.
    assert!(done(&place, &["undo", "pack 0"]).contains("00000.wav: Kick is taken back"));
    assert!(done(&place, &["undo", "pack 0"]).contains("nothing to take back"));
    assert_eq!(overrides(&place).len(), 1);
    let history: Value = serde_json::from_str(&done(&place, &["history", "--json"])).unwrap();
    let words: Vec<(&str, Option<&str>, bool)> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|word| (word["by"].as_str().unwrap(), word["label"].as_str(), word["undo"].as_bool().unwrap()))
        .collect();
    assert_eq!(
        words[..3],
        [("him", Some("Kick"), false), ("tester", Some("Tom"), false), ("tester", Some("Tom"), false)]
    );
    assert_eq!(words.iter().filter(|word| word.2).count(), 4);
    let last = done(&place, &["history", "-n", "1"]);
    assert!(last.contains("Z  tester  pack 0/00000.wav: taken back (before: Kick), an undo"), "{last}");
    assert_eq!(done(&place, &["history", "pack 2/00002.wav"]).lines().count(), 1);
}

#[test]
fn while_a_mount_has_the_store_it_goes_through_the_mount_and_shows_at_once() {
    let mut mount = Mount::of(&["pack/one.wav", "pack/two.wav", "pack/three.wav"]);
    mount.save_rules("layout: flat\ntarget_labels: all\n").unwrap();
    let run = |arguments: &[&str]| about(&mount.archive, &mount.store, arguments);
    let output = run(&["pack/one.wav", "Cuica", "--note", "squeaks"]);
    assert!(output.status.success(), "{output:?}");
    assert!(mount.path("Cuica/one.wav").exists());
    // A file of the mount is as good as one of the archive, and says which archive is meant.
    let shown = mount.path("Cuica/one.wav");
    let output = drumfs().args(["override", shown.to_str().unwrap(), "Clap"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(mount.path("Clap/one.wav").exists() && !shown.exists());
    let output = drumfs().args(["override", "list"]).arg(&mount.at).output().unwrap();
    assert_eq!(text(&output.stdout), "Clap  pack/one.wav\n", "{output:?}");
    let output = drumfs().args(["override", "undo"]).current_dir(&mount.archive).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(mount.path("Cuica/one.wav").exists());
    let history = text(&run(&["history"]).stdout);
    assert!(history.lines().last().unwrap().contains("Cuica (before: Clap), an undo  # squeaks"), "{history}");
    let output = run(&["pack/two.wav", "Cuicaa"]);
    assert!(!output.status.success() && text(&output.stderr).contains("did you mean `Cuica`"), "{output:?}");
    // By a path that it was opened by and has no longer, too.
    fs::read(&shown).unwrap();
    assert!(run(&["pack/one.wav", "Clap"]).status.success());
    let output = drumfs().args(["override", shown.to_str().unwrap(), "Cowbell"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // It is kept like everything that was said.
    mount.kill9();
    mount.mount_again();
    assert_eq!(mount.names("Cowbell"), ["one.wav"]);
}

#[test]
fn the_archive_is_found_by_where_one_is() {
    let place = Place::with_sounds(3);
    let state = place.path().join("state");
    let drumfs = |arguments: &[&str], folder: PathBuf| {
        let mut command = drumfs();
        command.args(arguments).env("XDG_STATE_HOME", &state).current_dir(folder).output().unwrap()
    };
    let archive = place.archive();
    assert_eq!(drumfs(&["index", "archive"], place.path().to_owned()).status.code(), Some(0));
    let output = drumfs(&["override", "00000.wav", "Kick"], archive.join("pack 0"));
    assert_eq!(text(&output.stdout), "pack 0/00000.wav: Kick\n", "{output:?}");
    // By the file, from anywhere; and by the only archive there is.
    let file = archive.join("pack 1/00001.wav");
    assert!(drumfs(&["override", file.to_str().unwrap(), "Tom"], "/".into()).status.success());
    assert_eq!(text(&drumfs(&["override", "list"], "/".into()).stdout).lines().count(), 2);
    fs::create_dir(place.path().join("other")).unwrap();
    fs::write(place.path().join("other/x.wav"), crate::support::wav(77)).unwrap();
    assert_eq!(drumfs(&["index", "other"], place.path().to_owned()).status.code(), Some(0));
    // With two of them, where one is says which.
    let output = drumfs(&["override", "list"], archive);
    assert_eq!(text(&output.stdout).lines().count(), 2, "{output:?}");
}

#[test]
fn a_name_that_would_move_the_cursor_of_a_terminal_is_told_on_one_line_without_doing_so() {
    let place = Place::new();
    let name = "red\x1b[31m\nand \u{202e}vaw.wav";
    place.put(name, &crate::support::wav(1));
    place.index(&[]);
    let shown = "red\u{fffd}[31m\u{fffd}and \u{fffd}vaw.wav";
    assert_eq!(done(&place, &[name, "Kick", "--note", "a\nb"]), format!("{shown}: Kick\n"));
    assert_eq!(done(&place, &["list"]), format!("Kick  {shown}  # a\u{fffd}b\n"));
    assert!(done(&place, &["history"]).trim_end().ends_with(&format!("{shown}: Kick  # a\u{fffd}b")));
    let listed: Value = serde_json::from_str(&done(&place, &["list", "--json"])).unwrap();
    assert_eq!((&listed[0]["path"], &listed[0]["note"]), (&name.into(), &"a\nb".into()), "programs get it as it is");
    assert_eq!(done(&place, &["undo"]).lines().count(), 1);
}
