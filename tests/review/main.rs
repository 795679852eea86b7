//! Saying what sounds are: `drumfs override` and its history, and the page of `drumfs review`, asked by hand and driven
//! by a real keyboard in a real browser.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod answers;
#[path = "../common/mod.rs"]
#[allow(dead_code)]
mod common;
mod driver;
mod importing;
mod keyboard;
mod manifest;
mod page;
mod saying;
mod security;
#[path = "../support/mod.rs"]
mod support;
