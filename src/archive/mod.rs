//! The original tree: finding its samples, naming their content, watching it change. Read only, always.

pub mod discover;
pub mod identity;
pub mod kind;
pub mod root;
pub mod watch;

pub use discover::{Discovery, Found, Skipped, discover};
pub use identity::{ContentHash, ContentHasher, HashAlgorithm, HashError};
pub use root::{ArchiveError, ArchiveRoot};
