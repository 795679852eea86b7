//! From a sample to its folder.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::condition::{Condition, Field, Interval};
use super::globs::Globs;
use super::heard::{Groups, entropy, first_three, likeliest};
use super::label_set::LabelSet;
use super::names::NameTable;
use super::spec::{Action, Duplicates, Layout, Names, Rules};
use super::subject::Subject;
use super::verdict::{Reason, Verdict};
use super::vocabulary::Vocabulary;

/// Index of a folder in [`Router::folders`].
pub type FolderId = u16;

/// A condition with its labels as indices.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Number(Field, Interval),
    /// Labels the audio's favourite is compared with, and those its favourite fine label is.
    Label {
        collected: LabelSet,
        fine: LabelSet,
    },
    Reason(u16),
    Path(Vec<usize>),
    Name(Vec<usize>),
}

#[derive(Debug, Clone)]
pub(super) struct CompiledRoute {
    pub(super) tests: Vec<Test>,
    /// `None` hides.
    pub(super) folder: Option<FolderId>,
}

/// What the probabilities say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Audio {
    /// The collected label with the highest sum.
    pub(super) top: u8,
    pub(super) confidence: f32,
    pub(super) margin: f32,
    pub(super) entropy: f32,
    pub(super) below_threshold: bool,
    pub(super) out_of_target: bool,
}

/// Rules compiled for a vocabulary: a pure, total function from [`Subject`] to [`Verdict`].
#[derive(Debug, Clone)]
pub struct Router {
    pub(super) rules: Rules,
    pub(super) labels: Vec<String>,
    pub(super) fine: usize,
    /// For each fine label, the label it is collected under.
    pub(super) collected_under: Vec<u8>,
    pub(super) groups: Groups,
    pub(super) folder_of: Vec<Option<FolderId>>,
    pub(super) threshold_of: Vec<f32>,
    pub(super) folders: Vec<String>,
    pub(super) misc_folder: FolderId,
    /// Whether a folder is not to be used; empty where all are.
    pub(super) closed: Box<[bool]>,
    pub(super) routes: Vec<CompiledRoute>,
    pub(super) folder_ids: HashMap<String, FolderId>,
    pub(super) label_ids: HashMap<String, u8>,
    pub(super) names: NameTable,
    path_globs: Arc<Globs>,
    name_globs: Arc<Globs>,
}

