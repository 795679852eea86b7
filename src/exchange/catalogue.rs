//! The records of a store, one after the other, as the mount would show them.

use std::collections::HashMap;
use std::path::Path;

use rayon::prelude::*;

use super::record::Record;
use super::twins::Twins;
use crate::archive::ContentHash;
use crate::classify::Ensemble;
use crate::index::record::RecordContext;
use crate::index::{analyses, join};
use crate::rules::{Reason, Router};
use crate::store::{Known, Override, Store, StoreError};
use crate::view::Assigned;

/// How many are joined at a time, so that memory stays what it is.
const CHUNK: usize = 4096;

/// What the records of a store are made from.
#[derive(Debug)]
pub struct Source<'a> {
    /// The store.
    pub store: &'a Store,
    /// The models as they judge.
    pub ensemble: &'a Ensemble,
    /// The rules in force.
    pub router: &'a Router,
    /// What people said.
    pub overrides: &'a HashMap<ContentHash, Override>,
    /// The archive's root, absolute.
    pub root: &'a Path,
}

impl Source<'_> {
    /// Gives every record to `each`, ordered by path.
    ///
    /// # Errors
    /// Where the store can't be read, or `each` fails.
    pub fn read<E: From<StoreError>>(&self, mut each: impl FnMut(Record) -> Result<(), E>) -> Result<(), E> {
        let mut entries = self.store.known();
        // Of equal contents the first path in order is shown.
        let mut twins = self.router.hide_duplicates().then(|| Twins::of(self.store)).transpose()?;
        loop {
            let chunk = entries.by_ref().take(CHUNK).collect::<Result<Vec<_>, _>>()?;
            if chunk.is_empty() {
                return Ok(());
            }
            let twin = |known: &Known| twins.as_mut().map_or(Ok(false), |twins| twins.is_one(&known.path));
            let is_twin = chunk.iter().map(twin).collect::<Result<Vec<bool>, StoreError>>()?;
            let one = |(known, is_twin): (&Known, &bool)| self.record(known, *is_twin);
            let records: Result<Vec<_>, StoreError> =
                chunk.par_iter().zip(&is_twin).with_min_len(64).map(one).collect();
            records?.into_iter().flatten().try_for_each(&mut each)?;
        }
    }

    fn record(&self, known: &Known, is_twin: bool) -> Result<Option<Record>, StoreError> {
        let hash = known.entry.hash.as_ref();
        let heard = hash.map(|hash| analyses(self.store, hash, self.ensemble)).transpose()?;
        let labels = self.ensemble.labels().names();
        let imported = match (&heard, hash) {
            (Some(heard), Some(hash)) if heard.imported().is_some() => self.store.imported_by(hash, labels)?,
            _ => None,
        };
        let sample = join(&known.path, &known.entry, heard.as_ref(), self.ensemble);
        let said = hash.and_then(|hash| self.overrides.get(hash)).map(|said| &said.label[..]);
        let mut assigned: Assigned = (&self.router.route(&sample.subject(said))).into();
        if is_twin {
            assigned.reason = Reason::Hidden;
        }
        let context = RecordContext {
            root: self.root,
            router: self.router,
            labels,
            model: imported.as_ref().map_or(self.ensemble.id(), |(model, _)| model),
            // Indexes of other models do not say what theirs were given.
            features: imported.is_none().then_some(&self.ensemble.leading().description().features[..]),
        };
        // What it would be in index.jsonl, so that both say the same.
        Ok(Record::parse(&context.line(&sample, assigned)).ok())
    }
}
