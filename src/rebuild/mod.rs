//! The view as a real tree: what a mount shows, put into a folder as links or copies. It is made from the same
//! [`crate::view::View`], so that the two can't differ.
//!
//! [`ledger`] says what drumfs put where. It is on the disk before the first file is, so that after a crash, too, what
//! is drumfs's can be told from what is not; [`rebuild`] and [`undo`] change nothing else.

mod disk;
mod ledger;
mod link;
mod made;
mod outcome;
mod place;
mod plan;
mod problem;
mod recorded;
mod run;
mod step;
mod sweep;
mod undo;

pub use ledger::{LedgerError, NAME as LOG_NAME};
pub use link::{Link, NoLink};
pub use made::ERRORS_NAME;
pub use outcome::{Change, RebuildError, Report};
pub use place::{PlaceError, Surroundings, check};
pub use plan::Originals;
pub use problem::{Kind, Problem, Stay};
pub use recorded::{Narrowed, Recorded, RecordedError};
pub use run::{Options, rebuild};
pub use undo::{Undone, undo};
