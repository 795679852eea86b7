//! drumfs sorts a drum-sample archive without moving a file.
//!
//! The data goes one way:
//!
//! ```text
//! archive ──> audio ──> classify ──> store ──> rules ──> view ──> mount
//! (walk,      (decode,  (ONNX,       (sled)    (route)   (tree)   (FUSE)
//!  hash,       features) calibrate)
//!  watch)
//! ```
//!
//! Everything left of [`rules`] is expensive and done once per content hash; [`index`] drives it. Everything from
//! [`rules`] on is cheap, pure, and done again whenever rules, overrides, calibration or records change.

pub mod archive;
pub mod audio;
pub mod classify;
pub mod cli;
pub mod config;
pub mod index;
pub mod mount;
pub mod rules;
pub mod store;
pub mod view;

/// The message of a caught panic.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it panicked".to_owned())
}
