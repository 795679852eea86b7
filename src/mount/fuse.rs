//! The FUSE adapter: one call of the core and one reply a method, and nothing else.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use super::attr::{Attr, Kind};
use super::core::{Core, Found, OpenHow, OpenKind, Opened};
use super::errno::FsError;
use super::listings::Listed;
use super::permissions::Asker;

/// The core, as the kernel sees it.
pub struct Adapter {
    core: Arc<Core>,
    uid: u32,
    gid: u32,
}

impl Adapter {
    /// An adapter whose files belong to the user of this process.
    pub fn new(core: Arc<Core>) -> Self {
        // SAFETY: getuid and getgid have no preconditions.
        let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
        Self { core, uid, gid }
    }

    fn attr(&self, attr: &Attr) -> FileAttr {
        let (uid, gid) = attr.owner.unwrap_or((self.uid, self.gid));
        FileAttr {
            ino: INodeNo(attr.ino),
            size: attr.size,
            blocks: attr.size.div_ceil(512),
            atime: attr.mtime,
            mtime: attr.mtime,
            ctime: attr.mtime,
            crtime: attr.mtime,
            kind: kind(attr.kind),
            perm: attr.perm,
            nlink: attr.nlink,
            uid,
            gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

fn kind(kind: Kind) -> FileType {
    match kind {
        Kind::Folder => FileType::Directory,
        Kind::File => FileType::RegularFile,
    }
}

/// Runs one request. A panic costs that request alone.
fn guarded<T>(request: &str, work: impl FnOnce() -> Result<T, FsError>) -> Result<T, Errno> {
    let result = catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|payload| Err(FsError::Panicked(crate::panic_message(payload.as_ref()))));
    result.map_err(|error| errno(request, &error))
}

fn errno(request: &str, error: &FsError) -> Errno {
    log::log!(error.log_level(), "{request}: {error}");
    Errno::from_i32(error.errno())
}

/// Runs a request that is answered elsewhere. Where it panics before it is, the reply that is dropped answers EIO.
fn handed_over(request: &str, work: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
        log::error!("{request}: {}", FsError::Panicked(crate::panic_message(payload.as_ref())));
    }
}

fn asker(request: &Request) -> Asker {
    Asker { uid: request.uid(), gid: request.gid(), pid: request.pid() }
}

fn empty(request: &'static str, reply: ReplyEmpty) -> impl FnOnce(Result<(), FsError>) + Send + 'static {
    move |done| match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(request, &error)),
    }
}

fn how(flags: OpenFlags) -> OpenHow {
    OpenHow {
        write: flags.acc_mode() != OpenAccMode::O_RDONLY,
        append: flags.0 & libc::O_APPEND != 0,
        truncate: flags.0 & libc::O_TRUNC != 0,
    }
}

fn fopen(opened: &Opened) -> FopenFlags {
    match opened.kind {
        // Nothing is ever written to a sample, so closing it needs no message.
        OpenKind::Keep => FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH,
        OpenKind::Direct => FopenFlags::FOPEN_DIRECT_IO,
        OpenKind::Passthrough(_) => FopenFlags::FOPEN_NOFLUSH,
    }
}

fn listing(listed: Listed) -> FopenFlags {
    match listed {
        // Without it what is kept is thrown away, also where this handle does not use it.
        Listed::Asked => FopenFlags::FOPEN_KEEP_CACHE,
        Listed::Anew => FopenFlags::FOPEN_CACHE_DIR,
        Listed::Kept => FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE,
    }
}

fn open_reply(reply: ReplyOpen, opened: &Opened) {
    let (handle, flags) = (FileHandle(opened.handle), fopen(opened));
    let OpenKind::Passthrough(backing) = &opened.kind else { return reply.opened(handle, flags) };
    // SAFETY: the number was given by this session's device. It is taken out again below, so that only the handle,
    // which holds it for as long as it is open, closes it.
    let id = unsafe { reply.wrap_backing(backing.id()) };
    reply.opened_passthrough(handle, flags, &id);
    id.into_raw();
}

