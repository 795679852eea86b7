//! `drumfs stats`.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::mount::Mount;
use crate::support::{Place, drumfs};

fn stats(archive: &std::path::Path, store: &std::path::Path, more: &[&str]) -> Output {
    drumfs().arg("stats").arg(archive).arg("--store").arg(store).args(more).output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_the_mount_says_stats_says_from_the_mount_and_from_the_store() {
    let mut mount = Mount::of_test_archive();
    fs::write(mount.rules(), "duplicates: hide\nroutes: [{name: '*808*', to: Eights}, {name: '*tom*', hide: true}]\n")
        .unwrap();
    let shown: Value = serde_json::from_slice(&fs::read(mount.path("_stats.json")).unwrap()).unwrap();
    let mounted = json(&stats(&mount.archive, &mount.store, &["--json"]));
    mount.end();
    let stored = json(&stats(&mount.archive, &mount.store, &["--json"]));
    for (key, value) in shown.as_object().unwrap() {
        assert_eq!(&mounted[key], value, "{key}");
    }
    assert!(shown["hidden"].as_u64() > Some(2), "{shown}");
    // Probabilities may change their last digit on their way through JSON, and the sums with them.
    for key in shown
        .as_object()
        .unwrap()
        .keys()
        .chain(["errors", "duplicated", "codecs", "canonical_labels"].map(String::from).iter())
    {
        assert_eq!(mounted[key], stored[key], "{key}");
    }
}

#[test]
fn what_is_in_the_archive_is_counted() {
    let place = Place::with_real_sounds();
    place.index(&[]);
    let stats = json(&stats(&place.archive(), &place.store(), &["--json"]));
    let number = |value: &Value| value.as_u64().unwrap();
    let sum = |value: &Value| value.as_object().unwrap().values().map(number).sum::<u64>();
    assert_eq!(number(&stats["samples"]), number(&stats["classified"]) + number(&stats["failed"]));
    assert_eq!(sum(&stats["canonical_labels"]), number(&stats["classified"]));
    assert_eq!(sum(&stats["fine_labels"]), number(&stats["classified"]));
    assert_eq!(sum(&stats["folders"]), number(&stats["samples"]) - number(&stats["hidden"]));
    let histogram: u64 = stats["confidence_histogram"].as_array().unwrap().iter().map(number).sum();
    assert_eq!(histogram, number(&stats["classified"]));
    let durations: u64 = stats["duration_histogram"].as_array().unwrap().iter().map(|bin| number(&bin["count"])).sum();
    assert_eq!(durations, number(&stats["duration"]["count"]));
    assert_eq!(durations, sum(&stats["codecs"]));
    let failed: u64 = stats["errors"].as_array().unwrap().iter().map(|kind| number(&kind["count"])).sum();
    assert_eq!(failed, number(&stats["failed"]));
    // Two sounds of tests/archive stand there twice.
    assert_eq!((number(&stats["duplicates"]), number(&stats["duplicated"]["contents"])), (2, 2));
    assert_eq!(number(&stats["duplicated"]["samples"]), 4);
    assert_eq!(number(&stats["packs"]), fs::read_dir(place.archive()).unwrap().count() as u64 - 1, "__MACOSX is none");
}

#[test]
fn the_terminal_view_is_as_wide_as_it_should_be_and_plain_where_nobody_looks() {
    let place = Place::with_real_sounds();
    place.index(&[]);
    let text = |columns: &str| {
        let mut command: Command = drumfs();
        command.arg("stats").arg(place.archive()).arg("--store").arg(place.store());
        let output = command.env("COLUMNS", columns).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for columns in [60usize, 100] {
        let text = text(&columns.to_string());
        assert!(text.contains("Kick") && text.contains('█') && !text.contains('\x1b'), "{text}");
        let widest = text.lines().filter(|line| line.contains('█')).map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= columns, "{columns}: {text}");
    }
}

#[test]
fn the_page_needs_nothing_beside_it_and_an_archive_without_samples_has_one() {
    let place = Place::with_real_sounds();
    place.put("<b>pack</b>/bad & broken.wav", b"RIFF");
    place.index(&[]);
    let page = place.path().join("stats.html");
    let output = stats(&place.archive(), &place.store(), &["--html", page.to_str().unwrap()]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let html = fs::read_to_string(&page).unwrap();
    for word in ["<script", "http:", "https:", "src=", "href=", "<b>pack"] {
        assert!(!html.contains(word), "{word}");
    }
    assert!(html.contains("<svg") && html.contains("&lt;b&gt;pack") && html.contains("prefers-color-scheme:dark"));

    let empty = Place::new();
    empty.index(&[]);
    let output = stats(&empty.archive(), &empty.store(), &["--html", page.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read_to_string(&page).unwrap().contains("nothing is classified yet"));
    let numbers = json(&stats(&empty.archive(), &empty.store(), &["--json"]));
    assert_eq!((&numbers["samples"], &numbers["confidence"]), (&0.into(), &Value::Null));
    assert!(stats(&empty.archive(), &empty.store(), &[]).status.success());
}

#[test]
fn an_archive_nobody_listened_to_is_told_what_to_do() {
    let place = Place::with_sounds(1);
    let output = stats(&place.archive(), &place.store(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("drumfs index"), "{output:?}");
}

#[test]
fn an_index_is_counted_as_it_stands_whoever_wrote_it() {
    let mut mount = Mount::of_test_archive();
    let index = mount.dir.path().join("index.jsonl");
    fs::copy(mount.path("_control/index.jsonl"), &index).unwrap();
    let known = json(&stats(&mount.archive, &mount.store, &["--json"]));
    mount.end();
    let of_index = |path: &std::path::Path| drumfs().args(["stats", "--json", "--index"]).arg(path).output().unwrap();
    let counted = json(&of_index(&index));
    for key in [
        "samples",
        "failed",
        "hidden",
        "duplicates",
        "reasons",
        "statuses",
        "fine_labels",
        "bytes",
        "seconds",
        "classified",
        "errors",
        "duplicated",
        "codecs",
        "sample_rates",
        "packs",
        "duration_histogram",
    ] {
        assert_eq!(counted[key], known[key], "{key}");
    }
    // An index does not speak of folders that are empty.
    for (folder, count) in counted["folders"].as_object().unwrap() {
        assert_eq!(&known["folders"][folder], count, "{folder}");
    }
    // A line that is none costs itself alone, and is told.
    let mut text = fs::read(&index).unwrap();
    text.extend_from_slice(b"{\"relative_path\": 7}\nno line\n");
    fs::write(&index, text).unwrap();
    let output = of_index(&index);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["samples"], known["samples"]);

    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exchange/golden/old.jsonl");
    let old: Value = serde_json::from_slice(&of_index(&golden).stdout).unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    assert!(number(&old["samples"]) >= 8 && number(&old["classified"]) >= 3, "{old}");
    assert!(old["folders"]["Kick"].as_u64() >= Some(1) && old["confidence"]["max"].as_f64() > Some(0.5), "{old}");
}

#[test]
fn nothing_is_written_into_an_archive_that_is_mounted() {
    let mut mount = Mount::of(&["a/kick.wav"]);
    let into = mount.archive.join("x.jsonl");
    let other = mount.dir.path().join("all.jsonl");
    for (out, conflicts) in [(&into, &other), (&other, &into)] {
        let mut aggregate = drumfs();
        aggregate.arg("aggregate").arg(&mount.archive).arg("-o").arg(out).arg("--conflicts").arg(conflicts);
        let output = aggregate.arg("--store").arg(&mount.store).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("never written"), "{output:?}");
    }
    let output = stats(&mount.archive, &mount.store, &["--html", into.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    mount.end();
    assert_eq!(fs::read_dir(&mount.archive).unwrap().count(), 1);
}

#[test]
fn a_store_that_may_not_be_looked_at_is_not_taken_for_one_that_is_missing() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::with_sounds(1);
    place.index(&[]);
    let mode = |mode| fs::set_permissions(place.store(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    let mut command = crate::common::tools::bound(env!("CARGO_BIN_EXE_drumfs"));
    command.arg("stats").arg(place.archive()).arg("--store").arg(place.store());
    let output = command.output().unwrap();
    mode(0o700);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("Permission denied") && !told.contains("drumfs index"), "{told}");
}
