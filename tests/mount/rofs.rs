//! Every system call that could change a file or folder, tried on everything in the view, each with the errno it has to
//! give. What `stress-ng --rofs` does, which distributions don't have yet, and more; the code is our own.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::common::mount::Mount;
use crate::common::snapshot::{paths_in, snapshot};
use crate::common::sys;
use crate::common::tools::{c_path, errno_of};

const RULES: &str = "routes:\n  - {path: \"Kicks/**\", to: Kick}\n  - {path: \"Snares/**\", to: Snare}\n";

#[track_caller]
fn gives(what: &str, path: &Path, errno: i32, wanted: &[i32]) {
    let name = |errno: i32| io::Error::from_raw_os_error(errno).to_string();
    assert!(wanted.contains(&errno), "{what} {}: {}", path.display(), name(errno));
}

fn errno_of_long(result: libc::c_long) -> i32 {
    if result >= 0 { 0 } else { io::Error::last_os_error().raw_os_error().unwrap_or(-1) }
}

/// A system call by number, for those that libc has no function for everywhere.
macro_rules! call {
    // SAFETY: every pointer is to a NUL-terminated string or to a value that outlives the call.
    ($number:ident $(, $arg:expr)*) => { errno_of_long(unsafe { libc::syscall(libc::$number $(, $arg)*) }) };
}

/// Calls on a path that is there.
fn by_path(path: &Path) {
    let c = c_path(path);
    let c = c.as_ptr();
    let read_only = &[libc::EROFS];
    if path.is_file() {
        for (what, flags) in [
            ("O_WRONLY", libc::O_WRONLY),
            ("O_RDWR", libc::O_RDWR),
            ("O_APPEND", libc::O_WRONLY | libc::O_APPEND),
            ("O_TRUNC", libc::O_RDWR | libc::O_TRUNC),
            ("O_TRUNC to read", libc::O_RDONLY | libc::O_TRUNC),
            ("O_SYNC", libc::O_WRONLY | libc::O_SYNC),
            ("O_DIRECT", libc::O_WRONLY | libc::O_DIRECT),
            ("O_CREAT", libc::O_RDWR | libc::O_CREAT),
        ] {
            gives(what, path, sys::open(path, flags), read_only);
        }
        gives("O_CREAT O_EXCL", path, sys::open(path, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL), &[libc::EEXIST]);
        gives("O_DIRECTORY", path, sys::open(path, libc::O_RDONLY | libc::O_DIRECTORY), &[libc::ENOTDIR]);
        for len in [0, 1, 1 << 30] {
            gives("truncate", path, sys::truncate(path, len), read_only);
        }
        gives("unlink", path, sys::unlink(path), read_only);
        gives("rmdir", path, sys::rmdir(path), &[libc::ENOTDIR]);
        gives("mkdir over it", path, sys::mkdir(path), &[libc::EEXIST]);
        // SAFETY: the path is NUL-terminated and outlives the call.
        gives(
            "execve",
            path,
            errno_of(unsafe { libc::execve(c, [c, std::ptr::null()].as_ptr(), [std::ptr::null()].as_ptr()) }),
            &[libc::EACCES],
        );
    } else {
        gives("unlink", path, sys::unlink(path), &[libc::EISDIR]);
        gives("open for write", path, sys::open(path, libc::O_WRONLY), &[libc::EISDIR]);
        gives("truncate", path, sys::truncate(path, 0), &[libc::EISDIR]);
        gives("rmdir", path, sys::rmdir(path), &[libc::EROFS]);
        // Linux asks a FUSE for that by a message of its own, which drumfs does not take.
        gives("O_TMPFILE", path, sys::open(path, libc::O_RDWR | libc::O_TMPFILE), &[libc::EOPNOTSUPP, libc::EROFS]);
    }
    for mode in [0o444, 0o644, 0o4755] {
        gives("fchmodat", path, call!(SYS_fchmodat, libc::AT_FDCWD, c, mode), read_only);
    }
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } == 0 {
        for follow in [0, libc::AT_SYMLINK_NOFOLLOW] {
            gives("fchownat", path, call!(SYS_fchownat, libc::AT_FDCWD, c, 1, 1, follow), read_only);
        }
    }
    gives("utimensat", path, sys::utimes(path), read_only);
    gives("utimensat now", path, sys::touch(path), read_only);
    gives("setxattr", path, sys::setxattr(path), read_only);
    let name = c"user.colour".as_ptr();
    gives("lsetxattr", path, call!(SYS_lsetxattr, c, name, c"red".as_ptr(), 3, 0), read_only);
    gives("removexattr", path, call!(SYS_removexattr, c, name), read_only);
    gives("lremovexattr", path, call!(SYS_lremovexattr, c, name), read_only);
    // Of folders that samples can be moved into or out of, it says yes: see moves.rs.
    let takes_moves = path.is_dir() && !["_by-id", "_manifests"].iter().any(|name| path.ends_with(name));
    gives("access W_OK", path, sys::access(path, libc::W_OK), if takes_moves { &[0] } else { read_only });
    let beside = path.with_file_name("somewhere else");
    gives("rename", path, sys::rename(path, &beside), read_only);
    let beside_c = c_path(&beside);
    for flag in [libc::RENAME_NOREPLACE, libc::RENAME_WHITEOUT] {
        let renamed = call!(SYS_renameat2, libc::AT_FDCWD, c, libc::AT_FDCWD, beside_c.as_ptr(), flag);
        gives("renameat2", path, renamed, &[libc::EROFS, libc::EINVAL]);
    }
    gives("link", path, sys::link(path, &beside), &[libc::EROFS, libc::EPERM]);
}

