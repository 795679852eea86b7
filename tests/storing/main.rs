//! What the store promises: one owner, nothing acknowledged is lost, and a way out of every damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod child;
mod copy;
mod damage;
mod full_disk;
mod kill;
mod loading;
mod opening;
#[path = "../support/mod.rs"]
mod support;
