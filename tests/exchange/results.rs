//! Files that results are written to.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::place::{few, json, run, run_to};
use crate::support::{Place, Running, drumfs, fingerprints, wait_for};

/// What is in a folder, hidden files included.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn no_command_writes_its_result_into_the_archive_not_even_through_a_link() {
    let place = few();
    place.index(&[]);
    run_to(&place, 0, &["export", "archive", "-o", "index.jsonl"]);
    run_to(&place, 0, &["override", "--archive", "archive", "TR-808/BD.WAV", "Tom"]);
    std::os::unix::fs::symlink(place.archive(), place.path().join("link")).unwrap();
    std::os::unix::fs::symlink(place.archive().join("TR-808/BD.WAV"), place.path().join("link.csv")).unwrap();
    let before = fingerprints(&place.archive());
    for to in ["archive/x.csv", "archive/TR-808/x.csv", "link/x.csv", "link.csv"] {
        for command in [
            &["stats", "archive", "--html", to][..],
            &["confusions", "archive", "--html", to],
            &["uncertain", "archive", "-o", to],
            &["export", "archive", "-o", to],
            &["aggregate", "archive", "index.jsonl", "-o", to],
            &["aggregate", "archive", "-o", "all.jsonl", "--conflicts", to],
            &["override", "export", to, "--archive", "archive"],
            &["override", "merge", "--archive", "archive", "--manifest", to],
        ] {
            let output = run(&place, command);
            assert_eq!(output.status.code(), Some(1), "{command:?}: {output:?}");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            // Merging reads what is there first, and a sound is no manifest.
            assert!(told.contains("never written") || (to == "link.csv" && command[1] == "merge"), "{told}");
        }
    }
    assert!(fingerprints(&place.archive()) == before, "the archive has changed");
}

#[test]
fn a_pipe_is_written_and_a_link_stays() {
    let place = few();
    place.index(&[]);
    let at = |name: &str| place.path().join(name);
    fifo(&at("pipe"));
    fs::write(at("real.csv"), "old").unwrap();
    fs::set_permissions(at("real.csv"), fs::Permissions::from_mode(0o604)).unwrap();
    std::os::unix::fs::symlink("real.csv", at("link.csv")).unwrap();
    for command in [
        &["stats", "archive", "--html"][..],
        &["confusions", "archive", "--html"],
        &["uncertain", "archive", "-o"],
        &["export", "archive", "--format", "csv", "-o"],
        &["override", "export", "--archive", "archive"],
    ] {
        let mut read = Command::new("cat").arg(at("pipe")).stdout(Stdio::piped()).spawn().unwrap();
        run_to(&place, 0, &[command, &["pipe"]].concat());
        let mut piped = Vec::new();
        read.stdout.take().unwrap().read_to_end(&mut piped).unwrap();
        read.wait().unwrap();
        run_to(&place, 0, &[command, &["link.csv"]].concat());
        assert_eq!(fs::read(at("real.csv")).unwrap(), piped, "{command:?}");
        assert!(fs::symlink_metadata(at("link.csv")).unwrap().is_symlink(), "{command:?}");
        assert_eq!(fs::metadata(at("real.csv")).unwrap().permissions().mode() & 0o777, 0o604, "{command:?}");
    }
    let listed = run_to(&place, 0, &["uncertain", "archive"]);
    assert_eq!(run_to(&place, 0, &["uncertain", "archive", "-o", "-"]), listed);
    assert_eq!(names(place.path()).iter().filter(|name| name.starts_with('.')).count(), 0);
}

