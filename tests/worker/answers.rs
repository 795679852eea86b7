//! What a worker answers.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use super::support::{Place, Running, drumfs, wav};
use super::{answers, index_of, lines, records, worker};

#[test]
fn the_answers_are_the_lines_of_index_jsonl_in_the_order_of_the_list() {
    let place = Place::with_real_sounds();
    place.put("copy of another.wav", &wav(1));
    place.put("pack/the same.wav", &wav(1));
    place.index(&[]);
    let index = index_of(&place);
    let list = worker(&place.archive(), &["--list"]).output().unwrap();
    let mut paths = lines(&list.stdout);
    assert_eq!(paths.len(), index.len());
    for threads in ["1", "4"] {
        let output = answers(&place.archive(), &["--threads", threads], &paths.concat());
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
        assert!(lines(&output.stdout) == index, "with {threads} threads");
    }
    // The order is the list's, not the archive's.
    paths.reverse();
    let output = answers(&place.archive(), &["--threads", "4"], &paths.concat());
    assert!(lines(&output.stdout).into_iter().rev().eq(&index));
    // An index is a list as well.
    let output = answers(&place.archive(), &["--input", "jsonl"], &index.concat());
    assert!(lines(&output.stdout) == index);
}

#[test]
fn what_is_wrong_with_a_line_is_said_in_its_record() {
    let place = Place::with_sounds(1);
    place.put("lyrics.wav", b"not a sound");
    std::os::unix::fs::symlink("/etc/passwd", place.archive().join("link.wav")).unwrap();
    fs::create_dir(place.archive().join("folder.wav")).unwrap();
    let list = b"pack 0/00000.wav\nlyrics.wav\nnone.wav\n../up.wav\n/etc/passwd\n{\"oh\": \"no\"}\n\
                 link.wav\nfolder.wav\n\x01\x02\xff\xfe\npack 0/00000.wav";
    let records = records(&place.archive(), &["--threads", "3"], list);
    let said = |index: usize, key: &str| records[index][key].as_str().unwrap_or_default().to_owned();
    assert_eq!(records.len(), 10);
    for (index, (path, status, words)) in [
        ("pack 0/00000.wav", "ok", ""),
        ("lyrics.wav", "unsupported", ""),
        ("none.wav", "missing", "No such file"),
        ("../up.wav", "load_error", "line 4 of the input: a path of the archive has no `..`"),
        ("/etc/passwd", "load_error", "line 5 of the input: the path lies outside"),
        ("{\"oh\": \"no\"}", "load_error", "line 6 of the input: JSON without `relative_path`"),
        ("link.wav", "load_error", ""),
        ("folder.wav", "load_error", ""),
        ("\u{1}\u{2}\u{fffd}\u{fffd}", "missing", ""),
        ("pack 0/00000.wav", "ok", ""),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!((said(index, "relative_path"), said(index, "status")), (path.to_owned(), status.to_owned()));
        assert!(said(index, "errors").starts_with(words), "{}", records[index]);
        assert_eq!(records[index]["errors"].is_null(), status == "ok", "{}", records[index]);
        assert_eq!(said(index, "model"), super::ensemble().id());
        assert!(!said(index, "features").is_empty());
    }
    assert_eq!(records[0], records[9]);
}

#[test]
fn names_that_no_line_of_text_carries_go_there_and_back() {
    let place = Place::new();
    let names: [&[u8]; 5] =
        [b"a\nb.wav", b"caf\xe9.wav", b"{x}.wav", "\u{30ad}\u{30c3}\u{30af}.wav".as_bytes(), b"r.wav\r"];
    for (seed, name) in names.iter().enumerate() {
        let path = place.archive().join(std::ffi::OsStr::from_bytes(name));
        fs::write(path, wav(seed as u32)).unwrap();
    }
    place.index(&[]);
    let index = index_of(&place);
    // The last name says nothing of a sound, and its content does not have to be asked: it begins with RIFF.
    assert_eq!(index.len(), names.len());
    for null in [&[][..], &["-0"]] {
        let list = worker(&place.archive(), &[&["--list"], null].concat()).output().unwrap().stdout;
        assert!(!null.is_empty() || std::str::from_utf8(&list).is_ok(), "engines know nothing but UTF-8");
        let output = answers(&place.archive(), null, &list);
        assert!(lines(&output.stdout) == index, "{output:?}");
    }
}

