//! What lies about in real archives, and must neither stop a pass nor be lost.

use std::ffi::{CString, OsStr};
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use drumfs::index::Status;

use crate::support::{Indexed, Known, Place, Running, header, index_command, wait_for, wav, wav_of};

#[test]
fn fifos_sockets_and_links_are_passed_over() {
    let place = Place::with_sounds(2);
    let root = place.archive();
    let fifo = CString::new(root.join("pipe.wav").as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is NUL-terminated and outlives the call.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let _socket = UnixListener::bind(root.join("socket.wav")).unwrap();
    symlink("..", root.join("pack 0/up")).unwrap();
    symlink("self.wav", root.join("self.wav")).unwrap();
    symlink("/etc/passwd", root.join("passwd.wav")).unwrap();
    symlink("pack 0/00000.wav", root.join("twin.wav")).unwrap();
    let run = place.index(&[]);
    assert_eq!((run.code, run.counts()), (Some(0), [2, 0, 2, 0, 0]), "{run:?}");
}

#[test]
fn every_name_the_system_allows_is_a_name() {
    let place = Place::new();
    let long = format!("{}.wav", "k".repeat(251));
    let names: Vec<Vec<u8>> = vec![
        b"sn\xffare.wav".to_vec(),
        b"two\nlines.wav".to_vec(),
        b"tab\tand \"quotes\" \\.wav".to_vec(),
        long.into_bytes(),
        "Glöckchen 日本 🥁.wav".as_bytes().to_vec(),
        b" leading and trailing .wav".to_vec(),
        b"UPPER.WAV".to_vec(),
    ];
    for (seed, name) in names.iter().enumerate() {
        fs::write(place.archive().join(OsStr::from_bytes(name)), wav(seed as u32)).unwrap();
    }
    let run = place.index(&[]);
    assert_eq!((run.code, run.count("heard")), (Some(0), names.len() as u64), "{run:?}");
    let known = place.known();
    names.iter().for_each(|name| assert!(known.samples.contains_key(name), "{}", String::from_utf8_lossy(name)));
    assert_eq!(place.index(&[]).count("unchanged"), names.len() as u64);
}

#[test]
fn a_path_as_deep_as_paths_go_is_heard() {
    let place = Place::new();
    let mut folder = place.archive();
    while folder.as_os_str().len() < 3600 {
        folder.push("d".repeat(200));
    }
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("deep.wav"), wav(1)).unwrap();
    let run = place.index(&[]);
    assert_eq!((run.code, run.counts()), (Some(0), [1, 0, 1, 0, 0]), "{run:?}");
}

#[test]
fn files_of_no_bytes_or_no_sense_fail_alone_and_say_why() {
    let place = Place::with_sounds(2);
    place.put("empty.wav", b"");
    place.put("empty.flac", b"");
    place.put("text.aif", b"it goes boom tss boom tss");
    place.put("cut.wav", &wav(9)[..20]);
    place.put("nothing but a header.wav", &header(0, 44_100));
    let run = place.index(&[]);
    assert_eq!((run.code, run.count("heard"), run.count("unchanged")), (Some(3), 7, 0), "{run:?}");
    assert_eq!(run.json["failed"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 5);
    let known = place.known();
    for path in ["empty.wav", "empty.flac", "text.aif", "cut.wav", "nothing but a header.wav"] {
        let analysis = known.analysis(path);
        assert!(analysis.status != Status::Ok && analysis.logits.is_empty(), "{path}: {analysis:?}");
        assert!(analysis.error.as_ref().is_some_and(|error| !error.is_empty()), "{path}: {analysis:?}");
    }
    assert_eq!(known.analysis("pack 0/00000.wav").status, Status::Ok);
}

/// The program for another user, in a place that user can reach.
fn as_nobody(place: &Place) -> Command {
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(place.store()).unwrap();
    let program = place.path().join("drumfs");
    fs::copy(env!("CARGO_BIN_EXE_drumfs"), &program).unwrap();
    let mut command = Command::new(program);
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } == 0 {
        std::os::unix::fs::chown(place.store(), Some(65534), Some(65534)).unwrap();
        command.uid(65534).gid(65534);
    }
    command.arg("index").arg(place.archive()).arg("--store").arg(place.store()).arg("--json");
    command.env_remove("RUST_LOG");
    command
}

