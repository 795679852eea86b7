//! `drumfs rebuild` itself: what it takes, refuses and prints, and that its tree is what the mount shows.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::place::{Place, files};
use crate::common::mount::{DRUMFS, Mount};

/// Runs `drumfs rebuild --index … --out …` with these as well.
pub fn rebuild_index(place: &Place, more: &[&str]) -> Output {
    let mut command = Command::new(DRUMFS);
    command.arg("rebuild").args(more).arg("--index").arg(place.index()).arg("--out").arg(place.out());
    command.env("XDG_DATA_HOME", place.path().join("data")).output().unwrap()
}

/// The same; the index is there as the test left it.
pub fn rebuild(place: &Place, more: &[&str]) -> Output {
    rebuild_index(place, more)
}

/// Runs `drumfs rebuild --undo`.
pub fn undo(place: &Place, more: &[&str]) -> Output {
    Command::new(DRUMFS).args(["rebuild", "--undo", "--out"]).arg(place.out()).args(more).output().unwrap()
}

/// Everything it printed.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn place() -> Place {
    let place = Place::of(&[("a/k.wav", "Kick"), ("a/s.wav", "Snare"), ("b/t.wav", "Tom")]);
    place.write_index();
    place
}

#[test]
fn the_summary_is_json_where_it_is_asked_for_and_a_second_run_says_that_there_is_nothing_to_do() {
    let place = place();
    let json = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).unwrap();
    let first = json(&rebuild(&place, &["--link", "copy", "--json"]));
    assert_eq!((&first["put"], &first["link"], &first["unchanged"]), (&3.into(), &"copy".into(), &false.into()));
    assert_eq!(first["out"], place.out().to_str().unwrap());
    let second = rebuild(&place, &["--link", "copy"]);
    assert!(said(&second).contains("nothing to do: all 3 samples are in "), "{}", said(&second));
    let third = json(&rebuild(&place, &["--link", "copy", "--json"]));
    assert_eq!((&third["put"], &third["kept"], &third["unchanged"]), (&0.into(), &3.into(), &true.into()));
    let gone = json(&undo(&place, &["--json", "--dry-run"]));
    assert_eq!((&gone["removed"], &gone["dry_run"]), (&3.into(), &true.into()));
    assert_eq!(place.tree().len(), 3);
    assert_eq!(json(&undo(&place, &["--json"]))["removed"], 3);
    assert!(!place.out().exists());
    let nothing = undo(&place, &[]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(said(&nothing).contains("drumfs has put nothing into"), "{}", said(&nothing));
}

