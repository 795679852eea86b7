//! Reading an index line by line: memory stays what it is, however long the file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use thiserror::Error;

use super::record::{LineError, Record};

/// A line this long is no record, in bytes: one with a thousand labels has some 20 KB.
const MAX_LINE: u64 = 1 << 22;

/// What the first bytes of a gzip stream are (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1F, 0x8B];

/// What keeps an index, or a line of it, from being read.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The file can't be read any further.
    #[error("{}: {source}{}", path.display(), hint(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system, or gzip, said.
        source: io::Error,
    },
    /// One line is no record; those after it are read all the same.
    #[error("{}:{line}: not a record of an index: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: LineError,
    },
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => " (it ends in the middle: was it copied whole?)",
        _ => "",
    }
}

/// The records of an index.jsonl, drumfs's own or the older pipeline's, one after the other. gzip is recognised,
/// whatever the file is called; blank lines say nothing.
///
/// After [`IndexError::Line`] it goes on with the next line; after [`IndexError::Io`] there is nothing more.
pub struct IndexReader {
    path: PathBuf,
    input: Option<Box<dyn BufRead + Send>>,
    line: u64,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for IndexReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexReader").field("path", &self.path).field("line", &self.line).finish_non_exhaustive()
    }
}

impl IndexReader {
    /// Opens an index.
    ///
    /// # Errors
    /// [`IndexError::Io`].
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let failed = |source| IndexError::Io { path: path.to_owned(), source };
        if path.is_dir() {
            return Err(failed(io::Error::new(io::ErrorKind::IsADirectory, "a folder, not an index.jsonl")));
        }
        let file = File::open(path).map_err(failed)?;
        Self::new(path, file).map_err(failed)
    }

    /// The records in `input`; errors call it `path`.
    ///
    /// # Errors
    /// What the system says at the first bytes.
    pub fn new(path: &Path, input: impl Read + Send + 'static) -> io::Result<Self> {
        let mut input = BufReader::with_capacity(1 << 16, input);
        let input: Box<dyn BufRead + Send> = if is_gzip(&mut input)? {
            Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(input)))
        } else {
            Box::new(input)
        };
        Ok(Self { path: path.to_owned(), input: Some(input), line: 0, buffer: Vec::new() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The line that was read last, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The bytes of the line that was read last.
    pub fn text(&self) -> &[u8] {
        self.buffer.trim_ascii()
    }

    /// Reads one line into the buffer; no more of it than can be a record. None at the end.
    fn next_line(&mut self) -> Option<io::Result<Result<(), LineError>>> {
        let input = self.input.as_mut()?;
        self.buffer.clear();
        match input.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.buffer) {
            Err(error) => return Some(Err(error)),
            Ok(0) => return None,
            Ok(_) => {}
        }
        self.line += 1;
        if self.buffer.ends_with(b"\n") || (self.buffer.len() as u64) < MAX_LINE {
            return Some(Ok(Ok(())));
        }
        self.buffer = Vec::new();
        Some(skip_line(input).map(|()| Err(LineError(format!("the line is longer than {} MB", MAX_LINE >> 20)))))
    }
}

/// Whether what comes is gzip, whatever the file is called.
pub(super) fn is_gzip(input: &mut impl BufRead) -> io::Result<bool> {
    Ok(input.fill_buf()?.starts_with(&GZIP))
}

/// Passes over the rest of a line.
fn skip_line(input: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let part = input.fill_buf()?;
        let (used, ended) = match part.iter().position(|&byte| byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (part.len(), part.is_empty()),
        };
        input.consume(used);
        if ended {
            return Ok(());
        }
    }
}

impl Iterator for IndexReader {
    type Item = Result<Record, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let read = match self.next_line()? {
                Ok(read) => read,
                Err(source) => {
                    self.input = None;
                    return Some(Err(IndexError::Io { path: self.path.clone(), source }));
                }
            };
            if self.line == 1 && self.buffer.starts_with(b"\xEF\xBB\xBF") {
                // A byte order mark, as some editors leave one.
                self.buffer.drain(..3);
            }
            if read.is_ok() && self.text().is_empty() {
                continue;
            }
            let record = read.and_then(|()| Record::parse(self.text()));
            let (path, line) = (&self.path, self.line);
            return Some(record.map_err(|reason| IndexError::Line { path: path.clone(), line, reason }));
        }
    }
}

/// How many of them are told one by one.
const TOLD: usize = 5;

/// Lines that were passed over, counted; the first few are kept to be told.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct BadLines {
    count: u64,
    first: Vec<String>,
}

impl BadLines {
    /// One more.
    pub fn note(&mut self, error: impl ToString) {
        self.count += 1;
        if self.first.len() < TOLD {
            self.first.push(error.to_string());
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first few, and how many more there were.
    pub fn sentences(&self) -> Vec<String> {
        let mut said = self.first.clone();
        let more = self.count - self.first.len() as u64;
        if more > 0 {
            said.push(format!("and {more} more lines that are no records"));
        }
        said
    }

    /// Passes records on and keeps what is wrong with single lines; only what ends the reading is an error.
    ///
    /// # Errors
    /// [`IndexError::Io`].
    pub fn passing<'a>(
        &'a mut self,
        records: impl Iterator<Item = Result<Record, IndexError>> + 'a,
    ) -> impl Iterator<Item = Result<Record, IndexError>> + 'a {
        records.filter_map(|record| match record {
            Err(error @ IndexError::Line { .. }) => {
                self.note(error);
                None
            }
            record => Some(record),
        })
    }
}
