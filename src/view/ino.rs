//! Inode numbers that stay: made from what a thing is, not from when it came.
//!
//! A sample's number comes from its relative path, a folder's and a generated file's from its path in the view, so
//! they are the same after a rule change, a remount, and even with a new store. Two bits say which of the three it is, or
//! that it is a sample under a path that it has no longer.
//! Among a million samples the chance that two share one of the 2^62 numbers is about 1 in 10^7; such a pair is told
//! apart by trying again with a salt, in path order.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// An inode number.
pub type Ino = u64;

/// The root folder of a mount, as the kernel wants it.
pub const ROOT: Ino = 1;

const KIND: u64 = 0b11 << 62;
const SAMPLE: u64 = 0b00 << 62;
const FOLDER: u64 = 0b01 << 62;
const GENERATED: u64 = 0b10 << 62;
const KEPT: u64 = 0b11 << 62;

fn made(kind: u64, hash: u64) -> Ino {
    let number = hash & !KIND;
    // 0 is no inode and 1 is the root.
    kind | if number <= ROOT { number + 2 } else { number }
}

/// The number of the sample at a relative path; `salt` is above 0 only where two paths collide.
pub fn of_sample(path: &[u8], salt: u64) -> Ino {
    made(SAMPLE, xxh3_64_with_seed(path, salt))
}

/// The number of the folder `name` in the folder `parent`.
pub fn of_folder(parent: Ino, name: &[u8]) -> Ino {
    let mut key = parent.to_le_bytes().to_vec();
    key.extend_from_slice(name);
    made(FOLDER, xxh3_64(&key))
}

/// The number of the generated file at a path of the view.
pub fn of_generated(path: &[u8]) -> Ino {
    made(GENERATED, xxh3_64(path))
}

/// The number of a sample under a path that it was opened by and has no longer. Another than its own, or the kernel
/// would take both paths for one file with two links, and do nothing where the file is moved from one to the other.
pub fn of_kept(sample: Ino) -> Ino {
    sample | KEPT
}

/// The sample's own number, of one under a path that it has no longer; none of any other number.
pub fn kept(number: Ino) -> Option<Ino> {
    (number & KIND == KEPT).then_some(number & !KIND)
}

/// Whether a number is a sample's.
pub fn is_sample(ino: Ino) -> bool {
    ino & KIND == SAMPLE && ino > ROOT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_kinds_never_meet() {
        let (sample, folder, generated) = (of_sample(b"Kick", 0), of_folder(ROOT, b"Kick"), of_generated(b"Kick"));
        assert!(is_sample(sample) && !is_sample(folder) && !is_sample(generated) && !is_sample(ROOT));
        assert_ne!(folder, generated);
        assert_ne!(of_sample(b"a", 0), of_sample(b"a", 1));
        assert_eq!([sample, of_kept(sample), folder, generated].map(kept), [None, Some(sample), None, None]);
        assert!(!is_sample(of_kept(sample)));
    }

    /// The numbers are written down in DAW projects and backups: they must not change between versions.
    #[test]
    fn numbers_are_the_same_in_every_version() {
        assert_eq!(of_sample(b"Akai/BD_019.wav", 0), xxh3_64(b"Akai/BD_019.wav") & !KIND);
        assert_eq!(of_folder(ROOT, b"Kick"), 0x4000_0000_0000_0000 | xxh3_64(b"\x01\0\0\0\0\0\0\0Kick") & !KIND);
    }
}
