//! Small files beside the store that can be made anew: a magic number, a version, entries, and a sum over all that.
//!
//! ```text
//! magic 8 | version 4 | number of entries 8 | entries | XXH3 of all before 8
//! ```

use std::fs;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::classify::places::write_whole;

/// What a file is.
pub(super) struct Kind {
    pub name: &'static str,
    pub magic: [u8; 8],
    /// Raised with anything that changes what an entry says.
    pub version: u32,
}

impl Kind {
    /// The number of entries, and their bytes; none where there is no such file. One that is damaged or of another version
    /// is none either, and that is told.
    pub fn read<T>(&self, folder: &Path, parse: impl FnOnce(u64, &[u8]) -> Option<T>) -> Option<T> {
        let bytes = fs::read(folder.join(self.name)).ok()?;
        let parsed = self.open(&bytes).and_then(|(count, entries)| parse(count, entries));
        if parsed.is_none() {
            log::info!("{} is damaged or of another version, and is made anew", self.name);
        }
        parsed
    }

    fn open<'a>(&self, bytes: &'a [u8]) -> Option<(u64, &'a [u8])> {
        let (body, sum) = bytes.split_last_chunk()?;
        if xxh3_64(body) != u64::from_le_bytes(*sum) {
            return None;
        }
        let rest = body.strip_prefix(&self.magic)?.strip_prefix(&self.version.to_le_bytes())?;
        let (count, entries) = rest.split_first_chunk()?;
        Some((u64::from_le_bytes(*count), entries))
    }

    /// Writes so many entries, as bytes that `put` appends.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(
        &self,
        folder: &Path,
        count: usize,
        entry_len: usize,
        put: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(28 + count * entry_len);
        bytes.extend_from_slice(&self.magic);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&(count as u64).to_le_bytes());
        put(&mut bytes);
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        write_whole(&folder.join(self.name), &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_and_other_versions_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let kind = Kind { name: "some.bin", magic: *b"drumfs\0x", version: 7 };
        let read = |kind: &Kind| kind.read(folder.path(), |count, entries| Some((count, entries.to_vec())));
        assert_eq!(read(&kind), None);
        kind.write(folder.path(), 3, 1, |bytes| bytes.extend_from_slice(b"abc")).unwrap();
        assert_eq!(read(&kind), Some((3, b"abc".to_vec())));
        assert_eq!(read(&Kind { version: 8, ..kind }), None);
        let kind = Kind { name: "some.bin", magic: *b"drumfs\0x", version: 7 };
        let path = folder.path().join(kind.name);
        let whole = fs::read(&path).unwrap();
        for cut in [0, 7, 20, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(read(&kind), None);
        }
        for place in [0, 9, 14, 21, whole.len() - 3] {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x40;
            fs::write(&path, damaged).unwrap();
            assert_eq!(read(&kind), None);
        }
    }
}
