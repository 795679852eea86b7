//! Databases that a disk, a person or a crash has been at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::child::{self, Said, hash};
use crate::support::{Place, copy_tree};

const SOUNDS: u32 = 40;

/// An archive that was heard, with a few words of a person.
fn heard() -> (Place, Said) {
    let place = Place::with_sounds(SOUNDS);
    assert_eq!(place.index(&[]).code, Some(0));
    let store = place.open().unwrap().store;
    let changes: Vec<_> = (0..5).map(|number| (hash(number), Some(format!("label {number}")), None)).collect();
    store.set_overrides(&changes).unwrap();
    store.accept_rules("layout: flat\n").unwrap();
    let said = Said::of(&store);
    drop(store);
    (place, said)
}

/// The files of the database by what they are: `db`, `conf`, and a snapshot.
fn files(store: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(store.join("db")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    files
}

fn is(path: &Path, name: &str) -> bool {
    path.file_name().unwrap().to_string_lossy().starts_with(name)
}

/// A copy of a store whose files `harm` has been at.
fn harmed(place: &Place, name: &str, harm: impl Fn(&Path, &mut Vec<u8>)) -> PathBuf {
    let store = place.path().join(name);
    copy_tree(&place.store(), &store);
    for path in files(&store) {
        let mut bytes = fs::read(&path).unwrap();
        let before = bytes.clone();
        harm(&path, &mut bytes);
        if bytes != before {
            fs::write(&path, bytes).unwrap();
        }
    }
    store
}

/// What a child that opened a store and read everything tells.
#[derive(Debug)]
enum Told {
    /// It was refused, or something in it could not be read.
    Refused(String),
    /// It was read: how many samples, and what people said.
    Read(u64, Said),
}

fn told(output: &Output) -> Told {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "ended badly: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    for line in text.lines() {
        if let Some(error) = line.strip_prefix("refused ").or_else(|| line.strip_prefix("failed ")) {
            return Told::Refused(error.to_owned());
        }
    }
    let line = text.lines().find_map(|line| line.strip_prefix("read ")).expect("an answer");
    let answer: serde_json::Value = serde_json::from_str(line).unwrap();
    let overrides = serde_json::from_value(answer["overrides"].clone()).unwrap();
    let rules = answer["rules"].as_str().map(str::to_owned);
    Told::Read(answer["samples"].as_u64().unwrap(), Said { overrides, rules })
}

/// Whatever the damage: a store either opens with every word of a person in it, or says that `--repair` helps, and then
/// it does.
fn survives(place: &Place, store: &Path, said: &Said, what: &str) {
    match told(&child::command("read", store, &place.archive()).output().unwrap()) {
        Told::Read(samples, found) => {
            assert_eq!(&found, said, "{what}: a word was lost");
            assert!(samples <= u64::from(SOUNDS), "{what}: {samples}");
        }
        Told::Refused(error) => {
            assert!(error.contains("damaged") && error.contains("--repair"), "{what}: {error}");
            match told(&child::command("repair", store, &place.archive()).output().unwrap()) {
                Told::Read(samples, found) => {
                    assert_eq!(&found, said, "{what}: a word was lost in the repair");
                    assert!(samples <= u64::from(SOUNDS), "{what}: {samples}");
                }
                Told::Refused(error) => panic!("{what}: not even --repair helps: {error}"),
            }
        }
    }
}

#[test]
fn a_truncated_or_zeroed_database_is_refused_with_the_way_out_and_repair_takes_it() {
    let (place, said) = heard();
    let cut = |share: f64| {
        move |path: &Path, bytes: &mut Vec<u8>| {
            if is(path, "db") {
                bytes.truncate((bytes.len() as f64 * share) as usize);
            }
        }
    };
    let stores = [
        harmed(&place, "half", cut(0.5)),
        harmed(&place, "tenth", cut(0.1)),
        harmed(&place, "zeroed", |path, bytes| {
            if is(path, "db") {
                bytes.fill(0);
            }
        }),
    ];
    for store in stores {
        let name = store.file_name().unwrap().to_string_lossy().into_owned();
        let index = |more: &[&str]| {
            let mut command = crate::support::index_command(&place.archive(), &store, more);
            crate::support::Indexed::of(&command.output().unwrap())
        };
        let run = index(&[]);
        if run.code == Some(1) {
            for word in ["damaged", "--repair", "overrides"] {
                assert!(run.stderr.contains(word), "{name}: `{word}` is not in: {}", run.stderr);
            }
            assert!(!run.stderr.contains("panicked"), "{name}: {}", run.stderr);
            let repaired = index(&["--repair"]);
            assert_eq!((repaired.code, repaired.count("heard")), (Some(0), u64::from(SOUNDS)), "{name}: {repaired:?}");
            assert!(repaired.stderr.contains("set aside"), "{name}: {}", repaired.stderr);
        } else {
            assert_eq!(run.code, Some(0), "{name}: {run:?}");
        }
        let options = drumfs::store::OpenOptions { folder: store.clone(), ..place.options(false) };
        assert_eq!(Said::of(&options.open().unwrap().store), said, "{name}");
        assert_eq!(index(&[]).count("unchanged"), u64::from(SOUNDS), "{name}");
    }
}