#[test]
fn a_result_has_the_rights_that_the_shell_gives_though_the_store_is_private() {
    let place = few();
    place.index(&[]);
    for command in [
        &["stats", "archive", "--html"][..],
        &["uncertain", "archive", "-o"],
        &["export", "archive", "--format", "parquet", "-o"],
        &["aggregate", "archive", "--format", "jsonl", "-o"],
        &["override", "export", "--archive", "archive"],
    ] {
        let mut shell = Command::new("sh");
        shell.args(["-c", "umask 027; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_drumfs")]).args(command);
        shell.arg("result").arg("--store").arg(place.store()).current_dir(place.path());
        let output = shell.env("HOME", place.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command:?}: {output:?}");
        let result = place.path().join("result");
        assert_eq!(fs::metadata(&result).unwrap().permissions().mode() & 0o777, 0o640, "{command:?}");
        fs::remove_file(result).unwrap();
    }
}

#[test]
fn an_export_that_is_stopped_leaves_nothing_behind() {
    let place = Place::new();
    let at = |name: &str| place.path().join(name);
    fifo(&at("index.jsonl"));
    fs::write(at("labels.json"), r#"["Kick"]"#).unwrap();
    fs::create_dir(at("out")).unwrap();
    let mut command = drumfs();
    command.args(["export", "--index", "index.jsonl", "-o", "out/all.csv", "--label-map", "labels.json"]);
    let export = Running::start(command.current_dir(place.path()));
    let mut index = fs::OpenOptions::new().write(true).open(at("index.jsonl")).unwrap();
    writeln!(index, r#"{{"relative_path": "a.wav", "size": 1, "mtime": 1.0}}"#).unwrap();
    wait_for("the export to begin", || (names(&at("out")).len() == 1).then_some(()));
    export.signal(libc::SIGINT);
    // What comes after the signal is not written any more; a reader that has gone is as good.
    for _ in 0..100_000 {
        if writeln!(index, r#"{{"relative_path": "b.wav", "size": 1, "mtime": 1.0}}"#).is_err() {
            break;
        }
    }
    drop(index);
    let output = export.output();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("stopped; nothing was written"), "{output:?}");
    assert!(names(&at("out")).is_empty(), "{:?}", names(&at("out")));
}

#[test]
fn what_was_done_with_several_files_is_one_json_document() {
    let place = few();
    place.index(&[]);
    run_to(&place, 0, &["export", "archive", "-o", "index.jsonl"]);
    run_to(&place, 0, &["export", "archive", "-o", "samples.csv"]);
    fs::write(place.path().join("seen_hashes.txt"), "d41d8cd98f00b204e9800998ecf8427e\n").unwrap();
    let said = json(&place, &["import", "archive", "index.jsonl", "samples.csv", "seen_hashes.txt", "--json"]);
    let said = said.as_array().unwrap();
    assert_eq!(said.len(), 3);
    assert_eq!(
        (&said[0]["file"], &said[1]["taken"], &said[2]["hashes"]),
        (&"index.jsonl".into(), &0.into(), &1.into())
    );
    let one = json(&place, &["import", "archive", "index.jsonl", "--json"]);
    assert_eq!(one["file"], "index.jsonl");
}

#[test]
fn a_run_that_is_named_by_its_folder_is_told_from_a_file_of_no_known_format() {
    let place = few();
    fs::create_dir(place.path().join("run_20251005_145016")).unwrap();
    let output = run(&place, &["import", "archive", "run_20251005_145016"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("a folder; name a file"), "{output:?}");
}

#[test]
fn a_result_that_standard_output_does_not_take_is_a_failure_that_names_it() {
    let place = few();
    place.index(&[]);
    for command in [
        &["stats", "archive"][..],
        &["stats", "archive", "--json"],
        &["uncertain", "archive", "--json"],
        &["export", "archive", "--format", "csv"],
        &["override", "export", "--archive", "archive"],
        &["completions", "bash"],
        &["man"],
    ] {
        if command[0] == "override" {
            run_to(&place, 0, &["override", "--archive", "archive", "TR-808/BD.WAV", "Tom"]);
        }
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut drumfs = drumfs();
        drumfs.args(command).arg("--store").arg(place.store()).current_dir(place.path()).stdout(full);
        let output = drumfs.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("standard output can't be written"), "{command:?}: {told}");
    }
}
