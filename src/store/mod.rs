//! What drumfs keeps between runs, in sled: samples, analyses, overrides, rules and a journal of what people said.
//!
//! Two promises. What was acknowledged (an override, a rule) is on the disk before the call returns: in `journal.jsonl`,
//! and in the database beside it, which is made anew from the journal where it is damaged and gets from it what it lost
//! whenever it is opened. What was heard is on the disk within a second, and hearing it again costs only time.

mod error;
mod followed;
mod heard;
mod imported;
mod journal;
mod location;
mod open;
mod trees;
mod vouched;
mod word;

pub use error::{MOUNTED, StoreError};
pub use imported::ImportedModel;
pub use journal::{Entry as JournalEntry, Event as JournalEvent};
pub use location::{archive_of, default_folder, known_archives};
pub use open::{OpenOptions, Opened};
pub use trees::{Known, Override, RulesState, SampleEntry, Store};
pub use vouched::Token;
pub use word::Word;

/// Every entry that can be read of the journal of the store in `folder`, oldest first, and how many lines can not. A mount
/// may have the store meanwhile.
///
/// # Errors
/// Where the journal can't be read.
pub fn read_journal(folder: &std::path::Path) -> Result<(Vec<JournalEntry>, usize), StoreError> {
    let path = folder.join("journal.jsonl");
    journal::Journal::read(&path).map_err(|source| StoreError::io(path, source))
}
