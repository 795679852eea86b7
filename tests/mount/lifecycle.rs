//! How a mount begins and ends, and what stands in its way.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::common::eventually;
use crate::common::mount::{DRUMFS, Mount, is_mounted, put, unmount};
use crate::common::sounds::wav;
use crate::common::tools::{run, said};
use crate::saving::to;

fn mount() -> Mount {
    Mount::of(&["pack/kick.wav", "pack/snare.wav"])
}

fn drumfs(args: &[&Path]) -> Output {
    let mut all = vec![Path::new(DRUMFS)];
    all.extend(args);
    let all: Vec<_> = all.iter().map(|arg| arg.as_os_str()).collect();
    run("env", &all)
}

#[test]
fn signals_end_it_with_exit_code_0_and_no_mount_left() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let mut mount = mount();
        mount.signal(signal);
        assert_eq!(mount.reap().code(), Some(0), "signal {signal}");
        assert!(!is_mounted(&mount.at));
        assert_eq!(fs::read_dir(&mount.at).unwrap().count(), 0, "an empty folder again");
    }
}

#[test]
fn signals_end_it_also_with_files_and_folders_held_open() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut mount = mount();
        mount.save_rules(&to("All")).unwrap();
        let mut held = File::open(mount.path("All/kick.wav")).unwrap();
        let mut some = [0; 10];
        held.read_exact(&mut some).unwrap();
        let folder = fs::read_dir(&mount.at).unwrap();
        mount.signal(signal);
        assert_eq!(mount.reap().code(), Some(0));
        assert!(!is_mounted(&mount.at));
        drop((held, folder));
        mount.mount_again();
        assert_eq!(mount.names("All").len(), 2, "nothing was lost");
    }
}

#[test]
fn an_external_unmount_ends_it_with_exit_code_0() {
    let mut mount = mount();
    mount.save_rules(&to("All")).unwrap();
    let done = run("umount", &[mount.at.as_os_str()]);
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(mount.reap().code(), Some(0));
    assert!(!is_mounted(&mount.at));
    mount.mount_again();
    let done = run("fusermount3", &["-u".as_ref(), mount.at.as_os_str()]);
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(mount.reap().code(), Some(0));
    assert!(!is_mounted(&mount.at));
    mount.mount_again();
    assert_eq!(mount.names("All").len(), 2);
}

#[test]
fn a_lazy_unmount_with_a_file_held_open_ends_it_when_that_is_closed() {
    let mut mount = mount();
    mount.save_rules(&to("All")).unwrap();
    let held = File::open(mount.path("All/kick.wav")).unwrap();
    let busy = run("umount", &[mount.at.as_os_str()]);
    assert!(!busy.status.success(), "it is in use");
    let done = run("umount", &["-l".as_ref(), mount.at.as_os_str()]);
    assert!(done.status.success(), "{}", said(&done));
    assert!(!is_mounted(&mount.at));
    let mut bytes = vec![0; wav(0).len()];
    held.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, wav(0), "what is held goes on");
    drop(held);
    assert_eq!(mount.reap().code(), Some(0));
}

/// Processes of drumfs that were started with this folder.
fn daemons(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    ids.filter(|id| id.parse::<u32>().is_ok())
        .filter(|id| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.contains("drumfs") && line.contains("\0mount\0") && line.contains(folder)
        })
        .collect()
}

#[test]
fn in_the_background_it_returns_when_the_view_is_up() {
    let mut mount = mount();
    assert!(mount.end().success());
    for how in ["umount", "SIGTERM"] {
        let done = mount.command().arg("--background").output().unwrap();
        assert!(done.status.success(), "{}", said(&done));
        assert!(said(&done).contains("mounted at"), "{}", said(&done));
        // At once, not after a while.
        assert_eq!(mount.names("_control").len(), 5);
        mount.save_rules(&to("All")).unwrap();
        assert_eq!(mount.names("All").len(), 2);
        let running = daemons(&mount.archive);
        assert_eq!(running.len(), 1, "{running:?}");
        match how {
            "umount" => unmount(&mount.at).unwrap(),
            // SAFETY: it is the daemon of this test.
            _ => assert_eq!(unsafe { libc::kill(running[0].parse().unwrap(), libc::SIGTERM) }, 0),
        }
        eventually("the daemon has ended", || daemons(&mount.archive).is_empty());
        assert!(!is_mounted(&mount.at));
    }
    mount.mount_again();
    assert_eq!(mount.names("All").len(), 2, "nothing was lost");
}

#[test]
fn in_the_background_it_returns_with_the_error() {
    let mut mount = mount();
    assert!(mount.end().success());
    put(&mount.at.join("precious.txt"), b"mine");
    let done = mount.command().arg("--background").stdout(Stdio::piped()).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(said(&done).contains("empty"), "{}", said(&done));
    // It says so and then ends.
    eventually("the daemon has ended", || daemons(&mount.archive).is_empty());
    assert_eq!(fs::read(mount.at.join("precious.txt")).unwrap(), b"mine");
    fs::remove_file(mount.at.join("precious.txt")).unwrap();
    // An archive that is not there.
    let missing = mount.dir.path().join("missing");
    let args: [&Path; 6] =
        ["mount".as_ref(), &missing, &mount.at, "--store".as_ref(), &mount.store, "--background".as_ref()];
    let done = drumfs(&args);
    assert_eq!(done.status.code(), Some(1));
    assert!(said(&done).contains("missing"), "{}", said(&done));
}

