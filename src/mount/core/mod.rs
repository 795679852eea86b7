//! File operations on a view. Everything FUSE asks for happens here and can be tested without a mount.
//!
//! Reading operations answer at once from the view of the moment. Those that may change what is shown take a closure
//! and hand it to the keeper, so that the thread that serves requests goes on serving.

mod files;
mod folders;
mod kept;
mod no_open;
mod others;
mod writing;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use crossbeam_channel::Sender;

use self::no_open::Lately;
use super::attr::{self, Attr, FOR_EVER, Kind, LONG};
use super::control::{Scratch, ScratchFiles};
use super::errno::FsError;
use super::fill::Fills;
use super::handles::{Handle, Handles};
use super::indexer::Request;
use super::keeper::{KeeperHandle, Shared};
use super::listings::Listings;
use super::opened::OpenedPaths;
use super::passthrough::{Backing, IoModes, Reading, Register};
use super::permissions::Permissions;
use super::remembered::Remembered;
use super::{moves, overrides, status};
use crate::archive::ArchiveRoot;
use crate::view::{DirId, Generated, Ino, Node, View, control_ino};

/// What a name was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Something is there.
    Node(Attr),
    /// Nothing is there. That is never remembered: a name that appears is seen at once.
    Nothing,
}

/// How the kernel treats an open file.
#[derive(Debug, Clone)]
pub enum OpenKind {
    /// Bytes that stay: what was read before may be used again.
    Keep,
    /// Bytes made for this handle: nothing is kept, and the size is not believed.
    Direct,
    /// The kernel reads the original by itself.
    Passthrough(Arc<Backing>),
}

/// An open file.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The handle's number.
    pub handle: u64,
    /// How the kernel treats it.
    pub kind: OpenKind,
}

/// How a file is to be opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenHow {
    /// For writing.
    pub write: bool,
    /// Every write goes to the end.
    pub append: bool,
    /// Empty it first.
    pub truncate: bool,
}

/// The operations.
pub struct Core {
    shared: Arc<Shared>,
    keeper: KeeperHandle,
    root: Arc<ArchiveRoot>,
    indexer: Sender<Request>,
    handles: Handles,
    scratch: ScratchFiles,
    remembered: Arc<Remembered>,
    listings: Listings,
    modes: Arc<IoModes>,
    fills: Fills,
    lately: Lately,
    opened: Arc<OpenedPaths>,
    /// Whether changes of originals are noticed by themselves.
    watched: Arc<AtomicBool>,
    /// Rights to the originals, where other users are let in.
    permissions: Option<Permissions>,
    started: SystemTime,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("root", &self.root).field("handles", &self.handles.count()).finish_non_exhaustive()
    }
}

impl Core {
    /// Operations on what `shared` shows.
    pub fn new(
        shared: Arc<Shared>,
        keeper: KeeperHandle,
        root: Arc<ArchiveRoot>,
        indexer: Sender<Request>,
        remembered: Arc<Remembered>,
        watched: Arc<AtomicBool>,
    ) -> Self {
        Self {
            shared,
            keeper,
            root,
            indexer,
            handles: Handles::default(),
            scratch: ScratchFiles::default(),
            remembered,
            listings: Listings::default(),
            modes: Arc::default(),
            fills: Fills::default(),
            lately: Lately::default(),
            opened: Arc::new(OpenedPaths::in_memory()),
            watched,
            permissions: None,
            started: SystemTime::now(),
        }
    }

    /// The kernel can be handed originals to read from by itself.
    pub fn hand_over_originals(&self, register: Arc<dyn Register>) {
        self.modes.hand_over(register);
    }

    /// Which originals are open.
    pub fn modes(&self) -> &Arc<IoModes> {
        &self.modes
    }

    /// How originals are read.
    pub(super) fn passthrough(&self) -> Reading {
        if self.is_without_open() { Reading::WithoutOpen } else { Reading::Opened(self.modes.passthrough()) }
    }

    /// How many handles are open.
    pub fn open_handles(&self) -> usize {
        self.handles.count()
    }

