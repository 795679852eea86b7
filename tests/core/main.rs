//! File operations without a mount: single promises, and random sequences against a model.

mod bench;
mod promises;
mod sequences;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code)]
#[path = "../viewing/model.rs"]
mod view_model;
