//! Labels that come back: rows of CSV, Parquet or Label Studio's tasks with what a person made of them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use thiserror::Error;

use super::columns::{LABEL, LABEL_WAS};
use super::format::Format;
use super::reader::{BadLines, is_gzip};
use super::record::{LineError, from_hex};
use crate::csv_lines::noted;

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRow {
    /// The sample's path, raw bytes.
    pub path: Option<Vec<u8>>,
    /// The sample's content.
    pub hash: Option<RowHash>,
    /// The label; never empty.
    pub label: String,
    /// The label when the file was exported; none where the file does not say.
    pub was: Option<String>,
    /// Who said so, where the file tells.
    pub by: Option<String>,
}

/// A hash as a row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowHash {
    /// Hexadecimal digits.
    pub text: String,
    /// The algorithm's name, where the file says it.
    pub algorithm: Option<String>,
}

impl LabelRow {
    /// The same at a path: its bytes in hexadecimal where there are some, else its text.
    pub(super) fn at(self, path: Option<String>, hex: Option<&str>) -> Result<Self, LineError> {
        let path = match hex.filter(|hex| !hex.is_empty()) {
            Some(hex) => Some(from_hex(hex).ok_or_else(|| LineError("a path's bytes are not hexadecimal".to_owned()))?),
            None => path.map(String::into_bytes),
        };
        Ok(Self { path: path.filter(|path| !path.is_empty()), ..self })
    }

    /// Whether it is a person's word: it is not what the file was exported with.
    pub fn is_changed(&self) -> bool {
        self.was.as_ref().is_none_or(|was| *was != self.label)
    }
}

/// A file of labels that can't be read.
#[derive(Debug, Error)]
pub enum RowsError {
    /// The system says no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no CSV.
    #[error("{}: {source}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        source: csv::Error,
    },
    /// It is no JSON list.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        source: serde_json::Error,
    },
    /// It is no Parquet, or one that can't be read.
    #[error("{}: {source}{}", path.display(), hint(source))]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ParquetError,
    },
    /// It does not say what is what.
    #[error("{}: there is no column {missing}; the columns are {found}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// What is missing.
        missing: &'static str,
        /// What is there.
        found: String,
    },
    /// It holds no labels.
    #[error("{}: no labels are read from {format}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it is.
        format: &'static str,
    },
}

fn hint(error: &ParquetError) -> &'static str {
    match error.to_string().contains("feature") {
        true => " (drumfs reads Parquet that is compressed with snappy or not at all: write it so)",
        false => "",
    }
}

pub use super::label_studio::read_tasks;

/// What columns are called that say which sample is meant, the first that is there.
const PATHS: [&str; 4] = ["relative_path", "path", "file_name", "file"];
const PATH_BYTES: &str = "relative_path_bytes";
const HASH: &str = "hash";
const ALGORITHM: &str = "hash_algorithm";
const NO_PATH: &str = "`relative_path`, `path` or `file_name`, and no `hash` either";

/// Reads the rows of a file, one after the other, and gives those with a label. A row that is wrong costs itself alone.
/// Returns how many rows there are.
///
/// # Errors
/// [`RowsError`] where the file as a whole can't be read.
pub fn read_labels(
    path: &Path,
    format: Format,
    bad: &mut BadLines,
    each: &mut dyn FnMut(u64, LabelRow),
) -> Result<u64, RowsError> {
    let io_failed = |source| RowsError::Io { path: path.to_owned(), source };
    let mut rows = 0;
    let mut take = |number: u64, row: Result<Option<LabelRow>, LineError>| {
        rows += 1;
        match row {
            Ok(Some(row)) => each(number, row),
            Ok(None) => {}
            Err(error) => bad.note(format!("{}:{number}: {error}", path.display())),
        }
    };
    match format {
        Format::Csv | Format::Hf | Format::Manifest => read_csv(path, open(path).map_err(io_failed)?, &mut take)?,
        Format::Parquet => read_parquet(path, File::open(path).map_err(io_failed)?, &mut take)?,
        Format::Labelstudio => read_tasks(open(path).map_err(io_failed)?, &mut take)
            .map_err(|source| RowsError::Json { path: path.to_owned(), source })?,
        Format::Jsonl => return Err(RowsError::Format { path: path.to_owned(), format: "index.jsonl" }),
        Format::Hashes => return Err(RowsError::Format { path: path.to_owned(), format: "seen_hashes.txt" }),
    }
    Ok(rows)
}