#[test]
fn what_could_not_be_put_ends_it_with_3_and_is_named() {
    let place = place();
    fs::remove_file(place.archive().join("a/s.wav")).unwrap();
    let output = rebuild(&place, &["--link", "symlink"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("Snare/a/s.wav: No such file"), "{}", said(&output));
    let json: Value = serde_json::from_slice(&rebuild(&place, &["--link", "symlink", "--json"]).stdout).unwrap();
    assert_eq!(json["problems"]["missing"], 1);
    assert!(Path::new(json["errors"].as_str().unwrap()).exists());
}

#[test]
fn the_old_flags_mean_what_they_meant() {
    let here = place();
    let done = rebuild(&here, &["--copy-mode", "symlink", "--labels", "Kick,Tom"]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert!(here.out().join("Kick/a/k.wav").is_symlink());
    let tree: Vec<String> = here.tree().into_keys().collect();
    assert_eq!(tree, ["Kick/a/k.wav", "Tom/b/t.wav", "misc/a/s.wav"]);
    assert!(!here.out().join("Snare").exists() && !here.out().join("_manifests/Snare.txt").exists());
    let done = rebuild(&here, &["--copy-mode", "hardlink", "--labels", "Kick,Tom", "--allow-all"]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_eq!(here.tree(), here.of_view());
    let wrong = rebuild(&here, &["--labels", "Kik"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(said(&wrong).contains("did you mean `Kick`?"), "{}", said(&wrong));
    let wrong = rebuild(&here, &["--link", "magic"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said(&wrong).contains("expected symlink, hard, reflink or copy"), "{}", said(&wrong));
}

#[test]
fn a_tree_in_the_archive_or_around_it_is_refused_and_nothing_is_written() {
    let place = place();
    let before = crate::common::snapshot::snapshot(&place.path());
    for out in [place.archive(), place.archive().join("tree"), place.path(), place.archive().join("../archive/x")] {
        let mut command = Command::new(DRUMFS);
        let output = command.args(["rebuild", "--index"]).arg(place.index()).arg("--out").arg(&out).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", out.display());
        assert!(said(&output).contains("archive"), "{}", said(&output));
    }
    assert_eq!(crate::common::snapshot::snapshot(&place.path()), before);
}

/// Every file of a mount's class folders with its bytes, and the lists it makes.
fn of_mount(at: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for path in crate::common::snapshot::files_below(at) {
        let relative = path.strip_prefix(at).unwrap();
        let top = relative.iter().next().unwrap().as_bytes();
        let own = [&b"_rebuild_summary.json"[..], b"_rebuild_log.jsonl", b"_rebuild_errors.jsonl"];
        if [&b"_control"[..], b"_by-id", b"_uncertain"].contains(&top) || own.contains(&top) {
            continue;
        }
        all.insert(relative.to_string_lossy().into_owned(), fs::read(&path).unwrap());
    }
    all
}

#[test]
fn the_tree_of_a_mounted_archive_is_what_the_mount_shows() {
    let mut mount = Mount::of_test_archive();
    let out = mount.dir.path().canonicalize().unwrap().join("tree");
    let rebuild = |mount: &Mount, out: &Path, more: &[&str]| {
        let mut command = Command::new(DRUMFS);
        command.arg("rebuild").arg(&mount.archive).arg("--store").arg(&mount.store).arg("--out").arg(out).args(more);
        command.env("XDG_DATA_HOME", mount.data()).output().unwrap()
    };
    for rules in ["duplicates: hide\n", "layout: flat\ntarget_labels: all\n", "layout: by-pack\n"] {
        mount.save_rules(rules).unwrap();
        let done = rebuild(&mount, &out, &["--link", "copy"]);
        assert_eq!(done.status.code(), Some(0), "{}", said(&done));
        assert_eq!(of_mount(&out), of_mount(&mount.at), "{rules}");
    }
    // In a mount, or around one.
    for inside in [mount.at.join("Kick/tree"), mount.at.clone(), mount.dir.path().to_owned()] {
        let refused = rebuild(&mount, &inside, &[]);
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains("mount"), "{}", said(&refused));
    }
    let shown = of_mount(&mount.at);
    assert!(mount.end().success());
    // The same from the store, and the same again.
    let other = out.with_file_name("other");
    for _ in 0..2 {
        let done = rebuild(&mount, &other, &["--link", "hard"]);
        assert_eq!(done.status.code(), Some(0), "{}", said(&done));
        assert_eq!(of_mount(&other), shown);
    }
    // What a file says and the rules in force are no concern of each other.
    let rules = out.with_file_name("mine.yml");
    fs::write(&rules, "target_labels: [Kick]\n").unwrap();
    let done = rebuild(&mount, &other, &["--rules", rules.to_str().unwrap(), "--layout", "flat", "--link", "symlink"]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let tops: std::collections::BTreeSet<_> =
        files(&other).into_keys().filter_map(|path| Some(path.split_once('/')?.0.to_owned())).collect();
    assert_eq!(tops.into_iter().collect::<Vec<_>>(), ["Kick", "_manifests", "misc"]);
}

#[test]
fn new_files_have_the_permissions_that_the_shell_says_though_the_store_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let mount = Mount::of(&["a/kick.wav"]);
    let out = mount.dir.path().canonicalize().unwrap().join("tree");
    let script = "umask 027; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, DRUMFS, "rebuild"]).arg(&mount.archive).arg("--store").arg(&mount.store);
    let done = command.arg("--out").arg(&out).env("XDG_DATA_HOME", mount.data()).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let mode = |path: &str| fs::metadata(out.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("misc"), mode("_stats.json"), mode("_rebuild_log.jsonl")), (0o750, 0o640, 0o640));
}
