//! A sample that is moved from one class folder to another is overridden: on the disk and seen by everybody when the
//! call returns. Nothing else can be moved, and a sample never ends anywhere but where it was put.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::security::users_can_be_made;
use super::users::Users;
use crate::common::mount::{Mount, abort, connection, new_dir, put};
use crate::common::peer::Peer;
use crate::common::snapshot::snapshot;
use crate::common::sounds::wav;
use crate::common::sys;
use crate::common::tools::{installed, said, shell};

const ROUTES: &str = "routes:\n  - {path: \"Kicks/**\", to: Kick}\n  - {path: \"Snares/**\", to: Snare}\n  - {name: \"no such\", to: Loops/Long}\n";

fn flat() -> String {
    format!("layout: flat\n{ROUTES}")
}

fn mount(rules: &str) -> Mount {
    let mount = Mount::of(&["Kicks/a/kick.wav", "Kicks/a/boom.wav", "Kicks/b/thud.wav", "Snares/crack.wav"]);
    mount.save_rules(rules).unwrap();
    mount
}

/// What is overridden: path and label.
fn said_of(mount: &Mount) -> Vec<(String, String)> {
    let text = fs::read_to_string(mount.overrides()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut said: Vec<_> = lines.map(|line| (text(&line["path"]), text(&line["label"]))).collect();
    said.sort();
    said
}

fn reason_of(mount: &Mount, path: &str) -> String {
    let record = mount.index().into_iter().find(|record| record["relative_path"] == path).unwrap();
    record["assigned_reason"].as_str().unwrap().to_owned()
}

fn number(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

#[track_caller]
fn is_at(mount: &Mount, at: &str, original: &str) {
    let bytes = fs::read(mount.path(at)).unwrap_or_else(|error| panic!("{at}: {error}"));
    assert_eq!(bytes, fs::read(mount.archive.join(original)).unwrap(), "{at}");
}

#[track_caller]
fn is_nowhere(mount: &Mount, at: &str) {
    let error = fs::symlink_metadata(mount.path(at)).expect_err(at);
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{at}");
    let folder = Path::new(at).parent().unwrap().to_str().unwrap();
    if mount.path(folder).is_dir() {
        assert!(!mount.names(folder).iter().any(|name| at.ends_with(&format!("/{name}"))), "{at} is listed");
    }
}

#[test]
fn every_way_to_move_a_file_says_what_it_is_and_the_archive_stays() {
    let mount = mount(&flat());
    let before = snapshot(&mount.archive);
    let ino = number(&mount.path("Kick/kick.wav"));
    let mut at = "Kick";
    let ways = [
        ("mv", "mv \"$1/kick.wav\" \"$2/\"", "Snare"),
        ("mv -n to a name", "mv -n \"$1/kick.wav\" \"$2/kick.wav\"", "Tom"),
        ("mv -f", "mv -f \"$1/kick.wav\" \"$2\"", "misc"),
        (
            "python",
            "python3 -c 'import os, sys; os.rename(sys.argv[1] + \"/kick.wav\", sys.argv[2] + \"/kick.wav\")' \"$1\" \"$2\"",
            "Hihat",
        ),
        (
            "shutil",
            "python3 -c 'import shutil, sys; shutil.move(sys.argv[1] + \"/kick.wav\", sys.argv[2])' \"$1\" \"$2\"",
            "Ride",
        ),
        (
            "perl",
            "perl -e 'rename(\"$ARGV[0]/kick.wav\", \"$ARGV[1]/kick.wav\") or die $!' \"$1\" \"$2\"",
            "Loops/Long",
        ),
        ("mv back", "mv \"$1/kick.wav\" \"$2/\"", "Kick"),
    ];
    if !installed(&["python3", "perl"]) {
        return;
    }
    for (what, text, to) in ways {
        let done = shell("bash", text, &[&mount.path(at), &mount.path(to)]);
        assert!(done.status.success(), "{what}: {}", said(&done));
        assert_eq!(said(&done), "", "{what}");
        is_nowhere(&mount, &format!("{at}/kick.wav"));
        is_at(&mount, &format!("{to}/kick.wav"), "Kicks/a/kick.wav");
        assert_eq!(number(&mount.path(to).join("kick.wav")), ino, "{what}");
        assert!(mount.names(to).contains(&"kick.wav".to_owned()), "{what}");
        assert_eq!(said_of(&mount), [("Kicks/a/kick.wav".to_owned(), to.to_owned())], "{what}");
        assert_eq!(reason_of(&mount, "Kicks/a/kick.wav"), "override", "{what}");
        at = to;
    }
    let (from, to) = (mount.path("Kick/kick.wav"), mount.path("Crash/kick.wav"));
    assert_eq!(sys::rename_no_replace(&from, &to), 0);
    is_at(&mount, "Crash/kick.wav", "Kicks/a/kick.wav");
    assert_eq!(snapshot(&mount.archive), before);
    let journal = fs::read_to_string(mount.store.join("journal.jsonl")).unwrap();
    let moves = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let moves: Vec<Value> = moves.filter(|entry| entry["event"] == "override").collect();
    assert_eq!(moves.len(), ways.len() + 1, "each move is in the history");
    assert!(moves.iter().all(|entry| entry["by"] == "mover"), "with who moved it: {moves:?}");
}

#[test]
fn where_folders_are_kept_a_sample_goes_to_its_own_place_in_the_class() {
    let mount = mount(ROUTES);
    // Onto the class folder: below it the path of the original is kept.
    let done = shell("bash", "mv \"$1/Kick/Kicks/a/kick.wav\" \"$1/Snare/\"", &[&mount.at]);
    assert!(done.status.success(), "{}", said(&done));
    is_nowhere(&mount, "Snare/kick.wav");
    is_nowhere(&mount, "Kick/Kicks/a/kick.wav");
    is_at(&mount, "Snare/Kicks/a/kick.wav", "Kicks/a/kick.wav");
    // That folder is there now: right into it, too.
    assert_eq!(sys::rename(&mount.path("Kick/Kicks/a/boom.wav"), &mount.path("Snare/Kicks/a/boom.wav")), 0);
    is_at(&mount, "Snare/Kicks/a/boom.wav", "Kicks/a/boom.wav");
    // The folder it came from was its last.
    assert!(!mount.path("Kick/Kicks/a").exists());
    // A folder where it would not be.
    let thud = mount.path("Kick/Kicks/b/thud.wav");
    for elsewhere in ["Snare/Kicks/a", "Snare/Kicks", "Snare/Snares"] {
        assert_eq!(sys::rename(&thud, &mount.path(elsewhere).join("thud.wav")), libc::EROFS, "{elsewhere}");
    }
    is_at(&mount, "Kick/Kicks/b/thud.wav", "Kicks/b/thud.wav");
    assert_eq!(said_of(&mount).len(), 2);
    // By pack, into the pack's folder or onto the class.
    mount.save_rules(&format!("layout: by-pack\n{ROUTES}")).unwrap();
    assert_eq!(sys::rename(&mount.path("Kick/Kicks/thud.wav"), &mount.path("Snare/Kicks/thud.wav")), 0);
    is_at(&mount, "Snare/Kicks/thud.wav", "Kicks/b/thud.wav");
    assert_eq!(sys::rename(&mount.path("Snare/Kicks/thud.wav"), &mount.path("Kick/thud.wav")), 0);
    is_nowhere(&mount, "Kick/thud.wav");
    is_at(&mount, "Kick/Kicks/thud.wav", "Kicks/b/thud.wav");
}

#[test]
fn of_two_folders_that_a_path_may_mean_the_one_is_meant_where_the_sample_lies_right_there() {
    let mount = Mount::of(&["808/x.wav", "other/y.wav"]);
    let rules = "layout: preserve\nroutes:\n  - {name: \"no such\", to: Kick/808}\n  - {path: \"**\", to: Snare}\n";
    mount.save_rules(rules).unwrap();
    assert_eq!(sys::rename(&mount.path("Snare/808/x.wav"), &mount.path("Kick/808/x.wav")), 0);
    is_at(&mount, "Kick/808/x.wav", "808/x.wav");
    assert_eq!(said_of(&mount), [("808/x.wav".to_owned(), "Kick".to_owned())]);
    // Another pack's is put below the folder of that path.
    assert_eq!(sys::rename(&mount.path("Snare/other/y.wav"), &mount.path("Kick/808/y.wav")), 0);
    is_at(&mount, "Kick/808/other/y.wav", "other/y.wav");
    is_nowhere(&mount, "Kick/808/y.wav");
}

#[test]
fn every_process_sees_it_at_once_by_every_name_whatever_it_remembered() {
    // Both folders have a name that two want, so that others change their names with each move.
    let mount = Mount::of(&["Kicks/a/one.wav", "Kicks/b/one.wav", "Snares/two.wav", "Kicks/c/three.wav"]);
    mount.save_rules(&flat()).unwrap();
    let tagged = mount.names("Kick").into_iter().find(|name| name.starts_with("one [")).unwrap();
    let mut eyes = [Peer::at(&mount.at), Peer::at(&mount.path("Kick")), Peer::at(&mount.path("Snare"))];
    for round in 0..6 {
        for eye in &mut eyes {
            eye.ask("walk", ".");
        }
        let (there, here) = (mount.path("Snare/one.wav"), mount.path("Kick/one.wav"));
        let first = json!(number(&here));
        let second = json!(number(&mount.path("Kick").join(&tagged)));
        assert_eq!(eyes[1].ask("ls", "."), json!([&tagged, "one.wav", "three.wav"]));
        assert_eq!(sys::rename(&here, &there), 0, "round {round}");
        // The other one of the name has it to itself now.
        assert_eq!(eyes[1].ask("stat", "one.wav")[0], second, "round {round}");
        assert_eq!(eyes[0].ask("stat", &format!("Kick/{tagged}")), "ENOENT", "round {round}");
        assert_eq!(eyes[0].ask("stat", "Snare/one.wav")[0], first, "round {round}");
        assert_eq!(eyes[2].ask("ls", "."), json!(["one.wav", "two.wav"]), "round {round}");
        assert_eq!(eyes[1].ask("ls", "."), json!(["one.wav", "three.wav"]), "round {round}");
        assert_eq!(sys::rename(&there, &here), libc::EEXIST, "the name is the other's");
        let aside = mount.path("Tom/one.wav");
        assert_eq!(sys::rename(&mount.path("Kick/one.wav"), &aside), 0);
        assert_eq!(eyes[1].ask("stat", "one.wav"), "ENOENT", "round {round}");
        assert_eq!(sys::rename(&there, &here), 0);
        assert_eq!(eyes[1].ask("stat", "one.wav")[0], first, "round {round}");
        // The other one comes back to a name that is taken.
        mount.append_override("{\"path\": \"Kicks/b/one.wav\", \"label\": null}").unwrap();
        assert_eq!(eyes[1].ask("stat", &tagged)[0], second, "round {round}");
        assert_eq!(eyes[0].ask("stat", "Tom/one.wav"), "ENOENT", "round {round}");
    }
    // Moved under the name it is shown under, it gets its own where that is free.
    assert_eq!(sys::rename(&mount.path("Kick").join(&tagged), &mount.path("Tom").join(&tagged)), 0);
    is_at(&mount, "Tom/one.wav", "Kicks/b/one.wav");
    is_nowhere(&mount, &format!("Tom/{tagged}"));
}

#[test]
fn an_uncertain_sample_is_moved_to_its_class_from_there() {
    let mount = mount("layout: flat\nnames: ignore\nmisc: {threshold: 0.0}\n");
    let name = mount.names("_uncertain").into_iter().find(|name| name.ends_with(" crack.wav")).unwrap();
    let others = mount.names("_uncertain").len() - 1;
    let done = shell("bash", "mv \"$1\" \"$2/\"", &[&mount.path("_uncertain").join(&name), &mount.path("Tom")]);
    assert!(done.status.success(), "{}", said(&done));
    is_at(&mount, "Tom/crack.wav", "Snares/crack.wav");
    is_nowhere(&mount, &format!("Tom/{name}"));
    assert_eq!(mount.names("_uncertain").len(), others);
    assert_eq!(said_of(&mount), [("Snares/crack.wav".to_owned(), "Tom".to_owned())]);
    // Also where it is in that folder already: then it is sure.
    let first = mount.names("_uncertain").remove(0);
    let original = first.rsplit(' ').next().unwrap();
    let record = mount.index().into_iter().find(|r| r["relative_path"].as_str().unwrap().ends_with(original)).unwrap();
    let folder = record["assigned_label"].as_str().unwrap();
    let from = mount.path("_uncertain").join(&first);
    assert_eq!(sys::rename(&from, &mount.path(folder).join(&first)), 0);
    assert_eq!(mount.names("_uncertain").len(), others - 1);
    assert!(mount.path(folder).join(original).exists());
    // Nothing is moved into it.
    assert_eq!(sys::rename(&mount.path("Tom/crack.wav"), &mount.path("_uncertain/crack.wav")), libc::EROFS);
}

#[test]
fn all_of_a_content_go_with_the_one_that_is_moved() {
    let dir = new_dir();
    for (path, sound) in [("Kicks/one.wav", 1), ("Snares/copy.wav", 1), ("Snares/other.wav", 2)] {
        put(&dir.path().join("archive").join(path), &wav(sound));
    }
    let mount = Mount::start(dir);
    mount.save_rules(&flat()).unwrap();
    let mut eye = Peer::at(&mount.path("Snare"));
    assert_eq!(eye.ask("ls", "."), json!(["copy.wav", "other.wav"]));
    eye.ask("stat", "copy.wav");
    assert_eq!(sys::rename(&mount.path("Kick/one.wav"), &mount.path("Tom/one.wav")), 0);
    assert_eq!(mount.names("Tom"), ["copy.wav", "one.wav"]);
    assert_eq!(eye.ask("stat", "copy.wav"), "ENOENT");
    assert_eq!(fs::read_to_string(mount.overrides()).unwrap().lines().count(), 1);
}

#[test]
fn an_open_file_goes_on_reading_while_it_is_moved() {
    let mount = mount(&flat());
    let bytes = fs::read(mount.archive.join("Kicks/a/kick.wav")).unwrap();
    let mut open = File::open(mount.path("Kick/kick.wav")).unwrap();
    let mut start = vec![0; 100];
    open.read_exact(&mut start).unwrap();
    assert_eq!(sys::rename(&mount.path("Kick/kick.wav"), &mount.path("Snare/kick.wav")), 0);
    let mut rest = Vec::new();
    open.read_to_end(&mut rest).unwrap();
    assert_eq!([start, rest].concat(), bytes);
    assert_eq!(open.metadata().unwrap().ino(), number(&mount.path("Snare/kick.wav")));
    let mut again = vec![0; bytes.len()];
    open.read_exact_at(&mut again, 0).unwrap();
    assert_eq!(again, bytes);
}

#[test]
fn a_move_is_kept_when_drumfs_is_killed_right_after_it_returned() {
    let mut mount = mount(&flat());
    let mut at = "Kick".to_owned();
    for to in ["Snare", "Tom", "Loops/Long", "misc"] {
        assert_eq!(sys::rename(&mount.path(&at).join("kick.wav"), &mount.path(to).join("kick.wav")), 0);
        mount.kill9();
        mount.mount_again();
        is_at(&mount, &format!("{to}/kick.wav"), "Kicks/a/kick.wav");
        assert_eq!(said_of(&mount), [("Kicks/a/kick.wav".to_owned(), to.to_owned())]);
        at = to.to_owned();
    }
    let undone = crate::common::tools::run(
        crate::common::mount::DRUMFS,
        &["override".as_ref(), "undo".as_ref(), mount.path("misc/kick.wav").as_os_str()],
    );
    assert!(undone.status.success(), "{}", said(&undone));
    is_at(&mount, "Loops/Long/kick.wav", "Kicks/a/kick.wav");
}

#[test]
fn what_no_override_does_is_refused_and_says_nothing() {
    let dir = new_dir();
    let sounds = ["Kicks/a/kick.wav", "Kicks/b/same.wav", "Snares/same.wav", "Snares/crack.wav", "Kicks/secret.wav"];
    for (seed, path) in sounds.into_iter().enumerate() {
        put(&dir.path().join("archive").join(path), &wav(seed as u64));
    }
    put(&dir.path().join("archive/Kicks/broken.wav"), b"RIFF no sound at all");
    let mount = Mount::start(dir);
    // Whoever overrides this one hides it.
    let hides = "routes:\n  - {reason: override, name: secret.wav, hide: true}\n";
    let hides = flat().replace("routes:\n", hides);
    mount.save_rules(&hides).unwrap();
    let before = (snapshot(&mount.path("Kick")), snapshot(&mount.archive));
    let kick = mount.path("Kick/kick.wav");
    let by_id = mount.path("_by-id").join(&mount.names("_by-id")[0]);
    let to = |path: &str| mount.path(path);
    let name_of = |path: &PathBuf| path.file_name().unwrap().to_owned();
    let broken = ["misc/broken.wav", "Kick/broken.wav"].map(to).into_iter().find(|path| path.exists()).unwrap();
    for (why, from, to, errno) in [
        ("another name", kick.clone(), to("Snare/other.wav"), libc::EROFS),
        ("another name in the same folder", kick.clone(), to("Kick/other.wav"), libc::EROFS),
        ("another sample's name", kick.clone(), to("Kick/same.wav"), libc::EROFS),
        ("the name is taken", to("Kick/same.wav"), to("Snare/same.wav"), libc::EEXIST),
        ("the root", kick.clone(), to("kick.wav"), libc::EROFS),
        ("a folder with no label of its own", kick.clone(), to("Loops/kick.wav"), libc::EROFS),
        ("by id", kick.clone(), to("_by-id/kick.wav"), libc::EROFS),
        ("manifests", kick.clone(), to("_manifests/kick.wav"), libc::EROFS),
        ("control", kick.clone(), to("_control/kick.wav"), libc::EROFS),
        ("from by id", by_id.clone(), to("Tom").join(name_of(&by_id)), libc::EROFS),
        ("a folder", to("Kick"), to("Snare/Kick"), libc::EROFS),
        ("a manifest", to("_manifests/Kick.txt"), to("Kick/Kick.txt"), libc::EROFS),
        ("a file that could not be read", broken.clone(), to("Tom/broken.wav"), libc::EROFS),
        ("one that would be hidden", to("Kick/secret.wav"), to("Tom/secret.wav"), libc::EROFS),
        ("one that is not there", to("Kick/nothing.wav"), to("Tom/nothing.wav"), libc::ENOENT),
    ] {
        assert_eq!(sys::rename(&from, &to), errno, "{why}");
    }
    assert_eq!(sys::rename_no_replace(&mount.path("Kick/same.wav"), &mount.path("Snare/same.wav")), libc::EEXIST);
    assert_eq!(sys::exchange(&kick, &mount.path("Snare/crack.wav")), libc::EROFS);
    let done = shell("bash", "mv \"$1/Kick/kick.wav\" \"$1/Snare/other.wav\"", &[&mount.at]);
    assert!(said(&done).contains("Read-only file system"), "{}", said(&done));
    assert_eq!((snapshot(&mount.path("Kick")), snapshot(&mount.archive)), before);
    assert_eq!(said_of(&mount), []);
}

#[test]
fn one_that_has_just_changed_is_moved_when_it_was_heard() {
    let mount = mount(&flat());
    put(&mount.archive.join("Kicks/a/kick.wav"), &wav(77));
    let moved = || sys::rename(&mount.path("Kick/kick.wav"), &mount.path("Snare/kick.wav"));
    crate::common::eventually("it is heard", || match moved() {
        0 => true,
        errno => {
            assert_eq!(errno, libc::EBUSY);
            false
        }
    });
    mount.rescan();
    // What was said is said of what is there now.
    is_at(&mount, "Snare/kick.wav", "Kicks/a/kick.wav");
    assert_eq!(fs::read_to_string(mount.overrides()).unwrap().lines().count(), 1);
}

#[test]
fn without_open_messages_moves_go_the_same_way() {
    let dir = new_dir();
    for (seed, path) in ["Kicks/kick.wav", "Snares/crack.wav"].into_iter().enumerate() {
        put(&dir.path().join("archive").join(path), &wav(seed as u64));
    }
    let mount = Mount::start_with(dir, &["--no-open"]);
    let draft = mount.path("_control/draft");
    fs::write(&draft, flat()).unwrap();
    fs::rename(&draft, mount.rules()).unwrap();
    let done = shell("bash", "mv \"$1/Kick/kick.wav\" \"$1/Snare/\"", &[&mount.at]);
    assert!(done.status.success(), "{}", said(&done));
    is_at(&mount, "Snare/kick.wav", "Kicks/kick.wav");
    is_nowhere(&mount, "Kick/kick.wav");
}

#[test]
fn others_who_are_let_in_move_nothing() {
    if !users_can_be_made() {
        return;
    }
    let dir = new_dir();
    for (seed, path) in ["Kicks/kick.wav", "Snares/crack.wav"].into_iter().enumerate() {
        put(&dir.path().join("archive").join(path), &wav(seed as u64));
    }
    let users = Users::visitors(dir.path(), 1);
    let open = shell("bash", "chmod 755 \"$1\"; chmod -R a+rX \"$1/archive\"", &[dir.path()]);
    assert!(open.status.success());
    let mount = Mount::start_with(dir, &["--allow-other"]);
    mount.save_rules(&flat()).unwrap();
    let done = users.shell(0, "cat \"$1/Kick/kick.wav\" > /dev/null", &[&mount.at]);
    assert!(done.status.success(), "{}", said(&done));
    let done = users.shell(0, "mv \"$1/Kick/kick.wav\" \"$1/Snare/\"", &[&mount.at]);
    assert!(!done.status.success());
    assert!(said(&done).contains("Permission denied"), "{}", said(&done));
    is_at(&mount, "Kick/kick.wav", "Kicks/kick.wav");
    assert_eq!(sys::rename(&mount.path("Kick/kick.wav"), &mount.path("Snare/kick.wav")), 0);
    is_at(&mount, "Snare/kick.wav", "Kicks/kick.wav");
}

/// Movers hold folders while the kernel is being told of names in them after saves: nobody may wait for the other.
#[test]
fn eight_movers_against_walkers_savers_and_folders_that_are_removed_never_hang() {
    const FILES: usize = 48;
    let paths: Vec<String> = (0..FILES).map(|n| format!("Kicks/{}/{n:03}.wav", n % 3)).collect();
    let mount = Mount::of(&paths.iter().map(|path| path.as_str()).collect::<Vec<_>>());
    let rules = |turn: u64| {
        let layout = ["flat", "preserve", "by-pack"][turn as usize % 3];
        format!(
            "layout: {layout}\nmisc: {{threshold: 0.{}}}\nroutes:\n  - {{path: \"**\", to: {}}}\n",
            turn % 9,
            ["Kick", "Snare"][turn as usize / 3 % 2]
        )
    };
    mount.save_rules(&rules(0)).unwrap();
    let seconds = std::env::var("DRUMFS_STRESS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let length = Duration::from_secs(seconds);
    let (alive, watched) = channel::<()>();
    let (number, cut) = (connection(&mount.at), AtomicBool::new(false));
    let (moves, saves, looks) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let cut = &cut;
        scope.spawn(move || {
            if watched.recv_timeout(length + Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
                cut.store(true, Ordering::Relaxed);
                abort(number);
            }
        });
        let end = Instant::now() + length;
        let (mount, paths, rules) = (&mount, &paths, &rules);
        let (moves, saves, looks) = (&moves, &saves, &looks);
        let mut threads = Vec::new();
        for mover in 0..8usize {
            threads.push(scope.spawn(move || {
                let mut turn = mover;
                while Instant::now() < end {
                    let path = &paths[turn * 7 % FILES];
                    let name = path.rsplit('/').next().unwrap();
                    let to = ["Kick", "Snare", "Tom"][turn % 3];
                    for from in ["Kick", "Snare", "Tom"] {
                        for inner in [name, path, &format!("Kicks/{name}")] {
                            match sys::rename(&mount.path(from).join(inner), &mount.path(to).join(name)) {
                                0 => _ = moves.fetch_add(1, Ordering::Relaxed),
                                libc::ENOENT | libc::EROFS | libc::EEXIST => {}
                                errno => panic!("{errno}"),
                            }
                        }
                    }
                    turn += 1;
                }
            }));
        }
        threads.push(scope.spawn(move || {
            while Instant::now() < end {
                let turn = saves.fetch_add(1, Ordering::Relaxed);
                mount.save_rules(&rules(turn)).unwrap();
            }
        }));
        // Who removes a folder takes the lock of the one above, and waits for its own.
        threads.push(scope.spawn(move || {
            while Instant::now() < end {
                for folder in ["Kick", "Snare", "Kick/Kicks", "Snare/Kicks/0"] {
                    let errno = sys::rmdir(&mount.path(folder));
                    assert!(matches!(errno, libc::EROFS | libc::ENOENT), "{errno}");
                }
            }
        }));
        for walker in 0..4usize {
            threads.push(scope.spawn(move || {
                let mut turn = walker;
                while Instant::now() < end {
                    let folder = mount.path(["Kick", "Snare", "Tom"][turn % 3]);
                    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                        if entry.metadata().is_ok() {
                            looks.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    turn += 1;
                }
            }));
        }
        let failed: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().err()).collect();
        drop(alive);
        if let Some(first) = failed.into_iter().next() {
            std::panic::resume_unwind(first);
        }
    });
    assert!(!cut.load(Ordering::Relaxed), "somebody hung");
    let counts = (moves.into_inner(), saves.into_inner(), looks.into_inner());
    println!("moves, saves, looks: {counts:?}");
    assert!(counts.0 > 8 && counts.1 > 4 && counts.2 > 16, "{counts:?}");
    // Everything is somewhere, once.
    mount.save_rules(&rules(0)).unwrap();
    let mut names: Vec<String> = ["Kick", "Snare", "Tom"].iter().flat_map(|folder| mount.names(folder)).collect();
    names.sort();
    assert_eq!(names, (0..FILES).map(|n| format!("{n:03}.wav")).collect::<Vec<_>>());
}
