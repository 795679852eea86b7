//! The archive of real sounds, from beginning to end.

use std::collections::BTreeMap;
use std::fs;

use drumfs::index::Status;

use crate::support::{Indexed, Known, Place, archive, drumfs, fingerprints, index_command, listing, replace_unseen};

#[test]
fn every_sound_and_every_odd_file_is_told_for_what_it_is() {
    let place = Place::new();
    let run = Indexed::of(&index_command(&archive(), &place.store(), &[]).output().unwrap());
    assert_eq!(run.code, Some(3), "done, some failed: {run:?}");
    let known = Known::read(&archive(), &place.store());

    let sounds = listing("archive-labels.csv");
    let others = listing("archive-others.csv");
    let skipped = ["skipped", "not_a_sound"];
    let heard = others.iter().filter(|row| !skipped.contains(&&row["expected"][..])).count();
    let found = (sounds.len() + heard) as u64;
    assert_eq!(run.counts(), [found, 0, found, 2, 0], "{run:?}");
    assert_eq!(known.paths().len() as u64, found);

    for row in &others {
        let path = &row["path"];
        match &row["expected"][..] {
            "skipped" | "not_a_sound" => {
                assert!(!known.samples.contains_key(path.as_bytes()), "{path} is no sample");
            }
            "too_short" => assert_eq!(known.analysis(path).status, Status::TooShort, "{path}"),
            "silent" => assert_eq!(known.analysis(path).status, Status::Silent, "{path}"),
            "partial" => assert_eq!(known.analysis(path).status, Status::Ok, "{path}: what is there is heard"),
            "failed" => {
                let analysis = known.analysis(path);
                assert!(matches!(analysis.status, Status::LoadError | Status::Unsupported), "{path}: {analysis:?}");
                assert!(analysis.error.as_ref().is_some_and(|error| !error.is_empty()), "{path} says why");
            }
            other => panic!("{path}: what does `{other}` mean?"),
        }
    }

    // What can't be decoded is said to be so; everything else has the listing's rate and channels.
    let undecoded = ["Ogg Opus", "WavPack"];
    let mut statuses: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &sounds {
        let analysis = known.analysis(&row["path"]);
        if undecoded.contains(&&row["format"][..]) {
            assert_eq!(analysis.status, Status::Unsupported, "{row:?}: {analysis:?}");
            continue;
        }
        assert_eq!(analysis.status, Status::Ok, "{row:?}: {analysis:?}");
        assert_eq!(analysis.logits.len(), 34, "{row:?}");
        let attributes = analysis.attributes.as_ref().unwrap();
        assert_eq!(attributes.sample_rate.to_string(), row["sample_rate"], "{row:?}");
        assert_eq!(attributes.channels.to_string(), row["channels"], "{row:?}");
        assert!(attributes.duration_sec > 0.0 && attributes.rms_dbfs < 0.0, "{row:?}: {attributes:?}");
    }
    for analysis in known.samples.values().map(|entry| &known.heard[&entry.hash.unwrap().to_hex()]) {
        if analysis.status.is_error() {
            *statuses.entry(analysis.status.name()).or_default() += 1;
        }
    }
    let said: BTreeMap<&str, u64> =
        run.json["failed"].as_object().unwrap().iter().map(|(k, v)| (&k[..], v.as_u64().unwrap())).collect();
    assert_eq!(said, statuses);
}

#[test]
fn the_archive_is_never_written() {
    let place = Place::with_real_sounds();
    let before = fingerprints(&place.archive());
    place.index(&[]);
    place.index(&["--forget-missing", "--threads", "3"]);
    assert!(before == fingerprints(&place.archive()), "contents, listings, times and modes are what they were");
}

#[test]
fn a_second_pass_opens_nothing() {
    let place = Place::with_real_sounds();
    let first = place.index(&[]);
    let before = place.known();
    for entry in before.paths() {
        replace_unseen(&place.archive().join(entry));
    }
    let second = place.index(&[]);
    assert_eq!(second.counts(), [first.count("found"), first.count("found"), 0, 0, 0]);
    assert_eq!(second.code, Some(0), "nothing failed in this pass: {second:?}");
    assert!(before == place.known(), "content that was replaced behind its back was not read");
}

#[test]
fn infer_is_index_by_its_old_name() {
    let place = Place::with_sounds(2);
    let output = drumfs().arg("infer").arg(place.archive()).arg("--store").arg(place.store()).arg("--json").output();
    let run = Indexed::of(&output.unwrap());
    assert_eq!((run.code, run.counts()), (Some(0), [2, 0, 2, 0, 0]), "{run:?}");
}

#[test]
fn without_json_a_person_gets_sentences_on_stderr_and_nothing_on_stdout() {
    let place = Place::with_sounds(3);
    place.put("notes.wav", b"not a sound");
    let run = || drumfs().arg("index").arg(place.archive()).arg("--store").arg(place.store()).output().unwrap();
    let (first, second) = (run(), run());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!((text(&first.stdout), first.status.code()), (String::new(), Some(3)));
    let said = text(&first.stderr);
    assert!(said.contains("4 samples: 4 heard") && said.contains("1 unsupported"), "{said}");
    assert!(text(&second.stderr).contains("4 samples, all of them known"), "{}", text(&second.stderr));
}

#[test]
fn the_store_goes_where_the_system_keeps_state_when_nobody_says() {
    let place = Place::with_sounds(1);
    let state = place.path().join("state");
    let output = drumfs().arg("index").arg(place.archive()).env("XDG_STATE_HOME", &state).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let made: Vec<_> = fs::read_dir(state.join("drumfs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(made.len(), 1);
    assert!(made[0].to_string_lossy().starts_with("archive-"), "{made:?}");
    let homeless = drumfs().arg("index").arg(place.archive()).env_remove("HOME").output().unwrap();
    assert_eq!(homeless.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&homeless.stderr).contains("--store"), "{homeless:?}");
}
