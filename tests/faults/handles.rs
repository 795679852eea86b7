//! Very many open files, and too many.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use crate::common::mount::Mount;
use crate::common::sounds::wav;
use crate::support::Running;

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

/// Opens so many of the files named, in turn, and says so; reads some of them when it is told to, and ends.
const OPENER: &str = r#"
import os, resource, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
samples, others, paths = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
fds = [os.open(paths[n % 2], os.O_RDONLY) for n in range(samples)]
fds += [os.open(paths[2 + n % (len(paths) - 2)], os.O_RDONLY) for n in range(others)]
print(len(fds), flush=True)
sys.stdin.readline()
for n in [*range(0, samples, 997), samples - 1]:
    with open(paths[n % 2], 'rb') as f: want = f.read()
    assert os.pread(fds[n], len(want) + 1, 0) == want, n
print('read', flush=True)
sys.stdin.readline()
"#;

/// Half of them samples where the system allows so many, as many as it does elsewhere; folders and generated files cost
/// drumfs no file of its own.
#[test]
fn a_hundred_thousand_handles_may_be_open_at_once() {
    const COUNT: u64 = 100_000;
    const OPENERS: u64 = 7;
    // What a login shell usually has, for as long as drumfs starts.
    let mine = limit(0, None);
    limit(0, Some(libc::rlimit { rlim_cur: 1024, ..mine }));
    let mut mount = Mount::of(&["a.wav", "b.wav"]);
    mount.save_rules(ALL).unwrap();
    limit(0, Some(mine));
    let got = limit(mount.pid(), None);
    assert_eq!(got.rlim_cur, got.rlim_max, "it takes what the system gives");
    let samples = (COUNT / 2).min(got.rlim_cur - 1000) / OPENERS;
    let others = COUNT / OPENERS + 1 - samples;

    let (at_rest, memory) = (open_files(mount.pid()), memory_mib(mount.pid()));
    let names =
        ["All/a.wav", "All/b.wav", "All", "_stats.json", "_control", "_manifests/All.txt", "_by-id", "_errors.txt"];
    let mut openers: Vec<_> = (0..OPENERS)
        .map(|_| {
            let mut command = Command::new("python3");
            command.args(["-c", OPENER, &samples.to_string(), &others.to_string()]);
            command.args(names.map(|name| mount.path(name)));
            let mut run = Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
            let lines = BufReader::new(run.0.stdout.take().unwrap()).lines();
            (run.0.stdin.take().unwrap(), lines, run)
        })
        .collect();
    let opened: u64 = openers
        .iter_mut()
        .map(|(_, lines, _)| lines.next().expect("it opened them").unwrap().parse::<u64>().unwrap())
        .sum();
    assert!(opened >= COUNT, "{opened}");
    assert!(open_files(mount.pid()) as u64 >= samples * OPENERS);
    mount.save_rules(&format!("# with all of them open\n{ALL}")).unwrap();
    assert_eq!(mount.names("All"), ["a.wav", "b.wav"]);
    for (stdin, lines, _) in &mut openers {
        writeln!(stdin).unwrap();
        assert_eq!(lines.next().expect("it read them").unwrap(), "read");
    }
    let used = memory_mib(mount.pid()).saturating_sub(memory);
    assert!(used < 200, "{used} MiB for {COUNT} handles");
    drop(openers);
    crate::common::eventually("they are closed", || open_files(mount.pid()) <= at_rest + 8);
    assert!(mount.end().success());
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
