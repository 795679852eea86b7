//! What drumfs keeps between runs, in sled: samples, analyses, overrides, rules and a journal of what people said.
//!
//! Two promises. What was acknowledged (an override, a rule) is on the disk before the call returns: in `journal.jsonl`,
//! and in the database beside it, which is made anew from the journal where it is damaged and gets from it what it lost
//! whenever it is opened. What was heard is on the disk within a second, and hearing it again costs only time.

mod error;
mod journal;
mod location;
mod open;
mod trees;
mod vouched;
mod word;

pub use error::StoreError;
pub use journal::{Entry as JournalEntry, Event as JournalEvent};
pub use location::default_folder;
pub use open::{OpenOptions, Opened};
pub use trees::{Known, Override, RulesState, SampleEntry, Store};
pub use vouched::Token;
pub use word::Word;
