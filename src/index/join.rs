//! Joining a path with what was heard in its content: samples of the catalogue out of entries of the store.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::{Analysis, Status};
use crate::classify::Classifier;
use crate::store::{SampleEntry, Store, StoreError};
use crate::view::{Catalogue, Sample};

/// Why the catalogue could not be loaded.
pub type JoinError = StoreError;

/// The sample that an entry and the analysis of its content make. Without an analysis it is one that is still to be
/// heard, and is shown as such.
pub fn join(path: &[u8], entry: &SampleEntry, analysis: Option<&Analysis>, classifier: &Classifier) -> Sample {
    let status = match (entry.missing, analysis) {
        (true, _) => Status::Missing,
        (false, Some(analysis)) => analysis.status,
        (false, None) => Status::LoadError,
    };
    let error = match (&entry.unreadable, analysis) {
        (Some(error), _) => Some(error.as_str().into()),
        (None, Some(analysis)) => analysis.error.as_deref().map(Box::from),
        (None, None) => Some("not heard yet".into()),
    };
    let probs = match analysis {
        Some(analysis) if !analysis.logits.is_empty() => {
            classifier.calibration().probabilities(&analysis.logits).into_boxed_slice()
        }
        _ => [].into(),
    };
    Sample {
        path: path.into(),
        size: entry.size,
        mtime_ns: entry.mtime_ns,
        hash: entry.hash,
        status,
        error,
        attributes: analysis.and_then(|analysis| analysis.attributes.clone()),
        probs,
    }
}

/// How many entries are joined at a time.
const CHUNK: usize = 8192;

/// The whole catalogue as the store knows it.
///
/// # Errors
/// Where the store can't be read.
pub fn load(store: &Store, classifier: &Classifier) -> Result<Catalogue, JoinError> {
    let mut samples: Vec<Arc<Sample>> = Vec::new();
    let mut entries = store.samples();
    loop {
        let chunk = entries.by_ref().take(CHUNK).collect::<Result<Vec<_>, _>>()?;
        if chunk.is_empty() {
            return Ok(Catalogue::new(samples));
        }
        let joined: Result<Vec<_>, StoreError> = chunk
            .par_iter()
            .with_min_len(256)
            .map(|(path, entry)| {
                let analysis = match &entry.hash {
                    Some(hash) => store.analysis(hash, classifier.model_id())?,
                    None => None,
                };
                Ok(Arc::new(join(path, entry, analysis.as_ref(), classifier)))
            })
            .collect();
        samples.append(&mut joined?);
    }
}

/// What people said, by content.
///
/// # Errors
/// Where the store can't be read.
pub fn load_overrides(
    store: &Store,
) -> Result<HashMap<crate::archive::ContentHash, crate::store::Override>, StoreError> {
    store.overrides().collect()
}
