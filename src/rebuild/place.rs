//! Where a tree may be put.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::disk::{Found, Root};
use crate::archive::real_path;

/// A folder that no tree may be put into.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// It lies in an archive, which is never written.
    #[error("{} lies inside the archive {}, which is never written: give a folder outside it", path.display(), archive.display())]
    InArchive {
        /// The folder.
        path: PathBuf,
        /// The archive.
        archive: PathBuf,
    },
    /// An archive lies in it.
    #[error(
        "the archive {} lies inside {}: give an empty folder beside the archive, not one above it",
        archive.display(),
        path.display()
    )]
    AroundArchive {
        /// The folder.
        path: PathBuf,
        /// The archive.
        archive: PathBuf,
    },
    /// It lies in a mount of drumfs, or has one in it.
    #[error("{} and the mount {} lie one inside the other: give a folder that no mount shows", path.display(), mount.display())]
    Mount {
        /// The folder.
        path: PathBuf,
        /// The mount.
        mount: PathBuf,
    },
    /// It lies in the store.
    #[error("{} lies inside the store {}: give another folder", path.display(), store.display())]
    InStore {
        /// The folder.
        path: PathBuf,
        /// The store.
        store: PathBuf,
    },
    /// It is something else than a folder.
    #[error("{} is not a folder: give one, or a name that is free", path.display())]
    NotAFolder {
        /// What it is.
        path: PathBuf,
    },
    /// It can't be made or opened.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another run is at work in it.
    #[error("another `drumfs rebuild` is at work in {}: wait until it has ended", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
}

/// What a tree must keep away from: real paths, free of links.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The archives.
    pub archives: &'a [PathBuf],
    /// The mounts of drumfs.
    pub mounts: &'a [PathBuf],
    /// The store, where there is one.
    pub store: Option<&'a Path>,
}

/// Looks whether a tree may be put at a path, which need not be there; gives the path, free of links. Nothing is made.
///
/// # Errors
/// [`PlaceError`].
pub fn check(out: &Path, around: &Surroundings<'_>) -> Result<PathBuf, PlaceError> {
    let absolute = std::path::absolute(out).map_err(|source| PlaceError::Io { path: out.to_owned(), source })?;
    let path = real_path(&absolute);
    for mount in around.mounts {
        // Before anything below it is looked at: a mount whose process has gone answers nothing.
        if path.starts_with(mount) || mount.starts_with(&path) {
            return Err(PlaceError::Mount { path, mount: mount.clone() });
        }
    }
    for archive in around.archives {
        if path.starts_with(archive) {
            return Err(PlaceError::InArchive { path, archive: archive.clone() });
        }
        if archive.starts_with(&path) {
            return Err(PlaceError::AroundArchive { path, archive: archive.clone() });
        }
    }
    if let Some(store) = around.store.filter(|store| path.starts_with(store)) {
        return Err(PlaceError::InStore { path, store: store.to_owned() });
    }
    match fs::metadata(&path) {
        Ok(metadata) if !metadata.is_dir() => Err(PlaceError::NotAFolder { path }),
        Ok(_) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(PlaceError::NotAFolder { path }),
        Err(source) => Err(PlaceError::Io { path, source }),
    }
}

/// Opens the folder of a tree, making it where it is missing, and keeps other runs out. Also tells whether it was made.
///
/// # Errors
/// [`PlaceError`].
pub(super) fn open(path: &Path, make: bool) -> Result<(Root, bool), PlaceError> {
    let failed = |source| PlaceError::Io { path: path.to_owned(), source };
    let is_new = make && !path.exists();
    if make {
        fs::create_dir_all(path).map_err(failed)?;
    }
    let root = Root::open(path).map_err(failed)?;
    if root.lock().map_err(failed)? { Ok((root, is_new)) } else { Err(PlaceError::Busy { path: path.to_owned() }) }
}

/// Whether the file system takes `a` and `A` for the same name. Makes a file for a moment.
///
/// # Errors
/// What the system says.
pub(super) fn ignores_case(root: &Root, temporary: &[u8]) -> io::Result<bool> {
    let folder = root.folder(b"")?;
    folder.create(temporary, 0o600)?;
    let other = folder.look(&temporary.to_ascii_uppercase());
    folder.remove(temporary)?;
    Ok(other? != Found::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_keeps_away_from_archives_mounts_and_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        for folder in ["archive/pack", "mount", "store", "free"] {
            fs::create_dir_all(base.join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(base.join("archive"), base.join("link")).unwrap();
        fs::write(base.join("file"), b"").unwrap();
        let (archives, mounts, store) = ([base.join("archive")], [base.join("mount")], base.join("store"));
        let around = Surroundings { archives: &archives, mounts: &mounts, store: Some(&store) };
        let refused = |path: &str| check(&base.join(path), &around).unwrap_err();
        for inside in ["archive", "archive/pack/new", "link/new", "free/../archive/x", "new/../archive"] {
            assert!(matches!(refused(inside), PlaceError::InArchive { .. }), "{inside}");
        }
        for mount in ["mount", "mount/Kick"] {
            assert!(matches!(refused(mount), PlaceError::Mount { .. }), "{mount}");
        }
        let only = Surroundings { mounts: &[], store: None, ..around };
        assert!(matches!(check(&base, &only), Err(PlaceError::AroundArchive { .. })));
        assert!(matches!(refused("store/tree"), PlaceError::InStore { .. }));
        assert!(matches!(refused("file"), PlaceError::NotAFolder { .. }));
        assert!(matches!(refused("file/tree"), PlaceError::NotAFolder { .. }));
        assert_eq!(check(&base.join("free/new/tree"), &around).unwrap(), base.join("free/new/tree"));
        assert!(!base.join("free/new").exists());
    }

    #[test]
    fn of_two_runs_in_one_folder_the_second_is_told_to_wait() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a/b");
        let (first, is_new) = open(&out, true).unwrap();
        assert!(is_new);
        assert!(matches!(open(&out, true), Err(PlaceError::Busy { .. })));
        drop(first);
        assert!(!open(&out, true).unwrap().1);
    }
}
