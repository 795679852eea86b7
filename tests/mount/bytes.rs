//! What is read is what is there: identical bytes by every way of reading, sizes and times of the originals, inode
//! numbers that stay.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::common::mount::Mount;
use crate::common::snapshot::{files_below, paths_in};
use crate::common::tools::{run, said, shell};

/// Everything of the archive in one folder of the view, under its own path. Files that could not be heard as sounds stay
/// in misc/.
const ALL_IN_ONE: &str = "routes:\n  - {path: \"**\", to: All}\n";

/// The samples of tests/archive, mounted, as pairs of original and path in the view.
fn mounted_archive() -> (Mount, Vec<(PathBuf, PathBuf)>) {
    let mount = Mount::of_test_archive();
    mount.save_rules(ALL_IN_ONE).unwrap();
    let pairs = pairs(&mount);
    assert!(pairs.len() > 150, "{}", pairs.len());
    (mount, pairs)
}

fn pairs(mount: &Mount) -> Vec<(PathBuf, PathBuf)> {
    let mut pairs = Vec::new();
    for folder in ["All", "misc"] {
        for path in files_below(&mount.path(folder)) {
            pairs.push((mount.archive.join(path.strip_prefix(mount.path(folder)).unwrap()), path));
        }
    }
    pairs
}

#[test]
fn every_sample_is_shown_once_and_every_file_of_the_archive_that_is_a_sound_is_a_sample() {
    let (mount, pairs) = mounted_archive();
    assert_eq!(mount.status()["samples"], pairs.len());
    let shown: Vec<&Path> = pairs.iter().map(|(original, _)| original.as_path()).collect();
    let sounds = files_below(&mount.archive).into_iter().filter(|path| {
        let hidden = path.iter().any(|part| part == "__MACOSX" || part.as_bytes().starts_with(b"."));
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        !hidden && ["wav", "aif", "aiff", "flac", "mp3", "ogg", "m4a"].iter().any(|known| extension == *known)
    });
    for sound in sounds {
        assert!(shown.contains(&sound.as_path()), "{} is not shown", sound.display());
    }
}

#[test]
fn sequential_reads_sizes_and_times_are_the_originals() {
    let (_mount, pairs) = mounted_archive();
    for (original, shown) in &pairs {
        assert_eq!(fs::read(shown).unwrap(), fs::read(original).unwrap(), "{}", shown.display());
        let (ours, theirs) = (fs::symlink_metadata(shown).unwrap(), fs::metadata(original).unwrap());
        assert!(ours.is_file(), "{} is a regular file", shown.display());
        assert_eq!(ours.len(), theirs.len());
        assert_eq!((ours.mtime(), ours.mtime_nsec()), (theirs.mtime(), theirs.mtime_nsec()), "{}", shown.display());
    }
}

