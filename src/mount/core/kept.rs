//! Paths that programs opened and that the view has no longer: they are found, opened and read as before, and no listing
//! has them. A name that the view has goes before.

use std::sync::Arc;
use std::time::Duration;

use super::{Core, Found};
use crate::mount::attr::{self, Attr};
use crate::mount::opened::OpenedPaths;
use crate::view::{Ino, Node, View, ino};

impl Core {
    /// The same, knowing what was opened in earlier mounts.
    #[must_use]
    pub fn keeping(self, opened: Arc<OpenedPaths>) -> Self {
        Self { opened, ..self }
    }

    /// A sample was opened by a number. By one of a path that it has no longer, nothing is new.
    pub(super) fn note_opened(&self, view: &View, number: Ino, sample: u32) {
        if view.router().keep_opened_paths() && ino::kept(number).is_none() {
            self.opened.note(view, sample);
        }
    }

    /// Somebody gave what is at a name another one: the old one is not kept.
    pub(super) fn forget_opened(&self, folder: Ino, name: &[u8]) {
        self.opened.forget(folder, name);
    }

    /// The folder above one that the view has no longer and that leads to something kept.
    pub(super) fn kept_folder(&self, view: &View, folder: Ino) -> Option<Ino> {
        if view.dir_by_ino(folder).is_some() || !view.router().keep_opened_paths() {
            return None;
        }
        self.opened.above(folder)
    }

    /// The same, in the view of the moment.
    pub(super) fn is_kept_folder(&self, folder: Ino) -> bool {
        self.kept_folder(&self.shared.view(), folder).is_some()
    }

    /// The sample that was opened at a name which the view has not.
    fn kept_sample(&self, view: &View, folder: Ino, name: &[u8]) -> Option<u32> {
        if !view.router().keep_opened_paths() {
            return None;
        }
        match view.by_ino(self.opened.find(folder, name)?) {
            Some(Node::Sample(id)) => Some(id),
            _ => None,
        }
    }

    /// Whether there is something at a name only for whoever opened it before.
    pub(super) fn is_kept(&self, folder: Ino, name: &[u8]) -> bool {
        let view = self.shared.view();
        let shown = view.dir_by_ino(folder).is_some_and(|dir| view.lookup(dir, name).is_some());
        !shown && self.kept_sample(&view, folder, name).is_some()
    }

    /// What a name which the view has not is to whoever opened it before.
    pub(super) fn find_kept(&self, view: &View, folder: Ino, name: &[u8]) -> Found {
        let inner = ino::of_folder(folder, name);
        let found = if let Some(id) = self.kept_sample(view, folder, name) {
            let attr = self.attr(view, Node::Sample(id));
            Attr { ino: ino::of_kept(attr.ino), ..attr }
        } else if self.kept_folder(view, inner).is_some() {
            attr::of_kept_folder(view, inner)
        } else {
            return Found::Nothing;
        };
        // The next view may have the name: it is asked for at every look, and an answer on its way then is told of.
        self.remembered.expire(folder, name);
        Found::Node(Attr { entry_ttl: Duration::ZERO, ..found })
    }
}
