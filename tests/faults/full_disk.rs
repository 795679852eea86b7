//! A disk that is full or fails under a mount: nothing acknowledged is lost, what can't be kept is refused, and once
//! there is room the mount goes on by itself.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::eventually;
use crate::common::mount::{Mount, new_dir, put};
use crate::common::sounds::wav;
use crate::common::tools::{run, said};

/// A file system of its own; taken down when the test ends.
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// A tmpfs of a size.
    pub fn new(at: &Path, size: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={size}");
        mounted(&["-t", "tmpfs", "-o", &options, "none"], at);
        Self { at: at.to_owned() }
    }

    /// An ext4 in `image` on a loop device.
    pub fn ext4(at: &Path, image: &Path) -> Self {
        fs::create_dir_all(at).unwrap();
        mounted(&["-o", "loop,errors=continue", &image.to_string_lossy()], at);
        Self { at: at.to_owned() }
    }

    /// Another size.
    pub fn resize(&self, size: &str) {
        mounted(&["-o", &format!("remount,size={size}")], &self.at);
    }

    /// Fills it to its last byte; the file that does.
    fn fill(&self) -> PathBuf {
        let path = self.at.join("filler");
        let mut file = File::create(&path).unwrap();
        for chunk in [1 << 16, 1 << 10, 1] {
            while file.write_all(&vec![0xFF; chunk]).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.at).output());
    }
}

#[track_caller]
fn mounted(args: &[&str], at: &Path) {
    let output = Command::new("mount").args(args).arg(at).output().unwrap();
    assert!(output.status.success(), "mount {args:?} needs root: {}", said(&output));
}

const FIRST: u64 = 20;
const MORE: u64 = 600;

fn to(folder: &str) -> String {
    format!("layout: flat\nroutes:\n  - {{path: \"**\", to: {folder}}}\n")
}

/// Puts the words of a person and 600 new sounds to a mount whose disk is full, then makes room.
#[test]
fn a_mount_goes_on_by_itself_when_there_is_room_again() {
    let dir = new_dir();
    let disk = Disk::new(&dir.path().canonicalize().unwrap().join("store"), "12m");
    (0..FIRST).for_each(|seed| put(&dir.path().join(format!("archive/{seed:04}.wav")), &wav(seed)));
    let mut mount = Mount::start(dir);
    mount.save_rules(&to("Before")).unwrap();
    mount.append_override("{\"path\": \"0000.wav\", \"label\": \"Clap\"}").unwrap();

    let filler = disk.fill();
    // Long enough not to fit into what is left of the page that a file ends in.
    let long = "n".repeat(9000);
    for round in 0..2 {
        let error = mount.save_rules(&format!("# {long}\n{}", to("Full"))).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC), "{error}");
        let line = format!("{{\"path\": \"0001.wav\", \"label\": \"Snare\", \"note\": \"{long}\"}}");
        let error = mount.append_override(&line).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC), "{error}");
        assert!(!mount.path("Full").exists() && mount.names("Before").len() > 10, "what was in force stays");
        assert_eq!(fs::read(mount.path("Before/0002.wav")).unwrap(), wav(2));
        assert_eq!(mount.status()["overrides"], 1);
        if round == 0 {
            // What is heard now can't be kept, and is said so.
            (FIRST..FIRST + MORE).for_each(|seed| put(&mount.archive.join(format!("{seed:04}.wav")), &wav(seed)));
            eventually("the full disk is told of", || {
                let error = mount.status()["last_error"].as_str().unwrap_or_default().to_owned();
                error.contains("No space left") && error.contains("Free some space")
            });
        }
    }

    fs::remove_file(&filler).unwrap();
    mount.save_rules(&to("Room")).unwrap();
    mount.append_override("{\"path\": \"0003.wav\", \"label\": \"Snare\"}").unwrap();
    // Nobody asks for a rescan.
    let shown = (FIRST + MORE) as usize;
    eventually("all that is new is shown", || mount.index().len() == shown);
    eventually("nothing is wrong any more", || mount.status()["last_error"].is_null());
    assert!(!mount.log_text().contains("panicked"), "{}", mount.log_text());

    // Kept, too: after a crash nothing is heard again and no word is missing.
    std::thread::sleep(std::time::Duration::from_millis(1200));
    mount.kill9();
    mount.mount_again();
    assert_eq!(mount.status()["indexing"]["done"], 0, "it was stored without a remount: {}", mount.status());
    assert_eq!(mount.status()["overrides"], 2);
    assert_eq!(mount.index().len(), shown);
    assert_eq!(fs::read_to_string(mount.rules()).unwrap(), to("Room"));
    assert!(!mount.log_text().contains("could not be read"), "a word that was refused left half a line behind");
    assert!(mount.end().success());
    drop(disk);
}

/// A disk whose writes fail with EIO, not for want of room.
#[test]
fn a_disk_that_fails_under_a_mount_costs_no_word_that_was_acknowledged() {
    let dir = new_dir();
    let base = dir.path().canonicalize().unwrap();
    // The image claims 64 MiB and lies where there are 24: what ext4 believes it has, the loop device can't write.
    let under = Disk::new(&base.join("under"), "24m");
    let image = base.join("under/image");
    File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let made = run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_os_str()]);
    assert!(made.status.success(), "{}", said(&made));
    let disk = Disk::ext4(&base.join("store"), &image);
    put(&base.join("archive/a.wav"), &wav(1));
    put(&base.join("archive/b.wav"), &wav(2));
    let mut mount = Mount::start(dir);
    let mut last = 0u32;
    mount.save_rules(&to("Save0")).unwrap();
    // Whatever else is under the loop device goes.
    let filler = base.join("under/filler");
    let mut file = File::create(&filler).unwrap();
    while file.write_all(&[0xFF; 4096]).is_ok() {}
    let errno = loop {
        let text = format!("{}# {}\n", to(&format!("Save{}", last + 1)), "n".repeat(200_000));
        match mount.save_rules(&text) {
            Ok(()) => last += 1,
            Err(error) => break error.raw_os_error(),
        }
        assert!(last < 400, "the disk never failed");
    };
    assert!([libc::EIO, libc::EROFS, libc::ENOSPC].map(Some).contains(&errno), "{errno:?}");
    let folder = format!("Save{last}");
    assert_eq!(mount.names(&folder).len(), 2, "what was in force stays");
    assert_eq!(fs::read(mount.path(&folder).join("a.wav")).unwrap(), wav(1));
    assert!(!mount.log_text().contains("panicked"), "{}", mount.log_text());
    mount.end();

    // Another disk with what the old one has.
    drop(file);
    fs::remove_file(&filler).unwrap();
    under.resize("128m");
    drop(disk);
    drop(run("e2fsck", &["-fy".as_ref(), image.as_os_str()]));
    let disk = Disk::ext4(&base.join("store"), &image);
    mount.mount_again();
    // The one that was refused may have come to the disk or not.
    let kept = (last..=last + 1).any(|number| mount.path(format!("Save{number}")).exists());
    assert!(kept, "Save{last} was acknowledged: {}", mount.log_text());
    mount.save_rules(&to("Again")).unwrap();
    assert!(mount.end().success());
    drop(disk);
    drop(under);
}
