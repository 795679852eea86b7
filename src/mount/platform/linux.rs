//! Linux: mount(2) where the process may, fusermount3 elsewhere.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fuser::{Config, Filesystem, MountOption, Session, SessionACL};

use super::{FS_TYPE, OwnMount, State};
use crate::mount::session::MountError;

/// Mounts `filesystem`, and tells whether the mount is ours to take down (mount(2)) or fuser's.
///
/// As root mount(2) is called here and not by fuser, which gives every mount the bare type `fuse`: the type is how a
/// dead mount of ours is told from somebody else's.
pub fn mount<FS: Filesystem>(filesystem: FS, at: &Path, mut config: Config) -> Result<Session<FS>, MountError> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let device = device.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => MountError::NoFuseDevice,
        _ => MountError::FuseDevice { source },
    })?;
    let allow_other = config.acl == SessionACL::All;
    match mount_directly(&device, at, allow_other) {
        Ok(()) => {
            let acl = config.acl;
            Session::from_fd(filesystem, OwnedFd::from(device), acl, config).map_err(|source| {
                drop(unmount(at));
                MountError::Mount { path: at.to_owned(), source }
            })
        }
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            drop(device);
            if allow_other {
                if fs::read_to_string(FUSE_CONF).is_ok_and(|text| !lets_users_allow_others(&text)) {
                    return Err(MountError::OthersNotAllowed);
                }
                config.mount_options.push(MountOption::DefaultPermissions);
            }
            if !has_fusermount() {
                return Err(MountError::NoFusermount);
            }
            config.mount_options.push(MountOption::FSName("drumfs".to_owned()));
            config.mount_options.push(MountOption::Subtype("drumfs".to_owned()));
            Session::new(filesystem, at, &config).map_err(|source| MountError::Mount { path: at.to_owned(), source })
        }
        Err(source) => Err(MountError::Mount { path: at.to_owned(), source }),
    }
}

/// Where fusermount3 looks whether ordinary users may let others in.
const FUSE_CONF: &str = "/etc/fuse.conf";

/// Whether a text of fuse.conf has the line `user_allow_other`, fusermount3(1).
fn lets_users_allow_others(text: &str) -> bool {
    text.lines().any(|line| line.trim() == "user_allow_other")
}

