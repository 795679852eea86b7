//! Attributes of what is in the view.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::view::{DirId, Ino, View};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A regular file.
    File,
}

/// What stat(2) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// Inode number.
    pub ino: Ino,
    /// File or folder.
    pub kind: Kind,
    /// Size in bytes.
    pub size: u64,
    /// Time of last modification.
    pub mtime: SystemTime,
    /// Permission bits.
    pub perm: u16,
    /// User and group it belongs to; those of the mounting process where none are named.
    pub owner: Option<(u32, u32)>,
    /// Number of links.
    pub nlink: u32,
    /// For how long the kernel may keep these attributes without asking.
    pub attr_ttl: Duration,
    /// For how long it may keep the name.
    pub entry_ttl: Duration,
}

/// For a size and a time: the kernel is told when they change.
pub const LONG: Duration = Duration::from_secs(3600);

/// For names: the kernel is told when one stands for something else. A name whose time has run out would be asked for
/// with no lock held, which makes telling harder: see `notify`.
pub const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// A file of the archive: read only for everybody.
pub fn of_sample(view: &View, id: u32, entry_ttl: Duration, attr_ttl: Duration) -> Attr {
    let sample = view.sample(id);
    Attr {
        ino: view.catalogue().ino(id),
        kind: Kind::File,
        size: sample.size,
        mtime: time(sample.mtime_ns),
        perm: 0o444,
        owner: None,
        nlink: 1,
        attr_ttl,
        entry_ttl,
    }
}

/// A file of the archive that is not shown any longer, for whoever still holds it open.
pub fn of_gone(ino: Ino, size: u64, mtime_ns: i64) -> Attr {
    Attr {
        ino,
        kind: Kind::File,
        size,
        mtime: time(mtime_ns),
        perm: 0o400,
        owner: None,
        nlink: 0,
        attr_ttl: Duration::ZERO,
        entry_ttl: Duration::ZERO,
    }
}

/// A folder. Its attributes change with every view, so they are asked for each time; its name stays.
pub fn of_dir(view: &View, dir: DirId, entry_ttl: Duration) -> Attr {
    Attr {
        ino: view.ino(crate::view::Node::Dir(dir)),
        kind: Kind::Folder,
        size: view.len(dir) as u64,
        mtime: view.mtime(dir),
        // Nothing can be made in it, which whoever tries is told; but a copy of it must be one that can be removed.
        perm: 0o755,
        owner: None,
        // A folder has a link from its parent, one from itself, and one from each folder in it.
        nlink: 2 + view.subfolders(dir),
        attr_ttl: Duration::ZERO,
        entry_ttl,
    }
}

/// A folder that the view has no longer, and that leads to something kept: empty for whoever lists it.
pub fn of_kept_folder(view: &View, ino: Ino) -> Attr {
    Attr {
        ino,
        kind: Kind::Folder,
        size: 0,
        mtime: view.mtime(DirId::ROOT),
        perm: 0o755,
        owner: None,
        nlink: 2,
        attr_ttl: Duration::ZERO,
        entry_ttl: Duration::ZERO,
    }
}

/// A file that drumfs makes: never kept by the kernel.
pub fn of_made(ino: Ino, size: u64, mtime: SystemTime, perm: u16) -> Attr {
    Attr {
        ino,
        kind: Kind::File,
        size,
        mtime,
        perm,
        owner: None,
        nlink: 1,
        attr_ttl: Duration::ZERO,
        entry_ttl: Duration::ZERO,
    }
}

/// A time from nanoseconds since 1970.
pub fn time(ns: i64) -> SystemTime {
    let distance = Duration::from_nanos(ns.unsigned_abs());
    if ns < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }.unwrap_or(UNIX_EPOCH)
}
