//! Learning from corrections: the last layer of a model, fitted again to what shipped with it and to what people said.
//!
//! [`Sources`] finds what was said and what the model heard there, [`Course`] fits and measures, [`Learned`] is kept
//! beside the store and can be taken back, [`in_force`] gives it to the models.

pub mod course;
pub mod effect;
pub mod fit;
pub mod gather;
pub mod learned;

use std::path::Path;

pub use course::{Course, CourseError, Lesson, MIN_LESSONS};
pub use effect::{Effect, Figures, HeldOut};
pub use gather::{Gathered, Sources};
pub use learned::{FittedOn, Learned, LearnedError};

use crate::classify::{Ensemble, Head};

/// What was learnt and is in force in a store's folder, for the leading model of `ensemble`; none where nothing was.
///
/// # Errors
/// [`LearnedError`] where it can't be read, or is for another model or label order.
pub fn head_in_force(ensemble: &Ensemble, store: &Path) -> Result<Option<Head>, LearnedError> {
    let leading = ensemble.leading();
    let size = leading.description().embedding.as_ref().map_or(0, |embedding| embedding.size);
    let fitting = |learned: Learned| {
        let labels = leading.labels();
        learned.head_for(store, leading.model_id(), labels.checksum(), labels.len(), size)
    };
    Learned::read(store)?.map(fitting).transpose()
}

/// The models as they judge, with what was learnt. Where that is refused they judge without it, and the error says why.
pub fn in_force(ensemble: &Ensemble, store: &Path) -> (Ensemble, Option<LearnedError>) {
    match head_in_force(ensemble, store) {
        Ok(head) => (ensemble.with_head(head), None),
        Err(error) => (ensemble.with_head(None), Some(error)),
    }
}
