//! macOS and the BSDs: fuser mounts through the system's own helper (macFUSE's mount_macfuse).

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use fuser::{Config, Filesystem, MountOption, Session, SessionACL};

use super::{OwnMount, State};
use crate::mount::session::MountError;

/// Mounts `filesystem`.
pub fn mount<FS: Filesystem>(filesystem: FS, at: &Path, mut config: Config) -> Result<Session<FS>, MountError> {
    if config.acl == SessionACL::All {
        return Err(MountError::OthersOnlyOnLinux);
    }
    // Event loops on several threads are Linux's alone in fuser.
    config.n_threads = None;
    config.clone_fd = false;
    config.mount_options.push(MountOption::FSName("drumfs".to_owned()));
    // Finder shows the volume's name, and must not look for other programs' files in it.
    config.mount_options.push(MountOption::CUSTOM("volname=RegeneratedArchive".to_owned()));
    config.mount_options.push(MountOption::CUSTOM("noappledouble".to_owned()));
    Session::new(filesystem, at, &config).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => MountError::NoFuseDevice,
        _ => MountError::Mount { path: at.to_owned(), source },
    })
}

/// Takes a mount down.
///
/// # Errors
/// What the system says.
pub fn unmount(at: &Path) -> io::Result<()> {
    let status = Command::new("umount").arg(at).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("umount failed")) }
}

/// Cuts the connection of a mount that hangs: the system's own way to do so.
///
/// # Errors
/// What the system says.
pub fn cut(at: &Path) -> io::Result<()> {
    let status = Command::new("umount").arg("-f").arg(at).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("umount -f failed")) }
}

/// Lets the kernel read further ahead: nothing can be said here.
///
/// # Errors
/// Never.
pub fn read_further_ahead(_: &Path) -> io::Result<()> {
    Ok(())
}

/// What is at a mount point: a folder that does not answer is taken for a dead mount of ours where the mount table
/// names drumfs there.
///
/// # Errors
/// Where the mount table can't be read.
pub fn state(at: &Path) -> io::Result<State> {
    let ours = own_mounts().iter().any(|mount| mount.path == at);
    let error = std::fs::symlink_metadata(at).err().and_then(|error| error.raw_os_error());
    let dead = matches!(error, Some(libc::ENOTCONN | libc::ENXIO | libc::EIO));
    Ok(match (ours, dead) {
        (true, true) => State::Dead,
        (true, false) => State::Live,
        (false, true) => State::OtherDead("file system".to_owned()),
        (false, false) => State::Free,
    })
}

/// Every mount of drumfs, as mount(8) lists them: `drumfs on PATH (…)`.
pub fn own_mounts() -> Vec<OwnMount> {
    let Ok(output) = Command::new("mount").output() else { return Vec::new() };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix("drumfs on "))
        .filter_map(|line| line.rsplit_once(" (").map(|(path, _)| OwnMount { path: path.into(), mine: true }))
        .collect()
}
