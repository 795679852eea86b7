//! An archive that changes, goes away or may not be read while it is mounted and indexed.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::common::eventually;
use crate::common::mount::{Mount, new_dir, put};
use crate::common::sounds::{wav, wav_of};
use crate::common::tools::{c_path, run, said};
use crate::support::{Indexed, Place, Running, index_command, wait_for};

const ALL: &str = "layout: flat\nroutes:\n  - {path: \"**\", to: All}\n";

fn mount() -> Mount {
    let mount = Mount::of(&["a.wav", "b.wav", "c.wav", "d.wav"]);
    mount.save_rules(ALL).unwrap();
    mount
}

fn no_such_file(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EIO | libc::ESTALE))
}

/// A folder that is shown in another place; not any more when the test ends.
struct Bound<'a>(&'a Path);

impl<'a> Bound<'a> {
    fn new(from: &Path, at: &'a Path) -> Self {
        let output = Command::new("mount").arg("--bind").args([from, at]).output().unwrap();
        assert!(output.status.success(), "needs root: {}", said(&output));
        Self(at)
    }

    /// As a person takes a drive away: refused while somebody uses it, unless it is lazy.
    fn take_away(&self, lazy: bool) {
        let output = Command::new("umount").args(lazy.then_some("-l")).arg(self.0).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
}

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0).output());
    }
}

#[test]
fn an_archive_that_is_unmounted_under_it_is_not_forgotten_and_comes_back() {
    let dir = new_dir();
    let base = dir.path().canonicalize().unwrap();
    (0..4u64).for_each(|seed| put(&base.join(format!("drive/{seed}.wav")), &wav(seed)));
    fs::create_dir(base.join("archive")).unwrap();
    let archive = base.join("archive");
    let drive = Bound::new(&base.join("drive"), &archive);
    let mount = Mount::start(dir);
    mount.save_rules(ALL).unwrap();
    for lazy in [false, true] {
        let open = lazy.then(|| File::open(mount.path("All/0.wav")).unwrap());
        // Without a file that is open, drumfs keeps nobody from taking the drive away.
        drive.take_away(lazy);
        for name in ["All/1.wav", "All/2.wav"] {
            assert!(no_such_file(&File::open(mount.path(name)).unwrap_err()), "{name}");
        }
        assert_eq!(mount.names("All").len(), 4, "they are still shown");
        eventually("it is found to be away", || {
            mount.status()["last_error"].as_str().is_some_and(|error| error.contains("Nothing was forgotten"))
        });
        assert_eq!(mount.status()["samples"], 4);
        if let Some(open) = open {
            let mut bytes = vec![0; wav(0).len()];
            open.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes, wav(0), "whoever had it open reads on");
        }
        mount.save_rules(&format!("# without the drive\n{ALL}")).unwrap();

        std::mem::forget(Bound::new(&base.join("drive"), &archive));
        eventually("it is found to be back", || mount.status()["last_error"].is_null());
        (0..4u64).for_each(|seed| assert_eq!(fs::read(mount.path(format!("All/{seed}.wav"))).unwrap(), wav(seed)));
        assert_eq!(mount.status()["indexing"]["done"], 0, "nothing is heard again");
        // And it is watched again: nobody asks for a rescan.
        let name = format!("new {lazy}.wav");
        put(&archive.join(&name), &wav(50 + u64::from(lazy)));
        eventually("what is new on it is seen", || mount.path("All").join(&name).exists());
        fs::remove_file(archive.join(&name)).unwrap();
        eventually("what is gone, too", || !mount.path("All").join(&name).exists());
    }
}

