//! kill -9 at what `tests/storing/kill.rs`, `tests/indexing/stopping.rs` and `tests/mount/crash.rs` leave out: the files
//! beside the database, what was heard, opening, and the mending of a store.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use drumfs::archive::{ContentHash, HashAlgorithm};
use drumfs::classify::places::write_whole;
use drumfs::index::{Analysis, Status};
use drumfs::learn::Learned;
use drumfs::store::{OpenOptions, SampleEntry};

use crate::support::{Place, Running};

/// A fixed sequence, so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// This program again, to do `work` in a folder until it is killed.
fn command(work: &str, place: &Place, from: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "kill::works_for_another_test", "--nocapture"]);
    command.env("DRUMFS_TEST_WORK", work).env("DRUMFS_TEST_FROM", from.to_string());
    command.env("DRUMFS_TEST_PLACE", place.path()).stdin(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
#[ignore = "other tests run it in a process of its own"]
fn works_for_another_test() {
    let var = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: other tests start this one"));
    let place = PathBuf::from(var("DRUMFS_TEST_PLACE"));
    let from: u64 = var("DRUMFS_TEST_FROM").parse().unwrap();
    let store = || options(&place).open().unwrap().store;
    match &var("DRUMFS_TEST_WORK")[..] {
        "calibrating" => {
            for number in from.. {
                write_whole(&place.join("calibration.json"), &numbered(number)).unwrap();
                println!("\nack {number}");
            }
        }
        "learning" => {
            for number in from.. {
                learned(number).adopt(&place.join("learned")).unwrap();
                println!("\nack {number}");
            }
        }
        "hearing" => {
            let store = store();
            for number in from.. {
                let (path, entry, analysis) = heard(number);
                store.record(&[(entry.hash.unwrap(), "m", &analysis)], &[(&path, &entry)]).unwrap();
                if number % 5 == 0 {
                    store.flush().unwrap();
                    println!("\nack {number}");
                }
            }
        }
        "opening" => loop {
            println!("\nack {from}");
            drop(store());
        },
        other => panic!("what is `{other}`?"),
    }
}

fn options(place: &Path) -> OpenOptions {
    let archive = place.join("archive").canonicalize().unwrap();
    OpenOptions { folder: place.join("store"), archive, repair: false, purpose: "a test".to_owned() }
}

/// A text that says its number, and is whole only at its end.
fn numbered(number: u64) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({ "number": number, "more": "x".repeat(20_000), "end": number })).unwrap()
}

/// A learned.json, with its number as the time.
fn learned(number: u64) -> Learned {
    let figures = serde_json::json!({
        "sounds": 1, "top1_canonical": 1.0, "top1_fine": 1.0, "nll": 0.5, "ece_canonical": 0.1
    });
    let value = serde_json::json!({
        "model": "m", "labels_checksum": "l", "at": number as f64,
        "fitted_on": {"overrides": 1, "no_label": 0, "unheard": 0, "packs": 1, "shipped": 1, "hash": "0"},
        "effect": {
            "held_out": {"by": "pack", "packs": 2, "groups": 2},
            "before": figures, "after": figures, "after_same_packs": null,
            "shipped_before": figures, "shipped_after": figures
        },
        "change": {"weights": vec![vec![number as f32; 96]; 34], "bias": vec![0.0; 34]}
    });
    serde_json::from_value(value).unwrap()
}

fn heard(number: u64) -> (Vec<u8>, SampleEntry, Analysis) {
    let hash = ContentHash::of(HashAlgorithm::Xxh3, &number.to_le_bytes());
    let entry =
        SampleEntry { size: number, mtime_ns: number as i64, hash: Some(hash), unreadable: None, missing: false };
    let logits = vec![number as f32; 34];
    let analysis = Analysis { status: Status::Ok, error: None, attributes: None, logits, embedding: None };
    (format!("{number:08}.wav").into_bytes(), entry, analysis)
}

/// Kills the work again and again; `check` is told the last number that was acknowledged and gives the number to go on
/// from.
fn rounds(work: &str, place: &Place, count: u64, most_acks: u64, mut check: impl FnMut(u64) -> u64) {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut next = 0;
    for round in 0..count {
        let mut run = Running(command(work, place, next).stdout(Stdio::piped()).spawn().unwrap());
        let lines = BufReader::new(run.0.stdout.take().unwrap()).lines();
        let (wanted, mut seen, mut last) = (1 + random.below(most_acks), 0, None);
        for line in lines {
            let Some(number) = line.unwrap().strip_prefix("ack ").map(|number| number.parse::<u64>().unwrap()) else {
                continue;
            };
            last = Some(number);
            seen += 1;
            if seen == wanted {
                // Not at the word itself: somewhere in the work on the next.
                std::thread::sleep(std::time::Duration::from_micros(random.below(1500)));
                run.signal(libc::SIGKILL);
            }
        }
        let status = run.0.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL), "round {round}");
        next = check(last.expect("something was acknowledged"));
    }
}

