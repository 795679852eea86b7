//! The catalogue made of the records, read in their own order, is the one that asking for each sample alone gives.

use std::fs;

use drumfs::archive::{ContentHash, HashAlgorithm};
use drumfs::classify::Ensemble;
use drumfs::config::Config;
use drumfs::index::{Analysis, Status, join};
use drumfs::store::{Known, SampleEntry, Store, StoreError};
use drumfs::view::Sample;

use crate::support::{Place, ensemble};

/// Numbers that are the same in every run: xorshift64 (Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % below
    }
}

/// Three models: two that vote and a gate.
fn several() -> Ensemble {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yml");
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models");
    let text = format!(
        "models:\n- weight: 3\n- {{model_path: {models}/six.onnx, weight: 1}}\n\
         gate: {{model_path: {models}/gate.onnx, accept: kit, threshold: 0.5}}\n"
    );
    fs::write(&path, text).unwrap();
    Ensemble::open(&Config::read(&path).unwrap().ensemble).unwrap()
}

fn analysis(numbers: &mut Numbers, outputs: usize) -> Analysis {
    match numbers.next(6) {
        0 => {
            let error = Some(format!("error {}", numbers.next(99)));
            Analysis { status: Status::TooShort, error, attributes: None, logits: Vec::new(), embedding: None }
        }
        _ => {
            let logits = (0..outputs).map(|_| numbers.next(1000) as f32 / 100.0 - 5.0).collect();
            Analysis { status: Status::Ok, error: None, attributes: None, logits, embedding: None }
        }
    }
}

/// A store of `samples` samples with about as many contents, and analyses of as many others in between.
fn fill(store: &Store, ensemble: &Ensemble, numbers: &mut Numbers, samples: u64, others: u64) {
    let hash = |number: u64| {
        let algorithm = if number.is_multiple_of(7) { HashAlgorithm::Sha256 } else { HashAlgorithm::Xxh3 };
        ContentHash::of(algorithm, &number.to_le_bytes())
    };
    let models: Vec<(&str, usize)> =
        ensemble.models().map(|model| (model.model_id(), model.labels().len())).chain([("another", 5)]).collect();
    for number in 0..samples + others {
        let content = hash(number);
        // Some were heard by some models alone, some by nobody.
        let most = numbers.next(8);
        for (model, outputs) in &models {
            if most > 1 || most == 1 && numbers.next(2) == 0 {
                let analysis = analysis(numbers, *outputs);
                store.record(&[(content, model, &analysis)], &[]).unwrap();
            }
        }
    }
    for number in 0..samples {
        let (with_hash, of) = (numbers.next(12) > 0, numbers.next(samples));
        let entry = SampleEntry {
            size: number,
            mtime_ns: number as i64,
            hash: with_hash.then(|| hash(of)),
            unreadable: (!with_hash && numbers.next(2) == 0).then(|| "may not be read".to_owned()),
            missing: numbers.next(9) == 0,
        };
        let ears = if numbers.next(3) == 0 { ensemble.ears() } else { 0 };
        let path = format!("pack {}/{number:04}.wav", number % 3);
        store.record_heard(&[], &[(path.as_bytes(), &entry, ears)]).unwrap();
    }
}

/// Each sample asked for alone; and whether something that was heard is gone.
fn one_by_one(store: &Store, ensemble: &Ensemble) -> (Vec<Sample>, bool) {
    let mut lost = false;
    let one = |known: Result<Known, StoreError>| {
        let known = known.unwrap();
        let heard = known.entry.hash.map(|hash| join::analyses(store, &hash, ensemble).unwrap());
        lost |= known.ears == ensemble.ears() && heard.as_ref().is_some_and(|heard| !heard.is_complete());
        join(&known.path, &known.entry, heard.as_ref(), ensemble)
    };
    (store.known().map(one).collect(), lost)
}

#[test]
fn whatever_the_store_holds_the_catalogue_is_what_its_records_say() {
    let several = several();
    assert_eq!(several.models().count(), 3);
    let mut losses = 0;
    for (round, (samples, others)) in
        [(0, 0), (0, 20), (1, 0), (1, 400), (3, 600), (60, 0), (60, 20), (200, 300), (400, 5)].into_iter().enumerate()
    {
        let ensemble = if round % 3 == 2 { ensemble() } else { &several };
        let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15 ^ (round as u64 + 1));
        let place = Place::new();
        let store = place.open().unwrap().store;
        fill(&store, ensemble, &mut numbers, samples, others);
        let (truth, lost) = one_by_one(&store, ensemble);
        losses += u32::from(lost);
        // So many at a time.
        for gathered in [1, 2, 7, 100, 1 << 20] {
            if gathered < 7 && samples > 60 {
                continue;
            }
            let catalogue = join::load_in_rounds(&store, ensemble, gathered).unwrap();
            let loaded: Vec<Sample> = catalogue.samples().iter().map(|sample| sample.to_sample()).collect();
            assert_eq!(loaded, truth, "{samples} samples, {gathered} at a time");
            if lost {
                assert!(
                    store.known().all(|known| known.unwrap().ears != ensemble.ears()),
                    "all are looked up from now on"
                );
            }
        }
    }
    assert!(losses > 0, "a loss that is noticed was among them");
}

#[test]
fn a_damaged_analysis_is_told_where_a_sample_needs_it_and_passed_over_where_none_does() {
    let place = Place::new();
    let model = ensemble().leading().model_id();
    let [needed, other] = [b"needed", b"others"].map(|data| ContentHash::of(HashAlgorithm::Xxh3, data));
    let entry = SampleEntry { size: 1, mtime_ns: 1, hash: Some(needed), unreadable: None, missing: false };
    let heard = analysis(&mut Numbers(77), 34);
    place
        .open()
        .unwrap()
        .store
        .record(&[(needed, model, &heard), (other, model, &heard)], &[(b"a.wav", &entry)])
        .unwrap();
    let damage = |hash: &ContentHash| {
        let db = place.database();
        let analyses = db.open_tree("analyses").unwrap();
        analyses.insert([&hash.key(), model.as_bytes()].concat(), &[0xFF; 3]).unwrap();
    };
    damage(&other);
    let store = place.open().unwrap().store;
    assert_eq!(join::load_from_store(&store, ensemble()).unwrap().samples().len(), 1);
    drop(store);
    damage(&needed);
    let store = place.open().unwrap().store;
    let error = join::load_from_store(&store, ensemble()).unwrap_err().to_string();
    assert!(error.contains("--repair"), "{error}");
}
