//! The root of an archive, and the only way drumfs opens an original: for reading, and never outside the root.

use std::ffi::{CString, OsStr};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;

/// An archive that can't be used.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The folder is not there.
    #[error("there is no folder {path}: check the spelling, or attach the drive it is on")]
    NotFound {
        /// The folder as it was given.
        path: PathBuf,
    },
    /// The path names something that is not a folder.
    #[error("{path} is not a folder: give the folder that holds the samples")]
    NotAFolder {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The folder can't be listed.
    #[error("{path} can't be read: {source}")]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The root folder of an archive.
///
/// No descriptor of it is kept, so that a drive can be ejected while drumfs runs and be attached again.
#[derive(Debug)]
pub struct ArchiveRoot {
    path: PathBuf,
    /// O_NOATIME is allowed to the owner alone; tried until it is refused once.
    no_atime: AtomicBool,
}

impl ArchiveRoot {
    /// The archive at `path`, made absolute and free of links.
    ///
    /// # Errors
    /// Where it is missing, not a folder, or can't be listed.
    pub fn new(path: &Path) -> Result<Self, ArchiveError> {
        let real = path.canonicalize().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ArchiveError::NotFound { path: path.to_owned() },
            _ => ArchiveError::Unreadable { path: path.to_owned(), source },
        })?;
        if !real.is_dir() {
            return Err(ArchiveError::NotAFolder { path: path.to_owned() });
        }
        std::fs::read_dir(&real).map_err(|source| ArchiveError::Unreadable { path: path.to_owned(), source })?;
        Ok(Self { path: real, no_atime: AtomicBool::new(cfg!(target_os = "linux")) })
    }

    /// The absolute path of the root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The absolute path of a sample, for messages and records.
    pub fn absolute(&self, relative: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(relative))
    }

    /// Opens a sample for reading, as [`ArchiveRoot::open_with_metadata`].
    ///
    /// # Errors
    /// The same.
    pub fn open(&self, relative: &[u8]) -> io::Result<File> {
        self.open_with_metadata(relative).map(|(file, _)| file)
    }

    /// Opens a sample for reading, and tells what it is. No link in the path is followed and nothing above the root is reached, whatever
    /// has been put in the place of a folder since the archive was walked. A FIFO that took a file's place does not
    /// block.
    ///
    /// # Errors
    /// What the system says; `InvalidInput` for a path that is empty, absolute or has `..`, and for anything that
    /// is not a regular file.
    pub fn open_with_metadata(&self, relative: &[u8]) -> io::Result<(File, Metadata)> {
        let escapes = |part: &[u8]| part.is_empty() || part == b"." || part == b"..";
        if relative.split(|&b| b == b'/').any(escapes) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a relative path of the archive"));
        }
        let file = if self.no_atime.load(Ordering::Relaxed) {
            match self.open_below(relative, NO_ATIME) {
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                    self.no_atime.store(false, Ordering::Relaxed);
                    self.open_below(relative, 0)
                }
                result => result,
            }
        } else {
            self.open_below(relative, 0)
        }?;
        let file = File::from(file);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no longer a regular file"));
        }
        Ok((file, metadata))
    }

    /// In one call where the kernel can (three cost a tenth of what a program waits for that opens a file in the mount):
    /// the root is free of links and the path has no `..`, so that a path without links ends below the root.
    fn open_below(&self, relative: &[u8], extra: libc::c_int) -> io::Result<OwnedFd> {
        #[cfg(target_os = "linux")]
        {
            let whole = [self.path.as_os_str().as_bytes(), b"/", relative].concat();
            let resolve = libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
            match open_at_once(libc::AT_FDCWD, &whole, extra, resolve) {
                // A link has come into the way to the root, the whole is too long, or the kernel has no such call.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENAMETOOLONG | libc::ENOSYS)) => {
                }
                result => return result,
            }
        }
        let root = open_at(None, self.path.as_os_str().as_bytes(), libc::O_DIRECTORY | PATH_ONLY)?;
        open_beneath(&root, relative, extra)
    }

    /// Lists a folder. Like [`ArchiveRoot::open`] it follows no link and reaches nothing above the root, also where a
    /// folder was swapped for a link a moment ago. The paths of the entries are not those of the archive; an empty path
    /// is the root.
    ///
    /// # Errors
    /// What the system says; `InvalidInput` for a path that is absolute or has `..`.
    pub fn read_dir(&self, relative: &[u8]) -> io::Result<std::fs::ReadDir> {
        #[cfg(target_os = "linux")]
        {
            let escapes = |part: &[u8]| part.is_empty() || part == b"." || part == b"..";
            let root = open_at(None, self.path.as_os_str().as_bytes(), libc::O_DIRECTORY | PATH_ONLY)?;
            let folder = match relative {
                b"" => root,
                _ if relative.split(|&b| b == b'/').any(escapes) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a relative path of the archive"));
                }
                _ => open_beneath(&root, relative, libc::O_DIRECTORY)?,
            };
            let opened = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
            // Without /proc there is nothing but the path.
            if opened.symlink_metadata().is_ok() {
                return std::fs::read_dir(opened);
            }
        }
        std::fs::read_dir(self.absolute(relative))
    }

    /// Goes from the root to a path of the archive, and shows `look` the root, every folder on the way and what is at
    /// the path, as descriptors that can be asked for attributes (O_PATH). No link is followed. An empty path is the
    /// root.
    ///
    /// # Errors
    /// What the system or `look` says; `InvalidInput` for a path that is absolute or has `..`.
    pub fn steps(&self, relative: &[u8], look: &mut dyn FnMut(&File) -> io::Result<()>) -> io::Result<()> {
        let mut at = open_at(None, self.path.as_os_str().as_bytes(), libc::O_DIRECTORY | PATH_ONLY)?.into();
        look(&at)?;
        for part in relative.split(|&b| b == b'/').filter(|_| !relative.is_empty()) {
            if matches!(part, b"" | b"." | b"..") {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a relative path of the archive"));
            }
            at = open_at(Some(&at.into()), part, PATH_ONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK)?.into();
            look(&at)?;
        }
        Ok(())
    }
}