    /// Where changes of originals are not noticed by themselves, size and time are asked for again after a second.
    fn sample_ttl(&self) -> Duration {
        if self.watched.load(Ordering::Relaxed) { LONG } else { Duration::from_secs(1) }
    }

    /// A folder in which something is to be done: nothing can be in one that is only kept.
    fn dir(&self, view: &View, ino: Ino) -> Result<DirId, FsError> {
        match view.dir_by_ino(ino) {
            Some(dir) => Ok(dir),
            None if self.kept_folder(view, ino).is_some() => Err(FsError::ReadOnly),
            None if view.by_ino(self.remembered.own(ino)).is_some() || self.scratch.by_ino(ino).is_some() => {
                Err(FsError::NotAFolder)
            }
            None => Err(FsError::NotFound),
        }
    }

    // Names and attributes.

    /// What a name in a folder is.
    ///
    /// # Errors
    /// Where the folder is none.
    pub fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Found, FsError> {
        // Before the view is looked at: see `Remembered`.
        self.remembered.give(parent);
        self.remembered.look_up(parent, name);
        let view = self.shared.view();
        if name.len() > 255 {
            return Err(FsError::NameTooLong);
        }
        if self.kept_folder(&view, parent).is_some() {
            return Ok(self.find_kept(&view, parent, name));
        }
        let dir = self.dir(&view, parent)?;
        let control = parent == control_ino();
        if control && let Some(file) = self.scratch.get(name) {
            return Ok(Found::Node(scratch_attr(&file)));
        }
        match view.lookup(dir, name) {
            Some(Node::Generated(file)) if self.scratch.is_hidden(file) => Ok(Found::Nothing),
            Some(node) => Ok(Found::Node(self.attr(&view, node))),
            None => Ok(self.find_kept(&view, parent, name)),
        }
    }

    /// The attributes of a node.
    ///
    /// # Errors
    /// [`FsError::NotFound`] where the current view has no such node, and nobody holds one open.
    pub fn getattr(&self, ino: Ino) -> Result<Attr, FsError> {
        if let Some(file) = self.scratch.by_ino(ino) {
            return Ok(scratch_attr(&file));
        }
        let view = self.shared.view();
        let own = self.remembered.own(ino);
        let Some(node) = view.by_ino(own) else {
            if self.kept_folder(&view, ino).is_some() {
                return Ok(attr::of_kept_folder(&view, ino));
            }
            let (size, mtime) = self.modes.held(ino, None).ok_or(FsError::NotFound)?;
            return Ok(attr::of_gone(ino, size, mtime));
        };
        // Whoever asks by a number hears of that one.
        let attr = Attr { ino, ..self.attr(&view, node) };
        let Node::Sample(id) = node else { return Ok(attr) };
        let known = view.sample(id);
        Ok(match self.modes.held(ino, Some((known.size, known.mtime_ns))) {
            Some((size, mtime)) => Attr { size, mtime: attr::time(mtime), ..attr },
            None => attr,
        })
    }

    fn attr(&self, view: &View, node: Node) -> Attr {
        self.as_told(view, node, self.own_attr(view, node))
    }

    /// The attributes for the mounting user.
    fn own_attr(&self, view: &View, node: Node) -> Attr {
        match node {
            Node::Sample(id) => {
                let attr = attr::of_sample(view, id, FOR_EVER, self.sample_ttl());
                Attr { ino: self.remembered.shown(attr.ino), ..attr }
            }
            Node::Dir(dir) => attr::of_dir(view, dir, FOR_EVER),
            Node::Generated(file) => {
                let (size, mtime) = match file {
                    Generated::Rules => {
                        let rules = self.shared.rules.load();
                        (rules.shown().len() as u64, rules.changed)
                    }
                    // Made while it is read, like the files of /proc.
                    Generated::Index => (0, view.mtime(DirId::ROOT)),
                    Generated::Status => {
                        self.text_stat(view.ino(node), || status::text(&self.shared, self.passthrough()))
                    }
                    Generated::Overrides => {
                        let (size, made) = self.text_stat(view.ino(node), || overrides::text(&self.shared));
                        (size, if self.is_without_open() { made } else { view.mtime(DirId::ROOT) })
                    }
                    Generated::Rescan => (RESCAN_TEXT.len() as u64, self.started),
                    _ => (view.generated_len(file).unwrap_or(0), view.mtime(DirId::ROOT)),
                };
                attr::of_made(view.ino(node), size, mtime, if file.is_writable() { 0o644 } else { 0o444 })
            }
        }
    }

