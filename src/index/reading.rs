//! A file of the archive, opened and read once: size, time, hash and sound come from the same bytes.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::Analyses;
use super::listen::{Listener, Prepared, Source};
use crate::archive::discover::mtime_ns;
use crate::archive::{ArchiveRoot, ContentHash, ContentHasher, HashAlgorithm, kind};
use crate::audio::{DecodeError, Decoded, Decoder};
use crate::classify::Ensemble;

/// Files up to this size (bytes) are held in memory while they are heard; larger ones are hashed and decoded through
/// the open file, so that memory stays bounded.
const IN_MEMORY_MAX: u64 = 16 << 20;

/// A file that was opened and hashed, and can be heard.
pub struct Reading {
    file: File,
    /// The whole file; none where it is too large to hold.
    bytes: Option<Vec<u8>>,
    extension: Option<String>,
    /// Its size in bytes when it was opened.
    pub size: u64,
    /// Its time of last modification in nanoseconds since 1970 when it was opened.
    pub mtime_ns: i64,
    /// Its content.
    pub hash: ContentHash,
}

impl Reading {
    /// Opens and hashes the file at a path of the archive.
    ///
    /// # Errors
    /// What the system says; see [`ArchiveRoot::open_with_metadata`].
    pub fn new(root: &ArchiveRoot, path: &[u8], algorithm: HashAlgorithm) -> io::Result<Self> {
        let (mut file, metadata) = root.open_with_metadata(path)?;
        // What is read is recorded with the size and time it has now, not with those of a walk.
        let (size, mtime_ns) = (metadata.size(), mtime_ns(&metadata));
        let mut hasher = ContentHasher::new(algorithm);
        let mut bytes = Vec::new();
        if size <= IN_MEMORY_MAX {
            bytes.reserve_exact(size as usize + 1);
            (&mut file).take(IN_MEMORY_MAX + 1).read_to_end(&mut bytes)?;
        }
        // Otherwise it is too large to hold, or it changed its size this very moment.
        let whole = (bytes.len() as u64 == size).then_some(bytes);
        match &whole {
            Some(bytes) => hasher.update(bytes),
            None => hash_all(&mut file, &mut hasher)?,
        }
        let extension = kind::extension(path).map(|e| String::from_utf8_lossy(e).to_ascii_lowercase());
        Ok(Self { file, bytes: whole, extension, size, mtime_ns, hash: hasher.finish() })
    }

    /// Decodes it.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn decode<'d>(&self, decoder: &'d mut Decoder) -> Result<Decoded<'d>, DecodeError> {
        decoder.decode(self.source(), self.size, self.extension.as_deref())
    }

    fn source(&self) -> Source<'_> {
        self.bytes.as_deref().map_or(Source::File(&self.file), Source::Bytes)
    }

    /// Decodes the file for the models that are missing in `heard`. The listener of this thread is made where there is
    /// none yet.
    ///
    /// # Errors
    /// Where a model does not run at all; what is wrong with the file is in the analyses.
    pub fn prepare(
        &self,
        heard: Analyses,
        listener: &mut Option<Listener>,
        ensemble: &Arc<Ensemble>,
    ) -> io::Result<Prepared> {
        Ok(self.prepare_with(Self::listener(listener, ensemble)?, heard))
    }

    /// Lets the models that are missing in `heard` listen.
    ///
    /// # Errors
    /// As [`Reading::prepare`].
    pub fn complete(
        &self,
        heard: Analyses,
        listener: &mut Option<Listener>,
        ensemble: &Arc<Ensemble>,
    ) -> io::Result<Analyses> {
        let listener = Self::listener(listener, ensemble)?;
        let prepared = self.prepare_with(listener, heard);
        Ok(listener.conclude(prepared))
    }

    fn prepare_with(&self, listener: &mut Listener, heard: Analyses) -> Prepared {
        listener.prepare(heard, self.source(), self.size, self.extension.as_deref())
    }

    fn listener<'l>(listener: &'l mut Option<Listener>, ensemble: &Arc<Ensemble>) -> io::Result<&'l mut Listener> {
        match listener {
            Some(listener) => Ok(listener),
            empty => {
                let made = Listener::new(Arc::clone(ensemble)).map_err(|error| io::Error::other(error.to_string()))?;
                Ok(empty.insert(made))
            }
        }
    }
}

fn hash_all(file: &mut File, hasher: &mut ContentHasher) -> io::Result<()> {
    file.rewind()?;
    let mut chunk = vec![0u8; 1 << 20];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            n => hasher.update(chunk.get(..n).unwrap_or_default()),
        }
    }
    file.rewind()
}
