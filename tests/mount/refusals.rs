//! Nothing in the view can be created, written or removed: EROFS at the first call that asks, and nothing of it ever
//! reaches the archive. What can be moved is in moves.rs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::mount::Mount;
use crate::common::snapshot::{paths_in, snapshot};
use crate::common::sys;
use crate::common::tools::{said, shell};

const RULES: &str = "routes:\n  - {path: \"Kicks/**\", to: Kick}\n  - {path: \"Snares/**\", to: Snare}\n";

fn mount() -> Mount {
    let mount = Mount::of(&["Kicks/deep/kick.wav", "Kicks/deep/boom.wav", "Snares/crack.wav"]);
    mount.save_rules(RULES).unwrap();
    mount
}

#[track_caller]
fn refused(what: &str, path: &Path, errno: i32) {
    assert_eq!(errno, libc::EROFS, "{what} {}: {}", path.display(), std::io::Error::from_raw_os_error(errno));
}

/// Every call that changes a file or folder that is there.
fn change_what_is_there(path: &Path) {
    if path.is_dir() {
        refused("rmdir", path, sys::rmdir(path));
    } else {
        for (what, flags) in [
            ("open for write", libc::O_WRONLY),
            ("open for both", libc::O_RDWR),
            ("open to append", libc::O_WRONLY | libc::O_APPEND),
            ("open to truncate", libc::O_WRONLY | libc::O_TRUNC),
            ("open to read and truncate", libc::O_RDONLY | libc::O_TRUNC),
            ("open or create", libc::O_WRONLY | libc::O_CREAT),
        ] {
            refused(what, path, sys::open(path, flags));
        }
        refused("truncate", path, sys::truncate(path, 0));
        refused("grow", path, sys::truncate(path, 1 << 20));
        refused("unlink", path, sys::unlink(path));
    }
    refused("chmod", path, sys::chmod(path));
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } == 0 {
        refused("chown", path, sys::chown(path));
    }
    refused("utimes", path, sys::utimes(path));
    refused("touch", path, sys::touch(path));
    refused("setxattr", path, sys::setxattr(path));
    // File managers ask before they move a sample from one folder to another.
    let takes_moves = path.is_dir() && !["_by-id", "_manifests"].iter().any(|name| path.ends_with(name));
    if takes_moves {
        assert_eq!(sys::access(path, libc::W_OK), 0, "{}", path.display());
    } else {
        refused("access", path, sys::access(path, libc::W_OK));
    }
    assert_eq!(sys::access(path, libc::R_OK), 0);
}

/// Every call that makes something new at `path`.
fn make_something_new(path: &Path, other: &Path) {
    refused("creat", path, sys::open(path, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC));
    refused("create anew", path, sys::open(path, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL));
    refused("mkdir", path, sys::mkdir(path));
    refused("symlink", path, sys::symlink(other, path));
    refused("link", path, sys::link(other, path));
    for kind in [libc::S_IFREG, libc::S_IFIFO, libc::S_IFSOCK] {
        refused("mknod", path, sys::mknod(path, kind));
    }
    refused("rename", path, sys::rename(other, path));
}

#[test]
fn every_change_in_the_view_is_refused_at_the_first_call_and_the_archive_stays() {
    let mount = mount();
    let before = snapshot(&mount.archive);
    let view = snapshot(&mount.path("Kick"));
    let kick = mount.path("Kick/Kicks/deep/kick.wav");
    let by_id = paths_in(&mount.path("_by-id"));
    let uncertain = paths_in(&mount.path("_uncertain"));
    let mut there: Vec<PathBuf> = [
        "Kick",
        "Kick/Kicks",
        "Kick/Kicks/deep",
        "Snare",
        "misc",
        "_by-id",
        "_uncertain",
        "_manifests",
        "_stats.json",
        "_rebuild_summary.json",
        "_errors.txt",
        "_manifests/Kick.txt",
        "_control/index.jsonl",
        "_control/status.json",
    ]
    .iter()
    .map(|path| mount.path(path))
    .collect();
    there.push(kick.clone());
    there.extend(by_id.first().cloned());
    there.extend(uncertain.first().cloned());
    there.iter().for_each(|path| change_what_is_there(path));
    for folder in ["", "Kick", "Kick/Kicks", "Kick/Kicks/deep", "misc", "_by-id", "_uncertain", "_manifests"] {
        make_something_new(&mount.path(folder).join("new"), &kick);
    }
    assert_eq!(snapshot(&mount.path("Kick")), view);
    assert_eq!(snapshot(&mount.archive), before);
}

