//! What is put into a tree, in each of the four ways.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use drumfs::rebuild::{Change, Kind, LOG_NAME, Link};
use drumfs::rules::Layout;

use super::place::{Place, identities, set_mtime};

fn place() -> Place {
    Place::of(&[
        ("Akai/a.wav", "Kick"),
        ("Akai/Deep/a.wav", "Kick"),
        ("Roland/a.wav", "Kick"),
        ("Roland/s.wav", "Snare"),
        ("odd \u{e9}\n.wav", "misc"),
        ("808/b.wav", "Kick/808"),
    ])
}

#[test]
fn the_tree_is_the_view_in_every_layout_and_every_way() {
    for link in Link::ALL {
        let mut place = place();
        for layout in [Layout::Preserve, Layout::ByPack, Layout::Flat, Layout::Preserve] {
            place.layout = Some(layout);
            let report = place.rebuild(link);
            assert_eq!(report.problems, [], "{link} {layout:?}");
            assert_eq!(place.tree(), place.of_view(), "{link} {layout:?}");
            assert_eq!(report.samples, 6);
        }
    }
}

#[test]
fn each_way_gives_what_it_says() {
    for link in Link::ALL {
        let place = place();
        let original = place.archive().join("Roland/s.wav");
        fs::set_permissions(&original, fs::Permissions::from_mode(0o444)).unwrap();
        let before = identities(&place.archive());
        place.rebuild(link);
        let made = place.out().join("Snare/Roland/s.wav");
        let (of, is) = (fs::metadata(&original).unwrap(), fs::symlink_metadata(&made).unwrap());
        match link {
            Link::Symlink => assert_eq!(fs::read_link(&made).unwrap(), original),
            Link::Hard => assert_eq!((is.ino(), is.nlink()), (of.ino(), 2)),
            Link::Reflink | Link::Copy => {
                assert_ne!(is.ino(), of.ino());
                assert_eq!((is.mtime(), is.mtime_nsec()), (of.mtime(), of.mtime_nsec()));
                assert_eq!(is.mode(), of.mode(), "a copy has the original's permissions");
            }
        }
        if link != Link::Hard {
            assert_eq!(identities(&place.archive()), before, "the archive was touched ({link})");
        }
    }
}

#[test]
fn a_second_run_changes_nothing_and_says_so() {
    for link in Link::ALL {
        let place = place();
        assert!(!place.rebuild(link).is_unchanged());
        let before = identities(&place.path());
        let again = place.rebuild(link);
        assert!(again.is_unchanged(), "{again:?}");
        assert_eq!((again.kept, again.problems.len()), (6, 0));
        // The index is written by the test.
        let mut after = identities(&place.path());
        after.insert("index.jsonl".into(), before[std::path::Path::new("index.jsonl")]);
        assert_eq!(after, before, "{link}");
    }
}

#[test]
fn what_changed_is_brought_up_to_date_and_nothing_else_is_touched() {
    for link in [Link::Symlink, Link::Copy, Link::Hard] {
        let mut place = place();
        place.rebuild(link);
        let before = identities(&place.out());
        // A new sample, one that went, one whose folder is another, one that was replaced in the archive.
        place.add("new.wav", "Tom");
        place.labels.remove("Akai/a.wav");
        place.labels.insert("Roland/s.wav".to_owned(), "Kick".to_owned());
        let replaced = place.archive().join("808/b.wav");
        fs::remove_file(&replaced).unwrap();
        fs::write(&replaced, "other bytes").unwrap();
        let report = place.rebuild(link);
        assert_eq!(report.problems, []);
        assert_eq!(place.tree()["Kick/808/808/b.wav"], "other bytes");
        let mut expected = place.of_view();
        expected.insert("Kick/808/808/b.wav".to_owned(), "other bytes".to_owned());
        assert_eq!(place.tree(), expected, "{link}");
        assert!(!place.out().join("Snare/Roland").exists(), "a folder that is no longer of the tree went");
        let after = identities(&place.out());
        for kept in ["Kick/Akai/Deep/a.wav", "Kick/Roland/a.wav"] {
            let kept = std::path::Path::new(kept);
            assert_eq!(after[kept], before[kept], "{link}: {} was touched", kept.display());
        }
        let (put, moved) = (report.put, report.moved);
        match link {
            // A copy that belongs elsewhere is moved, not made again.
            Link::Copy => assert_eq!((put, moved, report.replaced, report.removed), (1, 1, 1, 1)),
            Link::Symlink => assert_eq!((put, moved, report.replaced, report.removed), (2, 0, 0, 2)),
            _ => assert_eq!((put, moved, report.replaced, report.removed), (2, 0, 1, 2)),
        }
    }
}

