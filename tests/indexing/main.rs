//! What `drumfs index` promises, through the program itself.

mod changes;
mod commands;
mod hashes;
mod odd_files;
mod refusals;
mod stopping;
#[path = "../support/mod.rs"]
mod support;
mod whole_archive;
