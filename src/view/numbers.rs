//! From an inode number to the sample that has it: an open-addressing table of ids, six bytes a sample.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::catalogue::Chunks;
use super::chunk::Chunk;
use super::ino::{self, Ino};

/// The id of every sample by its inode number.
#[derive(Debug, Default)]
pub(super) struct ByIno {
    slots: Box<[u32]>,
    /// The numbers of samples whose own is an earlier sample's; nearly always none.
    salted: BTreeMap<u32, Ino>,
}

const EMPTY: u32 = u32::MAX;

/// Where the search for a number begins. Numbers are hashes of 62 bits: their upper bits are as good as any.
fn home(ino: Ino, slots: usize) -> usize {
    ((u128::from(ino << 2) * slots as u128) >> 64) as usize
}

impl ByIno {
    /// The table of these samples. Of two paths that have one number the first by path keeps it, the other gets one
    /// with a salt.
    pub(super) fn new(chunks: &Chunks) -> Self {
        let len = chunks.len();
        let mut table = Self { slots: vec![EMPTY; len + len / 2 + 1].into(), salted: BTreeMap::new() };
        let mut colliding = Vec::new();
        let own = |chunk: &Arc<Chunk>| (0..chunk.len()).map(|place| chunk.ino(place)).collect();
        let own: Vec<Vec<Ino>> = chunks.all().par_iter().map(own).collect();
        let own = own.concat();
        for (id, &ino) in (0u32..).zip(&own) {
            if !table.put(|other| own[other as usize], ino, id) {
                colliding.push(id);
            }
        }
        drop(own);
        for id in colliding {
            let path = chunks.path(id);
            // No more samples than there are can be in the way.
            let free = (1..=len as u64 + 1).map(|salt| ino::of_sample(path, salt)).find(|&ino| {
                let taken = table.find(chunks, ino).is_some();
                !taken
            });
            if let Some(ino) = free {
                table.salted.insert(id, ino);
                let salted = table.salted.clone();
                let of = |id| salted.get(&id).copied().unwrap_or_else(|| chunks.own_ino(id));
                table.put(of, ino, id);
            }
        }
        table
    }

    /// Puts an id where nobody has its number; whether nobody has. `of` tells the numbers of those that were put.
    fn put(&mut self, of: impl Fn(u32) -> Ino, ino: Ino, id: u32) -> bool {
        let mut slot = home(ino, self.slots.len());
        loop {
            match self.slots[slot] {
                EMPTY => {
                    self.slots[slot] = id;
                    return true;
                }
                other if of(other) == ino => return false,
                _ => slot = if slot + 1 == self.slots.len() { 0 } else { slot + 1 },
            }
        }
    }

    /// The inode number of a sample.
    pub(super) fn ino(&self, chunks: &Chunks, id: u32) -> Ino {
        if !self.salted.is_empty()
            && let Some(ino) = self.salted.get(&id)
        {
            return *ino;
        }
        chunks.own_ino(id)
    }

    /// The sample with an inode number.
    pub(super) fn find(&self, chunks: &Chunks, ino: Ino) -> Option<u32> {
        if self.slots.is_empty() || !ino::is_sample(ino) {
            return None;
        }
        let mut slot = home(ino, self.slots.len());
        loop {
            match self.slots[slot] {
                EMPTY => return None,
                id if self.ino(chunks, id) == ino => return Some(id),
                _ => slot = if slot + 1 == self.slots.len() { 0 } else { slot + 1 },
            }
        }
    }
}
