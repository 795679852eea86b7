//! Walking an archive: every sample in it, with size and time, in one pass over the folders.

use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::kind::{self, Named};
use super::root::{ArchiveError, ArchiveRoot};

/// A sample that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Path relative to the root, as raw bytes.
    pub path: Vec<u8>,
    /// Size in bytes.
    pub size: u64,
    /// Time of last modification in nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// What was passed over, and how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Symbolic links: what they lead to is either in the archive anyway or outside it.
    pub links: u64,
    /// FIFOs, sockets and devices.
    pub special: u64,
    /// Hidden files and folders, and what systems leave behind.
    pub hidden: u64,
    /// Files that are no sounds.
    pub other: u64,
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Discovery {
    /// The samples, ordered by path bytes.
    pub samples: Vec<Found>,
    /// Folders and files that could not be looked at, with the reason. What is known below a folder listed here has
    /// not gone away.
    pub problems: Vec<(PathBuf, io::Error)>,
    /// What was passed over.
    pub skipped: Skipped,
    /// Whether the walk was cancelled before its end.
    pub cancelled: bool,
}

struct Walk<'a> {
    root: &'a ArchiveRoot,
    known: &'a (dyn Fn(&Found) -> bool + Sync),
    exclude: &'a [PathBuf],
    cancel: &'a AtomicBool,
    all: Mutex<Discovery>,
}

/// Walks the archive with the current rayon pool. Folders named in `exclude` (absolute paths: the mounts of drumfs
/// itself) are not entered. Links are not followed, so there are no loops. Files whose name does not say what they are
/// get opened, but for those that are `known` to be samples.
///
/// # Errors
/// Only where the root itself can't be listed; everything below is a problem of its own.
pub fn discover(
    root: &ArchiveRoot,
    known: &(dyn Fn(&Found) -> bool + Sync),
    exclude: &[PathBuf],
    cancel: &AtomicBool,
) -> Result<Discovery, ArchiveError> {
    let unreadable = |source| ArchiveError::Unreadable { path: root.path().to_owned(), source };
    // A root that can't be listed is an absent archive, not an empty one.
    fs::read_dir(root.path()).map_err(unreadable)?;
    let walk = Walk { root, known, exclude, cancel, all: Mutex::default() };
    rayon::scope(|scope| walk.folder(scope, Vec::new()));
    let mut found = walk.all.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    found.cancelled = cancel.load(Ordering::Relaxed);
    rayon::slice::ParallelSliceMut::par_sort_unstable_by(&mut found.samples[..], |a, b| a.path.cmp(&b.path));
    Ok(found)
}

impl Walk<'_> {
    fn folder<'s>(&'s self, scope: &rayon::Scope<'s>, relative: Vec<u8>) {
        if self.cancel.load(Ordering::Relaxed) {
            return;
        }
        let path = self.root.absolute(&relative);
        let mut here = Discovery::default();
        match self.root.read_dir(&relative) {
            Ok(entries) => {
                for entry in entries {
                    match entry {
                        Ok(entry) => self.entry(scope, &relative, &entry, &mut here),
                        Err(error) => here.problems.push((path.clone(), error)),
                    }
                }
            }
            Err(error) => here.problems.push((path, error)),
        }
        let mut all = self.all.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        all.samples.append(&mut here.samples);
        all.problems.append(&mut here.problems);
        all.skipped.links += here.skipped.links;
        all.skipped.special += here.skipped.special;
        all.skipped.hidden += here.skipped.hidden;
        all.skipped.other += here.skipped.other;
    }

    fn entry<'s>(&'s self, scope: &rayon::Scope<'s>, folder: &[u8], entry: &DirEntry, here: &mut Discovery) {
        let name = entry.file_name();
        let name = name.as_bytes();
        if kind::is_hidden(name) {
            here.skipped.hidden += 1;
            return;
        }
        let mut relative = Vec::with_capacity(folder.len() + 1 + name.len());
        if !folder.is_empty() {
            relative.extend_from_slice(folder);
            relative.push(b'/');
        }
        relative.extend_from_slice(name);
        let file_type = match entry.file_type() {
            Ok(file_type) => file_type,
            Err(error) => return here.problems.push((self.root.absolute(&relative), error)),
        };
        if file_type.is_symlink() {
            here.skipped.links += 1;
        } else if file_type.is_dir() {
            let path = self.root.absolute(&relative);
            if self.exclude.iter().all(|excluded| *excluded != path) {
                scope.spawn(move |scope| self.folder(scope, relative));
            }
        } else if !file_type.is_file() {
            here.skipped.special += 1;
        } else {
            let named = kind::by_name(name);
            if named == Named::Other {
                here.skipped.other += 1;
                return;
            }
            let found = match entry.metadata() {
                Ok(metadata) => Found { path: relative, size: metadata.len(), mtime_ns: mtime_ns(&metadata) },
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(error) => return here.problems.push((self.root.absolute(&relative), error)),
            };
            if named == Named::Audio || (self.known)(&found) {
                return here.samples.push(found);
            }
            match self.begins_like_a_sound(&found.path) {
                Ok(true) => here.samples.push(found),
                Ok(false) => here.skipped.other += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => here.problems.push((self.root.absolute(&found.path), error)),
            }
        }
    }

    fn begins_like_a_sound(&self, relative: &[u8]) -> io::Result<bool> {
        let mut head = Vec::with_capacity(kind::SNIFF_LEN);
        self.root.open(relative)?.take(kind::SNIFF_LEN as u64).read_to_end(&mut head)?;
        Ok(kind::is_audio(&head))
    }
}

