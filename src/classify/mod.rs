//! From features to logits, and from logits to calibrated probabilities.
//!
//! [`Classifier`] holds what is shared (the model's bytes, [`Labels`], [`Calibration`]); each thread has a [`Session`]
//! of its own. [`Ensemble`] is what the rest of drumfs holds: one classifier, or several that vote. [`Backend`] says what
//! runs them.

pub mod backend;
pub mod calibration;
pub mod description;
pub mod ensemble;
pub mod input;
pub mod labels;
pub mod model;
mod onnx;

pub use backend::Backend;
pub use calibration::{Calibration, CalibrationError};
pub use description::{ModelDescription, Output};
pub use ensemble::{Ensemble, Member};
pub use input::{Arrangement, Inputs, Layout};
pub use labels::{CANONICAL, Labels, LabelsError};
pub use model::{Classifier, ModelError, ModelFiles, Session};
