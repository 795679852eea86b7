//! tests/archive is what archive-labels.csv and archive-others.csv say it is; other tests rely on them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const LABELS: [&str; 34] = [
    "Crash",
    "Hihat",
    "Kick",
    "Ride",
    "Snare",
    "Tom",
    "China",
    "Splash",
    "Cymbal",
    "Sizzle",
    "Rim",
    "Timbale",
    "Timpani",
    "Agogo",
    "Bell",
    "Bongo",
    "Cabasa",
    "Clap",
    "Clave",
    "Conga",
    "Cowbell",
    "Cuica",
    "FX",
    "Guiro",
    "Maracas",
    "Metal",
    "Noise",
    "Perc",
    "Reverse",
    "Shaker",
    "Tambourine",
    "Triangle",
    "Vibraslap",
    "Vox",
];

fn tests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Every file below tests/archive by its path there, with its size in bytes.
fn files() -> BTreeMap<String, u64> {
    fn walk(root: &Path, directory: &Path, found: &mut BTreeMap<String, u64>) {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                walk(root, &entry.path(), found);
            } else {
                assert!(kind.is_file(), "{:?} is a plain file", entry.path());
                let path = entry.path();
                let relative = path.strip_prefix(root).unwrap().to_str().expect("names are UTF-8").to_owned();
                found.insert(relative, entry.metadata().unwrap().len());
            }
        }
    }
    let root = tests_dir().join("archive");
    let mut found = BTreeMap::new();
    walk(&root, &root, &mut found);
    found
}

/// The rows of a listing, each by column name.
fn rows(name: &str) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(tests_dir().join(name)).unwrap().deserialize().map(Result::unwrap).collect()
}

#[test]
fn every_file_is_listed_once_and_every_listed_file_is_there() {
    let listed: Vec<String> = [rows("archive-labels.csv"), rows("archive-others.csv")]
        .concat()
        .iter()
        .map(|row| row["path"].clone())
        .collect();
    let unique: BTreeSet<&String> = listed.iter().collect();
    assert_eq!(unique.len(), listed.len(), "no path is listed twice");
    let files = files();
    assert_eq!(unique, files.keys().collect::<BTreeSet<_>>());
    let bytes: u64 = files.values().sum();
    assert!(bytes < 8_000_000, "{bytes} bytes: the archive stays small");
}

#[test]
fn the_sounds_have_known_labels_and_are_in_the_public_domain() {
    let rows = rows("archive-labels.csv");
    assert!(rows.len() >= 150, "{} sounds", rows.len());
    for row in &rows {
        assert!(LABELS.contains(&row["label"].as_str()), "{row:?}");
        let licence = row["licence"].as_str();
        assert!(
            ["CC0-1.0", "Public-Domain", "Unlicense"].iter().any(|free| licence.starts_with(free)),
            "{row:?}: only public domain sounds"
        );
    }
    let labels: BTreeSet<&String> = rows.iter().map(|row| &row["label"]).collect();
    let kits: BTreeSet<&String> = rows.iter().map(|row| &row["kit"]).collect();
    assert!(labels.len() >= 29 && kits.len() >= 50, "{} labels of {} kits", labels.len(), kits.len());
}

#[test]
fn names_can_be_checked_out_everywhere() {
    let mut folded = BTreeSet::new();
    for path in files().keys() {
        assert!(folded.insert(path.to_lowercase()), "{path}: two names differ in case only");
        for name in path.split('/') {
            assert!(!name.ends_with(['.', ' ']), "{path}: Windows drops the last character");
            assert!(!name.contains(['\\', ':', '*', '?', '"', '<', '>', '|']), "{path}: a character Windows lacks");
            assert!(!name.chars().any(char::is_control), "{path}");
        }
        assert!(path.len() < 150, "{path}: too long for a checkout below a long path");
    }
}

#[test]
fn the_two_pairs_of_copies_are_byte_identical() {
    let root = tests_dir().join("archive");
    for (one, other) in [
        ("Akai/Layered/BD_020.wav", "_unsorted/NEW FOLDER (2)/Copy of kick.wav"),
        ("TR-808/CP.WAV", "Live Set 2019/Samples/Imported/808 clap.wav"),
    ] {
        assert!(fs::read(root.join(one)).unwrap() == fs::read(root.join(other)).unwrap(), "{one} and {other}");
    }
}
