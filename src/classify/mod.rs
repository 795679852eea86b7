//! From features to logits, and from logits to calibrated probabilities.
//!
//! [`Classifier`] holds what is shared (the model's bytes, [`Labels`], [`Calibration`]); each thread has a [`Session`]
//! of its own. [`Backend`] says what runs the model.

pub mod backend;
pub mod calibration;
pub mod embedding;
pub mod head;
pub mod knowledge;
pub mod labels;
pub mod model;

pub use backend::Backend;
pub use calibration::{Calibration, CalibrationError};
pub use embedding::Embedding;
pub use head::Head;
pub use knowledge::{Knowledge, KnowledgeError};
pub use labels::{CANONICAL, Labels, LabelsError};
pub use model::{Classifier, ModelDescription, ModelError, ModelFiles, Session};
