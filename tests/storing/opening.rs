//! Opening: one owner, one archive, a schema that is known, a folder for nobody else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use drumfs::store::StoreError;

use super::child::{Said, hash};
use crate::support::Place;

#[test]
fn a_second_process_is_told_who_has_the_store_and_the_way_round() {
    let place = Place::with_sounds(1);
    let held = place.open().unwrap();
    let run = place.index(&[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let owner = format!("process {}", std::process::id());
    let store = place.store().display().to_string();
    for word in ["in use by", &owner, "a test", &store, "Try again when that has ended"] {
        assert!(run.stderr.contains(word), "`{word}` is not in: {}", run.stderr);
    }
    assert!(!run.stderr.contains("mount"), "nothing is mounted: {}", run.stderr);
    let owner = place.store().join("owner");
    fs::write(owner, format!("process {}, mounted at /mnt/drums", std::process::id())).unwrap();
    let run = place.index(&[]);
    for word in ["in use by", "/mnt/drums", "_control/rules.yml", "unmount"] {
        assert!(run.stderr.contains(word), "`{word}` is not in: {}", run.stderr);
    }
    drop(held);
    assert_eq!(place.index(&[]).code, Some(0), "it is free again");
}

#[test]
fn a_store_of_a_newer_program_is_left_alone() {
    let place = Place::with_sounds(1);
    place.index(&[]);
    let db = place.database();
    db.open_tree("meta").unwrap().insert("schema", &99u32.to_be_bytes()).unwrap();
    db.flush().unwrap();
    drop(db);
    for more in [&[][..], &["--repair"]] {
        let run = place.index(more);
        assert_eq!(run.code, Some(1), "{run:?}");
        for word in ["newer drumfs", "schema 99", "update", "--store"] {
            assert!(run.stderr.contains(word), "`{word}` is not in: {}", run.stderr);
        }
    }
    let db = place.database();
    assert_eq!(db.open_tree("meta").unwrap().get("schema").unwrap().unwrap().as_ref(), 99u32.to_be_bytes());
    assert!(!db.open_tree("samples").unwrap().is_empty(), "nothing was set aside or emptied");
}

#[test]
fn a_store_belongs_to_one_archive() {
    let (place, other) = (Place::with_sounds(1), Place::with_sounds(1));
    place.index(&[]);
    let mut options = place.options(true);
    options.archive = other.archive().canonicalize().unwrap();
    let error = options.open().unwrap_err();
    assert!(matches!(error, StoreError::OtherArchive { .. }), "{error}");
    for path in [place.archive(), other.archive()] {
        assert!(error.to_string().contains(&path.canonicalize().unwrap().display().to_string()), "{error}");
    }
    assert_eq!(place.index(&[]).count("unchanged"), 1, "it was not touched");
}

#[test]
fn the_folder_is_for_its_owner_alone() {
    let place = Place::new();
    drop(place.open().unwrap());
    let mode = |path: std::path::PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.store()), 0o700);
    fs::set_permissions(place.store(), Permissions::from_mode(0o755)).unwrap();
    drop(place.open().unwrap());
    assert_eq!(mode(place.store()), 0o700, "also where it was there before");
}

#[test]
fn what_people_say_is_there_the_next_time_and_the_last_word_counts() {
    let place = Place::new();
    let store = place.open().unwrap().store;
    store.set_overrides(&[(hash(1), Some("Kick".into()), None), (hash(2), Some("Tom".into()), None)]).unwrap();
    store.set_overrides(&[(hash(1), Some("Snare".into()), Some("by ear".into()))]).unwrap();
    store.set_overrides(&[(hash(2), None, None), (hash(3), None, None)]).unwrap();
    store.keep_draft("layout: wrong").unwrap();
    assert_eq!(store.rules().unwrap().draft.as_deref(), Some("layout: wrong"));
    store.accept_rules("layout: flat").unwrap();
    drop(store);
    let store = place.open().unwrap().store;
    let said: Vec<_> = store.overrides().map(Result::unwrap).collect();
    assert_eq!(said.len(), 1);
    assert_eq!((said[0].0, &said[0].1.label[..], said[0].1.note.as_deref()), (hash(1), "Snare", Some("by ear")));
    let rules = store.rules().unwrap();
    assert_eq!((rules.active.as_deref(), rules.draft), (Some("layout: flat"), None), "a draft goes with the save");
}

