//! CSV: every column, or those that a Hugging Face audio folder or a manifest of labelled files has.

use std::io;

use super::columns::{COLUMNS, Kind, LABEL, LABEL_WAS, Value};
use super::output::Output;
use super::record::Record;
use super::sort::Sorter;
use super::write::{Table, WriteOptions};
use crate::index::Status;
use crate::index::record::seconds;
use crate::view::SampleRef;

/// What a column of a label's probability is called.
pub const PROB: &str = "prob_";

type Csv = csv::Writer<Output>;

fn csv(output: Output) -> Csv {
    csv::WriterBuilder::new().buffer_capacity(1 << 16).from_writer(output)
}

fn ended(csv: Csv) -> io::Result<Output> {
    csv.into_inner().map_err(csv::IntoInnerError::into_error)
}

fn cell(kind: Kind, value: Value<'_>) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) => text.into_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        // As in index.jsonl: seconds since 1970, exact.
        Value::Long(value) if kind == Kind::Time => seconds(value).get().to_owned(),
        Value::Long(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
    }
}

/// Every column, then each label's probability.
pub struct CsvWriter {
    csv: Csv,
    options: WriteOptions,
}

impl CsvWriter {
    /// Writes the names of the columns.
    pub fn new(output: Output, options: WriteOptions) -> io::Result<Self> {
        let mut csv = csv(output);
        let mut header: Vec<String> = COLUMNS.iter().map(|column| column.name.to_owned()).collect();
        header.splice(1..1, [LABEL.to_owned(), LABEL_WAS.to_owned()]);
        if !options.no_probs {
            header.extend(options.labels.iter().map(|label| format!("{PROB}{label}")));
        }
        csv.write_record(&header)?;
        Ok(Self { csv, options })
    }
}

impl Table for CsvWriter {
    fn write(&mut self, record: &Record) -> io::Result<bool> {
        for (place, column) in COLUMNS.iter().enumerate() {
            if place == 1 {
                let label = self.options.label.of(record).unwrap_or_default();
                self.csv.write_field(label)?;
                self.csv.write_field(label)?;
            }
            self.csv.write_field(cell(column.kind, (column.value)(record)))?;
        }
        if !self.options.no_probs {
            for place in 0..self.options.labels.len() {
                let probability = record.sample.probs.get(place).map(f32::to_string);
                self.csv.write_field(probability.unwrap_or_default())?;
            }
        }
        self.csv.write_record(None::<&[u8]>)?;
        Ok(true)
    }

    fn finish(self: Box<Self>) -> io::Result<Output> {
        ended(self.csv)
    }
}

/// The path with what comes before it; none where it is not UTF-8, which these formats have to be.
fn file_name(record: &Record, prefix: Option<&str>) -> Option<String> {
    let path = std::str::from_utf8(&record.sample.path).ok()?;
    Some(format!("{}{path}", prefix.unwrap_or_default()))
}

/// `metadata.csv` of an audio folder: `file_name` first, relative to the folder that metadata.csv lies in.
pub struct HfWriter {
    csv: Csv,
    options: WriteOptions,
}

impl HfWriter {
    const HEADER: [&str; 11] = [
        "file_name",
        LABEL,
        LABEL_WAS,
        "label_top1",
        "confidence",
        "hash",
        "hash_algorithm",
        "duration_sec",
        "sample_rate",
        "channels",
        "model",
    ];

    /// Writes the names of the columns.
    pub fn new(output: Output, options: WriteOptions) -> io::Result<Self> {
        let mut csv = csv(output);
        csv.write_record(Self::HEADER)?;
        Ok(Self { csv, options })
    }
}

impl Table for HfWriter {
    fn write(&mut self, record: &Record) -> io::Result<bool> {
        // What can't be decoded here can't be there either.
        let (Status::Ok, Some(name), Some(label)) =
            (record.sample.status, file_name(record, self.options.prefix.as_deref()), self.options.label.of(record))
        else {
            return Ok(false);
        };
        let some = |value: Option<String>| value.unwrap_or_default();
        self.csv.write_record([
            &name[..],
            label,
            label,
            record.label_top1.as_deref().unwrap_or_default(),
            &some(record.assigned_confidence.or(record.conf_top1).map(|value| value.to_string())),
            &some(record.sample.hash.map(|hash| hash.to_hex())),
            record.sample.hash.map(|hash| hash.algorithm().name()).unwrap_or_default(),
            &some(record.sound.duration_sec.map(|value| value.to_string())),
            &some(record.sound.sample_rate.map(|value| value.to_string())),
            &some(record.sound.channels.map(|value| value.to_string())),
            record.model.as_deref().unwrap_or_default(),
        ])?;
        Ok(true)
    }

    fn finish(self: Box<Self>) -> io::Result<Output> {
        ended(self.csv)
    }
}

/// A manifest that says the same in the same bytes: ordered by path, whatever order records come in, and nothing in it
/// changes but where a file or its label does.
pub struct ManifestWriter {
    csv: Csv,
    options: WriteOptions,
    rows: Sorter,
}

impl ManifestWriter {
    /// Writes the names of the columns.
    pub fn new(output: Output, options: WriteOptions) -> io::Result<Self> {
        let rows = Sorter::new(&output.folder());
        let mut csv = csv(output);
        csv.write_record(["path", LABEL, "kit", LABEL_WAS, "hash", "hash_algorithm", "size"])?;
        Ok(Self { csv, options, rows })
    }
}

impl Table for ManifestWriter {
    fn write(&mut self, record: &Record) -> io::Result<bool> {
        let (Status::Ok, Some(label)) = (record.sample.status, self.options.label.of(record)) else {
            return Ok(false);
        };
        let mut path = self.options.prefix.clone().unwrap_or_default().into_bytes();
        path.extend_from_slice(&record.sample.path);
        let hash = record.sample.hash;
        let row: [&[u8]; 7] = [
            &path,
            label.as_bytes(),
            SampleRef::from(&record.sample).pack(),
            label.as_bytes(),
            &hash.map(|hash| hash.to_hex().into_bytes()).unwrap_or_default(),
            hash.map(|hash| hash.algorithm().name()).unwrap_or_default().as_bytes(),
            &if record.has_stat { record.sample.size.to_string().into_bytes() } else { Vec::new() },
        ];
        let row = postcard::to_stdvec(&row[..]).map_err(io::Error::other)?;
        self.rows.push(path, row)?;
        Ok(true)
    }

    fn finish(self: Box<Self>) -> io::Result<Output> {
        let Self { mut csv, rows, .. } = *self;
        for row in rows.sorted()? {
            let (_, row) = row?;
            csv.write_record(postcard::from_bytes::<Vec<Vec<u8>>>(&row).map_err(io::Error::other)?)?;
        }
        ended(csv)
    }
}