fn mount_directly(device: &File, at: &Path, allow_other: bool) -> io::Result<()> {
    let mode = fs::metadata(at)?.mode();
    // SAFETY: getuid and getgid have no preconditions.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    // The kernel itself checks owner and mode of what others ask for.
    let others = if allow_other { ",allow_other,default_permissions" } else { "" };
    let options = format!("fd={},rootmode={mode:o},user_id={uid},group_id={gid}{others}", device.as_raw_fd());
    let (source, kind) = (CString::new("drumfs")?, CString::new(FS_TYPE)?);
    let (at, options) = (CString::new(at.as_os_str().as_bytes())?, CString::new(options)?);
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_NOATIME;
    // SAFETY: all five pointers are to NUL-terminated strings that outlive the call.
    let done = unsafe { libc::mount(source.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn has_fusermount() -> bool {
    ["fusermount3", "fusermount"]
        .iter()
        .any(|name| Command::new(name).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok())
}

/// Takes a mount down. What is still open in it goes on until it is closed; the name is free at once.
///
/// # Errors
/// What the system says.
pub fn unmount(at: &Path) -> io::Result<()> {
    let path = CString::new(at.as_os_str().as_bytes())?;
    // SAFETY: the path is NUL-terminated and outlives the call.
    if unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::EPERM) {
        return Err(error);
    }
    for name in ["fusermount3", "fusermount"] {
        let run =
            Command::new(name).args(["-u", "-z", "--"]).arg(at).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if run.is_ok_and(|status| status.success()) {
            return Ok(());
        }
    }
    Err(error)
}

/// What is known of a mount besides its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Device {
    major: u32,
    minor: u32,
}

/// Cuts the connection of a mount: everybody who waits for it gets an error, and the mount is dead. For a mount that
/// hangs; fusectl of the kernel's documentation (filesystems/fuse) tells of the file.
///
/// # Errors
/// Where there is no such mount, or the system refuses.
pub fn cut(at: &Path) -> io::Result<()> {
    let device = device(at)?;
    fs::write(format!("/sys/fs/fuse/connections/{}/abort", device.minor), "1").or_else(|error| {
        // The control file system is not mounted, or is another user's: an unmount by force cuts as well.
        let path = CString::new(at.as_os_str().as_bytes())?;
        // SAFETY: the path is NUL-terminated and outlives the call.
        match unsafe { libc::umount2(path.as_ptr(), libc::MNT_FORCE | libc::MNT_DETACH) } {
            0 => Ok(()),
            _ => Err(error),
        }
    })
}

/// How many bytes the kernel asks for ahead of a program that reads one piece after another. 128 KiB is what mounts
/// come with; each request for more costs the same.
const READ_AHEAD_KIB: u32 = 1024;

/// Lets the kernel read further ahead, where the process may say so.
///
/// # Errors
/// Where it may not.
pub fn read_further_ahead(at: &Path) -> io::Result<()> {
    let Device { major, minor } = device(at)?;
    fs::write(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"), READ_AHEAD_KIB.to_string())
}

fn device(at: &Path) -> io::Result<Device> {
    let line = mount_table()?.into_iter().rfind(|line| line.path == at);
    line.and_then(|line| line.device).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// One line of the mount table.
struct Line {
    path: PathBuf,
    device: Option<Device>,
    kind: String,
    /// Who mounted it, where that is told.
    user: Option<u32>,
}

/// /proc/self/mountinfo, proc(5): the third field is the device, the fifth the mount point, the one after ` - ` the
/// type, the last the options, of which `user_id` says who mounted a FUSE.
fn mount_table() -> io::Result<Vec<Line>> {
    fs::read("/proc/self/mountinfo").map(|table| lines_of(&table))
}

fn lines_of(table: &[u8]) -> Vec<Line> {
    let mut lines = Vec::new();
    for line in table.split(|&b| b == b'\n') {
        let mut fields = line.split(|&b| b == b' ');
        let device = fields.nth(2).and_then(|text| std::str::from_utf8(text).ok()?.split_once(':'));
        let device =
            device.and_then(|(major, minor)| Some(Device { major: major.parse().ok()?, minor: minor.parse().ok()? }));
        let Some(path) = fields.nth(1) else { continue };
        let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
        let Some(kind) = fields.next() else { continue };
        let mut options = fields.last().unwrap_or_default().split(|&b| b == b',');
        let user = options.find_map(|option| std::str::from_utf8(option.strip_prefix(b"user_id=")?).ok()?.parse().ok());
        let path = PathBuf::from(std::ffi::OsString::from_vec(unescape(path)));
        lines.push(Line { path, device, kind: String::from_utf8_lossy(kind).into_owned(), user });
    }
    lines
}

/// Undoes the octal escapes of spaces, tabs, newlines and backslashes.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'\\')
            .then(|| tail.get(..3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()))
            .flatten();
        plain.push(code.unwrap_or(first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    plain
}

/// What is at a mount point.
///
/// # Errors
/// Where the mount table can't be read.
pub fn state(at: &Path) -> io::Result<State> {
    // The last mount on a path is the one that is seen.
    let Some(line) = mount_table()?.into_iter().rfind(|line| line.path == at) else { return Ok(State::Free) };
    let ours = line.kind == FS_TYPE;
    // ENOTCONN, "Transport endpoint is not connected": nobody answers any more.
    let dead = fs::symlink_metadata(at).is_err_and(|error| error.raw_os_error() == Some(libc::ENOTCONN));
    Ok(match (ours, dead) {
        (true, true) => State::Dead,
        (true, false) => State::Live,
        (false, true) => State::OtherDead(line.kind),
        (false, false) => State::Free,
    })
}

/// Every mount of drumfs.
pub fn own_mounts() -> Vec<OwnMount> {
    let table = mount_table().unwrap_or_default();
    // SAFETY: geteuid has no preconditions.
    let me = unsafe { libc::geteuid() };
    of_drumfs(table, me)
}

fn of_drumfs(table: Vec<Line>, me: u32) -> Vec<OwnMount> {
    let own = table.into_iter().filter(|line| line.kind == FS_TYPE);
    own.map(|line| OwnMount { mine: line.user == Some(me), path: line.path }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuse_conf_lets_users_allow_others_by_a_line_of_its_own() {
        assert!(lets_users_allow_others("# who\nuser_allow_other\nmount_max = 10\n"));
        assert!(!lets_users_allow_others("#user_allow_other\n"));
    }

    /// Anybody may mount something and call it drumfs: who did is told by the kernel.
    #[test]
    fn a_mount_is_ones_own_where_the_kernel_says_so() {
        let table = b"36 25 0:41 / /a rw,nosuid - fuse.drumfs drumfs rw,user_id=1000,group_id=1000\n\
            37 25 0:42 / /b rw - fuse.drumfs drumfs rw,user_id=0,group_id=1000\n\
            38 25 0:43 / /c rw - fuse.drumfs drumfs rw\n\
            39 25 0:44 / /d rw - fuse.other drumfs rw,user_id=1000,group_id=0\n";
        let own: Vec<_> = of_drumfs(lines_of(table), 1000).into_iter().map(|own| (own.path, own.mine)).collect();
        assert_eq!(own, [("/a".into(), true), ("/b".into(), false), ("/c".into(), false)]);
    }

    #[test]
    fn mount_points_with_spaces_and_backslashes_are_read_as_they_are() {
        assert_eq!(unescape(br"/home/a\040b\134c"), br"/home/a b\c");
        assert_eq!(unescape(br"/end\04"), br"/end\04");
    }
}
