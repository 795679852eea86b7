//! What can go wrong with a file operation, and the errno each becomes: all of them, in one place.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::store::StoreError;

/// Why a file operation failed.
#[derive(Debug, Error)]
pub enum FsError {
    /// Nothing has this name or number.
    #[error("there is nothing of this name")]
    NotFound,
    /// A folder was expected.
    #[error("not a folder")]
    NotAFolder,
    /// A file was expected.
    #[error("a folder")]
    IsAFolder,
    /// The class folders are made by rules: nothing can be created, written or removed in them, and nothing moved but a
    /// sample from one to another.
    #[error("the view is read only: rules.yml and overrides.jsonl in _control/ change what is in it")]
    ReadOnly,
    /// The name exists and must not.
    #[error("the name is taken")]
    Exists,
    /// What was written was refused.
    #[error("refused: {0}")]
    Refused(String),
    /// An argument that makes no sense here.
    #[error("invalid: {0}")]
    Invalid(&'static str),
    /// More than a control file holds.
    #[error("larger than a control file may be")]
    TooLarge,
    /// The name is longer than a name may be.
    #[error("the name is too long")]
    NameTooLong,
    /// No room for another file beside the control files.
    #[error("too many files beside the control files")]
    NoRoom,
    /// The handle is not open, or not for this.
    #[error("not an open handle for this")]
    BadHandle,
    /// The caller may not.
    #[error("not permitted")]
    NotPermitted,
    /// Not something this file system does.
    #[error("not supported")]
    NotSupported,
    /// The original can't be opened or read.
    #[error("{path}: {source}")]
    Original {
        /// The original.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The original was replaced while the kernel reads the old one by itself: the name is to be looked up again, and
    /// stands for another number.
    #[error("replaced while it was open")]
    Replaced,
    /// What is there now is not heard yet.
    #[error("its content has just changed and is being heard: try again in a moment")]
    BeingHeard,
    /// The mount is ending.
    #[error("the mount is ending")]
    Ending,
    /// A request panicked: it alone fails.
    #[error("internal error: {0}")]
    Panicked(String),
}

impl FsError {
    /// The errno a caller gets.
    pub fn errno(&self) -> i32 {
        match self {
            Self::NotFound => libc::ENOENT,
            // The kernel looks the name up again by itself; a program never sees it.
            Self::Replaced => libc::ESTALE,
            Self::NotAFolder => libc::ENOTDIR,
            Self::IsAFolder => libc::EISDIR,
            Self::ReadOnly => libc::EROFS,
            Self::Exists => libc::EEXIST,
            Self::Refused(_) | Self::Invalid(_) => libc::EINVAL,
            Self::TooLarge => libc::EFBIG,
            Self::NameTooLong => libc::ENAMETOOLONG,
            Self::NoRoom => libc::ENOSPC,
            Self::BadHandle => libc::EBADF,
            Self::NotPermitted => libc::EACCES,
            Self::NotSupported => libc::EOPNOTSUPP,
            Self::Original { source, .. } => match source.raw_os_error() {
                // The original is gone, or the drive it is on.
                Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::EXDEV) => libc::ENOENT,
                Some(errno @ (libc::EACCES | libc::EPERM | libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => errno,
                Some(_) | None => libc::EIO,
            },
            Self::Store(error) => match error {
                StoreError::Io { source, .. } => match source.raw_os_error() {
                    Some(errno @ (libc::ENOSPC | libc::EDQUOT | libc::EROFS)) => errno,
                    Some(_) | None => libc::EIO,
                },
                StoreError::InUse { .. }
                | StoreError::Newer { .. }
                | StoreError::Damaged { .. }
                | StoreError::OtherArchive { .. }
                | StoreError::NoHome => libc::EIO,
            },
            Self::BeingHeard => libc::EBUSY,
            Self::Ending | Self::Panicked(_) => libc::EIO,
        }
    }

    /// How much a person wants to know of it: what programs try all the time is not worth a line.
    pub fn log_level(&self) -> log::Level {
        match self {
            Self::NotFound
            | Self::NotAFolder
            | Self::IsAFolder
            | Self::ReadOnly
            | Self::Exists
            | Self::Invalid(_)
            | Self::NameTooLong
            | Self::BadHandle
            | Self::NotPermitted
            | Self::NotSupported
            | Self::Replaced
            | Self::Ending => log::Level::Debug,
            Self::BeingHeard | Self::Refused(_) | Self::TooLarge | Self::NoRoom => log::Level::Info,
            Self::Original { .. } => log::Level::Warn,
            Self::Store(_) | Self::Panicked(_) => log::Level::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_original_that_is_gone_is_enoent_and_a_failing_disk_eio() {
        let original = |errno| FsError::Original { path: "a".into(), source: io::Error::from_raw_os_error(errno) };
        assert_eq!(original(libc::ENOENT).errno(), libc::ENOENT);
        assert_eq!(original(libc::EACCES).errno(), libc::EACCES);
        assert_eq!(original(libc::EIO).errno(), libc::EIO);
        assert_eq!(original(libc::ESTALE).errno(), libc::EIO);
    }

    #[test]
    fn a_full_disk_is_said_as_such() {
        let source = io::Error::from_raw_os_error(libc::ENOSPC);
        assert_eq!(FsError::Store(StoreError::io("db", source)).errno(), libc::ENOSPC);
    }
}
