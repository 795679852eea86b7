//! What other users are shown, where they are let in. For the mounting user, and in a mount of the usual kind, nothing
//! here does anything.

use std::sync::Arc;
use std::time::Duration;

use super::{Core, Found, Opened};
use crate::mount::attr::Attr;
use crate::mount::errno::FsError;
use crate::mount::handles::Handle;
use crate::mount::permissions::{Asker, May, Permissions, Who};
use crate::mount::remembered::Remembered;
use crate::view::{DirId, Ino, Node, View, control_ino};

impl Core {
    /// The same, for a mount that lets other users in.
    #[must_use]
    pub fn letting_in(self, permissions: Option<Permissions>) -> Self {
        Self { permissions, ..self }
    }

    /// The attributes as everybody may be told them. What drumfs makes, all of `_control` and the lists of
    /// `_manifests` are for the mounting user alone: they name samples that others may not see.
    pub(super) fn as_told(&self, view: &View, node: Node, attr: Attr) -> Attr {
        let Some(permissions) = &self.permissions else { return attr };
        // Each look at a name comes here with who looks.
        let attr = Attr { entry_ttl: Duration::ZERO, ..attr };
        match node {
            Node::Sample(id) => permissions.narrow(view.sample(id).path, attr),
            Node::Dir(dir) if attr.ino != control_ino() && !is_manifests(view, dir) => attr,
            Node::Dir(_) | Node::Generated(_) => Attr { perm: attr.perm & 0o700, ..attr },
        }
    }

    /// The mount as somebody may see it, for one request.
    pub fn eyes(&self, asker: Asker) -> Eyes<'_> {
        let permissions = self.permissions.as_ref().filter(|permissions| !permissions.trusts(asker));
        let judge = permissions.map(|permissions| Judge {
            permissions,
            who: Who::asks(asker),
            view: self.shared.view(),
            remembered: &self.remembered,
            last: None,
        });
        Eyes(judge)
    }

    /// Whether somebody may say anything of samples: who mounted, and root.
    ///
    /// # Errors
    /// [`FsError::NotPermitted`].
    pub fn lets_change(&self, asker: Asker) -> Result<(), FsError> {
        let stranger = self.permissions.as_ref().is_some_and(|permissions| !permissions.trusts(asker));
        if stranger { Err(FsError::NotPermitted) } else { Ok(()) }
    }

    /// Whether somebody may have the file that was just opened for them. The one that was opened is asked, not its
    /// name; it is closed where they may not.
    ///
    /// # Errors
    /// [`FsError::NotPermitted`].
    pub fn let_read(&self, asker: Asker, opened: Opened) -> Result<Opened, FsError> {
        let Some(permissions) = self.permissions.as_ref().filter(|permissions| !permissions.trusts(asker)) else {
            return Ok(opened);
        };
        let may = match &*self.handles.get(opened.handle)? {
            Handle::Sample { file, path, .. } => permissions.lets_read(path, file, &Who::asks(asker)),
            _ => false,
        };
        if may {
            return Ok(opened);
        }
        self.handles.remove(opened.handle);
        Err(FsError::NotPermitted)
    }
}

fn is_manifests(view: &View, dir: DirId) -> bool {
    view.parent(dir) == DirId::ROOT && view.dir_path(dir) == b"_manifests"
}

/// What somebody may see.
#[derive(Debug)]
pub struct Eyes<'a>(Option<Judge<'a>>);

#[derive(Debug)]
struct Judge<'a> {
    permissions: &'a Permissions,
    who: Who,
    view: Arc<View>,
    remembered: &'a Remembered,
    /// The last folder of the archive that was asked for: many samples of a listing lie in one.
    last: Option<(Box<[u8]>, May)>,
}

impl Eyes<'_> {
    /// What was found, where they may find it.
    ///
    /// # Errors
    /// [`FsError::NotPermitted`] where they may not search a folder in which the original lies.
    pub fn finds(&mut self, found: Found) -> Result<Found, FsError> {
        let (Some(judge), Found::Node(attr)) = (&mut self.0, &found) else { return Ok(found) };
        match judge.view.by_ino(judge.remembered.own(attr.ino)) {
            Some(Node::Sample(id)) if !judge.folder(id).search => Err(FsError::NotPermitted),
            _ => Ok(found),
        }
    }

    /// Whether they may see an entry of a folder in a listing.
    pub fn lists(&mut self, ino: Ino, name: &[u8]) -> bool {
        let Some(judge) = &mut self.0 else { return true };
        match judge.view.by_ino(judge.remembered.own(ino)) {
            Some(Node::Sample(id)) => judge.folder(id).list,
            // Folders of the rules, and those that drumfs makes.
            Some(Node::Dir(dir)) if judge.view.parent(dir) == DirId::ROOT || matches!(name, b"." | b"..") => true,
            Some(Node::Dir(dir)) => judge.shows_any(dir),
            Some(Node::Generated(_)) => true,
            // Of a view that is no longer the current one, or beside the control files.
            None => false,
        }
    }
}

impl Judge<'_> {
    fn folder(&mut self, sample: u32) -> May {
        let folder = self.view.sample(sample).folder();
        match &self.last {
            Some((last, may)) if **last == *folder => *may,
            _ => {
                let may = self.permissions.folder(folder, &self.who);
                self.last = Some((folder.into(), may));
                may
            }
        }
    }

    /// Whether they may see any sample in or below a folder of the view: its name may be that of a folder of the
    /// archive they may not enter.
    fn shows_any(&mut self, dir: DirId) -> bool {
        let view = Arc::clone(&self.view);
        let mut dirs = vec![dir];
        while let Some(dir) = dirs.pop() {
            for (_, node) in view.entries(dir) {
                match node {
                    Node::Sample(id) if self.folder(id).list => return true,
                    Node::Dir(dir) => dirs.push(dir),
                    Node::Sample(_) | Node::Generated(_) => {}
                }
            }
        }
        false
    }
}