/// A file's bytes, unpacked where they are gzip.
fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut input = BufReader::with_capacity(1 << 16, File::open(path)?);
    Ok(match is_gzip(&mut input)? {
        true => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(input))),
        false => Box::new(input),
    })
}

type Take<'f> = dyn FnMut(u64, Result<Option<LabelRow>, LineError>) + 'f;

/// Reads CSV, whatever stands between the fields: a comma, or what spreadsheets put there instead.
pub fn read_csv(path: &Path, mut input: impl BufRead, take: &mut Take<'_>) -> Result<(), RowsError> {
    let failed = |source| RowsError::Csv { path: path.to_owned(), source };
    let start = input.fill_buf().map_err(|source| RowsError::Io { path: path.to_owned(), source })?;
    let first = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let delimiter = [b',', b';', b'\t'].into_iter().find(|delimiter| first.contains(delimiter)).unwrap_or(b',');
    let (noted, mut lines) = noted(input);
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).trim(csv::Trim::Headers).from_reader(noted);
    let headers = reader.byte_headers().map_err(failed)?.clone();
    let name = |header: &[u8]| header.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(header).to_ascii_lowercase();
    let column = |wanted: &str| headers.iter().position(|header| name(header) == wanted.as_bytes());
    let missing = |missing| {
        let found: Vec<_> = headers.iter().map(|header| format!("`{}`", String::from_utf8_lossy(header))).collect();
        RowsError::Column { path: path.to_owned(), missing, found: found.join(", ") }
    };
    let label_at = column(LABEL).ok_or_else(|| missing("`label`"))?;
    let path_at = PATHS.iter().find_map(|name| column(name));
    let (bytes_at, hash_at) = (column(PATH_BYTES), column(HASH));
    if path_at.is_none() && hash_at.is_none() {
        return Err(missing(NO_PATH));
    }
    let (was_at, algorithm_at) = (column(LABEL_WAS), column(ALGORITHM));
    let mut record = csv::ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) if error.is_io_error() => return Err(failed(error)),
            Err(error) => {
                take(lines.at(reader.position().byte()), Err(LineError(error.to_string())));
                continue;
            }
        }
        if record.len() <= label_at && record.iter().any(|field| !field.is_empty()) {
            // An open quote takes all that follows for one field.
            let counts = format!("it has {} of {} fields", record.len(), headers.len());
            // The end of the file's last line is within the field then.
            let last = u64::from(record.as_slice().ends_with(b"\n"));
            let line = lines.of(&record, reader.position().byte()) + last;
            take(line, Err(LineError(format!("{counts}, and no label: is a quote left open?"))));
            continue;
        }
        let field = |at: Option<usize>| at.and_then(|at| record.get(at)).unwrap_or_default().trim_ascii();
        let text = |at| String::from_utf8_lossy(field(at)).into_owned();
        let some = |at| Some(text(at)).filter(|text| !text.is_empty());
        let label = text(Some(label_at));
        let line = lines.of(&record, reader.position().byte());
        if label.is_empty() {
            take(line, Ok(None));
            continue;
        }
        let row = LabelRow {
            path: Some(path_at.and_then(|at| record.get(at)).unwrap_or_default().to_vec()),
            hash: some(hash_at).map(|text| RowHash { text, algorithm: some(algorithm_at) }),
            label,
            was: was_at.map(|at| text(Some(at))),
            by: None,
        };
        let row = match some(bytes_at) {
            Some(hex) => row.at(None, Some(&hex)),
            None => Ok(LabelRow { path: row.path.clone().filter(|path| !path.is_empty()), ..row }),
        };
        take(line, row.map(Some));
    }
}