#[test]
fn another_way_replaces_what_drumfs_put_there() {
    let place = place();
    for link in [Link::Symlink, Link::Copy, Link::Hard, Link::Symlink, Link::Hard, Link::Copy] {
        let report = place.rebuild(link);
        assert_eq!(report.problems, [], "{link}");
        let is = fs::symlink_metadata(place.out().join("Snare/Roland/s.wav")).unwrap();
        assert_eq!(is.is_symlink(), link == Link::Symlink);
        assert_eq!(is.nlink() == 2, link == Link::Hard);
        assert_eq!(place.tree(), place.of_view());
        assert!(place.rebuild(link).is_unchanged());
    }
}

#[test]
fn a_dry_run_says_what_a_run_does_and_does_nothing() {
    let mut place = place();
    let told = place.try_rebuild(Link::Copy, true).unwrap();
    assert!(!place.out().exists());
    let done = place.rebuild(Link::Copy);
    assert_eq!((told.put, told.written, told.bytes), (done.put, done.written, done.bytes));
    place.labels.insert("Roland/s.wav".to_owned(), "Kick".to_owned());
    place.labels.remove("Akai/a.wav");
    let before = identities(&place.out());
    let told = place.try_rebuild(Link::Copy, true).unwrap();
    assert_eq!(identities(&place.out()), before);
    let path = |text: &str| text.as_bytes().to_vec();
    let moved = Change::Move { old: path("Snare/Roland/s.wav"), path: path("Kick/Roland/s.wav") };
    assert!(told.changes.contains(&moved), "{:?}", told.changes);
    assert!(told.changes.contains(&Change::Remove { path: path("Kick/Akai/a.wav") }), "{:?}", told.changes);
    let done = place.rebuild(Link::Copy);
    assert_eq!((told.moved, told.removed, told.written), (done.moved, done.removed, done.written));
}

#[test]
fn originals_that_are_missing_or_no_files_are_listed_and_the_rest_is_put() {
    for link in Link::ALL {
        let place = place();
        fs::remove_file(place.archive().join("Roland/s.wav")).unwrap();
        fs::remove_file(place.archive().join("Akai/a.wav")).unwrap();
        fs::create_dir(place.archive().join("Akai/a.wav")).unwrap();
        let report = place.rebuild(link);
        let problems: Vec<_> = report.problems.iter().map(|p| (String::from_utf8_lossy(&p.path), p.kind)).collect();
        let expected = [("Kick/Akai/a.wav".into(), Kind::Unreadable), ("Snare/Roland/s.wav".into(), Kind::Missing)];
        assert_eq!(problems, expected, "{link}");
        assert_eq!(place.tree().len(), 4);
        let listed = fs::read_to_string(place.out().join("_rebuild_errors.jsonl")).unwrap();
        assert_eq!(listed.lines().count(), 2, "{listed}");
        let second: serde_json::Value = serde_json::from_str(listed.lines().nth(1).unwrap()).unwrap();
        assert_eq!((&second["path"], &second["kind"]), (&"Snare/Roland/s.wav".into(), &"missing".into()));
        assert_eq!(second["from"], place.archive().join("Roland/s.wav").to_str().unwrap());
        assert!(place.rebuild(link).is_unchanged());
    }
}

#[test]
fn a_copy_stays_while_its_original_can_not_be_found() {
    let place = place();
    place.rebuild(Link::Copy);
    fs::rename(place.archive().join("Roland"), place.path().join("unplugged")).unwrap();
    let report = place.rebuild(Link::Copy);
    assert_eq!((report.problems.len(), report.removed), (2, 0));
    assert_eq!(place.tree(), place.of_view());
    fs::rename(place.path().join("unplugged"), place.archive().join("Roland")).unwrap();
    let report = place.rebuild(Link::Copy);
    assert_eq!((report.problems.len(), report.put, report.replaced), (0, 0, 0));
    assert_eq!(fs::read_to_string(place.out().join("_rebuild_errors.jsonl")).unwrap(), "");
}

