//! What people said of a content stays with it when it gets another name: one by another kind of hash.

use super::{JournalEntry, JournalEvent, Override, Store, StoreError};
use crate::archive::ContentHash;

impl Store {
    /// Lets what was said of contents be said of their new names, given as old and new name; what was said of a new name
    /// itself stays, unless it was said earlier. What is said of the old names stays as well. Gives what was written: when
    /// this returns it is on the disk.
    ///
    /// # Errors
    /// Where the store can't be read, or the journal can't be written: then nothing was recorded.
    pub fn follow(&self, names: &[(ContentHash, ContentHash)]) -> Result<Vec<(ContentHash, Override)>, StoreError> {
        let mut words: Vec<(ContentHash, Override)> = Vec::new();
        for (old, new) in names {
            let Some(said) = self.override_of(old)? else { continue };
            let newer = self.override_of(new)?.is_some_and(|known| known.at >= said.at);
            if !newer && words.iter().all(|(hash, _)| hash != new) {
                words.push((*new, said));
            }
        }
        if !words.is_empty() {
            let entries: Vec<_> =
                words.iter().map(|(hash, said)| entry(hash, Some(&said.label), said.note.as_ref(), said.at)).collect();
            self.journalled(&entries, || {
                words.iter().try_for_each(|(hash, said)| self.put_override(hash, Some(said)))?;
                self.flush()
            })?;
        }
        Ok(words)
    }

    /// Takes back what is said of names that no sample has any more.
    ///
    /// # Errors
    /// As [`Store::follow`].
    pub fn forget_names(&self, names: &[ContentHash]) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        let entries: Vec<_> = names.iter().map(|hash| entry(hash, None, None, super::trees::seconds_now())).collect();
        self.journalled(&entries, || {
            names.iter().try_for_each(|hash| self.put_override(hash, None))?;
            self.flush()
        })
    }
}

fn entry(hash: &ContentHash, label: Option<&String>, note: Option<&String>, at: f64) -> JournalEntry {
    let event = JournalEvent::Override {
        hash: hash.to_hex(),
        hash_algorithm: hash.algorithm().name().to_owned(),
        label: label.cloned(),
        note: note.cloned(),
        by: None,
        undo: false,
    };
    JournalEntry { at, event }
}
