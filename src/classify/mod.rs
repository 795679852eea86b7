//! From features to logits, and from logits to calibrated probabilities.
//!
//! [`Classifier`] holds what is shared (the model's bytes, [`Labels`], [`Calibration`]); each thread has a [`Session`]
//! of its own. [`Backend`] says what runs the model.

pub mod backend;
pub mod calibration;
pub mod figures;
pub mod fit;
pub mod labels;
pub mod model;

pub use backend::Backend;
pub use calibration::{Calibration, CalibrationError, Figures, FittedOn};
pub use fit::{FitError, Fitted, Labelled, fit};
pub use labels::{CANONICAL, Labels, LabelsError};
pub use model::{Classifier, ModelDescription, ModelError, ModelFiles, Session};
