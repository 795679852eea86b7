//! Learning from corrections: the small model of tests/learning/model, through the library, the program and real mounts.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod command;
#[path = "../common/mod.rs"]
#[allow(dead_code)]
mod common;
mod course;
mod hearing;
mod mounted;
mod place;
