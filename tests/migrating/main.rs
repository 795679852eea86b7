//! docs/migrating.md, followed to the letter by an engineer of the older pipeline: no run, override or mapping is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod old;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use old::Project;
use serde_json::Value;
use support::drumfs;

/// A folder that is unmounted when the test ends, however it ends.
struct Unmounting(PathBuf);

impl Drop for Unmounting {
    fn drop(&mut self) {
        for command in [&["umount"][..], &["fusermount3", "-u"], &["umount", "-l"]] {
            let done = Command::new(command[0]).args(&command[1..]).arg(&self.0).output();
            if done.is_ok_and(|done| done.status.success()) {
                return;
            }
        }
    }
}

/// Runs a command line in the project's folder, with a store of its own.
fn run(project: &Project, line: &str) -> Output {
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let mut command = drumfs();
    command.args(words).env("HOME", project.path().join("home")).current_dir(project.path());
    command.env("XDG_STATE_HOME", project.path().join("state")).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The commands of the page, in order.
fn commands() -> Vec<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migrating.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    let lines: Vec<String> = blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    assert!(lines.iter().all(|line| line.starts_with("drumfs ")), "{lines:?}");
    lines
}

/// The records of an index.jsonl by their path.
fn records(text: &str) -> BTreeMap<String, Value> {
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.map(|record| (record["relative_path"].as_str().unwrap().to_owned(), record)).collect()
}

#[test]
fn every_command_of_the_page_works_and_nothing_is_lost() {
    let project = Project::new();
    let mount = Unmounting(project.path().join("RegeneratedArchive"));
    let before = support::fingerprints(&project.path().join("complete_drum_archive"));
    let lines = commands();
    for (number, line) in lines.iter().enumerate() {
        let output = run(&project, line);
        let text = said(&output);
        if number == 0 {
            // The Keras file, and what to do about it.
            assert_eq!(output.status.code(), Some(1), "{line}: {text}");
            for word in
                ["tf2onnx", "models/model1.onnx", "`batch_size` means nothing here", "`min_duration_sec`", "route"]
            {
                assert!(text.contains(word), "{line} does not say {word}: {text}");
            }
            // The engineer takes the model that comes along.
            let config = fs::read_to_string(project.path().join("config.yml")).unwrap();
            let kept =
                |line: &&str| !["model_path", "label_map", "canonical_mapping"].iter().any(|key| line.starts_with(key));
            let config: Vec<&str> = config.lines().filter(kept).collect();
            fs::write(project.path().join("config.yml"), config.join("\n")).unwrap();
            continue;
        }
        assert_eq!(output.status.code(), Some(0), "{line}: {text}");
        let named = text.matches("batch_size").count();
        assert_eq!(named, 1, "{line} names what means nothing once: {text}");
        if line.starts_with("drumfs import") && line.contains("index.jsonl") {
            labels_of_the_runs_show(&project);
        }
    }
    let sounds = project.sounds();
    let rules = fs::read_to_string(mount.0.join("_control/rules.yml")).unwrap();
    for words in ["threshold: 0.55", "duplicates: hide", "target_labels: [Crash, Hihat, Kick, Ride, Snare, Tom]"] {
        assert!(rules.contains(words), "{rules}");
    }
    // The words of people count in the mount, in the tree and in the index.
    let index = records(&fs::read_to_string(mount.0.join("_control/index.jsonl")).unwrap());
    assert_eq!(index.len(), sounds.len());
    for (path, label) in project.overridden() {
        assert_eq!(
            (&index[&path]["assigned_label"], &index[&path]["assigned_reason"]),
            (&label.into(), &"override".into())
        );
        assert_eq!(index[&path]["hash"], project.md5(&path).as_str());
        for tree in [mount.0.clone(), project.path().join("Sorted")] {
            assert!(tree.join(label).join(&path).exists(), "{label}/{path} is not in {}", tree.display());
        }
    }
    assert!(index.values().all(|record| record["status"] == "ok" && record["hash_algorithm"] == "md5"));
    let mut exported = String::new();
    let file = fs::File::open(project.path().join("index.jsonl.gz")).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut exported).unwrap();
    assert_eq!(records(&exported), index);
    assert_eq!(
        support::fingerprints(&project.path().join("complete_drum_archive")),
        before,
        "the archive is never written"
    );
}

