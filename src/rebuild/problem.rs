//! What could not be put there, and what stays.

use std::io;

use serde::Serialize;

/// Why a sample is not where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// There is no original.
    Missing,
    /// There is one, which can't be read.
    Unreadable,
    /// Something that drumfs did not put there has the name.
    InTheWay,
    /// It could not be put there.
    NotPut,
    /// Something that should go could not be removed.
    NotRemoved,
}

/// A sample that is not where it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The path in the tree.
    pub path: Vec<u8>,
    /// The absolute path of the original; empty for a file that drumfs makes.
    pub from: Vec<u8>,
    /// What is wrong.
    pub kind: Kind,
    /// The same as a sentence.
    pub error: String,
}

/// Something that stays where it is, though drumfs once put something there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stay {
    /// The path in the tree.
    pub path: Vec<u8>,
    /// Why.
    pub why: &'static str,
}

impl Stay {
    pub(super) const CHANGED: &'static str = "it is not as drumfs put it";
    pub(super) const NOT_OURS: &'static str = "drumfs did not put it there";
    pub(super) const LAST_NAME: &'static str = "the original has gone, and this is the last name of its bytes";
}

/// What an original that can't be used means.
pub(super) fn of_original(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Kind::Missing,
        _ => Kind::Unreadable,
    }
}

/// What the system's word means for somebody who wants files put there.
pub(super) fn sentence(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EXDEV) => "hard links can't lead to another file system: use --link copy".to_owned(),
        Some(libc::EMLINK) => "the original has as many names as the file system allows: use --link copy".to_owned(),
        Some(libc::ELOOP | libc::ENOTDIR) => {
            "a folder above it is a link or a file: nothing is put through it".to_owned()
        }
        Some(libc::EEXIST) => "the name is taken".to_owned(),
        Some(libc::EILSEQ | libc::EINVAL) => format!("the file system takes no such name ({error})"),
        Some(libc::EPERM) => format!("{error} (who may not write an original may not link it: use --link copy)"),
        _ => error.to_string(),
    }
}
