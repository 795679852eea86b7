//! File operations without a mount: single promises, and random sequences against a model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod promises;
mod sequences;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code)]
#[path = "../viewing/model.rs"]
mod view_model;
