//! seen_hashes.txt of the older pipeline beside what a store knows. Both are sorted: memory does not grow with either.

use std::path::Path;

use thiserror::Error;

use super::reader::BadLines;
use super::rows::{RowsError, read_hashes};
use super::sort::Sorter;
use crate::archive::ContentHash;
use crate::store::{Store, StoreError};

/// What a list of hashes comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Lines with a hash, or what is to be one.
    pub hashes: u64,
    /// Contents of the list that a sample has.
    pub here: u64,
    /// Contents of the list of which something was heard, here or in an imported index.
    pub heard: u64,
}

/// Why a list can't be compared.
#[derive(Debug, Error)]
pub enum SeenError {
    /// The list can't be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Compares the hashes of a file with a store; lines that are none go to `bad`.
///
/// # Errors
/// [`SeenError`].
pub fn compare(path: &Path, store: &Store, bad: &mut BadLines) -> Result<Seen, SeenError> {
    let failed = |error| StoreError::io(store.folder(), error);
    let mut list = Sorter::new(store.folder());
    let mut pushed = Ok(());
    let hashes = read_hashes(path, bad, &mut |hash: ContentHash| {
        if pushed.is_ok() {
            pushed = list.push(hash.key(), Vec::new());
        }
    })?;
    pushed.map_err(failed)?;
    let mut contents = Sorter::new(store.folder());
    for item in store.samples() {
        if let Some(hash) = item?.1.hash {
            contents.push(hash.key(), Vec::new()).map_err(failed)?;
        }
    }
    let mut contents = contents.sorted().map_err(failed)?;
    let (mut seen, mut here, mut last) = (Seen { hashes, ..Seen::default() }, contents.next(), None);
    for item in list.sorted().map_err(failed)? {
        let (hash, _) = item.map_err(failed)?;
        if last.as_ref() == Some(&hash) {
            continue;
        }
        seen.heard += u64::from(store.is_heard_by_key(&hash)?);
        loop {
            match here.take() {
                Some(Err(error)) => return Err(failed(error).into()),
                Some(Ok((content, _))) if content < hash => here = contents.next(),
                at => {
                    seen.here += u64::from(at.as_ref().is_some_and(|at| matches!(at, Ok((c, _)) if *c == hash)));
                    here = at;
                    break;
                }
            }
        }
        last = Some(hash);
    }
    Ok(seen)
}
