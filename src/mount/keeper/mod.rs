//! The keeper: the one thread that changes what is shown.
//!
//! Rules, overrides and what was heard come to it as messages, one after another. For each it writes what must
//! survive, makes the next view, swaps it, has the kernel told, and then answers. So no change is ever seen half, and
//! whoever was answered finds it done. Moves come by a way of their own, and are answered also while the kernel is being
//! told of something else: see `moving`.

mod handle;
mod moving;
mod shown;
mod telling;

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, after, never, select};

pub use self::handle::{Answer, KeeperHandle};
pub(super) use self::handle::{Inbox, Message};
pub(super) use self::moving::MoveRequest;
pub use self::shown::{RulesText, Shared};
use self::telling::{Teller, Telling};
use super::errno::FsError;
use super::near::NearDuplicates;
use super::notify::Invalidate;
use super::passthrough::identity;
use super::status::{ChangeTimes, Facts, IndexProgress};
use crate::archive::ArchiveRoot;
use crate::archive::discover::mtime_ns;
use crate::classify::Ensemble;
use crate::duplicates::LastFound;
use crate::index::{Status, Update, join};
use crate::learn;
use crate::rules::{Router, Rules, RulesError, Vocabulary};
use crate::store::{Store, StoreError, Word};
use crate::view::{Catalogue, Sample, View, ViewInput};

/// The keeper's end.
pub struct Keeper {
    shared: Arc<Shared>,
    store: Arc<Store>,
    ensemble: Arc<Ensemble>,
    kernel: Arc<dyn Invalidate>,
    /// The thread that tells the kernel; none before the keeper was started.
    teller: Option<Teller>,
    /// Whether something is being told.
    telling: bool,
    /// What is to be told when that is done.
    untold: VecDeque<Telling>,
    moves: Receiver<MoveRequest>,
    router: Arc<Router>,
    labels: Arc<[String]>,
    catalogue: Arc<Catalogue>,
    rules_error: Option<Arc<str>>,
    pending: Vec<Arc<Sample>>,
    /// Paths whose size or time was last told by a program that opened them, not by somebody who listened.
    seen_at_open: HashSet<Box<[u8]>>,
    root: Arc<ArchiveRoot>,
    removed: Vec<Vec<u8>>,
    /// Paths that are shown otherwise than the store has them, until they are heard again.
    ahead: HashSet<Box<[u8]>>,
    /// Whether a change came to nothing, so that something of what was heard may not be shown.
    lost: bool,
    near: LastFound,
    last_build: Duration,
    last_swap: Instant,
    /// Whether a view was made since memory was last given back.
    is_untidy: bool,
    times: ChangeTimes,
}

/// What was heard is shown at the latest so long after it was; more at a time where a view takes long to make.
const SHOW_AFTER: Duration = Duration::from_millis(250);

/// Nothing has come for so long: then there is time to give memory back.
const AT_REST: Duration = Duration::from_secs(1);

