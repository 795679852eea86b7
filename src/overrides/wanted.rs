//! Which samples the lines of a file may speak of, so that a few words need no catalogue of a million samples.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Line;
use crate::archive::ContentHash;

/// The paths and hashes in lines of overrides.jsonl.
#[derive(Debug, Default)]
pub struct Wanted {
    paths: HashSet<Vec<u8>>,
    /// Hexadecimal digits, in lower case.
    hashes: HashSet<String>,
}

impl Wanted {
    /// Those of the lines of `text` that are right; older files may have absolute paths in the archive at `root`.
    pub fn of(text: &[u8], root: &Path) -> Self {
        let root = root.as_os_str().as_bytes();
        let mut wanted = Self::default();
        for line in text.split(|&b| b == b'\n') {
            let Ok(Some(line)) = Line::parse(line) else { continue };
            wanted.hashes.extend(line.hash.map(|digest| digest.text.to_ascii_lowercase()));
            if let Some(path) = line.path {
                let inside = path.strip_prefix(root).and_then(|path| path.strip_prefix(b"/"));
                let relative = inside.map(<[u8]>::to_vec);
                wanted.paths.insert(relative.unwrap_or(path));
            }
        }
        wanted
    }

    /// Whether a line may mean a sample: by its path in the archive, or by its content.
    pub fn may_be(&self, path: &[u8], hash: Option<&ContentHash>) -> bool {
        self.paths.contains(path) || hash.is_some_and(|hash| self.hashes.contains(&hash.to_hex()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::HashAlgorithm;

    #[test]
    fn samples_are_wanted_by_path_inside_or_absolute_and_by_hash_in_either_case() {
        let (one, other) = ("ab".repeat(16), "cd".repeat(16));
        let text = format!(
            "{{\"path\": \"Kick/a.wav\", \"label\": \"Kick\"}}\n\n{{\"path\": \"/archive/b.wav\", \"label\": \"Tom\"}}\n\
             nonsense\n{{\"hash\": \"{}\", \"label\": \"Tom\"}}\n",
            one.to_uppercase()
        );
        let wanted = Wanted::of(text.as_bytes(), Path::new("/archive"));
        let hash = |digits: &str| ContentHash::from_hex(HashAlgorithm::Xxh3, digits).unwrap();
        assert!(wanted.may_be(b"Kick/a.wav", None) && wanted.may_be(b"b.wav", Some(&hash(&other))));
        assert!(wanted.may_be(b"c.wav", Some(&hash(&one))));
        assert!(!wanted.may_be(b"c.wav", Some(&hash(&other))) && !wanted.may_be(b"a.wav", None));
    }
}
