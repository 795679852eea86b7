//! The view as a file system: what each file operation does (testable without a mount), and FUSE around it.
//!
//! Three kinds of thread. Those that serve requests read the current view and never wait for anything but the disk.
//! One, the keeper, changes what is shown: it takes rules, overrides and what was heard, makes the next view, swaps
//! it, tells the kernel, and only then answers whoever asked. One more makes indexing passes. Since no thread that
//! serves requests ever tells the kernel to forget something, the kernel never waits for a thread that waits for it.

mod attr;
mod control;
mod core;
mod errno;
mod fill;
mod fuse;
mod handles;
mod indexer;
mod keeper;
mod limits;
mod listings;
mod moves;
mod near;
mod notify;
mod opened;
mod overrides;
mod passthrough;
mod permissions;
pub mod platform;
mod remembered;
mod session;
mod status;
mod stream;
pub mod told;
mod unmounted;
mod watchdog;

pub use self::core::{Core, Found, OpenHow, OpenKind, Opened};
pub use attr::{Attr, Kind};
pub use control::MAX_LEN as MAX_CONTROL_LEN;
pub use errno::FsError;
pub use indexer::{Report, Reporter, Request, mostly_absent};
pub use keeper::{Keeper, KeeperHandle, Shared};
pub use limits::raise_open_files;
pub use notify::{Invalidate, NoKernel};
pub use opened::OpenedPaths;
pub use overrides::parse_line as parse_override;
pub use passthrough::Backing;
pub use session::{MountError, MountOptions, Mounted, prepare};
pub use unmounted::Unmounted;
