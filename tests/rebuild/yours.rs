//! What drumfs did not put there, or what somebody changed since: it stays, and is named.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use drumfs::rebuild::{Kind, LOG_NAME, Link, RebuildError};

use super::place::{Place, files, identity};

fn place() -> Place {
    Place::of(&[("a/k.wav", "Kick"), ("a/s.wav", "Snare"), ("b/k.wav", "Kick"), ("b/t.wav", "Tom")])
}

fn stays(stays: &[drumfs::rebuild::Stay]) -> Vec<String> {
    stays.iter().map(|stay| String::from_utf8_lossy(&stay.path).into_owned()).collect()
}

#[test]
fn undo_takes_away_everything_and_nothing_else() {
    for link in Link::ALL {
        let place = place();
        place.rebuild(link);
        let undone = place.undo();
        assert_eq!((undone.removed, undone.stays.len(), undone.problems.len()), (4, 0, 0), "{link}");
        assert!(!place.out().exists(), "{link}: {:?}", files(&place.out()));
        assert_eq!(files(&place.archive()).len(), 4);
    }
}

#[test]
fn undo_leaves_what_you_changed_and_what_you_put_there_and_names_it() {
    for link in [Link::Symlink, Link::Copy] {
        let place = place();
        let out = place.out();
        fs::create_dir(&out).unwrap();
        fs::write(out.join("notes.txt"), "mine").unwrap();
        place.rebuild(link);
        fs::write(out.join("Tom/b/mine.asd"), "mine").unwrap();
        fs::remove_file(out.join("Kick/a/k.wav")).unwrap();
        fs::write(out.join("Kick/a/k.wav"), "edited").unwrap();
        fs::write(out.join("_stats.json"), "edited").unwrap();
        fs::remove_file(out.join("Snare/a/s.wav")).unwrap();
        let undone = place.undo();
        assert_eq!(undone.removed, 2, "{link}");
        assert_eq!(stays(&undone.stays), ["Kick/a/k.wav", "Tom/b/mine.asd", "_stats.json"]);
        let left = files(&out);
        let left: Vec<_> = left.iter().map(|(path, text)| (&path[..], &text[..])).collect();
        let expected =
            [("Kick/a/k.wav", "edited"), ("Tom/b/mine.asd", "mine"), ("_stats.json", "edited"), ("notes.txt", "mine")];
        assert_eq!(left, expected, "{link}");
        assert!(!out.join("Snare").exists());
    }
}

#[test]
fn the_last_name_of_a_sound_is_not_taken_away() {
    let mut place = place();
    place.rebuild(Link::Hard);
    fs::remove_file(place.archive().join("a/k.wav")).unwrap();
    place.labels.remove("a/k.wav");
    let report = place.rebuild(Link::Hard);
    assert_eq!((report.removed, stays(&report.stays)), (0, vec!["Kick/a/k.wav".to_owned()]));
    assert!(place.out().join("Kick/a/k.wav").exists());

    let place = self::place();
    place.rebuild(Link::Hard);
    fs::remove_file(place.archive().join("b/t.wav")).unwrap();
    let undone = place.undo();
    assert_eq!((undone.removed, stays(&undone.stays)), (3, vec!["Tom/b/t.wav".to_owned()]));
}

#[test]
fn what_is_in_the_way_is_left_and_its_sample_is_listed() {
    for link in Link::ALL {
        let place = place();
        let out = place.out();
        fs::create_dir_all(out.join("Kick/a")).unwrap();
        fs::write(out.join("Kick/a/k.wav"), "mine").unwrap();
        fs::create_dir_all(out.join("Kick/b/k.wav")).unwrap();
        fs::create_dir_all(out.join("_manifests")).unwrap();
        fs::write(out.join("_manifests/Kick.txt"), "mine").unwrap();
        let report = place.rebuild(link);
        let problems: Vec<_> = report.problems.iter().map(|p| (String::from_utf8_lossy(&p.path), p.kind)).collect();
        let expected = ["Kick/a/k.wav", "Kick/b/k.wav", "_manifests/Kick.txt"];
        assert_eq!(problems, expected.map(|path| (path.into(), Kind::InTheWay)), "{link}");
        assert_eq!(fs::read(out.join("Kick/a/k.wav")).unwrap(), b"mine");
        assert_eq!(fs::read(out.join("_manifests/Kick.txt")).unwrap(), b"mine");
        assert_eq!(files(&out)["Snare/a/s.wav"], "the sound of a/s.wav");
        let undone = place.undo();
        assert_eq!((undone.removed, undone.stays.len()), (2, 0), "what was never drumfs's needs no naming");
        assert_eq!(files(&out).len(), 2);
        assert!(out.join("Kick/b/k.wav").is_dir());
    }
}

#[test]
fn what_is_there_already_is_left_to_its_owner() {
    let place = place();
    let there = place.out().join("Kick/a/k.wav");
    fs::create_dir_all(there.parent().unwrap()).unwrap();
    // As the older pipeline copied it.
    let status = std::process::Command::new("cp").arg("-p").arg(place.archive().join("a/k.wav")).arg(&there).status();
    assert!(status.unwrap().success());
    let before = identity(&there);
    let report = place.rebuild(Link::Copy);
    assert_eq!((report.there, report.put, report.problems.len()), (1, 3, 0));
    assert!(place.rebuild(Link::Copy).is_unchanged());
    assert_eq!(place.undo().removed, 3);
    assert_eq!(identity(&there), before);
}

