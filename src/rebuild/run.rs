//! Making a tree what its plan says: look, write the log, remove what no longer belongs, put what is missing.

mod put;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rayon::prelude::*;

use super::disk::Root;
use super::ledger::{self, Header, Ledger, Writer, key};
use super::link::{Job, Link, Putter};
use super::made::{Facts, Files};
use super::outcome::{Change, RebuildError, Report};
use super::place;
use super::plan::{Originals, Plan};
use super::problem::{Kind, Problem, Stay, sentence};
use super::step::{AT_A_TIME, Fate, Fates, Last, Looked, Step, find_moves, leftovers, look, not_removed};
use super::sweep::{sweep, sweep_folders};
use crate::view::View;

/// What a run is asked for.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Where the tree goes: a path that [`place::check`] gave.
    pub out: &'a Path,
    /// How samples come there.
    pub link: Link,
    /// Only say what would be done.
    pub dry_run: bool,
    /// The index.jsonl the view is from, where it is from one.
    pub index: Option<&'a Path>,
    /// Ends the run when it is set.
    pub cancel: &'a AtomicBool,
    /// Told how many samples there are to put, once.
    pub planned: &'a (dyn Fn(u64) + Sync),
    /// Told of samples that were put or that could not be, from any thread.
    pub put: &'a (dyn Fn(u64) + Sync),
}

/// Makes the tree at `options.out` what `view` is.
///
/// Afterwards each sample is there whole or not at all, also where the program was killed; running it again does what is
/// left. What drumfs did not put there is neither changed nor removed.
///
/// # Errors
/// [`RebuildError`]. A sample that can't be put there is no error but a problem of the report.
pub fn rebuild(view: &View, originals: &Originals, options: &Options<'_>) -> Result<Report, RebuildError> {
    let started = Instant::now();
    let (root, is_new) = match options.out.exists() || !options.dry_run {
        true => place::open(options.out, !options.dry_run).map(|(root, is_new)| (Some(root), is_new))?,
        false => (None, true),
    };
    let ledger = root.as_ref().map(|root| Ledger::read(root.path())).transpose()?.flatten();
    let mut run = Run::begin(view, originals, options, root.as_ref(), ledger.as_ref(), is_new)?;
    let done = match &root {
        Some(root) if !options.dry_run => run.make(root),
        _ => run.foretell(),
    };
    let mut report = done.inspect_err(|_| {
        // Only an empty one goes: nothing was put there.
        if is_new && !options.dry_run {
            drop(std::fs::remove_dir(options.out));
        }
    })?;
    report.elapsed = started.elapsed();
    Ok(report)
}

struct Run<'a> {
    options: &'a Options<'a>,
    root: Option<&'a Root>,
    ledger: Option<&'a Ledger>,
    header: Header,
    putter: Putter,
    plan: Plan<'a>,
    looked: Vec<Looked>,
    fates: Fates,
    files: Files,
    problems: Vec<Problem>,
    /// Folders that are not there, by place in the plan.
    missing_folders: Vec<u32>,
    /// Whether the tree's own folder is drumfs's.
    owns_root: bool,
}

impl<'a> Run<'a> {
    fn begin(
        view: &'a View,
        originals: &'a Originals,
        options: &'a Options<'a>,
        root: Option<&'a Root>,
        ledger: Option<&'a Ledger>,
        is_new: bool,
    ) -> Result<Self, RebuildError> {
        let failed = |source| RebuildError::Io { path: options.out.to_owned(), source };
        let mut header = Header::new(options.link);
        let putter = Putter::new(options.link, &header.run);
        header.ignores_case = match (ledger, root) {
            (Some(ledger), _) => ledger.header.ignores_case,
            (None, Some(root)) if !options.dry_run => place::ignores_case(root, &putter.temporary()).map_err(failed)?,
            _ => false,
        };
        let plan = Plan::new(view, originals, header.ignores_case);
        let (mut looked, mut problems) = look(&plan, root, ledger, options.link, options.cancel);
        let (mut fates, more) = ledger.map_or_else(Default::default, |ledger| leftovers(&plan, root, ledger));
        problems.extend(more);
        if let Some(ledger) = ledger {
            find_moves(&plan, &mut looked, ledger, &mut fates, options.link);
        }
        let files = Files::look(&plan, root, ledger).map_err(failed)?;
        let is_missing = |folder: &[u8]| root.is_none_or(|root| root.folder(folder).is_err());
        let missing_folders = (0u32..).zip(&plan.folders).filter(|(_, folder)| is_missing(&folder.path));
        let missing_folders = missing_folders.map(|(number, _)| number).collect();
        let owns_root = is_new || ledger.is_some_and(|ledger| ledger.folders.contains_key(&[][..]));
        Ok(Self {
            options,
            root,
            ledger,
            header,
            putter,
            plan,
            looked,
            fates,
            files,
            problems,
            missing_folders,
            owns_root,
        })
    }

