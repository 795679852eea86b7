//! What is known of samples, to and from files: any index.jsonl, drumfs's own or the older pipeline's.

pub mod reader;
pub mod record;
mod text;

pub use reader::{BadLines, IndexError, IndexReader};
pub use record::{Form, LineError, Record, Sound};
pub use text::PathText;
