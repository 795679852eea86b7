//! The copy of the catalogue beside the store: used only where it says what the store says.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use drumfs::archive::{ContentHash, HashAlgorithm};
use drumfs::audio::Attributes;
use drumfs::classify::Head;
use drumfs::index::{Analysis, Status, join, snapshot};
use drumfs::store::{OpenOptions, SampleEntry, Store, Token};
use drumfs::view::{Catalogue, Sample};

use crate::support::{Place, Running, ensemble};

fn path(number: u64) -> Vec<u8> {
    format!("pack {}/{number:05}.wav", number % 7).into_bytes()
}

/// Writes a sample as a pass does: another `word` is another content.
fn put(store: &Store, number: u64, word: u64) {
    let hash = ContentHash::of(HashAlgorithm::Xxh3, &(number, word).0.wrapping_mul(word + 1).to_le_bytes());
    let entry = SampleEntry { size: word, mtime_ns: 1, hash: Some(hash), unreadable: None, missing: false };
    let mut logits = vec![0.0; 34];
    logits[(number + word) as usize % 34] = 9.0;
    let attributes = Attributes {
        duration_sec: word as f64,
        rms_dbfs: -20.0,
        centroid_hz: 1.0,
        rolloff_hz: 2.0,
        sample_rate: 44_100,
        channels: 1,
        codec: "pcm_s16le".into(),
    };
    let analysis = match word % 5 {
        0 => {
            let error = Some("too short to be heard".to_owned());
            Analysis { status: Status::TooShort, error, attributes: Some(attributes), logits: vec![], embedding: None }
        }
        _ => Analysis { status: Status::Ok, error: None, attributes: Some(attributes), logits, embedding: None },
    };
    let model = ensemble().leading().model_id();
    store.record_heard(&[(hash, model, &analysis)], &[(&path(number), &entry, ensemble().ears())]).unwrap();
}

fn keep(store: &Store) -> bool {
    let catalogue = join::load_from_store(store, ensemble()).unwrap();
    snapshot::write(store, ensemble(), &catalogue, store.changes()).unwrap()
}

fn all(catalogue: &Catalogue) -> Vec<Sample> {
    catalogue.samples().iter().map(|sample| sample.to_sample()).collect()
}

/// Whether the copy is used; whether or not, what is loaded is what the records make.
fn is_used(store: &Store) -> bool {
    let truth = all(&join::load_from_store(store, ensemble()).unwrap());
    assert_eq!(all(&drumfs::index::load(store, ensemble()).unwrap()), truth);
    let copy = snapshot::read(store, ensemble());
    if let Some(copy) = &copy {
        assert_eq!(all(copy), truth);
    }
    copy.is_some()
}

fn file(place: &Place) -> std::path::PathBuf {
    place.store().join(snapshot::NAME)
}

#[test]
fn a_copy_is_used_until_something_is_heard_or_forgotten() {
    let place = Place::new();
    let store = place.open().unwrap().store;
    assert!(!is_used(&store), "there is none");
    (0..500).for_each(|number| put(&store, number, 1));
    assert!(keep(&store) && is_used(&store));
    assert!(!fs::exists(file(&place).with_extension("bin.new")).unwrap());
    // What people say, and who has heard a sample, is not in it.
    store.set_overrides(&[(ContentHash::of(HashAlgorithm::Xxh3, b"x"), Some("Kick".into()), None)]).unwrap();
    store.accept_rules("layout: flat\n").unwrap();
    store.keep_draft("layout: ").unwrap();
    let entry = store.sample(&path(3)).unwrap().unwrap();
    store.note_ears(&[(&path(3), &entry, 7)]).unwrap();
    assert!(is_used(&store));
    drop(store);
    let mut store = place.open().unwrap().store;
    assert!(is_used(&store), "it is used by the next process, too");
    let gone = path(5);
    let changes: [&dyn Fn(&Store); 4] = [
        &|store| put(store, 900, 1),
        &|store| put(store, 4, 2),
        &|store| store.forget_paths([&gone[..]].into_iter()).unwrap(),
        &|store| store.record(&[], &[(&path(6), &SampleEntry { missing: true, ..entry.clone() })]).unwrap(),
    ];
    for change in changes {
        change(&store);
        assert!(!is_used(&store));
        drop(store);
        store = place.open().unwrap().store;
        assert!(!is_used(&store), "nor by the next process");
        assert!(keep(&store) && is_used(&store));
    }
}

