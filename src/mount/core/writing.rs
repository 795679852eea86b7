//! Writing, making, removing and renaming in `_control`, the only folder where that is possible; and moves of samples
//! from one class folder to another, which are overrides.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::{Core, OpenHow, Opened, scratch_attr};
use crate::archive::discover::mtime_ns;
use crate::mount::attr::Attr;
use crate::mount::control::{Draft, MAX_LEN, Scratch};
use crate::mount::errno::FsError;
use crate::mount::handles::Handle;
use crate::mount::indexer::Request;
use crate::mount::keeper::{Message, MoveRequest};
use crate::mount::moves::{self, Move, Route};
use crate::mount::overrides;
use crate::rules::Rules;
use crate::store::Word;
use crate::view::{Generated, Ino, Node, control_ino};

impl Core {
    /// Writes bytes at an offset. Where no file is opened (`handle` is 0), `ino` says which.
    pub fn write(
        &self,
        ino: Ino,
        handle: u64,
        offset: u64,
        data: &[u8],
        answer: impl FnOnce(Result<usize, FsError>) + Send + 'static,
    ) {
        let len = data.len();
        if handle == 0 && self.is_without_open() {
            return self.write_lately(ino, offset, data, move |done| answer(done.map(|()| len)));
        }
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
                self.keeper.send(Message::JudgeAgain { answer: Box::new(written) });
            }
            Handle::Scratch { file, append } => written(file.write(offset, data, *append)),
            Handle::Sample { .. } | Handle::Text(_) | Handle::Index(_) => written(Err(FsError::ReadOnly)),
            Handle::Dir { .. } | Handle::Kept { .. } => written(Err(FsError::IsAFolder)),
        }
    }

    /// A handle is being closed, or synced: what was written through it is put in force.
    pub fn flush(&self, handle: u64, answer: impl FnOnce(Result<(), FsError>) + Send + 'static) {
        if handle == 0 && self.is_without_open() {
            // What was written without a handle is in force.
            return answer(Ok(()));
        }
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
        let started = Instant::now();
        let parsed = Rules::parse_bytes(text, &self.shared.vocabulary);
        let parse = started.elapsed();
        let text = String::from_utf8_lossy(text).into_owned();
        self.keeper.send(match parsed {
            Ok(rules) => Message::Save { text, rules: Box::new(rules), parse, answer: Box::new(answer) },
            Err(error) => Message::Refuse { text, error, answer: Box::new(answer) },
        });
    }

    /// Reads the lines of a draft that were not taken yet, up to `end`. All are good or none is taken.
    pub(super) fn take_lines(&self, draft: &mut Draft, end: usize) -> Result<Vec<Word>, String> {
        let mut words = Vec::new();
        for (number, line) in draft.text[draft.taken.min(end)..end].split(|&b| b == b'\n').enumerate() {
            let word =
                overrides::parse_line(line, &self.shared).map_err(|why| format!("line {}: {why}", number + 1))?;
            words.extend(word);
        }
        draft.taken = draft.taken.max(end);
        Ok(words)
    }

    pub(super) fn record_overrides(
        &self,
        words: Result<Vec<Word>, String>,
        answer: impl FnOnce(Result<(), FsError>) + Send + 'static,
    ) {
        match words {
            Ok(words) if words.is_empty() => answer(Ok(())),
            Ok(words) => self.keeper.send(Message::Override { words, answer: Box::new(answer) }),
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
    /// nothing is renamed. Elsewhere a sample is moved from one class folder to another, which says what it is: when it
    /// is answered, that is on the disk and shown.
    pub fn rename(
        self: &Arc<Self>,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        no_replace: bool,
        answer: impl FnOnce(Result<(), FsError>) + Send + 'static,
    ) {
        if from.0 != control_ino() && to.0 != control_ino() {
            // What can't be is answered here: whoever waits for the keeper holds the locks of both folders.
            let route = Route { from: from.into(), to: to.into() };
            return match moves::plan(&self.shared.view(), &route).and_then(|planned| self.is_as_heard(&planned)) {
                Ok(()) => {
                    let (core, from) = (Arc::clone(self), route.from.clone());
                    let finish = move |done: Result<(), FsError>| {
                        if done.is_ok() {
                            core.forget_opened(from.folder, &from.name);
                        }
                        answer(done);
                    };
                    self.keeper.move_sample(MoveRequest { route, answer: Box::new(finish) });
                }
                // There it is for whoever opens it, and nothing else.
                Err(FsError::NotFound) if self.is_kept(from.0, from.1) || self.is_kept_folder(to.0) => {
                    answer(Err(FsError::ReadOnly));
                }
                Err(error) => answer(Err(error)),
            };
        }
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

    /// Whether an original is still what was heard: what is said of it is said of that content.
    fn is_as_heard(&self, planned: &Move) -> Result<(), FsError> {
        let view = self.shared.view();
        let Some((_, known)) = view.catalogue().by_path(&planned.path) else { return Err(FsError::NotFound) };
        match self.root.open_with_metadata(&planned.path) {
            Ok((_, now)) if (now.len(), mtime_ns(&now)) != (known.size, known.mtime_ns) => {
                self.ask(Request::Touch(vec![planned.path.to_vec()]));
                Err(FsError::BeingHeard)
            }
            // One that can't be reached is still known.
            _ => Ok(()),
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
}

enum Renamed {
    Done,
    Over(Generated, Arc<Scratch>),
}
