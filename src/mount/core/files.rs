//! Opening, reading and closing files.

use std::cell::RefCell;
use std::fs::{File, Metadata};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, PoisonError};

use super::{Core, OpenHow, OpenKind, Opened, RESCAN_TEXT};
use crate::archive::discover::mtime_ns;
use crate::mount::control::{Draft, slice};
use crate::mount::errno::FsError;
use crate::mount::fill;
use crate::mount::handles::Handle;
use crate::mount::indexer::Request;
use crate::mount::keeper::Message;
use crate::mount::passthrough::IoMode;
use crate::mount::stream::IndexStream;
use crate::mount::{overrides, status};
use crate::view::{Generated, Ino, Node, Sample, SampleRef, View};

thread_local! {
    /// What a thread reads into: a new one for each read would be filled with zeros first.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Core {
    /// Opens a file. An original whose size or time is no longer as known is shown as it is before the open is
    /// answered, and is queued to be heard again.
    pub fn open(&self, ino: Ino, how: OpenHow, answer: impl FnOnce(Result<Opened, FsError>) + Send + 'static) {
        match self.open_now(ino, how) {
            Ok((handle, None)) => {
                self.fill(ino, &handle);
                answer(Ok(self.opened(handle)));
            }
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

    pub(super) fn opened(&self, handle: Handle) -> Opened {
        let kind = match &handle {
            Handle::Sample { mode: IoMode::Cached(_), .. } => OpenKind::Keep,
            Handle::Sample { mode: IoMode::Passthrough(backing), .. } => OpenKind::Passthrough(Arc::clone(backing)),
            _ => OpenKind::Direct,
        };
        Opened { handle: self.handles.add(handle), kind }
    }

    pub(super) fn open_now(&self, ino: Ino, how: OpenHow) -> Result<(Handle, Option<Sample>), FsError> {
        if let Some(file) = self.scratch.by_ino(ino) {
            if how.truncate {
                file.resize(0)?;
            }
            return Ok((Handle::Scratch { file, append: how.append }, None));
        }
        let view = self.shared.view();
        match view.by_ino(self.remembered.own(ino)).ok_or(FsError::NotFound)? {
            Node::Dir(_) => Err(FsError::IsAFolder),
            Node::Sample(_) | Node::Generated(_) if how.truncate && !how.write => Err(FsError::ReadOnly),
            Node::Sample(_) if how.write => Err(FsError::ReadOnly),
            Node::Sample(id) => {
                let opened = self.open_sample(ino, view.sample(id))?;
                self.note_opened(&view, ino, id);
                Ok(opened)
            }
            Node::Generated(file) if how.write => Ok((self.open_control(file, how)?, None)),
            Node::Generated(file) => Ok((self.open_generated(&view, file), None)),
        }
    }

    fn open_sample(&self, ino: Ino, known: SampleRef<'_>) -> Result<(Handle, Option<Sample>), FsError> {
        let failed = |source| FsError::Original { path: self.root.absolute(known.path), source };
        let (file, metadata) = self.root.open_with_metadata(known.path).map_err(failed)?;
        let file = Arc::new(file);
        let now = (metadata.len(), mtime_ns(&metadata));
        let changed =
            (now != (known.size, known.mtime_ns)).then(|| Sample { size: now.0, mtime_ns: now.1, ..known.to_sample() });
        let mode = if self.is_without_open() { IoMode::Direct } else { self.io_mode(ino, known, &file, &metadata)? };
        Ok((Handle::Sample { file, path: known.path.into(), stamp: now, mode }, changed))
    }

    /// Gives the kernel a small original whole, where this is the only one who has it open: see `fill`.
    fn fill(&self, ino: Ino, handle: &Handle) {
        let Handle::Sample { file, stamp: stamp @ (size, _), mode: IoMode::Cached(open), .. } = handle else { return };
        if *size > fill::MAX || *size == 0 || Arc::strong_count(open) > 1 {
            return;
        }
        let Some(_turn) = self.fills.begin(ino) else { return };
        BUFFER.with_borrow_mut(|buffer| {
            let size = *size as usize;
            buffer.resize(buffer.len().max(size), 0);
            if file.read_exact_at(&mut buffer[..size], 0).is_ok() && self.modes.fill(ino, &buffer[..size]) {
                self.forget_if_replaced(ino, *stamp);
            }
        });
    }

    /// The kernel was given bytes of a sample to keep. Where it is shown with another size or time by now, they are of
    /// an older content: a swap that came before this has not taken them out.
    fn forget_if_replaced(&self, ino: Ino, stamp: (u64, i64)) {
        let own = self.remembered.own(ino);
        let view = self.shared.view.load();
        if let Some(Node::Sample(id)) = view.by_ino(own) {
            let shown = view.sample(id);
            if (shown.size, shown.mtime_ns) != stamp {
                self.keeper.send(Message::Stale { ino: own });
            }
        }
    }

    fn io_mode(
        &self,
        ino: Ino,
        known: SampleRef<'_>,
        file: &Arc<File>,
        metadata: &Metadata,
    ) -> Result<IoMode, FsError> {
        self.modes.enter(ino, file, metadata).ok_or_else(|| {
            self.remembered.stand_in_for(&self.shared.view(), self.remembered.own(ino), known.path);
            FsError::Replaced
        })
    }

    fn open_generated(&self, view: &Arc<View>, file: Generated) -> Handle {
        Handle::Text(match file {
            Generated::Index => {
                return Handle::Index(IndexStream::new(Arc::clone(&self.shared)).into());
            }
            Generated::Rules => self.shared.rules.load().shown().as_bytes().into(),
            Generated::Overrides => overrides::text(&self.shared).into(),
            Generated::Status => status::text(&self.shared, self.passthrough()).into(),
            Generated::Rescan => RESCAN_TEXT.as_bytes().into(),
            _ => view.generated_text(file).unwrap_or_else(|| [].into()),
        })
    }

    pub(super) fn open_control(&self, file: Generated, how: OpenHow) -> Result<Handle, FsError> {
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

    /// Up to `size` bytes from `offset`; fewer only at the end. Where no file is opened (`handle` is 0), `ino` says which.
    ///
    /// # Errors
    /// [`FsError::Original`] where the disk fails.
    pub fn read(&self, ino: Ino, handle: u64, offset: u64, size: usize) -> Result<Vec<u8>, FsError> {
        self.read_with(ino, handle, offset, size, <[u8]>::to_vec)
    }

    /// The same, with the bytes lent to `take`.
    ///
    /// # Errors
    /// The same.
    pub fn read_with<T>(
        &self,
        ino: Ino,
        handle: u64,
        offset: u64,
        size: usize,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, FsError> {
        let open = if handle == 0 && self.is_without_open() { self.lately(ino)? } else { self.handles.get(handle)? };
        match &*open {
            Handle::Sample { file, path, stamp, mode } => BUFFER.with_borrow_mut(|buffer| {
                if buffer.len() < size {
                    buffer.resize(size, 0);
                }
                let mut len = 0;
                while len < size {
                    match file.read_at(&mut buffer[len..size], offset.saturating_add(len as u64)) {
                        Ok(0) => break,
                        Ok(n) => len += n,
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(source) => return Err(FsError::Original { path: self.root.absolute(path), source }),
                    }
                }
                let taken = take(&buffer[..len]);
                if matches!(mode, IoMode::Cached(_)) {
                    self.forget_if_replaced(ino, *stamp);
                }
                Ok(taken)
            }),
            Handle::Text(text) => Ok(take(slice(text, offset, size))),
            Handle::Index(stream) => {
                Ok(take(&stream.lock().unwrap_or_else(PoisonError::into_inner).read(offset, size)))
            }
            Handle::Rules(draft) | Handle::Overrides(draft) => {
                Ok(take(slice(&draft.lock().unwrap_or_else(PoisonError::into_inner).text, offset, size)))
            }
            Handle::Scratch { file, .. } => Ok(take(&file.read(offset, size))),
            Handle::Rescan => Ok(take(slice(RESCAN_TEXT.as_bytes(), offset, size))),
            Handle::Dir { .. } | Handle::Kept { .. } => Err(FsError::IsAFolder),
        }
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
}
