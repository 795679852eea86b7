//! Which content a line means.

use super::{Digest, Labels, Line, LineError};
use crate::archive::{ContentHash, HashAlgorithm};
use crate::store::Word;
use crate::view::Catalogue;

/// What is at a path of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// No sample that is known.
    Nothing,
    /// A sample that could not be read.
    Unread,
    /// A sample with this content.
    Content(ContentHash),
}

/// The contents of an archive, as lines ask for them.
pub trait Contents {
    /// What names the contents; none where there is no content.
    fn algorithm(&self) -> Option<HashAlgorithm>;

    /// Whether a sample has this content.
    fn holds(&self, hash: &ContentHash) -> bool;

    /// What is at a path.
    fn at(&self, path: &[u8]) -> At;

    /// The content that a hash of another kind names, where that is known.
    fn by_other(&self, _hash: &ContentHash) -> Option<ContentHash> {
        None
    }

    /// Whether the file at a path has this hash of another kind; none where nobody looked.
    fn has_other(&self, _path: &[u8], _hash: &ContentHash) -> Option<bool> {
        None
    }
}

impl Contents for Catalogue {
    fn algorithm(&self) -> Option<HashAlgorithm> {
        self.samples().iter().find_map(|sample| sample.hash).map(|hash| hash.algorithm())
    }

    fn holds(&self, hash: &ContentHash) -> bool {
        self.with_content(hash).is_some()
    }

    fn at(&self, path: &[u8]) -> At {
        match self.by_path(path) {
            None => At::Nothing,
            Some((_, sample)) => sample.hash.map_or(At::Unread, At::Content),
        }
    }
}

/// What tells the content and the label of a line.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// The labels there are.
    pub labels: &'a Labels<'a>,
    /// The contents there are.
    pub contents: &'a dyn Contents,
}

