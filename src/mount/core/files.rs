//! Opening, reading and closing files.

use std::os::unix::fs::FileExt;
use std::sync::{Arc, PoisonError};

use super::{Core, OpenHow, OpenKind, Opened, RESCAN_TEXT};
use crate::archive::discover::mtime_ns;
use crate::mount::control::{Draft, slice};
use crate::mount::errno::FsError;
use crate::mount::handles::Handle;
use crate::mount::indexer::Request;
use crate::mount::keeper::Message;
use crate::mount::stream::IndexStream;
use crate::mount::{overrides, status};
use crate::view::{Generated, Ino, Node, Sample, SampleRef, View};

impl Core {
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

    pub(super) fn opened(&self, handle: Handle) -> Opened {
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

    fn open_sample(&self, known: SampleRef<'_>) -> Result<(Handle, Option<Sample>), FsError> {
        let failed = |source| FsError::Original { path: self.root.absolute(known.path), source };
        let file = self.root.open(known.path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let now = (metadata.len(), mtime_ns(&metadata));
        let changed =
            (now != (known.size, known.mtime_ns)).then(|| Sample { size: now.0, mtime_ns: now.1, ..known.to_sample() });
        Ok((Handle::Sample { file, path: known.path.into() }, changed))
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
