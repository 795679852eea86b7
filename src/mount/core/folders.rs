//! Opening, listing and closing folders.

use std::time::Duration;

use super::{Core, scratch_attr};
use crate::mount::attr::{self, Attr, Kind};
use crate::mount::errno::FsError;
use crate::mount::handles::Handle;
use crate::mount::listings::Listed;
use crate::view::{Ino, Node, ROOT, View, control_ino};

/// Takes an entry of a folder: the view, the inode number, the place of the next entry, what it is, its name, and the
/// node where it is one of the view. Says whether there is no more room.
type Add<'a> = &'a mut dyn FnMut(&View, Ino, u64, Kind, &[u8], Option<Node>) -> bool;

/// Takes an entry without its attributes: inode number, place of the next entry, what it is, name.
pub type AddName<'a> = &'a mut dyn FnMut(Ino, u64, Kind, &[u8]) -> bool;

impl Core {
    /// Opens a folder on the view of the moment: the handle, and how the kernel may list it.
    ///
    /// # Errors
    /// Where it is none.
    pub fn opendir(&self, ino: Ino) -> Result<(u64, Listed), FsError> {
        // Before the view: a number that changes afterwards is one that a later version has.
        let numbers = self.remembered.numbers();
        let view = self.shared.view();
        if let Some(above) = self.kept_folder(&view, ino) {
            return Ok((self.handles.add(Handle::Kept { folder: ino, above }), Listed::Asked));
        }
        let dir = self.dir(&view, ino)?;
        let scratch = if ino == control_ino() { self.scratch.list() } else { Vec::new() };
        // Others see other names, and in these two files come and go that are no part of the view's digest.
        let listed = if self.permissions.is_some() || ino == control_ino() || ino == ROOT {
            Listed::Asked
        } else {
            self.listings.open(ino, view.digest(dir).wrapping_add(numbers))
        };
        let kept = (listed != Listed::Asked).then_some(ino);
        Ok((self.handles.add(Handle::Dir { view, dir, kept, scratch }), listed))
    }

    /// Lists a folder from a place on. `add` is given inode number, place of the next entry, kind and name, and says
    /// whether there is no more room.
    ///
    /// # Errors
    /// [`FsError::BadHandle`].
    pub fn readdir(&self, handle: u64, from: u64, add: AddName<'_>) -> Result<(), FsError> {
        self.list(handle, from, &mut |_, ino, next, kind, name, _| add(ino, next, kind, name))
    }

    /// The same with attributes. Names of a view that is no longer the current one may not be remembered.
    ///
    /// # Errors
    /// [`FsError::BadHandle`].
    pub fn readdirplus(
        &self,
        handle: u64,
        from: u64,
        add: &mut dyn FnMut(&Attr, u64, &[u8]) -> bool,
    ) -> Result<(), FsError> {
        let folder = match &*self.handles.get(handle)? {
            Handle::Dir { view, dir, .. } => view.ino(Node::Dir(*dir)),
            Handle::Kept { folder, .. } => *folder,
            _ => return Err(FsError::BadHandle),
        };
        // Before the current view is looked at: see `Remembered`.
        self.remembered.give(folder);
        let current = self.shared.view().epoch;
        self.list(handle, from, &mut |view, ino, next, kind, name, node| {
            let mut attr = match node {
                Some(node) => self.attr(view, node),
                None => match self.scratch.by_ino(ino) {
                    Some(file) => scratch_attr(&file),
                    None => Attr { kind, ..attr::of_made(ino, 0, self.started, 0o644) },
                },
            };
            if view.epoch != current || attr.kind == Kind::Folder {
                attr.entry_ttl = Duration::ZERO;
                attr.attr_ttl = Duration::ZERO;
            }
            if view.epoch != current && attr.kind == Kind::File {
                self.remembered.expire(folder, name);
            }
            add(&attr, next, name)
        })
    }

    fn list(&self, handle: u64, from: u64, add: Add<'_>) -> Result<(), FsError> {
        let handle = self.handles.get(handle)?;
        if let Handle::Kept { folder, above } = &*handle {
            let view = self.shared.view();
            let names = [(*folder, &b"."[..]), (*above, b"..")].into_iter().zip(1u64..);
            for ((ino, name), next) in names.skip(usize::try_from(from).unwrap_or(usize::MAX)) {
                if add(&view, ino, next, Kind::Folder, name, None) {
                    break;
                }
            }
            return Ok(());
        }
        let Handle::Dir { view, dir, scratch, kept } = &*handle else { return Err(FsError::BadHandle) };
        kept.iter().for_each(|folder| self.listings.read(*folder));
        let len = view.len(*dir);
        for place in from..u64::MAX {
            let next = place + 1;
            let Ok(at) = usize::try_from(place) else { return Ok(()) };
            let full = match at {
                0 => {
                    let node = Node::Dir(*dir);
                    add(view, view.ino(node), next, Kind::Folder, b".", Some(node))
                }
                1 => {
                    let node = Node::Dir(view.parent(*dir));
                    add(view, view.ino(node), next, Kind::Folder, b"..", Some(node))
                }
                _ if at - 2 < len => match view.entry(*dir, at - 2) {
                    Some((_, Node::Generated(file))) if self.scratch.is_hidden(file) => false,
                    Some((name, node)) => {
                        let kind = if matches!(node, Node::Dir(_)) { Kind::Folder } else { Kind::File };
                        add(view, self.remembered.shown(view.ino(node)), next, kind, &name, Some(node))
                    }
                    None => false,
                },
                _ => match scratch.get(at - 2 - len) {
                    Some((name, ino)) => add(view, *ino, next, Kind::File, name, None),
                    None => return Ok(()),
                },
            };
            if full {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Closes a folder's handle.
    pub fn release_dir(&self, handle: u64) {
        if let Some(Handle::Dir { kept: Some(folder), .. }) = self.handles.remove(handle).as_deref() {
            self.listings.close(*folder);
        }
    }
}
