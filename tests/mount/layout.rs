//! What lies where in a mount, and what the files that drumfs makes say.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use serde_json::Value;

use crate::common::eventually;
use crate::common::mount::{Mount, put};
use crate::common::snapshot::{files_below, paths_in};
use crate::common::sounds::wav;
use crate::common::tools::{installed, run, said, shell};

const CLASSES: [&str; 7] = ["Crash", "Hihat", "Kick", "Ride", "Snare", "Tom", "misc"];

#[test]
fn the_folders_and_files_are_where_they_are_promised() {
    let mount = Mount::of_test_archive();
    let mut want: Vec<&str> = CLASSES.to_vec();
    want.extend([
        "_by-id",
        "_control",
        "_errors.txt",
        "_manifests",
        "_rebuild_summary.json",
        "_stats.json",
        "_uncertain",
    ]);
    want.sort_unstable();
    assert_eq!(mount.names(""), want, "and no RULES-ERROR.txt");
    assert_eq!(mount.names("_control"), ["index.jsonl", "overrides.jsonl", "rescan", "rules.yml", "status.json"]);
    let manifests: Vec<String> = CLASSES.iter().map(|class| format!("{class}.txt")).collect();
    assert_eq!(mount.names("_manifests"), manifests);
    for path in files_below(&mount.at) {
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        assert!(kind.is_file() && !kind.is_symlink(), "{}", path.display());
    }
    for folder in CLASSES {
        let meta = fs::metadata(mount.path(folder)).unwrap();
        assert!(meta.is_dir());
        assert_eq!(meta.mode() & 0o777, 0o755, "a copy of it can be removed again");
        let folders = paths_in(&mount.path(folder)).iter().filter(|path| path.is_dir()).count() as u64;
        assert_eq!(meta.nlink(), 2 + folders, "find relies on it");
    }
}

#[test]
fn every_sample_is_in_exactly_one_class_folder_under_its_own_path() {
    let mount = Mount::of_test_archive();
    let mut seen = Vec::new();
    for class in CLASSES {
        for path in files_below(&mount.path(class)) {
            seen.push(path.strip_prefix(mount.path(class)).unwrap().to_owned());
        }
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "none twice");
    assert_eq!(mount.status()["samples"], count);
    for path in &seen {
        assert!(mount.archive.join(path).is_file(), "{}", path.display());
    }
}

#[test]
fn a_manifest_lists_what_is_in_its_folder() {
    let mount = Mount::of_test_archive();
    for class in CLASSES {
        let text = fs::read_to_string(mount.path(format!("_manifests/{class}.txt"))).unwrap();
        let meta = fs::metadata(mount.path(format!("_manifests/{class}.txt"))).unwrap();
        assert_eq!(meta.len(), text.len() as u64);
        let mut listed: Vec<&Path> = text.lines().map(Path::new).collect();
        listed.sort();
        let root = mount.path(class);
        let shown = files_below(&root);
        let mut shown: Vec<&Path> = shown.iter().map(|path| path.strip_prefix(&root).unwrap()).collect();
        shown.sort();
        assert_eq!(listed, shown, "{class}");
    }
}

#[test]
fn stats_summary_and_errors_agree_with_the_folders() {
    let mount = Mount::of_test_archive();
    let stats: Value = serde_json::from_slice(&fs::read(mount.path("_stats.json")).unwrap()).unwrap();
    let summary: Value = serde_json::from_slice(&fs::read(mount.path("_rebuild_summary.json")).unwrap()).unwrap();
    let status = mount.status();
    for class in CLASSES {
        let count = files_below(&mount.path(class)).len();
        assert_eq!(stats["folders"][class], count);
        assert_eq!(summary["class_counts"][class], count);
        assert_eq!(status["folders"][class], count);
    }
    assert_eq!(summary["stats"]["total"], status["samples"]);
    let errors = fs::read_to_string(mount.path("_errors.txt")).unwrap();
    assert!(!errors.is_empty());
    assert_eq!(status["failed"], errors.lines().count());
    for line in errors.lines() {
        let [state, path, reason] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert!(["too_short", "silent", "load_error", "unsupported"].contains(&state), "{line}");
        assert!(mount.path("misc").join(path).is_file(), "it is still the user's file: {line}");
        assert!(!reason.is_empty(), "{line}");
    }
}

#[test]
fn by_id_names_are_the_hash_and_the_extension_and_do_not_change_with_rules_or_renames() {
    let mount = Mount::of(&["pack/kick.wav", "pack/SNARE.WAV"]);
    let mut want: Vec<String> =
        mount.index().iter().map(|record| format!("{}.wav", record["hash"].as_str().unwrap())).collect();
    want.sort();
    assert_eq!(mount.names("_by-id"), want);
    mount.save_rules("routes:\n  - {path: \"**\", to: Elsewhere}\n").unwrap();
    fs::rename(mount.archive.join("pack/kick.wav"), mount.archive.join("renamed.wav")).unwrap();
    mount.rescan();
    assert_eq!(mount.names("_by-id"), want);
    assert_eq!(fs::read(mount.path("_by-id").join(&want[0])).unwrap().len(), wav(0).len());
}

