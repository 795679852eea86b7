//! A path that a program has opened goes on opening when rules move the sample: songs keep their sounds. No listing has
//! it, and a file that is shown there goes before.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;

use super::reading::save_by_rename;
use crate::common::eventually;
use crate::common::mount::{Mount, new_dir, put};
use crate::common::peer::Peer;
use crate::common::snapshot::snapshot;
use crate::common::sounds::wav;
use crate::common::tools::{said, shell};

/// Where the packs go: folders of the view for `P/**` and `Q/**`, after other lines.
fn rules(lines: &str, p: &str, q: &str) -> String {
    let end = |to: &str| if to == "nowhere" { "hide: true".to_owned() } else { format!("to: {to}") };
    format!("layout: flat\n{lines}routes:\n  - {{path: \"P/**\", {}}}\n  - {{path: \"Q/**\", {}}}\n", end(p), end(q))
}

fn mount_with(options: &[&str]) -> Mount {
    let dir = new_dir();
    for (seed, path) in ["P/one.wav", "P/two.wav", "Q/one.wav", "Q/deep/three.wav"].iter().enumerate() {
        put(&dir.path().join("archive").join(path), &wav(seed as u64));
    }
    Mount::start_with(dir, options)
}

fn mount() -> Mount {
    let mount = mount_with(&[]);
    mount.save_rules(&rules("", "A", "B/C")).unwrap();
    mount
}

#[track_caller]
fn is(mount: &Mount, at: &str, original: &str) {
    let bytes = fs::read(mount.path(at)).unwrap_or_else(|error| panic!("{at}: {error}"));
    assert_eq!(bytes, fs::read(mount.archive.join(original)).unwrap(), "{at}");
    let (found, original) = (mount.path(at).metadata().unwrap(), mount.archive.join(original).metadata().unwrap());
    assert_eq!((found.len(), found.mtime_nsec()), (original.len(), original.mtime_nsec()), "{at}");
}

#[track_caller]
fn is_not(mount: &Mount, at: &str) {
    for error in [fs::symlink_metadata(mount.path(at)).expect_err(at), File::open(mount.path(at)).expect_err(at)] {
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{at}");
    }
}

fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> Option<i32> {
    result.unwrap_err().raw_os_error()
}

#[test]
fn a_path_that_was_opened_goes_on_opening_and_is_in_no_listing() {
    let mount = mount();
    let mut other = Peer::at(&mount.at);
    let before = snapshot(&mount.archive);
    assert_eq!(other.ask("open", "A/one.wav"), "opened");
    assert_eq!(other.ask("open", "B/C/three.wav"), "opened");
    let mut held = File::open(mount.path("A/one.wav")).unwrap();
    mount.save_rules(&rules("", "D", "D/E")).unwrap();
    for _ in 0..2 {
        is(&mount, "A/one.wav", "P/one.wav");
        is(&mount, "D/one.wav", "P/one.wav");
        is(&mount, "B/C/three.wav", "Q/deep/three.wav");
    }
    is_not(&mount, "A/two.wav");
    is_not(&mount, "B/C/one.wav");
    is_not(&mount, "B/three.wav");
    assert_eq!(other.ask("open", "A/two.wav"), "ENOENT");
    // The folders have gone, too, for whoever lists.
    let top = fs::read_dir(&mount.at).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let top: Vec<String> = top.filter(|name| !name.starts_with('_')).collect();
    assert!(!top.iter().any(|name| name == "A" || name == "B"), "{top:?}");
    for folder in ["A", "B", "B/C"] {
        assert_eq!(other.ask("ls", folder), json!([]), "{folder}");
        assert!(mount.path(folder).metadata().unwrap().is_dir());
        let up = mount.path(folder).join("..").metadata().unwrap().ino();
        assert_eq!(up, mount.path(folder).parent().unwrap().metadata().unwrap().ino(), "{folder}");
    }
    // Nothing can be done to what is only kept.
    for (what, error) in [
        ("write", errno(File::options().write(true).open(mount.path("A/one.wav")))),
        ("make", errno(File::create(mount.path("A/new.wav")))),
        ("make a folder", errno(fs::create_dir(mount.path("A/new")))),
        ("remove", errno(fs::remove_file(mount.path("A/one.wav")))),
        ("remove a folder", errno(fs::remove_dir(mount.path("A")))),
        ("cut", errno(File::options().append(true).open(mount.path("A/one.wav")))),
        ("move", errno(fs::rename(mount.path("A/one.wav"), mount.path("D/E/one.wav")))),
        ("move there", errno(fs::rename(mount.path("D/two.wav"), mount.path("A/two.wav")))),
        ("list", errno(fs::read_dir(mount.path("A/one.wav")))),
    ] {
        let expected = if what == "list" { libc::ENOTDIR } else { libc::EROFS };
        assert_eq!(error, Some(expected), "{what}");
    }
    let mut bytes = Vec::new();
    held.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, fs::read(mount.archive.join("P/one.wav")).unwrap());
    assert_eq!(snapshot(&mount.archive), before);
    // Hidden by the rules, it is still where a song looks for it.
    mount.save_rules(&rules("", "nowhere", "D")).unwrap();
    is(&mount, "A/one.wav", "P/one.wav");
    is_not(&mount, "D/two.wav");
}

