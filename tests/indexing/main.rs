//! What `drumfs index` promises, through the program itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod calibrating;
mod changes;
mod commands;
mod ensembles;
mod hashes;
mod layouts;
mod models;
mod odd_files;
mod refusals;
mod stopping;
#[path = "../support/mod.rs"]
mod support;
mod whole_archive;
