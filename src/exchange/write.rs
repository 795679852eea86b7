//! Records to files of other programs, one after the other.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::columns::LabelKind;
use super::format::Format;
use super::label_studio::TaskWriter;
use super::output::Output;
use super::parquet_write::ParquetWriter;
use super::record::{Probs, Record};
use super::table::{CsvWriter, HfWriter, ManifestWriter};

/// Why records could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The file can't be written.
    #[error("{} can't be written: {source}", place(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such file to be written.
    #[error("{0}")]
    Format(&'static str),
}

/// A file as an error names it.
fn place(path: &Path) -> std::borrow::Cow<'_, str> {
    if path == Path::new("-") { "standard output".into() } else { path.to_string_lossy() }
}

/// How to write.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// The fine labels in the order of the probabilities.
    pub labels: Vec<String>,
    /// Which label is in the column `label`.
    pub label: LabelKind,
    /// Probabilities in eight bits each.
    pub quantize: bool,
    /// No probabilities.
    pub no_probs: bool,
    /// What comes before each path, in the formats that say where a file is.
    pub prefix: Option<String>,
    /// The name of the archive's folder.
    pub archive: String,
}

impl WriteOptions {
    /// How a line has its probabilities.
    pub fn probs(&self) -> Probs {
        match (self.no_probs, self.quantize) {
            (true, _) => Probs::None,
            (false, true) => Probs::Whole,
            (false, false) => Probs::Floats,
        }
    }
}

/// One of the formats. What a writer leaves out is no error.
pub(super) trait Table {
    /// Writes a record; false where a file of this kind has no place for it.
    fn write(&mut self, record: &Record) -> io::Result<bool>;

    /// Writes what comes at the end.
    fn finish(self: Box<Self>) -> io::Result<Output>;
}

/// Writes records.
pub struct RecordWriter {
    path: PathBuf,
    table: Box<dyn Table>,
    /// How many were written.
    pub written: u64,
    /// How many were left out: a file of this kind has no place for them.
    pub left_out: u64,
}

impl RecordWriter {
    /// A writer to a file, or to standard output where that is `-`.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn create(path: &Path, format: Format, options: WriteOptions) -> Result<Self, WriteError> {
        if options.quantize && !matches!(format, Format::Jsonl | Format::Parquet) {
            return Err(WriteError::Format("--quantize is for jsonl and parquet: other formats hold decimal text"));
        }
        let failed = |source| WriteError::Io { path: path.to_owned(), source };
        let output = if path == Path::new("-") { Output::stdout() } else { Output::create(path) };
        let output = output.map_err(failed)?;
        let table: Box<dyn Table> = match format {
            Format::Jsonl => Box::new(Lines { output, probs: options.probs() }),
            Format::Csv => Box::new(CsvWriter::new(output, options).map_err(failed)?),
            Format::Hf => Box::new(HfWriter::new(output, options).map_err(failed)?),
            Format::Manifest => Box::new(ManifestWriter::new(output, options).map_err(failed)?),
            Format::Labelstudio => Box::new(TaskWriter::new(output, options).map_err(failed)?),
            Format::Parquet => Box::new(ParquetWriter::new(output, &options).map_err(failed)?),
            Format::Hashes => {
                return Err(WriteError::Format("seen_hashes.txt is only read: nothing here needs one"));
            }
        };
        Ok(Self { path: path.to_owned(), table, written: 0, left_out: 0 })
    }

    /// Writes a record.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn write(&mut self, record: &Record) -> Result<(), WriteError> {
        let written = self.table.write(record);
        match written.map_err(|source| WriteError::Io { path: self.path.clone(), source })? {
            true => self.written += 1,
            false => self.left_out += 1,
        }
        Ok(())
    }

    /// Ends the file and gives it its name.
    ///
    /// # Errors
    /// [`WriteError::Io`]; what was there before is untouched then.
    pub fn finish(self) -> Result<(), WriteError> {
        let finished = self.table.finish().and_then(Output::finish);
        finished.map_err(|source| WriteError::Io { path: self.path, source })
    }
}

/// index.jsonl.
struct Lines {
    output: Output,
    probs: Probs,
}

impl Table for Lines {
    fn write(&mut self, record: &Record) -> io::Result<bool> {
        io::Write::write_all(&mut self.output, &record.line(self.probs))?;
        Ok(true)
    }

    fn finish(self: Box<Self>) -> io::Result<Output> {
        Ok(self.output)
    }
}
