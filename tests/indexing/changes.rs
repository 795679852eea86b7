//! What happens to an archive between two passes.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::support::{Place, set_mtime, wav};

#[test]
fn a_touched_file_is_recognised_and_not_analysed_again() {
    let place = Place::with_sounds(6);
    place.index(&[]);
    let before = place.known();
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    set_mtime(&place.archive().join("pack 0/00000.wav"), later);
    let run = place.index(&[]);
    assert_eq!(run.counts(), [6, 5, 1, 1, 0], "its content was known: {run:?}");
    let after = place.known();
    assert_eq!(before.heard, after.heard);
    assert_eq!(after.sample("pack 0/00000.wav").mtime_ns, 1_700_000_000_000_000_000);
}

#[test]
fn a_changed_file_is_heard_again_and_a_new_one_is_heard() {
    let place = Place::with_sounds(6);
    place.index(&[]);
    let before = place.known();
    place.put("pack 0/00000.wav", &wav(100));
    place.put("new pack/new.wav", &wav(101));
    let run = place.index(&[]);
    assert_eq!(run.counts(), [7, 5, 2, 0, 0], "{run:?}");
    let after = place.known();
    assert_ne!(before.sample("pack 0/00000.wav").hash, after.sample("pack 0/00000.wav").hash);
    assert!(after.analysis("pack 0/00000.wav").attributes.is_some());
    assert!(after.analysis("new pack/new.wav").attributes.is_some());
}

#[test]
fn a_renamed_file_is_not_analysed_again_and_its_old_path_is_forgotten() {
    let place = Place::with_sounds(6);
    place.index(&[]);
    let before = place.known();
    fs::create_dir(place.archive().join("elsewhere")).unwrap();
    let (from, to) = ("pack 0/00000.wav", "elsewhere/renamed.wav");
    fs::rename(place.archive().join(from), place.archive().join(to)).unwrap();
    let run = place.index(&[]);
    assert_eq!(run.counts(), [6, 5, 1, 1, 0], "a renamed file is not gone: {run:?}");
    let after = place.known();
    assert!(!after.samples.contains_key(from.as_bytes()));
    assert_eq!(before.sample(from).hash, after.sample(to).hash);
    assert_eq!(before.heard, after.heard);
    assert_eq!(run.code, Some(0));
}

/// A person who renames the folder of a pack, or the only pack there is, has not lost it.
#[test]
fn renaming_most_of_the_archive_is_not_losing_it() {
    let place = Place::new();
    (0..9).for_each(|seed| drop(place.put(&format!("My Pack/{seed}.wav"), &wav(seed))));
    place.index(&[]);
    fs::rename(place.archive().join("My Pack"), place.archive().join("My Pack (2019)")).unwrap();
    let run = place.index(&[]);
    assert_eq!((run.code, run.counts()), (Some(0), [9, 0, 9, 9, 0]), "{run:?}");
    let known = place.known();
    assert_eq!((known.samples.len(), known.missing().len()), (9, 0), "the old paths are forgotten");
}

#[test]
fn a_copy_counts_as_a_duplicate_and_outlives_the_first() {
    let place = Place::with_sounds(6);
    place.put("pack 1/copy in the same pass.wav", &wav(3));
    let first = place.index(&[]);
    assert_eq!(first.counts(), [7, 0, 7, 1, 0], "{first:?}");
    place.put("copies/later.wav", &wav(4));
    let second = place.index(&[]);
    assert_eq!(second.counts(), [8, 7, 1, 1, 0], "{second:?}");
    fs::remove_file(place.archive().join("pack 1/00004.wav")).unwrap();
    let third = place.index(&[]);
    assert_eq!(third.counts(), [7, 7, 0, 0, 0], "{third:?}");
    let known = place.known();
    assert!(!known.samples.contains_key(&b"pack 1/00004.wav"[..]), "the copy stands for it");
    assert!(known.analysis("copies/later.wav").attributes.is_some());
}

#[test]
fn a_deleted_file_is_missing_and_comes_back_without_being_heard_again() {
    let place = Place::with_sounds(6);
    place.index(&[]);
    let before = place.known();
    let path = place.archive().join("pack 2/00005.wav");
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let run = place.index(&[]);
    assert_eq!((run.code, run.counts()), (Some(0), [5, 5, 0, 0, 1]), "{run:?}");
    assert_eq!(place.known().missing(), ["pack 2/00005.wav"]);
    let again = place.index(&[]);
    assert_eq!(again.counts(), [5, 5, 0, 0, 0], "what is missing is not gone a second time");
    fs::write(&path, bytes).unwrap();
    let back = place.index(&[]);
    assert_eq!(back.counts(), [6, 5, 1, 1, 0], "{back:?}");
    let after = place.known();
    assert_eq!((after.missing().len(), &after.heard), (0, &before.heard));
}

#[test]
fn nothing_is_forgotten_where_more_than_half_is_gone_and_everything_is_there_when_the_drive_is_back() {
    let place = Place::with_sounds(9);
    place.index(&[]);
    let before = place.known();
    let drive = place.path().join("unplugged");
    fs::rename(place.archive(), &drive).unwrap();
    fs::create_dir(place.archive()).unwrap();
    place.put("left on the mount point.wav", &wav(50));
    let absent = place.index(&[]);
    assert_eq!(absent.code, Some(1), "{absent:?}");
    assert_eq!(absent.count("gone"), 9);
    assert_eq!(absent.json["mostly_absent"], true);
    for word in ["more than half", "drive", "Nothing was forgotten", "--forget-missing"] {
        assert!(absent.stderr.contains(word), "{}", absent.stderr);
    }
    assert!(place.known().missing().is_empty());

    fs::remove_dir_all(place.archive()).unwrap();
    fs::rename(&drive, place.archive()).unwrap();
    let back = place.index(&[]);
    assert_eq!((back.code, back.count("unchanged"), back.count("heard")), (Some(0), 9, 0), "{back:?}");
    let after = place.known();
    let present: Vec<_> = after.samples.iter().filter(|(_, entry)| !entry.missing).collect();
    assert_eq!(present, before.samples.iter().collect::<Vec<_>>());
}

#[test]
fn forget_missing_marks_what_is_gone_however_much_it_is() {
    let place = Place::with_sounds(9);
    place.index(&[]);
    fs::remove_dir_all(place.archive().join("pack 0")).unwrap();
    fs::remove_dir_all(place.archive().join("pack 1")).unwrap();
    assert_eq!(place.index(&[]).code, Some(1));
    let run = place.index(&["--forget-missing"]);
    assert_eq!((run.code, run.counts()), (Some(0), [3, 3, 0, 0, 6]), "{run:?}");
    assert_eq!(place.known().missing().len(), 6);
    assert_eq!(place.index(&[]).counts(), [3, 3, 0, 0, 0]);
}

/// Half is not more than half.
#[test]
fn exactly_half_may_go() {
    let place = Place::with_sounds(4);
    place.index(&[]);
    fs::remove_file(place.archive().join("pack 0/00000.wav")).unwrap();
    fs::remove_file(place.archive().join("pack 1/00001.wav")).unwrap();
    let run = place.index(&[]);
    assert_eq!((run.code, run.count("gone"), place.known().missing().len()), (Some(0), 2, 2), "{run:?}");
}
