//! A local page on which one sample after another is heard, seen and labelled: the queue, what was decided, the sounds
//! and pictures, and the server that shows them to this machine alone.

mod guard;
pub mod list;
mod picture;
pub mod queue;
mod server;
mod session;
mod sound;

pub use server::{Review, ReviewError};
pub use session::{About, Decisions, Item, Session, SessionError};
