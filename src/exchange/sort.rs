//! Sorting more than memory holds: parts are sorted and put aside on disk, and merged while they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// So many bytes are held before a part is put aside.
const HELD: usize = 48 << 20;

/// What an entry takes beside its bytes, about.
const ENTRY: usize = 64;

/// So many parts are merged at a time, each with a buffer of [`BUFFER`] bytes and an open file.
const PARTS: usize = 96;
const BUFFER: usize = 1 << 16;

/// An entry: what it is sorted by, and what it is.
type Entry = (Vec<u8>, Vec<u8>);

/// Takes entries and gives them back ordered by key, equal keys by value: the order in which they came plays no part.
#[derive(Debug)]
pub struct Sorter {
    folder: PathBuf,
    limit: usize,
    held: usize,
    entries: Vec<Entry>,
    parts: Vec<File>,
}

impl Sorter {
    /// A sorter that puts parts aside in `folder`, in files without a name: nothing is left of them, whatever happens.
    pub fn new(folder: &Path) -> Self {
        Self::with_limit(folder, HELD)
    }

    /// The same, holding so many bytes.
    fn with_limit(folder: &Path, limit: usize) -> Self {
        Self { folder: folder.to_owned(), limit, held: 0, entries: Vec::new(), parts: Vec::new() }
    }

    /// Takes an entry.
    ///
    /// # Errors
    /// Where a part can't be put aside.
    pub fn push(&mut self, key: Vec<u8>, value: Vec<u8>) -> io::Result<()> {
        self.held += key.len() + value.len() + ENTRY;
        self.entries.push((key, value));
        if self.held < self.limit {
            return Ok(());
        }
        self.entries.sort_unstable();
        let mut part = self.part()?;
        for (key, value) in self.entries.drain(..) {
            write_entry(&mut part, &key, &value)?;
        }
        self.held = 0;
        self.put_aside(part)?;
        if self.parts.len() == PARTS {
            // One longer part in place of many.
            let merged = Sorted::new(Vec::new(), std::mem::take(&mut self.parts))?;
            let mut part = self.part()?;
            for entry in merged {
                let (key, value) = entry?;
                write_entry(&mut part, &key, &value)?;
            }
            self.put_aside(part)?;
        }
        Ok(())
    }

    fn part(&self) -> io::Result<BufWriter<File>> {
        let name = format!(".drumfs-sort-{}-{:p}.tmp", std::process::id(), self);
        let path = self.folder.join(name);
        drop(fs::remove_file(&path));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        Ok(BufWriter::with_capacity(1 << 20, file))
    }

    fn put_aside(&mut self, part: BufWriter<File>) -> io::Result<()> {
        let mut file = part.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.parts.push(file);
        Ok(())
    }

    /// Everything, in order.
    ///
    /// # Errors
    /// Where a part can't be read.
    pub fn sorted(mut self) -> io::Result<Sorted> {
        self.entries.sort_unstable();
        Sorted::new(self.entries, self.parts)
    }
}

fn write_entry(to: &mut impl Write, key: &[u8], value: &[u8]) -> io::Result<()> {
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| io::Error::other("an entry is too long"));
    to.write_all(&len(key)?.to_le_bytes())?;
    to.write_all(&len(value)?.to_le_bytes())?;
    to.write_all(key)?;
    to.write_all(value)
}

fn read_entry(from: &mut impl Read) -> io::Result<Option<Entry>> {
    let mut lengths = [0u8; 8];
    match from.read_exact(&mut lengths) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let [a, b, c, d, e, f, g, h] = lengths;
    let mut part = |len: [u8; 4]| {
        let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
        from.read_exact(&mut bytes).map(|()| bytes)
    };
    Ok(Some((part([a, b, c, d])?, part([e, f, g, h])?)))
}

/// Entries in order.
pub struct Sorted {
    last: std::vec::IntoIter<Entry>,
    parts: Vec<BufReader<File>>,
    /// The next entry of each part, and of what is still in memory under the number after the last part.
    next: BinaryHeap<Reverse<(Entry, usize)>>,
}

impl Sorted {
    fn new(entries: Vec<Entry>, parts: Vec<File>) -> io::Result<Self> {
        let parts = parts.into_iter().map(|file| BufReader::with_capacity(BUFFER, file)).collect();
        let mut sorted = Self { last: entries.into_iter(), parts, next: BinaryHeap::new() };
        for number in 0..=sorted.parts.len() {
            sorted.advance(number)?;
        }
        Ok(sorted)
    }

    fn advance(&mut self, number: usize) -> io::Result<()> {
        let entry = match self.parts.get_mut(number) {
            Some(part) => read_entry(part)?,
            None => self.last.next(),
        };
        self.next.extend(entry.map(|entry| Reverse((entry, number))));
        Ok(())
    }
}

impl Iterator for Sorted {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((entry, number)) = self.next.pop()?;
        Some(self.advance(number).map(|()| entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_memory_holds_comes_back_in_order_whatever_the_order_it_came_in() {
        let folder = tempfile::tempdir().unwrap();
        let numbers: Vec<u32> = (0..5000u32).map(|n| n.wrapping_mul(2_654_435_761) % 1000).collect();
        let sorted = |numbers: &mut dyn Iterator<Item = &u32>| -> Vec<Entry> {
            let mut sorter = Sorter::with_limit(folder.path(), 2000);
            for number in numbers {
                let value = (number % 7).to_be_bytes().to_vec();
                sorter.push(number.to_be_bytes().to_vec(), value).unwrap();
            }
            assert!(!sorter.parts.is_empty());
            sorter.sorted().unwrap().collect::<io::Result<_>>().unwrap()
        };
        let there = sorted(&mut numbers.iter());
        assert_eq!(there.len(), 5000);
        assert!(there.is_sorted());
        assert_eq!(there, sorted(&mut numbers.iter().rev()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "parts have no names");
    }
}
