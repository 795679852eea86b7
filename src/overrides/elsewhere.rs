//! Contents that a file names by another kind of hash than the archive does: told by an old index, or by reading the
//! originals.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use flate2::bufread::MultiGzDecoder;
use rayon::prelude::*;
use thiserror::Error;

use super::Line;
use super::contents::{At, Contents, candidates};
use crate::archive::{ArchiveRoot, ContentHash, ContentHasher, HashAlgorithm};
use crate::exchange::{BadLines, IndexError, IndexReader, Record};
use crate::view::Catalogue;

/// A file that can't be read.
#[derive(Debug, Error)]
pub enum ElsewhereError {
    /// The system says no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The whole of a file, or of standard input where it is `-`; gzipped or not, as its first bytes say.
///
/// # Errors
/// [`ElsewhereError::Io`].
pub fn open(path: &Path) -> Result<Vec<u8>, ElsewhereError> {
    let failed = |source| ElsewhereError::Io { path: path.to_owned(), source };
    let mut text = Vec::new();
    if path == Path::new("-") {
        unzipped(io::stdin().lock()).and_then(|mut file| file.read_to_end(&mut text)).map_err(failed)?;
    } else {
        let file = File::open(path).map_err(failed)?;
        unzipped(BufReader::new(file)).and_then(|mut file| file.read_to_end(&mut text)).map_err(failed)?;
    }
    Ok(text)
}

fn unzipped<'f>(mut file: impl BufRead + 'f) -> io::Result<Box<dyn BufRead + 'f>> {
    let gzipped = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if gzipped { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) })
}

/// The contents of an archive, and what is known of their other names.
pub struct Elsewhere<'a> {
    catalogue: &'a Catalogue,
    root: &'a ArchiveRoot,
    others: HashMap<ContentHash, ContentHash>,
}

impl<'a> Elsewhere<'a> {
    /// The contents of a catalogue, with no other names yet.
    pub fn new(catalogue: &'a Catalogue, root: &'a ArchiveRoot) -> Self {
        Self { catalogue, root, others: HashMap::new() }
    }

    /// Learns other names from an index.jsonl (or .gz): its hash at a path means the content that is at that path now,
    /// where that has the size that the index says. Lines that are no records are passed over and told of.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn learn_index(&mut self, path: &Path) -> Result<BadLines, IndexError> {
        let mut bad = BadLines::default();
        for record in bad.passing(IndexReader::open(path)?) {
            let Record { sample: old, has_stat, .. } = record?;
            let here = self.catalogue.by_path(&old.path).map(|(_, sample)| sample);
            let here = here.filter(|here| !has_stat || here.size == old.size).and_then(|here| here.hash);
            if let (Some(hash), Some(here)) = (old.hash, here) {
                self.others.insert(hash, here);
            }
        }
        Ok(bad)
    }

    /// Learns other names by reading originals, until every hash of another kind in `text` (lines of overrides.jsonl) is
    /// found, or all are read. `tell` is given how many were read, of how many; from any thread.
    pub fn hash_originals(&mut self, text: &[u8], tell: &(dyn Fn(u64, u64) + Sync)) {
        let wanted = self.wanted(text);
        let mut kinds: Vec<HashAlgorithm> = wanted.iter().map(ContentHash::algorithm).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let left = AtomicUsize::new(wanted.len());
        let (read, all) = (AtomicU64::new(0), self.catalogue.by_hash().len() as u64);
        let found = Mutex::new(Vec::new());
        self.catalogue.by_hash().par_iter().for_each(|&id| {
            if left.load(Ordering::Relaxed) == 0 {
                return;
            }
            let sample = self.catalogue.sample(id);
            if let Some(here) = sample.hash
                && let Ok(hashes) = self.hashes(sample.path, &here, &kinds)
            {
                for other in hashes.into_iter().filter(|hash| wanted.contains(hash)) {
                    found.lock().unwrap_or_else(PoisonError::into_inner).push((other, here));
                    left.fetch_sub(1, Ordering::Relaxed);
                }
            }
            tell(read.fetch_add(1, Ordering::Relaxed) + 1, all);
        });
        self.others.extend(found.into_inner().unwrap_or_else(PoisonError::into_inner));
    }

    /// The hashes in `text` that nothing known tells the content of.
    fn wanted(&self, text: &[u8]) -> HashSet<ContentHash> {
        let in_use = self.algorithm();
        let mut wanted = HashSet::new();
        for line in text.split(|&b| b == b'\n') {
            let Ok(Some(Line { hash: Some(digest), .. })) = Line::parse(line) else { continue };
            let hashes = candidates(&digest, in_use).unwrap_or_default();
            if hashes.iter().any(|hash| self.holds(hash) || self.others.contains_key(hash)) {
                continue;
            }
            wanted.extend(hashes.first().filter(|hash| Some(hash.algorithm()) != in_use));
        }
        wanted
    }

    /// A path as the catalogue has it: older files may have absolute ones.
    fn relative<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        let root = self.root.path().as_os_str().as_bytes();
        path.strip_prefix(root).and_then(|path| path.strip_prefix(b"/")).unwrap_or(path)
    }

    /// Other hashes of a file, where its bytes are those that are known.
    fn hashes(&self, path: &[u8], here: &ContentHash, kinds: &[HashAlgorithm]) -> io::Result<Vec<ContentHash>> {
        let mut file = self.root.open(path)?;
        let mut known = ContentHasher::new(here.algorithm());
        let mut hashers: Vec<ContentHasher> = kinds.iter().map(|kind| ContentHasher::new(*kind)).collect();
        let mut block = vec![0; 1 << 16];
        loop {
            let count = file.read(&mut block)?;
            let bytes = block.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            known.update(bytes);
            hashers.iter_mut().for_each(|hasher| hasher.update(bytes));
        }
        if known.finish() != *here {
            return Ok(Vec::new());
        }
        Ok(hashers.into_iter().map(ContentHasher::finish).collect())
    }
}

