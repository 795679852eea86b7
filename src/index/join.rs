//! Joining a path with what was heard in its content: samples of the catalogue out of entries of the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::{Analyses, Judgement, Status, judge, snapshot};
use crate::archive::ContentHash;
use crate::audio::Attributes;
use crate::classify::Ensemble;
use crate::duplicates;
use crate::store::{Known, SampleEntry, Store, StoreError};
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
    or_imported(store, Analyses::new(analyses?, ensemble.members().len()), hash, ensemble)
}

/// The imported model whose word counts for a content; none where one of the models of `ensemble` has heard it, or no
/// index says anything of it.
///
/// # Errors
/// Where the store can't be read.
pub fn imported_model(store: &Store, hash: &ContentHash, ensemble: &Ensemble) -> Result<Option<String>, StoreError> {
    if !store.has_imports() {
        return Ok(None);
    }
    for model in ensemble.models() {
        if store.has_analysis(hash, model.model_id())? {
            return Ok(None);
        }
    }
    Ok(store.imported_by(hash, ensemble.labels().names())?.map(|(model, _)| model))
}

/// The same, or what an imported index says of the content where none of the models has heard it.
fn or_imported(
    store: &Store,
    heard: Analyses,
    hash: &ContentHash,
    ensemble: &Ensemble,
) -> Result<Analyses, StoreError> {
    if !heard.is_unheard() {
        return Ok(heard);
    }
    Ok(heard.or_imported(store.imported(hash, ensemble.labels().names())?))
}

/// What an ensemble makes of what was heard in one content: all that [`join`] takes from it.
#[derive(Clone)]
struct Told {
    status: Status,
    error: Option<Box<str>>,
    attributes: Option<Attributes>,
    judgement: Judgement,
    /// Whether every model has heard it.
    whole: bool,
}

impl Told {
    fn of(heard: &Analyses, ensemble: &Ensemble) -> Self {
        let analysis = heard.telling();
        let not_heard = || Some("not heard yet".into());
        Self {
            status: analysis.map_or(Status::LoadError, |analysis| analysis.status),
            error: analysis.map_or_else(not_heard, |analysis| analysis.error.as_deref().map(Box::from)),
            attributes: analysis.and_then(|analysis| analysis.attributes),
            judgement: judge(heard, ensemble),
            whole: heard.is_complete(),
        }
    }

    /// Of a content that nobody has heard.
    fn nothing() -> Self {
        let error = Some("not heard yet".into());
        Self { status: Status::LoadError, error, attributes: None, judgement: Judgement::default(), whole: false }
    }
}

/// The sample that an entry and what was heard in its content make. Without any analysis it is one that is still to be
/// heard, and is shown as such.
pub fn join(path: &[u8], entry: &SampleEntry, heard: Option<&Analyses>, ensemble: &Ensemble) -> Sample {
    joined(path, entry, heard.map_or_else(Told::nothing, |heard| Told::of(heard, ensemble)))
}

