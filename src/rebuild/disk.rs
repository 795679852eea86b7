//! The folder that a tree is put into: what is at a name, and making, renaming and removing names. Nothing here follows
//! a symbolic link below that folder, so that nothing is ever written elsewhere.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::archive::beneath;

/// What is at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A regular file.
    File(Stat),
    /// A symbolic link, and where it leads.
    Link(Vec<u8>),
    /// A folder.
    Folder,
    /// Something else.
    Other,
}

/// What tells one regular file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// Time of last modification in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Inode number.
    pub ino: u64,
    /// How many names it has.
    pub links: u64,
}

/// The folder of a tree, held open.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    folder: OwnedFd,
}

impl Drop for Root {
    /// Lets others in, also where a process that was started meanwhile still has a copy of the descriptor.
    fn drop(&mut self) {
        // SAFETY: the descriptor is open. What is not locked stays so.
        unsafe { libc::flock(self.folder.as_raw_fd(), libc::LOCK_UN) };
    }
}

impl Root {
    /// Opens a folder that is there.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), folder: OwnedFd::from(File::open(path)?) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder below it; empty for the folder itself.
    ///
    /// # Errors
    /// What the system says; ELOOP or ENOTDIR where a link is on the way.
    pub fn folder(&self, relative: &[u8]) -> io::Result<Folder> {
        if relative.is_empty() {
            return Ok(Folder(self.folder.try_clone()?));
        }
        beneath(&self.folder, relative, libc::O_DIRECTORY).map(Folder)
    }

    /// The names in a folder below it.
    ///
    /// # Errors
    /// What the system says.
    pub fn names(&self, relative: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let entries = std::fs::read_dir(self.path.join(OsStr::from_bytes(relative)))?;
        entries.map(|entry| Ok(entry?.file_name().into_vec())).collect()
    }

    /// Keeps other runs out until the value is dropped; whether that went.
    ///
    /// # Errors
    /// What the system says. File systems without locks are no error: nobody is kept out there.
    pub fn lock(&self) -> io::Result<bool> {
        // SAFETY: the descriptor is open.
        if unsafe { libc::flock(self.folder.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EWOULDBLOCK) => Ok(false),
            Some(libc::ENOLCK | libc::ENOTSUP | libc::EINVAL | libc::ENOSYS) => Ok(true),
            _ => Err(error),
        }
    }

    /// Bytes that this user may still write on its disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn free_bytes(&self) -> io::Result<u64> {
        // SAFETY: statvfs is plain integers, for which all zeros is valid.
        let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open and `stat` outlives the call.
        check(unsafe { libc::fstatvfs(self.folder.as_raw_fd(), &mut stat) })?;
        #[allow(clippy::unnecessary_cast)] // narrower elsewhere than on Linux
        Ok((stat.f_bavail as u64).saturating_mul(stat.f_frsize as u64))
    }

    /// The device it is on.
    ///
    /// # Errors
    /// What the system says.
    pub fn device(&self) -> io::Result<u64> {
        #[allow(clippy::unnecessary_cast)] // signed and narrower elsewhere than on Linux
        stat_at(self.folder.as_raw_fd(), b".").map(|stat| stat.st_dev as u64)
    }
}