    fn failed(&self, source: io::Error) -> RebuildError {
        RebuildError::Io { path: self.options.out.to_owned(), source }
    }

    fn entry(&self, place: u32) -> Option<&'a ledger::Entry> {
        self.ledger?.entries.get(place as usize)
    }

    /// How samples come there: copies also where there is nothing left to put and those that are there are copies.
    fn link(&self) -> Link {
        let link = self.putter.link();
        let mut kept = self.looked.iter().filter_map(|looked| match looked.step {
            Step::Keep(place) => self.entry(place).map(|entry| entry.link),
            _ => None,
        });
        match link {
            Link::Reflink if kept.next() == Some(Link::Copy) && kept.all(|link| link == Link::Copy) => Link::Copy,
            link => link,
        }
    }

    fn to_put(&self) -> Vec<u32> {
        let puts = |looked: &Looked| matches!(looked.step, Step::Put | Step::Replace(_) | Step::Move(_));
        (0u32..).zip(&self.looked).filter(|(_, looked)| puts(looked)).map(|(number, _)| number).collect()
    }

    fn to_remove(&self) -> Vec<u32> {
        let goes = |fate: &Fate| matches!(fate, Fate::Remove | Fate::RemoveTorn);
        self.fates.iter().filter(|(_, fate)| goes(fate)).map(|(place, _)| *place).collect()
    }

    /// Folders of the log that are no longer the tree's, the innermost first.
    fn folders_to_remove(&self) -> Vec<&'a [u8]> {
        let Some(ledger) = self.ledger else { return Vec::new() };
        let wanted: BTreeSet<&[u8]> = self.plan.folders.iter().map(|folder| &folder.path[..]).collect();
        ledger.folders.keys().rev().map(|folder| &folder[..]).filter(|folder| !wanted.contains(folder)).collect()
    }

    /// What is known before anything is done.
    fn report(&self) -> Report {
        let count = |is: fn(&Step) -> bool| self.looked.iter().filter(|looked| is(&looked.step)).count() as u64;
        let mut stays: Vec<Stay> = self
            .fates
            .iter()
            .filter_map(|(place, fate)| match fate {
                Fate::Stays(why) => Some(Stay { path: self.entry(*place)?.path.to_vec(), why }),
                _ => None,
            })
            .collect();
        let changed = self.files.unwanted().filter(|(_, is_mine)| !is_mine);
        stays.extend(changed.map(|(path, _)| Stay { path: path.to_vec(), why: Stay::CHANGED }));
        stays.sort();
        stays.dedup();
        Report {
            link: self.link(),
            samples: self.plan.items.len() as u64,
            kept: count(|step| matches!(step, Step::Keep(_))),
            there: count(|step| matches!(step, Step::There)),
            renamed: self.plan.renamed() as u64,
            stays,
            ..Report::default()
        }
    }

    /// Samples that are where they should be, with `put` more.
    fn emitted(&self, put: u64) -> u64 {
        let is_there = |looked: &&Looked| matches!(looked.step, Step::Keep(_) | Step::There | Step::Fail(Some(_)));
        self.looked.iter().filter(is_there).count() as u64 + put
    }

    fn facts<'f>(&'f self, put: u64, problems: &'f [Problem]) -> Facts<'f> {
        let emitted = self.emitted(put);
        Facts { out: self.options.out, index: self.options.index, link: self.link(), emitted, problems }
    }

    /// What would be done.
    fn foretell(&mut self) -> Result<Report, RebuildError> {
        let mut report = self.report();
        for (item, looked) in self.plan.items.iter().zip(&self.looked) {
            let path = || self.plan.path(item);
            report.changes.push(match looked.step {
                Step::Put => Change::Put { path: path(), from: self.plan.from(item) },
                Step::Replace(_) => Change::Replace { path: path(), from: self.plan.from(item) },
                Step::Move(place) => {
                    Change::Move { old: self.entry(place).map(|e| e.path.to_vec()).unwrap_or_default(), path: path() }
                }
                _ => continue,
            });
            report.bytes += looked.original.size;
        }
        let removed = self.to_remove();
        let paths = removed.iter().filter_map(|place| self.entry(*place)).map(|entry| entry.path.to_vec());
        report.changes.extend(paths.map(|path| Change::Remove { path }));
        self.problems.sort();
        let failed = self.failed_fn();
        let facts = self.facts(report.changes.len() as u64 - removed.len() as u64, &self.problems);
        let (files, more) = self.files.to_write(&self.plan, self.root, &facts).map_err(&failed)?;
        report.changes.extend(files.into_iter().map(|file| Change::Write { path: file.path }));
        let gone = self.files.unwanted().filter(|(_, is_mine)| *is_mine);
        report.changes.extend(gone.map(|(path, _)| Change::Remove { path: path.to_vec() }));
        let count = |is: fn(&Change) -> bool| report.changes.iter().filter(|change| is(change)).count() as u64;
        report.put = count(|change| matches!(change, Change::Put { .. }));
        report.replaced = count(|change| matches!(change, Change::Replace { .. }));
        report.moved = count(|change| matches!(change, Change::Move { .. }));
        report.written = count(|change| matches!(change, Change::Write { .. }));
        report.removed = removed.len() as u64;
        report.problems = std::mem::take(&mut self.problems);
        report.problems.extend(more);
        report.interrupted = self.options.cancel.load(Ordering::Relaxed);
        Ok(report)
    }

    fn failed_fn(&self) -> impl Fn(io::Error) -> RebuildError + use<> {
        let path = self.options.out.to_owned();
        move |source| RebuildError::Io { path: path.clone(), source }
    }

    /// Whether everything is there, and the log says so.
    fn is_done(&self, root: &Root, to_put: &[u32]) -> Result<bool, RebuildError> {
        let nothing = to_put.is_empty()
            && self.fates.is_empty()
            && self.missing_folders.is_empty()
            && self.folders_to_remove().is_empty()
            && self.files.unwanted().next().is_none();
        // A line at the end of the log would settle what it was about to change, and that may be wanted again.
        if !nothing || self.ledger.is_none_or(Ledger::has_unsettled) {
            return Ok(false);
        }
        let (files, _) = self
            .files
            .to_write(&self.plan, Some(root), &self.facts(0, &self.problems))
            .map_err(|error| self.failed(error))?;
        Ok(files.is_empty())
    }

    fn make(&mut self, root: &Root) -> Result<Report, RebuildError> {
        self.problems.sort();
        let failed = self.failed_fn();
        let mut report = self.report();
        if self.options.cancel.load(Ordering::Relaxed) {
            report.interrupted = true;
            return Ok(report);
        }
        let to_put = self.to_put();
        match self.ledger {
            Some(ledger) if ledger.done => {}
            Some(ledger) => sweep(root, ledger, &self.plan),
            None => sweep_folders(root, &BTreeSet::from([&b""[..]])),
        }
        if self.is_done(root, &to_put)? {
            if let Some(ledger) = self.ledger.filter(|ledger| !ledger.done) {
                ledger::add_done(root.path(), ledger).map_err(&failed)?;
            }
            report.problems = std::mem::take(&mut self.problems);
            return Ok(report);
        }
        self.probe(root, &to_put)?;
        report.link = self.link();
        (self.options.planned)(to_put.len() as u64);

        let mut log = Writer::begin(root.path(), &self.header).map_err(&failed)?;
        self.write_log(&mut log).and_then(|()| log.install()).map_err(&failed)?;

        let (mut stays, unmade) = self.remove(root);
        report.written += unmade;
        report.removed = self.to_remove().len() as u64 - stays.len() as u64;
        self.remove_folders(root, &[]);
        report.folders = self.make_folders(root);
        let done = self.put(root, &to_put, &mut report);
        stays.extend(done?);
        // What is still there goes on being drumfs's, and so do the folders that it is in.
        let stays: Vec<&ledger::Entry> = stays.into_iter().filter_map(|place| self.entry(place)).collect();
        for entry in &stays {
            log.entry(&entry.path, &entry.from, entry.link, &entry.stat, false).map_err(&failed)?;
        }
        for folder in self.remove_folders(root, &stays) {
            log.folder(folder, false).map_err(&failed)?;
        }
        self.problems.sort();
        report.fell_back = self.putter.fell_back();
        report.link = self.link();
        report.interrupted = self.options.cancel.load(Ordering::Relaxed);
        if report.interrupted {
            report.problems = std::mem::take(&mut self.problems);
            return Ok(report);
        }
        let put = report.put + report.replaced + report.moved;
        let (files, in_the_way) =
            self.files.to_write(&self.plan, Some(root), &self.facts(put, &self.problems)).map_err(&failed)?;
        for file in &files {
            log.made(&file.path, file.hash, false).map_err(&failed)?;
        }
        log.flush().map_err(&failed)?;
        for file in &files {
            match file.write(root, &self.putter.temporary()) {
                Ok(()) => report.written += 1,
                Err(error) => self.problems.push(Problem {
                    path: file.path.clone(),
                    from: Vec::new(),
                    kind: Kind::NotPut,
                    error: sentence(&error),
                }),
            }
        }
        self.problems.extend(in_the_way);
        log.done().map_err(&failed)?;
        report.problems = std::mem::take(&mut self.problems);
        Ok(report)
    }

    /// Finds out what would fail for every sample before anything is there.
    fn probe(&self, root: &Root, to_put: &[u32]) -> Result<(), RebuildError> {
        let link = self.options.link;
        let first = to_put.iter().find_map(|&number| {
            let looked = self.looked.get(number as usize)?;
            matches!(looked.step, Step::Put | Step::Replace(_)).then_some(())?;
            Some((self.plan.items.get(number as usize)?, looked))
        });
        let Some((item, looked)) = first else { return Ok(()) };
        let path = self.options.out.to_owned();
        let folder = root.folder(b"").map_err(|error| self.failed(error))?;
        let (temporary, archive) = (self.putter.temporary(), self.plan.archive(item));
        let relative = self.plan.relative(item);
        let expected = looked.original;
        let job = Job { archive, relative, expected, name: &temporary, over: false };
        let done = self.putter.put(&folder, &job);
        drop(folder.remove(&temporary));
        match done.as_ref().map_err(io::Error::raw_os_error) {
            Err(Some(libc::EXDEV)) if link == Link::Hard => {
                // Another file system may only be mounted somewhere in the archive.
                use std::os::unix::fs::MetadataExt;
                let of_archive = std::fs::metadata(archive.path()).map(|metadata| metadata.dev()).ok();
                if of_archive != root.device().ok() {
                    return Err(RebuildError::OtherDisk { archive: archive.path().to_owned(), path });
                }
            }
            Err(Some(libc::EPERM | libc::ENOTSUP | libc::ENOSYS)) if link == Link::Symlink => {
                if let Err(source) = done {
                    return Err(RebuildError::NoLinks { path, link, source });
                }
            }
            _ => {}
        }
        if self.putter.link() == Link::Copy {
            let needs = |number: &u32| {
                let looked = self.looked.get(*number as usize)?;
                matches!(looked.step, Step::Put | Step::Replace(_)).then_some(looked.original.size)
            };
            let needed: u64 = to_put.iter().filter_map(needs).sum();
            let goes = |place: &u32| self.entry(*place).filter(|entry| entry.link.is_own_file()).map(|e| e.stat.size);
            let freed: u64 = self.to_remove().iter().filter_map(goes).sum();
            let free = root.free_bytes().map_err(|error| self.failed(error))?;
            if needed > free.saturating_add(freed) {
                return Err(RebuildError::NoRoom { path, needed, free });
            }
        }
        Ok(())
    }

    /// Writes down what will be there, and what is there and will go.
    fn write_log(&self, log: &mut Writer) -> io::Result<()> {
        let known = |folder: &[u8]| self.ledger.is_some_and(|ledger| ledger.folders.contains_key(folder));
        let missing: BTreeSet<u32> = self.missing_folders.iter().copied().collect();
        if self.owns_root {
            log.folder(b"", false)?;
        }
        for (number, folder) in (0u32..).zip(&self.plan.folders).filter(|(_, folder)| !folder.path.is_empty()) {
            if missing.contains(&number) || known(&folder.path) {
                log.folder(&folder.path, false)?;
            }
        }
        for folder in self.folders_to_remove() {
            log.folder(folder, true)?;
        }
        let was = |log: &mut Writer, place: u32| match self.entry(place) {
            Some(entry) => log.entry(&entry.path, &entry.from, entry.link, &entry.stat, true),
            None => Ok(()),
        };
        let link = self.putter.link();
        for (item, looked) in self.plan.items.iter().zip(&self.looked) {
            match looked.step {
                Step::Keep(place) | Step::Fail(Some(place)) => {
                    if let Some(entry) = self.entry(place) {
                        log.entry(&entry.path, &entry.from, entry.link, &entry.stat, false)?;
                    }
                    continue;
                }
                Step::There | Step::Fail(None) => continue,
                Step::Replace(place) | Step::Move(place) => was(log, place)?,
                Step::Put => {}
            }
            log.entry(&self.plan.path(item), &self.plan.from(item), link, &looked.original, false)?;
        }
        for (place, fate) in &self.fates {
            match (fate, self.entry(*place)) {
                (Fate::Remove | Fate::RemoveTorn, _) => was(log, *place)?,
                (Fate::Unknown, Some(entry)) => log.entry(&entry.path, &entry.from, entry.link, &entry.stat, false)?,
                _ => {}
            }
        }
        for (path, hash, is_wanted) in self.files.mine() {
            log.made(path, hash, !is_wanted)?;
        }
        Ok(())
    }

    /// Removes what no longer belongs; gives the samples that could not be removed, by their places in the log of before,
    /// and how many files went that drumfs had made.
    fn remove(&mut self, root: &Root) -> (Vec<u32>, u64) {
        let problems: Vec<(u32, Problem)> = self
            .to_remove()
            .par_chunks(AT_A_TIME)
            .flat_map_iter(|places| {
                let mut last = Last::new(Some(root));
                let mut problems = Vec::new();
                for (place, entry) in places.iter().filter_map(|place| Some((*place, self.entry(*place)?))) {
                    let (folder, name) = key(&entry.path);
                    if let Err(error) = last.folder(folder).and_then(|folder| folder.remove(name)) {
                        problems.push((place, not_removed(entry, &error)));
                    }
                }
                problems
            })
            .collect();
        let mut last = Last::new(Some(root));
        let mut unmade = 0;
        for (path, _) in self.files.unwanted().filter(|(_, is_mine)| *is_mine) {
            let (folder, name) = key(path);
            match last.folder(folder).and_then(|folder| folder.remove(name)) {
                Ok(()) => unmade += 1,
                Err(error) => log::warn!("{}: {error}", String::from_utf8_lossy(path)),
            }
        }
        let (stays, problems): (Vec<u32>, Vec<Problem>) = problems.into_iter().unzip();
        self.problems.extend(problems);
        (stays, unmade)
    }

    /// Removes folders that drumfs made and that are empty now; what has something of others in it stays. Gives those that
    /// have something of drumfs's in them still, `stays` among it, or could not be removed though they are empty.
    fn remove_folders(&self, root: &Root, stays: &[&ledger::Entry]) -> Vec<&'a [u8]> {
        let mut last = Last::new(Some(root));
        let mut kept: Vec<&[u8]> = Vec::new();
        for path in self.folders_to_remove().into_iter().filter(|path| !path.is_empty()) {
            let (folder, name) = key(path);
            let Err(error) = last.folder(folder).and_then(|folder| folder.remove_folder(name)) else { continue };
            log::debug!("{} stays: {error}", String::from_utf8_lossy(path));
            let mut within = stays.iter().map(|entry| &entry.path[..]).chain(kept.iter().copied());
            let has_own = within.any(|within| within.strip_prefix(path).is_some_and(|rest| rest.starts_with(b"/")));
            let others = [io::ErrorKind::NotFound, io::ErrorKind::DirectoryNotEmpty, io::ErrorKind::NotADirectory];
            if has_own || !others.contains(&error.kind()) {
                kept.push(path);
            }
        }
        kept
    }

    /// How many were made.
    fn make_folders(&self, root: &Root) -> u64 {
        let mut last = Last::new(Some(root));
        let mut made = 0;
        let missing = self.missing_folders.iter().filter_map(|number| self.plan.folders.get(*number as usize));
        for folder in missing {
            let (parent, name) = key(&folder.path);
            match last.folder(parent).and_then(|parent| parent.make_folder(name)) {
                Ok(is_new) => made += u64::from(is_new),
                // Told of for each sample that should be in it.
                Err(error) => log::warn!("{}: {}", String::from_utf8_lossy(&folder.path), sentence(&error)),
            }
        }
        made
    }
}