#[test]
fn what_you_changed_and_what_no_longer_belongs_stays_and_is_named_once() {
    let mut place = place();
    place.rebuild(Link::Copy);
    let changed = place.out().join("Tom/b/t.wav");
    fs::write(&changed, "edited").unwrap();
    place.labels.remove("b/t.wav");
    let report = place.rebuild(Link::Copy);
    assert_eq!((stays(&report.stays), report.problems.len()), (vec!["Tom/b/t.wav".to_owned()], 0));
    assert_eq!(fs::read(&changed).unwrap(), b"edited");
    let again = place.rebuild(Link::Copy);
    assert!(again.is_unchanged() && again.stays.is_empty(), "{again:?}");
}

#[test]
fn nothing_is_put_through_a_link() {
    let place = place();
    let out = place.out();
    let elsewhere = place.path().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::create_dir(&out).unwrap();
    symlink(&elsewhere, out.join("Kick")).unwrap();
    symlink(place.archive(), out.join("Snare")).unwrap();
    let report = place.rebuild(Link::Copy);
    let kinds: Vec<_> = report.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [Kind::NotPut; 3], "{:?}", report.problems);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    assert_eq!(files(&place.archive()).len(), 4);
    assert_eq!(place.undo().removed, 1);
    assert!(out.join("Kick").is_symlink() && out.join("Snare").is_symlink());
}

#[test]
fn a_folder_of_yours_that_a_sample_was_in_stays() {
    let mut place = place();
    fs::create_dir_all(place.out().join("Tom")).unwrap();
    place.rebuild(Link::Copy);
    fs::write(place.out().join("Snare/a/mine.txt"), "mine").unwrap();
    place.labels.retain(|path, _| path.contains("k.wav"));
    place.rebuild(Link::Copy);
    assert!(place.out().join("Tom").is_dir() && !place.out().join("Tom/b").exists());
    assert_eq!(fs::read(place.out().join("Snare/a/mine.txt")).unwrap(), b"mine");
}

#[test]
fn a_log_that_can_not_be_read_stops_everything_before_anything_is_touched() {
    let place = place();
    place.rebuild(Link::Copy);
    let log = place.out().join(LOG_NAME);
    let text = fs::read_to_string(&log).unwrap();
    let refused = |text: &str| {
        fs::write(&log, text).unwrap();
        let before = files(&place.out());
        let error = match place.try_rebuild(Link::Symlink, false) {
            Err(error @ RebuildError::Ledger(_)) => error.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(files(&place.out()), before);
        error
    };
    let error = refused(&text.replace("\"link\":\"copy\",\"size\"", "\"link\":\"magic\",\"size\""));
    assert!(error.contains("line ") && error.contains("magic"), "{error}");
    assert!(refused(&text.replace("\"drumfs_rebuild\":1", "\"drumfs_rebuild\":9")).contains("newer drumfs"));
    assert!(refused("notes of mine\n").contains("line 1"));
    fs::write(&log, &text).unwrap();
    assert!(!place.rebuild(Link::Symlink).is_unchanged());
    assert_eq!(place.undo().removed, 4);
}

#[test]
fn what_drumfs_has_put_nothing_into_can_not_be_undone() {
    let place = place();
    let nothing = |out: &Path| drumfs::rebuild::undo(out, false, &std::sync::atomic::AtomicBool::new(false)).unwrap();
    assert!(nothing(&place.out()).is_none());
    fs::create_dir(place.out()).unwrap();
    fs::write(place.out().join("mine.txt"), "mine").unwrap();
    assert!(nothing(&place.out()).is_none());
    assert_eq!(files(&place.out()).len(), 1);
}

/// Runs `drumfs rebuild` as somebody whom permissions bind.
fn bound(place: &Place, more: &[&str]) -> std::process::Output {
    let mut command = crate::common::tools::bound(crate::common::mount::DRUMFS);
    command.arg("rebuild").args(more).arg("--index").arg(place.index()).arg("--out").arg(place.out());
    command.env("XDG_DATA_HOME", place.path().join("data")).output().unwrap()
}

#[test]
fn what_could_not_be_moved_or_replaced_goes_on_being_drumfs_s() {
    use std::os::unix::fs::PermissionsExt;
    let mut place = Place::of(&[("a/k.wav", "Kick"), ("a/b/l.wav", "Kick"), ("c/s.wav", "Snare")]);
    place.write_index();
    let run = |place: &Place, layout: &str| bound(place, &["--link", "copy", "--layout", layout]);
    let out = place.out();
    let lock = |mode: u32| {
        for folder in ["Kick", "Snare/c"] {
            fs::set_permissions(out.join(folder), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    assert_eq!(run(&place, "preserve").status.code(), Some(0));
    // Kicks are to be moved and can't, the snare is to be replaced and can't.
    place.add("c/s.wav", "Snare");
    fs::write(place.archive().join("c/s.wav"), "another sound altogether").unwrap();
    place.write_index();
    lock(0o500);
    let failed = run(&place, "preserve");
    assert_eq!(failed.status.code(), Some(3), "{failed:?}");
    let failed = run(&place, "flat");
    assert_eq!(failed.status.code(), Some(3), "{failed:?}");
    lock(0o755);
    let done = run(&place, "flat");
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let tree: Vec<String> = files(&out).into_keys().filter(|path| path.ends_with(".wav")).collect();
    assert_eq!(tree, ["Kick/k.wav", "Kick/l.wav", "Snare/s.wav"], "nothing is there twice");
    assert_eq!(fs::read_to_string(out.join("Snare/s.wav")).unwrap(), "another sound altogether");
    assert!(!out.join("Kick/a").exists() && !out.join("Snare/c").exists(), "folders are left");
    place.undo();
    assert!(!out.exists(), "{:?}", fs::read_dir(&out).unwrap().collect::<Vec<_>>());
}