/// What the older model said is there before anything is heard.
fn labels_of_the_runs_show(project: &Project) {
    let output = run(project, "drumfs export complete_drum_archive --config config.yml --format jsonl");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let index = records(&String::from_utf8(output.stdout).unwrap());
    for sound in project.sounds() {
        let record = index.get(&sound.path).unwrap_or_else(|| panic!("{} is lost", sound.path));
        assert_eq!(record["label_top1"], sound.label.as_str(), "{record}");
    }
}

#[test]
fn a_mapping_and_a_model_of_the_older_pipeline_are_used_as_they_are() {
    let project = Project::new();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    fs::copy(models.join("old.onnx"), project.path().join("models/model1.onnx")).unwrap();
    let config = fs::read_to_string(project.path().join("config.yml")).unwrap();
    fs::write(project.path().join("config.yml"), config.replace("model1.keras", "model1.onnx")).unwrap();
    let works = |line: &str| {
        let output = run(&project, line);
        assert_eq!(output.status.code(), Some(0), "{line}: {}", said(&output));
        said(&output)
    };
    works("drumfs validate --config config.yml");
    let checked = works(
        "drumfs validate-mapping --model models/model1.onnx --mapping models/label_mapping.json --config config.yml",
    );
    assert!(checked.contains("34 names"), "{checked}");
    // Rim is mapped to itself and is no target: not Snare, as drumfs's own mapping has it, but misc.
    fs::write(project.path().join("list"), "some.wav\n").unwrap();
    let rules = works("drumfs schema rules --config config.yml");
    assert!(rules.contains("\"Rim\""));
    let stub = works("drumfs create-stub --model models/model1.onnx --config config.yml");
    assert!(stub.contains("34 labels"), "{stub}");
    let list: Vec<String> =
        serde_json::from_slice(&fs::read(project.path().join("models/label_mapping_stub.json")).unwrap()).unwrap();
    assert_eq!((list.len(), list[3].as_str()), (34, "<label of output 3>"));
    let again = run(&project, "drumfs create-stub --model models/model1.onnx --config config.yml");
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("never written over"), "{}", said(&again));
}

#[test]
fn an_archive_that_nobody_names_is_asked_for() {
    let project = Project::new();
    let output = run(&project, "drumfs infer");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("archive_root"), "{}", said(&output));
}

#[test]
fn a_config_yml_that_infer_read_by_itself_is_pointed_to() {
    let project = Project::new();
    let output = run(&project, "drumfs infer");
    assert!(said(&output).contains("--config config.yml"), "{}", said(&output));
    fs::remove_file(project.path().join("config.yml")).unwrap();
    assert!(!said(&run(&project, "drumfs infer")).contains("--config config.yml"));
}

#[test]
fn the_mapping_stays_with_the_model_that_comes_along_also_where_it_speaks_of_labels_of_another() {
    let project = Project::new();
    let config = project.path().join("config.yml");
    let text = fs::read_to_string(&config).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("model_path")).collect();
    fs::write(&config, kept.join("\n")).unwrap();
    let mapping = serde_json::json!({"model_class_to_canonical":
        {"Noise": "FX", "Rim": "Rim", "Splash": "Tom", "Ride_Bell": "Ride", "Floor_Tom": "Tom"}});
    fs::write(project.path().join("models/canonical_mapping.json"), mapping.to_string()).unwrap();
    let output = run(&project, "drumfs validate --config config.yml");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("`Ride_Bell` is not one of the model's labels: passed over"), "{}", said(&output));
    let output = run(&project, "drumfs infer --config config.yml");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let folders = |line: &str| -> Value { serde_json::from_slice(&run(&project, line).stdout).unwrap() };
    let stats = folders("drumfs stats complete_drum_archive --json --config config.yml");
    let labels: Vec<&String> = stats["canonical_labels"].as_object().unwrap().keys().collect();
    assert!(labels.iter().any(|label| *label == "Rim"), "{labels:?}");
}