#[test]
fn a_file_that_is_shown_goes_before_one_that_was_opened() {
    let mount = mount();
    let mut other = Peer::at(&mount.path("A"));
    let (one, two) =
        (fs::read(mount.archive.join("P/one.wav")).unwrap(), fs::read(mount.archive.join("Q/one.wav")).unwrap());
    let hex = |bytes: &[u8]| json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    for round in 0..6 {
        mount.save_rules(&rules("", "A", "B")).unwrap();
        assert_eq!(other.ask("read", "one.wav"), hex(&one), "round {round}");
        is(&mount, "A/one.wav", "P/one.wav");
        mount.save_rules(&rules("", "B", "X")).unwrap();
        // Kept, by the same working folder, which has gone.
        assert_eq!(other.ask("read", "one.wav"), hex(&one), "round {round}");
        mount.save_rules(&rules("", "B", "A")).unwrap();
        assert_eq!(other.ask("read", "one.wav"), hex(&two), "round {round}");
        is(&mount, "A/one.wav", "Q/one.wav");
        is(&mount, "B/one.wav", "P/one.wav");
        // What was opened there last.
        mount.save_rules(&rules("", "B", "X")).unwrap();
        is(&mount, "A/one.wav", "Q/one.wav");
    }
}

#[test]
fn it_is_known_after_the_next_mount_and_after_kill_9() {
    let mut mount = mount();
    is(&mount, "A/one.wav", "P/one.wav");
    assert!(mount.end().success());
    mount.mount_again();
    mount.save_rules(&rules("", "D", "D")).unwrap();
    is(&mount, "A/one.wav", "P/one.wav");
    let written = mount.store.join("opened.bin");
    let len = written.metadata().unwrap().len();
    is(&mount, "D/two.wav", "P/two.wav");
    eventually("it is written", || written.metadata().unwrap().len() > len);
    mount.kill9();
    mount.mount_again();
    mount.save_rules(&rules("", "A2", "B2")).unwrap();
    is(&mount, "A/one.wav", "P/one.wav");
    is(&mount, "D/two.wav", "P/two.wav");
    assert_eq!(written.metadata().unwrap().mode() & 0o777, 0o600);
    // Bytes that are none of ours cost what was opened, and nothing else.
    assert!(mount.end().success());
    fs::write(&written, vec![0xA5; 100_000]).unwrap();
    mount.mount_again();
    is_not(&mount, "A/one.wav");
    is(&mount, "A2/one.wav", "P/one.wav");
    mount.save_rules(&rules("", "A3", "B3")).unwrap();
    is(&mount, "A2/one.wav", "P/one.wav");
}

#[test]
fn with_the_key_off_nothing_is_kept() {
    let mount = mount();
    is(&mount, "A/one.wav", "P/one.wav");
    let off = |p, q| rules("keep_opened_paths: false\n", p, q);
    mount.save_rules(&off("D", "D")).unwrap();
    is_not(&mount, "A/one.wav");
    is(&mount, "D/two.wav", "P/two.wav");
    mount.save_rules(&rules("", "E", "E")).unwrap();
    is(&mount, "A/one.wav", "P/one.wav");
    is_not(&mount, "D/two.wav");
}