#[test]
fn renames_within_out_of_and_into_class_folders_are_refused() {
    let mount = mount();
    let before = snapshot(&mount.archive);
    let kick = mount.path("Kick/Kicks/deep/kick.wav");
    let scratch = mount.path("_control/scratch");
    fs::write(&scratch, "a file beside the control files").unwrap();
    for (from, to) in [
        (kick.clone(), mount.path("Kick/Kicks/deep/other.wav")),
        (kick.clone(), mount.path("Kick/Kicks/deep/boom.wav")),
        (kick.clone(), mount.path("Snare/other.wav")),
        (kick.clone(), mount.path("Snare/Snares/crack.wav")),
        (kick.clone(), mount.path("kick.wav")),
        (kick.clone(), mount.path("_control/kick.wav")),
        (kick.clone(), mount.rules()),
        (scratch.clone(), mount.path("Kick/scratch")),
        (scratch.clone(), kick.clone()),
        (mount.path("Kick"), mount.path("Bass")),
        (mount.path("Kick/Kicks"), mount.path("Snare/Kicks")),
        (mount.path("Kick/Kicks"), mount.path("Snare/Snares")),
        (mount.path("_stats.json"), mount.path("stats.json")),
        (mount.path("_control/status.json"), mount.path("_control/status.old")),
        (mount.path("_control"), mount.path("control")),
    ] {
        refused(&format!("rename to {}", to.display()), &from, sys::rename(&from, &to));
    }
    refused("exchange", &kick, sys::exchange(&kick, &mount.path("Snare/Snares/crack.wav")));
    // To and from other file systems the kernel says that itself, and programs that copy instead are refused then.
    let outside = mount.dir.path().join("outside.wav");
    assert_eq!(sys::rename(&kick, &outside), libc::EXDEV);
    fs::write(&outside, "outside").unwrap();
    assert_eq!(sys::rename(&outside, &mount.path("Kick/outside.wav")), libc::EXDEV);
    for text in [
        "mv \"$1\" \"$2/Kick/\"",
        "cp \"$1\" \"$2/Kick/\"",
        "cp \"$1\" \"$2/Kick/Kicks/deep/kick.wav\"",
        "mv \"$2/Kick/Kicks/deep/kick.wav\" \"$2/Snare/other.wav\"",
        "mv \"$2/Kick\" \"$2/Snare/\"",
        "rm -rf \"$2/Kick\"",
        "rm -f \"$2/Kick/Kicks/deep/kick.wav\"",
        "touch \"$2/Kick/Kicks/deep/kick.wav\"",
        "echo x > \"$2/Kick/x\"",
        "sed -i s/a/b/ \"$2/_stats.json\"",
    ] {
        let done = shell("bash", text, &[&outside, &mount.at]);
        assert!(!done.status.success(), "{text}");
        assert!(said(&done).contains("Read-only file system"), "{text}: {}", said(&done));
    }
    assert_eq!(fs::read(&kick).unwrap(), fs::read(mount.archive.join("Kicks/deep/kick.wav")).unwrap());
    assert_eq!(snapshot(&mount.archive), before);
}

#[test]
fn sidecars_that_daws_write_beside_samples_are_refused_at_create() {
    let mount = mount();
    let before = snapshot(&mount.archive);
    for name in [
        "kick.wav.asd",
        "kick.wav.reapeaks",
        "kick.reapeaks",
        "kick.gpk",
        "kick.pkf",
        "._kick.wav",
        ".DS_Store",
        "Thumbs.db",
    ] {
        for folder in ["Kick", "Kick/Kicks/deep"] {
            let path = mount.path(folder).join(name);
            refused("create", &path, sys::open(&path, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC));
            assert!(!path.exists());
        }
    }
    assert_eq!(snapshot(&mount.archive), before);
}

#[test]
fn what_control_holds_can_not_be_removed_and_takes_no_folders() {
    let mount = mount();
    let control = mount.path("_control");
    for name in ["index.jsonl", "status.json", "rescan"] {
        let path = control.join(name);
        refused("unlink", &path, sys::unlink(&path));
    }
    let new = control.join("folder");
    refused("mkdir", &new, sys::mkdir(&new));
    refused("symlink", &new, sys::symlink(&control, &new));
    for name in ["rules.yml", "overrides.jsonl", "rescan"] {
        let path = control.join(name);
        assert_eq!(sys::access(&path, libc::W_OK), 0, "{name}");
    }
}