/// What one thread reuses from sample to sample.
#[derive(Default)]
struct Scratch {
    one_set: Vec<usize>,
    paths: Vec<usize>,
    names: Vec<usize>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Router {
    /// Compiles `rules` for `vocabulary`. Labels that rules speak of and `vocabulary` lacks, as after a change of the
    /// model, are passed over.
    pub fn new(rules: &Rules, vocabulary: &Vocabulary) -> Self {
        let spec = &rules.spec;
        let labels = vocabulary.labels().to_vec();
        let misc_label = vocabulary.misc();
        let index = |label: &String| vocabulary.index_of(label);

        let mut collected_under = vocabulary.canonical_of().to_vec();
        let targets: Vec<u8> = match &spec.targets {
            None => {
                collected_under = (0..=u8::MAX).take(vocabulary.fine().len()).collect();
                collected_under.clone()
            }
            Some(targets) => {
                let targets: Vec<u8> = targets.iter().filter_map(index).filter(|label| *label != misc_label).collect();
                // A fine label that is listed has a folder of its own, ...
                for target in &targets {
                    if let Some(slot) = collected_under.get_mut(usize::from(*target)) {
                        *slot = *target;
                    }
                }
                // ... unless the rules move it elsewhere than the model's own mapping does.
                for (from, to) in &spec.canonical {
                    let (Some(from), Some(to)) = (index(from), index(to)) else { continue };
                    let default = vocabulary.canonical_of().get(usize::from(from)).copied();
                    if let Some(slot) = collected_under.get_mut(usize::from(from))
                        && (default != Some(to) || !targets.contains(&from))
                    {
                        *slot = to;
                    }
                }
                targets
            }
        };
        let groups = Groups::new(&collected_under);

        let mut folders: Vec<String> = Vec::new();
        let mut folder_ids: HashMap<String, FolderId> = HashMap::new();
        let mut folder = |name: &str| -> FolderId {
            if let Some(id) = folder_ids.get(name) {
                return *id;
            }
            // 250 labels and 10,000 routes fit; what would not goes to the first folder rather than nowhere.
            let id = FolderId::try_from(folders.len()).unwrap_or(0);
            folders.push(name.to_owned());
            folder_ids.insert(name.to_owned(), id);
            id
        };
        let mut folder_of = vec![None; labels.len()];
        for target in &targets {
            if let (Some(slot), Some(label)) =
                (folder_of.get_mut(usize::from(*target)), labels.get(usize::from(*target)))
            {
                *slot = Some(folder(label));
            }
        }
        let misc_folder = folder(&spec.misc_label);
        let mut threshold_of = vec![spec.misc_threshold; labels.len()];
        for (label, threshold) in &spec.thresholds {
            if let Some(slot) = index(label).and_then(|label| threshold_of.get_mut(usize::from(label))) {
                *slot = *threshold;
            }
        }
        let set = |labels: &[String]| {
            let mut set = LabelSet::default();
            labels.iter().filter_map(index).for_each(|label| set.insert(label));
            set
        };
        let compile = |condition: &Condition| match condition {
            Condition::Number(field, interval) => Test::Number(*field, *interval),
            Condition::Label(labels) => {
                let (mut collected, mut fine) = (LabelSet::default(), LabelSet::default());
                for label in set(labels).iter() {
                    // Clap has no sum of its own while it is collected under misc; then its own probability speaks.
                    let wanted = if groups.collects(label) { &mut collected } else { &mut fine };
                    wanted.insert(label);
                }
                Test::Label { collected, fine }
            }
            Condition::FineLabel(labels) => Test::Label { collected: LabelSet::default(), fine: set(labels) },
            Condition::Reason(bits) => Test::Reason(*bits),
            Condition::Path(patterns) => Test::Path(patterns.iter().map(|(index, _)| *index).collect()),
            Condition::Name(patterns) => Test::Name(patterns.iter().map(|(index, _)| *index).collect()),
        };
        let routes = spec
            .routes
            .iter()
            .map(|route| CompiledRoute {
                tests: route.conditions.iter().map(compile).collect(),
                folder: match &route.action {
                    Action::To(name) => Some(folder(name)),
                    Action::Hide => None,
                },
            })
            .collect();
        let label_ids = (0..=u8::MAX).zip(&labels).map(|(index, label)| (label.to_ascii_lowercase(), index)).collect();
        Self {
            names: NameTable::new(vocabulary),
            path_globs: Arc::clone(&rules.path_globs),
            name_globs: Arc::clone(&rules.name_globs),
            rules: rules.clone(),
            fine: vocabulary.fine().len(),
            labels,
            collected_under,
            groups,
            folder_of,
            threshold_of,
            folders,
            misc_folder,
            closed: [].into(),
            routes,
            folder_ids,
            label_ids,
        }
    }

    /// Every folder samples can go to, such as `Kick`, `misc` or `Kick/808`: those of labels first, then misc, then
    /// those of routes. Some may stay empty.
    pub fn folders(&self) -> &[String] {
        &self.folders
    }

    /// The labels that [`Verdict::label`] counts: those of [`Vocabulary::labels`].
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The folder of what has no other.
    pub fn misc_folder(&self) -> FolderId {
        self.misc_folder
    }

    /// The name of a folder; that of misc for an index that is none.
    pub fn folder_name(&self, folder: FolderId) -> &str {
        let name = self.folders.get(usize::from(folder)).or_else(|| self.folders.get(usize::from(self.misc_folder)));
        name.map_or("", String::as_str)
    }

    /// The folder of the label with this index, where it has one of its own.
    pub fn folder_of_label(&self, label: u8) -> Option<FolderId> {
        self.folder_of.get(usize::from(label)).copied().flatten()
    }

    /// How paths show inside a folder.
    pub fn layout(&self) -> Layout {
        self.rules.layout()
    }

    /// Whether of several samples with the same content only the first path shows.
    pub fn hide_duplicates(&self) -> bool {
        self.rules.hide_duplicates()
    }

    /// Whether of several sounds that are nearly the same only the first path shows.
    pub fn hide_near_duplicates(&self) -> bool {
        self.rules.duplicates() == Duplicates::HideNear
    }

    /// Whether a path that was opened goes on opening after its sample moved.
    pub fn keep_opened_paths(&self) -> bool {
        self.rules.keep_opened_paths()
    }

    /// The rules this was made from.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Where `subject` goes. Total and deterministic: the same subject always gets the same verdict, whatever thread
    /// asks.
    ///
    /// The first route that matches is looked for first, because one that hides beats everything. Then, each only
    /// where none before it applied: an error, an override, that route, the gate, the name, the audio.
    pub fn route(&self, subject: &Subject<'_>) -> Verdict {
        let audio = self.audio(subject);
        let matched = if self.routes.is_empty() { None } else { self.first_match(subject, audio.as_ref()) };
        self.decide(subject, audio.as_ref(), matched)
    }

    /// The verdict, given what the audio says and which route matches first.
    pub(super) fn decide(
        &self,
        subject: &Subject<'_>,
        audio: Option<&Audio>,
        matched: Option<(u16, Option<FolderId>)>,
    ) -> Verdict {
        let mut verdict = Verdict {
            folder: self.misc_folder,
            reason: Reason::Hidden,
            label: audio.map(|audio| audio.top),
            confidence: audio.map_or(0.0, |audio| audio.confidence),
            margin: audio.map_or(0.0, |audio| audio.margin),
            entropy: audio.map_or(0.0, |audio| audio.entropy),
            below_threshold: audio.is_some_and(|audio| audio.below_threshold),
            out_of_target: audio.is_some_and(|audio| audio.out_of_target),
            route: matched.map(|(index, _)| index),
        };
        if let Some((_, None)) = matched {
            return verdict;
        }
        let (reason, folder, label) = match matched {
            // Only an error and a person's word go before a route: the rest need not be asked.
            Some((_, Some(folder))) if !subject.status.is_error() && subject.override_label.is_none() => {
                (Reason::Route, folder, None)
            }
            _ => {
                let stage = self.without_routes(subject, audio);
                match (stage.0, matched) {
                    (Reason::Error | Reason::Override, _) => stage,
                    (_, Some((_, Some(folder)))) => (Reason::Route, folder, None),
                    _ => stage,
                }
            }
        };
        verdict.reason = reason;
        verdict.folder = folder;
        if let Some(label) = label {
            verdict.label = Some(label);
            verdict.confidence = audio.map_or(0.0, |_| self.groups.sum_of(label, subject.probs));
        }
        self.limit(verdict)
    }

    /// Reason and folder if there were no routes, and the label where something else than the audio gave it.
    fn without_routes(&self, subject: &Subject<'_>, audio: Option<&Audio>) -> (Reason, FolderId, Option<u8>) {
        if subject.status.is_error() {
            return (Reason::Error, self.misc_folder, None);
        }
        if let Some((folder, label)) = subject.override_label.and_then(|word| self.overridden(word)) {
            return (Reason::Override, folder, label);
        }
        if subject.gate_refused {
            return (Reason::Gate, self.misc_folder, None);
        }
        if let Some((folder, label)) = self.named(subject, audio) {
            return (Reason::Name, folder, Some(label));
        }
        match audio {
            // Decoded and yet not classified: nothing is known.
            None => (Reason::LowConfidence, self.misc_folder, None),
            Some(audio) => match self.folder_of_label(audio.top) {
                None => (Reason::OutOfTarget, self.misc_folder, None),
                Some(_) if audio.below_threshold => (Reason::LowConfidence, self.misc_folder, None),
                Some(folder) => (Reason::Top1, folder, None),
            },
        }
    }

    /// What the audio says. `None` where nothing was classified.
    pub(super) fn audio(&self, subject: &Subject<'_>) -> Option<Audio> {
        if subject.status.is_error() || subject.probs.len() != self.fine {
            return None;
        }
        let favourite = self.groups.favourite(subject.probs)?;
        let threshold = self.threshold_of.get(usize::from(favourite.label)).copied().unwrap_or(1.0);
        Some(Audio {
            top: favourite.label,
            confidence: favourite.confidence,
            margin: favourite.margin,
            entropy: entropy(subject.probs),
            below_threshold: favourite.confidence < threshold,
            out_of_target: self.folder_of_label(favourite.label).is_none(),
        })
    }

    /// The folder and the label that a person's word means. A word that means nothing any more, such as a folder of a
    /// route that was removed, falls back on the folder above it, and then on what the audio says.
    pub(super) fn overridden(&self, word: &str) -> Option<(FolderId, Option<u8>)> {
        let mut word = word.trim_matches('/');
        loop {
            let label = self.label_named(word);
            if let Some(folder) = self.folder_ids.get(word) {
                return Some((*folder, label));
            }
            if let Some(label) = label {
                return Some(self.folder_collecting(label));
            }
            word = word.rsplit_once('/')?.0;
        }
    }

    fn label_named(&self, word: &str) -> Option<u8> {
        self.label_ids.get(word).or_else(|| self.label_ids.get(&word.to_ascii_lowercase())).copied()
    }

    /// The folder a label's sounds go to, and the label they are collected under.
    fn folder_collecting(&self, label: u8) -> (FolderId, Option<u8>) {
        if let Some(folder) = self.folder_of_label(label) {
            return (folder, Some(label));
        }
        let collected = self.collected_under.get(usize::from(label)).copied().unwrap_or(label);
        (self.folder_of_label(collected).unwrap_or(self.misc_folder), Some(collected))
    }

    /// What the name decides, where the rules let it.
    fn named(&self, subject: &Subject<'_>, audio: Option<&Audio>) -> Option<(FolderId, u8)> {
        let tiebreak = match self.rules.names() {
            Names::Ignore => return None,
            Names::Tiebreak if !audio?.below_threshold => return None,
            Names::Tiebreak => true,
            Names::Trust => false,
        };
        let read = || self.names.labels_of(subject.path);
        let said = subject.read_name.map_or_else(read, |kept| kept.get_or_read(read));
        let label = self.one_thing(said)?;
        if !tiebreak {
            return Some((self.folder_of_label(label).unwrap_or(self.misc_folder), label));
        }
        let folder = self.folder_of_label(label)?;
        let first_three = first_three(subject.probs);
        said.iter().any(|said| first_three.contains(&Some(said))).then_some((folder, label))
    }

    /// The label under which everything is collected that a name speaks of; none where it speaks of nothing or of several
    /// things.
    fn one_thing(&self, said: LabelSet) -> Option<u8> {
        let mut collected = said.iter().map(|label| self.collected_under.get(usize::from(label)).copied());
        let label = collected.next()??;
        // Two words for things that are collected together are still one thing.
        collected.all(|other| other == Some(label)).then_some(label)
    }

    /// The collected label that a sample's path speaks of, whatever the rules make of names; none where it speaks of
    /// nothing or of several things.
    pub fn label_of_name(&self, path: &[u8]) -> Option<u8> {
        self.one_thing(self.names.labels_of(path))
    }

    /// Index and folder of the first route that matches; no folder where it hides.
    fn first_match(&self, subject: &Subject<'_>, audio: Option<&Audio>) -> Option<(u16, Option<FolderId>)> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut lazy = Lazy { router: self, subject, audio, scratch, paths: false, names: false, reason: None };
            self.routes
                .iter()
                .zip(0..=u16::MAX)
                .find(|(route, _)| route.tests.iter().all(|test| lazy.holds(test)))
                .map(|(route, index)| (index, route.folder))
        })
    }

    /// Which tests of a route hold, for an explanation.
    pub(super) fn test_results(&self, subject: &Subject<'_>, audio: Option<&Audio>, tests: &[Test]) -> Vec<bool> {
        let scratch = &mut Scratch::default();
        let mut lazy = Lazy { router: self, subject, audio, scratch, paths: false, names: false, reason: None };
        tests.iter().map(|test| lazy.holds(test)).collect()
    }
}

