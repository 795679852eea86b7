//! What an imported index says is shown as that index's word until the model in use has heard the sound.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::mount::{DRUMFS, Mount, new_dir, put};
use crate::common::sounds::wav;

/// A mount of two sounds, both labelled by an imported index. One of them has gone since and is never heard.
fn mount() -> Mount {
    let dir = new_dir();
    let (archive, index) = (dir.path().join("archive"), dir.path().join("index.jsonl"));
    let line = |(number, name): (u64, &str)| {
        put(&archive.join(name), &wav(number));
        let (size, hash) = (wav(number).len(), format!("{number:032x}"));
        let said = json!({"relative_path": name, "size": size, "hash": hash, "label_top1": "Kick", "conf_top1": 0.75});
        format!("{said}\n")
    };
    let lines: String = [(1, "gone.wav"), (2, "here.wav")].into_iter().map(line).collect();
    fs::write(&index, lines).unwrap();
    let store = dir.path().join("store");
    let mut import = Command::new(DRUMFS);
    let done = import.arg("import").args([&archive, &index]).arg("--store").arg(store).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    fs::remove_file(archive.join("gone.wav")).unwrap();
    Mount::start(dir)
}

#[test]
fn a_record_that_was_imported_and_never_heard_names_the_model_that_said_it() {
    let mount = mount();
    let of = |name: &str| mount.index().into_iter().find(|record| record["relative_path"] == name).unwrap();
    let (gone, here) = (of("gone.wav"), of("here.wav"));
    assert_eq!((&gone["status"], &gone["label_top1"]), (&json!("missing"), &json!("Kick")));
    assert_eq!((&gone["model"], &gone["features"]), (&json!("imported:older-pipeline"), &Value::Null));
    let status = mount.status();
    assert_eq!((&here["model"], &here["features"]), (&status["model"], &status["features"]));
}
