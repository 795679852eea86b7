//! `likenesses.bin`: how alike two contents are, beside the store, so that no two are compared twice.
//!
//! An entry: XXH3 of both hashes, the smaller first, 16 | likeness in 65,535ths 2.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::sealed::Kind;
use crate::archive::ContentHash;

/// Raise `version` with anything that changes a likeness.
const KIND: Kind = Kind { name: "likenesses.bin", magic: *b"drumfs\0l", version: 2 };
const ENTRY: usize = 18;

/// Likenesses by pairs of contents.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Likenesses(HashMap<u128, u16>);

/// As it is kept: the same in the run that compares and in those that remember.
pub(super) fn rounded(likeness: f32) -> f32 {
    from_kept(to_kept(likeness))
}

fn to_kept(likeness: f32) -> u16 {
    (likeness.clamp(0.0, 1.0) * f32::from(u16::MAX)).round() as u16
}

fn from_kept(kept: u16) -> f32 {
    f32::from(kept) / f32::from(u16::MAX)
}

fn key(a: &ContentHash, b: &ContentHash) -> u128 {
    let (first, second) = (a.min(b), a.max(b));
    let mut bytes = Vec::with_capacity(66);
    for hash in [first, second] {
        bytes.push(hash.algorithm() as u8);
        bytes.extend_from_slice(hash.as_bytes());
    }
    xxh3_128(&bytes)
}

impl Likenesses {
    /// Those in the folder of a store; none where there are none, or the file can't be used.
    pub fn read(folder: &Path) -> Self {
        let parse = |count: u64, entries: &[u8]| {
            let (entries, rest) = entries.as_chunks::<ENTRY>();
            let entry = |bytes: &[u8; ENTRY]| {
                let (key, likeness) = bytes.split_first_chunk()?;
                Some((u128::from_le_bytes(*key), u16::from_le_bytes(likeness.try_into().ok()?)))
            };
            let all: Option<HashMap<_, _>> = entries.iter().map(entry).collect();
            all.filter(|_| rest.is_empty() && entries.len() as u64 == count).map(Self)
        };
        KIND.read(folder, parse).unwrap_or_default()
    }

    /// Writes them into the folder of a store.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        KIND.write(folder, self.0.len(), ENTRY, |bytes| {
            let mut all: Vec<_> = self.0.iter().collect();
            all.sort_unstable();
            for (key, likeness) in all {
                bytes.extend_from_slice(&key.to_le_bytes());
                bytes.extend_from_slice(&likeness.to_le_bytes());
            }
        })
    }

    /// Of how many pairs something is known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is known of two.
    pub fn of(&self, a: &ContentHash, b: &ContentHash) -> Option<f32> {
        self.0.get(&key(a, b)).copied().map(from_kept)
    }

    /// Remembers what was found of two.
    pub fn put(&mut self, a: &ContentHash, b: &ContentHash, likeness: f32) {
        self.0.insert(key(a, b), to_kept(likeness));
    }

    /// Forgets all but these pairs.
    pub fn keep_only<'a>(&mut self, pairs: impl Iterator<Item = (&'a ContentHash, &'a ContentHash)>) {
        let kept = pairs.filter_map(|(a, b)| self.0.get_key_value(&key(a, b))).map(|(key, value)| (*key, *value));
        self.0 = kept.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::HashAlgorithm;

    #[test]
    fn what_two_were_is_known_again_either_way_round() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Likenesses::read(folder.path()), Likenesses::default());
        let hash = |number: u8| ContentHash::of(HashAlgorithm::Xxh3, &[number]);
        let mut known = Likenesses::default();
        known.put(&hash(1), &hash(2), 0.937_21);
        known.put(&hash(3), &hash(1), 1.5);
        known.write(folder.path()).unwrap();
        let mut again = Likenesses::read(folder.path());
        assert_eq!(again, known);
        assert_eq!(again.of(&hash(2), &hash(1)), Some(rounded(0.937_21)));
        assert!((rounded(0.937_21) - 0.937_21).abs() < 1e-5);
        assert_eq!(again.of(&hash(1), &hash(3)), Some(1.0));
        assert_eq!(again.of(&hash(2), &hash(3)), None);
        again.keep_only([(&hash(3), &hash(1)), (&hash(4), &hash(5))].into_iter());
        assert_eq!((again.of(&hash(1), &hash(2)), again.of(&hash(1), &hash(3))), (None, Some(1.0)));
        std::fs::write(folder.path().join("likenesses.bin"), b"nothing").unwrap();
        assert_eq!(Likenesses::read(folder.path()), Likenesses::default());
    }
}