/// Where a path that may not be there yet really leads: links are followed as far as there is something.
pub fn real_path(path: &Path) -> PathBuf {
    for there in path.ancestors() {
        let Ok(mut real) = there.canonicalize() else { continue };
        for part in path.strip_prefix(there).into_iter().flat_map(Path::components) {
            match part {
                std::path::Component::ParentDir => drop(real.pop()),
                part => real.push(part),
            }
        }
        return real;
    }
    path.to_owned()
}

#[cfg(target_os = "linux")]
const PATH_ONLY: libc::c_int = libc::O_PATH;
#[cfg(not(target_os = "linux"))]
const PATH_ONLY: libc::c_int = libc::O_RDONLY;
#[cfg(target_os = "linux")]
const NO_ATIME: libc::c_int = libc::O_NOATIME;
#[cfg(not(target_os = "linux"))]
const NO_ATIME: libc::c_int = 0;

/// openat(2) with O_CLOEXEC; from the working directory where no folder is given.
fn open_at(folder: Option<&OwnedFd>, path: &[u8], flags: libc::c_int) -> io::Result<OwnedFd> {
    let path = CString::new(path)?;
    let folder = folder.map_or(libc::AT_FDCWD, AsRawFd::as_raw_fd);
    // SAFETY: `path` is a NUL-terminated string that outlives the call and `folder` is an open descriptor or
    // AT_FDCWD; openat keeps neither.
    let fd = unsafe { libc::openat(folder, path.as_ptr(), flags | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just returned by openat and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

const READ: libc::c_int = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// Opens a file below `root` without following any link: openat2(2) where the kernel has it (Linux 5.6), one
/// component after another elsewhere.
pub(crate) fn open_beneath(root: &OwnedFd, relative: &[u8], extra: libc::c_int) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    match open_at_once(
        root.as_raw_fd(),
        relative,
        extra,
        libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS,
    ) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {}
        result => return result,
    }
    open_beneath_by_steps(root, relative, extra)
}

/// openat2(2): Linux 5.6.
#[cfg(target_os = "linux")]
fn open_at_once(folder: libc::c_int, path: &[u8], extra: libc::c_int, resolve: u64) -> io::Result<OwnedFd> {
    let path = CString::new(path)?;
    // SAFETY: open_how is plain integers, for which all zeros is valid.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (READ | extra | libc::O_CLOEXEC) as u64;
    how.resolve = resolve;
    // SAFETY: the path and `how` outlive the call, and the size given is that of `how`.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            folder,
            path.as_ptr(),
            &how as *const libc::open_how,
            size_of::<libc::open_how>(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just returned by openat2 and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

fn open_beneath_by_steps(root: &OwnedFd, relative: &[u8], extra: libc::c_int) -> io::Result<OwnedFd> {
    let mut parts = relative.split(|&b| b == b'/').peekable();
    let mut folder: Option<OwnedFd> = None;
    while let Some(part) = parts.next() {
        let at = Some(folder.as_ref().unwrap_or(root));
        if parts.peek().is_none() {
            return open_at(at, part, READ | extra);
        }
        folder = Some(open_at(at, part, PATH_ONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW)?);
    }
    Err(io::Error::from(io::ErrorKind::InvalidInput))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> (tempfile::TempDir, ArchiveRoot) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("in/pack")).unwrap();
        std::fs::write(dir.path().join("in/pack/kick.wav"), b"inside").unwrap();
        std::fs::write(dir.path().join("secret"), b"outside").unwrap();
        let root = ArchiveRoot::new(&dir.path().join("in")).unwrap();
        (dir, root)
    }

    #[test]
    fn opens_what_is_inside_and_nothing_else() {
        let (dir, root) = archive();
        assert!(root.open(b"pack/kick.wav").is_ok());
        std::os::unix::fs::symlink(dir.path(), dir.path().join("in/up")).unwrap();
        std::os::unix::fs::symlink("kick.wav", dir.path().join("in/pack/link.wav")).unwrap();
        for bad in
            [&b"../secret"[..], b"/etc/passwd", b"", b"pack/../../secret", b"up/secret", b"pack/link.wav", b"pack"]
        {
            assert!(root.open(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn the_way_without_openat2_refuses_the_same() {
        let (dir, root) = archive();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("in/up")).unwrap();
        let fd = open_at(None, root.path().as_os_str().as_bytes(), libc::O_DIRECTORY | PATH_ONLY).unwrap();
        assert!(open_beneath_by_steps(&fd, b"pack/kick.wav", 0).is_ok());
        assert!(open_beneath_by_steps(&fd, b"up/secret", 0).is_err());
    }

    #[test]
    fn no_folder_is_listed_through_a_link() {
        let (dir, root) = archive();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("in/up")).unwrap();
        let names = |path: &[u8]| root.read_dir(path).map(|entries| entries.count()).ok();
        assert_eq!((names(b""), names(b"pack")), (Some(2), Some(1)));
        for bad in [&b"up"[..], b"up/in", b"..", b"pack/..", b"/"] {
            assert_eq!(names(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn a_fifo_in_the_place_of_a_sample_does_not_block() {
        let (dir, root) = archive();
        let fifo = CString::new(dir.path().join("in/pack/pipe.wav").as_os_str().as_bytes()).unwrap();
        // SAFETY: the path is NUL-terminated and outlives the call.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        let (sender, opened) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| sender.send(root.open(b"pack/pipe.wav").is_err()));
            let refused = opened.recv_timeout(std::time::Duration::from_secs(20));
            // Lets go of whoever waits there for a writer.
            drop(File::options().read(true).write(true).open(dir.path().join("in/pack/pipe.wav")));
            assert_eq!(refused, Ok(true), "it waits for a writer");
        });
    }
}
