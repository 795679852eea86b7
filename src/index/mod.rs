//! The pass that drives archive, audio and classify, and the record it makes of each sample.

pub mod analysis;
pub mod listen;

pub use analysis::{Analysis, Status};
pub use listen::{Listener, Source};