impl Keeper {
    /// Reads the store and makes the first view.
    ///
    /// # Errors
    /// Where the store can't be read.
    pub fn load(
        root: Arc<ArchiveRoot>,
        store: Arc<Store>,
        ensemble: Arc<Ensemble>,
        vocabulary: Vocabulary,
        facts: Facts,
    ) -> Result<Self, StoreError> {
        let saved = store.rules()?;
        let template = || facts.first_rules.clone().unwrap_or_else(|| Rules::template(&vocabulary));
        let active: Arc<str> = saved.active.unwrap_or_else(template).into();
        // Rules that no longer parse, say after a change of the model, become a draft; the defaults are in force.
        let (rules, active, draft) = match Rules::parse(&active, &vocabulary) {
            Ok(rules) => (rules, active, saved.draft),
            Err(error) => {
                log::warn!("the saved rules no longer hold ({error}); the defaults are in force until they are mended");
                (Rules::defaults(&vocabulary), template().into(), Some(saved.draft.unwrap_or(active.to_string())))
            }
        };
        let refused = draft.as_deref().and_then(|draft| Some((draft, Rules::parse(draft, &vocabulary).err()?)));
        let rules_error = refused.map(|(draft, error)| Arc::from(report(draft, &error)));
        let router = Arc::new(Router::new(&rules, &vocabulary));
        let overrides = join::load_overrides(&store)?;
        let (ensemble, refused) = learn::in_force(&ensemble, store.folder());
        let ensemble = Arc::new(ensemble);
        let refused = refused.map(|refused| refused.to_string());
        refused.iter().for_each(|refused| log::warn!("{refused}"));
        let near = LastFound::new(store.folder());
        let catalogue = Arc::new(join::load(&store, &ensemble)?);
        let labels: Arc<[String]> = ensemble.labels().names().into();
        let started = Instant::now();
        let view = ViewInput {
            catalogue: Arc::clone(&catalogue),
            router: Arc::clone(&router),
            labels: Arc::clone(&labels),
            overrides: &overrides,
            previous: None,
            now: SystemTime::now(),
            epoch: 1,
            rules_error: rules_error.clone(),
        }
        .build();
        let last_build = started.elapsed();
        crate::memory::give_back();
        let rules = RulesText {
            active,
            draft: draft.filter(|_| rules_error.is_some()).map(Arc::from),
            changed: SystemTime::now(),
        };
        let shared = Arc::new(Shared {
            view: ArcSwap::from_pointee(view),
            rules: ArcSwap::from_pointee(rules),
            overrides: RwLock::new(overrides),
            progress: Mutex::new(IndexProgress { judging_error: refused, ..IndexProgress::default() }),
            near: NearDuplicates::default(),
            change: Mutex::new(ChangeTimes::default()),
            store: Arc::downgrade(&store),
            facts,
            vocabulary,
            ensemble: ArcSwap::new(Arc::clone(&ensemble)),
        });
        Ok(Self {
            shared,
            store,
            ensemble,
            kernel: Arc::new(super::notify::NoKernel),
            teller: None,
            telling: false,
            untold: VecDeque::new(),
            moves: never(),
            router,
            labels,
            catalogue,
            rules_error,
            pending: Vec::new(),
            seen_at_open: HashSet::new(),
            root,
            removed: Vec::new(),
            ahead: HashSet::new(),
            lost: false,
            near,
            last_build,
            last_swap: Instant::now(),
            is_untidy: false,
            times: ChangeTimes::default(),
        })
    }