/// An open folder.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// What is at a name.
    ///
    /// # Errors
    /// What the system says.
    pub fn look(&self, name: &[u8]) -> io::Result<Found> {
        let stat = match stat_at(self.fd(), name) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        Ok(match stat.st_mode & libc::S_IFMT {
            libc::S_IFREG => Found::File(Stat::from(&stat)),
            libc::S_IFDIR => Found::Folder,
            libc::S_IFLNK => Found::Link(self.link_target(name)?),
            _ => Found::Other,
        })
    }

    fn link_target(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let name = CString::new(name)?;
        let mut target = vec![0u8; libc::PATH_MAX as usize];
        // SAFETY: the name outlives the call, and so many bytes may be written to `target`.
        let len = unsafe { libc::readlinkat(self.fd(), name.as_ptr(), target.as_mut_ptr().cast(), target.len()) };
        let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
        target.truncate(len);
        Ok(target)
    }

    /// Makes a symbolic link; fails where the name is taken.
    ///
    /// # Errors
    /// What the system says.
    pub fn symlink(&self, target: &[u8], name: &[u8]) -> io::Result<()> {
        let (target, name) = (CString::new(target)?, CString::new(name)?);
        // SAFETY: both strings outlive the call and the descriptor is open.
        check(unsafe { libc::symlinkat(target.as_ptr(), self.fd(), name.as_ptr()) })
    }

    /// Gives an open file one more name; fails where the name is taken. `path` is where it was opened.
    ///
    /// # Errors
    /// What the system says.
    pub fn hard_link(&self, file: &File, path: &Path, name: &[u8]) -> io::Result<()> {
        let name = CString::new(name)?;
        let link = |from: &CString, flags| {
            // SAFETY: both strings outlive the call and the descriptor is open.
            check(unsafe { libc::linkat(libc::AT_FDCWD, from.as_ptr(), self.fd(), name.as_ptr(), flags) })
        };
        if cfg!(target_os = "linux") {
            // proc(5): the file that was opened, whatever has its path now.
            let opened = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
            match link(&opened, libc::AT_SYMLINK_FOLLOW) {
                // Without /proc there is nothing but the path.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => return done,
            }
        }
        link(&CString::new(path.as_os_str().as_bytes())?, 0)
    }

    /// Makes an empty file for writing; fails where the name is taken.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(&self, name: &[u8], mode: u32) -> io::Result<File> {
        let name = CString::new(name)?;
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: the name outlives the call and the descriptor is open.
        let fd = unsafe { libc::openat(self.fd(), name.as_ptr(), flags, mode) };
        check(fd.min(0))?;
        // SAFETY: `fd` was just returned by openat and belongs to nobody else.
        Ok(unsafe { File::from_raw_fd(fd) })
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self, name: &[u8]) -> io::Result<File> {
        beneath(&self.0, name, 0).map(File::from)
    }

    /// Renames within the folder; fails where the new name is taken.
    ///
    /// # Errors
    /// What the system says.
    pub fn rename_new(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        self.rename_to_new(from, self, to)
    }

    /// Renames to a name in another folder of the same disk; fails where that is taken.
    ///
    /// # Errors
    /// What the system says.
    pub fn rename_to_new(&self, from: &[u8], folder: &Self, to: &[u8]) -> io::Result<()> {
        let (from, to) = (CString::new(from)?, CString::new(to)?);
        match rename_no_replace(self.fd(), &from, folder.fd(), &to) {
            // A file system that can't say no (NFS, FUSE): a second name fails where one is taken, too.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::ENOTSUP)) => {}
            done => return done,
        }
        // SAFETY: both strings outlive the call and the descriptors are open.
        match check(unsafe { libc::linkat(self.fd(), from.as_ptr(), folder.fd(), to.as_ptr(), 0) }) {
            Ok(()) => self.remove(from.as_bytes()),
            // Nor has it links (exFAT): looked at before, then.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOTSUP | libc::ENOSYS)) => {
                match folder.look(to.as_bytes())? {
                    Found::Nothing => rename(self.fd(), &from, folder.fd(), &to),
                    _ => Err(io::Error::from_raw_os_error(libc::EEXIST)),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Renames within the folder, over what is at the new name.
    ///
    /// # Errors
    /// What the system says.
    pub fn rename_over(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        rename(self.fd(), &CString::new(from)?, self.fd(), &CString::new(to)?)
    }

    /// Removes a name that is no folder's.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self, name: &[u8]) -> io::Result<()> {
        self.unlink(name, 0)
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove_folder(&self, name: &[u8]) -> io::Result<()> {
        self.unlink(name, libc::AT_REMOVEDIR)
    }

    fn unlink(&self, name: &[u8], flags: libc::c_int) -> io::Result<()> {
        let name = CString::new(name)?;
        // SAFETY: the name outlives the call and the descriptor is open.
        check(unsafe { libc::unlinkat(self.fd(), name.as_ptr(), flags) })
    }

    /// Makes a folder; whether it was not there before.
    ///
    /// # Errors
    /// What the system says; EEXIST where something else has the name.
    pub fn make_folder(&self, name: &[u8]) -> io::Result<bool> {
        let c_name = CString::new(name)?;
        // SAFETY: the name outlives the call and the descriptor is open.
        match check(unsafe { libc::mkdirat(self.fd(), c_name.as_ptr(), 0o777) }) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.look(name)? == Found::Folder => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn fd(&self) -> libc::c_int {
        self.0.as_raw_fd()
    }
}

impl From<&libc::stat> for Stat {
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)] // narrower elsewhere than on Linux
    fn from(stat: &libc::stat) -> Self {
        let mtime_ns = (stat.st_mtime as i64).saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec as i64);
        Self { size: stat.st_size as u64, mtime_ns, ino: stat.st_ino as u64, links: stat.st_nlink as u64 }
    }
}

