//! An archive, its store, and the program at work on them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use drumfs::exchange::{IndexReader, Record};

use crate::support::{Place, drumfs};

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exchange/golden").join(name)
}

/// Runs a command with the place's store, in its folder; the archive is called `archive` there.
pub fn run(place: &Place, arguments: &[&str]) -> Output {
    drumfs().args(arguments).arg("--store").arg(place.store()).current_dir(place.path()).output().unwrap()
}

/// The same, which has to end with this exit code; what it printed.
#[track_caller]
pub fn run_to(place: &Place, code: i32, arguments: &[&str]) -> String {
    let output = run(place, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it printed as JSON.
#[track_caller]
pub fn json(place: &Place, arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&run_to(place, 0, arguments)).unwrap()
}

/// The records of a file in the place, which are all good.
pub fn records(place: &Place, name: &str) -> Vec<Record> {
    IndexReader::open(&place.path().join(name)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// The record of a path.
#[track_caller]
pub fn record_of<'r>(records: &'r [Record], path: &str) -> &'r Record {
    records.iter().find(|record| &record.sample.path[..] == path.as_bytes()).unwrap_or_else(|| panic!("no {path}"))
}

/// A few of the real sounds, of which the golden index of the older pipeline knows some.
pub fn few() -> Place {
    let place = Place::new();
    for path in ["Akai/Layered/BD_019.wav", "Akai/Layered/RM_01.wav", "TR-808/CP.WAV", "TR-808/CH.WAV", "TR-808/BD.WAV"]
    {
        let bytes = fs::read(crate::support::archive().join(path)).unwrap();
        place.put(path, &bytes);
        if path.ends_with("BD_019.wav") {
            place.put("Copies/kick.wav", &bytes);
        }
    }
    place.put("_unsorted/click.wav", b"RIFF");
    place
}
