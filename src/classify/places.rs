//! Where calibrations lie.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::model::ModelFiles;

/// The file that a calibration has beside its model.
pub const CALIBRATION: &str = "calibration.json";

/// Where user data lies: `$XDG_DATA_HOME`, or `~/.local/share` (XDG Base Directory Specification 0.8), or
/// `~/Library/Application Support` on macOS; then `drumfs`. None where no home folder is known.
pub fn data_folder() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = match set("XDG_DATA_HOME") {
        Some(data) => data,
        None => {
            set("HOME")?.join(if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" })
        }
    };
    Some(data.join("drumfs"))
}

/// The calibration of a model that a person made for themself: `calibrations/<model id>.json` in the data folder.
pub fn own_calibration(model_id: &str) -> Option<PathBuf> {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+') { c } else { '-' };
    let name: String = model_id.chars().map(plain).collect();
    Some(data_folder()?.join("calibrations").join(format!("{name}.json")))
}

/// The calibration that is in force for a model: the one that config.yml names, whether it is there or not; else the
/// one beside the model; else the one in the data folder. None where the compiled-in one is, or none at all.
pub fn calibration_in_force(files: &ModelFiles, model_id: &str) -> Option<PathBuf> {
    if files.calibration.is_some() {
        return files.calibration.clone();
    }
    let beside = files.model.as_deref().and_then(Path::parent).map(|folder| folder.join(CALIBRATION));
    beside.into_iter().chain(own_calibration(model_id)).find(|path| path.exists())
}

/// Where a new calibration of a model goes: in the place of the one in force, else into the data folder. None where no
/// home folder is known.
pub fn calibration_to_write(files: &ModelFiles, model_id: &str) -> Option<PathBuf> {
    calibration_in_force(files, model_id).or_else(|| own_calibration(model_id))
}

/// Writes a file whole: into a temporary file beside it, synced and renamed over. After a crash there is the old one or
/// the new one. Folders are made where they are missing; the file is this user's alone.
///
/// # Errors
/// What the system says; the old file is as it was then.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A device or a pipe is not to be replaced by a file.
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is there, and no file"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    // Left by a process of this number that crashed, or put there for this one to write through.
    drop(fs::remove_file(&temporary));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// The rights that the shell takes from new files, once [`keep_private`] has taken more; none until then.
static SHELL_UMASK: AtomicU32 = AtomicU32::new(UNCHANGED);
const UNCHANGED: u32 = u32::MAX;

/// Takes all rights of others from every file that this process makes from now on.
pub fn keep_private() {
    let before = swap_umask(0o077);
    swap_umask(before | 0o077);
    _ = SHELL_UMASK.compare_exchange(UNCHANGED, before, Ordering::Relaxed, Ordering::Relaxed);
}

/// Gives files that this process makes from now on the rights again that the shell gives them.
pub fn keep_no_longer_private() {
    let before = SHELL_UMASK.swap(UNCHANGED, Ordering::Relaxed);
    if before != UNCHANGED {
        swap_umask(before);
    }
}

/// The rights that the shell takes from new files, whatever this process keeps for itself.
pub fn shell_umask() -> u32 {
    match SHELL_UMASK.load(Ordering::Relaxed) {
        UNCHANGED => {
            let umask = swap_umask(0o077);
            swap_umask(umask);
            umask
        }
        umask => umask,
    }
}

#[allow(clippy::unnecessary_cast, reason = "a mode has 16 bits elsewhere")]
fn swap_umask(umask: u32) -> u32 {
    // SAFETY: umask has no preconditions.
    (unsafe { libc::umask(umask as libc::mode_t) }) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calibration_that_is_named_goes_before_one_beside_the_model() {
        let folder = tempfile::tempdir().unwrap();
        let beside = folder.path().join(CALIBRATION);
        let mut files = ModelFiles { model: Some(folder.path().join("own.onnx")), ..ModelFiles::default() };
        let id = "own-of-a-test-0123";
        assert_eq!(calibration_in_force(&files, id), None);
        let own = calibration_to_write(&files, id);
        assert_eq!(own, own_calibration(id));
        assert!(own.is_none_or(|own| own.ends_with("drumfs/calibrations/own-of-a-test-0123.json")));
        write_whole(&beside, b"{}").unwrap();
        assert_eq!(calibration_in_force(&files, id), Some(beside.clone()));
        assert_eq!(calibration_to_write(&files, id), Some(beside));
        files.calibration = Some("/named.json".into());
        assert_eq!(calibration_to_write(&files, id), Some("/named.json".into()));
    }

    #[test]
    fn what_is_written_is_its_users_alone_and_goes_through_no_link() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (outside, path) = (folder.path().join("outside"), folder.path().join("x.json"));
        fs::write(&outside, "mine").unwrap();
        symlink(&outside, &path).unwrap();
        symlink(&outside, folder.path().join(format!(".x.json.{}.tmp", std::process::id()))).unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap(), fs::read(&outside).unwrap()), (b"new".to_vec(), b"mine".to_vec()));
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!((metadata.is_file(), metadata.permissions().mode() & 0o777), (true, 0o600));
    }

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/x.json");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 1);
        fs::create_dir(folder.path().join("taken")).unwrap();
        assert!(write_whole(&folder.path().join("taken"), b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left behind");
    }
}
