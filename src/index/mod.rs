//! The pass that drives archive, audio and classify, and the record it makes of each sample.

pub mod analysis;
pub mod join;
pub mod judge;
pub mod labelled;
pub mod listen;
mod names;
pub mod pass;
pub mod reading;
pub mod record;
pub mod snapshot;

pub use analysis::{Analyses, Analysis, Status};
pub use join::{JoinError, analyses, join, load};
pub use judge::{GateAnswer, Judgement, judge};
pub use listen::Listener;
pub use names::Followed;
pub use pass::{Pass, PassError, PassOptions, Progress, Summary, Update};
pub use reading::Reading;
