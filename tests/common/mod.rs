//! What the tests with real mounts share: a mount that is taken down whatever happens, sounds made by formula, another
//! process that looks at the mount, and full listings of an archive.

pub mod mount;
pub mod peer;
pub mod snapshot;
pub mod sounds;
pub mod sys;
pub mod tools;

use std::time::{Duration, Instant};

/// Waits until `check` holds. Slow machines are waited for; only something that never comes fails.
#[track_caller]
pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !check() {
        assert!(Instant::now() < deadline, "waited for a minute: {what}");
        std::thread::sleep(Duration::from_millis(15));
    }
}
