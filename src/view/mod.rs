//! The virtual tree for one state of catalogue and rules: immutable, swapped whole. Knows nothing of FUSE and does no
//! I/O.

mod build;
mod catalogue;
mod changes;
mod generated;
pub mod ino;
mod names;
mod tree;

pub use build::ViewInput;
pub use catalogue::{Catalogue, Sample};
pub use changes::changed_names;
pub use generated::{Generated, Numbers, error_line};
pub use ino::{Ino, ROOT};
pub use tree::{BuildTimes, DirId, Node, View};

/// The inode number of `_control`, in every view.
pub fn control_ino() -> Ino {
    ino::of_folder(ROOT, b"_control")
}
