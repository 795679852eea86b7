//! What goes to files that other programs read, and what comes back from theirs.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod aggregating;
mod exporting;
mod importing;
mod labels;
mod place;
mod reading;
mod results;
#[path = "../support/mod.rs"]
mod support;
