//! System calls on paths that the standard library has no call for, or hides parts of. Each gives the errno, 0 where it
//! went well.

use std::path::Path;

use super::tools::{c_path, errno_of};

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident($($path:ident),+; $($arg:ident: $kind:ty),*) $call:expr;)+) => {$(
        $(#[$doc])*
        pub fn $name($($path: &Path),+, $($arg: $kind),*) -> i32 {
            $(let $path = c_path($path);)+
            $(let $path = $path.as_ptr();)+
            // SAFETY: every pointer is to a NUL-terminated string or to a value that outlives the call.
            errno_of(unsafe { $call })
        }
    )+};
}

const TIMES: [libc::timespec; 2] = [libc::timespec { tv_sec: 1, tv_nsec: 0 }; 2];

calls! {
    /// truncate(2)
    truncate(path; len: i64) libc::truncate(path, len);
    /// unlink(2)
    unlink(path;) libc::unlink(path);
    /// rmdir(2)
    rmdir(path;) libc::rmdir(path);
    /// mkdir(2)
    mkdir(path;) libc::mkdir(path, 0o755);
    /// mknod(2)
    mknod(path; kind: u32) libc::mknod(path, kind | 0o644, 0);
    /// symlink(2)
    symlink(to, path;) libc::symlink(to, path);
    /// link(2)
    link(from, path;) libc::link(from, path);
    /// rename(2)
    rename(from, to;) libc::rename(from, to);
    /// renameat2(2) with RENAME_NOREPLACE
    rename_no_replace(from, to;) libc::renameat2(libc::AT_FDCWD, from, libc::AT_FDCWD, to, libc::RENAME_NOREPLACE);
    /// renameat2(2) with RENAME_EXCHANGE
    exchange(a, b;) libc::renameat2(libc::AT_FDCWD, a, libc::AT_FDCWD, b, libc::RENAME_EXCHANGE);
    /// chmod(2)
    chmod(path;) libc::chmod(path, 0o600);
    /// chown(2)
    chown(path;) libc::chown(path, 1, 1);
    /// utimensat(2) with times of its own
    utimes(path;) libc::utimensat(libc::AT_FDCWD, path, TIMES.as_ptr(), 0);
    /// utimensat(2) with the time of now
    touch(path;) libc::utimensat(libc::AT_FDCWD, path, std::ptr::null(), 0);
    /// setxattr(2)
    setxattr(path;) libc::setxattr(path, c"user.colour".as_ptr(), c"red".as_ptr().cast(), 3, 0);
    /// access(2)
    access(path; mode: i32) libc::access(path, mode);
    /// open(2); what was opened is closed.
    open(path; flags: i32) match libc::open(path, flags, 0o644) {
        fd if fd >= 0 => libc::close(fd),
        failed => failed,
    };
}
