//! kill -9 and remounts: nothing that was acknowledged is lost, and the dead mount is cleared by the next.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::common::eventually;
use crate::common::mount::{Mount, is_mounted};
use crate::saving::{BAD, to};

fn mount() -> Mount {
    Mount::of(&["pack/kick.wav", "pack/snare.wav"])
}

#[test]
fn a_dead_mount_is_recognised_and_cleared_by_the_next() {
    let mut mount = mount();
    for _ in 0..2 {
        mount.kill9();
        assert!(is_mounted(&mount.at));
        let error = fs::metadata(&mount.at).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN), "{error}");
        mount.mount_again();
        assert!(mount.log_text().contains("cleared a mount"), "{}", mount.log_text());
        assert_eq!(mount.names("_control").len(), 5);
    }
    assert!(mount.end().success());
    assert!(!is_mounted(&mount.at), "nothing lies under it");
}

#[test]
fn rules_are_kept_over_remounts_and_crashes() {
    let mut mount = mount();
    mount.save_rules(&to("Kept")).unwrap();
    assert!(mount.end().success());
    mount.mount_again();
    assert_eq!(mount.names("Kept").len(), 2);
    for round in 0..5 {
        let folder = format!("Kept{round}");
        mount.save_rules(&to(&folder)).unwrap();
        mount.kill9();
        mount.mount_again();
        assert_eq!(mount.names(&folder).len(), 2, "killed right after the save returned");
        assert_eq!(fs::read_to_string(mount.rules()).unwrap(), to(&folder));
    }
}

#[test]
fn a_draft_that_was_refused_is_kept_with_its_reason() {
    let mut mount = mount();
    mount.save_rules(&to("Good")).unwrap();
    assert_eq!(mount.save_rules(BAD).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    let reason = fs::read_to_string(mount.rules_error()).unwrap();
    for crash in [true, false] {
        if crash {
            mount.kill9();
        } else {
            assert!(mount.end().success());
        }
        mount.mount_again();
        assert_eq!(fs::read_to_string(mount.rules()).unwrap(), BAD);
        assert_eq!(fs::read_to_string(mount.rules_error()).unwrap(), reason);
        assert_eq!(mount.names("Good").len(), 2, "the rules before are in force");
    }
    mount.save_rules(&to("Better")).unwrap();
    assert!(!mount.rules_error().exists());
    mount.kill9();
    mount.mount_again();
    assert!(!mount.rules_error().exists());
    assert_eq!(mount.names("Better").len(), 2);
}

#[test]
fn killed_at_any_moment_of_saving_and_reading_no_acknowledged_save_is_lost() {
    let mut mount = mount();
    let mut last = 0u32;
    for round in 0..8u64 {
        let rules = mount.rules();
        let sample = mount.path("_by-id").join(&mount.names("_by-id")[0]);
        let start = last;
        let saved = Arc::new(AtomicU32::new(start));
        let saver = std::thread::spawn({
            let saved = Arc::clone(&saved);
            // Until the mount dies under it.
            move || loop {
                let text = to(&format!("Save{}", saved.load(Ordering::Acquire) + 1));
                match crate::common::tools::write_and_close(&rules, text.as_bytes()) {
                    Ok(()) => saved.fetch_add(1, Ordering::AcqRel),
                    Err(error) => return error,
                };
            }
        });
        let reader = std::thread::spawn(move || -> io::Error {
            loop {
                if let Err(error) = fs::read(&sample) {
                    return error;
                }
            }
        });
        // However slow the machine is, something is to be lost.
        eventually("a save is acknowledged", || saved.load(Ordering::Acquire) > start);
        std::thread::sleep(Duration::from_millis(round * 37));
        mount.kill9();
        saver.join().unwrap();
        let acknowledged = saved.load(Ordering::Acquire);
        reader.join().unwrap();
        mount.mount_again();
        let text = fs::read_to_string(mount.rules()).unwrap();
        // The one that was under way may have come to the disk or not.
        let in_force = [acknowledged, acknowledged + 1].into_iter().find(|n| text == to(&format!("Save{n}")));
        last = in_force.unwrap_or_else(|| panic!("round {round}: save {acknowledged} was acknowledged, found {text}"));
        assert!(last > start, "round {round}: something was saved");
        assert_eq!(mount.names(&format!("Save{last}")).len(), 2, "round {round}");
    }
}
