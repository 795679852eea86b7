//! What fuzzing has found, and what it starts from, through the same functions as `fuzz/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use super::targets::{self, Target};

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

/// The files of a corpus with their names, in order.
fn files(name: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(corpus(name)).unwrap_or_else(|error| panic!("no corpus of {name}: {error}"));
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Runs a target on one input and gives what is wrong; an input that never ends ends the process.
fn run(name: &str, target: Target, what: &str, data: &[u8]) -> Option<String> {
    let (done, waits) = channel::<()>();
    let told = format!("{name}, {what}");
    let watchdog = std::thread::spawn(move || {
        if waits.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{told}: a minute went by");
            std::process::abort();
        }
    });
    let caught = std::panic::catch_unwind(|| target(data));
    drop(done);
    watchdog.join().unwrap();
    caught.err().map(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        format!("{name}, {what}: {text}")
    })
}

#[test]
fn nothing_that_fuzzing_found_goes_wrong_again() {
    let (mut bytes, mut wrong) = (0, Vec::new());
    for (name, target) in targets::ALL {
        let files = files(name);
        assert!(!files.is_empty(), "{name} has no corpus");
        for (file, data) in files {
            bytes += data.len();
            wrong.extend(run(name, target, &file, &data));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(bytes < 400_000, "the corpora have {bytes} bytes: minimise them with `cargo fuzz cmin`");
}

/// A short walk around each file, for machines without a fuzzer: the same changes on every run.
#[test]
fn nothing_next_to_what_fuzzing_found_goes_wrong() {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let mut wrong = Vec::new();
    for (name, target) in targets::ALL {
        for (file, data) in files(name) {
            for round in 0..12 {
                let mut data = data.clone();
                for _ in 0..=random(3) {
                    let (at, from) = (random(data.len()), random(data.len()));
                    match random(5) {
                        0 => data.truncate(at),
                        1 => data.iter_mut().skip(at).take(4).for_each(|byte| *byte = [0, 0xFF][round % 2]),
                        2 => data.extend_from_within(from.min(at)..at.max(from)),
                        3 => drop(data.drain(from.min(at)..at.max(from))),
                        _ => data.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (round % 8)),
                    }
                }
                wrong.extend(run(name, target, &format!("{file} changed, round {round}"), &data));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `fuzz/` and this list can't drift apart.
#[test]
fn every_target_is_fuzzed_and_every_corpus_has_a_target() {
    let named: Vec<String> = targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    let here = |folder: &str| {
        let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let mut sorted = named.clone();
    sorted.sort();
    assert_eq!(here("fuzz_targets"), sorted);
    assert_eq!(here("corpus"), sorted);
}