const GENERATION: Generation = Generation(0);

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        if self.core.is_without_open() && !config.capabilities().contains(InitFlags::FUSE_NO_OPEN_SUPPORT) {
            log::warn!("this kernel can't do without open messages (Linux 3.18 can): files are opened as usual");
            self.core.set_without_open(false);
        }
        let opening: &[InitFlags] = if self.core.is_without_open() {
            // Texts that are made anew are read anew: nothing says so at open.
            &[InitFlags::FUSE_AUTO_INVAL_DATA]
        } else {
            // O_TRUNC comes with open, so that each handle has a text of its own.
            &[InitFlags::FUSE_ATOMIC_O_TRUNC, InitFlags::FUSE_PASSTHROUGH]
        };
        let wanted = [
            // Always, and not only where the kernel guesses that attributes will be asked for: `find -size` and file
            // dialogs list first and ask later, one name at a time.
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_ASYNC_DIO,
        ];
        // So deep may the file systems below be stacked from which the kernel reads by itself: overlayfs is one.
        if config.set_max_stack_depth(2).is_err() {
            log::debug!("the kernel does not read from stacked file systems by itself");
        }
        for &flag in wanted.iter().chain(opening) {
            if config.add_capabilities(flag).is_err() {
                log::debug!("the kernel lacks {flag:?}");
            }
        }
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = || self.core.eyes(asker(request)).finds(self.core.lookup(parent.0, name.as_bytes())?);
        match guarded("lookup", found) {
            Ok(Found::Node(attr)) => {
                reply.entry_with_ttls(&attr.attr_ttl, &attr.entry_ttl, &self.attr(&attr), GENERATION);
            }
            Ok(Found::Nothing) => reply.error(Errno::ENOENT),
            Err(errno) => reply.error(errno),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match guarded("getattr", || self.core.getattr(ino.0)) {
            Ok(attr) => reply.attr(&attr.attr_ttl, &self.attr(&attr)),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        fh: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let perm = mode.map(|mode| (mode & 0o777) as u16);
        match guarded("setattr", || self.core.setattr(ino.0, fh.map(|fh| fh.0), size, perm)) {
            Ok(attr) => reply.attr(&attr.attr_ttl, &self.attr(&attr)),
            Err(errno) => reply.error(errno),
        }
    }

    fn mknod(&self, _: &Request, parent: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        match guarded("mknod", || self.core.refuse(parent.0)) {
            Ok(()) => reply.error(Errno::EROFS),
            Err(errno) => reply.error(errno),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        match guarded("mkdir", || self.core.refuse(parent.0)) {
            Ok(()) => reply.error(Errno::EROFS),
            Err(errno) => reply.error(errno),
        }
    }

    fn symlink(&self, _: &Request, parent: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        match guarded("symlink", || self.core.refuse(parent.0)) {
            Ok(()) => reply.error(Errno::EROFS),
            Err(errno) => reply.error(errno),
        }
    }

    fn link(&self, _: &Request, _: INodeNo, newparent: INodeNo, _: &OsStr, reply: ReplyEntry) {
        match guarded("link", || self.core.refuse(newparent.0)) {
            Ok(()) => reply.error(Errno::EROFS),
            Err(errno) => reply.error(errno),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match guarded("unlink", || self.core.unlink(parent.0, name.as_bytes())) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        match guarded("rmdir", || self.core.refuse(parent.0)) {
            Ok(()) => reply.error(Errno::EROFS),
            Err(errno) => reply.error(errno),
        }
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if flags.intersects(!RenameFlags::RENAME_NOREPLACE) {
            // Two names exchanged: refused in the class folders like every other change.
            return match guarded("rename", || self.core.refuse_exchange(parent.0, newparent.0)) {
                Ok(()) => reply.error(Errno::EINVAL),
                Err(errno) => reply.error(errno),
            };
        }
        let (from, to) = ((parent.0, name.as_bytes()), (newparent.0, newname.as_bytes()));
        let no_replace = flags.contains(RenameFlags::RENAME_NOREPLACE);
        let who = asker(request);
        handed_over("rename", || match self.core.lets_change(who) {
            Ok(()) => self.core.rename(from, to, no_replace, empty("rename", reply)),
            Err(error) => reply.error(errno("rename", &error)),
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if self.core.is_without_open() {
            // Said once: the kernel asks no more.
            return reply.error(Errno::ENOSYS);
        }
        let (core, asker) = (Arc::clone(&self.core), asker(request));
        handed_over("open", || {
            self.core.open(ino.0, how(flags), move |result| {
                match result.and_then(|opened| core.let_read(asker, opened)) {
                    Ok(opened) => open_reply(reply, &opened),
                    Err(error) => reply.error(errno("open", &error)),
                }
            });
        });
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let perm = (mode & !umask & 0o777) as u16;
        match guarded("create", || self.core.create(parent.0, name.as_bytes(), perm, how(OpenFlags(flags)))) {
            Ok((attr, opened)) => {
                let handle = FileHandle(opened.handle);
                reply.created(&attr.attr_ttl, &self.attr(&attr), GENERATION, handle, fopen(&opened));
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut reply = Some(reply);
        let take = |data: &[u8]| reply.take().into_iter().for_each(|reply| reply.data(data));
        if let Err(errno) = guarded("read", || self.core.read_with(ino.0, fh.0, offset, size as usize, take)) {
            reply.into_iter().for_each(|reply| reply.error(errno));
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        handed_over("write", || {
            self.core.write(ino.0, fh.0, offset, data, move |result| match result {
                Ok(len) => reply.written(len as u32),
                Err(error) => reply.error(errno("write", &error)),
            });
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, fh: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        if self.core.is_without_open() {
            return reply.error(Errno::ENOSYS);
        }
        handed_over("flush", || self.core.flush(fh.0, empty("flush", reply)));
    }

    fn fsync(&self, _: &Request, _: INodeNo, fh: FileHandle, _: bool, reply: ReplyEmpty) {
        handed_over("fsync", || self.core.flush(fh.0, empty("fsync", reply)));
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        handed_over("release", || self.core.release(fh.0));
        reply.ok();
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match guarded("opendir", || self.core.opendir(ino.0)) {
            Ok((handle, listed)) => reply.opened(FileHandle(handle), listing(listed)),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(&self, request: &Request, _: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let done = guarded("readdir", || {
            let mut eyes = self.core.eyes(asker(request));
            self.core.readdir(fh.0, offset, &mut |ino, next, kind_of, name| {
                eyes.lists(ino, name) && reply.add(INodeNo(ino), next, kind(kind_of), OsStr::from_bytes(name))
            })
        });
        match done {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdirplus(&self, request: &Request, _: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let done = guarded("readdirplus", || {
            let mut eyes = self.core.eyes(asker(request));
            self.core.readdirplus(fh.0, offset, &mut |attr, next, name| {
                // One time for both: the shorter.
                let ttl = attr.entry_ttl.min(attr.attr_ttl);
                let (ino, name) = (INodeNo(attr.ino), OsStr::from_bytes(name));
                eyes.lists(attr.ino, name.as_bytes()) && reply.add(ino, next, name, &ttl, &self.attr(attr), GENERATION)
            })
        });
        match done {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        handed_over("releasedir", || self.core.release_dir(fh.0));
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        const BLOCK: u32 = 4096;
        match guarded("statfs", || Ok(self.core.totals())) {
            Ok((bytes, files)) => reply.statfs(bytes.div_ceil(BLOCK.into()), 0, 0, files, 0, BLOCK, 255, BLOCK),
            Err(errno) => reply.error(errno),
        }
    }

    fn access(&self, _: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        let (write, execute) = (mask.contains(AccessFlags::W_OK), mask.contains(AccessFlags::X_OK));
        match guarded("access", || self.core.access(ino.0, write, execute)) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    // No file has extended attributes. On Linux ENOSYS says so once and for all; Finder hides files for which the
    // answer is anything but "no such attribute".

    #[cfg(target_os = "macos")]
    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::from_i32(libc::ENOATTR));
    }

    #[cfg(target_os = "macos")]
    fn listxattr(&self, _: &Request, _: INodeNo, size: u32, reply: ReplyXattr) {
        if size == 0 { reply.size(0) } else { reply.data(&[]) }
    }

    #[cfg(not(target_os = "macos"))]
    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    #[cfg(not(target_os = "macos"))]
    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn setxattr(&self, _: &Request, ino: INodeNo, _: &OsStr, _: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        match guarded("setxattr", || self.core.setxattr(ino.0)) {
            Ok(()) => reply.error(Errno::EROFS),
            Err(errno) => reply.error(errno),
        }
    }

    fn removexattr(&self, _: &Request, ino: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        match guarded("removexattr", || self.core.setxattr(ino.0)) {
            Ok(()) => reply.error(Errno::EROFS),
            Err(errno) => reply.error(errno),
        }
    }

    // Editors ask whether a file is a terminal; it never is.
    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }
}