/// Calls on a descriptor that was opened for reading.
fn by_descriptor(path: &Path, scratch: &File) {
    let file = File::open(path).unwrap();
    let fd = file.as_raw_fd();
    let byte = [0u8; 1];
    let vector = [libc::iovec { iov_base: byte.as_ptr() as *mut _, iov_len: 1 }];
    let no_write = &[libc::EBADF];
    gives("write", path, call!(SYS_write, fd, byte.as_ptr(), 1), no_write);
    gives("pwrite", path, call!(SYS_pwrite64, fd, byte.as_ptr(), 1, 0), no_write);
    gives("writev", path, call!(SYS_writev, fd, vector.as_ptr(), 1), no_write);
    gives("pwritev", path, call!(SYS_pwritev, fd, vector.as_ptr(), 1, 0, 0), no_write);
    gives("sendfile", path, call!(SYS_sendfile, fd, scratch.as_raw_fd(), std::ptr::null::<i64>(), 1), no_write);
    let copied =
        call!(SYS_copy_file_range, scratch.as_raw_fd(), std::ptr::null::<i64>(), fd, std::ptr::null::<i64>(), 1, 0);
    gives("copy_file_range", path, copied, no_write);
    gives("ftruncate", path, call!(SYS_ftruncate, fd, 0), &[libc::EINVAL]);
    gives("fallocate", path, call!(SYS_fallocate, fd, 0, 0, 4096), no_write);
    let punched = call!(SYS_fallocate, fd, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, 0, 4096);
    gives("fallocate a hole", path, punched, no_write);
    gives("fchmod", path, call!(SYS_fchmod, fd, 0o600), &[libc::EROFS]);
    gives(
        "futimens",
        path,
        call!(SYS_utimensat, fd, std::ptr::null::<u8>(), std::ptr::null::<u8>(), 0),
        &[libc::EROFS],
    );
    gives("fsetxattr", path, call!(SYS_fsetxattr, fd, c"user.a".as_ptr(), c"b".as_ptr(), 1, 0), &[libc::EROFS]);
    gives("fremovexattr", path, call!(SYS_fremovexattr, fd, c"user.a".as_ptr()), &[libc::EROFS]);
    // _IOW('f', 2, long) of linux/fs.h: FS_IOC_SETFLAGS, here the flag of chattr +i.
    let flags: libc::c_long = 0x10;
    let refused = &[libc::ENOTTY, libc::EOPNOTSUPP, libc::EROFS];
    gives("FS_IOC_SETFLAGS", path, call!(SYS_ioctl, fd, 0x4008_6602_u64, &flags), refused);
    // Nothing was written, so there is nothing to sync, and a lock is no change.
    gives("fsync", path, call!(SYS_fsync, fd), &[0]);
    gives("fdatasync", path, call!(SYS_fdatasync, fd), &[0]);
    gives("flock", path, call!(SYS_flock, fd, libc::LOCK_EX | libc::LOCK_NB), &[0]);
    map(path, &file);
}

