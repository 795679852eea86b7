//! drumfs sorts a drum-sample archive without moving a file.
//!
//! The data goes one way:
//!
//! ```text
//! archive ──> audio ──> classify ──> store ──> rules ──> view ──> mount | rebuild
//! (walk,      (decode,  (ONNX,       (sled)    (route)   (tree)   (FUSE)  (links, copies)
//!  hash,       features) calibrate)
//!  watch)
//! ```
//!
//! [`learn`] fits the model's last layer to what people said.
//!
//! Everything left of [`rules`] is expensive and done once per content hash; [`index`] drives it. Everything from
//! [`rules`] on is cheap, pure, and done again whenever rules, overrides, calibration or records change.

pub mod archive;
pub mod audio;
pub(crate) mod calendar;
pub mod classify;
pub mod cli;
pub mod config;
pub(crate) mod csv_lines;
pub mod duplicates;
pub mod exchange;
pub mod index;
pub mod learn;
pub(crate) mod memory;
pub mod mount;
pub mod overrides;
pub mod rebuild;
pub mod report;
pub mod review;
pub mod rules;
pub mod store;
pub mod view;
pub mod worker;

/// The message of a caught panic.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it panicked".to_owned())
}

thread_local! {
    /// Whether a panic on this thread is about to be caught and told in another way.
    static CATCHING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs `work` and catches a panic without its report on stderr: whoever calls tells what happened. Panics of other
/// threads go to the hook that was there.
pub(crate) fn catch_quietly<T>(work: impl FnOnce() -> T) -> std::thread::Result<T> {
    use std::panic;
    static ONCE: std::sync::Once = std::sync::Once::new();
    // Set once and for all: taking the hook away and putting it back would lose it where two threads do so at a time.
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                log::debug!("caught: {info}");
            } else {
                previous(info);
            }
        }));
    });
    let before = CATCHING.replace(true);
    let caught = panic::catch_unwind(panic::AssertUnwindSafe(work));
    CATCHING.set(before);
    caught
}