#[test]
fn what_may_not_be_read_is_named_and_everything_else_is_heard() {
    let place = Place::with_sounds(6);
    let root = place.archive();
    let (file, folder) = (root.join("pack 0/00000.wav"), root.join("pack 1"));
    let mut command = as_nobody(&place);
    let all = Indexed::of(&command.output().unwrap());
    assert_eq!((all.code, all.count("heard")), (Some(0), 6), "{all:?}");

    fs::set_permissions(&folder, Permissions::from_mode(0o0)).unwrap();
    fs::write(&file, wav(77)).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o0)).unwrap();
    let run = Indexed::of(&command.output().unwrap());
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    assert_eq!((run.code, run.counts()), (Some(3), [4, 3, 1, 0, 0]), "the locked folder is not gone: {run:?}");
    assert_eq!(run.json["failed"]["load_error"], 1, "{run:?}");
    let problems = run.json["problems"].as_array().unwrap();
    assert!(problems.len() == 1 && problems[0].as_str().unwrap().contains("pack 1"), "{problems:?}");

    let again = Indexed::of(&command.output().unwrap());
    assert_eq!((again.code, again.counts()), (Some(0), [6, 5, 1, 0, 0]), "it can be read now: {again:?}");
}

#[test]
fn a_file_that_grows_while_it_is_read_is_whole_in_the_end() {
    let place = Place::with_sounds(300);
    let path = place.put("pack 0/aa growing.wav", &header(16_000_000, 44_100));
    let run = Running::start(&mut index_command(&place.archive(), &place.store(), &["--threads", "2"]));
    let mut file = File::options().append(true).open(&path).unwrap();
    let noise = wav_of(5, 44_100, 44_100)[44..].to_vec();
    wait_for("the pass to end", || {
        file.write_all(&noise).unwrap();
        // Bounded: a pass that waits for a file to stop growing would never end.
        let written = file.metadata().unwrap().len();
        assert!(written < 4 << 30);
        if written > 64 << 20 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let stat = fs::read_to_string(format!("/proc/{}/stat", run.0.id())).unwrap();
        let state = stat.rsplit(')').next().unwrap().split_whitespace().next().unwrap().to_owned();
        (state == "Z").then_some(())
    });
    drop(file);
    let first = Indexed::of(&run.output());
    assert_eq!(first.count("found"), 301, "{first:?}");
    let last = place.index(&[]);
    assert!(last.count("heard") <= 1, "{last:?}");
    let known = place.known();
    let entry = known.sample("pack 0/aa growing.wav");
    let bytes = fs::read(&path).unwrap();
    assert_eq!(entry.size, bytes.len() as u64);
    let hash = drumfs::archive::ContentHash::of(drumfs::archive::HashAlgorithm::Xxh3, &bytes);
    assert_eq!(entry.hash, Some(hash), "size, time and content belong together");
}

/// The highest memory a process has used, in MiB; sampled while it lives.
fn peak_memory(run: &Running) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", run.0.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

#[test]
fn a_file_of_4_gib_is_heard_in_bounded_memory() {
    let place = Place::new();
    let path = place.put("long.wav", &wav_of(1, 44_100, 44_100));
    File::options().write(true).open(&path).unwrap().set_len(4 << 30).unwrap();
    let mut head = header(u32::MAX - 64, 44_100);
    head.truncate(44);
    use std::os::unix::fs::FileExt;
    File::options().write(true).open(&path).unwrap().write_all_at(&head, 0).unwrap();
    let raw = place.put("no sound at all.wav", b"");
    File::options().write(true).open(&raw).unwrap().set_len(1 << 30).unwrap();
    let run = Running::start(&mut index_command(&place.archive(), &place.store(), &[]));
    let mut peak = 0;
    wait_for("the pass to end", || match peak_memory(&run) {
        Some(now) => {
            peak = peak.max(now);
            None
        }
        None => Some(()),
    });
    let run = Indexed::of(&run.output());
    assert_eq!((run.code, run.count("heard")), (Some(3), 2), "{run:?}");
    assert!((1..300).contains(&peak), "{peak} MiB");
    assert_eq!(place.known().analysis("long.wav").status, Status::Ok);
}

#[test]
fn a_copy_of_the_store_knows_the_archive_only_where_it_is() {
    let place = Place::with_sounds(1);
    place.index(&[]);
    let other = Place::with_sounds(1);
    let run = Indexed::of(&index_command(&other.archive(), &place.store(), &[]).output().unwrap());
    assert_eq!(run.code, Some(1));
    let named = |path: &Path| run.stderr.contains(&path.canonicalize().unwrap().display().to_string());
    assert!(named(&place.archive()) && named(&other.archive()) && run.stderr.contains("--store"), "{}", run.stderr);
    assert_eq!(Known::read(&place.archive(), &place.store()).paths().len(), 1);
}