#[test]
fn a_file_that_somebody_moves_has_its_new_path_alone_and_can_be_moved_back() {
    let mount = mount();
    mount.save_rules(&rules("target_labels: [Kick, Snare]\n", "Kick", "Snare")).unwrap();
    is(&mount, "Kick/one.wav", "P/one.wav");
    let mv = |how: &str, from: &str, to: &str| {
        let moved = shell("sh", &format!("mv {how} \"$1\" \"$2\""), &[&mount.path(from), &mount.path(to)]);
        assert!(moved.status.success(), "{from} to {to}: {}", said(&moved));
    };
    // To and fro, with nothing in the way.
    for _ in 0..3 {
        is(&mount, "Kick/two.wav", "P/two.wav");
        mv("-n", "Kick/two.wav", "Snare/two.wav");
        is_not(&mount, "Kick/two.wav");
        is(&mount, "Snare/two.wav", "P/two.wav");
        mv("-n", "Snare/two.wav", "Kick/two.wav");
        is_not(&mount, "Snare/two.wav");
    }
    // What rules moved and somebody opened before can be put back over the path that is kept.
    mount.save_rules(&rules("target_labels: [Kick, Snare]\n", "Snare", "Tom")).unwrap();
    is(&mount, "Kick/one.wav", "P/one.wav");
    let own = mount.path("Snare/one.wav").metadata().unwrap().ino();
    assert_ne!(mount.path("Kick/one.wav").metadata().unwrap().ino(), own, "else nothing would be moved");
    mv("-f", "Snare/one.wav", "Kick/one.wav");
    is(&mount, "Kick/one.wav", "P/one.wav");
    is_not(&mount, "Snare/one.wav");
    assert_eq!(mount.path("Kick/one.wav").metadata().unwrap().ino(), own);
    assert!(fs::read_to_string(mount.overrides()).unwrap().contains("P/one.wav"));
}

#[test]
fn an_original_that_changes_or_goes_is_the_same_by_either_path() {
    let mount = mount();
    is(&mount, "A/one.wav", "P/one.wav");
    is(&mount, "A/two.wav", "P/two.wav");
    mount.save_rules(&rules("", "D", "D")).unwrap();
    is(&mount, "A/one.wav", "P/one.wav");
    let held = File::open(mount.path("A/one.wav")).unwrap();
    let draft = mount.dir.path().join("draft");
    fs::write(&draft, crate::common::sounds::wav_of(99, 0.7)).unwrap();
    let old = fs::read(mount.archive.join("P/one.wav")).unwrap();
    fs::rename(&draft, mount.archive.join("P/one.wav")).unwrap();
    eventually("it is shown", || {
        fs::read(mount.path("A/one.wav")).is_ok_and(|bytes| bytes == fs::read(mount.archive.join("P/one.wav")).unwrap())
    });
    is(&mount, "A/one.wav", "P/one.wav");
    is(&mount, "D/one.wav", "P/one.wav");
    let mut bytes = Vec::new();
    (&held).read_to_end(&mut bytes).unwrap();
    assert!(bytes == old, "who holds it reads on in the old one: {} and {}", bytes.len(), old.len());
    drop(held);
    is(&mount, "A/two.wav", "P/two.wav");
    fs::remove_file(mount.archive.join("P/two.wav")).unwrap();
    eventually("it is gone", || File::open(mount.path("A/two.wav")).is_err());
}

#[test]
fn whoever_opened_a_path_never_misses_it_while_others_save() {
    let mount = mount();
    let names = ["A/one.wav", "A/two.wav", "B/C/three.wav"];
    let originals =
        ["P/one.wav", "P/two.wav", "Q/deep/three.wav"].map(|path| fs::read(mount.archive.join(path)).unwrap());
    names.iter().for_each(|name| drop(File::open(mount.path(name)).unwrap()));
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for (name, original) in names.iter().zip(&originals) {
                        let bytes = fs::read(mount.path(name));
                        if !bytes.as_ref().is_ok_and(|bytes| bytes == original) {
                            stop.store(true, Ordering::Relaxed);
                            panic!("{name}: {:?}", bytes.map(|bytes| bytes.len()));
                        }
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for round in 0..60 {
            let (p, q) = [("D", "D/E"), ("A", "B/C"), ("nowhere", "B"), ("B/C", "F")][round % 4];
            mount.save_rules(&rules("", p, q)).unwrap();
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(reads.load(Ordering::Relaxed) > 100);
}

#[test]
fn without_open_messages_what_was_read_is_kept() {
    let mount = mount_with(&["--no-open"]);
    save_by_rename(&mount, &rules("", "A", "B")).unwrap();
    is(&mount, "A/one.wav", "P/one.wav");
    save_by_rename(&mount, &rules("", "D", "D")).unwrap();
    is(&mount, "A/one.wav", "P/one.wav");
    is(&mount, "D/one.wav", "P/one.wav");
    is_not(&mount, "A/two.wav");
}

#[test]
fn names_that_were_made_are_kept_too() {
    let mount = mount();
    // Two of one name: one is shown under a name that was made.
    mount.save_rules(&rules("", "A", "A")).unwrap();
    let names = mount.names("A");
    let made = names.iter().find(|name| name.starts_with("one [")).unwrap();
    let path = format!("A/{made}");
    is(&mount, &path, "Q/one.wav");
    mount.save_rules(&rules("", "A", "B")).unwrap();
    is(&mount, &path, "Q/one.wav");
    assert!(!mount.names("A").contains(made));
    assert!(Path::new(&path).extension().is_some());
}
