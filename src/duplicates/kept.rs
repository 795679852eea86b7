//! `outlines.bin`: outlines beside the store, so that every content is listened to once for them. It holds nothing that
//! the originals do not.
//!
//! An entry: algorithm 1 | digest | 1 and the outline, or 0 where there is none.

use std::io;
use std::path::Path;

use super::Outline;
use super::sealed::Kind;
use crate::archive::{ContentHash, HashAlgorithm};

const KIND: Kind = Kind { name: "outlines.bin", magic: *b"drumfs\0o", version: 3 };

/// The outlines that are known. None for a content that has none: silence, or nothing that can be decoded.
///
/// In order of their hashes, without room to spare: a million take 190 MB.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Kept(Vec<(ContentHash, Option<Outline>)>);

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
            for (hash, outline) in &self.0 {
                bytes.push(hash.algorithm() as u8);
                bytes.extend_from_slice(hash.as_bytes());
                bytes.push(u8::from(outline.is_some()));
                if let Some(outline) = outline {
                    bytes.extend_from_slice(&outline.to_bytes());
                }
            }
        })
    }

    /// How many contents are known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is known of a content, where something is.
    pub fn of(&self, hash: &ContentHash) -> Option<Option<&Outline>> {
        let place = self.0.binary_search_by(|(known, _)| known.cmp(hash)).ok()?;
        self.0.get(place).map(|(_, outline)| outline.as_ref())
    }

    /// Takes in what was not known before. Of a content that was, what was known stays.
    pub fn add(&mut self, more: Vec<(ContentHash, Option<Outline>)>) {
        self.0.reserve_exact(more.len());
        self.0.extend(more);
        self.0.sort_by_key(|(hash, _)| *hash);
        self.0.dedup_by_key(|(hash, _)| *hash);
    }

    fn parse(count: u64, mut rest: &[u8]) -> Option<Self> {
        // No more than the bytes can hold, whatever the count says.
        let mut kept = Vec::with_capacity(usize::try_from(count).ok()?.min(rest.len() / 10));
        for _ in 0..count {
            let (algorithm, after) = rest.split_first()?;
            let algorithm = *HashAlgorithm::ALL.iter().find(|known| **known as u8 == *algorithm)?;
            let (digest, after) = after.split_at_checked(algorithm.digest_len())?;
            let (is_there, after) = after.split_first()?;
            let (outline, after) = after.split_at_checked(if *is_there == 1 { Outline::LEN } else { 0 })?;
            let outline = if *is_there == 1 { Some(Outline::from_bytes(outline)?) } else { None };
            kept.push((ContentHash::from_digest(algorithm, digest)?, outline));
            rest = after;
        }
        (rest.is_empty() && kept.is_sorted_by(|(a, _), (b, _)| a < b)).then_some(Self(kept))
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
        let hash = |number: u8, algorithm| ContentHash::of(algorithm, &[number]);
        let some: Vec<_> = (0u8..).zip(HashAlgorithm::ALL).collect();
        kept.add(some.iter().map(|(n, algorithm)| (hash(*n, *algorithm), outline.filter(|_| n % 2 == 0))).collect());
        for (number, algorithm) in &some {
            assert_eq!(kept.of(&hash(*number, *algorithm)), Some(outline.as_ref().filter(|_| number % 2 == 0)));
        }
        let len = kept.len();
        assert_eq!(kept.of(&hash(99, HashAlgorithm::Xxh3)), None);
        kept.add(vec![(hash(99, HashAlgorithm::Xxh3), None), (hash(0, some[0].1), None)]);
        assert_eq!(
            (kept.len(), kept.of(&hash(0, some[0].1))),
            (len + 1, Some(outline.as_ref())),
            "what was known stays"
        );
        kept.write(folder.path()).unwrap();
        assert_eq!(Kept::read(folder.path()), kept);
    }
}
