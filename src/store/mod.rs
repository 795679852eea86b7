//! What drumfs keeps between runs, in sled: samples, analyses, overrides, rules and a journal of what people said.
//!
//! Two promises. What was acknowledged (an override, a rule) is on the disk before the call returns, in the database
//! and in `journal.jsonl` beside it, from which a damaged database is made anew. What was heard is on the disk within
//! a second, and hearing it again costs only time.

mod error;
mod journal;
mod location;
mod open;
mod trees;

pub use error::StoreError;
pub use journal::{Entry as JournalEntry, Event as JournalEvent};
pub use location::default_folder;
pub use open::{OpenOptions, Opened};
pub use trees::{Override, RulesState, SampleEntry, Store};
