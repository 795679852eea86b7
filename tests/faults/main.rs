//! Everything that can be wrong with files, disks, processes and names, and what is promised then. A file a kind of
//! fault; docs/faults.md says which guard each of them tries.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "../common/mod.rs"]
#[allow(dead_code)]
mod common;
mod corpora;
mod damaged_audio;
mod full_disk;
mod handles;
mod kill;
mod names;
mod originals;
#[path = "../support/mod.rs"]
mod support;
mod targets;
