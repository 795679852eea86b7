//! `journal.jsonl`: what people said, one line each, in plain text, synced before it is acknowledged.
//!
//! The database holds the same and is what drumfs reads. The journal is what a damaged database is made from, and
//! what a person can read with any tool. A line that was cut off by a crash is passed over: it was never acknowledged.
//! Each line ends in a checksum of the rest of it, so that a flipped bit costs that line and never changes a word.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in seconds since 1970.
    pub at: f64,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What a person said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A label for one content, or none: the override is taken back.
    Override {
        /// Hexadecimal digest.
        hash: String,
        /// Name of the algorithm of `hash`.
        hash_algorithm: String,
        /// The label; none takes the override back.
        label: Option<String>,
        /// A remark.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// Who said so, where that was told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// Whether this took the last word on the content back.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        undo: bool,
    },
    /// Rules that were saved and are in force.
    Rules {
        /// The text of rules.yml.
        text: String,
    },
}

/// The journal file, open for appending.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

impl Journal {
    /// Opens or makes the journal. A last line without its end is cut off, so that the next one starts cleanly.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let len = file.seek(SeekFrom::End(0))?;
        let mut kept = 0u64;
        file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let n = reader.read_until(b'\n', &mut line)?;
            if n == 0 || !line.ends_with(b"\n") {
                break;
            }
            kept += n as u64;
        }
        if kept < len {
            file.set_len(kept)?;
        }
        Ok(Self { file })
    }

    /// Appends entries and syncs them: when this returns, they are on the disk.
    pub fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut text = Vec::new();
        for entry in entries {
            let line = serde_json::to_vec(entry)?;
            text.extend(sealed(&line));
            text.push(b'\n');
        }
        let before = self.file.seek(SeekFrom::End(0))?;
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // A half-written line must not swallow the next one.
            self.file.set_len(before)?;
        }
        written
    }

    /// Keeps the journal at `path` as `aside`, and opens one in its place that has every entry that can be read. It is
    /// renamed over the old one when it is on the disk: a crash leaves one or the other.
    pub fn mend(path: &Path, aside: &Path) -> io::Result<Self> {
        let (entries, _) = Self::read(path)?;
        let fresh = path.with_extension("jsonl.new");
        drop(std::fs::remove_file(&fresh));
        Self::open(&fresh)?.append(&entries)?;
        std::fs::copy(path, aside)?;
        std::fs::rename(&fresh, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Self::open(path)
    }

    /// Every entry of the journal at `path` that can be read, oldest first, and how many lines could not.
    pub fn read(path: &Path) -> io::Result<(Vec<Entry>, usize)> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
            Err(error) => return Err(error),
        };
        let (mut entries, mut bad) = (Vec::new(), 0);
        for line in BufReader::new(file).split(b'\n') {
            let line = line?;
            match is_whole(&line).then(|| serde_json::from_slice(&line)) {
                Some(Ok(entry)) => entries.push(entry),
                Some(Err(_)) if line.iter().all(u8::is_ascii_whitespace) => {}
                Some(Err(_)) | None => bad += 1,
            }
        }
        Ok((entries, bad))
    }
}

/// What stands between an entry and its checksum: the last key of the object.
const SEAL: &[u8] = b",\"sum\":\"";

/// Length of a checksum with what is around it: XXH3 of 64 bits in hexadecimal, a quote and a brace.
const SEAL_LEN: usize = SEAL.len() + 16 + 2;

/// A JSON object with the checksum of its text as its last key.
fn sealed(line: &[u8]) -> Vec<u8> {
    let mut sealed = line.strip_suffix(b"}").unwrap_or(line).to_vec();
    sealed.extend_from_slice(SEAL);
    sealed.extend_from_slice(format!("{:016x}\"}}", xxh3_64(line)).as_bytes());
    sealed
}

/// Whether a line is as it was written. Lines of older versions have no checksum and are taken as they are.
fn is_whole(line: &[u8]) -> bool {
    let Some((before, seal)) = line.len().checked_sub(SEAL_LEN).and_then(|at| line.split_at_checked(at)) else {
        return true;
    };
    !seal.starts_with(SEAL) || sealed(&[before, b"}"].concat()) == line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(label: &str) -> Entry {
        let event = Event::Override {
            hash: "00".to_owned(),
            hash_algorithm: "xxh3".to_owned(),
            label: Some(label.to_owned()),
            note: None,
            by: None,
            undo: false,
        };
        Entry { at: 1.5, event }
    }

    #[test]
    fn a_line_cut_off_by_a_crash_does_not_swallow_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        Journal::open(&path).unwrap().append(&[entry("Kick")]).unwrap();
        let mut cut = std::fs::read(&path).unwrap();
        cut.extend_from_slice(b"{\"at\":2,\"event\":\"over");
        std::fs::write(&path, &cut).unwrap();
        Journal::open(&path).unwrap().append(&[entry("Snare")]).unwrap();
        assert_eq!(Journal::read(&path).unwrap(), (vec![entry("Kick"), entry("Snare")], 0));
    }

    #[test]
    fn no_flipped_bit_changes_a_word_and_lines_of_older_versions_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        Journal::open(&path).unwrap().append(&[entry("Kick")]).unwrap();
        let line = std::fs::read(&path).unwrap();
        for bit in 0..line.len() * 8 {
            let mut flipped = line.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &flipped).unwrap();
            let (entries, _) = Journal::read(&path).unwrap();
            assert!(entries.iter().all(|found| *found == entry("Kick")), "bit {bit}: {entries:?}");
        }
        let old = serde_json::to_string(&entry("Snare")).unwrap();
        std::fs::write(&path, format!("{old}\n")).unwrap();
        assert_eq!(Journal::read(&path).unwrap(), (vec![entry("Snare")], 0));
    }

    #[test]
    fn lines_that_are_no_entries_are_counted_and_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        Journal::open(&path).unwrap().append(&[entry("Kick")]).unwrap();
        let mut text = std::fs::read(&path).unwrap();
        text.splice(0..0, *b"\xff\xfe garbage\n\n");
        std::fs::write(&path, text).unwrap();
        assert_eq!(Journal::read(&path).unwrap(), (vec![entry("Kick")], 1));
    }
}
