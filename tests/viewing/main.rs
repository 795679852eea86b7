//! What the view promises, against a reference model that is too simple to be wrong: see `model.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod generate;
mod model;
mod packed;
mod promises;
