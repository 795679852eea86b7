//! A list of paths as a queue.

use std::collections::{HashMap, HashSet};

use crate::archive::ContentHash;
use crate::store::Override;
use crate::view::Catalogue;

/// A list of samples as a queue.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Places in the catalogue, in the order of the list, each content once.
    pub ids: Vec<u32>,
    /// Paths that no sample has, or none that could be read.
    pub unknown: Vec<Vec<u8>>,
    /// How many are left out because something was said of them.
    pub said: usize,
}

/// The samples of a list of paths. Those that something was said of are left out, unless they are asked for `again`.
pub fn listed<'p>(
    catalogue: &Catalogue,
    overrides: &HashMap<ContentHash, Override>,
    paths: impl IntoIterator<Item = &'p [u8]>,
    again: bool,
) -> Listed {
    let mut listed = Listed::default();
    let mut seen = HashSet::new();
    for path in paths {
        let found = catalogue.by_path(path).and_then(|(id, sample)| Some((id, sample.hash?)));
        match found {
            None => listed.unknown.push(path.to_owned()),
            Some((_, hash)) if !seen.insert(hash) => {}
            Some((_, hash)) if !again && overrides.contains_key(&hash) => listed.said += 1,
            Some((id, _)) => listed.ids.push(id),
        }
    }
    listed
}
