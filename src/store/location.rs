//! Where a store lives when nobody says otherwise.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// The folder for the store of `archive` (absolute, without links): below `$XDG_STATE_HOME`, or `~/.local/state`
/// (XDG Base Directory Specification 0.8), or `~/Library/Application Support` on macOS; named after the archive's
/// folder and the hash of its path, so that two archives never share one.
///
/// # Errors
/// [`StoreError::NoHome`] where no home folder is known.
pub fn default_folder(archive: &Path) -> Result<PathBuf, StoreError> {
    let name = archive.file_name().map_or("archive".into(), |name| name.to_string_lossy());
    let plain: String =
        name.chars().map(|c| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { '-' }).take(40).collect();
    let hash = xxhash_rust::xxh3::xxh3_64(archive.as_os_str().as_bytes());
    Ok(stores_folder()?.join(format!("{plain}-{:08x}", hash as u32)))
}

/// The folder that the stores are in of which nobody said where they should be.
fn stores_folder() -> Result<PathBuf, StoreError> {
    let set = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = match set("XDG_STATE_HOME") {
        Some(state) => state,
        None => {
            let home = set("HOME").ok_or(StoreError::NoHome)?;
            home.join(if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/state" })
        }
    };
    Ok(state.join("drumfs"))
}

/// The file in a store's folder that names its archive, as raw bytes: for whoever has not opened the store.
pub(super) const ARCHIVE: &str = "archive";

/// The archive that the store in a folder is for; none where there is no store.
pub fn archive_of(folder: &Path) -> Option<PathBuf> {
    let path = fs::read(folder.join(ARCHIVE)).ok().filter(|path| !path.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(&path)))
}

/// The archives of all stores of which nobody said where they should be, in the order of their paths.
pub fn known_archives() -> Vec<PathBuf> {
    let folders = stores_folder().ok().and_then(|folder| fs::read_dir(folder).ok());
    let mut archives: Vec<PathBuf> =
        folders.into_iter().flatten().flatten().filter_map(|entry| archive_of(&entry.path())).collect();
    archives.sort();
    archives
}
