//! Section by section what the mount promises, each tried with a real mount and real programs. A file an operation or
//! promise.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "../common/mod.rs"]
mod common;

mod bytes;
mod calibration;
mod concurrent;
mod crash;
mod gate;
mod immediate;
mod imported;
mod kept;
mod layout;
mod lifecycle;
mod listing;
mod model;
mod moves;
mod names;
mod originals;
mod overrides;
mod reading;
mod refusals;
mod rofs;
mod saving;
mod security;
mod unprivileged;
mod users;
