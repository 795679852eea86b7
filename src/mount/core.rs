//! File operations on a view. Everything FUSE asks for happens here and can be tested without a mount.
//!
//! Reading operations answer at once from the view of the moment. Those that may change what is shown take a closure
//! and hand it to the keeper, so that the thread that serves requests goes on serving.

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use crossbeam_channel::Sender;

use super::attr::{self, Attr, Kind, LONG};
use super::control::{Draft, MAX_LEN, Scratch, ScratchFiles, slice};
use super::errno::FsError;
use super::handles::{Handle, Handles};
use super::indexer::Request;
use super::keeper::{KeeperHandle, Message, Shared};
use super::notify::Listings;
use super::stream::IndexStream;
use super::{overrides, status};
use crate::archive::ArchiveRoot;
use crate::archive::discover::mtime_ns;
use crate::rules::Rules;
use crate::view::{DirId, Generated, Ino, Node, Sample, View, control_ino};

/// What a name was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Something is there.
    Node(Attr),
    /// Nothing is there, which may be remembered for so long.
    Nothing(Duration),
}

/// How the kernel treats an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenKind {
    /// Bytes that stay: what was read before may be used again.
    Keep,
    /// Bytes made for this handle: nothing is kept, and the size is not believed.
    Direct,
}

/// An open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    listings: Arc<Listings>,
    /// Whether the kernel can be told to ask for every name again.
    names_last: AtomicBool,
    /// Whether changes of originals are noticed by themselves.
    watched: Arc<AtomicBool>,
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
        listings: Arc<Listings>,
        watched: Arc<AtomicBool>,
    ) -> Self {
        Self {
            shared,
            keeper,
            root,
            indexer,
            handles: Handles::default(),
            scratch: ScratchFiles::default(),
            listings,
            names_last: AtomicBool::new(false),
            watched,
            started: SystemTime::now(),
        }
    }

    /// The kernel can be told to ask for every name again, so names may be kept for long.
    pub fn names_may_last(&self) {
        self.names_last.store(true, Ordering::Release);
    }

    /// How many handles are open.
    pub fn open_handles(&self) -> usize {
        self.handles.count()
    }

    fn entry_ttl(&self) -> Duration {
        if self.names_last.load(Ordering::Acquire) { LONG } else { Duration::ZERO }
    }

    /// Where changes of originals are not noticed by themselves, size and time are asked for again after a second.
    fn sample_ttl(&self) -> Duration {
        if self.watched.load(Ordering::Relaxed) { LONG } else { Duration::from_secs(1) }
    }

    fn dir(&self, view: &View, ino: Ino) -> Result<DirId, FsError> {
        match view.dir_by_ino(ino) {
            Some(dir) => Ok(dir),
            None if view.by_ino(ino).is_some() || self.scratch.by_ino(ino).is_some() => Err(FsError::NotAFolder),
            None => Err(FsError::NotFound),
        }
    }

    // Names and attributes.

    /// What a name in a folder is.
    ///
    /// # Errors
    /// Where the folder is none.
    pub fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Found, FsError> {
        let view = self.shared.view();
        let dir = self.dir(&view, parent)?;
        if name.len() > 255 {
            return Err(FsError::NameTooLong);
        }
        let control = parent == control_ino();
        if control && let Some(file) = self.scratch.get(name) {
            return Ok(Found::Node(scratch_attr(&file)));
        }
        match view.lookup(dir, name) {
            Some(Node::Generated(file)) if self.scratch.is_hidden(file) => Ok(Found::Nothing(Duration::ZERO)),
            Some(node) => Ok(Found::Node(self.attr(&view, node))),
            // RULES-ERROR.txt comes and goes with a view of its own, like every other name.
            None if control => Ok(Found::Nothing(Duration::ZERO)),
            None => Ok(Found::Nothing(self.entry_ttl())),
        }
    }

    /// The attributes of a node.
    ///
    /// # Errors
    /// [`FsError::NotFound`] where the current view has no such node.
    pub fn getattr(&self, ino: Ino) -> Result<Attr, FsError> {
        if let Some(file) = self.scratch.by_ino(ino) {
            return Ok(scratch_attr(&file));
        }
        let view = self.shared.view();
        let node = view.by_ino(ino).ok_or(FsError::NotFound)?;
        Ok(self.attr(&view, node))
    }

    fn attr(&self, view: &View, node: Node) -> Attr {
        match node {
            Node::Sample(id) => attr::of_sample(view, id, self.entry_ttl(), self.sample_ttl()),
            Node::Dir(dir) => attr::of_dir(view, dir, view.ino(node) == control_ino(), self.entry_ttl()),
            Node::Generated(file) => {
                let (size, mtime) = match file {
                    Generated::Rules => {
                        let rules = self.shared.rules.load();
                        (rules.shown().len() as u64, rules.changed)
                    }
                    // Made while it is read, like the files of /proc.
                    Generated::Index => (0, view.mtime(DirId::ROOT)),
                    Generated::Status => (status::text(&self.shared).len() as u64, SystemTime::now()),
                    Generated::Overrides => (overrides::text(&self.shared).len() as u64, view.mtime(DirId::ROOT)),
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

    /// Whether a file or folder may be read, written (`write`) or run (`execute`).
    ///
    /// # Errors
    /// [`FsError::ReadOnly`] or [`FsError::NotPermitted`].
    pub fn access(&self, ino: Ino, write: bool, execute: bool) -> Result<(), FsError> {
        let attr = self.getattr(ino)?;
        if write && attr.perm & 0o200 == 0 {
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

    // Folders.

    /// Opens a folder on the view of the moment.
    ///
    /// # Errors
    /// Where it is none.
    pub fn opendir(&self, ino: Ino) -> Result<u64, FsError> {
        let view = self.shared.view();
        let dir = self.dir(&view, ino)?;
        let scratch = if ino == control_ino() { self.scratch.list() } else { Vec::new() };
        Ok(self.handles.add(Handle::Dir { view, dir, scratch }))
    }

    /// Lists a folder from a place on. `add` is given inode number, place of the next entry, kind and name, and says
    /// whether there is no more room.
    ///
    /// # Errors
    /// [`FsError::BadHandle`].
    pub fn readdir(
        &self,
        handle: u64,
        from: u64,
        add: &mut dyn FnMut(Ino, u64, Kind, &[u8]) -> bool,
    ) -> Result<(), FsError> {
        self.listed(handle);
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
        self.listed(handle);
        // Before the current view is looked at: a swap after this waits for the answer.
        let mut listing = self.listings.begin(handle);
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
            if attr.entry_ttl > Duration::ZERO {
                listing.remembered();
            }
            add(&attr, next, name)
        })
    }

    /// A listing goes on, or its handle is closed.
    fn listed(&self, handle: u64) {
        if self.listings.followed(handle) {
            // What was remembered since the view changed may be from before.
            self.keeper.send(Message::Forget);
        }
    }

    fn list(
        &self,
        handle: u64,
        from: u64,
        add: &mut dyn FnMut(&View, Ino, u64, Kind, &[u8], Option<Node>) -> bool,
    ) -> Result<(), FsError> {
        let handle = self.handles.get(handle)?;
        let Handle::Dir { view, dir, scratch } = &*handle else { return Err(FsError::BadHandle) };
        let len = view.len(*dir);
        for place in from.. {
            let next = place.saturating_add(1);
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
                        add(view, view.ino(node), next, kind, &name, Some(node))
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

    // Files.

    /// Opens a file. An original whose size or time is no longer as known is shown as it is before the open is
    /// answered, and is queued to be heard again.
    pub fn open(&self, ino: Ino, how: OpenHow, answer: impl FnOnce(Result<Opened, FsError>) + Send + 'static) {
        match self.open_now(ino, how) {
            Ok((handle, None)) => answer(Ok(self.opened(handle))),
            Ok((handle, Some(changed))) => {
                self.ask(Request::Touch(vec![changed.path.to_vec()]));
                let opened = self.opened(handle);
                self.keeper.send(Message::Changed {
                    sample: Arc::new(changed),
                    answer: Box::new(move |done| answer(done.map(|()| opened))),
                });
            }
            Err(error) => answer(Err(error)),
        }
    }

    fn opened(&self, handle: Handle) -> Opened {
        let kind = if matches!(handle, Handle::Sample { .. }) { OpenKind::Keep } else { OpenKind::Direct };
        Opened { handle: self.handles.add(handle), kind }
    }

    fn open_now(&self, ino: Ino, how: OpenHow) -> Result<(Handle, Option<Sample>), FsError> {
        if let Some(file) = self.scratch.by_ino(ino) {
            if how.truncate {
                file.resize(0)?;
            }
            return Ok((Handle::Scratch { file, append: how.append }, None));
        }
        let view = self.shared.view();
        match view.by_ino(ino).ok_or(FsError::NotFound)? {
            Node::Dir(_) => Err(FsError::IsAFolder),
            Node::Sample(_) | Node::Generated(_) if how.truncate && !how.write => Err(FsError::ReadOnly),
            Node::Sample(_) if how.write => Err(FsError::ReadOnly),
            Node::Sample(id) => self.open_sample(view.sample(id)),
            Node::Generated(file) if how.write => Ok((self.open_control(file, how)?, None)),
            Node::Generated(file) => Ok((self.open_generated(&view, file), None)),
        }
    }

    fn open_sample(&self, known: &Arc<Sample>) -> Result<(Handle, Option<Sample>), FsError> {
        let failed = |source| FsError::Original { path: self.root.absolute(&known.path), source };
        let file = self.root.open(&known.path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let now = (metadata.len(), mtime_ns(&metadata));
        let changed =
            (now != (known.size, known.mtime_ns)).then(|| Sample { size: now.0, mtime_ns: now.1, ..(**known).clone() });
        Ok((Handle::Sample { file, path: known.path.clone() }, changed))
    }

    fn open_generated(&self, view: &Arc<View>, file: Generated) -> Handle {
        Handle::Text(match file {
            Generated::Index => {
                return Handle::Index(IndexStream::new(Arc::clone(&self.shared)).into());
            }
            Generated::Rules => self.shared.rules.load().shown().as_bytes().into(),
            Generated::Overrides => overrides::text(&self.shared).into(),
            Generated::Status => status::text(&self.shared).into(),
            Generated::Rescan => RESCAN_TEXT.as_bytes().into(),
            _ => view.generated_text(file).unwrap_or_else(|| [].into()),
        })
    }

    fn open_control(&self, file: Generated, how: OpenHow) -> Result<Handle, FsError> {
        let draft = |text: Vec<u8>| {
            let text = if how.truncate { Vec::new() } else { text };
            Draft { taken: text.len(), text, append: how.append, ..Draft::default() }.into()
        };
        match file {
            Generated::Rules => Ok(Handle::Rules(draft(self.shared.rules.load().shown().as_bytes().to_vec()))),
            Generated::Overrides => Ok(Handle::Overrides(draft(overrides::text(&self.shared)))),
            Generated::Rescan => Ok(Handle::Rescan),
            _ => Err(FsError::ReadOnly),
        }
    }

    /// Up to `size` bytes from `offset`; fewer only at the end.
    ///
    /// # Errors
    /// [`FsError::Original`] where the disk fails.
    pub fn read(&self, handle: u64, offset: u64, size: usize) -> Result<Vec<u8>, FsError> {
        match &*self.handles.get(handle)? {
            Handle::Sample { file, path } => {
                let mut data = vec![0; size];
                let mut len = 0;
                while len < size {
                    match file.read_at(&mut data[len..], offset.saturating_add(len as u64)) {
                        Ok(0) => break,
                        Ok(n) => len += n,
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(source) => return Err(FsError::Original { path: self.root.absolute(path), source }),
                    }
                }
                data.truncate(len);
                Ok(data)
            }
            Handle::Text(text) => Ok(slice(text, offset, size)),
            Handle::Index(stream) => Ok(stream.lock().unwrap_or_else(PoisonError::into_inner).read(offset, size)),
            Handle::Rules(draft) | Handle::Overrides(draft) => {
                Ok(slice(&draft.lock().unwrap_or_else(PoisonError::into_inner).text, offset, size))
            }
            Handle::Scratch { file, .. } => Ok(file.read(offset, size)),
            Handle::Rescan => Ok(slice(RESCAN_TEXT.as_bytes(), offset, size)),
            Handle::Dir { .. } => Err(FsError::IsAFolder),
        }
    }

    /// Closes a folder's handle.
    pub fn release_dir(&self, handle: u64) {
        self.listed(handle);
        self.handles.remove(handle);
    }

    /// Closes a handle. A text that was written and never flushed is put in force now, with nobody to tell.
    pub fn release(&self, handle: u64) {
        if let Ok(open) = self.handles.get(handle)
            && matches!(&*open, Handle::Rules(_) | Handle::Overrides(_))
        {
            self.flush(handle, |_| {});
        }
        self.handles.remove(handle);
    }

    // Writing in _control.

    /// Writes bytes at an offset.
    pub fn write(
        &self,
        handle: u64,
        offset: u64,
        data: &[u8],
        answer: impl FnOnce(Result<usize, FsError>) + Send + 'static,
    ) {
        let len = data.len();
        let open = match self.handles.get(handle) {
            Ok(open) => open,
            Err(error) => return answer(Err(error)),
        };
        let written = move |done: Result<(), FsError>| answer(done.map(|()| len));
        match &*open {
            Handle::Rules(draft) => {
                let mut draft = draft.lock().unwrap_or_else(PoisonError::into_inner);
                if let Err(error) = draft.write(offset, data) {
                    return written(Err(error));
                }
                // Written over the start of an older text: what is left of that is cut off or written over next.
                if !draft.append && offset.saturating_add(len as u64) < draft.text.len() as u64 {
                    return written(Ok(()));
                }
                match Rules::parse_bytes(&draft.text, &self.shared.vocabulary) {
                    // A shell hears of an error only here.
                    Err(error) if !error.could_be_unfinished() => {
                        draft.dirty = false;
                        let text = String::from_utf8_lossy(&draft.text).into_owned();
                        drop(draft);
                        self.keeper.send(Message::Refuse { text, error, answer: Box::new(written) });
                    }
                    _ => written(Ok(())),
                }
            }
            Handle::Overrides(draft) => {
                let mut draft = draft.lock().unwrap_or_else(PoisonError::into_inner);
                let len = draft.text.len() as u64;
                if !draft.append && offset != len + draft.dropped {
                    return written(Err(FsError::Invalid("lines are added at the end")));
                }
                if let Err(error) = draft.write(len, data) {
                    return written(Err(error));
                }
                let end = draft.text.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
                let result = self.take_lines(&mut draft, end);
                if result.is_err() {
                    // A line that was refused is not there, nor the beginning of it, so that the next can be added.
                    draft.drop_untaken(len);
                }
                drop(draft);
                self.record_overrides(result, written);
            }
            Handle::Rescan => {
                self.ask(Request::Rescan);
                written(Ok(()));
            }
            Handle::Scratch { file, append } => written(file.write(offset, data, *append)),
            Handle::Sample { .. } | Handle::Text(_) | Handle::Index(_) => written(Err(FsError::ReadOnly)),
            Handle::Dir { .. } => written(Err(FsError::IsAFolder)),
        }
    }

    /// A handle is being closed, or synced: what was written through it is put in force.
    pub fn flush(&self, handle: u64, answer: impl FnOnce(Result<(), FsError>) + Send + 'static) {
        let open = match self.handles.get(handle) {
            Ok(open) => open,
            Err(error) => return answer(Err(error)),
        };
        match &*open {
            Handle::Rules(draft) => {
                let mut draft = draft.lock().unwrap_or_else(PoisonError::into_inner);
                // A shell flushes before it has written anything.
                if !std::mem::take(&mut draft.dirty) {
                    // Another process that shares the handle may have flushed it just now: what it put in force is
                    // waited for.
                    return if draft.sent {
                        self.keeper.send(Message::After { answer: Box::new(answer) });
                    } else {
                        answer(Ok(()));
                    };
                }
                draft.sent = true;
                let text = draft.text.clone();
                // Sent before the draft is let go of: a flush that comes next waits behind it.
                self.commit(&text, answer);
                drop(draft);
            }
            Handle::Overrides(draft) => {
                let mut draft = draft.lock().unwrap_or_else(PoisonError::into_inner);
                let end = draft.text.len();
                let result = self.take_lines(&mut draft, end);
                if result.is_err() {
                    draft.drop_untaken(end as u64);
                }
                match result {
                    // As above: another process may have flushed it just now.
                    Ok(changes) if changes.is_empty() => {
                        self.keeper.send(Message::After { answer: Box::new(answer) });
                    }
                    result => self.record_overrides(result, answer),
                }
                drop(draft);
            }
            _ => answer(Ok(())),
        }
    }

    /// Puts a whole text of rules.yml in force, or refuses it.
    fn commit(&self, text: &[u8], answer: impl FnOnce(Result<(), FsError>) + Send + 'static) {
        let parsed = Rules::parse_bytes(text, &self.shared.vocabulary);
        let text = String::from_utf8_lossy(text).into_owned();
        self.keeper.send(match parsed {
            Ok(rules) => Message::Save { text, rules: Box::new(rules), answer: Box::new(answer) },
            Err(error) => Message::Refuse { text, error, answer: Box::new(answer) },
        });
    }

    /// Reads the lines of a draft that were not taken yet, up to `end`. All are good or none is taken.
    fn take_lines(&self, draft: &mut Draft, end: usize) -> Result<Vec<super::keeper::OverrideChange>, String> {
        let mut changes = Vec::new();
        for (number, line) in draft.text[draft.taken.min(end)..end].split(|&b| b == b'\n').enumerate() {
            let change =
                overrides::parse_line(line, &self.shared).map_err(|why| format!("line {}: {why}", number + 1))?;
            changes.extend(change);
        }
        draft.taken = draft.taken.max(end);
        Ok(changes)
    }

    fn record_overrides(
        &self,
        changes: Result<Vec<super::keeper::OverrideChange>, String>,
        answer: impl FnOnce(Result<(), FsError>) + Send + 'static,
    ) {
        match changes {
            Ok(changes) if changes.is_empty() => answer(Ok(())),
            Ok(changes) => self.keeper.send(Message::Override { changes, answer: Box::new(answer) }),
            Err(why) => {
                log::warn!("overrides.jsonl: {why}");
                let mut progress = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
                progress.last_error = Some(format!("overrides.jsonl: {why}"));
                drop(progress);
                answer(Err(FsError::Refused(why)));
            }
        }
    }

    /// Makes a file beside the control files, or rules.yml where it was just removed.
    ///
    /// # Errors
    /// [`FsError::ReadOnly`] anywhere else, at once.
    pub fn create(&self, parent: Ino, name: &[u8], perm: u16, how: OpenHow) -> Result<(Attr, Opened), FsError> {
        let view = self.shared.view();
        let dir = self.dir(&view, parent)?;
        if parent != control_ino() {
            return Err(FsError::ReadOnly);
        }
        match view.lookup(dir, name) {
            Some(Node::Generated(file)) => {
                let handle = self.open_control(file, OpenHow { truncate: true, ..how })?;
                self.scratch.show(file);
                Ok((self.attr(&view, Node::Generated(file)), self.opened(handle)))
            }
            Some(_) => Err(FsError::Exists),
            None => {
                let file = self.scratch.create(name, perm, Vec::new())?;
                let attr = scratch_attr(&file);
                Ok((attr, self.opened(Handle::Scratch { file, append: how.append })))
            }
        }
    }

    /// Removes a file beside the control files. rules.yml and overrides.jsonl lose their name for a moment and
    /// nothing else, for programs that write them anew.
    ///
    /// # Errors
    /// [`FsError::ReadOnly`] anywhere else.
    pub fn unlink(&self, parent: Ino, name: &[u8]) -> Result<(), FsError> {
        let view = self.shared.view();
        let dir = self.dir(&view, parent)?;
        if parent != control_ino() {
            return Err(FsError::ReadOnly);
        }
        match view.lookup(dir, name) {
            Some(Node::Generated(file)) if self.scratch.is_hidden(file) => Err(FsError::NotFound),
            Some(Node::Generated(file @ (Generated::Rules | Generated::Overrides))) => {
                self.scratch.hide(file);
                Ok(())
            }
            Some(_) => Err(FsError::ReadOnly),
            None => self.scratch.remove(name),
        }
    }

    /// Whether a folder could be made or removed, or a link made, in a folder: never.
    ///
    /// # Errors
    /// Always: [`FsError::ReadOnly`], or what is wrong with the folder.
    pub fn refuse(&self, parent: Ino) -> Result<(), FsError> {
        let view = self.shared.view();
        self.dir(&view, parent)?;
        Err(FsError::ReadOnly)
    }

    /// Whether two names could be exchanged: not in the class folders, and not elsewhere either.
    ///
    /// # Errors
    /// [`FsError::ReadOnly`] in the class folders, [`FsError::Invalid`] in `_control`.
    pub fn refuse_exchange(&self, parent: Ino, other: Ino) -> Result<(), FsError> {
        if parent == control_ino() && other == control_ino() {
            return Err(FsError::Invalid("names can't be exchanged"));
        }
        self.refuse(parent)
    }

    /// Gives a file in `_control` another name. A file renamed over rules.yml is put in force; where it is refused,
    /// nothing is renamed.
    pub fn rename(
        self: &Arc<Self>,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        no_replace: bool,
        answer: impl FnOnce(Result<(), FsError>) + Send + 'static,
    ) {
        match self.rename_now(from, to, no_replace) {
            Ok(Renamed::Done) => answer(Ok(())),
            Ok(Renamed::Over(file, source)) => {
                let core = Arc::clone(self);
                let name = from.1.to_vec();
                let finish = move |done: Result<(), FsError>| {
                    if done.is_ok() {
                        // Gone already where a program removed it meanwhile: what it held is in force all the same.
                        drop(core.scratch.remove(&name));
                        core.scratch.show(file);
                    }
                    answer(done);
                };
                let data = source.data();
                match file {
                    Generated::Rules => self.commit(&data, finish),
                    _ => {
                        let end = data.len();
                        let mut draft = Draft { text: data, ..Draft::default() };
                        self.record_overrides(self.take_lines(&mut draft, end), finish);
                    }
                }
            }
            Err(error) => answer(Err(error)),
        }
    }

    fn rename_now(&self, from: (Ino, &[u8]), to: (Ino, &[u8]), no_replace: bool) -> Result<Renamed, FsError> {
        let view = self.shared.view();
        let (from_dir, to_dir) = (self.dir(&view, from.0)?, self.dir(&view, to.0)?);
        if from.0 != control_ino() || to.0 != control_ino() {
            return Err(FsError::ReadOnly);
        }
        if to.1.len() > 255 {
            return Err(FsError::NameTooLong);
        }
        let control = |dir, name: &[u8]| match view.lookup(dir, name) {
            Some(Node::Generated(file)) => Some(file),
            _ => None,
        };
        let shown = |file: Generated| !self.scratch.is_hidden(file);
        let source = self.scratch.get(from.1);
        match (source, control(from_dir, from.1), control(to_dir, to.1)) {
            (Some(_), _, Some(file)) if no_replace && shown(file) => Err(FsError::Exists),
            (Some(source), _, Some(file @ (Generated::Rules | Generated::Overrides))) => {
                if source.stat().0 > MAX_LEN {
                    return Err(FsError::TooLarge);
                }
                Ok(Renamed::Over(file, source))
            }
            (Some(_), _, Some(_)) => Err(FsError::ReadOnly),
            (Some(_), _, None) if no_replace && self.scratch.get(to.1).is_some() => Err(FsError::Exists),
            (Some(_), _, None) => self.scratch.rename(from.1, to.1).map(|()| Renamed::Done),
            (None, Some(file @ (Generated::Rules | Generated::Overrides)), None) if shown(file) => {
                if self.scratch.get(to.1).is_some() {
                    if no_replace {
                        return Err(FsError::Exists);
                    }
                    self.scratch.remove(to.1)?;
                }
                // A backup of what it says now; the name comes back when the new version is written.
                let text = match file {
                    Generated::Rules => self.shared.rules.load().shown().as_bytes().to_vec(),
                    _ => overrides::text(&self.shared),
                };
                self.scratch.create(to.1, 0o644, text)?;
                self.scratch.hide(file);
                Ok(Renamed::Done)
            }
            (None, Some(_), _) => Err(FsError::ReadOnly),
            (None, None, _) => Err(FsError::NotFound),
        }
    }

    fn ask(&self, request: Request) {
        // Where the indexer has ended the mount is ending, too.
        drop(self.indexer.send(request));
    }
}

enum Renamed {
    Done,
    Over(Generated, Arc<Scratch>),
}

const RESCAN_TEXT: &str = "Write anything here to look for new, changed and gone files.\n";

fn scratch_attr(file: &Scratch) -> Attr {
    let (size, mtime, perm) = file.stat();
    attr::of_made(file.ino, size, mtime, perm)
}
