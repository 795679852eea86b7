//! What `drumfs index` promises, through the program itself.

mod changes;
mod commands;
mod hashes;
mod odd_files;
mod refusals;
#[path = "../support/mod.rs"]
mod support;
mod stopping;
mod whole_archive;