impl Contents for Elsewhere<'_> {
    fn algorithm(&self) -> Option<HashAlgorithm> {
        self.catalogue.algorithm()
    }

    fn holds(&self, hash: &ContentHash) -> bool {
        self.catalogue.holds(hash)
    }

    fn at(&self, path: &[u8]) -> At {
        self.catalogue.at(self.relative(path))
    }

    fn by_other(&self, hash: &ContentHash) -> Option<ContentHash> {
        self.others.get(hash).copied()
    }

    fn has_other(&self, path: &[u8], hash: &ContentHash) -> Option<bool> {
        let At::Content(here) = self.at(path) else { return None };
        let hashes = self.hashes(self.relative(path), &here, &[hash.algorithm()]).ok()?;
        Some(hashes.contains(hash))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;
    use crate::index::Status;
    use crate::overrides::{Labels, Names, read};
    use crate::view::Sample;

    fn archive() -> (tempfile::TempDir, ArchiveRoot, Catalogue) {
        let dir = tempfile::tempdir().unwrap();
        let root = ArchiveRoot::new(dir.path()).unwrap();
        let sample = |name: &str| {
            std::fs::write(dir.path().join(name), name).unwrap();
            Arc::new(Sample {
                path: name.as_bytes().into(),
                size: name.len() as u64,
                mtime_ns: 0,
                hash: Some(ContentHash::of(HashAlgorithm::Xxh3, name.as_bytes())),
                status: Status::Ok,
                error: None,
                attributes: None,
                probs: [].into(),
                gate: None,
            })
        };
        let catalogue = Catalogue::new(vec![sample("a.wav"), sample("b.wav")]);
        (dir, root, catalogue)
    }

    fn md5(bytes: &[u8]) -> ContentHash {
        ContentHash::of(HashAlgorithm::Md5, bytes)
    }

    fn said(contents: &Elsewhere<'_>, text: &str) -> Result<ContentHash, String> {
        let labels = Labels::of(["Kick"]);
        let reading = read(text.as_bytes(), &Names { labels: &labels, contents }).unwrap();
        match (&reading.said[..], &reading.problems[..]) {
            ([said], []) => Ok(said.word.hash),
            (_, [problem]) => Err(problem.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_old_hash_is_found_in_an_index_or_in_the_originals() {
        let (dir, root, catalogue) = archive();
        let line = format!("{{\"hash\":\"{}\",\"correct_label\":\"Kick\",\"note\":\"x\"}}\n", md5(b"b.wav"));
        let here = catalogue.by_path(b"b.wav").unwrap().1.hash.unwrap();
        let mut contents = Elsewhere::new(&catalogue, &root);
        let error = said(&contents, &line).unwrap_err();
        assert!(error.starts_with("line 1: the hash is md5") && error.contains("--hash-originals"), "{error}");
        contents.hash_originals(line.as_bytes(), &|_, _| {});
        assert_eq!(said(&contents, &line), Ok(here));
        // The index of an older pipeline, gzipped.
        let index = dir.path().join("index.jsonl.gz");
        let mut file = flate2::write::GzEncoder::new(File::create(&index).unwrap(), flate2::Compression::fast());
        writeln!(file, "{{\"relative_path\": \"b.wav\", \"hash\": \"{}\", \"size\": 5}}", md5(b"b.wav")).unwrap();
        writeln!(file, "{{\"relative_path\": \"bad.wav\", \"hash\": null, \"errors\": \"x\"}}").unwrap();
        file.finish().unwrap();
        let mut contents = Elsewhere::new(&catalogue, &root);
        assert_eq!(contents.learn_index(&index).unwrap().count(), 0);
        assert_eq!(said(&contents, &line), Ok(here));
        std::fs::write(&index, "{\"relative_path\": 3}\n").unwrap();
        let bad = contents.learn_index(&index).unwrap();
        assert!(bad.count() == 1 && bad.sentences()[0].contains(".gz:1: not a record"), "{:?}", bad.sentences());
    }

    #[test]
    fn a_path_is_believed_where_the_bytes_are_still_those() {
        let (dir, root, catalogue) = archive();
        let contents = Elsewhere::new(&catalogue, &root);
        let line =
            format!("{{\"hash\":\"{}\",\"relative_path\":\"a.wav\",\"correct_label\":\"Kick\"}}\n", md5(b"a.wav"));
        assert_eq!(said(&contents, &line), Ok(catalogue.by_path(b"a.wav").unwrap().1.hash.unwrap()));
        let absolute = line.replace("a.wav", &dir.path().canonicalize().unwrap().join("a.wav").display().to_string());
        assert!(said(&contents, &absolute).is_ok());
        std::fs::write(dir.path().join("a.wav"), b"new").unwrap();
        let error = said(&contents, &line).unwrap_err();
        assert!(error.contains("has other bytes now"), "{error}");
    }
}
