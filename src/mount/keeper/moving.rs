//! Moves: an override each, on the disk and shown before the program that moves is answered.
//!
//! The program holds the locks of both folders until then, so nothing is told of names in them, or in a folder above
//! them, before the answer. A lock above is as bad: who removes a folder holds that of the one above and waits for its
//! own. Where the kernel can call back everything it was given, which takes no lock, the names in those folders are right
//! when the answer comes; elsewhere a moment later.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::select;

use super::telling::Telling;
use super::{Answer, Keeper};
use crate::mount::errno::FsError;
use crate::mount::moves::{self, Route};
use crate::view::{DirId, Ino, Node, View, changed_names_in};

/// A program moves something.
pub(in crate::mount) struct MoveRequest {
    /// From where to where.
    pub route: Route,
    /// Who is answered.
    pub answer: Answer,
}

/// What came of a move.
struct Moved {
    before: Arc<View>,
    after: Arc<View>,
    /// The folders it was moved between, and those above them.
    held: Arc<HashSet<Ino>>,
    /// Names in those that stand for something else than the kernel will believe.
    names: Vec<(Ino, Vec<u8>)>,
}

impl Keeper {
    /// Has the kernel told something, and waits until it was. Moves are done and answered meanwhile.
    pub(super) fn tell(&mut self, job: Telling) {
        let mut next = Some(job);
        while let Some(job) = next {
            let Some(teller) = &self.teller else { return job(&*self.kernel) };
            let (told, moves) = (teller.begin(job), self.moves.clone());
            let outer = std::mem::replace(&mut self.telling, true);
            loop {
                select! {
                    recv(told) -> _ => break,
                    recv(moves) -> request => match request {
                        Ok(request) => self.take_move(request),
                        Err(_) => {
                            // Nobody is there who could move anything.
                            _ = told.recv();
                            break;
                        }
                    },
                }
            }
            self.telling = outer;
            next = if outer { None } else { self.untold.pop_front() };
        }
    }

    /// Does a move and answers it.
    pub(super) fn take_move(&mut self, MoveRequest { route, answer }: MoveRequest) {
        let moved = match self.guarded(|keeper| keeper.record_move(&route)).and_then(|done| done) {
            Ok(moved) => moved,
            Err(error) => return answer(Err(error)),
        };
        let Moved { before, after, held, names } = moved;
        if self.telling {
            // What is being told just now may wait for a folder that this program holds.
            let called = self.kernel.call_all_back();
            answer(Ok(()));
            if !called {
                self.untold.push_back(Box::new(move |kernel| {
                    kernel.view_changed(&before, &after);
                    kernel.names_changed(&names);
                }));
            }
            return;
        }
        self.or_log(|keeper| {
            keeper.tell(Box::new(move |kernel| kernel.view_changed_but(&before, &after, &held)));
        });
        let called = names.is_empty() || self.kernel.call_all_back();
        answer(Ok(()));
        if !called {
            self.or_log(|keeper| keeper.tell(Box::new(move |kernel| kernel.names_changed(&names))));
        }
    }

    /// The override is stored, and the view swapped; nobody was told.
    fn record_move(&mut self, route: &Route) -> Result<Moved, FsError> {
        let shown = self.shared.view();
        let planned = moves::plan(&shown, route)?;
        self.take_in();
        let found = self.catalogue.by_path(&planned.path).filter(|(_, sample)| sample.is_present());
        let (_, sample) = found.ok_or(FsError::NotFound)?;
        if self.seen_at_open.contains(&planned.path) {
            // What is there now is not known by its content yet.
            return Err(FsError::BeingHeard);
        }
        let word = moves::word(&self.router, sample, planned.folder, self.shared.facts.user.as_deref())?;
        let label = word.label.clone().unwrap_or_default();
        self.say(&[word])?;
        let after = Arc::new(self.make_view());
        let before = self.shared.view.swap(Arc::clone(&after));
        self.last_swap = Instant::now();
        self.is_untidy = true;
        log::info!("{} was moved to {label}: view {}", String::from_utf8_lossy(&planned.path), after.epoch);
        let held = held(&before, route);
        let names = misbelieved(&before, &after, route, &held);
        Ok(Moved { before, after, held: Arc::new(held), names })
    }
}

/// The folders of a move and all above them, by number.
fn held(view: &View, route: &Route) -> HashSet<Ino> {
    let mut held = HashSet::new();
    for folder in [route.from.folder, route.to.folder] {
        let Some(mut dir) = view.dir_by_ino(folder) else { continue };
        while held.insert(view.ino(Node::Dir(dir))) && dir != DirId::ROOT {
            dir = view.parent(dir);
        }
    }
    held
}

/// The names in the folders of a move, and above them, that stand for something else in the view `after` than they did in
/// the one `before` and the kernel takes them for, once it has taken the moved name itself from the one folder to the other.
fn misbelieved(before: &View, after: &View, route: &Route, held: &HashSet<Ino>) -> Vec<(Ino, Vec<u8>)> {
    let mut names = Vec::new();
    for dir in before.dirs() {
        let folder = before.ino(Node::Dir(dir));
        if held.contains(&folder) {
            changed_names_in(before, after, dir, |name| {
                if (folder, name) != (route.from.folder, &route.from.name) {
                    names.push((folder, name.to_vec()));
                }
            });
        }
    }
    let found = |view: &View, at: &moves::At| {
        view.dir_by_ino(at.folder).and_then(|dir| view.lookup(dir, &at.name)).map(|node| view.ino(node))
    };
    if found(after, &route.to) != found(before, &route.from) {
        names.push((route.to.folder, route.to.name.to_vec()));
    }
    names
}