#[test]
fn a_database_that_lost_a_file_or_is_full_of_junk_loses_no_word() {
    let (place, said) = heard();
    let all = files(&place.store());
    for name in ["db", "conf", "snap"] {
        let gone = harmed(&place, &format!("without {name}"), |_, _| {});
        for path in files(&gone).iter().filter(|path| is(path, name)) {
            fs::remove_file(path).unwrap();
        }
        survives(&place, &gone, &said, &format!("{name} is gone"));
        let empty = harmed(&place, &format!("empty {name}"), |path, bytes| {
            if is(path, name) {
                bytes.clear();
            }
        });
        survives(&place, &empty, &said, &format!("{name} is empty"));
        let junk = harmed(&place, &format!("junk {name}"), |path, bytes| {
            if is(path, name) {
                bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at as u8).wrapping_mul(167) ^ 0x5A);
            }
        });
        survives(&place, &junk, &said, &format!("{name} is junk"));
    }
    assert!(!all.is_empty());
}

#[test]
fn no_flipped_bit_loses_a_word() {
    let (place, said) = heard();
    let mut random = 0xD1B5_4A32_D192_ED03u64;
    let mut rounds = 0;
    for name in ["db", "conf", "snap"] {
        for round in 0..if name == "db" { 40 } else { 8 } {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = random;
            let store = harmed(&place, &format!("{name} {round}"), |path, bytes| {
                if is(path, name) {
                    // Only bytes that hold something: the rest of the file is zeros nobody reads.
                    let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
                    let at_byte = (at >> 8) as usize % used;
                    bytes[at_byte] ^= 1 << (at % 8);
                }
            });
            survives(&place, &store, &said, &format!("{name}, bit flip {round}"));
            fs::remove_dir_all(&store).unwrap();
            rounds += 1;
        }
    }
    assert_eq!(rounds, 56);
}

/// Every file that a store is made of, the database's and those beside it, by its path below the store.
fn all_files(store: &Path) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(store, &mut found);
    found.sort();
    found.iter().map(|path| path.strip_prefix(store).unwrap().to_owned()).collect()
}

/// What it is, and what it does to a file's bytes.
type Harm = (String, Box<dyn Fn(&mut Vec<u8>)>);

/// What a disk does to a file, at several places of it.
fn harms(len: usize) -> Vec<Harm> {
    let mut harms: Vec<Harm> = Vec::new();
    let places = [0, len / 4, len / 2, len * 3 / 4, len.saturating_sub(1)];
    for at in places {
        harms.push((format!("cut at {at}"), Box::new(move |bytes| bytes.truncate(at))));
        harms.push((format!("a bit flipped at {at}"), Box::new(move |bytes| bytes[at] ^= 0x10)));
        let zeroed = move |bytes: &mut Vec<u8>| bytes.iter_mut().skip(at).take(512).for_each(|byte| *byte = 0);
        harms.push((format!("zeros from {at}"), Box::new(zeroed)));
    }
    harms.push(("all zeros".into(), Box::new(|bytes| bytes.fill(0))));
    harms.push(("junk behind".into(), Box::new(|bytes| bytes.extend(b"\xff\xfe{junk\n\0\0"))));
    harms
}

/// Nothing of a store is so important that its damage costs a word, and nothing so unimportant that it may stop drumfs
/// without a sentence.
#[test]
fn every_file_of_a_store_may_be_cut_zeroed_flipped_or_gone() {
    let (place, said) = heard();
    let store = place.path().join("harmed");
    let files = all_files(&place.store());
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    for name in ["journal.jsonl", "owner", "db/db", "db/conf"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    let mut tried = 0;
    for file in &files {
        let whole = fs::read(place.store().join(file)).unwrap();
        // Only bytes that hold something: the rest is zeros nobody reads.
        let used = whole.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        for (what, harm) in harms(used).iter().map(|(what, harm)| (&what[..], Some(harm))).chain([("gone", None)]) {
            copy_tree(&place.store(), &store);
            match harm {
                Some(harm) => {
                    let mut bytes = whole.clone();
                    harm(&mut bytes);
                    fs::write(store.join(file), bytes).unwrap();
                }
                None => fs::remove_file(store.join(file)).unwrap(),
            }
            survives(&place, &store, &said, &format!("{}, {what}", file.display()));
            fs::remove_dir_all(&store).unwrap();
            tried += 1;
        }
    }
    assert!(tried >= 70, "{tried}");
}

/// The journal and the database each make good what the other lost, one after the other.
#[test]
fn a_damaged_journal_is_mended_from_the_database_so_that_it_is_enough_again() {
    let (place, said) = heard();
    let journal = place.store().join("journal.jsonl");
    for harm in ["a flipped bit in a label", "a line of zeros", "gone"] {
        let mut bytes = fs::read(&journal).unwrap();
        match harm {
            "gone" => fs::remove_file(&journal).unwrap(),
            "a line of zeros" => {
                let end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
                bytes[..end].fill(0);
                fs::write(&journal, bytes).unwrap();
            }
            _ => {
                // `label 3` becomes `label 2`, which is as good a word as the one that was said.
                let at = bytes.windows(7).position(|part| part == b"label 3").unwrap() + 6;
                bytes[at] ^= 1;
                fs::write(&journal, bytes).unwrap();
            }
        }
        let opened = place.open().unwrap();
        let told = opened.notice.unwrap_or_default();
        assert!(told.contains("journal.jsonl") && told.contains("the database had them"), "{harm}: {told:?}");
        assert_eq!(told.contains("damaged-journal-"), harm != "gone", "{harm}: {told:?}");
        assert_eq!(Said::of(&opened.store), said, "{harm}");
        drop(opened.store);
        assert_eq!(place.open().unwrap().notice, None, "{harm}: it is told once");
        // Now the database goes, and the journal alone has every word.
        let db = place.store().join("db");
        fs::remove_dir_all(&db).unwrap();
        assert_eq!(Said::of(&place.open().unwrap().store), said, "{harm}");
    }
}
