//! An index goes into the store without an original being opened: the older pipeline's, and drumfs's own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::place::{few, golden, json, record_of, records, run, run_to};
use crate::support::Place;

fn import_old(place: &Place) -> serde_json::Value {
    json(place, &["import", "archive", golden("old.jsonl").to_str().unwrap(), "--json"])
}

#[test]
fn labels_of_the_older_pipeline_show_at_once_and_no_original_is_opened() {
    let place = few();
    for path in ["Akai/Layered/BD_019.wav", "TR-808/CP.WAV"] {
        fs::set_permissions(place.archive().join(path), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let said = import_old(&place);
    assert_eq!(said["labelled"], 4, "{said}");
    assert_eq!((&said["duplicates"], &said["failed"], &said["no_hash"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!((&said["absent"], &said["other_algorithm"]), (&3.into(), &"md5".into()));
    run_to(&place, 0, &["export", "archive", "-o", "now.jsonl"]);
    let now = records(&place, "now.jsonl");
    let kick = record_of(&now, "Akai/Layered/BD_019.wav");
    assert_eq!((kick.assigned_label.as_deref(), kick.label_top1.as_deref()), (Some("Kick"), Some("Kick")));
    assert!((kick.conf_top1.unwrap() - 0.90625).abs() < 1e-5);
    assert_eq!(kick.model.as_deref(), Some("imported:older-pipeline"));
    assert_eq!(kick.features, None, "nobody knows what its input was");
    assert_eq!(kick.sample.hash.unwrap().algorithm().name(), "md5");
    // The twin has the label of its content, though the older pipeline passed it over.
    assert_eq!(record_of(&now, "Copies/kick.wav").label_top1.as_deref(), Some("Kick"));
    assert_eq!(record_of(&now, "Akai/Layered/RM_01.wav").assigned_label.as_deref(), Some("Snare"));
    let click = record_of(&now, "_unsorted/click.wav");
    assert_eq!(click.sample.error.as_deref(), Some("too_short"));
    // Importing it again changes nothing.
    let again = import_old(&place);
    assert_eq!((&again["same"], &again["labelled"], &again["failed"]), (&6.into(), &0.into(), &0.into()), "{again}");
    run_to(&place, 0, &["export", "archive", "-o", "again.jsonl"]);
    assert_eq!(records(&place, "again.jsonl"), now);
}

#[test]
fn a_pass_hears_what_was_imported_and_its_own_word_counts_from_then_on() {
    let (place, fresh) = (few(), few());
    import_old(&place);
    for place in [&place, &fresh] {
        place.index(&[]);
        run_to(place, 0, &["export", "archive", "-o", "heard.jsonl"]);
    }
    let heard = |place: &Place| -> BTreeMap<Vec<u8>, _> {
        let records = records(place, "heard.jsonl").into_iter();
        records.map(|r| (r.sample.path.to_vec(), (r.sample.hash, r.sample.probs, r.assigned_label, r.model))).collect()
    };
    assert_eq!(heard(&place), heard(&fresh));
    // What is known better is not imported over it.
    let said = import_old(&place);
    assert_eq!((&said["labelled"], &said["known"]), (&0.into(), &7.into()), "{said}");
}

#[test]
fn with_the_hash_of_the_index_a_pass_keeps_the_names_of_contents() {
    let place = few();
    fs::write(place.path().join("config.yml"), "hash_algorithm: md5\n").unwrap();
    let index = golden("old.jsonl");
    let import = ["--config", "config.yml", "import", "archive", index.to_str().unwrap(), "--json"];
    assert_eq!(json(&place, &import)["other_algorithm"], serde_json::Value::Null);
    run_to(&place, 0, &["--config", "config.yml", "override", "archive/TR-808/CP.WAV", "Tom", "--archive", "archive"]);
    let config = place.path().join("config.yml");
    place.index(&["--config", config.to_str().unwrap()]);
    run_to(&place, 0, &["--config", "config.yml", "export", "archive", "-o", "now.jsonl"]);
    let now = records(&place, "now.jsonl");
    let clap = record_of(&now, "TR-808/CP.WAV");
    assert_eq!((clap.assigned_label.as_deref(), clap.is_said()), (Some("Tom"), true));
    assert!(clap.model.as_deref().is_some_and(|model| !model.starts_with("imported:")));
}

#[test]
fn what_was_said_of_an_old_hash_is_said_of_the_new_one_when_a_pass_names_contents_anew() {
    let place = few();
    import_old(&place);
    let by_old_name = |path: &str, label: &str| {
        run_to(&place, 0, &["export", "archive", "-o", "now.jsonl"]);
        let hash = record_of(&records(&place, "now.jsonl"), path).sample.hash.unwrap();
        assert_eq!(hash.algorithm().name(), "md5");
        run_to(&place, 0, &["override", &hash.to_hex(), label, "--note", "by ear", "--archive", "archive"]);
    };
    by_old_name("TR-808/CP.WAV", "Tom");
    // Two files with one content.
    by_old_name("Copies/kick.wav", "Snare");
    place.index(&[]);
    let said = |when: &str| {
        run_to(&place, 0, &["export", "archive", "-o", "now.jsonl"]);
        let now = records(&place, "now.jsonl");
        for (path, label) in
            [("TR-808/CP.WAV", "Tom"), ("Copies/kick.wav", "Snare"), ("Akai/Layered/BD_019.wav", "Snare")]
        {
            let record = record_of(&now, path);
            assert_eq!(record.sample.hash.unwrap().algorithm().name(), "xxh3", "{when}");
            assert_eq!((record.assigned_label.as_deref(), record.is_said()), (Some(label), true), "{path} {when}");
        }
    };
    said("after the pass");
    let listed = json(&place, &["override", "list", "--archive", "archive", "--json"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "the old names are gone: {listed}");
    assert!(listed.to_string().contains("by ear"), "{listed}");
    // All of it is in the journal: a database that is lost gets it from there.
    fs::remove_dir_all(place.store().join("db")).unwrap();
    place.index(&[]);
    said("from the journal");
}

#[test]
fn what_the_same_model_heard_elsewhere_is_not_heard_again() {
    let (here, there) = (Place::with_real_sounds(), Place::new());
    here.index(&[]);
    run_to(&here, 0, &["export", "archive", "-o", "index.jsonl"]);
    // The same archive on another machine: the same paths, sizes and times.
    let mut copy = std::process::Command::new("cp");
    assert!(copy.arg("-a").arg(here.archive().join(".")).arg(there.archive()).status().unwrap().success());
    let index = here.path().join("index.jsonl");
    let said = json(&there, &["import", "archive", index.to_str().unwrap(), "--json"]);
    assert_eq!(said["labelled"], 0, "{said}");
    let pass = json_of(&there);
    assert_eq!(
        pass["heard"],
        said["records"].as_u64().unwrap() - said["heard"].as_u64().unwrap() - said["failed"].as_u64().unwrap()
    );
    run_to(&there, 0, &["export", "archive", "-o", "index.jsonl"]);
    let (one, other) = (records(&here, "index.jsonl"), records(&there, "index.jsonl"));
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(
            (&one.sample.path, one.sample.hash, one.sample.status),
            (&other.sample.path, other.sample.hash, other.sample.status)
        );
        assert_eq!(
            (&one.assigned_label, &one.assigned_reason, &one.model),
            (&other.assigned_label, &other.assigned_reason, &other.model)
        );
        assert_eq!(one.sample.attributes, other.sample.attributes);
        for (a, b) in one.sample.probs.iter().zip(&other.sample.probs) {
            assert!((a - b).abs() < 1e-5, "{a} became {b}");
        }
    }
}

fn json_of(place: &Place) -> serde_json::Value {
    let output = run(place, &["index", "archive", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn files_that_are_gone_changed_or_outside_are_passed_over() {
    let place = Place::with_sounds(2);
    let size = fs::metadata(place.archive().join("pack 0/00000.wav")).unwrap().len();
    let line = |path: &str, size: u64| {
        format!(
            "{{\"relative_path\": \"{path}\", \"size\": {size}, \"mtime\": 1.5, \"hash\": \"{:032x}\", \
             \"label_top1\": \"Kick\", \"conf_top1\": 0.75}}\n",
            path.len()
        )
    };
    let text = [
        line("pack 0/00000.wav", size),
        line("pack 1/00001.wav", size + 1),
        line("gone.wav", 1),
        line("../archive/pack 0/00000.wav", size),
        line("/etc/passwd", 1),
        line("pack 0", 1),
    ];
    fs::write(place.path().join("index.jsonl"), text.concat() + "{}\n").unwrap();
    let output = run(&place, &["import", "archive", "index.jsonl", "--json"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["labelled"], &said["changed"], &said["absent"]), (&1.into(), &1.into(), &4.into()), "{said}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("index.jsonl:7:"));
    run_to(&place, 0, &["export", "archive", "-o", "now.jsonl"]);
    let now = records(&place, "now.jsonl");
    assert_eq!((now.len(), now[0].label()), (1, Some("Kick")));
    assert!((now[0].conf_top1.unwrap() - 0.75).abs() < 1e-5, "the rest is divided among the others");
}

#[test]
fn labels_without_a_meaning_ask_for_a_label_map() {
    let place = Place::with_sounds(1);
    let size = fs::metadata(place.archive().join("pack 0/00000.wav")).unwrap().len();
    let text = format!(
        "{{\"relative_path\": \"pack 0/00000.wav\", \"size\": {size}, \"mtime\": 1, \"hash\": \"{:032x}\", \"probs\": \
         [0.25, 0.75], \"label_top1\": \"class_1\", \"conf_top1\": 0.75, \"topk\": [[\"class_1\", 0.75], [\"class_0\", \
         0.25]]}}",
        7
    );
    fs::write(place.path().join("index.jsonl"), text).unwrap();
    let refused = run(&place, &["import", "archive", "index.jsonl"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("class_1"), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--label-map"), "{refused:?}");
    fs::write(place.path().join("labels.json"), "[\"Snare\", \"Kick\"]").unwrap();
    let said = json(&place, &["import", "archive", "index.jsonl", "--label-map", "labels.json", "--json"]);
    assert_eq!(said["labelled"], 1);
    run_to(&place, 0, &["export", "archive", "-o", "now.jsonl"]);
    assert_eq!(records(&place, "now.jsonl")[0].assigned_label.as_deref(), Some("Kick"));
}

#[test]
fn seen_hashes_are_compared_with_what_is_known() {
    let place = few();
    import_old(&place);
    let known = records_hash(&place);
    fs::write(place.path().join("seen_hashes.txt"), format!("{known}\n{:032x}\n\nnone\n", 1)).unwrap();
    let output = run(&place, &["import", "archive", "seen_hashes.txt", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["hashes"], &said["here"], &said["heard"]), (&3.into(), &1.into(), &1.into()), "{said}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("seen_hashes.txt:4"), "{output:?}");
}

fn records_hash(place: &Place) -> String {
    run_to(place, 0, &["export", "archive", "-o", "now.jsonl"]);
    record_of(&records(place, "now.jsonl"), "Akai/Layered/BD_019.wav").sample.hash.unwrap().to_hex()
}

#[test]
fn a_dry_run_changes_nothing() {
    let place = few();
    let index = golden("old.jsonl");
    let said = json(&place, &["import", "archive", index.to_str().unwrap(), "--dry-run", "--json"]);
    assert_eq!(said["labelled"], 4);
    run_to(&place, 0, &["export", "archive", "-o", "now.jsonl"]);
    assert!(records(&place, "now.jsonl").is_empty());
}

#[test]
fn an_index_that_is_imported_again_is_told_to_change_nothing_and_the_later_of_two_lines_still_counts() {
    let place = few();
    let first = import_old(&place);
    let taken: u64 = ["labelled", "duplicates", "failed"].iter().map(|key| first[*key].as_u64().unwrap()).sum();
    assert!(taken > 3 && first["same"] == 0, "{first}");
    let again = import_old(&place);
    assert_eq!(again["same"], taken, "{again}");
    assert_eq!((&again["labelled"], &again["duplicates"], &again["failed"]), (&0.into(), &0.into(), &0.into()));
    let told = run_to(&place, 0, &["import", "archive", golden("old.jsonl").to_str().unwrap()]);
    assert!(told.contains(&format!(": 0 of {} records taken over", again["records"])), "{told}");
    // Two lines of one content: what is kept of the second does not let the first come after it.
    let line = |label: &str| {
        let size = fs::metadata(place.archive().join("TR-808/CH.WAV")).unwrap().len();
        serde_json::json!({"relative_path": "TR-808/CH.WAV", "size": size, "mtime": 1.0,
            "hash": "0123456789abcdef0123456789abcdef", "topk": [[label, 0.9]], "label_top1": label, "conf_top1": 0.9})
        .to_string()
            + "\n"
    };
    fs::write(place.path().join("two.jsonl"), line("Tom") + &line("Ride")).unwrap();
    for _ in 0..2 {
        run_to(&place, 0, &["import", "archive", "two.jsonl"]);
        run_to(&place, 0, &["export", "archive", "-o", "all.jsonl"]);
        assert_eq!(record_of(&records(&place, "all.jsonl"), "TR-808/CH.WAV").label_top1.as_deref(), Some("Ride"));
    }
}

#[test]
fn a_run_without_hashes_is_not_lost() {
    let place = few();
    // As the older pipeline writes a record where `dedup_hash` is false.
    let size = fs::metadata(place.archive().join("TR-808/CH.WAV")).unwrap().len();
    let record = serde_json::json!({"relative_path": "TR-808/CH.WAV", "abs_path": "../archive/TR-808/CH.WAV", "size": size,
        "mtime": 1.0, "label_top1": "Ride", "conf_top1": 0.9, "topk": [["Ride", 0.9]], "assigned_label": "Ride",
        "assigned_reason": "top1", "errors": null});
    fs::write(place.path().join("index.jsonl"), record.to_string() + "\n").unwrap();
    let output = run(&place, &["import", "archive", "index.jsonl"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--hash-originals"), "{output:?}");
    let said = json(&place, &["import", "archive", "index.jsonl", "--hash-originals", "--json"]);
    assert_eq!((&said["labelled"], &said["no_hash"]), (&1.into(), &0.into()), "{said}");
    run_to(&place, 0, &["export", "archive", "-o", "now.jsonl"]);
    assert_eq!(record_of(&records(&place, "now.jsonl"), "TR-808/CH.WAV").label_top1.as_deref(), Some("Ride"));
    let again = json(&place, &["import", "archive", "index.jsonl", "--hash-originals", "--json"]);
    assert_eq!(again["same"], 1, "{again}");
    fs::write(place.archive().join("TR-808/CH.WAV"), "another length").unwrap();
    let changed = json(&place, &["import", "archive", "index.jsonl", "--hash-originals", "--json"]);
    assert_eq!(changed["changed"], 1, "{changed}");
}

#[test]
fn an_index_that_another_program_has_rewritten_still_counts_as_heard() {
    let (place, there) = (few(), Place::new());
    place.index(&[]);
    run_to(&place, 0, &["export", "archive", "-o", "index.jsonl"]);
    let text = fs::read_to_string(place.path().join("index.jsonl")).unwrap();
    // Every number goes through 64 bits, as in Python, jq and JavaScript.
    let rewritten: String =
        text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap().to_string() + "\n").collect();
    let mtimes = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split("\"mtime\":").nth(1).unwrap().split(',').next().unwrap().to_owned())
            .collect()
    };
    assert_ne!(mtimes(&text), mtimes(&rewritten), "times are told to the nanosecond");
    fs::write(there.path().join("index.jsonl"), rewritten).unwrap();
    let archive = place.archive();
    let said = json(&there, &["import", archive.to_str().unwrap(), "index.jsonl", "--json"]);
    assert_eq!((&said["heard"], &said["changed"]), (&6.into(), &0.into()), "{said}");
    let index = crate::support::index_command(&archive, &there.store(), &[]).output().unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index.stdout).unwrap();
    assert_eq!((&index["heard"], &index["unchanged"]), (&0.into(), &7.into()), "{index}");
}