#[test]
fn uncertain_begins_with_the_sample_the_model_is_least_sure_of() {
    let mount = Mount::of_test_archive();
    let names = mount.names("_uncertain");
    assert!(names.len() > 100 && names.len() <= 500);
    for (rank, name) in names.iter().enumerate() {
        let [number, label, percent, _] = name.splitn(4, ' ').collect::<Vec<_>>()[..] else { panic!("{name}") };
        assert_eq!(number, format!("{:03}", rank + 1), "in order");
        assert!(label.chars().all(char::is_alphabetic), "{name}");
        assert!(percent.ends_with('%'), "{name}");
    }
    // The first of them is less sure than the last: the best label is less probable.
    let percent = |name: &String| name.split(' ').nth(2).unwrap().trim_end_matches('%').parse::<f64>().unwrap();
    let mean = |part: &[String]| part.iter().map(percent).sum::<f64>() / part.len() as f64;
    let fifth = names.len() / 5;
    assert!(mean(&names[..fifth]) + 10.0 < mean(&names[names.len() - fifth..]));
    // A person's word settles it.
    let first = &names[0];
    let bytes = fs::read(mount.path("_uncertain").join(first)).unwrap();
    let record = mount
        .index()
        .into_iter()
        .find(|record| fs::read(mount.archive.join(record["relative_path"].as_str().unwrap())).unwrap() == bytes)
        .unwrap();
    mount.append_override(&format!("{{\"hash\": {}, \"label\": \"Clap\"}}", record["hash"])).unwrap();
    let now = mount.names("_uncertain");
    assert!(now.len() < names.len());
    assert!(!now.iter().any(|name| fs::read(mount.path("_uncertain").join(name)).unwrap() == bytes));
}

#[test]
fn index_jsonl_has_size_0_and_streams_a_record_for_every_sample() {
    let mount = Mount::of_test_archive();
    let path = mount.path("_control/index.jsonl");
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    let index = mount.index();
    assert_eq!(mount.status()["samples"], index.len());
    let want = [
        "relative_path",
        "abs_path",
        "hash",
        "hash_algorithm",
        "size",
        "mtime",
        "duration_sec",
        "rms",
        "centroid_hz",
        "rolloff_hz",
        "sample_rate",
        "channels",
        "codec",
        "label_top1",
        "conf_top1",
        "topk",
        "probs",
        "assigned_label",
        "assigned_confidence",
        "assigned_reason",
        "misc_routed",
        "below_misc_threshold",
        "out_of_target",
        "status",
        "errors",
        "model",
        "features",
    ];
    for record in &index {
        let keys: Vec<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
        for key in want {
            assert!(keys.contains(&key), "{key} in {record}");
        }
        let relative = record["relative_path"].as_str().unwrap();
        let original = mount.archive.join(relative);
        assert_eq!(record["abs_path"].as_str().map(Path::new), Some(original.as_path()));
        assert_eq!(record["size"], fs::metadata(&original).unwrap().len());
        if record["status"] == "ok" {
            let probs: Vec<f64> = record["probs"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect();
            assert_eq!(probs.len(), 34);
            assert!((probs.iter().sum::<f64>() - 1.0).abs() < 0.01, "{relative}");
        }
        let assigned = record["assigned_label"].as_str().unwrap();
        assert!(mount.path(assigned).join(relative).is_file(), "{relative} is in {assigned}");
    }
}

#[test]
fn index_jsonl_is_read_whole_by_cat_cp_and_python_and_backwards() {
    let mount = Mount::of_test_archive();
    let path = mount.path("_control/index.jsonl");
    let whole = fs::read(&path).unwrap();
    assert!(whole.ends_with(b"\n") && whole.len() > 100_000);
    let cat = run("cat", &[path.as_os_str()]);
    assert_eq!(cat.stdout, whole);
    for text in ["cp \"$1\" \"$2\"", "dd if=\"$1\" of=\"$2\" bs=1000 status=none", "tail -n +1 \"$1\" > \"$2\""] {
        let copy = mount.dir.path().join("copy.jsonl");
        let done = shell("bash", text, &[&path, &copy]);
        assert!(done.status.success(), "{}", said(&done));
        assert!(fs::read(&copy).unwrap() == whole, "{text}");
    }
    if installed(&["python3"]) {
        let program: &OsStr =
            "import json, sys\nprint(sum(1 for line in open(sys.argv[1]) if json.loads(line)['relative_path']))"
                .as_ref();
        let done = run("python3", &["-c".as_ref(), program, path.as_os_str()]);
        assert_eq!(said(&done).trim(), mount.index().len().to_string());
    }
    // pread and seek, from the end to the start, and to and fro.
    let mut file = File::open(&path).unwrap();
    let places: Vec<usize> = (0..whole.len()).step_by(7919).collect();
    for &at in places.iter().rev().chain(&places) {
        let mut buffer = [0; 500];
        let want = &whole[at..whole.len().min(at + 500)];
        let len = read_all(&mut buffer, |rest, done| file.read_at(rest, (at + done) as u64).unwrap());
        assert!(&buffer[..len] == want, "pread at {at}");
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        let len = read_all(&mut buffer, |rest, _| file.read(rest).unwrap());
        assert!(&buffer[..len] == want, "seek to {at}");
    }
    assert_eq!(file.read_at(&mut [0; 10], whole.len() as u64).unwrap(), 0);
    assert_eq!(file.read_at(&mut [0; 10], whole.len() as u64 * 3).unwrap(), 0);
}

fn read_all(buffer: &mut [u8], mut read: impl FnMut(&mut [u8], usize) -> usize) -> usize {
    let mut done = 0;
    while done < buffer.len() {
        match read(&mut buffer[done..], done) {
            0 => break,
            len => done += len,
        }
    }
    done
}

#[test]
fn index_jsonl_goes_on_while_rules_change() {
    let mount = Mount::of_test_archive();
    let mut file = File::open(mount.path("_control/index.jsonl")).unwrap();
    let mut text = vec![0; 10_000];
    file.read_exact(&mut text).unwrap();
    mount.save_rules("routes:\n  - {path: \"**\", to: Elsewhere}\n").unwrap();
    file.read_to_end(&mut text).unwrap();
    let records = text.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    let records: Vec<Value> = records.map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert_eq!(mount.status()["samples"], records.len());
}

#[test]
fn status_json_has_what_is_promised() {
    let mount = Mount::of_test_archive();
    let status = mount.status();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["epoch"].as_u64().unwrap() >= 1);
    assert!(status["samples"].as_u64().unwrap() > 150);
    assert!(status["failed"].as_u64().unwrap() > 0);
    let folders = status["folders"].as_object().unwrap();
    assert_eq!(folders.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), status["samples"]);
    let indexing = &status["indexing"];
    assert_eq!(indexing["state"], "idle");
    assert_eq!(indexing["done"], status["samples"]);
    assert_eq!(indexing["total"], status["samples"]);
    assert_eq!(indexing["failed"], status["failed"]);
    assert!(indexing["files_per_sec"].as_f64().unwrap() > 0.0);
    assert!(status["rules_error"].is_null());
    assert!(!status["backend"].as_str().unwrap().is_empty());
    assert!(!status["model"].as_str().unwrap().is_empty());
    assert_eq!(status["archive"].as_str().map(Path::new), Some(mount.archive.as_path()));
    assert_eq!(status["store"].as_str().map(Path::new), Some(mount.store.as_path()));
    let before = status["epoch"].as_u64().unwrap();
    mount.save_rules("layout: flat\n").unwrap();
    assert!(mount.status()["epoch"].as_u64().unwrap() > before);
    assert!(mount.save_rules("layout: flatt\n").is_err());
    let why = mount.status()["rules_error"].as_str().unwrap().to_owned();
    assert_eq!(why, fs::read_to_string(mount.rules_error()).unwrap());
    assert!(why.contains("line 1, column") && why.contains("flatt") && why.contains("did you mean `flat`"), "{why}");
}

