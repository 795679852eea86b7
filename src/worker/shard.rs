//! Which part of a list is answered here.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

/// Part `index` of `count`, from 1: each path belongs to exactly one of them, whoever asks and whatever else is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

/// Not a shard.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("expected I/N with I from 1 to N, such as 3/16: the first of 16 is 1/16, the last 16/16")]
pub struct ShardError;

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    /// Whether a path, relative to the archive's root, is one of this part: its XXH3 (64 bits) modulo the number of
    /// parts, plus 1.
    pub fn takes(&self, path: &[u8]) -> bool {
        xxh3_64(path) % self.count == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (index, count) = text.split_once('/').ok_or(ShardError)?;
        let (index, count) = (index.parse().map_err(|_| ShardError)?, count.parse().map_err(|_| ShardError)?);
        if (1..=count).contains(&index) { Ok(Self { index, count }) } else { Err(ShardError) }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_of_exactly_one_shard_and_stays_there() {
        let shards: Vec<Shard> = (1..=7).map(|index| format!("{index}/7").parse().unwrap()).collect();
        let mut sizes = [0; 7];
        for number in 0..7000 {
            let path = format!("pack/{number}.wav");
            let takers: Vec<usize> = (0..7).filter(|&at| shards[at].takes(path.as_bytes())).collect();
            assert_eq!(takers.len(), 1, "{path}");
            sizes[takers[0]] += 1;
        }
        assert!(sizes.iter().all(|size| (900..1100).contains(size)), "{sizes:?}");
        // Other versions and machines have to agree: this must never change.
        assert_eq!(shards.iter().position(|shard| shard.takes(b"Akai/Layered/BD_019.wav")), Some(6));
        assert!(Shard::WHOLE.takes(b"anything"));
    }

    #[test]
    fn a_shard_that_is_none_says_what_one_looks_like() {
        for text in ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/2", ""] {
            let error = text.parse::<Shard>().unwrap_err();
            assert!(error.to_string().contains("1/16"), "{text}");
        }
        assert_eq!("16/16".parse::<Shard>().unwrap().to_string(), "16/16");
    }
}
