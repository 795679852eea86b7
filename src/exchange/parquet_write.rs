//! Parquet: typed columns, probabilities as a list of floats. One row group is held at a time.

use std::io;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::columns::{COLUMNS, Kind, LABEL, LABEL_WAS, LabelKind, Value};
use super::output::Output;
use super::quantized;
use super::record::Record;
use super::write::{Table, WriteOptions};

/// Rows of a row group: some 30 MB while it is put together.
const ROWS: usize = 1 << 15;

/// Under which key of the file the labels are, as a JSON list in the order of the probabilities.
pub const LABELS_KEY: &str = "drumfs.labels";

/// The values of one column of the row group that is being put together.
enum Values {
    Text(Vec<ByteArray>),
    Bool(Vec<bool>),
    Int(Vec<i32>),
    Long(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
}

/// A column with its definition levels (whether there is a value) and repetition levels (whether it goes on with the
/// list of the row before).
struct Buffer {
    values: Values,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl Buffer {
    fn new(values: Values) -> Self {
        Self { values, definition: Vec::new(), repetition: Vec::new() }
    }

    fn of(kind: Kind) -> Self {
        Self::new(match kind {
            Kind::Text => Values::Text(Vec::new()),
            Kind::Bool => Values::Bool(Vec::new()),
            Kind::Int => Values::Int(Vec::new()),
            Kind::Long | Kind::Time => Values::Long(Vec::new()),
            Kind::Float => Values::Float(Vec::new()),
            Kind::Double => Values::Double(Vec::new()),
        })
    }

    /// A value, or none; one of another kind is none.
    fn push(&mut self, value: Value<'_>) {
        let is_there = match (&mut self.values, value) {
            (Values::Text(all), Value::Text(text)) => {
                all.push(text.into_owned().into_bytes().into());
                true
            }
            (Values::Bool(all), Value::Bool(value)) => {
                all.push(value);
                true
            }
            (Values::Int(all), Value::Int(value)) => {
                all.push(value);
                true
            }
            (Values::Long(all), Value::Long(value)) => {
                all.push(value);
                true
            }
            (Values::Float(all), Value::Float(value)) => {
                all.push(value);
                true
            }
            (Values::Double(all), Value::Double(value)) => {
                all.push(value);
                true
            }
            _ => false,
        };
        self.definition.push(i16::from(is_there));
    }

    /// A list: definition 0 is none, 1 an empty one, 2 an element.
    fn push_list(&mut self, floats: &[f32], quantize: bool) {
        if floats.is_empty() {
            self.definition.push(0);
            self.repetition.push(0);
            return;
        }
        match &mut self.values {
            Values::Int(all) if quantize => all.extend(quantized::quantize(floats).into_iter().map(i32::from)),
            Values::Float(all) => all.extend_from_slice(floats),
            _ => return,
        }
        self.definition.extend(floats.iter().map(|_| 2));
        self.repetition.extend(floats.iter().enumerate().map(|(place, _)| i16::from(place > 0)));
    }

    fn clear(&mut self) {
        match &mut self.values {
            Values::Text(all) => all.clear(),
            Values::Bool(all) => all.clear(),
            Values::Int(all) => all.clear(),
            Values::Long(all) => all.clear(),
            Values::Float(all) => all.clear(),
            Values::Double(all) => all.clear(),
        }
        self.definition.clear();
        self.repetition.clear();
    }

    fn write(&self, to: &mut ColumnWriter<'_>) -> Result<usize, ParquetError> {
        let (definition, repetition) = (Some(&self.definition[..]), Some(&self.repetition[..]));
        let repetition = repetition.filter(|levels| !levels.is_empty());
        match (to, &self.values) {
            (ColumnWriter::ByteArrayColumnWriter(to), Values::Text(all)) => to.write_batch(all, definition, repetition),
            (ColumnWriter::BoolColumnWriter(to), Values::Bool(all)) => to.write_batch(all, definition, repetition),
            (ColumnWriter::Int32ColumnWriter(to), Values::Int(all)) => to.write_batch(all, definition, repetition),
            (ColumnWriter::Int64ColumnWriter(to), Values::Long(all)) => to.write_batch(all, definition, repetition),
            (ColumnWriter::FloatColumnWriter(to), Values::Float(all)) => to.write_batch(all, definition, repetition),
            (ColumnWriter::DoubleColumnWriter(to), Values::Double(all)) => to.write_batch(all, definition, repetition),
            _ => Err(ParquetError::General("a column is of another type than its values".to_owned())),
        }
    }
}

/// Writes a Parquet file.
pub struct ParquetWriter {
    file: SerializedFileWriter<Output>,
    /// The label twice, then [`COLUMNS`], then the probabilities.
    buffers: Vec<Buffer>,
    rows: usize,
    label: LabelKind,
    probs: Option<bool>,
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(source) => io::Error::other(source),
        },
        error => io::Error::other(error),
    }
}

