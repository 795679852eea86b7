//! From features to logits, and from logits to calibrated probabilities.
//!
//! [`Classifier`] holds what is shared (the model's bytes, [`Labels`], [`Calibration`]); each thread has a [`Session`]
//! of its own. [`Ensemble`] is what the rest of drumfs holds: one classifier, or several that vote. [`Backend`] says what
//! runs them.

pub mod backend;
pub mod calibration;
pub mod ensemble;
pub mod figures;
pub mod fit;
pub mod labels;
pub mod model;
pub mod places;
pub mod validate;

pub use backend::Backend;
pub use calibration::{Calibration, CalibrationError, Figures, FittedOn};
pub use ensemble::{Ensemble, Member};
pub use fit::{FitError, Fitted, Labelled, fit};
pub use labels::{CANONICAL, Labels, LabelsError};
pub use model::{Classifier, ModelDescription, ModelError, ModelFiles, Session};
