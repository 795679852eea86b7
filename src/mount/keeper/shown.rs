//! What the threads that serve requests read, and the keeper alone changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::archive::ContentHash;
use crate::classify::Ensemble;
use crate::mount::near::NearDuplicates;
use crate::mount::status::{ChangeTimes, Facts, IndexProgress};
use crate::rules::Vocabulary;
use crate::store::{Override, Store};
use crate::view::View;

/// The text of rules.yml as it is shown.
#[derive(Debug, Clone)]
pub struct RulesText {
    /// What is in force.
    pub active: Arc<str>,
    /// What was refused and is kept, until something is accepted.
    pub draft: Option<Arc<str>>,
    /// When either last changed.
    pub changed: SystemTime,
}

impl RulesText {
    /// What rules.yml reads as: the draft while there is one, so that nobody has to write it again.
    pub fn shown(&self) -> &Arc<str> {
        self.draft.as_ref().unwrap_or(&self.active)
    }
}

/// What the threads that serve requests read.
#[derive(Debug)]
pub struct Shared {
    /// The current view.
    pub view: ArcSwap<View>,
    /// The text of rules.yml.
    pub rules: ArcSwap<RulesText>,
    /// What people said.
    pub overrides: RwLock<HashMap<ContentHash, Override>>,
    /// How indexing is getting on.
    pub progress: Mutex<IndexProgress>,
    /// How the search for near duplicates is getting on.
    pub near: NearDuplicates,
    /// How long the last change took.
    pub change: Mutex<ChangeTimes>,
    /// Where what was heard is kept. The keeper has it; who only reads keeps nobody from closing it.
    pub store: Weak<Store>,
    /// What does not change while mounted.
    pub facts: Facts,
    /// The labels rules may speak of.
    pub vocabulary: Vocabulary,
    /// What judges what was heard.
    pub ensemble: ArcSwap<Ensemble>,
}

impl Shared {
    /// The current view.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }
}
