//! Names that are hard on quotes, lines and encodings, through everything that carries a name: index.jsonl and back,
//! overrides, manifests, and a remount. `tests/mount/names.rs` has how they are shown.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use drumfs::index::record::parse_line;
use serde_json::{Value, json};

use crate::common::mount::{Mount, new_dir, put};
use crate::common::sounds::wav;

fn names() -> Vec<Vec<u8>> {
    let mut long = "ö".repeat(125).into_bytes();
    long.extend(b"x.wav");
    let mut names: Vec<Vec<u8>> = [
        &b"new\nline.wav"[..],
        b"\n.wav",
        b"\"{}\": [\\n].wav",
        b"it's.wav",
        b"back\\slash\\.wav",
        b"\\x41.wav",
        b"A.wav",
        b"a.wav",
        b"\xff\xfe.wav",
        b"\xc3\x28 half.wav",
        b"\xed\xa0\x80 surrogate.wav",
        b"nul-like \xc0\x80.wav",
        b"tab\t cr\r bell\x07 del\x7f esc\x1b[2J.wav",
        b"# comment.wav",
        b"- {path: x, hide: true}.wav",
        b"x...wav",
        b" .wav",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    // One letter in both of Unicode's forms, and two that only look alike.
    names
        .extend(["é.wav", "e\u{301}.wav", "Å.wav", "\u{212b}.wav", "\u{feff}bom.wav", "a\u{200b}.wav"].map(Into::into));
    names.push(long);
    names
}

/// Bytes of a name that no other has.
fn bytes(number: usize) -> Vec<u8> {
    wav(number as u64)
}

#[test]
fn every_name_goes_through_index_overrides_and_manifests_and_comes_back() {
    let dir = new_dir();
    let names = names();
    for (number, name) in names.iter().enumerate() {
        put(&dir.path().join("archive/odd \u{301}\n").join(OsStr::from_bytes(name)), &bytes(number));
    }
    let mut mount = Mount::start(dir);
    mount.save_rules("layout: flat\nnames: ignore\nroutes:\n  - {path: \"**\", to: All}\n").unwrap();
    let here = |folder: &str, name: &[u8]| mount.path(folder).join(OsStr::from_bytes(name));

    // index.jsonl and back.
    let index = fs::read(mount.path("_control/index.jsonl")).unwrap();
    let lines: Vec<&[u8]> = index.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), names.len(), "a line each");
    let mut hashes = BTreeMap::new();
    for line in lines {
        let sample = parse_line(line).unwrap();
        let hash = serde_json::from_slice::<Value>(line).unwrap()["hash"].as_str().unwrap().to_owned();
        let path = OsString::from_vec(sample.path.to_vec());
        assert_eq!(fs::read(mount.archive.join(&path)).unwrap(), fs::read(here("All", sample.name())).unwrap());
        hashes.insert(sample.name().to_vec(), hash);
    }
    assert_eq!(hashes.len(), names.len());

    // A word on each: by its path where that is text, else by its content.
    for name in &names {
        let line = match std::str::from_utf8(name) {
            Ok(name) => json!({ "path": format!("odd \u{301}\n/{name}"), "label": "Clap", "note": name }),
            Err(_) => json!({ "hash": hashes[name], "label": "Clap" }),
        };
        mount.append_override(&line.to_string()).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    assert_eq!(mount.status()["overrides"], names.len());
    mount.save_rules("target_labels: all\nlayout: flat\nnames: ignore\n").unwrap();
    for (number, name) in names.iter().enumerate() {
        assert_eq!(fs::read(here("Clap", name)).unwrap(), bytes(number), "{}", String::from_utf8_lossy(name));
    }

    // Another word, and it is still there after a crash.
    for name in &names {
        let line = json!({ "hash": hashes[name], "label": "Cowbell" });
        mount.append_override(&line.to_string()).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    let mut manifest = fs::read(mount.path("_manifests/Cowbell.txt")).unwrap();
    assert_eq!(manifest.pop(), Some(b'\n'));
    assert_eq!(manifest.split(|&byte| byte == b'\n').count(), names.len(), "a line each");
    mount.kill9();
    mount.mount_again();
    let shown: Vec<Vec<u8>> = crate::common::snapshot::paths_in(&mount.path("Cowbell"))
        .iter()
        .map(|path| path.file_name().unwrap().as_bytes().to_vec())
        .collect();
    let mut want = names.clone();
    want.sort();
    assert_eq!(shown, want);
    for (number, name) in names.iter().enumerate() {
        let path = mount.path("Cowbell").join(Path::new(OsStr::from_bytes(name)));
        assert_eq!(fs::read(path).unwrap(), bytes(number), "{}", String::from_utf8_lossy(name));
    }
}