/// Gives a file a time of last modification, in nanoseconds since 1970.
///
/// # Errors
/// What the system says.
pub fn set_mtime(file: &File, mtime_ns: i64) -> io::Result<()> {
    let omit = libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };
    #[allow(clippy::unnecessary_cast)] // narrower elsewhere than on Linux
    let mtime = libc::timespec {
        tv_sec: mtime_ns.div_euclid(1_000_000_000) as libc::time_t,
        tv_nsec: mtime_ns.rem_euclid(1_000_000_000) as libc::c_long,
    };
    // SAFETY: the descriptor is open and both times outlive the call.
    check(unsafe { libc::futimens(file.as_raw_fd(), [omit, mtime].as_ptr()) })
}

fn stat_at(folder: libc::c_int, name: &[u8]) -> io::Result<libc::stat> {
    let name = CString::new(name)?;
    // SAFETY: stat is plain integers, for which all zeros is valid.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the name and `stat` outlive the call and the descriptor is open.
    check(unsafe { libc::fstatat(folder, name.as_ptr(), &mut stat, libc::AT_SYMLINK_NOFOLLOW) })?;
    Ok(stat)
}

fn rename(from_folder: libc::c_int, from: &CString, to_folder: libc::c_int, to: &CString) -> io::Result<()> {
    // SAFETY: both strings outlive the call and the descriptors are open.
    check(unsafe { libc::renameat(from_folder, from.as_ptr(), to_folder, to.as_ptr()) })
}

#[cfg(target_os = "linux")]
fn rename_no_replace(from_folder: libc::c_int, from: &CString, to_folder: libc::c_int, to: &CString) -> io::Result<()> {
    // SAFETY: both strings outlive the call and the descriptors are open.
    check(unsafe { libc::renameat2(from_folder, from.as_ptr(), to_folder, to.as_ptr(), libc::RENAME_NOREPLACE) })
}

#[cfg(target_os = "macos")]
fn rename_no_replace(from_folder: libc::c_int, from: &CString, to_folder: libc::c_int, to: &CString) -> io::Result<()> {
    // SAFETY: both strings outlive the call and the descriptors are open.
    check(unsafe { libc::renameatx_np(from_folder, from.as_ptr(), to_folder, to.as_ptr(), libc::RENAME_EXCL) })
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn rename_no_replace(_: libc::c_int, _: &CString, _: libc::c_int, _: &CString) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_has_ended_keeps_nobody_out_though_a_child_still_has_its_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let first = Root::open(dir.path()).unwrap();
        assert!(first.lock().unwrap());
        let copy = first.folder(b"").unwrap();
        let second = Root::open(dir.path()).unwrap();
        assert!(!second.lock().unwrap(), "one at a time");
        drop(first);
        assert!(second.lock().unwrap());
        drop(copy);
    }
}
