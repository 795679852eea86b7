//! The lines that records of a CSV file begin on. The reader itself counts those of files with Windows' ends of lines one
//! too low, and does not count blank lines before a record: it notes where it stood before it read.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;

/// Where the ends of lines are that were read and not counted yet, as offsets of `\n` in bytes.
type Ends = Rc<RefCell<VecDeque<u64>>>;

/// An input that notes where its lines end.
#[derive(Debug)]
pub(crate) struct Noted<R> {
    input: R,
    at: u64,
    ends: Ends,
}

/// Counts the lines of a [`csv::Reader`] over a [`Noted`] input. Memory does not grow with the file.
#[derive(Debug)]
pub(crate) struct Lines {
    ends: Ends,
    passed: u64,
}

/// An input for a [`csv::Reader`], and what counts its lines.
pub(crate) fn noted<R: Read>(input: R) -> (Noted<R>, Lines) {
    let ends = Ends::default();
    (Noted { input, at: 0, ends: Rc::clone(&ends) }, Lines { ends, passed: 0 })
}

impl<R: Read> Read for Noted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        let new = buffer.get(..read).unwrap_or_default();
        let ends = (self.at..).zip(new).filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        self.ends.borrow_mut().extend(ends);
        self.at += read as u64;
        Ok(read)
    }
}

impl Lines {
    /// The line, from 1, that a record begins on which was just read up to the offset `end`
    /// (`reader.position().byte()`).
    pub fn of(&mut self, record: &csv::ByteRecord, end: u64) -> u64 {
        let last = self.at(end);
        let within = record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        last.saturating_sub(within).max(1)
    }

    /// The line that was being read where reading failed before the offset `end`.
    pub fn at(&mut self, end: u64) -> u64 {
        let mut ends = self.ends.borrow_mut();
        // What ends the record itself is its last byte, or comes after it.
        while ends.front().is_some_and(|at| at + 1 < end) {
            ends.pop_front();
            self.passed += 1;
        }
        self.passed + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<(u64, String)> {
        let (input, mut lines) = noted(text);
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
        reader.byte_headers().unwrap();
        let mut record = csv::ByteRecord::new();
        let mut found = Vec::new();
        while reader.read_byte_record(&mut record).unwrap() {
            let line = lines.of(&record, reader.position().byte());
            found.push((line, String::from_utf8_lossy(record.get(0).unwrap()).into_owned()));
        }
        found
    }

    #[test]
    fn a_record_is_on_the_line_that_an_editor_shows_whatever_ends_the_lines() {
        let text = "path,label\na,1\n\n\nb,2\n\"c\nc\",3\n\"d\n\n\",\"4\n\"\ne,5";
        let expected = [(2, "a"), (5, "b"), (6, "c\nc"), (8, "d\n\n"), (12, "e")].map(|(l, t)| (l, t.to_owned()));
        assert_eq!(lines(text.as_bytes()), expected);
        assert_eq!(lines(format!("{text}\n").as_bytes()), expected);
        let windows = text.replace('\n', "\r\n");
        let expected = expected.map(|(line, text)| (line, text.replace('\n', "\r\n")));
        assert_eq!(lines(windows.as_bytes()), expected);
        assert_eq!(lines(format!("{windows}\r\n").as_bytes()), expected);
    }

    #[test]
    fn files_that_are_longer_than_a_buffer_are_counted_to_their_end() {
        let text: String = (0..50_000).map(|number| format!("{number},x\r\n")).collect();
        let found = lines(format!("path,label\r\n{text}").as_bytes());
        assert_eq!(found.last(), Some(&(50_001, "49999".to_owned())));
    }
}