/// Reads Parquet, of which only the columns that say something here.
pub fn read_parquet(
    path: &Path,
    file: impl parquet::file::reader::ChunkReader + 'static,
    take: &mut Take<'_>,
) -> Result<(), RowsError> {
    let panicked = |payload: Box<dyn std::any::Any + Send>| {
        let source = ParquetError::General(format!("it is damaged: {}", crate::panic_message(payload.as_ref())));
        Err(RowsError::Parquet { path: path.to_owned(), source })
    };
    // The reader panics on some damaged files.
    crate::catch_quietly(|| parquet_rows(path, file, take)).unwrap_or_else(panicked)
}

fn parquet_rows(
    path: &Path,
    file: impl parquet::file::reader::ChunkReader + 'static,
    take: &mut Take<'_>,
) -> Result<(), RowsError> {
    let failed = |source| RowsError::Parquet { path: path.to_owned(), source };
    let reader = SerializedFileReader::new(file).map_err(failed)?;
    let schema = reader.metadata().file_metadata().schema().clone();
    let names: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
    let missing = |missing| {
        let found: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        RowsError::Column { path: path.to_owned(), missing, found: found.join(", ") }
    };
    let column = PATHS.into_iter().find(|name| names.contains(name));
    if !names.contains(&LABEL) {
        return Err(missing("`label`"));
    }
    if column.is_none() && !names.contains(&HASH) {
        return Err(missing(NO_PATH));
    }
    let wanted: Vec<&str> = [LABEL, LABEL_WAS, PATH_BYTES, HASH, ALGORITHM].into_iter().chain(column).collect();
    let fields: Vec<Arc<Type>> =
        schema.get_fields().iter().filter(|field| wanted.contains(&field.name())).cloned().collect();
    let projection = Type::group_type_builder(schema.name()).with_fields(fields).build().map_err(failed)?;
    let rows = reader.get_row_iter(Some(projection)).map_err(failed)?;
    for (row, number) in rows.zip(1..) {
        take(number, parquet_row(&row.map_err(failed)?, column));
    }
    Ok(())
}

fn parquet_row(row: &Row, path: Option<&str>) -> Result<Option<LabelRow>, LineError> {
    let mut found: [Option<String>; 6] = Default::default();
    for (name, field) in row.get_column_iter() {
        let place = match &name[..] {
            LABEL => 0,
            LABEL_WAS => 1,
            PATH_BYTES => 2,
            HASH => 3,
            ALGORITHM => 4,
            name if Some(name) == path => 5,
            _ => continue,
        };
        let text = match field {
            Field::Null => None,
            Field::Str(text) => Some(text.clone()),
            Field::Bytes(bytes) => Some(String::from_utf8_lossy(bytes.data()).into_owned()),
            _ => return Err(LineError(format!("`{name}` is no text"))),
        };
        if let Some(slot) = found.get_mut(place) {
            // Names may begin and end with spaces.
            *slot = text.map(|text| if place == 5 { text } else { text.trim().to_owned() });
        }
    }
    let has_was = row.get_column_iter().any(|(name, _)| name == LABEL_WAS);
    let [label, was, hex, hash, algorithm, path] = found;
    let Some(label) = label.filter(|label| !label.is_empty()) else { return Ok(None) };
    let hash = hash.filter(|hash| !hash.is_empty()).map(|text| RowHash { text, algorithm });
    let was = has_was.then(|| was.unwrap_or_default());
    LabelRow { path: None, hash, label, was, by: None }.at(path, hex.as_deref()).map(Some)
}

/// The hashes of `seen_hashes.txt`: one a line. Blank lines say nothing.
///
/// # Errors
/// Where it can't be read.
pub fn read_hashes(
    path: &Path,
    bad: &mut BadLines,
    each: &mut dyn FnMut(crate::archive::ContentHash),
) -> Result<u64, RowsError> {
    let failed = |source| RowsError::Io { path: path.to_owned(), source };
    let mut input = open(path).map_err(failed)?;
    let (mut line, mut number, mut rows) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        // No hash is longer; what is, is no hash, and is not held whole.
        if (&mut input).take(4096).read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return Ok(rows);
        }
        number += 1;
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        rows += 1;
        match super::record::read_hash(&String::from_utf8_lossy(text), None) {
            Ok(hash) => each(hash),
            Err(error) => bad.note(format!("{}:{number}: {error}", path.display())),
        }
    }
}