    /// What the threads that serve requests read.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Starts the thread. It ends after [`KeeperHandle::stop`], having done everything that was sent before.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub(super) fn start(mut self, kernel: Arc<dyn Invalidate>, inbox: Inbox) -> std::io::Result<JoinHandle<()>> {
        self.teller = Some(Teller::start(Arc::clone(&kernel))?);
        self.kernel = kernel;
        self.moves = inbox.moves;
        std::thread::Builder::new().name("keeper".to_owned()).spawn(move || self.run(&inbox.messages))
    }

    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let waiting = self.has_news();
            let patience = SHOW_AFTER.max(self.last_build * 8).saturating_sub(self.last_swap.elapsed());
            let late = match (waiting, self.is_untidy) {
                (true, _) => after(patience),
                (false, true) => after(AT_REST),
                (false, false) => never(),
            };
            let moves = self.moves.clone();
            let message = select! {
                recv(late) -> _ => {
                    if waiting {
                        self.or_log(Self::show);
                    } else {
                        // The view before, and what it took to make this one.
                        crate::memory::give_back();
                        self.is_untidy = false;
                    }
                    continue;
                }
                recv(moves) -> request => {
                    match request {
                        Ok(request) => self.take_move(request),
                        Err(_) => self.moves = never(),
                    }
                    continue;
                }
                recv(receiver) -> message => message.ok(),
            };
            match message {
                Some(Message::Stop) | None => {
                    if waiting {
                        self.or_log(Self::show);
                    }
                    return;
                }
                Some(Message::Heard { updates }) => {
                    self.or_log(|keeper| keeper.take_heard(updates));
                }
                Some(Message::Moved { paths }) => {
                    // What was heard of them and does not show yet is gone with them.
                    let gone: HashSet<&[u8]> = paths.iter().map(|path| &path[..]).collect();
                    self.pending.retain(|sample| !gone.contains(&sample.path[..]));
                    self.removed.extend(paths);
                }
                Some(Message::Followed { words }) => {
                    // They show with the samples, which come next. What was said since of the new name stays.
                    let mut overrides = self.shared.overrides.write().unwrap_or_else(PoisonError::into_inner);
                    for (hash, said) in words {
                        match said {
                            Some(said) => _ = overrides.entry(hash).or_insert(said),
                            None => _ = overrides.remove(&hash),
                        }
                    }
                }
                Some(Message::After { answer }) => answer(Ok(())),
                Some(Message::Stale { ino }) => self.or_log(|keeper| keeper.kernel.sample_changed(ino)),
                Some(Message::Show { answer }) => {
                    let done = if waiting { self.guarded(Self::show) } else { Ok(()) };
                    answer(done);
                }
                Some(Message::NearDuplicates) => self.or_log(|keeper| {
                    if keeper.hides_near() && keeper.take_near_duplicates() {
                        keeper.show();
                    }
                }),
                Some(Message::Known { answer }) => self.or_log(|keeper| keeper.tell_known(&answer)),
                Some(Message::JudgeAgain { answer }) => {
                    answer(self.guarded(Self::judge_again));
                }
                Some(Message::Save { text, rules, parse, answer }) => {
                    self.times.parse = parse;
                    answer(self.guarded(|keeper| keeper.save(&text, &rules)).and_then(|done| done));
                }
                Some(Message::Refuse { text, error, answer }) => {
                    let done = self.guarded(|keeper| keeper.refuse(&text, &error)).and_then(|done| done);
                    answer(done.and(Err(FsError::Refused(error.to_string()))));
                }
                Some(Message::Override { words, answer }) => {
                    answer(self.guarded(|keeper| keeper.take_overrides(&words)).and_then(|done| done));
                }
                Some(Message::Changed { sample, answer }) => {
                    answer(self.guarded(|keeper| keeper.take_changed(sample)));
                }
            }
        }
    }

    /// Runs one change; a panic costs that change alone.
    fn guarded<T>(&mut self, change: impl FnOnce(&mut Self) -> T) -> Result<T, FsError> {
        catch_unwind(AssertUnwindSafe(|| change(self))).map_err(|payload| {
            self.lost = true;
            FsError::Panicked(crate::panic_message(payload.as_ref()))
        })
    }

    /// Runs a change that nobody waits for.
    fn or_log(&mut self, change: impl FnOnce(&mut Self)) {
        if let Err(error) = self.guarded(change) {
            log::error!("{error}");
        }
    }

    /// Whether something has come in that is not shown yet.
    fn has_news(&self) -> bool {
        !self.pending.is_empty() || !self.removed.is_empty()
    }

    /// Takes what has come in into the catalogue.
    fn take_in(&mut self) {
        if self.has_news() {
            let (pending, removed) = (std::mem::take(&mut self.pending), std::mem::take(&mut self.removed));
            self.catalogue = Arc::new(self.catalogue.with(pending, removed));
        }
    }

    /// Makes the next view out of what has come in, swaps it and tells the kernel.
    fn show(&mut self) {
        let view = self.make_view();
        self.swap(view);
    }

    /// Makes the next view out of what has come in.
    fn make_view(&mut self) -> View {
        self.take_in();
        let started = Instant::now();
        let before = self.shared.view();
        let overrides = self.shared.overrides.read().unwrap_or_else(PoisonError::into_inner);
        let view = ViewInput {
            catalogue: Arc::clone(&self.catalogue),
            router: Arc::clone(&self.router),
            labels: Arc::clone(&self.labels),
            overrides: &overrides,
            previous: Some(&before),
            now: SystemTime::now(),
            epoch: before.epoch + 1,
            rules_error: self.rules_error.clone(),
        }
        .build();
        drop(overrides);
        self.last_build = started.elapsed();
        view
    }

    /// Takes up calibrations, and what was learnt, that changed on disk. What is refused leaves what is in force.
    fn judge_again(&mut self) {
        let mut errors: Vec<String> = Vec::new();
        let mut changed = self.ensemble.recalibrated().unwrap_or_else(|error| {
            errors.push(error.to_string());
            None
        });
        let current = changed.as_ref().unwrap_or(&self.ensemble);
        match learn::head_in_force(current, self.store.folder()) {
            Ok(head) if head.as_ref() != current.head() => changed = Some(current.with_head(head)),
            Ok(_) => {}
            Err(error) => errors.push(error.to_string()),
        }
        if let Some(ensemble) = changed {
            errors.extend(self.judge_by(ensemble).err().map(|error| error.to_string()));
        }
        let error = (!errors.is_empty()).then(|| errors.join("; "));
        if let Some(error) = &error {
            log::warn!("what is in force stays: {error}");
        }
        self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner).judging_error = error;
    }

    fn judge_by(&mut self, ensemble: Ensemble) -> Result<(), StoreError> {
        let catalogue = join::judge_again(&self.store, &ensemble, &self.catalogue)?;
        self.pending = join::judge_pending_again(&self.store, &ensemble, &self.pending)?;
        self.catalogue = Arc::new(catalogue);
        self.ensemble = Arc::new(ensemble);
        self.shared.ensemble.store(Arc::clone(&self.ensemble));
        self.show();
        log::info!("everything was judged again: view {}", self.shared.view().epoch);
        Ok(())
    }

    fn swap(&mut self, view: View) {
        let after = Arc::new(view);
        let before = self.shared.view.swap(Arc::clone(&after));
        let started = Instant::now();
        self.tell(Box::new(move |kernel| kernel.view_changed(&before, &after)));
        self.times.notify = started.elapsed();
        *self.shared.change.lock().unwrap_or_else(PoisonError::into_inner) = std::mem::take(&mut self.times);
        self.last_swap = Instant::now();
        self.is_untidy = true;
    }

    fn save(&mut self, text: &str, rules: &Rules) -> Result<(), FsError> {
        // On the disk first: what was answered is never lost.
        let started = Instant::now();
        self.store.accept_rules(text)?;
        self.times.store = started.elapsed();
        self.router = Arc::new(Router::new(rules, &self.shared.vocabulary));
        self.rules_error = None;
        let text = RulesText { active: text.into(), draft: None, changed: SystemTime::now() };
        self.shared.rules.store(Arc::new(text));
        if self.hides_near() {
            self.take_near_duplicates();
        }
        self.show();
        // What is not known of them yet is looked for aside.
        self.shared.near.ask();
        for warning in rules.warnings() {
            log::warn!("rules.yml: {warning}");
        }
        log::info!("rules.yml was saved: view {}, {} µs", self.shared.view().epoch, self.last_build.as_micros());
        Ok(())
    }

    fn hides_near(&self) -> bool {
        self.router.hide_near_duplicates()
    }

    /// Takes up what the last search for near duplicates found, and says whether it was another than before.
    fn take_near_duplicates(&mut self) -> bool {
        // Another file may say the same, of another likeness or in another order.
        let Some(alike) = self.near.newer().filter(|alike| !self.catalogue.knows(alike)) else { return false };
        self.catalogue = Arc::new(self.catalogue.knowing(alike));
        true
    }

    fn refuse(&mut self, text: &str, error: &RulesError) -> Result<(), FsError> {
        log::warn!("rules.yml was refused, the rules before stay: {error}");
        let before = self.shared.rules.load_full();
        let text = RulesText { draft: Some(text.into()), changed: SystemTime::now(), ..(*before).clone() };
        let draft = text.shown().to_string();
        self.rules_error = Some(report(&draft, error).into());
        self.shared.rules.store(Arc::new(text));
        let view = self.shared.view();
        self.swap(view.with_rules_error(self.rules_error.clone(), view.epoch + 1));
        self.store.keep_draft(&draft)?;
        Ok(())
    }

    fn take_overrides(&mut self, words: &[Word]) -> Result<(), FsError> {
        self.say(words)?;
        self.show();
        Ok(())
    }

    /// Stores words; the next view has them.
    fn say(&mut self, words: &[Word]) -> Result<(), FsError> {
        let done = self.store.set_overrides(words)?;
        let mut overrides = self.shared.overrides.write().unwrap_or_else(PoisonError::into_inner);
        for (hash, said) in done {
            match said {
                Some(said) => overrides.insert(hash, said),
                None => overrides.remove(&hash),
            };
        }
        Ok(())
    }

    fn tell_known(&mut self, answer: &Sender<(Arc<Catalogue>, Arc<Ensemble>)>) {
        if self.has_news() {
            self.show();
        }
        let mut catalogue = Arc::clone(&self.catalogue);
        if !self.ahead.is_empty() {
            let paths = self.ahead.iter().map(|path| path.to_vec());
            match join::refreshed(&catalogue, &self.store, &self.ensemble, paths) {
                Ok(refreshed) => catalogue = Arc::new(refreshed),
                Err(_) => return,
            }
        }
        if !self.lost {
            drop(answer.send((catalogue, Arc::clone(&self.ensemble))));
        }
    }

    fn take_heard(&mut self, updates: Vec<Update>) {
        let mut changed_inos = Vec::new();
        for update in updates {
            if self.is_overtaken(&update) {
                continue;
            }
            self.ahead.remove(&update.path[..]);
            let known = self.catalogue.by_path(&update.path).map(|(_, sample)| sample.to_sample());
            let sample = match (&update.heard, known) {
                // What was heard in a file that has gone is still known.
                (None, Some(known)) if update.entry.missing => Sample { status: Status::Missing, ..known },
                _ => join(&update.path, &update.entry, update.heard.as_deref(), &self.ensemble),
            };
            // The kernel may remember the old bytes of a file that was heard again.
            let changed = self.catalogue.by_path(&update.path).filter(|(_, known)| {
                (known.size, known.mtime_ns, known.hash) != (sample.size, sample.mtime_ns, sample.hash)
            });
            if let Some((id, _)) = changed {
                changed_inos.push(self.catalogue.ino(id));
                self.make_way(&sample.path);
            }
            self.pending.push(Arc::new(sample));
        }
        if !changed_inos.is_empty() {
            self.show();
            changed_inos.into_iter().for_each(|ino| self.kernel.sample_changed(ino));
        }
    }

    /// An original is about to be shown that may have replaced another, which somebody may hold open.
    fn make_way(&mut self, path: &[u8]) {
        let view = self.shared.view();
        let Some((id, _)) = view.catalogue().by_path(path) else { return };
        let (root, path) = (Arc::clone(&self.root), path.to_vec());
        self.tell(Box::new(move |kernel| {
            let original = || root.open_with_metadata(&path).ok().map(|(_, metadata)| identity(&metadata));
            kernel.sample_changes(&view, id, &original);
        }));
    }

    /// Whether what was heard is of an older content than the one that a program has been shown since: then the newer
    /// is being heard as well, and stays as it was shown until it is.
    fn is_overtaken(&mut self, update: &Update) -> bool {
        if !self.seen_at_open.contains(&update.path[..]) {
            return false;
        }
        let now = self.root.open_with_metadata(&update.path).map(|(_, metadata)| metadata);
        let stands = match now {
            Ok(now) => {
                !update.entry.missing && (now.len(), mtime_ns(&now)) == (update.entry.size, update.entry.mtime_ns)
            }
            // It can't be looked at now: then what was heard, or that it is gone, is the best there is.
            Err(_) => true,
        };
        if stands {
            self.seen_at_open.remove(&update.path[..]);
        }
        !stands
    }

    fn take_changed(&mut self, sample: Arc<Sample>) {
        let ino = self.catalogue.by_path(&sample.path).map(|(id, _)| self.catalogue.ino(id));
        self.make_way(&sample.path);
        self.ahead.insert(sample.path.clone());
        self.seen_at_open.insert(sample.path.clone());
        self.pending.push(sample);
        self.show();
        if let Some(ino) = ino {
            self.kernel.sample_changed(ino);
        }
    }
}

/// The text of RULES-ERROR.txt.
fn report(text: &str, error: &RulesError) -> String {
    let line = text.lines().nth(error.line.saturating_sub(1)).unwrap_or("");
    let shown: String = line.chars().take(160).collect();
    let pointer = " ".repeat(error.column.saturating_sub(1).min(160));
    format!(
        "rules.yml was not accepted, and nothing has changed: the rules saved before are still in force.\n\n\
         {error}\n\n    {shown}\n    {pointer}^\n\n\
         Your text is kept in _control/rules.yml: mend it there and save it again. This file goes away by itself.\n"
    )
}