#[test]
fn the_journal_alone_brings_everything_back_in_the_order_it_was_said() {
    let place = Place::new();
    let store = place.open().unwrap().store;
    for number in 0..20 {
        store.set_overrides(&[(hash(number), Some(format!("label {number}")), None)]).unwrap();
    }
    store.accept_rules("layout: flat").unwrap();
    store.set_overrides(&[(hash(4), None, None)]).unwrap();
    store.accept_rules("layout: by-pack").unwrap();
    let before = Said::of(&store);
    drop(store);
    fs::remove_dir_all(place.store().join("db")).unwrap();
    // Somebody's editor and a crash have been at the journal.
    let journal = place.store().join("journal.jsonl");
    let mut text = b"not a line of a journal\n\n".to_vec();
    text.extend(fs::read(&journal).unwrap());
    text.extend(b"{\"at\":1.0,\"event\":\"override\",\"hash\":\"");
    fs::write(&journal, text).unwrap();
    let opened = place.open().unwrap();
    assert_eq!(Said::of(&opened.store), before);
    assert!(opened.notice.is_some_and(|notice| notice.contains("1 lines")), "what could not be read is counted");
}

/// A database that lost its end looks like one that was never written: the journal knows better.
#[test]
fn words_that_a_database_lost_come_back_from_the_journal_and_newer_ones_stay() {
    let place = Place::new();
    let store = place.open().unwrap().store;
    store.set_overrides(&[(hash(1), Some("Kick".into()), None), (hash(2), Some("Tom".into()), None)]).unwrap();
    store.accept_rules("layout: flat\n").unwrap();
    drop(store);
    let journal = place.store().join("journal.jsonl");
    let older = fs::read(&journal).unwrap();
    // The database loses a word and the rules.
    let db = place.database();
    db.open_tree("overrides").unwrap().remove(hash(1).key()).unwrap();
    db.open_tree("rules").unwrap().clear().unwrap();
    db.flush().unwrap();
    drop(db);
    let opened = place.open().unwrap();
    let notice = opened.notice.unwrap_or_default();
    assert!(notice.contains("lost 2"), "a person is told: {notice:?}, {:?}", Said::of(&opened.store));
    let said = Said::of(&opened.store);
    assert_eq!((said.overrides.len(), said.rules.as_deref()), (2, Some("layout: flat\n")));
    // Newer words than those of a journal that somebody put back.
    opened.store.set_overrides(&[(hash(1), Some("Ride".into()), None)]).unwrap();
    opened.store.accept_rules("layout: by-pack\n").unwrap();
    let newer = Said::of(&opened.store);
    drop(opened.store);
    fs::write(&journal, older).unwrap();
    let opened = place.open().unwrap();
    assert_eq!(Said::of(&opened.store), newer);
    let notice = opened.notice.unwrap_or_default();
    assert!(notice.contains("journal.jsonl had lost 2"), "a person is told: {notice:?}");
    assert_eq!(fs::read_to_string(&journal).unwrap().lines().count(), 5, "and the journal has them again");
}

/// Schema 1 had no embeddings: what it says of sounds can't be read any more.
#[test]
fn a_store_of_an_older_program_keeps_what_people_said_and_hears_again() {
    #[derive(serde::Serialize)]
    struct OldAnalysis {
        status: drumfs::index::Status,
        error: Option<String>,
        attributes: Option<drumfs::audio::Attributes>,
        logits: Vec<f32>,
    }
    let place = Place::with_sounds(4);
    place.index(&[]);
    let known = place.known();
    let store = place.open().unwrap().store;
    store.set_overrides(&[(hash(1), Some("Kick".into()), Some("by ear".into()))]).unwrap();
    store.accept_rules("layout: flat\n").unwrap();
    let said = Said::of(&store);
    drop(store);
    let journal = fs::read(place.store().join("journal.jsonl")).unwrap();
    let db = place.database();
    let analyses = db.open_tree("analyses").unwrap();
    for key in analyses.iter().keys().map(Result::unwrap).collect::<Vec<_>>() {
        let old =
            OldAnalysis { status: drumfs::index::Status::Ok, error: None, attributes: None, logits: vec![1.5; 34] };
        analyses.insert(key, postcard::to_stdvec(&old).unwrap()).unwrap();
    }
    db.open_tree("meta").unwrap().insert("schema", &1u32.to_be_bytes()).unwrap();
    db.flush().unwrap();
    drop(analyses);
    drop(db);
    let opened = place.open().unwrap();
    assert!(opened.notice.is_some_and(|notice| notice.contains("heard again")));
    assert_eq!(Said::of(&opened.store), said);
    assert_eq!(opened.store.samples().count(), 4);
    drop(opened.store);
    let run = place.index(&[]);
    assert_eq!((run.count("heard"), run.count("unchanged")), (4, 0), "{run:?}");
    assert_eq!(place.known(), known, "as the same program hears it");
    assert_eq!(fs::read(place.store().join("journal.jsonl")).unwrap(), journal);
    assert_eq!(place.open().unwrap().notice, None, "once is enough");
    assert_eq!(place.index(&[]).count("unchanged"), 4);
}