#[test]
fn a_record_is_there_before_the_next_line_is_asked_for() {
    let place = Place::with_sounds(3);
    let mut run = Running::start(worker(&place.archive(), &["--threads", "2"]).stdin(Stdio::piped()));
    let (mut list, mut read) = (run.0.stdin.take().unwrap(), BufReader::new(run.0.stdout.take().unwrap()));
    for number in 0..3 {
        let path = format!("pack {number}/{number:05}.wav");
        writeln!(list, "{path}").unwrap();
        let mut line = String::new();
        read.read_line(&mut line).unwrap();
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&record["relative_path"], &record["status"]), (&path.into(), &"ok".into()));
    }
    drop(list);
    assert_eq!(run.0.wait().unwrap().code(), Some(0));
}

#[test]
fn paths_may_be_absolute_and_the_root_is_the_current_folder_where_none_is_said() {
    let place = Place::with_sounds(2);
    let link = place.path().join("link");
    std::os::unix::fs::symlink(place.archive(), &link).unwrap();
    let list = format!("{0}/pack 0/00000.wav\n{1}/pack 1/00001.wav\n", place.archive().display(), link.display());
    let linked = records(&link, &[], list.as_bytes());
    assert_eq!([&linked[0]["status"], &linked[1]["status"]], ["ok", "missing"].map(|_| "ok"));
    assert_eq!(linked[1]["relative_path"], "pack 1/00001.wav");
    let mut here = drumfs();
    let list = fs::File::open(place.put("list.txt", b"./pack 1//00001.wav\n")).unwrap();
    let output = here.arg("worker").current_dir(place.archive()).stdin(list).output().unwrap();
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record, linked[1]);
}

#[test]
fn rules_and_config_count() {
    let place = Place::with_sounds(2);
    let rules = place.path().join("rules.yml");
    fs::write(&rules, "routes:\n  - {path: \"pack 1/**\", to: Mine}\n").unwrap();
    let config = place.path().join("config.yml");
    fs::write(&config, "hash_algorithm: md5\n").unwrap();
    let (rules, config) = (rules.to_str().unwrap(), config.to_str().unwrap());
    let list = b"pack 0/00000.wav\npack 1/00001.wav\n";
    let records = records(&place.archive(), &["--rules", rules, "--config", config], list);
    assert_eq!((&records[1]["assigned_label"], &records[1]["assigned_reason"]), (&"Mine".into(), &"route".into()));
    assert_ne!(records[0]["assigned_reason"], "route");
    assert_eq!(records[0]["hash_algorithm"], "md5");
    fs::write(place.path().join("rules.yml"), "routs: []\n").unwrap();
    let output = answers(&place.archive(), &["--rules", rules], list);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `routes`"), "{output:?}");
}

#[test]
fn an_index_of_the_older_pipeline_with_numbers_that_are_none_is_a_list() {
    let place = Place::with_sounds(2);
    let list = b"{\"relative_path\": \"pack 0/00000.wav\", \"rms_db\": NaN, \"spectral_centroid\": -Infinity}\n\
                 {\"file\": \"/old/pack 1/00001.wav\", \"relative_path\": \"pack 1/00001.wav\", \"error\": \"too_short\"}\n";
    let records = records(&place.archive(), &[], list);
    assert_eq!([&records[0]["status"], &records[1]["status"]], ["ok", "ok"], "{records:?}");
}
