//! What the view promises, against a reference model that is too simple to be wrong: see `model.rs`.

mod generate;
mod model;
mod promises;