/// A shared mapping can't be made writable, and what is written to a private one stays there.
fn map(path: &Path, file: &File) {
    let len = file.metadata().unwrap().len() as usize;
    if len == 0 {
        return;
    }
    let map = |protection, flags| {
        // SAFETY: a new mapping of an open file; nothing else is touched.
        unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, file.as_raw_fd(), 0) }
    };
    let writable = libc::PROT_READ | libc::PROT_WRITE;
    assert_eq!(map(writable, libc::MAP_SHARED), libc::MAP_FAILED);
    gives("mmap", path, io::Error::last_os_error().raw_os_error().unwrap(), &[libc::EACCES, libc::ENODEV]);
    assert_eq!(map(libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE), libc::MAP_FAILED, "noexec");
    let shared = map(libc::PROT_READ, libc::MAP_SHARED);
    // Files that are made while they are read can't be mapped shared: they have no pages.
    if shared != libc::MAP_FAILED {
        // SAFETY: mapped above with this length, and unmapped after.
        let made_writable = unsafe { errno_of(libc::mprotect(shared, len, writable)) };
        gives("mprotect", path, made_writable, &[libc::EACCES]);
        // SAFETY: mapped above, and no longer used.
        unsafe { libc::munmap(shared, len) };
    }
    let private = map(writable, libc::MAP_PRIVATE);
    assert_ne!(private, libc::MAP_FAILED, "{}", path.display());
    // SAFETY: mapped above, writable and this long; nobody else has it.
    unsafe {
        private.cast::<u8>().write(!private.cast::<u8>().read());
        libc::msync(private, len, libc::MS_SYNC);
        libc::munmap(private, len);
    }
}

/// Calls that would make something new in a folder, by path and from its descriptor.
fn new_in(folder: &Path, sample: &Path) {
    let new = folder.join("new");
    let refused = &[libc::EROFS];
    for flags in [0, libc::O_EXCL, libc::O_TRUNC, libc::O_APPEND, libc::O_DIRECT] {
        gives("O_CREAT", &new, sys::open(&new, libc::O_WRONLY | libc::O_CREAT | flags), refused);
    }
    gives("O_CREAT to read", &new, sys::open(&new, libc::O_RDONLY | libc::O_CREAT), refused);
    for kind in [libc::S_IFREG, libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFCHR, libc::S_IFBLK] {
        let errno = sys::mknod(&new, kind);
        // Devices are root's alone, and the kernel says that first.
        gives("mknod", &new, errno, &[libc::EROFS, libc::EPERM]);
        assert!(errno == libc::EROFS || kind == libc::S_IFCHR || kind == libc::S_IFBLK);
    }
    gives("mkdir", &new, sys::mkdir(&new), refused);
    gives("symlink", &new, sys::symlink(sample, &new), refused);
    gives("link", &new, sys::link(sample, &new), &[libc::EROFS, libc::EPERM]);
    gives("rename", &new, sys::rename(sample, &new), refused);
    let file = File::open(folder).unwrap();
    let (fd, name, from) = (file.as_raw_fd(), c"new".as_ptr(), c_path(sample));
    gives("openat", &new, call!(SYS_openat, fd, name, libc::O_WRONLY | libc::O_CREAT, 0o644), refused);
    gives("mkdirat", &new, call!(SYS_mkdirat, fd, name, 0o755), refused);
    gives("mknodat", &new, call!(SYS_mknodat, fd, name, libc::S_IFREG | 0o644, 0), refused);
    gives("symlinkat", &new, call!(SYS_symlinkat, c"/etc".as_ptr(), fd, name), refused);
    let linked = call!(SYS_linkat, libc::AT_FDCWD, from.as_ptr(), fd, name, 0);
    gives("linkat", &new, linked, &[libc::EROFS, libc::EPERM]);
    gives("renameat", &new, call!(SYS_renameat2, libc::AT_FDCWD, from.as_ptr(), fd, name, 0), refused);
    gives("fchmod", folder, call!(SYS_fchmod, fd, 0o777), refused);
    gives("fsync", folder, call!(SYS_fsync, fd), &[0]);
    let unlinked = call!(SYS_unlinkat, fd, c"nothing".as_ptr(), 0);
    gives("unlinkat of nothing", folder, unlinked, &[libc::ENOENT]);
    assert!(!new.exists());
}

