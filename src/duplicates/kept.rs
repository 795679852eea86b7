//! `outlines.bin`: outlines beside the store, so that every content is listened to once for them.
//!
//! ```text
//! magic 8 | version 4 | number of entries 8
//! entries: algorithm 1 | digest | 1 and the outline, or 0 where there is none
//! XXH3 of all that 8
//! ```
//!
//! It holds nothing that the originals do not. Where it is damaged or of another version it is made anew.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::Outline;
use crate::archive::{ContentHash, HashAlgorithm};
use crate::classify::places::write_whole;

const NAME: &str = "outlines.bin";
const MAGIC: [u8; 8] = *b"drumfs\0o";
/// Raised with anything that changes an outline.
const VERSION: u32 = 1;

/// The outlines that are known. None for a content that has none: silence, or nothing that can be decoded.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Kept(pub HashMap<ContentHash, Option<Outline>>);

impl Kept {
    /// Those in the folder of a store; none where there are none, or the file can't be used.
    pub fn read(folder: &Path) -> Self {
        match fs::read(folder.join(NAME)) {
            Ok(bytes) => Self::parse(&bytes).unwrap_or_else(|| {
                log::info!("{NAME} is damaged or of another version, and is made anew");
                Self::default()
            }),
            Err(_) => Self::default(),
        }
    }

    /// Writes them into the folder of a store.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        write_whole(&folder.join(NAME), &self.bytes())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(28 + self.0.len() * (18 + Outline::LEN));
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.0.len() as u64).to_le_bytes());
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_unstable_by_key(|(hash, _)| **hash);
        for (hash, outline) in all {
            bytes.push(hash.algorithm() as u8);
            bytes.extend_from_slice(hash.as_bytes());
            bytes.push(u8::from(outline.is_some()));
            if let Some(outline) = outline {
                bytes.extend_from_slice(&outline.to_bytes());
            }
        }
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk()?;
        if xxh3_64(body) != u64::from_le_bytes(*sum) {
            return None;
        }
        let rest = body.strip_prefix(&MAGIC)?.strip_prefix(&VERSION.to_le_bytes())?;
        let (count, mut rest) = rest.split_first_chunk()?;
        let mut kept = HashMap::new();
        for _ in 0..u64::from_le_bytes(*count) {
            let (algorithm, after) = rest.split_first()?;
            let algorithm = *HashAlgorithm::ALL.iter().find(|known| **known as u8 == *algorithm)?;
            let (digest, after) = after.split_at_checked(algorithm.digest_len())?;
            let (is_there, after) = after.split_first()?;
            let (outline, after) = after.split_at_checked(if *is_there == 1 { Outline::LEN } else { 0 })?;
            let outline = if *is_there == 1 { Some(Outline::from_bytes(outline)?) } else { None };
            kept.insert(ContentHash::from_digest(algorithm, digest)?, outline);
            rest = after;
        }
        rest.is_empty().then_some(Self(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duplicates::Outliner;

    #[test]
    fn what_was_kept_is_there_again_and_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Kept::read(folder.path()), Kept::default());
        let mut kept = Kept::default();
        let outline = Outliner::default().outline(&[0.5, -0.5, 0.25, 0.1], 44_100);
        for (number, algorithm) in HashAlgorithm::ALL.into_iter().enumerate() {
            kept.0.insert(ContentHash::of(algorithm, &[number as u8]), outline.filter(|_| number % 2 == 0));
        }
        kept.write(folder.path()).unwrap();
        assert_eq!(Kept::read(folder.path()), kept);
        let path = folder.path().join(NAME);
        let whole = fs::read(&path).unwrap();
        for cut in [0, 7, 20, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(Kept::read(folder.path()), Kept::default());
        }
        for place in [0, 9, 30, whole.len() - 3] {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x40;
            fs::write(&path, damaged).unwrap();
            assert_eq!(Kept::read(folder.path()), Kept::default());
        }
    }
}
