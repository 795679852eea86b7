//! `outlines.bin`: outlines beside the store, so that every content is listened to once for them. It holds nothing that
//! the originals do not.
//!
//! An entry: algorithm 1 | digest | 1 and the outline, or 0 where there is none.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::Outline;
use super::sealed::Kind;
use crate::archive::{ContentHash, HashAlgorithm};

const KIND: Kind = Kind { name: "outlines.bin", magic: *b"drumfs\0o", version: 2 };

/// The outlines that are known. None for a content that has none: silence, or nothing that can be decoded.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Kept(pub HashMap<ContentHash, Option<Outline>>);

impl Kept {
    /// Those in the folder of a store; none where there are none, or the file can't be used.
    pub fn read(folder: &Path) -> Self {
        KIND.read(folder, Self::parse).unwrap_or_default()
    }

    /// Writes them into the folder of a store.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        KIND.write(folder, self.0.len(), 18 + Outline::LEN, |bytes| {
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
        })
    }

    fn parse(count: u64, mut rest: &[u8]) -> Option<Self> {
        let mut kept = HashMap::new();
        for _ in 0..count {
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
    fn what_was_kept_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Kept::read(folder.path()), Kept::default());
        let mut kept = Kept::default();
        let outline = Outliner::default().outline(&[0.5, -0.5, 0.25, 0.1], 44_100);
        for (number, algorithm) in HashAlgorithm::ALL.into_iter().enumerate() {
            kept.0.insert(ContentHash::of(algorithm, &[number as u8]), outline.filter(|_| number % 2 == 0));
        }
        kept.write(folder.path()).unwrap();
        assert_eq!(Kept::read(folder.path()), kept);
    }
}