/// Time of last modification in nanoseconds since 1970.
pub fn mtime_ns(metadata: &fs::Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

/// A path from raw bytes.
pub fn path_from_bytes(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    fn walk(root: &Path) -> Discovery {
        discover(&ArchiveRoot::new(root).unwrap(), &|_| false, &[], &AtomicBool::new(false)).unwrap()
    }

    fn paths(found: &Discovery) -> Vec<String> {
        found.samples.iter().map(|s| String::from_utf8_lossy(&s.path).into_owned()).collect()
    }

    #[test]
    fn finds_samples_by_name_and_by_content_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("Pack/__MACOSX")).unwrap();
        fs::write(root.join("Pack/BD.WAV"), b"x").unwrap();
        fs::write(root.join("Pack/._BD.WAV"), b"x").unwrap();
        fs::write(root.join("Pack/__MACOSX/BD.wav"), b"x").unwrap();
        fs::write(root.join("Pack/no extension"), b"fLaC....").unwrap();
        fs::write(root.join("Pack/readme"), b"hello").unwrap();
        fs::write(root.join("Pack/BD.WAV.asd"), b"x").unwrap();
        let found = walk(root);
        assert_eq!(paths(&found), ["Pack/BD.WAV", "Pack/no extension"]);
        assert_eq!((found.skipped.hidden, found.skipped.other), (2, 2));
    }

    #[test]
    fn loops_of_links_fifos_and_odd_names_do_not_stop_the_walk() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        symlink("..", root.join("loop")).unwrap();
        symlink("self.wav", root.join("self.wav")).unwrap();
        let fifo = std::ffi::CString::new(root.join("pipe.wav").as_os_str().as_bytes()).unwrap();
        // SAFETY: the path is NUL-terminated and outlives the call.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        let odd = OsStr::from_bytes(b"sn\xffare\n.wav");
        fs::write(root.join(odd), b"x").unwrap();
        let long = "k".repeat(251) + ".wav";
        fs::write(root.join(&long), b"x").unwrap();
        let found = walk(root);
        assert_eq!(found.samples.iter().map(|s| &s.path[..]).collect::<Vec<_>>(), [long.as_bytes(), odd.as_bytes()]);
        assert_eq!((found.skipped.links, found.skipped.special), (2, 1));
    }

    #[test]
    fn a_folder_that_cannot_be_listed_is_a_problem_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("locked")).unwrap();
        fs::write(dir.path().join("a.wav"), b"x").unwrap();
        fs::set_permissions(dir.path().join("locked"), fs::Permissions::from_mode(0o000)).unwrap();
        let found = walk(dir.path());
        fs::set_permissions(dir.path().join("locked"), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(paths(&found), ["a.wav"]);
        // SAFETY: geteuid has no preconditions.
        let root_reads_everything = unsafe { libc::geteuid() } == 0;
        assert_eq!(found.problems.len(), usize::from(!root_reads_everything));
    }

    #[test]
    fn an_excluded_folder_is_not_entered() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("mount")).unwrap();
        fs::write(dir.path().join("mount/a.wav"), b"x").unwrap();
        let root = ArchiveRoot::new(dir.path()).unwrap();
        let exclude = [root.path().join("mount")];
        assert!(discover(&root, &|_| false, &exclude, &AtomicBool::new(false)).unwrap().samples.is_empty());
    }
}