fn schema(probs: Option<bool>) -> String {
    let mut text = format!("message sample {{ optional binary {LABEL} (STRING); optional binary {LABEL_WAS} (STRING);");
    for column in COLUMNS {
        let kind = match column.kind {
            Kind::Text => ("binary", " (STRING)"),
            Kind::Bool => ("boolean", ""),
            Kind::Int => ("int32", ""),
            Kind::Long => ("int64", ""),
            Kind::Time => ("int64", " (TIMESTAMP(NANOS,true))"),
            Kind::Float => ("float", ""),
            Kind::Double => ("double", ""),
        };
        text.push_str(&format!(" optional {} {}{};", kind.0, column.name, kind.1));
    }
    let list = |name: &str, element: &str| {
        format!(" optional group {name} (LIST) {{ repeated group list {{ required {element}; }} }}")
    };
    text.push_str(&match probs {
        None => String::new(),
        Some(false) => list("probs", "float element"),
        Some(true) => list("probs_u8", "int32 element (INTEGER(8,false))"),
    });
    text.push_str(" }");
    text
}

impl ParquetWriter {
    /// Writes the beginning of the file.
    pub fn new(output: Output, options: &WriteOptions) -> io::Result<Self> {
        let probs = (!options.no_probs).then_some(options.quantize);
        let schema = Arc::new(parse_message_type(&schema(probs)).map_err(failed)?);
        let list = if options.quantize { "probs_u8" } else { "probs" };
        let element = ColumnPath::new(vec![list.to_owned(), "list".to_owned(), "element".to_owned()]);
        let labels = serde_json::to_string(&options.labels).unwrap_or_default();
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            // Hardly two of them are the same.
            .set_column_dictionary_enabled(element, false)
            .set_column_dictionary_enabled(ColumnPath::from("hash"), false)
            .set_column_dictionary_enabled(ColumnPath::from("relative_path"), false)
            .set_column_dictionary_enabled(ColumnPath::from("abs_path"), false)
            .set_created_by(format!("drumfs {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(vec![KeyValue::new(LABELS_KEY.to_owned(), labels)]))
            .build();
        let file = SerializedFileWriter::new(output, schema, Arc::new(properties)).map_err(failed)?;
        let mut buffers = vec![Buffer::of(Kind::Text), Buffer::of(Kind::Text)];
        buffers.extend(COLUMNS.iter().map(|column| Buffer::of(column.kind)));
        buffers.extend(probs.map(|quantize| match quantize {
            true => Buffer::new(Values::Int(Vec::new())),
            false => Buffer::new(Values::Float(Vec::new())),
        }));
        Ok(Self { file, buffers, rows: 0, label: options.label, probs })
    }

    fn end_group(&mut self) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group().map_err(failed)?;
        for buffer in &mut self.buffers {
            if let Some(mut column) = group.next_column().map_err(failed)? {
                buffer.write(column.untyped()).map_err(failed)?;
                column.close().map_err(failed)?;
            }
            buffer.clear();
        }
        group.close().map_err(failed)?;
        self.rows = 0;
        Ok(())
    }
}

impl Table for ParquetWriter {
    fn write(&mut self, record: &Record) -> io::Result<bool> {
        let label = self.label.of(record).map_or(Value::Null, |label| Value::Text(label.into()));
        let values = COLUMNS.iter().map(|column| (column.value)(record));
        let mut buffers = self.buffers.iter_mut();
        for (value, buffer) in [label.clone(), label].into_iter().chain(values).zip(&mut buffers) {
            buffer.push(value);
        }
        if let (Some(quantize), Some(buffer)) = (self.probs, buffers.next()) {
            buffer.push_list(&record.sample.probs, quantize);
        }
        self.rows += 1;
        if self.rows == ROWS {
            self.end_group()?;
        }
        Ok(true)
    }

    fn finish(mut self: Box<Self>) -> io::Result<Output> {
        self.end_group()?;
        self.file.into_inner().map_err(failed)
    }
}
