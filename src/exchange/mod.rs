//! What is known of samples, to and from files: any index.jsonl, drumfs's own or the older pipeline's, and the formats of
//! other programs.
//!
//! Everything is a [`Record`]: an [`IndexReader`] reads them from a file, [`catalogue::Source`] from a store, and a
//! [`RecordWriter`] writes them in any [`Format`], one after the other. [`import`] puts them into a store, [`rows`] reads
//! the labels that come back, [`aggregate`] makes one catalogue of several.

pub mod aggregate;
pub mod catalogue;
pub mod columns;
pub mod format;
pub mod import;
mod label_studio;
pub mod order;
pub mod output;
mod parquet_write;
pub mod quantized;
pub mod reader;
pub mod record;
pub mod rows;
pub mod seen;
mod sort;
mod table;
mod text;
mod twins;
pub mod write;

pub use aggregate::{Age, Aggregated, Aggregator};
pub use columns::LabelKind;
pub use format::Format;
pub use import::{Imported, Importer};
pub use order::Order;
pub use output::Output;
pub use reader::{BadLines, IndexError, IndexReader};
pub use record::{Form, LineError, Probs, Record, Sound};
pub(crate) use record::{from_hex, to_hex};
pub use text::PathText;
pub(crate) use text::without_nan;
pub use write::{RecordWriter, WriteError, WriteOptions};
