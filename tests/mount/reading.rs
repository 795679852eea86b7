//! The ways in which the kernel gets the bytes of an original: from its own memory, from the original itself, and
//! without a message at open. The bytes are the same in all of them.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;

use serde_json::json;

use crate::common::eventually;
use crate::common::mount::{Mount, new_dir, put};
use crate::common::sounds::{wav, wav_of};
use crate::common::tools::{c_path, run};

const ALL: &str = "layout: flat\nroutes:\n  - {path: \"**\", to: All}\n";

/// 20 s, 1.7 MB: large enough to be handed over.
fn large(seed: u64) -> Vec<u8> {
    wav_of(seed, 20.0)
}

fn mounted(options: &[&str]) -> Mount {
    let dir = new_dir();
    put(&dir.path().join("archive/pack/large.wav"), &large(1));
    for seed in 0..5u64 {
        put(&dir.path().join(format!("archive/pack/{seed}.wav")), &wav(seed));
    }
    Mount::start_with(dir, options)
}

pub fn save_by_rename(mount: &Mount, text: &str) -> std::io::Result<()> {
    let draft = mount.at.join("_control/draft");
    fs::write(&draft, text)?;
    fs::rename(draft, mount.rules())
}

/// Sequentially, in pieces from the end, through a map, and by another process.
fn reads_as(mount: &Mount, name: &str, bytes: &[u8]) {
    let at = mount.path("All").join(name);
    assert!(fs::read(&at).unwrap() == bytes, "{name}");
    let file = File::open(&at).unwrap();
    let mut piece = [0u8; 5000];
    for offset in (0..bytes.len()).step_by(70_001).rev() {
        let len = file.read_at(&mut piece, offset as u64).unwrap();
        assert_eq!(len, piece.len().min(bytes.len() - offset));
        assert!(piece[..len] == bytes[offset..offset + len], "{name} at {offset}");
    }
    // SAFETY: the file is open and not empty; the map is read within its length and taken down again.
    unsafe {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        let map = libc::mmap(std::ptr::null_mut(), bytes.len(), libc::PROT_READ, libc::MAP_SHARED, fd, 0);
        assert_ne!(map, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        assert!(std::slice::from_raw_parts(map.cast::<u8>(), bytes.len()) == bytes, "{name} mapped");
        libc::munmap(map, bytes.len());
    }
    assert!(run("cat", &[at.as_os_str()]).stdout == bytes, "{name} by cat");
}

#[test]
fn a_large_original_is_read_by_the_kernel_itself_where_the_process_may() {
    let mount = mounted(&[]);
    mount.save_rules(ALL).unwrap();
    reads_as(&mount, "large.wav", &large(1));
    reads_as(&mount, "3.wav", &wav(3));
    // SAFETY: geteuid has no preconditions.
    let expected = if unsafe { libc::geteuid() } == 0 { "used" } else { "unavailable" };
    assert_eq!(mount.status()["passthrough"], expected, "Linux 6.9 and root can");
}

#[test]
fn a_large_original_that_is_replaced_while_it_is_open_is_old_there_and_new_for_whoever_opens_it() {
    let mount = mounted(&[]);
    mount.save_rules(ALL).unwrap();
    let shown = mount.path("All/large.wav");
    let mut held = File::open(&shown).unwrap();
    let mut start = vec![0; 1000];
    held.read_exact(&mut start).unwrap();
    for (round, new) in [large(7), wav(8), large(9)].iter().enumerate() {
        let draft = mount.dir.path().join("draft");
        fs::write(&draft, new).unwrap();
        fs::rename(&draft, mount.archive.join("pack/large.wav")).unwrap();
        let mut file = File::open(&shown).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert!(&bytes == new, "round {round}: {} bytes of {}", bytes.len(), new.len());
        assert_eq!(file.metadata().unwrap().len(), new.len() as u64);
        let mut old = vec![0; 100_000];
        held.read_exact_at(&mut old, 0).unwrap();
        assert!(old == large(1)[..100_000], "round {round}: what is held is what was opened");
    }
    drop(held);
    eventually("who opens it after everybody has closed it reads it as usual", || {
        fs::read(&shown).is_ok_and(|bytes| bytes == large(9))
    });
}

#[test]
fn without_open_messages_the_bytes_are_the_same_and_rules_are_saved_by_renaming() {
    let mount = mounted(&["--no-open"]);
    save_by_rename(&mount, ALL).unwrap();
    for round in 0..2 {
        reads_as(&mount, "large.wav", &large(1));
        (0..5).for_each(|seed| reads_as(&mount, &format!("{seed}.wav"), &wav(seed)));
        assert_eq!(mount.names("All").len(), 6, "round {round}");
    }
    assert_eq!(mount.status()["passthrough"], "off: no open messages");
    // In place nothing can be written, and whoever tries hears of it at once.
    for error in [fs::write(mount.rules(), "layout: flat\n"), fs::write(mount.overrides(), "{}\n")] {
        assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::EROFS));
    }
    let cut = c_path(&mount.rules());
    // SAFETY: the path is NUL-terminated and outlives the call.
    assert_eq!(unsafe { libc::truncate(cut.as_ptr(), 0) }, -1);
    assert_eq!(fs::read_to_string(mount.rules()).unwrap(), ALL);
    // What is refused is refused where it is renamed.
    let refused = save_by_rename(&mount, "layout: sideways\n").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
    assert!(fs::read_to_string(mount.rules_error()).unwrap().contains("sideways"));
    save_by_rename(&mount, "layout: flat\nroutes:\n  - {path: \"**\", to: Else}\n").unwrap();
    assert_eq!((mount.names("Else").len(), mount.names("").contains(&"All".to_owned())), (6, false));
    assert!(fs::read(mount.path("Else/large.wav")).unwrap() == large(1));
}

