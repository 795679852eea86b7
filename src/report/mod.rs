//! Pictures of figures, for people.

pub mod reliability;

pub use reliability::{Diagram, Panel};
