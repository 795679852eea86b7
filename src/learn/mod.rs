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

use crate::classify::Ensemble;

/// The models as they are to judge: the leading one with what was learnt, if something was and is for it. Where it is
/// refused, the models judge without it, and the error says why.
pub fn in_force(ensemble: &Ensemble, store: &Path) -> (Ensemble, Option<LearnedError>) {
    let head = Learned::read(store).and_then(|learned| {
        let leading = ensemble.leading();
        let size = leading.description().embedding.as_ref().map_or(0, |embedding| embedding.size);
        let labels = leading.labels();
        learned
            .map(|learned| learned.head_for(store, leading.model_id(), labels.checksum(), labels.len(), size))
            .transpose()
    });
    match head {
        Ok(head) => (ensemble.with_head(head), None),
        Err(error) => (ensemble.with_head(None), Some(error)),
    }
}