#[test]
fn anything_written_to_rescan_finds_new_changed_and_gone_files() {
    let mount = Mount::of(&["pack/stays.wav", "pack/changes.wav", "pack/goes.wav"]);
    mount.save_rules("layout: flat\nroutes:\n  - {path: \"**\", to: All}\n").unwrap();
    assert_eq!(mount.names("All"), ["changes.wav", "goes.wav", "stays.wav"]);
    put(&mount.archive.join("other/new.wav"), &wav(77));
    put(&mount.archive.join("pack/changes.wav"), &wav(78));
    fs::remove_file(mount.archive.join("pack/goes.wav")).unwrap();
    let done = shell("bash", "echo now > \"$1\"", &[&mount.path("_control/rescan")]);
    assert!(done.status.success(), "{}", said(&done));
    eventually("the files of now are shown", || mount.names("All") == ["changes.wav", "new.wav", "stays.wav"]);
    eventually("the new bytes are shown", || fs::read(mount.path("All/changes.wav")).unwrap() == wav(78));
    assert_eq!(fs::read(mount.path("All/new.wav")).unwrap(), wav(77));
    let hash = |name: &str| mount.index().into_iter().find(|r| r["relative_path"] == name).map(|r| r["hash"].clone());
    eventually("it was heard again", || {
        mount.names("_by-id").contains(&format!("{}.wav", hash("pack/changes.wav").unwrap().as_str().unwrap()))
    });
    mount.rescan();
    assert_eq!(mount.status()["missing"], 1, "nothing is forgotten");
}

#[test]
fn new_files_appear_by_themselves() {
    let mount = Mount::of(&["pack/first.wav"]);
    mount.save_rules("layout: flat\nroutes:\n  - {path: \"**\", to: All}\n").unwrap();
    put(&mount.archive.join("later/second.wav"), &wav(5));
    eventually("the new file is shown", || mount.path("All/second.wav").exists());
    assert_eq!(fs::read(mount.path("All/second.wav")).unwrap(), wav(5));
}