#[test]
fn a_second_mount_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let mount = mount();
    let store = mount.dir.path().join("second-store");
    let done = drumfs(&["mount".as_ref(), &mount.archive, &mount.at, "--store".as_ref(), &store]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    assert!(said(&done).contains("mounted"), "{}", said(&done));
    assert_eq!(said(&done).trim().lines().count(), 1, "one sentence: {}", said(&done));
    assert_eq!(mount.names("_control").len(), 5);
    mount.save_rules(&to("All")).unwrap();
    assert_eq!(mount.names("All").len(), 2);
}

#[test]
fn folders_that_lie_in_each_other_hold_something_or_are_files_are_refused() {
    let mut mount = mount();
    assert!(mount.end().success());
    let store = mount.store.clone();
    let inside = mount.archive.join("view");
    let full = mount.dir.path().join("full");
    put(&full.join("precious.txt"), b"mine");
    let file = mount.dir.path().join("file");
    fs::write(&file, b"mine").unwrap();
    for (at, why) in [
        (inside.as_path(), "lie in each other"),
        (mount.archive.as_path(), "lie in each other"),
        (mount.dir.path(), "lie in each other"),
        (full.as_path(), "empty"),
        (file.as_path(), "not a folder"),
    ] {
        let done = drumfs(&["mount".as_ref(), &mount.archive, at, "--store".as_ref(), &store]);
        assert_eq!(done.status.code(), Some(1), "{}: {}", at.display(), said(&done));
        assert!(said(&done).contains(why), "{}: {}", at.display(), said(&done));
        assert!(!is_mounted(at));
    }
    assert_eq!(fs::read(full.join("precious.txt")).unwrap(), b"mine");
    assert_eq!(fs::read(file).unwrap(), b"mine");
    fs::remove_dir(&mount.at).unwrap();
    mount.mount_again();
    assert_eq!(mount.names("_control").len(), 5, "one that is missing is made");
}

#[test]
fn a_second_process_on_the_store_is_told_how_to_reach_it() {
    let mount = mount();
    let index = |archive: &Path| drumfs(&["index".as_ref(), archive, "--store".as_ref(), &mount.store]);
    let done = index(&mount.archive);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    let told = said(&done);
    assert!(told.contains("in use") && told.contains(mount.at.to_str().unwrap()), "{told}");
    assert!(told.contains("_control/rules.yml") && !told.contains("lock"), "{told}");
    let other = mount.dir.path().join("other");
    let done = drumfs(&["mount".as_ref(), &mount.archive, &other, "--store".as_ref(), &mount.store]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    assert!(said(&done).contains("in use"), "{}", said(&done));
    assert!(!is_mounted(&other));
    assert_eq!(mount.names("_control").len(), 5);
}

#[test]
fn rules_explain_and_diff_work_while_a_mount_owns_the_store() {
    let mount = mount();
    mount.save_rules("routes:\n  - {name: \"kick*\", to: Booms}\n").unwrap();
    mount.append_override("{\"path\": \"pack/snare.wav\", \"label\": \"Clap\"}").unwrap();
    let args: [&Path; 7] = [
        "rules".as_ref(),
        "explain".as_ref(),
        &mount.archive,
        "pack/kick.wav".as_ref(),
        "--json".as_ref(),
        "--store".as_ref(),
        &mount.store,
    ];
    let done = drumfs(&args);
    assert!(done.status.success(), "{}", said(&done));
    let explained: Value =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&done)));
    assert!(explained.to_string().contains("Booms") && explained.to_string().contains("route"), "{explained}");
    // By the path of a file in the mount, too.
    let shown = mount.path("Booms/pack/kick.wav");
    let mut through = args;
    through[3] = &shown;
    let done = drumfs(&through);
    assert!(done.status.success() && said(&done).contains("Booms"), "{}", said(&done));
    let new = mount.dir.path().join("new.yml");
    fs::write(&new, "routes:\n  - {name: \"kick*\", to: Thuds}\n").unwrap();
    let done = drumfs(&["rules".as_ref(), "diff".as_ref(), &mount.archive, &new, "--store".as_ref(), &mount.store]);
    assert!(done.status.success(), "{}", said(&done));
    let told = said(&done);
    assert!(told.contains("Booms") && told.contains("Thuds") && told.contains("kick.wav"), "{told}");
    assert!(!told.contains("snare.wav"), "it does not move: {told}");
    assert!(mount.path("Booms").exists() && !mount.path("Thuds").exists(), "nothing was moved");
}

#[test]
fn a_mount_without_its_own_store_folder_uses_the_users() {
    let mut mount = mount();
    assert!(mount.end().success());
    let home = mount.dir.path().join("home");
    fs::create_dir(&home).unwrap();
    let mut command = Command::new(DRUMFS);
    command.arg("mount").arg(&mount.archive).arg(&mount.at).arg("--background");
    command.env("HOME", &home).env("XDG_DATA_HOME", home.join("data")).env_remove("XDG_STATE_HOME");
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    eventually("both are heard", || mount.status()["samples"] == 2);
    let store = mount.status()["store"].as_str().unwrap().to_owned();
    assert!(store.starts_with(home.to_str().unwrap()), "{store}");
    unmount(&mount.at).unwrap();
    eventually("the daemon has ended", || daemons(&mount.archive).is_empty());
}
