//! The columns that a record has as a table, the same ones in CSV and in Parquet.

use std::borrow::Cow;

use super::record::Record;
use crate::audio::Codec;
use crate::index::record::path_text;

/// What a column holds, as Parquet has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// True or false.
    Bool,
    /// 32 bits, signed.
    Int,
    /// 64 bits, signed.
    Long,
    /// Nanoseconds since 1970, UTC.
    Time,
    /// 32 bits.
    Float,
    /// 64 bits.
    Double,
}

/// What a record has in a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// [`Kind::Text`].
    Text(Cow<'a, str>),
    /// [`Kind::Bool`].
    Bool(bool),
    /// [`Kind::Int`].
    Int(i32),
    /// [`Kind::Long`] and [`Kind::Time`].
    Long(i64),
    /// [`Kind::Float`].
    Float(f32),
    /// [`Kind::Double`].
    Double(f64),
}

/// One column.
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What a record has there.
    pub value: for<'r> fn(&'r Record) -> Value<'r>,
}

fn text(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, |text| Value::Text(Cow::Borrowed(text)))
}

fn owned<'a>(text: Option<String>) -> Value<'a> {
    text.map_or(Value::Null, |text| Value::Text(Cow::Owned(text)))
}

fn float<'a>(value: Option<f32>) -> Value<'a> {
    value.map_or(Value::Null, Value::Float)
}

fn int<'a>(value: Option<i64>) -> Value<'a> {
    value.and_then(|value| i32::try_from(value).ok()).map_or(Value::Null, Value::Int)
}

macro_rules! columns {
    ($($name:literal $kind:ident $value:expr;)*) => {
        /// Every column but the two of the label, and the probabilities, which come last.
        pub const COLUMNS: &[Column] = &[$(Column { name: $name, kind: Kind::$kind, value: $value }),*];
    };
}

columns! {
    "relative_path" Text |record| Value::Text(path_text(&record.sample.path).0);
    "relative_path_bytes" Text |record| owned(path_text(&record.sample.path).1);
    "abs_path" Text |record| record.abs_path.as_deref().map_or(Value::Null, |path| Value::Text(String::from_utf8_lossy(path)));
    "hash" Text |record| owned(record.sample.hash.map(|hash| hash.to_hex()));
    "hash_algorithm" Text |record| text(record.sample.hash.map(|hash| hash.algorithm().name()));
    "size" Long |record| match record.has_stat {
        true => i64::try_from(record.sample.size).map_or(Value::Null, Value::Long),
        false => Value::Null,
    };
    "mtime" Time |record| if record.has_stat { Value::Long(record.sample.mtime_ns) } else { Value::Null };
    "duration_sec" Double |record| record.sound.duration_sec.map_or(Value::Null, Value::Double);
    "rms" Float |record| float(record.sound.rms_dbfs);
    "centroid_hz" Float |record| float(record.sound.centroid_hz);
    "rolloff_hz" Float |record| float(record.sound.rolloff_hz);
    "sample_rate" Int |record| int(record.sound.sample_rate.map(i64::from));
    "channels" Int |record| int(record.sound.channels.map(i64::from));
    "codec" Text |record| text(record.sound.codec.map(Codec::as_str));
    "label_top1" Text |record| text(record.label_top1.as_deref());
    "conf_top1" Float |record| float(record.conf_top1);
    "assigned_label" Text |record| text(record.assigned_label.as_deref());
    "assigned_confidence" Float |record| float(record.assigned_confidence);
    "assigned_reason" Text |record| text(record.assigned_reason.as_deref());
    "misc_routed" Bool |record| Value::Bool(record.misc_routed);
    "below_misc_threshold" Bool |record| Value::Bool(record.below_misc_threshold);
    "out_of_target" Bool |record| Value::Bool(record.out_of_target);
    "gate_probability" Float |record| float(record.sample.gate.map(|gate| gate.probability));
    "status" Text |record| text(Some(record.sample.status.name()));
    "errors" Text |record| text(record.sample.error.as_deref());
    "model" Text |record| text(record.model.as_deref());
    "features" Text |record| text(record.features.as_deref());
}

/// The column that is a person's to change.
pub const LABEL: &str = "label";

/// What was in it when it was written, so that a change can be told.
pub const LABEL_WAS: &str = "label_was";

/// Which label goes there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LabelKind {
    /// The folder it was placed in
    #[default]
    Folder,
    /// The fine label: what a person said, or the model's most probable one
    Fine,
}

impl LabelKind {
    /// The label of a record.
    pub fn of(self, record: &Record) -> Option<&str> {
        match self {
            Self::Folder => record.label(),
            Self::Fine => record.fine_label(),
        }
    }
}
