//! The view as a real tree: what `drumfs rebuild` puts into a folder, and what it takes away again.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[allow(dead_code)]
#[path = "../common/mod.rs"]
mod common;

mod command;
mod indexes;
mod killed;
mod links;
mod model;
mod place;
mod yours;
