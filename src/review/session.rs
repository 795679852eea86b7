//! What is asked, what was decided, and how to go on from there.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use thiserror::Error;

use crate::archive::{ArchiveRoot, ContentHash};
use crate::overrides::{Labels, LineError, RecordError, Recorder};
use crate::rules::{Router, Vocabulary};
use crate::store::{Override, Word};
use crate::view::{Catalogue, SampleRef};

/// How many of the likeliest labels are told.
const TOP: usize = 10;

/// Why something could not be done.
#[derive(Debug, Error)]
pub enum SessionError {
    /// There is no such place in the queue.
    #[error("there is no sample {0} in this queue")]
    NoSample(usize),
    /// The label means nothing.
    #[error(transparent)]
    Label(#[from] LineError),
    /// It could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What became of one sample of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Open,
    Said(String),
    Skipped,
}

/// Something that was done, and what was before it.
#[derive(Debug)]
struct Action {
    place: usize,
    fate: Fate,
    said: Option<Override>,
}

#[derive(Debug)]
struct State {
    fates: Vec<Fate>,
    done: Vec<Action>,
    overrides: HashMap<ContentHash, Override>,
    undone: usize,
}

/// A queue of samples and what is decided of them. Every decision is an override at once.
pub struct Session {
    /// The archive.
    pub root: ArchiveRoot,
    /// The samples.
    pub catalogue: Catalogue,
    router: Router,
    vocabulary: Vocabulary,
    recorder: Recorder,
    by: Option<String>,
    queue: Vec<u32>,
    state: Mutex<State>,
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Decisions {
    /// How many samples are in the queue.
    pub total: usize,
    /// How many of them got a label.
    pub said: usize,
    /// How many were skipped.
    pub skipped: usize,
    /// How many decisions were taken back.
    pub undone: usize,
    /// The place of the next that is open; none where none is.
    pub next: Option<usize>,
}

/// What does not change while a session lasts.
#[derive(Debug, Serialize)]
pub struct About<'a> {
    /// The archive's folder.
    pub archive: String,
    /// All labels: the model's, the canonical ones, the folders of the rules.
    pub labels: Vec<&'a str>,
    /// How many of them, from the first, are the model's.
    pub fine: usize,
}

/// One sample of the queue.
#[derive(Debug, Serialize)]
pub struct Item<'a> {
    place: usize,
    path: String,
    /// The likeliest labels with their probabilities, from 0 to 1.
    top: Vec<(&'a str, f32)>,
    /// Where the rules put it, nobody having said anything; none where they hide it.
    folder: Option<&'a str>,
    reason: &'static str,
    /// What was said of it.
    said: Option<String>,
    skipped: bool,
    size: u64,
    duration_sec: Option<f64>,
    rms_dbfs: Option<f32>,
    sample_rate: Option<u32>,
    channels: Option<u16>,
    codec: Option<&'static str>,
}

impl Session {
    /// A session over `queue`, places of the catalogue whose samples have contents. `by` is who decides.
    #[expect(clippy::too_many_arguments, reason = "each is named once, where a session starts")]
    pub fn new(
        root: ArchiveRoot,
        catalogue: Catalogue,
        overrides: HashMap<ContentHash, Override>,
        router: Router,
        vocabulary: Vocabulary,
        recorder: Recorder,
        by: Option<String>,
        queue: Vec<u32>,
    ) -> Self {
        let state = State { fates: vec![Fate::Open; queue.len()], done: Vec::new(), overrides, undone: 0 };
        Self { root, catalogue, router, vocabulary, recorder, by, queue, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it is.
    pub fn decisions(&self) -> Decisions {
        Self::count(&self.state())
    }

    fn count(state: &State) -> Decisions {
        let last = state.done.last().map_or(0, |action| action.place);
        let open = |place: &usize| state.fates.get(*place) == Some(&Fate::Open);
        // Goes on behind what was decided last, and then with what was left out before.
        let next = (last..state.fates.len()).chain(0..last).find(open);
        Decisions {
            total: state.fates.len(),
            said: state.fates.iter().filter(|fate| matches!(fate, Fate::Said(_))).count(),
            skipped: state.fates.iter().filter(|fate| **fate == Fate::Skipped).count(),
            undone: state.undone,
            next,
        }
    }

    /// What does not change.
    pub fn about(&self) -> About<'_> {
        About {
            archive: self.root.path().to_string_lossy().into_owned(),
            labels: Labels::new(&self.vocabulary, &self.router).all().to_vec(),
            fine: self.vocabulary.fine().len(),
        }
    }

    /// The sample at a place of the queue.
    pub fn sample(&self, place: usize) -> Result<SampleRef<'_>, SessionError> {
        let id = self.queue.get(place).ok_or(SessionError::NoSample(place))?;
        self.catalogue.samples().get(*id as usize).ok_or(SessionError::NoSample(place))
    }