/// Reads all the time while `work` goes on, and stops at the first thing that is wrong.
fn with_reader(read: impl Fn() + Send + Sync, work: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                read();
            }
        });
        work();
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn a_calibration_is_the_old_one_or_the_new_one() {
    let place = Place::new();
    write_whole(&place.path().join("calibration.json"), &numbered(0)).unwrap();
    let read = || {
        let text = fs::read(place.path().join("calibration.json")).unwrap();
        drop(serde_json::from_slice::<serde_json::Value>(&text).expect("whole, whenever it is read"));
    };
    let work = || {
        rounds("calibrating", &place, 30, 12, |acknowledged| {
            let text = fs::read(place.path().join("calibration.json")).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&text).expect("whole");
            let found = value["number"].as_u64().unwrap();
            assert_eq!(value["end"], found);
            assert!(
                (acknowledged..=acknowledged + 1).contains(&found),
                "{acknowledged} was acknowledged, found {found}"
            );
            found + 1
        })
    };
    with_reader(read, work);
}

#[test]
fn what_was_learnt_is_the_old_or_the_new_and_what_was_before_can_be_taken_back() {
    let place = Place::new();
    let folder = place.path().join("learned");
    fs::create_dir(&folder).unwrap();
    learned(0).adopt(&folder).unwrap();
    let read = || drop(Learned::read(&folder).expect("whole, whenever it is read").expect("one is in force"));
    let work = || {
        rounds("learning", &place, 30, 12, |acknowledged| {
            let found = Learned::read(&folder).unwrap().expect("one is in force").at as u64;
            assert!(
                (acknowledged..=acknowledged + 1).contains(&found),
                "{acknowledged} was acknowledged, found {found}"
            );
            assert!(Learned::read(&folder).unwrap().unwrap() == learned(found));
            found + 1
        })
    };
    with_reader(read, work);
    // The way back has no gap in it and no half.
    let mut at = u64::MAX;
    while let Some(now) = Learned::read(&folder).unwrap() {
        assert!(now == learned(now.at as u64) && now.at as u64 <= at);
        at = now.at as u64;
        assert!(Learned::undo(&folder).unwrap());
    }
}

#[test]
fn what_was_heard_and_flushed_is_there_and_no_sample_points_at_nothing() {
    let place = Place::new();
    let mut flushed = Vec::new();
    rounds("hearing", &place, 40, 8, |acknowledged| {
        flushed.push(acknowledged);
        let store = place.open().unwrap().store;
        for &number in &flushed {
            let (path, entry, analysis) = heard(number);
            assert_eq!(store.sample(&path).unwrap(), Some(entry));
            assert_eq!(store.analysis(&entry_hash(number), "m").unwrap(), Some(analysis));
        }
        for item in store.samples() {
            let (path, entry) = item.unwrap();
            assert!(store.has_analysis(&entry.hash.unwrap(), "m").unwrap(), "{}", String::from_utf8_lossy(&path));
        }
        acknowledged + 100
    });
}

fn entry_hash(number: u64) -> ContentHash {
    ContentHash::of(HashAlgorithm::Xxh3, &number.to_le_bytes())
}

#[test]
fn killed_while_a_store_is_opened_and_mended_no_word_is_lost() {
    let place = Place::new();
    let words = |number: u64| (entry_hash(number), Some(format!("label {number}")), None);
    let mut random = Random(0xD1B5_4A32_D192_ED03);
    let mut said = 0;
    let hash = entry_hash(0);
    let store = place.open().unwrap().store;
    store.set_overrides(&[words(0)]).unwrap();
    store.accept_rules("layout: flat\n").unwrap();
    drop(store);
    let journal = place.store().join("journal.jsonl");
    for _ in 0..20 {
        // One of the two has lost something each time: the database all of it, or the journal a line.
        if random.below(2) == 0 {
            fs::remove_dir_all(place.store().join("db")).unwrap();
        } else {
            let mut text = fs::read(&journal).unwrap();
            let at = random.below(text.len() as u64 / 2) as usize;
            text[at] ^= 1;
            fs::write(&journal, text).unwrap();
        }
        rounds("opening", &place, 1, 2, |_| 0);
        let store = place.open().unwrap().store;
        let overrides: std::collections::BTreeMap<_, _> = store.overrides().map(Result::unwrap).collect();
        assert_eq!(overrides.len(), said as usize + 1);
        assert_eq!(overrides[&hash].label, "label 0");
        assert_eq!(store.rules().unwrap().active.as_deref(), Some("layout: flat\n"));
        said += 1;
        store.set_overrides(&[words(said)]).unwrap();
    }
}