#[test]
fn without_open_messages_overrides_take_whole_lines_and_a_rescan_finds_what_is_new() {
    let mount = mounted(&["--no-open"]);
    mount.append_override(&json!({"path": "pack/0.wav", "label": "Kick"}).to_string()).unwrap();
    assert!(fs::read_to_string(mount.overrides()).unwrap().contains("pack/0.wav"));
    assert!(mount.path("Kick/pack/0.wav").exists());
    let bad = mount.append_override("nonsense").unwrap_err();
    assert_eq!(bad.raw_os_error(), Some(libc::EINVAL));
    put(&mount.archive.join("pack/new.wav"), &wav(77));
    mount.rescan();
    assert_eq!(mount.status()["samples"], 7);
    // It changes from read to read, and each is whole.
    for _ in 0..20 {
        assert!(mount.status()["epoch"].as_u64().is_some());
    }
}

#[test]
fn without_open_messages_an_original_that_was_replaced_is_soon_read_anew() {
    let mount = mounted(&["--no-open"]);
    save_by_rename(&mount, ALL).unwrap();
    let shown = mount.path("All/0.wav");
    assert!(fs::read(&shown).unwrap() == wav(0));
    for new in [wav_of(50, 0.3), wav_of(51, 0.1)] {
        let draft = mount.dir.path().join("draft");
        fs::write(&draft, &new).unwrap();
        fs::rename(&draft, mount.archive.join("pack/0.wav")).unwrap();
        eventually("the watch has noticed", || fs::read(&shown).is_ok_and(|bytes| bytes == new));
    }
}

#[test]
fn a_connection_that_is_cut_ends_the_mount_and_the_next_begins_anew() {
    let mut mount = mounted(&[]);
    drumfs::mount::platform::cut(&mount.at).unwrap();
    assert!(fs::metadata(mount.path("_control")).is_err());
    mount.reap();
    mount.mount_again();
    assert_eq!(mount.status()["samples"], 6);
}