#[test]
fn a_recursive_copy_and_checksums_agree_with_the_originals() {
    let (mount, pairs) = mounted_archive();
    let copy = mount.dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for folder in ["All", "misc", "_by-id", "_uncertain", "_manifests"] {
        let (from, to) = (mount.path(folder), copy.join(folder));
        let done = run("cp", &["-r".as_ref(), from.as_os_str(), to.as_os_str()]);
        assert!(done.status.success(), "{}", said(&done));
        let differ = run("diff", &["-r".as_ref(), from.as_os_str(), to.as_os_str()]);
        assert!(differ.status.success(), "{}", said(&differ));
    }
    for (original, shown) in &pairs {
        let copied = copy.join(shown.strip_prefix(&mount.at).unwrap());
        assert_eq!(fs::read(copied).unwrap(), fs::read(original).unwrap());
    }
    let sums = |root: &Path| {
        let text = "cd \"$1\" && find . -type f -print0 | sort -z | xargs -0 sha256sum";
        let done = shell("bash", text, &[root]);
        assert!(done.status.success(), "{}", said(&done));
        let lines = String::from_utf8(done.stdout).unwrap();
        lines
            .lines()
            .map(|line| line.split_once("  ").unwrap())
            .map(|(sum, path)| (path.to_owned(), sum.to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    let originals = sums(&mount.archive);
    let mut ours = sums(&mount.path("All"));
    ours.extend(sums(&mount.path("misc")));
    assert_eq!(ours.len(), pairs.len());
    for (path, sum) in &ours {
        assert_eq!(Some(sum), originals.get(path), "{path}");
    }
}

#[test]
fn seeks_and_reads_at_random_places_agree() {
    let (_mount, pairs) = mounted_archive();
    let mut random = 0x2545_F491_4F6C_DD1Du64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for (original, shown) in &pairs {
        let bytes = fs::read(original).unwrap();
        let mut file = File::open(shown).unwrap();
        for _ in 0..12 {
            let at = next(bytes.len() as u64 + 10);
            let mut buffer = vec![0; 1 + next(9000) as usize];
            let want = &bytes[(at as usize).min(bytes.len())..(at as usize + buffer.len()).min(bytes.len())];
            let len = read_fully(&mut buffer, |rest, done| file.read_at(rest, at + done as u64).unwrap());
            assert_eq!(&buffer[..len], want, "pread {} at {at}", shown.display());
            file.seek(SeekFrom::Start(at)).unwrap();
            let len = read_fully(&mut buffer, |rest, _| file.read(rest).unwrap());
            assert_eq!(&buffer[..len], want, "read {} after a seek to {at}", shown.display());
        }
        assert_eq!(file.seek(SeekFrom::End(0)).unwrap(), bytes.len() as u64);
    }
}

fn read_fully(buffer: &mut [u8], mut read: impl FnMut(&mut [u8], usize) -> usize) -> usize {
    let mut done = 0;
    while done < buffer.len() {
        match read(&mut buffer[done..], done) {
            0 => break,
            len => done += len,
        }
    }
    done
}

#[test]
fn memory_maps_private_and_shared_agree() {
    let (_mount, pairs) = mounted_archive();
    for (original, shown) in pairs.iter().filter(|(_, shown)| fs::metadata(shown).unwrap().len() > 0) {
        let bytes = fs::read(original).unwrap();
        let file = File::open(shown).unwrap();
        for flags in [libc::MAP_PRIVATE, libc::MAP_SHARED] {
            // SAFETY: a new mapping of an open file, checked before use.
            let map =
                unsafe { libc::mmap(std::ptr::null_mut(), bytes.len(), libc::PROT_READ, flags, file.as_raw_fd(), 0) };
            assert_ne!(map, libc::MAP_FAILED, "{}", shown.display());
            // SAFETY: the mapping is this long and readable, and nobody changes the file meanwhile.
            let mapped = unsafe { std::slice::from_raw_parts(map.cast::<u8>(), bytes.len()) };
            assert_eq!(mapped, bytes, "{}", shown.display());
            // SAFETY: mapped above, and no longer used.
            unsafe { libc::munmap(map, bytes.len()) };
        }
    }
}

#[test]
fn eight_readers_at_once_agree() {
    let (_mount, pairs) = mounted_archive();
    std::thread::scope(|scope| {
        for reader in 0..8 {
            let pairs = &pairs;
            scope.spawn(move || {
                for at in 0..pairs.len() {
                    // Two of them go through the files together, the others from places of their own.
                    let (original, shown) = &pairs[(at + reader / 2 * 37) % pairs.len()];
                    assert_eq!(fs::read(shown).unwrap(), fs::read(original).unwrap(), "{}", shown.display());
                }
            });
        }
    });
}

#[test]
fn inode_numbers_sizes_and_times_stay_across_rule_changes_and_remounts() {
    let (mut mount, pairs) = mounted_archive();
    let facts = |path: &Path| {
        let meta = fs::symlink_metadata(path).unwrap();
        (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec())
    };
    let below = |root: PathBuf| {
        files_below(&root)
            .into_iter()
            .map(|path| (path.strip_prefix(&root).unwrap().to_owned(), facts(&path)))
            .collect::<BTreeMap<_, _>>()
    };
    let before = below(mount.path("All"));
    assert!(before.len() > 150 && before.len() < pairs.len());
    let unique: std::collections::BTreeSet<u64> = before.values().map(|facts| facts.0).collect();
    assert_eq!(unique.len(), before.len(), "every sample has a number of its own");
    mount.save_rules(&ALL_IN_ONE.replace("All", "Elsewhere/Deep")).unwrap();
    assert_eq!(below(mount.path("Elsewhere/Deep")), before);
    assert!(mount.end().success());
    mount.mount_again();
    assert_eq!(below(mount.path("Elsewhere/Deep")), before, "after a remount");
    mount.kill9();
    mount.mount_again();
    assert_eq!(below(mount.path("Elsewhere/Deep")), before, "after a crash");
}

#[test]
fn the_name_with_the_content_hash_has_the_bytes_and_number_of_the_sample() {
    let (mount, _) = mounted_archive();
    let mut seen = 0;
    for record in mount.index().iter().filter(|record| record["hash"].is_string()) {
        let relative = record["relative_path"].as_str().unwrap();
        let extension = Path::new(relative).extension().and_then(OsStr::to_str);
        let name = format!(
            "{}{}",
            record["hash"].as_str().unwrap(),
            extension.map_or(String::new(), |e| format!(".{}", e.to_lowercase()))
        );
        // Of two with the same content the first gives the extension.
        let Ok(bytes) = fs::read(mount.path("_by-id").join(&name)) else { continue };
        assert_eq!(bytes, fs::read(mount.archive.join(relative)).unwrap(), "{name}");
        seen += 1;
    }
    let listed = paths_in(&mount.path("_by-id")).len();
    assert!(seen >= listed && listed > 150, "{seen} of {listed}");
}

#[test]
fn an_open_handle_goes_on_reading_the_same_sample_whatever_the_rules_do() {
    let mount = Mount::of(&["a/one.wav", "a/two.wav"]);
    mount.save_rules("layout: flat\nroutes:\n  - {name: \"one*\", to: X}\n  - {name: \"two*\", to: Y}\n").unwrap();
    let mut one = File::open(mount.path("X/one.wav")).unwrap();
    let bytes = fs::read(mount.archive.join("a/one.wav")).unwrap();
    let mut start = vec![0; 1000];
    one.read_exact(&mut start).unwrap();
    // The other sample gets the folder, and the first is hidden.
    mount.save_rules("layout: flat\nroutes:\n  - {name: \"one*\", hide: true}\n  - {name: \"two*\", to: X}\n").unwrap();
    assert_eq!(mount.names("X"), ["two.wav"]);
    let mut rest = Vec::new();
    one.read_to_end(&mut rest).unwrap();
    assert_eq!([start, rest].concat(), bytes);
    assert_eq!(one.metadata().map(|meta| meta.len()).unwrap_or(bytes.len() as u64), bytes.len() as u64);
    let mut again = vec![0; bytes.len()];
    one.read_exact_at(&mut again, 0).unwrap();
    assert_eq!(again, bytes);
}
