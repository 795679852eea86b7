//! Putting what is missing: each sample whole or not at all, several at a time.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::Run;
use crate::rebuild::disk::Root;
use crate::rebuild::ledger::key;
use crate::rebuild::link::Job;
use crate::rebuild::outcome::{RebuildError, Report};
use crate::rebuild::plan::Item;
use crate::rebuild::problem::{Kind, Problem, of_original, sentence};
use crate::rebuild::step::{AT_A_TIME, Last, Looked, Step, not_removed};

impl Run<'_> {
    /// Puts what is missing, several at a time. Gives what is where it was still, though it was to be replaced or moved, by
    /// its places in the log of before.
    pub(super) fn put(&mut self, root: &Root, to_put: &[u32], report: &mut Report) -> Result<Vec<u32>, RebuildError> {
        let [put, replaced, moved, bytes] = [const { AtomicU64::new(0) }; 4];
        let fatal: Mutex<Option<io::Error>> = Mutex::new(None);
        let stopped = AtomicBool::new(false);
        let problems: Vec<(Option<u32>, Problem)> = to_put
            .par_chunks(AT_A_TIME / 4)
            .flat_map_iter(|numbers| {
                let (mut last, mut other) = (Last::new(Some(root)), Last::new(Some(root)));
                let mut problems = Vec::new();
                let jobs = numbers.iter().filter_map(|&number| {
                    Some((self.plan.items.get(number as usize)?, self.looked.get(number as usize)?))
                });
                for (item, looked) in jobs {
                    if stopped.load(Ordering::Relaxed) || self.options.cancel.load(Ordering::Relaxed) {
                        break;
                    }
                    let before = match looked.step {
                        Step::Move(place) | Step::Replace(place) => Some(place),
                        _ => None,
                    };
                    match self.put_one(item, looked, &mut last, &mut other) {
                        Ok((how, not_removed)) => {
                            problems.extend(not_removed.map(|problem| (before, problem)));
                            match how {
                                Step::Move(_) => &moved,
                                Step::Replace(_) => &replaced,
                                _ => &put,
                            }
                            .fetch_add(1, Ordering::Relaxed);
                            bytes.fetch_add(looked.original.size, Ordering::Relaxed);
                        }
                        Err(error) if is_fatal(&error) => {
                            stopped.store(true, Ordering::Relaxed);
                            fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        }
                        Err(error) => problems.push((before, self.not_put(item, &error))),
                    }
                    (self.options.put)(1);
                }
                problems
            })
            .collect();
        let (stays, problems): (Vec<Option<u32>>, Vec<Problem>) = problems.into_iter().unzip();
        self.problems.extend(problems);
        [report.put, report.replaced, report.moved, report.bytes] =
            [put, replaced, moved, bytes].map(AtomicU64::into_inner);
        match fatal.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(self.failed(error)),
            None => Ok(stays.into_iter().flatten().collect()),
        }
    }

    /// Gives how it came there, and why what was there before could not be removed.
    fn put_one(
        &self,
        item: &Item,
        looked: &Looked,
        last: &mut Last<'_>,
        other: &mut Last<'_>,
    ) -> io::Result<(Step, Option<Problem>)> {
        let name = self.plan.name(item);
        let folder = last.folder(self.plan.folder(item))?;
        let old = match looked.step {
            Step::Move(place) => self.entry(place),
            _ => None,
        };
        if let Some(old) = old {
            let (old_folder, old_name) = key(&old.path);
            let from = other.folder(old_folder);
            match from.and_then(|from| from.rename_to_new(old_name, folder, &name)) {
                Ok(()) => return Ok((looked.step, None)),
                Err(error) => log::info!("{}: {error}", String::from_utf8_lossy(&old.path)),
            }
        }
        let over = matches!(looked.step, Step::Replace(_));
        let (archive, relative) = (self.plan.archive(item), self.plan.relative(item));
        let job = Job { archive, relative, expected: looked.original, name: &name, over };
        self.putter.put(folder, &job)?;
        if let Some(old) = old {
            // It could not be moved; it is no longer where it belongs all the same.
            let (old_folder, old_name) = key(&old.path);
            let removed = other.folder(old_folder).and_then(|folder| folder.remove(old_name));
            return Ok((Step::Put, removed.err().map(|error| not_removed(old, &error))));
        }
        Ok((looked.step, None))
    }

    fn not_put(&self, item: &Item, error: &io::Error) -> Problem {
        let kind = match error.kind() {
            io::ErrorKind::AlreadyExists => Kind::InTheWay,
            _ => match self.plan.archive(item).open(self.plan.relative(item)) {
                Err(error) => of_original(&error),
                Ok(_) => Kind::NotPut,
            },
        };
        Problem { path: self.plan.path(item), from: self.plan.from(item), kind, error: sentence(error) }
    }
}

/// What would fail for everything that comes after, too.
fn is_fatal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT | libc::EROFS))
}
