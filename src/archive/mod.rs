//! The original tree: finding its samples, naming their content, watching it change. Read only, always.

pub mod discover;
pub mod identity;
pub mod kind;
pub mod root;
pub mod watch;

pub use discover::{Discovery, Found, Skipped, discover};
pub use identity::{ContentHash, ContentHasher, HashAlgorithm, HashError};
pub(crate) use root::open_beneath as beneath;
pub use root::{ArchiveError, ArchiveRoot, real_path};
