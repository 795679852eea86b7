//! A sample is moved from one class folder to another: which override that is. Pure: looks at a view and changes
//! nothing.
//!
//! What a person expects who drags a sample into a folder is that it is there afterwards. So a move is taken only where
//! one override puts the sample in, or below, the folder it is moved to, and the router says that it does; every other
//! is refused. Names are the view's: nothing can be called otherwise.

use super::errno::FsError;
use crate::rules::{FolderId, Layout, Reason, Router};
use crate::store::Word;
use crate::view::{DirId, Ino, Node, SampleRef, View};

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The folder's inode number.
    pub folder: Ino,
    /// The name in it.
    pub name: Box<[u8]>,
}

impl From<(Ino, &[u8])> for At {
    fn from((folder, name): (Ino, &[u8])) -> Self {
        Self { folder, name: name.into() }
    }
}

/// From where to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where it was.
    pub from: At,
    /// Where it is to be.
    pub to: At,
}

/// What is to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The sample's path in the archive.
    pub path: Box<[u8]>,
    /// The folder of the rules it is to be in.
    pub folder: FolderId,
}

/// The folder from which the least sure samples may be moved out, too.
const UNCERTAIN: &[u8] = b"_uncertain";

/// Whether samples may be moved into a folder of the view, or out of it: the class folders, what is below them, and
/// `_uncertain`, out of which alone.
pub fn takes_moves(view: &View, dir: DirId) -> bool {
    dir != DirId::ROOT && matches!(above(view, dir), Above::Class | Above::Uncertain)
}

enum Above {
    Class,
    Uncertain,
    Other,
}

fn above(view: &View, dir: DirId) -> Above {
    let path = view.dir_path(dir);
    match path.split(|&b| b == b'/').next() {
        Some(first) if first == UNCERTAIN => Above::Uncertain,
        Some(first) if first.is_empty() || first.starts_with(b"_") => Above::Other,
        Some(_) => Above::Class,
        None => Above::Other,
    }
}

/// What a rename of a name in the view means; both folders are not `_control`.
///
/// # Errors
/// [`FsError::NotFound`] where a folder or the sample is not there; [`FsError::Exists`] where the name is another's;
/// [`FsError::ReadOnly`] for everything that no override does.
pub fn plan(view: &View, route: &Route) -> Result<Move, FsError> {
    let dir = |ino| match view.dir_by_ino(ino) {
        Some(dir) => Ok(dir),
        None if view.by_ino(ino).is_some() => Err(FsError::NotAFolder),
        None => Err(FsError::NotFound),
    };
    let (from, to) = (dir(route.from.folder)?, dir(route.to.folder)?);
    let Some(Node::Sample(id)) = view.lookup(from, &route.from.name) else {
        return Err(if view.lookup(from, &route.from.name).is_some() { FsError::ReadOnly } else { FsError::NotFound });
    };
    let sample = view.sample(id);
    let in_class = match above(view, from) {
        Above::Class => true,
        Above::Uncertain => false,
        Above::Other => return Err(FsError::ReadOnly),
    };
    if !matches!(above(view, to), Above::Class) {
        return Err(FsError::ReadOnly);
    }
    // The name it is shown under, or its own.
    if route.to.name != route.from.name && *route.to.name != *sample.name() {
        return Err(FsError::ReadOnly);
    }
    let folder = folder_at(view.router(), &view.dir_path(to), sample).ok_or(FsError::ReadOnly)?;
    if in_class && folder == view.assigned(id).folder {
        return Err(FsError::ReadOnly);
    }
    if view.lookup(to, &route.to.name).is_some() {
        return Err(FsError::Exists);
    }
    word(view.router(), sample, folder, None)?;
    Ok(Move { path: sample.path.into(), folder })
}

/// The folder of the rules that is meant by a path of the view: the one in which the sample would lie right there, else
/// the one that has that path.
fn folder_at(router: &Router, path: &[u8], sample: SampleRef<'_>) -> Option<FolderId> {
    let inner = match router.layout() {
        Layout::Flat => b"",
        Layout::Preserve => sample.folder(),
        Layout::ByPack => sample.pack(),
    };
    let lies_there = |folder: &str| match path.strip_prefix(folder.as_bytes()) {
        Some([]) => inner.is_empty(),
        Some([b'/', rest @ ..]) => !inner.is_empty() && rest == inner,
        _ => false,
    };
    let numbered = || (0..FolderId::MAX).zip(router.folders());
    let exact = numbered().find(|(_, folder)| lies_there(folder));
    exact.or_else(|| numbered().find(|(_, folder)| folder.as_bytes() == path)).map(|(id, _)| id)
}

/// The word that puts a sample into a folder of the rules.
///
/// # Errors
/// [`FsError::ReadOnly`] where there is none: a sample that could not be read has no content to speak of, one that could
/// not be classified stays in misc, and a route may hide what was overridden.
pub fn word(router: &Router, sample: SampleRef<'_>, folder: FolderId, by: Option<&str>) -> Result<Word, FsError> {
    let hash = sample.hash.ok_or(FsError::ReadOnly)?;
    let label = router.folder_name(folder);
    let verdict = router.route(&sample.subject(Some(label)));
    if verdict.reason != Reason::Override || verdict.folder != folder {
        return Err(FsError::ReadOnly);
    }
    Ok(Word { hash, label: Some(label.to_owned()), note: None, by: by.map(str::to_owned), undo: false })
}