#[test]
fn what_is_written_while_a_copy_is_made_is_not_missing_in_it() {
    let place = Place::new();
    let store = place.open().unwrap().store;
    (0..50).for_each(|number| put(&store, number, 1));
    let changes = store.changes();
    let catalogue = join::load_from_store(&store, ensemble()).unwrap();
    put(&store, 51, 1);
    assert!(!snapshot::write(&store, ensemble(), &catalogue, changes).unwrap());
    assert!(!store.vouch(Token::new(), changes).unwrap());
    assert!(!is_used(&store));
}

#[test]
fn a_copy_that_other_models_or_corrections_judged_is_passed_over() {
    let place = Place::new();
    let store = place.open().unwrap().store;
    (0..50).for_each(|number| put(&store, number, 1));
    assert!(keep(&store));
    let size = ensemble().leading().description().embedding.as_ref().unwrap().size;
    let learnt = ensemble().with_head(Some(Head::from_change(&vec![0.5; 34 * (size + 1)], 34, size)));
    assert!(snapshot::read(&store, &learnt).is_none());
    let nothing = ensemble().with_head(Some(Head::none(34, size)));
    assert!(snapshot::read(&store, &nothing).is_none());
    assert!(is_used(&store));
}

#[test]
fn a_damaged_copy_is_passed_over() {
    let place = Place::new();
    let store = place.open().unwrap().store;
    (0..300).for_each(|number| put(&store, number, number % 4));
    assert!(keep(&store) && is_used(&store));
    let whole = fs::read(file(&place)).unwrap();
    let mut random = 0x2545_F491_4F6C_DD1Du64;
    for round in 0..300 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut damaged = whole.clone();
        // The header more often than its length would have it.
        let end = if round % 2 == 0 { 80 } else { whole.len() };
        let place_of = random as usize % end;
        match round % 5 {
            0 | 1 => damaged[place_of] ^= 1 << (random >> 60 & 7),
            2 => damaged.truncate(place_of),
            3 => damaged[place_of..(place_of + 4).min(whole.len())].fill(0xFF),
            _ => damaged.extend_from_slice(&whole[..place_of + 1]),
        }
        if damaged != whole {
            fs::write(file(&place), &damaged).unwrap();
            assert!(snapshot::read(&store, ensemble()).is_none(), "round {round}, at {place_of}");
        }
    }
    // A file as long as it says, with nothing in it.
    let long = fs::File::create(file(&place)).unwrap();
    long.set_len(1 << 40).unwrap();
    assert!(snapshot::read(&store, ensemble()).is_none());
    fs::remove_file(file(&place)).unwrap();
    assert!(snapshot::read(&store, ensemble()).is_none());
    fs::create_dir(file(&place)).unwrap();
    assert!(snapshot::read(&store, ensemble()).is_none());
    assert!(!is_used(&store));
    fs::remove_dir(file(&place)).unwrap();
    fs::write(file(&place), &whole).unwrap();
    assert!(is_used(&store));
}

#[test]
fn a_copy_of_another_state_of_the_store_is_passed_over() {
    let place = Place::new();
    let store = place.open().unwrap().store;
    (0..50).for_each(|number| put(&store, number, 1));
    assert!(keep(&store));
    let old = fs::read(file(&place)).unwrap();
    put(&store, 3, 2);
    assert!(keep(&store));
    // As after a restore of a part of a backup.
    fs::write(file(&place), old).unwrap();
    assert!(!is_used(&store));
    drop(store);
    fs::remove_dir_all(place.store().join("db")).unwrap();
    assert!(!is_used(&place.open().unwrap().store));
}

/// An analysis that is gone although its sample says that it was heard: nobody but the records knows.
#[test]
fn what_a_damaged_database_lost_is_heard_again() {
    let place = Place::with_sounds(6);
    place.index(&[]);
    assert_eq!(place.index(&[]).count("unchanged"), 6);
    let db = place.database();
    let analyses = db.open_tree("analyses").unwrap();
    let first = analyses.iter().keys().next().unwrap().unwrap();
    analyses.remove(first).unwrap();
    drop((analyses, db));
    let store = place.open().unwrap().store;
    fs::remove_file(file(&place)).unwrap();
    drumfs::index::load(&store, ensemble()).unwrap();
    assert!(store.known().all(|known| known.unwrap().ears != ensemble().ears()), "all are looked up now");
    drop(store);
    let run = place.index(&[]);
    assert_eq!((run.count("heard"), run.count("unchanged")), (1, 5), "{run:?}");
    assert_eq!(place.index(&[]).count("unchanged"), 6);
    let store = place.open().unwrap().store;
    assert!(store.known().all(|known| known.unwrap().ears == ensemble().ears()), "and never again");
}

