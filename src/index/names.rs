//! What people said of a content stays with it when a pass names it by another kind of hash.

use std::collections::HashSet;

use super::{Progress, Update};
use crate::archive::{ContentHash, HashAlgorithm};
use crate::store::{Override, Store, StoreError};

/// What people said of a content, by a name that it has now; none where nothing has that name any more.
pub type Followed = (ContentHash, Option<Override>);

/// What people said of contents whose names are of another kind than those that are given now.
pub(super) struct Words {
    /// Those names.
    said: HashSet<ContentHash>,
    /// Those of them that got another name in this pass.
    renamed: HashSet<ContentHash>,
}

impl Words {
    /// Of a pass that names contents by `algorithm`.
    pub fn new(store: &Store, algorithm: HashAlgorithm) -> Result<Self, StoreError> {
        let mut said = HashSet::new();
        for word in store.overrides() {
            let (hash, _) = word?;
            if hash.algorithm() != algorithm {
                said.insert(hash);
            }
        }
        Ok(Self { said, renamed: HashSet::new() })
    }

    /// Lets words follow contents to their new names, before these are recorded: a file with the size and the time that
    /// it had has the content that it had.
    pub fn follow(
        &mut self,
        store: &Store,
        updates: &[Update],
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), StoreError> {
        if self.said.is_empty() {
            return Ok(());
        }
        let mut names = Vec::new();
        for Update { path, entry, .. } in updates {
            let (Some(new), Some(before)) = (entry.hash, store.sample(path)?) else { continue };
            let same = (before.size, before.mtime_ns) == (entry.size, entry.mtime_ns);
            if let Some(old) = before.hash.filter(|old| same && self.said.contains(old)) {
                names.push((old, new));
            }
        }
        self.renamed.extend(names.iter().map(|(old, _)| old));
        let followed = store.follow(&names)?;
        if !followed.is_empty() {
            let followed: Vec<Followed> = followed.into_iter().map(|(hash, said)| (hash, Some(said))).collect();
            tell(Progress::Followed(&followed));
        }
        Ok(())
    }

    /// Takes back, after a whole pass, what is said of old names that no sample has any more.
    pub fn settle(self, store: &Store, tell: &mut dyn FnMut(Progress<'_>)) -> Result<(), StoreError> {
        let mut gone = self.renamed;
        if gone.is_empty() {
            return Ok(());
        }
        for item in store.samples() {
            if let Some(hash) = item?.1.hash {
                gone.remove(&hash);
            }
        }
        let gone: Vec<ContentHash> = gone.into_iter().collect();
        store.forget_names(&gone)?;
        let gone: Vec<Followed> = gone.into_iter().map(|hash| (hash, None)).collect();
        tell(Progress::Followed(&gone));
        Ok(())
    }
}
