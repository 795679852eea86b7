//! What drumfs tells of an archive: stats, uncertain, confusions, duplicates.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "../common/mod.rs"]
#[allow(dead_code)]
mod common;
mod confusions;
mod duplicates;
mod made;
mod stats;
#[path = "../support/mod.rs"]
mod support;
mod uncertain;
