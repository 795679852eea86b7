//! From features to logits, and from logits to calibrated probabilities.
//!
//! [`Classifier`] holds what is shared (the model's bytes, [`Labels`], [`Calibration`]); each thread has a [`Session`]
//! of its own. [`Ensemble`] is what the rest of drumfs holds: one classifier, or several that vote. [`Backend`] says what
//! runs them.

pub mod backend;
pub mod calibration;
pub mod embedding;
pub mod ensemble;
pub mod head;
pub mod knowledge;
pub mod labels;
pub mod model;

pub use backend::Backend;
pub use calibration::{Calibration, CalibrationError};
pub use embedding::Embedding;
pub use ensemble::{Ensemble, Member};
pub use head::Head;
pub use knowledge::{Knowledge, KnowledgeError};
pub use labels::{CANONICAL, Labels, LabelsError};
pub use model::{Classifier, EmbeddingOutput, ModelDescription, ModelError, ModelFiles, Outputs, Session};
