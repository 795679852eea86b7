//! Reading what was heard: one content at a time, or many in order.

use std::sync::Arc;

use serde::Deserialize;
use sled::{IVec, Iter};

use super::trees::Trees;
use super::{Store, StoreError};
use crate::archive::ContentHash;
use crate::audio::Attributes;
use crate::index::{Analysis, Status};

/// Where it is kept what a model heard in a content. Analyses are ordered as [`ContentHash`] is.
pub(super) fn analysis_key(hash: &ContentHash, model: &str) -> Vec<u8> {
    let mut key = hash.key();
    key.extend_from_slice(model.as_bytes());
    key
}

/// An [`Analysis`] up to its last field, which is the longest and mostly not needed.
#[derive(Deserialize)]
struct Bare {
    status: Status,
    error: Option<String>,
    attributes: Option<Attributes>,
    logits: Vec<f32>,
}

impl From<Bare> for Analysis {
    fn from(Bare { status, error, attributes, logits }: Bare) -> Self {
        Self { status, error, attributes, logits, embedding: None }
    }
}

/// So many entries of contents that nobody asks for are passed over before the next one that is asked for is looked up.
const PATIENCE: u32 = 64;

/// What is read in order: the trees, which are kept open meanwhile, the entries from some place on, and the first of
/// them that was not used yet.
type Reading = (Arc<Trees>, Iter, Option<(IVec, IVec)>);

impl Store {
    /// What `model` heard in a content.
    ///
    /// # Errors
    /// Where the store can't be read.
    pub fn analysis(&self, hash: &ContentHash, model: &str) -> Result<Option<Analysis>, StoreError> {
        let value = self.trees()?.analyses.get(analysis_key(hash, model)).map_err(|error| self.failed(error))?;
        value.map(|bytes| self.decode(&bytes)).transpose()
    }

    /// Whether `model` has heard a content.
    ///
    /// # Errors
    /// Where the store can't be read.
    pub fn has_analysis(&self, hash: &ContentHash, model: &str) -> Result<bool, StoreError> {
        self.trees()?.analyses.contains_key(analysis_key(hash, model)).map_err(|error| self.failed(error))
    }

    /// What each of `models` heard in these contents, one item for each, which come in the order of [`ContentHash`] and
    /// each once. A model is given by its id and whether its embedding is wanted. Of many contents that lie close to each
    /// other this is much faster than [`Store::analysis`].
    ///
    /// # Errors
    /// Each item where the store can't be read.
    pub fn analyses_in_order<'a>(
        &'a self,
        contents: impl Iterator<Item = ContentHash> + 'a,
        models: &'a [(&'a str, bool)],
    ) -> impl Iterator<Item = Result<Vec<Option<Analysis>>, StoreError>> + 'a {
        let mut reading: Option<Reading> = None;
        contents.map(move |content| self.next_heard(&mut reading, &content, models))
    }

    fn next_heard(
        &self,
        reading: &mut Option<Reading>,
        content: &ContentHash,
        models: &[(&str, bool)],
    ) -> Result<Vec<Option<Analysis>>, StoreError> {
        let key = content.key();
        let mut heard = vec![None; models.len()];
        let mut passed = 0;
        loop {
            let (_, entries, first) = match reading {
                Some(reading) if passed < PATIENCE => reading,
                _ => {
                    let trees = self.trees()?;
                    let entries = trees.analyses.range(&key[..]..);
                    passed = 0;
                    reading.insert((trees, entries, None))
                }
            };
            if first.is_none() {
                *first = entries.next().transpose().map_err(|error| self.failed(error))?;
            }
            match first {
                Some((at, value)) if at.starts_with(&key) => {
                    let model = &at[key.len()..];
                    for (slot, (id, whole)) in heard.iter_mut().zip(models) {
                        if id.as_bytes() == model {
                            *slot = Some(if *whole {
                                self.decode(value)?
                            } else {
                                self.decode_start::<Bare>(value)?.into()
                            });
                        }
                    }
                }
                Some((at, _)) if at[..] < key[..] => passed += 1,
                // Of a later content, or none is left.
                _ => return Ok(heard),
            }
            *first = None;
        }
    }
}
