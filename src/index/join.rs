//! Joining a path with what was heard in its content: samples of the catalogue out of entries of the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::{Analyses, Judgement, Status, judge, snapshot};
use crate::archive::ContentHash;
use crate::classify::Ensemble;
use crate::store::{SampleEntry, Store, StoreError};
use crate::view::{Builder, Catalogue, Sample, SampleRef};

/// Why the catalogue could not be loaded.
pub type JoinError = StoreError;

/// What the models of `ensemble` heard in a content, as far as the store knows; where none of them has heard it, what an
/// imported index says.
///
/// # Errors
/// Where the store can't be read.
pub fn analyses(store: &Store, hash: &ContentHash, ensemble: &Ensemble) -> Result<Analyses, StoreError> {
    let analyses: Result<Vec<_>, _> = ensemble.models().map(|model| store.analysis(hash, model.model_id())).collect();
    let analyses = Analyses::new(analyses?, ensemble.members().len());
    if !analyses.is_unheard() {
        return Ok(analyses);
    }
    Ok(analyses.or_imported(store.imported(hash, ensemble.labels().names())?))
}

/// The sample that an entry and what was heard in its content make. Without any analysis it is one that is still to be
/// heard, and is shown as such.
pub fn join(path: &[u8], entry: &SampleEntry, heard: Option<&Analyses>, ensemble: &Ensemble) -> Sample {
    let analysis = heard.and_then(Analyses::telling);
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
    let judgement = heard.map(|heard| judge(heard, ensemble)).unwrap_or_default();
    let sample = Sample {
        path: path.into(),
        size: entry.size,
        mtime_ns: entry.mtime_ns,
        hash: entry.hash,
        status,
        error,
        attributes: analysis.and_then(|analysis| analysis.attributes),
        probs: [].into(),
        gate: None,
    };
    judged(sample, judgement)
}

/// A sample with what an ensemble makes of it.
fn judged(sample: Sample, judgement: Judgement) -> Sample {
    Sample { probs: judgement.probs, gate: judgement.gate, ..sample }
}

/// One sample as `ensemble` judges it by what was heard before; none where it stays as it is.
fn judged_again(store: &Store, ensemble: &Ensemble, sample: SampleRef<'_>) -> Result<Option<Sample>, StoreError> {
    let Some(hash) = sample.hash.as_ref().filter(|_| !sample.probs.is_empty()) else { return Ok(None) };
    let judgement = judge(&analyses(store, hash, ensemble)?, ensemble);
    Ok((!judgement.probs.is_empty()).then(|| judged(sample.to_sample(), judgement)))
}

/// A catalogue as `ensemble` judges it by what was heard before; what it has no word on stays as it is.
///
/// # Errors
/// Where the store can't be read.
pub fn judge_again(store: &Store, ensemble: &Ensemble, catalogue: &Catalogue) -> Result<Catalogue, StoreError> {
    catalogue.replaced(|sample| judged_again(store, ensemble, sample))
}

/// The same of samples that are in no catalogue yet.
///
/// # Errors
/// Where the store can't be read.
pub fn judge_pending_again(
    store: &Store,
    ensemble: &Ensemble,
    samples: &[Arc<Sample>],
) -> Result<Vec<Arc<Sample>>, StoreError> {
    let one = |sample: &Arc<Sample>| {
        let judged = judged_again(store, ensemble, sample.borrowed())?;
        Ok(judged.map_or_else(|| Arc::clone(sample), Arc::new))
    };
    samples.par_iter().with_min_len(256).map(one).collect()
}

/// How many entries are joined at a time.
const CHUNK: usize = 8192;

/// The whole catalogue as the store knows it: the copy of it where that holds.
///
/// # Errors
/// Where the store can't be read.
pub fn load(store: &Store, ensemble: &Ensemble) -> Result<Catalogue, JoinError> {
    snapshot::read(store, ensemble).map_or_else(|| load_from_store(store, ensemble), Ok)
}

/// A catalogue with what the store knows now of some paths.
///
/// # Errors
/// Where the store can't be read.
pub fn refreshed(
    catalogue: &Catalogue,
    store: &Store,
    ensemble: &Ensemble,
    paths: impl IntoIterator<Item = Vec<u8>>,
) -> Result<Catalogue, StoreError> {
    let (mut samples, mut unknown) = (Vec::new(), Vec::new());
    for path in paths {
        match store.sample(&path)? {
            Some(entry) => {
                let heard = entry.hash.as_ref().map(|hash| analyses(store, hash, ensemble)).transpose()?;
                samples.push(Arc::new(join(&path, &entry, heard.as_ref(), ensemble)));
            }
            None => unknown.push(path),
        }
    }
    Ok(catalogue.with(samples, unknown))
}

/// The whole catalogue, read record by record.
///
/// # Errors
/// Where the store can't be read.
pub fn load_from_store(store: &Store, ensemble: &Ensemble) -> Result<Catalogue, JoinError> {
    let mut samples = Builder::default();
    let mut entries = store.known();
    let ears = ensemble.ears();
    let lost = AtomicBool::new(false);
    loop {
        let chunk = entries.by_ref().take(CHUNK).collect::<Result<Vec<_>, _>>()?;
        if chunk.is_empty() {
            break;
        }
        let joined: Result<Vec<_>, StoreError> = chunk
            .par_iter()
            .with_min_len(256)
            .map(|known| {
                let heard = known.entry.hash.as_ref().map(|hash| analyses(store, hash, ensemble)).transpose()?;
                if known.ears == ears && heard.as_ref().is_some_and(|heard| !heard.is_complete()) {
                    lost.store(true, Ordering::Relaxed);
                }
                Ok(join(&known.path, &known.entry, heard.as_ref(), ensemble))
            })
            .collect();
        samples.add(joined?);
    }
    if lost.into_inner() {
        log::warn!("the store has lost something of what was heard: the next pass hears it again");
        store.doubt_ears()?;
    }
    let catalogue = samples.finish();
    crate::memory::give_back();
    Ok(catalogue)
}

/// What people said, by content.
///
/// # Errors
/// Where the store can't be read.
pub fn load_overrides(store: &Store) -> Result<HashMap<ContentHash, crate::store::Override>, StoreError> {
    store.overrides().collect()
}
