//! What differs between systems: mounting, unmounting, and finding mounts.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::{cut, mount, own_mounts, read_further_ahead, state, unmount};

#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
pub use other::{cut, mount, own_mounts, read_further_ahead, state, unmount};

use std::path::PathBuf;

/// What is at a mount point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing is mounted.
    Free,
    /// drumfs is mounted and answers.
    Live,
    /// drumfs was mounted, and the process behind it is gone.
    Dead,
    /// Something else is mounted there and does not answer.
    OtherDead(String),
}

/// A mount of drumfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnMount {
    /// Where.
    pub path: PathBuf,
    /// Whether this user made it. What a mount of another user says is not to be believed, nor waited for: anybody may
    /// mount something and call it drumfs.
    pub mine: bool,
}

/// The type that mounts of drumfs have in the mount table.
pub const FS_TYPE: &str = "fuse.drumfs";