    /// What the page shows of it.
    pub fn item(&self, place: usize) -> Result<Item<'_>, SessionError> {
        let sample = self.sample(place)?;
        let verdict = self.router.route(&sample.subject(None));
        let mut top: Vec<(&str, f32)> =
            self.vocabulary.fine().iter().map(String::as_str).zip(sample.probs.iter().copied()).collect();
        top.sort_by(|a, b| b.1.total_cmp(&a.1));
        top.truncate(TOP);
        let state = self.state();
        let said = sample.hash.and_then(|hash| state.overrides.get(&hash)).map(|said| said.label.clone());
        let attributes = sample.attributes;
        Ok(Item {
            place,
            path: OsStr::from_bytes(sample.path).to_string_lossy().into_owned(),
            top,
            folder: (!verdict.is_hidden()).then(|| self.router.folder_name(verdict.folder)),
            reason: verdict.reason.name(),
            said,
            skipped: state.fates.get(place) == Some(&Fate::Skipped),
            size: sample.size,
            duration_sec: attributes.map(|a| a.duration_sec),
            rms_dbfs: attributes.map(|a| a.rms_dbfs),
            sample_rate: attributes.map(|a| a.sample_rate),
            channels: attributes.map(|a| a.channels),
            codec: attributes.map(|a| a.codec.as_str()),
        })
    }

    /// Says what the sample at a place is. When this returns it is on the disk, and a mount shows it.
    pub fn say(&self, place: usize, label: &str) -> Result<Decisions, SessionError> {
        let hash = self.sample(place)?.hash.ok_or(SessionError::NoSample(place))?;
        let label = Labels::new(&self.vocabulary, &self.router).known(label)?.to_owned();
        let mut state = self.state();
        self.recorder.record(&[self.word(hash, Some(label.clone()), None, false)])?;
        // The time that is recorded is the recorder's; nobody looks at this one.
        let said = state.overrides.insert(hash, Override { label: label.clone(), note: None, at: 0.0 });
        Self::act(&mut state, place, Fate::Said(label), said);
        Ok(Self::count(&state))
    }

    /// Leaves the sample at a place for later.
    pub fn skip(&self, place: usize) -> Result<Decisions, SessionError> {
        let hash = self.sample(place)?.hash;
        let mut state = self.state();
        // Another window of the page may have decided it: that stays.
        if matches!(state.fates.get(place), Some(Fate::Said(_))) {
            return Ok(Self::count(&state));
        }
        let said = hash.and_then(|hash| state.overrides.get(&hash).cloned());
        Self::act(&mut state, place, Fate::Skipped, said);
        Ok(Self::count(&state))
    }

    /// Takes the last decision or skip back; the place it was at, none where there is nothing to take back.
    pub fn undo(&self) -> Result<(Option<usize>, Decisions), SessionError> {
        let mut state = self.state();
        let Some(action) = state.done.last() else { return Ok((None, Self::count(&state))) };
        let (place, fate, before) = (action.place, action.fate.clone(), action.said.clone());
        if let Some(Fate::Said(_)) = state.fates.get(place)
            && let Some(hash) = self.sample(place)?.hash
        {
            let (label, note) = before.clone().map(|before| (before.label, before.note)).unzip();
            self.recorder.record(&[self.word(hash, label, note.flatten(), true)])?;
            match before {
                Some(before) => state.overrides.insert(hash, before),
                None => state.overrides.remove(&hash),
            };
            state.undone += 1;
        }
        state.done.pop();
        if let Some(slot) = state.fates.get_mut(place) {
            *slot = fate;
        }
        Ok((Some(place), Self::count(&state)))
    }

    /// Opens everything that was skipped.
    pub fn again(&self) -> Decisions {
        let mut state = self.state();
        for fate in &mut state.fates {
            if *fate == Fate::Skipped {
                *fate = Fate::Open;
            }
        }
        // What was skipped is not to be taken back any more.
        let State { fates, done, .. } = &mut *state;
        done.retain(|action| fates.get(action.place) != Some(&Fate::Open));
        let mut count = Self::count(&state);
        count.next = state.fates.iter().position(|fate| *fate == Fate::Open);
        count
    }

    fn act(state: &mut State, place: usize, fate: Fate, said: Option<Override>) {
        if let Some(slot) = state.fates.get_mut(place) {
            let fate = std::mem::replace(slot, fate);
            state.done.push(Action { place, fate, said });
        }
    }

    fn word(&self, hash: ContentHash, label: Option<String>, note: Option<String>, undo: bool) -> Word {
        Word { hash, label, note, by: self.by.clone(), undo }
    }
}
