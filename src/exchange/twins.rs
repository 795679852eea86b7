//! Which samples of a store are copies of another, found by sorting: memory does not grow with their number.

use std::io;
use std::iter::Peekable;

use super::sort::{Sorted, Sorter};
use crate::store::{Store, StoreError};

/// The samples whose content an earlier path has, too.
pub(super) struct Twins<'a> {
    store: &'a Store,
    paths: Peekable<Sorted>,
}

impl<'a> Twins<'a> {
    /// Those of a store.
    pub fn of(store: &'a Store) -> Result<Self, StoreError> {
        let failed = |error| StoreError::io(store.folder(), error);
        let mut contents = Sorter::new(store.folder());
        for item in store.samples() {
            let (path, entry) = item?;
            if let Some(hash) = entry.hash.filter(|_| !entry.missing) {
                contents.push(hash.key(), path).map_err(failed)?;
            }
        }
        let mut paths = Sorter::new(store.folder());
        let mut last = Vec::new();
        for item in contents.sorted().map_err(failed)? {
            let (hash, path) = item.map_err(failed)?;
            if hash == last {
                paths.push(path, Vec::new()).map_err(failed)?;
            }
            last = hash;
        }
        let paths = paths.sorted().map_err(failed)?.peekable();
        Ok(Self { store, paths })
    }

    /// Whether a path is one of them. Paths are to be asked for in order.
    pub fn is_one(&mut self, path: &[u8]) -> Result<bool, StoreError> {
        let before = |item: &io::Result<(Vec<u8>, Vec<u8>)>| item.as_ref().is_ok_and(|(twin, _)| &twin[..] < path);
        while self.paths.next_if(before).is_some() {}
        match self.paths.peek() {
            Some(Ok((twin, _))) => Ok(twin == path),
            Some(Err(_)) => match self.paths.next() {
                Some(Err(error)) => Err(StoreError::io(self.store.folder(), error)),
                _ => Ok(false),
            },
            None => Ok(false),
        }
    }
}
