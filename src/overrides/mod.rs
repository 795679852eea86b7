//! overrides.jsonl: what people said, one line a word on one content. Reading it in every form, telling which content
//! and which label a line means, and writing it; the history of what was said; a training manifest brought up to it. No
//! I/O but the readers and writers that are handed in, [`elsewhere`], which looks for contents in an old index and in the
//! originals, and [`Recorder`], which says something for good.
//!
//! A line is `{"hash": "…", "label": "Kick"}`, with `"path"` (relative to the archive) instead of the hash where that
//! is easier, optional `"note"` and `"by"`, and `null` as the label to take an override back. `hash_algorithm` says what
//! made the hash. `correct_label` and `relative_path`, as older pipelines wrote them, mean the same, and their hashes of
//! 32 digits are MD5.
//!
//! The road of a line: [`Line::parse`] knows the form alone; [`Names::resolve`] finds the content and the label, and
//! gives a [`Word`](crate::store::Word), which is what the store takes. [`read`] does both for a file, and tells of
//! lines that are wrong and of lines that disagree.

mod contents;
pub mod elsewhere;
mod file;
pub mod history;
mod labels;
mod line;
pub mod manifest;
mod recorder;
mod wanted;
mod write;

pub use contents::{At, Contents, Names};
pub use file::{Conflict, Problem, Reading, Said, read};
pub use labels::Labels;
pub use line::{Digest, Line, LineError};
pub use recorder::{RecordError, Recorder};
pub use wanted::Wanted;
pub use write::{Form, write};
