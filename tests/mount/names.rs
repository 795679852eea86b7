//! Names as people and old disks leave them: shown as they are, opened, and identical byte for byte.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::common::mount::{Mount, new_dir, put};
use crate::common::snapshot::{files_below, paths_in};
use crate::common::sounds::wav;
use crate::common::tools::{run, said};

fn long_name() -> Vec<u8> {
    let mut name = "ö".repeat(125).into_bytes();
    name.push(b'x');
    name.extend_from_slice(b".wav");
    assert_eq!(name.len(), 255);
    name
}

/// Names that have caused trouble somewhere.
fn names() -> Vec<Vec<u8>> {
    let plain: [&[u8]; 22] = [
        b"new\nline.wav",
        b"tab\there.wav",
        b"it's \"quoted\" `so`.wav",
        b"back\\slash \\n \\040.wav",
        b" leading and trailing .wav",
        b"-rf.wav",
        b"$HOME $(id) ; & | * ? [a] {b}.wav",
        b"percent %s %d.wav",
        b"bell\x07 escape\x1b[31m.wav",
        b"\xff\xfe not UTF-8.wav",
        b"Latin-1 caf\xe9.wav",
        b"cut off \xe2\x82.wav",
        b"Case.wav",
        b"case.wav",
        b"CASE.WAV",
        "caf\u{e9}.wav".as_bytes(),
        "cafe\u{301}.wav".as_bytes(),
        "\u{1f941} drum \u{202e}vaw.wav".as_bytes(),
        "日本語 の 太鼓.wav".as_bytes(),
        b"two.dots..wav",
        b"Kick",
        b"rules.yml.wav",
    ];
    let mut names: Vec<Vec<u8>> = plain.iter().map(|name| name.to_vec()).collect();
    names.push(long_name());
    names
}

fn mount() -> (Mount, BTreeMap<PathBuf, Vec<u8>>) {
    let dir = new_dir();
    let mut files = BTreeMap::new();
    for (seed, name) in names().iter().enumerate() {
        // Some in a folder whose name is no better.
        let folder: &[u8] = if seed % 3 == 0 { b"odd \xff\n\"folder\"" } else { b"plain" };
        let path = Path::new(OsStr::from_bytes(folder)).join(OsStr::from_bytes(name));
        put(&dir.path().join("archive").join(&path), &wav(seed as u64));
        files.insert(path, wav(seed as u64));
    }
    (Mount::start(dir), files)
}

#[test]
fn every_name_is_shown_as_it_is_and_its_bytes_are_identical() {
    let (mount, files) = mount();
    mount.save_rules("routes:\n  - {path: \"**\", to: All}\n").unwrap();
    let root = mount.path("All");
    let shown: Vec<PathBuf> =
        files_below(&root).iter().map(|path| path.strip_prefix(&root).unwrap().to_owned()).collect();
    assert_eq!(shown, files.keys().cloned().collect::<Vec<_>>());
    for (path, bytes) in &files {
        assert!(fs::symlink_metadata(root.join(path)).unwrap().is_file(), "{path:?}");
        assert_eq!(&fs::read(root.join(path)).unwrap(), bytes, "{path:?}");
        let cat = run("cat", &["--".as_ref(), root.join(path).as_os_str()]);
        assert_eq!(&cat.stdout, bytes, "{path:?}: {}", String::from_utf8_lossy(&cat.stderr));
    }
    let copy = mount.dir.path().join("copy");
    let done = run("cp", &["-r".as_ref(), root.as_os_str(), copy.as_os_str()]);
    assert!(done.status.success(), "{}", said(&done));
    let same = run("diff", &["-r".as_ref(), copy.as_os_str(), mount.archive.as_os_str()]);
    assert!(same.status.success(), "{}", said(&same));
}

#[test]
fn names_that_meet_in_a_flat_folder_are_told_apart_by_their_content() {
    let dir = new_dir();
    let long = Path::new("c").join(OsStr::from_bytes(&long_name()));
    let also = Path::new("d").join(OsStr::from_bytes(&long_name()));
    for (seed, path) in [Path::new("a/kick.wav"), Path::new("b/kick.wav"), &long, &also].iter().enumerate() {
        put(&dir.path().join("archive").join(path), &wav(seed as u64));
    }
    let mut mount = Mount::start(dir);
    mount.save_rules("layout: flat\nroutes:\n  - {path: \"**\", to: All}\n").unwrap();
    let listed = paths_in(&mount.path("All"));
    assert_eq!(listed.len(), 4);
    let mut bytes: Vec<Vec<u8>> = listed.iter().map(|path| fs::read(path).unwrap()).collect();
    bytes.sort();
    let mut want: Vec<Vec<u8>> = (0..4).map(wav).collect();
    want.sort();
    assert_eq!(bytes, want);
    let names: Vec<&[u8]> = listed.iter().map(|path| path.file_name().unwrap().as_bytes()).collect();
    assert!(names.iter().all(|name| name.len() <= 255 && name.ends_with(b".wav")));
    assert!(names.contains(&&b"kick.wav"[..]));
    let hash =
        mount.index().into_iter().find(|record| record["relative_path"] == "b/kick.wav").unwrap()["hash"].clone();
    let short = &hash.as_str().unwrap()[..8];
    assert!(names.contains(&format!("kick [{short}].wav").as_bytes()), "{names:?}");
    // Not by the order in which they came: a remount and another pass give the same names.
    assert!(mount.end().success());
    mount.mount_again();
    mount.rescan();
    assert_eq!(paths_in(&mount.path("All")), listed);
}

#[test]
fn a_path_that_is_not_utf8_is_carried_in_the_index_without_loss() {
    let (mount, files) = mount();
    let mut carried: Vec<PathBuf> = mount
        .index()
        .iter()
        .map(|record| match record["relative_path_bytes"].as_str() {
            Some(hex) => {
                assert!(hex.len() % 2 == 0);
                let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
                std::ffi::OsString::from_vec(bytes.collect()).into()
            }
            None => PathBuf::from(record["relative_path"].as_str().unwrap()),
        })
        .collect();
    carried.sort();
    assert_eq!(carried, files.keys().cloned().collect::<Vec<_>>());
}

#[test]
fn a_newline_in_a_path_does_not_break_a_manifest() {
    let (mount, files) = mount();
    mount.save_rules("routes:\n  - {path: \"**\", to: All}\n").unwrap();
    let manifest = fs::read(mount.path("_manifests/All.txt")).unwrap();
    assert_eq!(manifest.iter().filter(|&&b| b == b'\n').count(), files.len(), "a line each");
    assert!(manifest.windows(12).any(|part| part == b"new\\nline.wa"));
}

#[test]
fn a_name_longer_than_a_name_may_be_is_said_to_be_too_long() {
    let (mount, _) = mount();
    let name = "x".repeat(256);
    for folder in ["", "misc", "_control"] {
        let error = fs::metadata(mount.path(folder).join(&name)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG), "{folder}");
    }
}
