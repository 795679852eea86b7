//! Telling running mounts that something changed outside them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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

/// Tells the mount at `path` to look for a new calibration, for what was learnt, and for new files, by a write to its
/// `_control/rescan`. Gives its status.json after it has looked: then it shows what it has taken up.
///
/// # Errors
/// Where it could not be told, or does not answer.
pub fn tell(path: &Path) -> io::Result<Value> {
    let control = path.join("_control");
    fs::write(control.join("rescan"), "judge again\n")?;
    serde_json::from_slice(&fs::read(control.join("status.json"))?).map_err(io::Error::from)
}

/// Tells every mount of drumfs that this user made.
pub fn tell_all() -> Vec<Told> {
    let told = |mount: platform::OwnMount| Told { status: tell(&mount.path), path: mount.path };
    platform::own_mounts().into_iter().filter(|mount| mount.mine).map(told).collect()
}
