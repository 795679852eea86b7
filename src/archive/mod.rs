//! The original tree: finding its samples, naming their content, watching it change. Read only, always.

pub mod identity;

pub use identity::{ContentHash, ContentHasher, HashAlgorithm};