#[test]
fn lists_and_counts_are_those_of_the_view_and_the_summary_has_the_old_keys() {
    let place = place();
    place.rebuild(Link::Hard);
    let read = |path: &str| fs::read_to_string(place.out().join(path)).unwrap();
    assert_eq!(read("_manifests/Kick.txt"), "Akai/Deep/a.wav\nAkai/a.wav\nRoland/a.wav\n");
    assert_eq!(read("_manifests/Kick/808.txt"), "808/b.wav\n");
    assert_eq!(read("_manifests/misc.txt"), "odd é\\n.wav\n");
    assert_eq!(read("_errors.txt"), "");
    let stats: serde_json::Value = serde_json::from_str(&read("_stats.json")).unwrap();
    assert_eq!((&stats["samples"], &stats["folders"]["Kick"]), (&6.into(), &3.into()));
    let summary: serde_json::Value = serde_json::from_str(&read("_rebuild_summary.json")).unwrap();
    assert_eq!((&summary["copy_mode"], &summary["stats"]["emitted"]), (&"hard".into(), &6.into()));
    assert_eq!(summary["output_root"], place.out().to_str().unwrap());
    assert_eq!(summary["class_counts"]["Snare"], 1);
    assert!(summary["timestamp"].as_str().unwrap().ends_with('Z'));
    let log = read(LOG_NAME);
    let line = log.lines().find(|line| line.contains("Snare/Roland/s.wav")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["link"], line["from"].as_str()), (&"hard".into(), place.archive().join("Roland/s.wav").to_str()));
    for hidden in ["_control", "_by-id", "_uncertain"] {
        assert!(!place.out().join(hidden).exists());
    }
}

#[test]
fn a_copy_of_what_changed_between_looking_and_copying_is_none() {
    // What is in the index as size and time is old news: the file as it is now is what counts.
    let place = place();
    let original = place.archive().join("Roland/s.wav");
    fs::write(&original, "much longer than it was before").unwrap();
    set_mtime(&original, 5);
    place.rebuild(Link::Copy);
    assert_eq!(place.tree()["Snare/Roland/s.wav"], "much longer than it was before");
    assert!(place.rebuild(Link::Copy).is_unchanged());
}

#[test]
fn where_case_does_not_count_names_are_told_apart_by_content() {
    let mut place = Place::of(&[("a/K.wav", "Kick"), ("a/k.wav", "Kick"), ("b/s.wav", "Snare")]);
    place.rebuild(Link::Copy);
    assert_eq!(place.tree(), place.of_view());
    // As a run on such a file system notes it.
    let log = place.out().join(LOG_NAME);
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replacen("\"link\":\"copy\"}", "\"link\":\"copy\",\"ignores_case\":true}", 1)).unwrap();
    place.add("A/k.wav", "Kick");
    let report = place.rebuild(Link::Copy);
    assert_eq!((report.renamed, report.problems.len()), (2, 0), "{report:?}");
    let tree = place.tree();
    let lower: std::collections::BTreeSet<String> = tree.keys().map(|path| path.to_lowercase()).collect();
    assert_eq!((lower.len(), tree.len()), (4, 4), "{tree:?}");
    let renamed: Vec<&String> = tree.keys().filter(|path| path.contains(" [")).collect();
    assert_eq!(renamed.len(), 2, "{tree:?}");
    assert!(tree.contains_key("Kick/A/k.wav") && tree.contains_key("Snare/b/s.wav"), "{tree:?}");
    assert!(place.rebuild(Link::Copy).is_unchanged());
    assert_eq!(place.undo().removed, 4);
}

#[test]
fn names_that_are_not_utf8_go_there_and_back() {
    use std::os::unix::ffi::OsStrExt;
    let place = place();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.wav");
    fs::write(place.archive().join(name), "x").unwrap();
    let mut place = place;
    place.labels.clear();
    place.write_index();
    let line = format!(
        "{{\"relative_path\": \"caf\\udce9.wav\", \"abs_path\": \"{}/caf\\udce9.wav\", \"assigned_label\": \"Kick\"}}\n",
        place.archive().display()
    );
    fs::write(place.index(), line).unwrap();
    for link in Link::ALL {
        let options = ["--link", link.name()];
        let rebuilt = super::command::rebuild(&place, &options);
        assert_eq!(rebuilt.status.code(), Some(0), "{}", super::command::said(&rebuilt));
        assert_eq!(fs::read(place.out().join("Kick").join(name)).unwrap(), b"x");
        let again = super::command::rebuild(&place, &options);
        assert!(super::command::said(&again).contains("nothing to do"), "{}", super::command::said(&again));
    }
    let undone = super::command::undo(&place, &[]);
    assert_eq!(undone.status.code(), Some(0));
    assert!(!place.out().exists());
}