#[test]
fn index_leaves_a_copy_for_the_next_mount_and_keeps_it_up_to_date() {
    let place = Place::with_sounds(12);
    place.index(&[]);
    assert!(is_used(&place.open().unwrap().store));
    let written = fs::metadata(file(&place)).unwrap().modified().unwrap();
    place.index(&[]);
    assert_eq!(fs::metadata(file(&place)).unwrap().modified().unwrap(), written, "nothing changed: nothing is written");
    place.put("new.wav", &crate::support::wav(99));
    fs::rename(place.archive().join("pack 0/00000.wav"), place.archive().join("renamed.wav")).unwrap();
    fs::remove_file(place.archive().join("pack 1/00001.wav")).unwrap();
    place.index(&[]);
    let store = place.open().unwrap().store;
    assert!(is_used(&store));
    let copy = snapshot::read(&store, ensemble()).unwrap();
    assert!(copy.by_path(b"new.wav").is_some() && copy.by_path(b"renamed.wav").is_some());
    assert!(copy.by_path(b"pack 0/00000.wav").is_none());
    assert!(!copy.by_path(b"pack 1/00001.wav").unwrap().1.is_present());
}

/// Writes samples and copies in turn, and says what it does, until it is killed.
#[test]
#[ignore = "another test runs it in a process of its own"]
fn writes_until_it_is_killed() {
    let var = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: another test starts this one"));
    let options = OpenOptions {
        folder: var("DRUMFS_TEST_STORE").into(),
        archive: var("DRUMFS_TEST_ARCHIVE").into(),
        repair: false,
        purpose: "a child".to_owned(),
    };
    let store = options.open().unwrap().store;
    let seed: u64 = var("DRUMFS_TEST_SEED").parse().unwrap();
    for step in 0u64.. {
        let number = seed.wrapping_mul(31).wrapping_add(step * 7) % 200;
        match step % 6 {
            2 | 5 => {
                keep(&store);
            }
            3 => store.forget_paths([&path(number)[..]].into_iter()).unwrap(),
            _ => put(&store, number, seed % 1000 + step),
        }
        println!("\nstep {step}");
        if step == RESTING && var("DRUMFS_TEST_REST") == "yes" {
            std::thread::sleep(std::time::Duration::from_secs(600));
        }
    }
}

/// A step after which there is a copy.
const RESTING: u64 = 5;

fn child(store: &Path, archive: &Path, seed: u64, rest: bool) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "copy::writes_until_it_is_killed", "--nocapture"]);
    command.env("DRUMFS_TEST_STORE", store).env("DRUMFS_TEST_ARCHIVE", archive.canonicalize().unwrap());
    command.env("DRUMFS_TEST_REST", if rest { "yes" } else { "no" });
    command.env("DRUMFS_TEST_SEED", seed.to_string()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

#[test]
fn after_a_kill_9_no_old_copy_is_taken_for_a_new_one() {
    let place = Place::new();
    drop(place.open().unwrap());
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    for round in 0..50u64 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Now and then it is killed while it does nothing, and there is a copy.
        let rest = round % 5 == 4;
        let mut run = Running(child(&place.store(), &place.archive(), random % 10_000, rest).spawn().unwrap());
        let wanted = if rest { RESTING } else { random >> 32 & 15 };
        for line in BufReader::new(run.0.stdout.take().unwrap()).lines() {
            if line.unwrap() == format!("step {wanted}") {
                // At whatever it does now.
                std::thread::sleep(std::time::Duration::from_micros(random >> 48 & 0x1FFF));
                run.signal(libc::SIGKILL);
            }
        }
        run.0.wait().unwrap();
        let store = place.open().unwrap_or_else(|error| panic!("round {round}: {error}")).store;
        assert!(is_used(&store) || !rest, "round {round}: a copy that was vouched for is used");
    }
}