/// What routes look at, each part computed when the first route asks for it.
struct Lazy<'s, 'a> {
    router: &'s Router,
    subject: &'s Subject<'a>,
    audio: Option<&'s Audio>,
    scratch: &'s mut Scratch,
    paths: bool,
    names: bool,
    reason: Option<Reason>,
}

impl Lazy<'_, '_> {
    fn holds(&mut self, test: &Test) -> bool {
        match test {
            Test::Number(field, interval) => {
                field_value(*field, self.subject, self.audio).is_some_and(|value| interval.contains(value))
            }
            Test::Label { collected, fine } => {
                let Some(audio) = self.audio else { return false };
                // Most conditions name labels of one sort; the other costs nothing then.
                collected.contains(audio.top)
                    || !fine.is_empty() && likeliest(self.subject.probs).is_some_and(|label| fine.contains(label))
            }
            Test::Reason(bits) => {
                let (router, subject, audio) = (self.router, self.subject, self.audio);
                let reason = self.reason.get_or_insert_with(|| router.without_routes(subject, audio).0);
                bits & reason.bit() != 0
            }
            Test::Path(patterns) => {
                if !self.paths {
                    self.paths = true;
                    let Scratch { one_set, paths, .. } = &mut *self.scratch;
                    self.router.path_globs.matches(self.subject.path, one_set, paths);
                }
                patterns.iter().any(|pattern| self.scratch.paths.binary_search(pattern).is_ok())
            }
            Test::Name(patterns) => {
                if !self.names {
                    self.names = true;
                    let Scratch { one_set, names, .. } = &mut *self.scratch;
                    self.router.name_globs.matches(file_name(self.subject.path), one_set, names);
                }
                patterns.iter().any(|pattern| self.scratch.names.binary_search(pattern).is_ok())
            }
        }
    }
}

/// The value a numeric condition compares; `None` where the sample has none.
pub(super) fn field_value(field: Field, subject: &Subject<'_>, audio: Option<&Audio>) -> Option<f64> {
    let attributes = subject.attributes;
    Some(match field {
        Field::Confidence => f64::from(audio?.confidence),
        Field::Margin => f64::from(audio?.margin),
        Field::Entropy => f64::from(audio?.entropy),
        Field::Duration => attributes?.duration_sec,
        Field::Rms => f64::from(attributes?.rms_dbfs),
        Field::Centroid => f64::from(attributes?.centroid_hz),
        Field::Rolloff => f64::from(attributes?.rolloff_hz),
        Field::SampleRate => f64::from(attributes?.sample_rate),
        Field::Channels => f64::from(attributes?.channels),
        Field::Size => subject.size as f64,
    })
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}
