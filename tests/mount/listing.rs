//! Listings in detail: places to seek to, kinds, and every name exactly once. What the directory helpers of xfstests
//! look at (t_dir_offset2, t_dir_type, t_readdir), which distributions don't have; the code is our own.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::common::mount::{Mount, new_dir, put};
use crate::common::sounds::wav;

/// An entry as getdents64(2) gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dirent {
    ino: u64,
    /// Where the next entry is.
    next: i64,
    kind: u8,
    name: Vec<u8>,
}

/// A folder that is being listed.
struct Folder(File);

impl Folder {
    #[track_caller]
    fn open(path: &Path) -> Self {
        Self(File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// The next entries, as many as one call with a buffer of this size gives.
    #[track_caller]
    fn next(&self, size: usize) -> Vec<Dirent> {
        let mut buffer = vec![0u8; size];
        // SAFETY: the descriptor is open and the buffer has the length that is given.
        let len = unsafe { libc::syscall(libc::SYS_getdents64, self.0.as_raw_fd(), buffer.as_mut_ptr(), size) };
        assert!(len >= 0, "{}", io::Error::last_os_error());
        let (mut rest, mut entries) = (&buffer[..len as usize], Vec::new());
        // struct linux_dirent64: u64 ino, i64 off, u16 len, u8 type, then the name and a NUL.
        while let Some((ino, _)) = rest.split_first_chunk() {
            let (next, len) = (rest[8..16].try_into().unwrap(), u16::from_ne_bytes([rest[16], rest[17]]));
            let name = rest[19..usize::from(len)].split(|&b| b == 0).next().unwrap().to_vec();
            let (ino, next) = (u64::from_ne_bytes(*ino), i64::from_ne_bytes(next));
            entries.push(Dirent { ino, next, kind: rest[18], name });
            rest = &rest[usize::from(len)..];
        }
        entries
    }

    #[track_caller]
    fn rest(&self, size: usize) -> Vec<Dirent> {
        let mut all = Vec::new();
        loop {
            let entries = self.next(size);
            if entries.is_empty() {
                return all;
            }
            all.extend(entries);
        }
    }

    #[track_caller]
    fn seek(&self, place: i64) {
        // SAFETY: the descriptor is open.
        assert_eq!(unsafe { libc::lseek(self.0.as_raw_fd(), place, libc::SEEK_SET) }, place);
    }
}

/// A mount in which folders have few and many entries, samples and folders, and what drumfs makes.
fn mount() -> Mount {
    let dir = new_dir();
    let first = dir.path().join("archive/pack/0000 a sample with a name of some length.wav");
    put(&first, &wav(1));
    for n in 1..400 {
        fs::hard_link(&first, first.with_file_name(format!("{n:04} a sample with a name of some length.wav"))).unwrap();
    }
    for n in 0..40 {
        put(&dir.path().join(format!("archive/pack/sub {n}/tom.wav")), &wav(2 + n));
    }
    let mount = Mount::start(dir);
    mount.save_rules(&rules("A")).unwrap();
    mount
}

fn rules(to: &str) -> String {
    format!("routes: [{{path: \"**\", to: {to}}}]\n")
}

fn folders(mount: &Mount) -> Vec<PathBuf> {
    let mut folders = vec![mount.at.clone()];
    let mut at = 0;
    while let Some(folder) = folders.get(at).cloned() {
        let below = crate::common::snapshot::paths_in(&folder);
        // Of the many that look alike two will do.
        folders.extend(below.into_iter().filter(|path| path.is_dir()).take(10));
        at += 1;
    }
    assert!(folders.len() > 15, "{folders:?}");
    folders
}

fn names(entries: &[Dirent]) -> BTreeSet<&[u8]> {
    let names: BTreeSet<&[u8]> = entries.iter().map(|entry| &entry.name[..]).collect();
    assert_eq!(names.len(), entries.len(), "a name came twice");
    names
}

#[test]
fn from_every_place_a_listing_goes_on_with_what_came_after_it() {
    let mount = mount();
    for path in folders(&mount) {
        let folder = Folder::open(&path);
        let all = folder.rest(1 << 16);
        names(&all);
        assert!(all.iter().any(|entry| entry.name == b".") && all.iter().any(|entry| entry.name == b".."));
        let places: BTreeSet<i64> = all.iter().map(|entry| entry.next).collect();
        assert_eq!(places.len(), all.len(), "{}: two entries with one place", path.display());
        // Forth, back, and from a place that a stride leads to.
        let count = all.len();
        let stride = (0..count).map(|n| n * 7919 % count);
        for at in (0..count).chain((0..count).rev()).chain(stride) {
            folder.seek(all[at].next);
            // One entry or a few: enough to see which comes next.
            assert_eq!(folder.next(96).first(), all.get(at + 1), "{} after {at}", path.display());
        }
        for at in [0, count / 2, count - 1] {
            folder.seek(all[at].next);
            assert_eq!(folder.rest(4096), all[at + 1..], "{} from {at} to the end", path.display());
        }
        folder.seek(0);
        assert_eq!(folder.rest(100), all, "{} from the beginning, little by little", path.display());
        // A place is the same on another descriptor: no view came between.
        let other = Folder::open(&path);
        other.seek(all[count / 2].next);
        assert_eq!(other.rest(1 << 12), all[count / 2 + 1..]);
    }
}

#[test]
fn kinds_and_numbers_of_a_listing_are_those_of_stat() {
    let mount = mount();
    for path in folders(&mount) {
        for entry in Folder::open(&path).rest(1 << 16) {
            let name = path.join(OsStr::from_bytes(&entry.name));
            if path == mount.at && entry.name == b".." {
                // What is above a mount point is not the file system's to tell.
                continue;
            }
            let meta = fs::symlink_metadata(&name).unwrap();
            let kind = if meta.is_dir() { libc::DT_DIR } else { libc::DT_REG };
            assert_eq!((entry.kind, entry.ino), (kind, meta.ino()), "{}", name.display());
        }
    }
}

#[test]
fn read_little_by_little_every_name_comes_once_while_rules_and_archive_change() {
    let mount = mount();
    for size in [64, 128, 500, 4096] {
        mount.save_rules(&rules("A")).unwrap();
        let path = mount.path("A/pack");
        let whole = Folder::open(&path).rest(1 << 16);
        let (folder, second) = (Folder::open(&path), Folder::open(&path));
        let (mut seen, mut also) = (Vec::new(), Vec::new());
        let mut round = 0;
        loop {
            let entries = folder.next(size);
            if entries.is_empty() {
                break;
            }
            seen.extend(entries);
            also.extend(second.next(size));
            round += 1;
            // Away, back, and with a folder of the name in its place.
            if round % 5 == 0 && round < 40 {
                mount.save_rules(&rules(["B", "A", "A/pack"][round / 5 % 3])).unwrap();
            }
            if round == 3 {
                fs::write(mount.archive.join(format!("pack/new {size}.wav")), wav(size as u64 * 3)).unwrap();
                mount.rescan();
            }
        }
        also.extend(second.rest(size));
        assert_eq!(names(&seen), names(&whole), "buffers of {size} bytes");
        assert_eq!(names(&also), names(&whole), "buffers of {size} bytes, another descriptor");
        // Opened now, it is what is there now.
        mount.save_rules(&rules("C")).unwrap();
        assert!(!path.exists());
        assert_eq!(Folder::open(&mount.path("C/pack")).rest(size).len(), whole.len() + 1);
    }
}

/// The kernel keeps one listing a folder. Handles from before and after saves list the same folder in turns, a part at
/// a time, start over and are closed in any order: each lists one state whole, and what is opened after a save the
/// state after it.
#[test]
fn listings_from_before_and_after_a_save_never_mix_in_the_memory_of_the_kernel() {
    let mount = mount();
    let folder = mount.path("A/pack");
    // Which of the 400 are in the folder: those whose number ends in this digit go elsewhere.
    let save = |digit: u32| {
        mount
            .save_rules(&format!("routes: [{{name: \"*{digit} a sample*\", to: B}}, {{path: \"**\", to: A}}]\n"))
            .unwrap();
    };
    let lacks = |entries: &[Dirent]| -> u32 {
        let there = names(entries);
        let digit = (0..10u32)
            .filter(|digit| !there.iter().any(|name| name.get(3) == Some(&(b'0' + *digit as u8)) && name.len() > 20));
        let digits: Vec<u32> = digit.collect();
        let samples = there.iter().filter(|name| name.len() > 20).count();
        assert!(digits.len() == 1 && samples == 360, "{digits:?} are away, {samples} samples are there");
        digits[0]
    };
    let mut held: Vec<(u32, Folder, Vec<Dirent>)> = Vec::new();
    for round in 0..40u32 {
        let digit = round * 7 % 10;
        save(digit);
        // One that lists all at once, twice, and one that is held.
        let (whole, part) = (Folder::open(&folder), Folder::open(&folder));
        assert_eq!(lacks(&whole.rest(1 << 15)), digit);
        whole.seek(0);
        assert_eq!(lacks(&whole.rest(1 << 12)), digit);
        held.push((digit, part, Vec::new()));
        if round % 3 == 0 {
            drop(whole);
        } else {
            held.push((digit, whole, Vec::new()));
            let (_, whole, _) = held.last().unwrap();
            whole.seek(0);
        }
        // Each goes on by a few entries; one that has come to its end is looked at and starts over or is closed.
        let mut at = 0;
        while let Some((digit, folder, seen)) = held.get_mut(at) {
            let more = folder.next(if at % 2 == 0 { 8192 } else { 1024 });
            if !more.is_empty() {
                seen.extend(more);
                at += 1;
                continue;
            }
            assert_eq!(lacks(seen), *digit);
            if (round + at as u32).is_multiple_of(4) {
                seen.clear();
                folder.seek(0);
                at += 1;
            } else {
                held.remove(at);
            }
        }
    }
    for (digit, folder, mut seen) in held {
        seen.extend(folder.rest(2048));
        assert_eq!(lacks(&seen), digit);
    }
    let last = Folder::open(&folder);
    assert_eq!(lacks(&last.rest(1 << 15)), 39 * 7 % 10);
}
