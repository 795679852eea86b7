//! `near.json`: which contents were found to be nearly the same sound, beside the store, for `duplicates: hide-near`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Near;
use crate::archive::discover::mtime_ns;
use crate::archive::{ContentHash, HashAlgorithm};
use crate::classify::places::write_whole;
use crate::view::{Alike, Catalogue};

const NAME: &str = "near.json";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    /// How like each other two sounds had to be.
    likeness: f32,
    hash_algorithm: HashAlgorithm,
    /// Hashes in hexadecimal.
    groups: Vec<Vec<String>>,
}

/// What the last search found; nothing where there was none, or the file can't be used.
pub fn read(folder: &Path) -> Alike {
    let Some(text) = text(folder) else { return Alike::default() };
    let parse = || {
        let file = parsed(&text)?;
        let mut alike = HashMap::new();
        for (number, group) in (0u32..).zip(&file.groups) {
            for hash in group {
                alike.insert(ContentHash::from_hex(file.hash_algorithm, hash).ok()?, number);
            }
        }
        Some(Alike(alike))
    };
    parse().unwrap_or_else(|| {
        log::warn!("{NAME} is damaged or of another version: run `drumfs duplicates` again");
        Alike::default()
    })
}

/// How like each other sounds had to be in the last search, where there was one.
pub fn likeness(folder: &Path) -> Option<f32> {
    parsed(&text(folder)?).map(|file| file.likeness).filter(|likeness| (0.0..=1.0).contains(likeness))
}

fn text(folder: &Path) -> Option<Vec<u8>> {
    fs::read(folder.join(NAME)).ok()
}

fn parsed(text: &[u8]) -> Option<File> {
    serde_json::from_slice(text).ok().filter(|file: &File| file.version == VERSION)
}

/// What the last search found, read again where there was another since.
#[derive(Debug)]
pub struct LastFound {
    folder: PathBuf,
    /// Size, time and inode of the file that was read: a new one is another file.
    read: Option<(u64, i64, u64)>,
}

impl LastFound {
    /// Of the store in a folder; what is there now counts as read.
    pub fn new(folder: &Path) -> Self {
        let mut last = Self { folder: folder.to_owned(), read: None };
        last.read = last.stamp();
        last
    }

    fn stamp(&self) -> Option<(u64, i64, u64)> {
        let metadata = fs::metadata(self.folder.join(NAME)).ok()?;
        Some((metadata.len(), mtime_ns(&metadata), metadata.ino()))
    }

    /// What was found, where it was not read before.
    pub fn newer(&mut self) -> Option<Alike> {
        // Looked at first: what is written meanwhile is read the next time.
        let stamp = self.stamp();
        if stamp == self.read {
            return None;
        }
        self.read = stamp;
        Some(read(&self.folder))
    }
}

/// Writes down what a search found in a catalogue; a file that says so already stays as it is.
///
/// # Errors
/// What the system says.
pub fn write(folder: &Path, catalogue: &Catalogue, near: &Near, likeness: f32) -> io::Result<()> {
    let hash = |id: u32| catalogue.sample(id).hash;
    let ids =
        near.groups.iter().map(|group| std::iter::once(group.first).chain(group.others.iter().map(|(id, _)| *id)));
    let groups: Vec<Vec<ContentHash>> = ids.map(|ids| ids.filter_map(hash).collect()).collect();
    let hash_algorithm = groups.iter().flatten().next().map_or(HashAlgorithm::Xxh3, |hash| hash.algorithm());
    let groups = groups.iter().map(|group| group.iter().map(ContentHash::to_hex).collect()).collect();
    let file = File { version: VERSION, likeness, hash_algorithm, groups };
    let new = serde_json::to_vec(&file)?;
    if text(folder).is_some_and(|old| old == new) {
        return Ok(());
    }
    write_whole(&folder.join(NAME), &new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_can_not_be_used_hides_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), Alike::default());
        for text in [
            "",
            "{",
            r#"{"version": 2, "likeness": 0.9, "hash_algorithm": "xxh3", "groups": []}"#,
            r#"{"version": 1, "likeness": 0.9, "hash_algorithm": "xxh3", "groups": [["zz"]]}"#,
        ] {
            fs::write(folder.path().join(NAME), text).unwrap();
            assert_eq!(read(folder.path()), Alike::default(), "{text}");
        }
        assert_eq!(likeness(folder.path()), Some(0.9), "the text of the last one was read, if not its hash");
    }

    #[test]
    fn what_is_found_later_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut last = LastFound::new(folder.path());
        assert_eq!(last.newer(), None);
        write(folder.path(), &Catalogue::default(), &Near::default(), 0.95).unwrap();
        assert_eq!(last.newer(), Some(Alike::default()));
        assert_eq!(last.newer(), None);
        assert_eq!(likeness(folder.path()), Some(0.95));
        // The same again is no new file.
        write(folder.path(), &Catalogue::default(), &Near::default(), 0.95).unwrap();
        assert_eq!(last.newer(), None);
        write(folder.path(), &Catalogue::default(), &Near::default(), 0.9).unwrap();
        assert_eq!(last.newer(), Some(Alike::default()));
        assert_eq!(LastFound::new(folder.path()).newer(), None);
    }
}
