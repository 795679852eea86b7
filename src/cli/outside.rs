//! Files that results are written to: whole or not at all, wherever a person says, but never in the archive.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{Failure, output};
use crate::archive::ArchiveRoot;
use crate::exchange::Output;

/// Refuses a file that lies in the archive, or would: the archive is never written. `-` is standard output.
pub fn refuse_inside(path: &Path, root: &ArchiveRoot) -> Result<(), Failure> {
    match path != Path::new("-") && real(path).starts_with(root.path()) {
        true => Err(format!(
            "{} would lie inside the archive, which is never written: give a file somewhere else",
            path.display()
        )
        .into()),
        false => Ok(()),
    }
}

/// Writes a file whole, anywhere but in the archive. `-` is standard output.
pub fn write_outside(path: &Path, root: Option<&ArchiveRoot>, bytes: &[u8]) -> Result<(), Failure> {
    if path == Path::new("-") {
        return Ok(output::bytes(bytes)?);
    }
    root.map_or(Ok(()), |root| refuse_inside(path, root))?;
    let write = || -> io::Result<()> {
        let mut file = Output::create(path)?;
        file.write_all(bytes)?;
        file.finish()
    };
    write().map_err(|error| format!("{} can't be written: {error}", path.display()).into())
}

/// Where a file is, or will be, once links are followed; the path itself where its folder is not there.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}