#[test]
fn no_system_call_changes_anything_and_each_gives_its_errno() {
    let mount = Mount::of(&["Kicks/deep/kick.wav", "Kicks/deep/boom.wav", "Snares/crack.wav", "odd.wav"]);
    mount.save_rules(RULES).unwrap();
    let (archive, view) = (snapshot(&mount.archive), snapshot(&mount.path("Kick")));
    let names = mount.names("");
    let sample = mount.path("Kick/Kicks/deep/kick.wav");
    let scratch = mount.dir.path().join("scratch");
    fs::write(&scratch, [7; 4096]).unwrap();
    let scratch = File::open(scratch).unwrap();

    let folders: Vec<PathBuf> = ["Kick", "Kick/Kicks", "Kick/Kicks/deep", "misc", "_by-id", "_uncertain", "_manifests"]
        .map(|folder| mount.path(folder))
        .into();
    let files = ["_stats.json", "_rebuild_summary.json", "_errors.txt", "_control/index.jsonl", "_control/status.json"];
    let mut all: Vec<PathBuf> = files.map(|file| mount.path(file)).into();
    all.push(sample.clone());
    for folder in &folders {
        all.extend(paths_in(folder).into_iter().find(|path| path.is_file()));
    }
    for path in all.iter().chain(&folders) {
        by_path(path);
    }
    for path in &all {
        by_descriptor(path, &scratch);
    }
    for folder in folders.iter().chain([&mount.at]) {
        new_in(folder, &sample);
    }
    // The root of the mount, and _control as a folder.
    let busy = &[libc::EBUSY];
    gives("rmdir", &mount.at, sys::rmdir(&mount.at), busy);
    gives("rename", &mount.at, sys::rename(&mount.at, &mount.dir.path().join("other")), busy);
    let control = mount.path("_control");
    gives("rmdir", &control, sys::rmdir(&control), &[libc::EROFS]);
    gives("rename", &control, sys::rename(&control, &mount.path("control")), &[libc::EROFS]);
    let new = control.join("new");
    for (what, errno) in [
        ("mkdir", sys::mkdir(&new)),
        ("symlink", sys::symlink(&sample, &new)),
        ("fifo", sys::mknod(&new, libc::S_IFIFO)),
        ("rename of a sample", sys::rename(&sample, &new)),
        ("unlink", sys::unlink(&control.join("status.json"))),
        ("exchange", sys::exchange(&sample, &mount.rules())),
    ] {
        gives(what, &new, errno, &[libc::EROFS]);
    }
    gives("link", &new, sys::link(&sample, &new), &[libc::EROFS, libc::EPERM]);

    assert_eq!(mount.names(""), names);
    assert_eq!(snapshot(&mount.path("Kick")), view);
    assert_eq!(snapshot(&mount.archive), archive);
}
