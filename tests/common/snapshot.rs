//! A full listing of a folder, to tell whether anything in it has changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is known of one file or folder: mode, owner, size, time of modification and bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    mode: u32,
    owner: (u32, u32),
    size: u64,
    mtime: (i64, i64),
    bytes: Option<Vec<u8>>,
}

/// Every file and folder below `root`, with everything that a writer could change.
pub fn snapshot(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in paths_in(&folder) {
            let meta = fs::symlink_metadata(&path).unwrap();
            let bytes = meta.is_file().then(|| fs::read(&path).unwrap());
            if meta.is_dir() {
                folders.push(path.clone());
            }
            let entry = Entry {
                mode: meta.mode(),
                owner: (meta.uid(), meta.gid()),
                size: meta.len(),
                mtime: (meta.mtime(), meta.mtime_nsec()),
                bytes,
            };
            all.insert(path.strip_prefix(root).unwrap().to_owned(), entry);
        }
    }
    all
}

/// The entries of a folder, in order.
pub fn paths_in(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

/// Every file below `root`, in order.
pub fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in paths_in(&folder) {
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
