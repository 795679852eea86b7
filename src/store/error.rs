//! What can go wrong with a store, and what to do about it.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// What the purpose of a process that mounts begins with.
pub const MOUNTED: &str = "mounted at";

/// A store that can't be opened, read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process owns it.
    #[error("the store {path} is in use by {owner}. {}", way_round(owner))]
    InUse {
        /// The store's folder.
        path: PathBuf,
        /// Who owns it, as far as is known.
        owner: String,
    },
    /// A newer drumfs wrote it.
    #[error(
        "the store {path} was written by a newer drumfs (schema {found}, this one reads up to {supported}): update \
         drumfs, or give another folder with --store"
    )]
    Newer {
        /// The store's folder.
        path: PathBuf,
        /// The schema version found.
        found: u32,
        /// The newest schema version this program reads.
        supported: u32,
    },
    /// The database can't be read.
    #[error(
        "the store {path} is damaged ({reason}). Run the same command with --repair: it sets the damaged database \
         aside, keeps your overrides and rules, and listens to the archive again"
    )]
    Damaged {
        /// The store's folder.
        path: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
    /// It belongs to another archive.
    #[error("the store {path} belongs to the archive {found}, not to {wanted}: give another folder with --store")]
    OtherArchive {
        /// The store's folder.
        path: PathBuf,
        /// The archive it was made for.
        found: PathBuf,
        /// The archive it was opened for.
        wanted: PathBuf,
    },
    /// The disk or the system failed.
    #[error("{path}: {source}{}", if is_full(.source) { ". Free some space and run it again: nothing that was \
        acknowledged is lost" } else { "" })]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No place for the store is known.
    #[error("neither XDG_STATE_HOME nor HOME is set: say where to keep what is heard with --store DIR")]
    NoHome,
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

/// sled passes errors on without their errno.
fn with_errno(error: io::Error) -> io::Error {
    let errno = match (error.raw_os_error(), error.kind()) {
        (None, io::ErrorKind::StorageFull) => libc::ENOSPC,
        (None, io::ErrorKind::QuotaExceeded) => libc::EDQUOT,
        (None, io::ErrorKind::ReadOnlyFilesystem) => libc::EROFS,
        _ => return error,
    };
    io::Error::from_raw_os_error(errno)
}

impl StoreError {
    /// A failed system call on a file of the store.
    pub fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// What sled reports, with the store's folder.
    pub(super) fn sled(path: impl Into<PathBuf>, error: sled::Error) -> Self {
        let path = path.into();
        match error {
            sled::Error::Io(source) => Self::Io { path, source: with_errno(source) },
            sled::Error::Corruption { .. } => Self::Damaged { path, reason: "its data is corrupt".to_owned() },
            other => Self::Damaged { path, reason: other.to_string() },
        }
    }
}

/// What whoever finds the store in use can do.
fn way_round(owner: &str) -> &'static str {
    if owner.contains(MOUNTED) {
        "While it is mounted, its own files are the way in: save rules in MOUNT/_control/rules.yml, append to \
         MOUNT/_control/overrides.jsonl, read MOUNT/_control/index.jsonl; or unmount it first"
    } else {
        "Try again when that has ended, or end it"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_such_also_where_sled_drops_the_errno() {
        let said = io::Error::new(io::ErrorKind::StorageFull, "Os { code: 28 }");
        let error = StoreError::sled("store", sled::Error::Io(said));
        let StoreError::Io { source, .. } = &error else { panic!("{error:?}") };
        assert_eq!(source.raw_os_error(), Some(libc::ENOSPC));
        assert!(error.to_string().contains("Free some space"), "{error}");
    }
}
