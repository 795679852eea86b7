//! `near.json`: which contents were found to be nearly the same sound, beside the store, for `duplicates: hide-near`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Near;
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
    let Ok(text) = fs::read(folder.join(NAME)) else { return Alike::default() };
    let parse = || {
        let file: File = serde_json::from_slice(&text).ok().filter(|file: &File| file.version == VERSION)?;
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

/// Writes down what a search found in a catalogue.
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
    write_whole(&folder.join(NAME), &serde_json::to_vec(&file)?)
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
    }
}
