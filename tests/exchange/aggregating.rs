//! Several runs become one catalogue, by content.

use std::fs;

use crate::place::{few, golden, json, record_of, records, run_to};
use crate::support::Place;

fn line(path: &str, hash: u32, label: Option<&str>, more: &str) -> String {
    let said = match label {
        Some(label) => format!(
            "\"label_top1\": \"{label}\", \"conf_top1\": 0.5, \"topk\": [[\"{label}\", 0.5]], \"probs\": [0.5, 0.5], \
             \"assigned_label\": \"{label}\", \"assigned_reason\": \"top1\", "
        ),
        None => "\"skipped_duplicate\": true, \"assigned_reason\": \"duplicate\", ".to_owned(),
    };
    format!(
        "{{\"relative_path\": \"{path}\", \"abs_path\": \"/a/{path}\", \"size\": 1, \"mtime\": 1.5, \"hash\": \
         \"{hash:032x}\", {said}\"errors\": null{more}}}\n"
    )
}

/// Two runs of the older pipeline, the later of which passed over what it had seen, and one of another model.
fn runs() -> Place {
    let place = Place::new();
    let put = |run: &str, text: String| {
        fs::create_dir(place.path().join(run)).unwrap();
        fs::write(place.path().join(run).join("index.jsonl"), text).unwrap();
    };
    put(
        "run_20250101_000000",
        line("a.wav", 1, Some("Kick"), "") + &line("b.wav", 2, Some("Tom"), "") + &line("e.wav", 5, Some("Rim"), ""),
    );
    put(
        "run_20250202_000000",
        line("a.wav", 1, None, "") + &line("c.wav", 1, None, "") + &line("b.wav", 2, Some("Ride"), ""),
    );
    let model = ", \"model\": \"m2\", \"status\": \"ok\"";
    put(
        "run_20240101_000000",
        line("d.wav", 2, Some("Snare"), model) + "{\"relative_path\": \"x.wav\", \"error\": \"bad\"}\n",
    );
    place
}

const RUNS: [&str; 3] =
    ["run_20250101_000000/index.jsonl", "run_20250202_000000/index.jsonl", "run_20240101_000000/index.jsonl"];

#[test]
fn the_newest_model_wins_each_content_and_conflicts_are_told_with_their_paths() {
    let place = runs();
    let said =
        json(&place, &["aggregate", RUNS[0], RUNS[1], RUNS[2], "-o", "all.jsonl", "--conflicts", "c.jsonl", "--json"]);
    assert_eq!((&said["records"], &said["files"], &said["contents"]), (&8.into(), &6.into(), &3.into()), "{said}");
    assert_eq!((&said["superseded"], &said["conflicts"]), (&2.into(), &1.into()), "{said}");
    let all = records(&place, "all.jsonl");
    // What was passed over as a duplicate has the word on its content.
    for path in ["a.wav", "c.wav"] {
        assert_eq!(record_of(&all, path).label(), Some("Kick"), "{path}");
    }
    // A model that says its name beats the older pipeline, and it has the word on every file of the content.
    for path in ["b.wav", "d.wav"] {
        assert_eq!(record_of(&all, path).label(), Some("Snare"), "{path}");
        assert_eq!(record_of(&all, path).abs_path.as_deref(), Some(format!("/a/{path}").as_bytes()));
    }
    assert_eq!(record_of(&all, "x.wav").sample.error.as_deref(), Some("bad"));
    let conflict: serde_json::Value = serde_json::from_slice(&fs::read(place.path().join("c.jsonl")).unwrap()).unwrap();
    let labels: Vec<_> = conflict["said"].as_array().unwrap().iter().map(|said| said["label"].clone()).collect();
    assert_eq!(labels, ["Snare", "Ride", "Tom"], "{conflict}");
    assert_eq!(conflict["said"][0]["path"], "/a/d.wav");
    let told = run_to(&place, 0, &["aggregate", RUNS[0], RUNS[1], RUNS[2], "-o", "all.jsonl"]);
    assert!(told.contains("Snare (m2, /a/d.wav); before it: Ride (the older pipeline, /a/b.wav)"), "{told}");
}