    /// Changes attributes: sizes of what takes writes, permission bits of files beside the control files. Times and
    /// owners of those are taken without effect, since editors set them.
    ///
    /// # Errors
    /// [`FsError::ReadOnly`] for everything else.
    pub fn setattr(
        &self,
        ino: Ino,
        handle: Option<u64>,
        size: Option<u64>,
        perm: Option<u16>,
    ) -> Result<Attr, FsError> {
        if let Some(file) = self.scratch.by_ino(ino) {
            perm.into_iter().for_each(|perm| file.set_perm(perm));
            size.map_or(Ok(()), |size| file.resize(size))?;
            return Ok(scratch_attr(&file));
        }
        let attr = self.getattr(ino)?;
        let view = self.shared.view();
        if ino == control_ino() && size.is_none() {
            return Ok(attr);
        }
        if !view.generated_by_ino(ino).is_some_and(Generated::is_writable) {
            return Err(FsError::ReadOnly);
        }
        let Some(size) = size else { return Ok(attr) };
        if self.is_without_open() && handle.is_none() && view.generated_by_ino(ino) != Some(Generated::Rescan) {
            return Err(FsError::ReadOnly);
        }
        match handle.map(|handle| self.handles.get(handle)).transpose()?.as_deref() {
            Some(Handle::Rules(draft) | Handle::Overrides(draft)) => {
                draft.lock().unwrap_or_else(PoisonError::into_inner).resize(size)?;
            }
            Some(Handle::Rescan) | None if size == 0 => {}
            _ => return Err(FsError::Invalid("only an open control file can be cut")),
        }
        Ok(Attr { size, ..attr })
    }

    /// Whether an extended attribute may be set: never. In `_control` the answer is that there are none, which programs
    /// that copy attributes along (`cp -p`, editors) take as a no and go on.
    ///
    /// # Errors
    /// Always: [`FsError::NotSupported`] in `_control`, [`FsError::ReadOnly`] elsewhere.
    pub fn setxattr(&self, ino: Ino) -> Result<(), FsError> {
        let view = self.shared.view();
        let writable = self.scratch.by_ino(ino).is_some()
            || ino == control_ino()
            || view.generated_by_ino(ino).is_some_and(Generated::is_writable);
        Err(if writable { FsError::NotSupported } else { FsError::ReadOnly })
    }

    /// Whether a file or folder may be read, written (`write`) or run (`execute`). Folders that samples may be moved into
    /// or out of can be written to, as far as that goes.
    ///
    /// # Errors
    /// [`FsError::ReadOnly`] or [`FsError::NotPermitted`].
    pub fn access(&self, ino: Ino, write: bool, execute: bool) -> Result<(), FsError> {
        let attr = self.getattr(ino)?;
        let takes_writes = match attr.kind {
            // File managers ask before they move something.
            Kind::Folder => {
                let view = self.shared.view();
                ino == control_ino() || view.dir_by_ino(ino).is_some_and(|dir| moves::takes_moves(&view, dir))
            }
            Kind::File => attr.perm & 0o200 != 0,
        };
        if write && !takes_writes {
            return Err(FsError::ReadOnly);
        }
        if execute && attr.kind == Kind::File {
            return Err(FsError::NotPermitted);
        }
        Ok(())
    }

    /// Bytes and samples of the view, for statfs.
    pub fn totals(&self) -> (u64, u64) {
        let view = self.shared.view();
        (view.numbers().bytes, view.numbers().samples)
    }

    fn ask(&self, request: Request) {
        // Where the indexer has ended the mount is ending, too.
        drop(self.indexer.send(request));
    }
}

const RESCAN_TEXT: &str =
    "Write anything here to look for new, changed and gone files, a new calibration and what was learnt.\n";

fn scratch_attr(file: &Scratch) -> Attr {
    let (size, mtime, perm) = file.stat();
    attr::of_made(file.ino, size, mtime, perm)
}
