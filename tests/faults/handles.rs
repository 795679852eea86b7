//! Very many open files, and too many.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::common::mount::Mount;
use crate::common::sounds::wav;

const ALL: &str = "layout: flat\nroutes:\n  - {path: \"**\", to: All}\n";

/// A process's limit of open files, after setting it where one is given.
fn limit(pid: i32, new: Option<libc::rlimit>) -> libc::rlimit {
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both pointers are null or to values that outlive the call.
    let done = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, new, &mut old) };
    assert_eq!(done, 0, "the limit of open files: {}", std::io::Error::last_os_error());
    old
}

fn open_files(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn memory_mib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn a_hundred_thousand_files_may_be_open_at_once() {
    const COUNT: usize = 100_000;
    let before = limit(0, None);
    // Raising the hard limit needs root where it is lower; a desktop's is half a million.
    let hard = before.rlim_max.max(COUNT as u64 + 20_000);
    limit(0, Some(libc::rlimit { rlim_cur: before.rlim_cur, rlim_max: hard }));
    let mount = Mount::of(&["a.wav", "b.wav"]);
    mount.save_rules(ALL).unwrap();
    assert_eq!(limit(mount.pid(), None).rlim_cur, hard, "it takes what the system gives");
    limit(0, Some(libc::rlimit { rlim_cur: hard, rlim_max: hard }));

    let (at_rest, memory) = (open_files(mount.pid()), memory_mib(mount.pid()));
    let names = ["All/a.wav", "All/b.wav"];
    let mut open = Vec::with_capacity(COUNT);
    for number in 0..COUNT {
        match File::open(mount.path(names[number % 2])) {
            Ok(file) => open.push(file),
            Err(error) => panic!("{number}: {error}"),
        }
    }
    for number in (0..COUNT).step_by(9973).chain([COUNT - 1]) {
        let mut bytes = vec![0; wav(0).len()];
        open[number].read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, wav(number as u64 % 2), "{number}");
    }
    mount.save_rules(&format!("# with all of them open\n{ALL}")).unwrap();
    assert_eq!(mount.names("All"), ["a.wav", "b.wav"]);
    let used = memory_mib(mount.pid()).saturating_sub(memory);
    assert!(used < 200, "{used} MiB for {COUNT} handles");
    drop(open);
    crate::common::eventually("they are closed", || open_files(mount.pid()) <= at_rest + 8);
}

#[test]
fn too_many_open_files_are_refused_alone_and_the_mount_goes_on() {
    let mut mount = Mount::of(&["a.wav", "b.wav"]);
    mount.save_rules(ALL).unwrap();
    let low = open_files(mount.pid()) as u64 + 20;
    limit(mount.pid(), Some(libc::rlimit { rlim_cur: low, rlim_max: low }));
    let mut open = Vec::new();
    let error = loop {
        match File::open(mount.path("All/a.wav")) {
            Ok(file) => open.push(file),
            Err(error) => break error,
        }
        assert!(open.len() < 100, "it was never refused");
    };
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
    assert!(open.len() > 5, "{}", open.len());
    // What is open is read, what needs no file is served, and words are taken.
    let mut bytes = vec![0; wav(0).len()];
    open[0].read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, wav(0));
    assert_eq!(mount.names("All"), ["a.wav", "b.wav"]);
    mount.append_override("{\"path\": \"a.wav\", \"label\": \"Clap\"}").unwrap();
    mount.save_rules(&format!("# full\n{ALL}")).unwrap();
    // A pass that can open nothing forgets nothing.
    mount.rescan();
    assert_eq!((&mount.status()["samples"], &mount.status()["missing"]), (&2.into(), &0.into()), "{}", mount.status());
    drop(open);
    crate::common::eventually("there is room", || fs::read(mount.path("All/b.wav")).is_ok_and(|bytes| bytes == wav(1)));
    mount.rescan();
    assert!(mount.status()["last_error"].is_null(), "{}", mount.status());
    assert!(!mount.log_text().contains("panicked"), "{}", mount.log_text());
    mount.kill9();
    mount.mount_again();
    assert_eq!(mount.status()["overrides"], 1);
    assert_eq!(fs::read_to_string(mount.rules()).unwrap(), format!("# full\n{ALL}"));
}
