//! `journal.jsonl`: what people said, one line each, in plain text, synced before it is acknowledged.
//!
//! The database holds the same and is what drumfs reads. The journal is what a damaged database is made from, and
//! what a person can read with any tool. A line that was cut off by a crash is passed over: it was never acknowledged.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

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
            serde_json::to_writer(&mut text, entry)?;
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
            match serde_json::from_slice(&line) {
                Ok(entry) => entries.push(entry),
                Err(_) if line.iter().all(u8::is_ascii_whitespace) => {}
                Err(_) => bad += 1,
            }
        }
        Ok((entries, bad))
    }
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
