//! A disk that is full: a clear error, nothing acknowledged lost, and it goes on once there is room.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::child::{self, Said, number_of_rules};
use crate::support::{Indexed, Place, index_command};

/// Somewhere small: a file system of its own where mounting is allowed, a limit on file sizes where it is not.
enum Small {
    Mounted(PathBuf),
    Limited(PathBuf),
}

impl Small {
    fn new(at: &Path) -> Self {
        fs::create_dir(at).unwrap();
        match mount(at, "size=1536k", 0) {
            Ok(()) => Self::Mounted(at.to_owned()),
            Err(_) => Self::Limited(at.to_owned()),
        }
    }

    fn path(&self) -> &Path {
        let (Self::Mounted(path) | Self::Limited(path)) = self;
        path
    }

    /// Makes a command feel how small it is here.
    fn apply<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        if let Self::Limited(_) = self {
            // SAFETY: setrlimit and signal are async-signal-safe and touch nothing of the parent.
            unsafe {
                command.pre_exec(|| {
                    libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                    let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
                    match libc::setrlimit(libc::RLIMIT_FSIZE, &limit) {
                        0 => Ok(()),
                        _ => Err(std::io::Error::last_os_error()),
                    }
                });
            }
        }
        command
    }

    /// Makes room.
    fn grow(&self) {
        if let Self::Mounted(path) = self {
            mount(path, "size=64m", libc::MS_REMOUNT).unwrap();
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        if let Self::Mounted(path) = self {
            let path = CString::new(path.as_os_str().as_bytes()).unwrap();
            // SAFETY: the path is NUL-terminated and outlives the call.
            unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        }
    }
}

fn mount(at: &Path, options: &str, flags: libc::c_ulong) -> std::io::Result<()> {
    let at = CString::new(at.as_os_str().as_bytes()).unwrap();
    let options = CString::new(options).unwrap();
    let kind = c"tmpfs".as_ptr();
    // SAFETY: every pointer is to a NUL-terminated string that outlives the call.
    match unsafe { libc::mount(kind, at.as_ptr(), kind, flags, options.as_ptr().cast()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[test]
fn words_that_were_acknowledged_survive_a_full_disk() {
    let place = Place::new();
    let small = Small::new(&place.path().join("small"));
    let store = small.path().join("store");
    let mut command = child::command("write", &store, &place.archive());
    command.env("DRUMFS_TEST_FROM", "0").env("DRUMFS_TEST_NOTE", "4000");
    let output = small.apply(&mut command).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let acknowledged: Vec<u64> =
        text.lines().filter_map(|line| line.strip_prefix("ack ")).map(|number| number.parse().unwrap()).collect();
    let error = text.lines().find_map(|line| line.strip_prefix("refused ")).unwrap_or_else(|| panic!("{output:?}"));
    assert!(acknowledged.len() > 10, "{text}");
    if let Small::Mounted(_) = small {
        assert!(error.contains("No space left") && error.contains("Free some space"), "{error}");
    }

    small.grow();
    let options = drumfs::store::OpenOptions { folder: store, ..place.options(false) };
    let reopened = options.open().unwrap().store;
    let (expected, said) = (child::expected(&acknowledged), Said::of(&reopened));
    for (hash, label) in &expected.overrides {
        assert_eq!(said.overrides.get(hash), Some(label));
    }
    let rules = expected.rules.as_deref().map(number_of_rules);
    assert!(said.rules.as_deref().map(number_of_rules) >= rules, "{rules:?}");
    reopened.set_overrides(&[(child::hash(u64::MAX), Some("Kick".into()), None)]).unwrap();
}

#[test]
fn a_pass_on_a_full_disk_says_so_and_goes_on_once_there_is_room() {
    const COUNT: u64 = 4000;
    let place = Place::with_sounds(COUNT as u32);
    let small = Small::new(&place.path().join("small"));
    let store = small.path().join("store");
    let run = || Indexed::of(&small.apply(&mut index_command(&place.archive(), &store, &[])).output().unwrap());
    let full = run();
    assert_eq!(full.code, Some(1), "{full:?}");
    assert!(!full.stderr.contains("panicked"), "{full:?}");
    if let Small::Mounted(_) = small {
        assert!(full.stderr.contains("No space left") && full.stderr.contains("Free some space"), "{}", full.stderr);
    }
    let again = run();
    assert_eq!(again.code, Some(1), "still full: {again:?}");
    assert!(!again.stderr.contains("--repair"), "a full disk is no damage: {}", again.stderr);
    small.grow();
    let roomy = Indexed::of(&index_command(&place.archive(), &store, &[]).output().unwrap());
    assert_eq!(roomy.code, Some(0), "{roomy:?}");
    assert_eq!(roomy.count("unchanged") + roomy.count("heard"), COUNT, "{roomy:?}");
    let last = Indexed::of(&index_command(&place.archive(), &store, &[]).output().unwrap());
    assert_eq!((last.code, last.count("unchanged")), (Some(0), COUNT), "{last:?}");
}

/// Somebody who edits rules in a mount while the disk runs full, makes room, and goes on.
#[test]
fn a_store_that_is_open_takes_words_again_once_there_is_room() {
    let place = Place::new();
    let small = Small::new(&place.path().join("small"));
    let options = drumfs::store::OpenOptions { folder: small.path().join("store"), ..place.options(false) };
    let Small::Mounted(_) = small else {
        // A limit can't be lifted while a process runs under it: there the words of a child are all there is.
        let mut command = child::command("write", &options.folder, &place.archive());
        command.env("DRUMFS_TEST_FROM", "0").env("DRUMFS_TEST_NOTE", "4000");
        let output = small.apply(&mut command).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("ack ") && text.contains("refused "), "{text}");
        assert!(!Said::of(&options.open().unwrap().store).overrides.is_empty());
        return;
    };
    let store = options.open().unwrap().store;
    let note = "n".repeat(4000);
    let mut acknowledged = 0u64;
    let error = loop {
        match store.set_overrides(&[(child::hash(acknowledged), Some("Kick".into()), Some(note.clone()))]) {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("No space left"), "{error}");
    store.accept_rules(&note).unwrap_err();
    small.grow();
    store.set_overrides(&[(child::hash(acknowledged), Some("Snare".into()), None)]).unwrap();
    store.accept_rules("layout: flat\n").unwrap();
    drop(store);
    let said = Said::of(&options.open().unwrap().store);
    assert_eq!(said.rules.as_deref(), Some("layout: flat\n"));
    assert_eq!(said.overrides.len() as u64, acknowledged + 1);
    assert_eq!(said.overrides[&child::hash(acknowledged).to_hex()], "Snare");
}