#[test]
fn originals_that_are_written_deleted_and_replaced_while_they_are_read_never_show_a_mixture() {
    let mount = mount();
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    // Each version is one byte over and over; its length says which.
    let version = |number: u8| vec![number; 3000 + usize::from(number) * 500];
    std::thread::scope(|scope| {
        for name in ["a.wav", "b.wav"] {
            let (mount, stop, reads) = (&mount, &stop, &reads);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // Once a version was heard, which is no sound, it lies in misc.
                    let open = |folder| File::open(mount.path(folder).join(name));
                    let mut bytes = Vec::new();
                    match open("All").or_else(|_| open("misc")).and_then(|mut file| file.read_to_end(&mut bytes)) {
                        Ok(_) => {
                            let own = bytes == wav(u64::from(name == "b.wav"));
                            let one = bytes.iter().all(|byte| Some(byte) == bytes.first());
                            assert!(own || one, "{name}: {} bytes of several versions", bytes.len());
                            reads.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => assert!(no_such_file(&error), "{name}: {error}"),
                    }
                    for (seed, other) in [(2, "c.wav"), (3, "d.wav")] {
                        assert_eq!(fs::read(mount.path("All").join(other)).unwrap(), wav(seed), "{other}");
                    }
                }
            });
        }
        for round in 1..60u8 {
            for name in ["a.wav", "b.wav"] {
                let path = mount.archive.join(name);
                match round % 4 {
                    0 => fs::remove_file(&path).unwrap(),
                    1 | 2 => {
                        let fresh = mount.dir.path().join("fresh");
                        fs::write(&fresh, version(round)).unwrap();
                        fs::rename(&fresh, &path).unwrap();
                    }
                    // Cut while somebody reads it: an earlier end, and nothing else.
                    _ => File::options().write(true).open(&path).unwrap().set_len(1234).unwrap(),
                }
            }
            let before = reads.load(Ordering::Relaxed);
            wait_for("a read", || {
                let ended = reads.load(Ordering::Relaxed) > before || round % 4 == 0;
                ended.then_some(())
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(reads.into_inner() > 20);
    // The last one wins, in size and bytes.
    fs::write(mount.archive.join("a.wav"), wav_of(9, 0.4)).unwrap();
    eventually("the last one is what is read", || {
        fs::read(mount.path("All/a.wav")).is_ok_and(|bytes| bytes == wav_of(9, 0.4))
    });
    assert!(!mount.log_text().contains("panicked"), "{}", mount.log_text());
}

#[test]
fn a_pass_over_an_archive_in_motion_ends_and_the_next_one_knows_it_as_it_is() {
    let place = Place::with_sounds(1500);
    let run = Running::start(&mut index_command(&place.archive(), &place.store(), &["--threads", "2"]));
    let path = |number: u32| place.archive().join(format!("pack {}/{number:05}.wav", number % 3));
    for number in 0..1500u32 {
        match number % 5 {
            0 => fs::remove_file(path(number)).unwrap(),
            1 => fs::write(path(number), &crate::support::wav(number)[..600]).unwrap(),
            2 => fs::write(path(number), crate::support::wav_of(number, 3000, 8000)).unwrap(),
            3 => fs::rename(path(number), place.archive().join(format!("moved {number}.wav"))).unwrap(),
            _ => {}
        }
    }
    let first = Indexed::of(&run.output());
    assert!(matches!(first.code, Some(0 | 3)) && !first.stderr.contains("panicked"), "{first:?}");
    let last = Indexed::of(&index_command(&place.archive(), &place.store(), &["--forget-missing"]).output().unwrap());
    assert_eq!(last.code, Some(0), "{last:?}");
    let elsewhere = Place::new();
    let fresh = index_command(&place.archive(), &elsewhere.store(), &[]).output().unwrap();
    assert_eq!(fresh.status.code(), Some(0));
    let fresh = crate::support::Known::read(&place.archive(), &elsewhere.store());
    let known = place.known();
    assert_eq!(known.paths(), fresh.paths());
    for path in known.paths() {
        assert_eq!(known.sample(&path), fresh.sample(&path), "{path}");
        assert_eq!(known.analysis(&path), fresh.analysis(&path), "{path}");
    }
}

#[test]
fn what_is_no_regular_file_is_neither_heard_nor_opened_and_nobody_hangs() {
    let mount = mount();
    let (shown, original) = (mount.path("All/a.wav"), mount.archive.join("a.wav"));
    let node = |kind: u32, device: u64| {
        // SAFETY: the path is NUL-terminated and outlives the call.
        assert_eq!(unsafe { libc::mknod(c_path(&original).as_ptr(), kind | 0o666, device) }, 0, "mknod needs root");
    };
    let outside = mount.dir.path().join("outside");
    put(&outside.join("secret.wav"), &wav(77));
    for what in
        ["/dev/zero", "a loop device", "a socket", "a FIFO", "a link to a folder", "a link into a loop", "a link out"]
    {
        fs::remove_file(&original).unwrap();
        let mut socket = None;
        match what {
            // Read to its end, it would fill the memory.
            "/dev/zero" => node(libc::S_IFCHR, libc::makedev(1, 5)),
            "a loop device" => node(libc::S_IFBLK, libc::makedev(7, 200)),
            "a socket" => socket = Some(UnixListener::bind(&original).unwrap()),
            "a FIFO" => node(libc::S_IFIFO, 0),
            "a link to a folder" => symlink(&outside, &original).unwrap(),
            "a link into a loop" => symlink("a.wav", &original).unwrap(),
            _ => symlink(outside.join("secret.wav"), &original).unwrap(),
        }
        let head = run("head", &["-c".as_ref(), "1000000".as_ref(), shown.as_os_str()]);
        assert!(!head.status.success() && head.stdout.is_empty(), "{what}: {}", said(&head));
        mount.rescan();
        assert!(mount.status()["last_error"].is_null(), "{what}: {}", mount.status());
        assert_eq!(mount.names("All"), ["b.wav", "c.wav", "d.wav"], "{what}");
        assert_eq!(fs::read(mount.path("All/b.wav")).unwrap(), wav(1), "{what}");
        drop(socket);
        fs::remove_file(&original).unwrap();
        fs::write(&original, wav(0)).unwrap();
        mount.rescan();
        assert_eq!(fs::read(&shown).unwrap(), wav(0), "after {what}");
    }
    // Folders that lead to themselves and out of the archive are not walked.
    symlink("..", mount.archive.join("up")).unwrap();
    symlink(&outside, mount.archive.join("out")).unwrap();
    mount.rescan();
    assert_eq!(mount.names("All"), ["a.wav", "b.wav", "c.wav", "d.wav"]);
}

/// Takes from this thread, and from what it starts, what lets root read everything.
fn be_denied_like_anybody() {
    const DAC_OVERRIDE: libc::c_ulong = 1;
    const DAC_READ_SEARCH: libc::c_ulong = 2;
    for capability in [DAC_OVERRIDE, DAC_READ_SEARCH] {
        // SAFETY: a prctl of numbers; it concerns this thread alone.
        let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        // SAFETY: geteuid has no preconditions.
        assert!(done == 0 || unsafe { libc::geteuid() } != 0);
    }
}

#[test]
fn what_may_not_be_read_is_refused_alone_and_is_not_forgotten() {
    be_denied_like_anybody();
    let mut mount = Mount::of(&["open/a.wav", "open/b.wav", "locked/c.wav", "locked/d.wav"]);
    mount.save_rules(ALL).unwrap();
    let (file, folder) = (mount.archive.join("open/b.wav"), mount.archive.join("locked"));
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for remount in [false, true] {
        set(&file, 0);
        set(&folder, 0);
        if remount {
            assert!(mount.end().success());
            mount.mount_again();
        }
        for name in ["All/b.wav", "All/c.wav", "All/d.wav"] {
            let error = File::open(mount.path(name)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EACCES), "{name}: {error}");
        }
        assert_eq!(fs::read(mount.path("All/a.wav")).unwrap(), wav(0));
        mount.rescan();
        assert_eq!(mount.names("All").len(), 4, "none is forgotten: {}", mount.status());
        assert_eq!(mount.status()["missing"], 0);
        set(&file, 0o644);
        set(&folder, 0o755);
        mount.rescan();
        for (seed, name) in ["a", "b", "c", "d"].iter().enumerate() {
            assert_eq!(fs::read(mount.path(format!("All/{name}.wav"))).unwrap(), wav(seed as u64), "{name}");
        }
        assert_eq!(mount.status()["indexing"]["done"], 0, "nothing is heard again");
    }
}
