//! `drumfs override import` and `export`: files of overrides, old ones too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use drumfs::archive::{ContentHash, HashAlgorithm};
use serde_json::{Value, json};

use crate::common::mount::Mount;
use crate::saying::{about, done, overrides, run};
use crate::support::{Place, wav};

fn place() -> Place {
    let place = Place::with_sounds(6);
    place.index(&[]);
    place
}

fn md5(seed: u32) -> String {
    ContentHash::of(HashAlgorithm::Md5, &wav(seed)).to_hex()
}

/// A file of an older pipeline: MD5 and no path.
fn old_file(at: &Path) {
    let lines = [
        json!({"hash": md5(0), "correct_label": "Snare", "note": "rim shot misclassified"}),
        json!({"hash": md5(1), "correct_label": "misc", "note": "non-drum sound"}),
        json!({"hash": md5(0), "correct_label": "Rim"}),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(at, text).unwrap();
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn expected() -> BTreeMap<String, String> {
    let said = [("pack 0/00000.wav", "Rim"), ("pack 1/00001.wav", "misc")];
    said.map(|(path, label)| (path.to_owned(), label.to_owned())).into()
}

#[test]
fn an_old_file_says_how_its_hashes_can_be_found_and_is_taken_over_by_reading_the_originals() {
    let place = place();
    let file = place.path().join("overrides.jsonl");
    old_file(&file);
    let file = file.to_str().unwrap();
    let output = run(&place, &["import", file]);
    assert_eq!(output.status.code(), Some(1));
    let said = words(&output);
    assert!(said.contains("line 1: the hash is md5") && said.contains("--hash-originals"), "{said}");
    assert!(said.contains("3 of 3 lines can't be taken, so nothing was"), "{said}");
    assert_eq!(overrides(&place).len(), 0);
    let output = run(&place, &["import", file, "--hash-originals", "--dry-run"]);
    assert!(output.status.success() && overrides(&place).is_empty(), "{output:?}");
    let output = run(&place, &["import", file, "--hash-originals"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = words(&output);
    assert!(
        said.contains("line 3 says `Rim` of a content of which line 1 says `Snare`; the later one counts"),
        "{said}"
    );
    assert_eq!(overrides(&place), expected());
    // Again: nothing is said twice, and one undo takes all of it back.
    let output = run(&place, &["import", file, "--hash-originals"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("0 taken over, 2 said so already"), "{output:?}");
    assert_eq!(done(&place, &["undo"]).lines().count(), 2);
    assert_eq!(overrides(&place).len(), 0);
}

#[test]
fn an_old_index_or_a_lines_own_path_tells_what_an_old_hash_means() {
    let place = place();
    let (file, index) = (place.path().join("overrides.jsonl"), place.path().join("index.jsonl"));
    old_file(&file);
    let record = |seed: u32| {
        let path = format!("pack {}/{seed:05}.wav", seed % 3);
        let abs_path = format!("/Users/me/complete_drum_archive/{path}");
        let probs = vec![0.5, 0.5];
        json!({"relative_path": path, "abs_path": abs_path, "hash": md5(seed), "size": wav(seed).len(),
               "mtime": 1_730_723_456.123, "label_top1": "Kick", "conf_top1": 0.5, "topk": [["Kick", 0.5]],
               "probs": probs, "assigned_label": "Kick", "assigned_reason": "top1", "errors": null})
    };
    let text: String = (0..6).map(|seed| format!("{}\n", record(seed))).collect();
    fs::write(&index, text).unwrap();
    let output = run(&place, &["import", file.to_str().unwrap(), "--index", index.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(overrides(&place), expected());
    // By path; the bytes are looked at.
    let line = |seed: u32, path: &str| {
        format!("{}\n", json!({"hash": md5(seed), "relative_path": path, "correct_label": "Tom"}))
    };
    fs::write(&file, line(2, "pack 2/00002.wav") + &line(3, "pack 1/00004.wav")).unwrap();
    let output = run(&place, &["import", file.to_str().unwrap(), "--keep-going"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(words(&output).contains("line 2: `pack 1/00004.wav` has other bytes now"), "{output:?}");
    assert_eq!(overrides(&place)["pack 2/00002.wav"], "Tom");
    assert_eq!(overrides(&place).len(), 3);
}

#[test]
fn one_bad_line_is_named_and_nothing_is_taken_unless_that_is_wanted() {
    let place = place();
    let file = place.path().join("said.jsonl");
    let text = "{\"path\": \"pack 0/00000.wav\", \"label\": \"Kick\"}\nnot json\n\
                {\"path\": \"pack 0/00003.wav\", \"label\": \"Kik\"}\n{\"path\": \"no.wav\", \"label\": \"Kick\"}\n";
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let output = run(&place, &["import", file]);
    assert_eq!((output.status.code(), overrides(&place).len()), (Some(1), 0));
    for word in
        ["line 2: not a line", "line 3: unknown label `Kik`; did you mean `Kick`?", "line 4: no sample has the path"]
    {
        assert!(words(&output).contains(word), "{output:?}");
    }
    let output = run(&place, &["import", file, "--keep-going", "--json"]);
    assert_eq!((output.status.code(), overrides(&place).len()), (Some(3), 1));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["taken"], said["problems"].as_array().unwrap().len()), (&json!(1), 3));
    // What was said before is named, and stays where that is wanted.
    let other = place.path().join("other.jsonl");
    fs::write(&other, "{\"path\": \"pack 0/00000.wav\", \"label\": \"Tom\"}\n").unwrap();
    let other = other.to_str().unwrap();
    let output = run(&place, &["import", other, "--keep"]);
    assert!(
        words(&output).contains("line 1: pack 0/00000.wav: `Tom` here, `Kick` before; the latter stays"),
        "{output:?}"
    );
    assert_eq!(overrides(&place)["pack 0/00000.wav"], "Kick");
    assert!(run(&place, &["import", other]).status.success());
    assert_eq!(overrides(&place)["pack 0/00000.wav"], "Tom");
    assert_eq!(run(&place, &["import", "/no/such/file"]).status.code(), Some(1));
}

#[test]
fn what_is_exported_is_imported_again_elsewhere_in_both_forms() {
    let (here, there) = (place(), place());
    done(&here, &["pack 0/00000.wav", "Kick", "--note", "deep"]);
    done(&here, &["pack 1/00001.wav", "Cowbell"]);
    for form in [&[][..], &["--old-form"]] {
        let file = here.path().join("said.jsonl");
        let output = run(&here, &[&["export", file.to_str().unwrap()][..], form].concat());
        assert!(output.status.success(), "{output:?}");
        done(&there, &["import", file.to_str().unwrap()]);
        assert_eq!(overrides(&there), overrides(&here), "{form:?}");
        done(&there, &["undo"]);
        assert_eq!(overrides(&there).len(), 0);
    }
    let old = fs::read_to_string(here.path().join("said.jsonl")).unwrap();
    assert!(old.contains("\"correct_label\":\"Kick\",\"note\":\"deep\""), "{old}");
    let inside = here.archive().join("said.jsonl");
    let output = run(&here, &["export", inside.to_str().unwrap()]);
    assert!(!output.status.success() && words(&output).contains("never written") && !inside.exists(), "{output:?}");
}

#[test]
fn a_long_file_goes_through_a_mount_that_has_the_store() {
    let mount = Mount::of(&["pack/one.wav", "pack/two.wav"]);
    mount.save_rules("layout: flat\ntarget_labels: all\n").unwrap();
    // More than a control file holds, of contents that are not here.
    let line = |number: u32| {
        let hash = ContentHash::of(HashAlgorithm::Xxh3, &number.to_le_bytes());
        format!(
            "{}\n",
            json!({"hash": hash.to_hex(), "label": "Clap", "note": "a remark that makes the line long enough"})
        )
    };
    let mut text: String = (0..12_000).map(line).collect();
    text += "{\"path\": \"pack/one.wav\", \"label\": \"Cuica\"}\n";
    assert!(text.len() > 1 << 20);
    let file = mount.dir.path().join("said.jsonl");
    fs::write(&file, text).unwrap();
    let output = about(&mount.archive, &mount.store, &["import", file.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    assert!(words(&output).contains("12000 are of contents that are not in the archive"), "{output:?}");
    assert!(mount.path("Cuica/one.wav").exists());
    assert_eq!(mount.status()["overrides"], 12001);
    assert_eq!(mount.names("_control").len(), 5, "nothing is left beside the control files");
}