fn joined(path: &[u8], entry: &SampleEntry, told: Told) -> Sample {
    let sample = Sample {
        path: path.into(),
        size: entry.size,
        mtime_ns: entry.mtime_ns,
        hash: entry.hash,
        status: if entry.missing { Status::Missing } else { told.status },
        error: entry.unreadable.as_deref().map(Box::from).or(told.error),
        attributes: told.attributes,
        probs: [].into(),
        gate: None,
    };
    judged(sample, told.judgement)
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

/// What was heard is gathered for so many entries at a time: some 130 MB while the catalogue is made of them. Twice as many
/// take twice the memory, and a million samples a sixth less time (`cargo bench --bench catalogue -- --at-a-time`).
const GATHERED: usize = 1 << 19;

/// So many contents are looked for in a row by one thread.
const RUN: usize = 4096;

/// The whole catalogue as the store knows it: the copy of it where that holds.
///
/// # Errors
/// Where the store can't be read.
pub fn load(store: &Store, ensemble: &Ensemble) -> Result<Catalogue, JoinError> {
    let catalogue = snapshot::read(store, ensemble).map_or_else(|| load_from_store(store, ensemble), Ok)?;
    Ok(catalogue.with_alike(duplicates::read_alike(store.folder())))
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

/// The whole catalogue, made of the records.
///
/// Entries are ordered by path and what was heard by content: what was heard is gathered first, in its own order, for a
/// look-up by hash reads a whole page of the database for one content.
///
/// # Errors
/// Where the store can't be read.
pub fn load_from_store(store: &Store, ensemble: &Ensemble) -> Result<Catalogue, JoinError> {
    load_in_rounds(store, ensemble, GATHERED)
}

/// The same, with what was heard gathered for so many entries at a time, at least 1.
///
/// # Errors
/// Where the store can't be read.
pub fn load_in_rounds(store: &Store, ensemble: &Ensemble, gathered: usize) -> Result<Catalogue, JoinError> {
    let mut samples = Builder::default();
    // Twice along the same entries, one after the other.
    let (mut ahead, mut entries) = (store.known(), store.known());
    let ears = ensemble.ears();
    let lost = AtomicBool::new(false);
    loop {
        let hashes = ahead.by_ref().take(gathered).map(|known| Ok(known?.entry.hash));
        let hashes = hashes.collect::<Result<Vec<_>, StoreError>>()?;
        let mut told = gather(store, ensemble, &hashes)?.into_iter();
        let mut hashes = hashes.into_iter();
        let mut any = false;
        let mut left = gathered;
        while left > 0 {
            let chunk = entries.by_ref().take(CHUNK.min(left)).collect::<Result<Vec<_>, _>>()?;
            if chunk.is_empty() {
                break;
            }
            left -= chunk.len();
            any = true;
            let chunk: Vec<_> =
                chunk.into_iter().map(|known| (known, hashes.next().flatten(), told.next().flatten())).collect();
            let one = |(known, hash, told): (Known, Option<ContentHash>, Option<Told>)| {
                let told = match (&known.entry.hash, told) {
                    (None, _) => Told::nothing(),
                    (Some(content), Some(told)) if hash.as_ref() == Some(content) => told,
                    // The store has changed in between.
                    (Some(content), _) => Told::of(&analyses(store, content, ensemble)?, ensemble),
                };
                if known.ears == ears && known.entry.hash.is_some() && !told.whole {
                    lost.store(true, Ordering::Relaxed);
                }
                Ok(joined(&known.path, &known.entry, told))
            };
            let joined: Result<Vec<_>, StoreError> = chunk.into_par_iter().with_min_len(256).map(one).collect();
            samples.add(joined?);
        }
        if !any {
            break;
        }
    }
    if lost.into_inner() {
        log::warn!("the store has lost something of what was heard: the next pass hears it again");
        store.doubt_ears()?;
    }
    let catalogue = samples.finish();
    crate::memory::give_back();
    Ok(catalogue)
}

/// What `ensemble` makes of what was heard in each of these contents: none where there is none, or no hash.
fn gather(store: &Store, ensemble: &Ensemble, hashes: &[Option<ContentHash>]) -> Result<Vec<Option<Told>>, StoreError> {
    let places = (0u32..).zip(hashes).filter(|(_, hash)| hash.is_some());
    let mut order: Vec<u32> = places.map(|(place, _)| place).collect();
    order.par_sort_unstable_by_key(|&place| hashes.get(place as usize));
    // Only a learnt head looks at what went into a model's last layer.
    let members = ensemble.members().iter().map(|member| (member.classifier().model_id(), member.head().is_some()));
    let gate = ensemble.gate().map(|gate| (gate.classifier().model_id(), false));
    let models: Vec<(&str, bool)> = members.chain(gate).collect();
    let voters = ensemble.members().len();
    let all: Mutex<Vec<Option<Told>>> = Mutex::new(Vec::new());
    let locked = || all.lock().unwrap_or_else(PoisonError::into_inner);
    locked().resize_with(hashes.len(), || None);
    order.par_chunks(RUN).try_for_each(|run| {
        let hash = |place: u32| hashes.get(place as usize).copied().flatten();
        let same: Vec<&[u32]> = run.chunk_by(|a, b| hash(*a) == hash(*b)).collect();
        let contents: Vec<ContentHash> = same.iter().filter_map(|places| hash(*places.first()?)).collect();
        let mut told = Vec::with_capacity(same.len());
        for (heard, content) in store.analyses_in_order(contents.iter().copied(), &models).zip(&contents) {
            let heard = or_imported(store, Analyses::new(heard?, voters), content, ensemble)?;
            told.push(Told::of(&heard, ensemble));
        }
        let mut all = locked();
        for (places, told) in same.into_iter().zip(told) {
            for &place in places {
                if let Some(slot) = all.get_mut(place as usize) {
                    *slot = Some(told.clone());
                }
            }
        }
        Ok(())
    })?;
    Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What people said, by content.
///
/// # Errors
/// Where the store can't be read.
pub fn load_overrides(store: &Store) -> Result<HashMap<ContentHash, crate::store::Override>, StoreError> {
    store.overrides().collect()
}
