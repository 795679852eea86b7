//! The virtual tree for one state of catalogue and rules: immutable, swapped whole. Knows nothing of FUSE and does no
//! I/O.

mod assigned;
mod build;
mod catalogue;
mod changes;
mod chunk;
mod generated;
pub mod ino;
mod names;
mod numbers;
mod packed;
mod sample;
mod tree;

pub use assigned::Assigned;
pub use build::{ViewInput, assign};
pub use catalogue::{Alike, Builder, Catalogue, Samples};
pub use changes::{changed_names, changed_names_in};
pub use generated::{Generated, Numbers, error_line};
pub use ino::{Ino, ROOT};
pub(crate) use names::tagged;
pub use packed::Packed;
pub use sample::{Sample, SampleRef};
pub use tree::{BuildTimes, DirId, Node, View};

/// The inode number of `_control`, in every view.
pub fn control_ino() -> Ino {
    ino::of_folder(ROOT, b"_control")
}
