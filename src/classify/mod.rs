//! From features to logits, and from logits to calibrated probabilities.
//!
//! [`Classifier`] holds what is shared (the model's bytes, [`Labels`], [`Calibration`]); each thread has a [`Session`]
//! of its own. [`Ensemble`] is what the rest of drumfs holds: one classifier, or several that vote. [`Backend`] says what
//! runs them.

pub mod backend;
pub mod calibration;
pub mod description;
pub mod embedding;
pub mod ensemble;
pub mod figures;
pub mod fit;
pub mod gate;
#[cfg(test)]
mod golden;
pub mod head;
pub mod input;
pub mod knowledge;
pub mod labels;
pub mod model;
mod onnx;
pub mod places;
pub mod session;
pub mod validate;
pub mod votes;

pub use backend::Backend;
pub use calibration::{Calibration, CalibrationError, Figures, FittedOn};
pub use description::{EmbeddingOutput, ModelDescription, Output};
pub use embedding::Embedding;
pub use ensemble::{Ensemble, EnsembleError, EnsembleFiles, Member, MemberFiles};
pub use fit::{FitError, Fitted, Labelled, fit};
pub use gate::{Gate, GateFiles};
pub use head::Head;
pub use input::{Arrangement, Inputs, Layout};
pub use knowledge::{Knowledge, KnowledgeError};
pub use labels::{CANONICAL, Labels, LabelsError};
pub use model::{Classifier, ModelError, ModelFiles};
pub use session::{Outputs, Session};
pub use votes::{Mean, Target, Vote, Votes, VotesError, fuse};