#[test]
fn the_order_of_inputs_plays_no_part_and_doing_it_again_gives_the_same_bytes() {
    let place = runs();
    let aggregate = |inputs: &[&str], to: &str| {
        let mut arguments = vec!["aggregate"];
        arguments.extend(inputs);
        arguments.extend(["-o", to]);
        run_to(&place, 0, &arguments);
        fs::read(place.path().join(to)).unwrap()
    };
    let one = aggregate(&RUNS, "one.jsonl");
    assert_eq!(aggregate(&[RUNS[2], RUNS[0], RUNS[1]], "two.jsonl"), one);
    assert_eq!(aggregate(&["one.jsonl"], "again.jsonl"), one);
    assert_eq!(aggregate(&["one.jsonl", RUNS[1], "two.jsonl"], "more.jsonl"), one);
    // In stages it is the same, too.
    aggregate(&RUNS[..2], "part.jsonl");
    assert_eq!(aggregate(&["part.jsonl", RUNS[2]], "staged.jsonl"), one);
}

#[test]
fn who_says_which_model_is_the_newest_is_believed() {
    let place = runs();
    let model = ", \"model\": \"m1\", \"status\": \"ok\"";
    fs::write(place.path().join("other.jsonl"), line("d.wav", 2, Some("Clap"), model)).unwrap();
    run_to(&place, 0, &["aggregate", RUNS[2], "other.jsonl", "-o", "all.jsonl", "--models", "m1,m2"]);
    assert_eq!(record_of(&records(&place, "all.jsonl"), "d.wav").label(), Some("Snare"));
    run_to(&place, 0, &["aggregate", RUNS[2], "other.jsonl", "-o", "all.jsonl", "--models", "m2,m1"]);
    assert_eq!(record_of(&records(&place, "all.jsonl"), "d.wav").label(), Some("Clap"));
}

#[test]
fn a_store_is_aggregated_like_its_index_and_its_model_is_the_newest() {
    let place = few();
    place.index(&[]);
    let old = golden("old.jsonl");
    let store = place.store();
    let inputs = ["aggregate", old.to_str().unwrap(), store.to_str().unwrap()];
    run_to(&place, 0, &[&inputs[..], &["-o", "all.jsonl"]].concat());
    let all = records(&place, "all.jsonl");
    let own = all.iter().filter(|record| record.run.as_deref() == Some("store")).count();
    assert_eq!(own, 7, "what is in the archive");
    let first = fs::read(place.path().join("all.jsonl")).unwrap();
    run_to(&place, 0, &[&inputs[..], &["all.jsonl", "-o", "again.jsonl"]].concat());
    assert_eq!(fs::read(place.path().join("again.jsonl")).unwrap(), first);
}

#[test]
fn a_file_whose_path_an_older_run_has_relative_to_where_it_was_started_is_one_file() {
    let place = few();
    place.index(&[]);
    let size = fs::metadata(place.archive().join("TR-808/CH.WAV")).unwrap().len();
    let at = |abs: &str| {
        format!(
            "{{\"relative_path\": \"TR-808/CH.WAV\", \"abs_path\": \"{abs}\", \"size\": {size}, \"mtime\": 1.5, \"hash\": \
             \"{:032x}\", \"label_top1\": \"Ride\", \"conf_top1\": 0.5, \"assigned_label\": \"Ride\", \"errors\": null}}\n",
            7
        )
    };
    fs::create_dir(place.path().join("notebooks")).unwrap();
    fs::write(place.path().join("old.jsonl"), at("../archive/TR-808/CH.WAV")).unwrap();
    let aggregate = |from: &str| -> serde_json::Value {
        let mut drumfs = crate::support::drumfs();
        drumfs.args(["aggregate", "../old.jsonl", "../archive", "-o", "../all.jsonl", "--json"]);
        let output = drumfs.arg("--store").arg(place.store()).current_dir(place.path().join(from)).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let said = aggregate("notebooks");
    assert_eq!((&said["records"], &said["files"]), (&8.into(), &7.into()), "{said}");
    let all = fs::read_to_string(place.path().join("all.jsonl")).unwrap();
    assert!(!all.contains("../archive"), "{all}");
    // From elsewhere nobody knows what it means, and it is carried as it stands.
    fs::create_dir_all(place.path().join("else/where")).unwrap();
    fs::write(place.path().join("else/old.jsonl"), at("../archive/TR-808/CH.WAV")).unwrap();
    let carried = run_to(&place, 0, &["aggregate", "else/old.jsonl", "-o", "carried.jsonl", "--json"]);
    assert!(carried.contains("\"files\": 1"), "{carried}");
    assert!(fs::read_to_string(place.path().join("carried.jsonl")).unwrap().contains("../archive"));
}