impl Names<'_> {
    /// The word that a line says.
    ///
    /// # Errors
    /// Where its label, its path or its hash means nothing here.
    pub fn resolve(&self, line: Line) -> Result<Word, LineError> {
        let hash = self.content(line.hash.as_ref(), line.path.as_deref())?;
        let label = line.label.map(|label| self.labels.known(&label).map(str::to_owned)).transpose()?;
        Ok(Word { hash, label, note: line.note, by: line.by, undo: line.undo })
    }

    /// The word that a line of text says; none where it is blank.
    ///
    /// # Errors
    /// As [`Line::parse`] and [`Names::resolve`].
    pub fn parse(&self, line: &[u8]) -> Result<Option<Word>, LineError> {
        Line::parse(line)?.map(|line| self.resolve(line)).transpose()
    }

    /// The content of a hash, of a path, or of a hash of another kind at a path.
    ///
    /// A content of this archive is believed first. A hash of the kind that names the contents here may be of one that
    /// is not here yet. One of another kind is told by whoever knows both, or by the path.
    ///
    /// # Errors
    /// Where they mean nothing here.
    pub fn content(&self, digest: Option<&Digest>, path: Option<&[u8]>) -> Result<ContentHash, LineError> {
        let Some(digest) = digest else {
            return self.at(path.ok_or(LineError::NoSample)?);
        };
        let in_use = self.contents.algorithm();
        let hashes = candidates(digest, in_use)?;
        let first = hashes.first().copied();
        if let Some(here) = hashes.iter().find(|hash| self.contents.holds(hash)) {
            return Ok(*here);
        }
        if let Some(here) = hashes.iter().find_map(|hash| self.contents.by_other(hash)) {
            return Ok(here);
        }
        match first {
            Some(hash) if in_use.is_none_or(|in_use| in_use == hash.algorithm()) => Ok(hash),
            Some(hash) => {
                let path = path.ok_or(LineError::OtherKind {
                    kind: hash.algorithm().name(),
                    in_use: in_use.unwrap_or_default().name(),
                })?;
                let here = self.at(path)?;
                match self.contents.has_other(path, &hash) {
                    Some(false) => Err(LineError::OtherBytes { path: text(path), algorithm: hash.algorithm().name() }),
                    _ => Ok(here),
                }
            }
            None => Err(LineError::NoSample),
        }
    }

    fn at(&self, path: &[u8]) -> Result<ContentHash, LineError> {
        match self.contents.at(path) {
            At::Nothing => Err(LineError::NoSuchPath(text(path))),
            At::Unread => Err(LineError::Unread(text(path))),
            At::Content(hash) => Ok(hash),
        }
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// The hashes that digits may be, the likeliest first: 32 digits are XXH3 or MD5.
pub(super) fn candidates(digest: &Digest, in_use: Option<HashAlgorithm>) -> Result<Vec<ContentHash>, LineError> {
    let here = in_use.unwrap_or_default();
    if let Some(named) = digest.named {
        return Ok(vec![ContentHash::from_hex(named, &digest.text)?]);
    }
    let fits = |algorithm: &HashAlgorithm| algorithm.digest_len() * 2 == digest.text.len();
    let mut kinds: Vec<HashAlgorithm> = HashAlgorithm::ALL.into_iter().filter(fits).collect();
    kinds.sort_by_key(|kind| match digest.old_form {
        true => *kind != HashAlgorithm::Md5,
        false => *kind != here,
    });
    if kinds.is_empty() {
        // Says how many digits there should be.
        kinds.push(here);
    }
    let hashes: Result<Vec<_>, _> = kinds.into_iter().map(|kind| ContentHash::from_hex(kind, &digest.text)).collect();
    Ok(hashes?)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Here;

    fn hash(algorithm: HashAlgorithm, bytes: &[u8]) -> ContentHash {
        ContentHash::of(algorithm, bytes)
    }

    impl Contents for Here {
        fn algorithm(&self) -> Option<HashAlgorithm> {
            Some(HashAlgorithm::Xxh3)
        }

        fn holds(&self, wanted: &ContentHash) -> bool {
            *wanted == hash(HashAlgorithm::Xxh3, b"a")
        }

        fn at(&self, path: &[u8]) -> At {
            match path {
                b"a.wav" => At::Content(hash(HashAlgorithm::Xxh3, b"a")),
                b"bad.wav" => At::Unread,
                _ => At::Nothing,
            }
        }

        fn by_other(&self, wanted: &ContentHash) -> Option<ContentHash> {
            (*wanted == hash(HashAlgorithm::Sha256, b"a")).then(|| hash(HashAlgorithm::Xxh3, b"a"))
        }

        fn has_other(&self, path: &[u8], wanted: &ContentHash) -> Option<bool> {
            (path == b"a.wav").then(|| *wanted == hash(wanted.algorithm(), b"a"))
        }
    }

    fn said(line: &str) -> Result<Word, LineError> {
        let labels = Labels::of(["Kick"]);
        let names = Names { labels: &labels, contents: &Here };
        names.parse(line.as_bytes()).map(Option::unwrap)
    }

    #[test]
    fn a_hash_is_a_content_that_is_here_or_one_that_may_come() {
        let here = hash(HashAlgorithm::Xxh3, b"a");
        let line = |hash: ContentHash, key: &str| format!("{{\"hash\": \"{hash}\", \"{key}\": \"kick\"}}");
        for key in ["label", "correct_label"] {
            assert_eq!(said(&line(here, key)).unwrap().hash, here);
        }
        let elsewhere = hash(HashAlgorithm::Xxh3, b"b");
        assert_eq!(said(&line(elsewhere, "label")).unwrap().hash, elsewhere);
        // In the old form 32 digits are MD5.
        let other = said(&line(elsewhere, "correct_label")).unwrap_err();
        assert_eq!(other, LineError::OtherKind { kind: "md5", in_use: "xxh3" });
        assert!(matches!(said(r#"{"hash": "xyz", "label": "Kick"}"#), Err(LineError::Hash(_))));
        assert!(matches!(said(&line(here, "label").replace("kick", "Kik")), Err(LineError::UnknownLabel { .. })));
    }

    #[test]
    fn a_hash_of_another_kind_is_told_by_who_knows_both_or_by_the_path() {
        let here = hash(HashAlgorithm::Xxh3, b"a");
        let sha = hash(HashAlgorithm::Sha256, b"a");
        assert_eq!(said(&format!("{{\"hash\": \"{sha}\", \"label\": \"Kick\"}}")).unwrap().hash, here);
        let at = |path: &str, bytes: &[u8]| {
            let md5 = hash(HashAlgorithm::Md5, bytes);
            said(&format!("{{\"hash\": \"{md5}\", \"relative_path\": \"{path}\", \"correct_label\": \"Kick\"}}"))
        };
        assert_eq!(at("a.wav", b"a").unwrap().hash, here);
        let other = LineError::OtherBytes { path: "a.wav".to_owned(), algorithm: "md5" };
        assert_eq!(at("a.wav", b"b").unwrap_err(), other);
        assert_eq!(at("no.wav", b"a").unwrap_err(), LineError::NoSuchPath("no.wav".to_owned()));
        assert_eq!(at("bad.wav", b"a").unwrap_err(), LineError::Unread("bad.wav".to_owned()));
    }
}
