//! Telling running mounts that something changed outside them.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::Value;

use super::platform;

/// A mount that was told.
#[derive(Debug)]
pub struct Told {
    /// Where it is.
    pub path: PathBuf,
    /// Its status.json after it had looked, or why it could not be told.
    pub status: io::Result<Value>,
}

/// Tells every mount of drumfs to look for a new calibration (and for new files) by a write to its `_control/rescan`.
/// When this returns each of them shows what it has taken up.
pub fn tell_all() -> Vec<Told> {
    let tell = |mount: platform::OwnMount| {
        let control = mount.path.join("_control");
        let status = fs::write(control.join("rescan"), "judge again\n")
            .and_then(|()| fs::read(control.join("status.json")))
            .and_then(|text| serde_json::from_slice(&text).map_err(io::Error::from));
        Told { path: mount.path, status }
    };
    platform::own_mounts().into_iter().map(tell).collect()
}
