//! Learning from corrections: the last layer of a model, fitted again to what shipped with it and to what people said.
//!
//! [`gather`](crate::learn::gather) finds what was said and what the model heard there, [`course`] fits and measures,
//! [`learned`] keeps the result beside the store and takes it back.

pub mod course;
pub mod effect;
pub mod fit;
pub mod learned;

pub use course::{Course, CourseError, Lesson};
pub use effect::{Effect, Figures, HeldOut};
pub use learned::{FittedOn, Learned, LearnedError};
