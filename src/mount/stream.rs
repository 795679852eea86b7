//! index.jsonl: the whole catalogue as lines, made while it is read.

use std::sync::Arc;

use super::keeper::Shared;
use crate::index::join::imported_model;
use crate::index::record::RecordContext;
use crate::view::View;

/// A place to go on from is remembered every so many records.
const CHECKPOINT: usize = 1024;

/// The catalogue of one view as a file that is never held whole.
#[derive(Debug)]
pub struct IndexStream {
    view: Arc<View>,
    shared: Arc<Shared>,
    /// Offset of the first byte of every [`CHECKPOINT`]-th record, as far as it has been read.
    checkpoints: Vec<u64>,
    /// The record that comes next, and the offset at which it begins.
    next: usize,
    at: u64,
    /// Bytes before `at` that were made and may be asked for again, beginning at `kept_at`.
    kept: Vec<u8>,
    kept_at: u64,
}

impl IndexStream {
    /// The catalogue as it is now.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { view: shared.view(), shared, checkpoints: vec![0], next: 0, at: 0, kept: Vec::new(), kept_at: 0 }
    }

    /// Up to `size` bytes from `offset`; fewer only at the end.
    pub fn read(&mut self, offset: u64, size: usize) -> Vec<u8> {
        if offset < self.kept_at {
            // Back to the last known place before it.
            let place = self.checkpoints.partition_point(|&start| start <= offset).saturating_sub(1);
            self.next = place * CHECKPOINT;
            self.at = self.checkpoints[place];
            self.kept.clear();
            self.kept_at = self.at;
        }
        let end = offset.saturating_add(size as u64);
        while self.at < end && self.advance() {
            if self.at <= offset {
                self.kept.clear();
                self.kept_at = self.at;
            }
        }
        let from = (offset.saturating_sub(self.kept_at) as usize).min(self.kept.len());
        let to = from.saturating_add(size).min(self.kept.len());
        let answer = self.kept[from..to].to_vec();
        // What lies well before is not asked for again by anybody who reads forward.
        if from > (1 << 20) {
            self.kept.drain(..from);
            self.kept_at += from as u64;
        }
        answer
    }

    fn advance(&mut self) -> bool {
        let samples = self.view.catalogue().samples();
        let Some(sample) = samples.get(self.next) else { return false };
        let facts = &self.shared.facts;
        // What an index said that was imported is not the model's in use.
        let store = self.shared.store.upgrade();
        let imported = store.zip(sample.hash).and_then(|(store, hash)| {
            imported_model(&store, &hash, &self.shared.ensemble.load()).unwrap_or_else(|error| {
                log::warn!("{error}");
                None
            })
        });
        let context = RecordContext {
            root: &facts.archive,
            router: self.view.router(),
            labels: self.view.labels(),
            model: imported.as_deref().unwrap_or(&facts.model),
            features: imported.is_none().then_some(&facts.features[..]),
        };
        let line = context.line(sample, self.view.assigned(self.next as u32));
        self.at += line.len() as u64;
        self.kept.extend_from_slice(&line);
        self.next += 1;
        if self.next.is_multiple_of(CHECKPOINT) && self.checkpoints.len() == self.next / CHECKPOINT {
            self.checkpoints.push(self.at);
        }
        true
    }
}
