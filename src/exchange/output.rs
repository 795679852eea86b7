//! A file that is there whole or not at all, written piece by piece.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::classify::places::shell_umask;

/// Where records go: a file that gets its name when it is complete, or what can't be renamed (a pipe, `/dev/stdout`).
#[derive(Debug)]
pub struct Output {
    to: Option<To>,
    /// The temporary file and its name to be.
    rename: Option<(PathBuf, PathBuf)>,
}

#[derive(Debug)]
enum To {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

impl Output {
    /// A new file; gzip where its name ends in `.gz`. What is there is replaced when [`Output::finish`] is called, and
    /// stays as it is where it is not. Its rights are those of what was there, or those that the shell gives new files.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path) -> io::Result<Self> {
        let is_gzip = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
        // Where it is a link, what it leads to is replaced and the link stays; one that somebody else put there is itself
        // replaced.
        let real = if is_own(path) { path.canonicalize().ok() } else { None };
        let path = real.as_deref().unwrap_or(path);
        let there = fs::metadata(path).ok();
        let special = there.as_ref().is_some_and(|metadata| !metadata.is_file() && !metadata.is_dir());
        let (file, rename) = if special {
            (fs::OpenOptions::new().write(true).open(path)?, None)
        } else {
            let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            let mut temporary = OsString::from(".");
            temporary.push(name);
            temporary.push(format!(".{}.tmp", std::process::id()));
            let temporary = path.with_file_name(temporary);
            // Left by a process of this number that crashed, or put there for this one to write through.
            drop(fs::remove_file(&temporary));
            let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(&temporary)?;
            // What the shell says, not what the store is kept by.
            let new = || fs::Permissions::from_mode(0o666 & !shell_umask());
            let rights = file.set_permissions(there.map_or_else(new, |there| there.permissions()));
            rights.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
            (file, Some((temporary, path.to_owned())))
        };
        let plain = BufWriter::with_capacity(1 << 18, file);
        let to = match is_gzip {
            true => To::Gzip(Box::new(GzEncoder::new(plain, Compression::default()))),
            false => To::Plain(plain),
        };
        Ok(Self { to: Some(to), rename })
    }

    /// Standard output.
    ///
    /// # Errors
    /// What the system says.
    pub fn stdout() -> io::Result<Self> {
        use std::os::fd::AsFd;
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { to: Some(To::Plain(BufWriter::with_capacity(1 << 18, file))), rename: None })
    }

    /// Where what memory does not hold can be put aside: the folder of the file, or that of temporary files where what is
    /// written has none.
    pub fn folder(&self) -> PathBuf {
        let of_file = self.rename.as_ref().and_then(|(_, path)| path.parent());
        match of_file {
            Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
            Some(folder) => folder.to_owned(),
            None => std::env::temp_dir(),
        }
    }

    /// Writes what is left, syncs, and gives the file its name.
    ///
    /// # Errors
    /// What the system says; what was there before is untouched then.
    pub fn finish(mut self) -> io::Result<()> {
        let Some(to) = self.to.take() else { return Ok(()) };
        let plain = match to {
            To::Plain(plain) => plain,
            To::Gzip(gzip) => gzip.finish()?,
        };
        let file = plain.into_inner().map_err(io::IntoInnerError::into_error)?;
        if let Some((temporary, path)) = &self.rename {
            file.sync_all()?;
            fs::rename(temporary, path)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()?;
            self.rename = None;
        }
        Ok(())
    }
}

/// Whether what is at a path, link or not, is this user's or root's.
fn is_own(path: &Path) -> bool {
    // SAFETY: geteuid has no preconditions.
    let me = unsafe { libc::geteuid() };
    fs::symlink_metadata(path).is_ok_and(|there| [me, 0].contains(&there.uid()))
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            Some(To::Plain(plain)) => plain.write(bytes),
            Some(To::Gzip(gzip)) => gzip.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            Some(To::Plain(plain)) => plain.flush(),
            Some(To::Gzip(gzip)) => gzip.flush(),
            None => Ok(()),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // It was not finished: nothing of it stays.
        if let Some((temporary, _)) = &self.rename {
            drop(fs::remove_file(temporary));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        fs::write(&path, "old").unwrap();
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"new").unwrap();
        drop(output);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"new").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }
}
