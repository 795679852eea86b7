//! The content hash: the identity of a sample that survives renames.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which function makes a content hash. `xxh3` is the default; the others keep the `overrides.jsonl` and
/// `index.jsonl` files of older pipelines working.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashAlgorithm {
    /// XXH3, 128 bits. Not cryptographic, as fast as memory.
    #[default]
    Xxh3,
    /// XXH64, 64 bits.
    Xxh64,
    /// MD5, 128 bits.
    Md5,
    /// SHA-256, 256 bits.
    Sha256,
}

impl HashAlgorithm {
    /// Every algorithm, in the order they are documented.
    pub const ALL: [HashAlgorithm; 4] = [Self::Xxh3, Self::Xxh64, Self::Md5, Self::Sha256];

    /// The name in config.yml and in a record's `hash_algorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xxh3 => "xxh3",
            Self::Xxh64 => "xxh64",
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
        }
    }

    /// Length of a digest in bytes.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Xxh3 | Self::Md5 => 16,
            Self::Xxh64 => 8,
            Self::Sha256 => 32,
        }
    }
}

/// A hash that is not one of the supported ones, or not hexadecimal.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum HashError {
    /// The name of the algorithm is unknown.
    #[error("unknown hash algorithm `{0}`: expected xxh3, xxh64, md5 or sha256")]
    UnknownAlgorithm(String),
    /// The digest is not hexadecimal, or not of the algorithm's length.
    #[error("`{text}` is not a {algorithm} digest: expected {expected} hexadecimal digits")]
    BadDigest {
        /// What was given.
        text: String,
        /// The algorithm it was read for.
        algorithm: &'static str,
        /// How many hexadecimal digits that algorithm has.
        expected: usize,
    },
}

impl FromStr for HashAlgorithm {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| HashError::UnknownAlgorithm(text.to_owned()))
    }
}

/// Hash of a file's bytes: up to 32 bytes and the algorithm that made them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContentHash {
    algorithm: HashAlgorithm,
    bytes: [u8; 32],
}

impl ContentHash {
    /// The hash of `data`.
    pub fn of(algorithm: HashAlgorithm, data: &[u8]) -> Self {
        let mut hasher = ContentHasher::new(algorithm);
        hasher.update(data);
        hasher.finish()
    }

    /// Reads the hexadecimal form.
    ///
    /// # Errors
    /// [`HashError::BadDigest`] where `text` is not hexadecimal or not of the algorithm's length.
    pub fn from_hex(algorithm: HashAlgorithm, text: &str) -> Result<Self, HashError> {
        let bad = || HashError::BadDigest {
            text: text.to_owned(),
            algorithm: algorithm.name(),
            expected: algorithm.digest_len() * 2,
        };
        if text.len() != algorithm.digest_len() * 2 || !text.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |c: u8| (c as char).to_digit(16);
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                return Err(bad());
            };
            *byte = (high << 4 | low) as u8;
        }
        Ok(Self { algorithm, bytes })
    }

    /// A hash from its digest; none where the length is not the algorithm's.
    pub fn from_digest(algorithm: HashAlgorithm, digest: &[u8]) -> Option<Self> {
        let mut bytes = [0u8; 32];
        if digest.len() != algorithm.digest_len() {
            return None;
        }
        bytes[..digest.len()].copy_from_slice(digest);
        Some(Self { algorithm, bytes })
    }

    /// The algorithm that made this hash.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The digest.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.digest_len()]
    }

    /// The digest in lower-case hexadecimal.
    pub fn to_hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(self.algorithm.digest_len() * 2);
        for byte in self.as_bytes() {
            text.push(DIGITS[usize::from(byte >> 4)] as char);
            text.push(DIGITS[usize::from(byte & 15)] as char);
        }
        text
    }

    /// The key under which the store keeps what belongs to this content: one byte of algorithm, then the digest.
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(1 + self.algorithm.digest_len());
        key.push(self.algorithm as u8);
        key.extend_from_slice(self.as_bytes());
        key
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.to_hex())
    }
}

/// Makes a [`ContentHash`] from bytes that come in pieces.
pub struct ContentHasher(State);

enum State {
    Xxh3(Box<xxhash_rust::xxh3::Xxh3>),
    Xxh64(Box<xxhash_rust::xxh64::Xxh64>),
    Md5(md5::Md5),
    Sha256(sha2::Sha256),
}

impl ContentHasher {
    /// A hasher that has seen nothing yet.
    pub fn new(algorithm: HashAlgorithm) -> Self {
        use sha2::Digest as _;
        Self(match algorithm {
            HashAlgorithm::Xxh3 => State::Xxh3(Box::new(xxhash_rust::xxh3::Xxh3::new())),
            HashAlgorithm::Xxh64 => State::Xxh64(Box::new(xxhash_rust::xxh64::Xxh64::new(0))),
            HashAlgorithm::Md5 => State::Md5(md5::Md5::new()),
            HashAlgorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, data: &[u8]) {
        use sha2::Digest as _;
        match &mut self.0 {
            State::Xxh3(hasher) => hasher.update(data),
            State::Xxh64(hasher) => hasher.update(data),
            State::Md5(hasher) => hasher.update(data),
            State::Sha256(hasher) => hasher.update(data),
        }
    }

    /// The hash of everything taken.
    pub fn finish(self) -> ContentHash {
        use sha2::Digest as _;
        let mut bytes = [0u8; 32];
        let algorithm = match self.0 {
            State::Xxh3(hasher) => {
                bytes[..16].copy_from_slice(&hasher.digest128().to_be_bytes());
                HashAlgorithm::Xxh3
            }
            State::Xxh64(hasher) => {
                bytes[..8].copy_from_slice(&hasher.digest().to_be_bytes());
                HashAlgorithm::Xxh64
            }
            State::Md5(hasher) => {
                bytes[..16].copy_from_slice(&hasher.finalize());
                HashAlgorithm::Md5
            }
            State::Sha256(hasher) => {
                bytes.copy_from_slice(&hasher.finalize());
                HashAlgorithm::Sha256
            }
        };
        ContentHash { algorithm, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests of nothing as `xxhsum -H2`, `xxhsum -H1`, `md5sum` and `sha256sum` print them.
    #[test]
    fn digests_are_those_of_the_usual_tools() {
        for (algorithm, expected) in [
            (HashAlgorithm::Md5, "d41d8cd98f00b204e9800998ecf8427e"),
            (HashAlgorithm::Sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (HashAlgorithm::Xxh64, "ef46db3751d8e999"),
            (HashAlgorithm::Xxh3, "99aa06d3014798d86001c324468d497f"),
        ] {
            assert_eq!(ContentHash::of(algorithm, b"").to_hex(), expected);
        }
    }

    #[test]
    fn hexadecimal_goes_there_and_back() {
        for algorithm in HashAlgorithm::ALL {
            let hash = ContentHash::of(algorithm, b"snare");
            assert_eq!(ContentHash::from_hex(algorithm, &hash.to_hex()), Ok(hash));
            assert!(ContentHash::from_hex(algorithm, "zz").is_err());
            assert!(ContentHash::from_hex(algorithm, &"é".repeat(algorithm.digest_len())).is_err());
        }
    }
}
