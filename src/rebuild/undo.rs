//! Taking away everything that drumfs put into a tree, and nothing else.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::disk::{Found, Root};
use super::ledger::{self, Ledger, LedgerError, key};
use super::made;
use super::outcome::RebuildError;
use super::place;
use super::problem::{Problem, Stay};
use super::step::{AT_A_TIME, Fate, Last, fate, not_removed};
use super::sweep::sweep_folders;

/// What came of taking a tree away.
#[derive(Debug, Default)]
pub struct Undone {
    /// Samples that went, or would.
    pub removed: u64,
    /// Files that drumfs had made and that went, or would.
    pub made: u64,
    /// Folders that went.
    pub folders: u64,
    /// What stays, ordered by path.
    pub stays: Vec<Stay>,
    /// What could not be removed, ordered by path.
    pub problems: Vec<Problem>,
    /// Whether it was stopped before the end; another run goes on.
    pub interrupted: bool,
    /// How long it took.
    pub elapsed: Duration,
}

/// Takes away everything that drumfs put into the tree at `out`: samples, files that it made, and folders where nothing
/// else is in them. What was changed since stays, and so does what somebody else put there. With `dry_run` nothing is
/// changed. None where drumfs has put nothing there.
///
/// # Errors
/// [`RebuildError`].
pub fn undo(out: &Path, dry_run: bool, cancel: &AtomicBool) -> Result<Option<Undone>, RebuildError> {
    let started = Instant::now();
    let (root, _) = match place::open(out, false) {
        Err(place::PlaceError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let Some(ledger) = Ledger::read(root.path())? else { return Ok(None) };
    let failed = |source| RebuildError::Ledger(LedgerError::Io { path: root.path().join(ledger::NAME), source });
    let mut undone = Undone::default();
    if !dry_run {
        let of_entries = ledger.entries.iter().map(|entry| key(&entry.path).0);
        let folders = ledger.folders.keys().map(|folder| &folder[..]).chain(of_entries).chain([&b""[..]]);
        sweep_folders(&root, &folders.collect());
    }
    samples(&root, &ledger, dry_run, cancel, &mut undone);
    undone.interrupted = cancel.load(Ordering::Relaxed);
    if !undone.interrupted {
        made_files(&root, &ledger, dry_run, &mut undone);
        if !dry_run {
            folders(&root, &ledger, &mut undone);
            // What could not be removed is still to be known as drumfs's.
            if undone.problems.is_empty() {
                ledger::remove(root.path()).map_err(failed)?;
                own_folder(&root, &ledger, &mut undone);
            }
        }
    }
    undone.stays.sort();
    undone.stays.dedup_by(|a, b| a.path == b.path);
    undone.problems.sort();
    undone.elapsed = started.elapsed();
    Ok(Some(undone))
}

fn samples(root: &Root, ledger: &Ledger, dry_run: bool, cancel: &AtomicBool, undone: &mut Undone) {
    let removed = AtomicU64::new(0);
    let parts: Vec<(Vec<Stay>, Vec<Problem>)> = ledger
        .entries
        .par_chunks(AT_A_TIME)
        .map(|entries| {
            let mut last = Last::new(Some(root));
            let (mut stays, mut problems) = (Vec::new(), Vec::new());
            for entry in entries {
                if cancel.load(Ordering::Relaxed) {
                    break;
                }
                let gone = fate(ledger, entry, &mut last).and_then(|fate| {
                    match fate {
                        Fate::Remove | Fate::RemoveTorn => {
                            if !dry_run {
                                let (folder, name) = key(&entry.path);
                                last.folder(folder)?.remove(name)?;
                            }
                            removed.fetch_add(1, Ordering::Relaxed);
                        }
                        Fate::Stays(why) => stays.push(Stay { path: entry.path.to_vec(), why }),
                        Fate::Gone | Fate::Moved | Fate::Unknown => {}
                    }
                    Ok(())
                });
                if let Err(error) = gone {
                    problems.push(not_removed(entry, &error));
                }
            }
            (stays, problems)
        })
        .collect();
    for (stays, problems) in parts {
        undone.stays.extend(stays);
        undone.problems.extend(problems);
    }
    undone.removed = removed.into_inner();
}

fn made_files(root: &Root, ledger: &Ledger, dry_run: bool, undone: &mut Undone) {
    let mut last = Last::new(Some(root));
    let paths: BTreeSet<&[u8]> = ledger.made.iter().map(|made| &made.path[..]).collect();
    for path in paths {
        let mut one = || -> io::Result<()> {
            match last.look(path)? {
                Found::Nothing => return Ok(()),
                Found::File(_) if ledger.has_made(path, &made::read(&mut last, path)?) => {}
                _ => {
                    undone.stays.push(Stay { path: path.to_vec(), why: Stay::CHANGED });
                    return Ok(());
                }
            }
            if !dry_run {
                let (folder, name) = key(path);
                last.folder(folder)?.remove(name)?;
            }
            undone.made += 1;
            Ok(())
        };
        if let Err(error) = one() {
            let kind = super::Kind::NotRemoved;
            undone.problems.push(Problem { path: path.to_vec(), from: Vec::new(), kind, error: error.to_string() });
        }
    }
}

/// Removes the folders that are empty, the innermost first, and tells what is in the others.
fn folders(root: &Root, ledger: &Ledger, undone: &mut Undone) {
    let mut last = Last::new(Some(root));
    let mut left = BTreeSet::new();
    // An inner folder comes after the one it is in.
    for path in ledger.folders.keys().rev().filter(|path| !path.is_empty()) {
        let (folder, name) = key(path);
        match last.folder(folder).and_then(|folder| folder.remove_folder(name)) {
            Ok(()) => undone.folders += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => _ = left.insert(&path[..]),
        }
    }
    for path in &left {
        undone.stays.extend(not_ours(root, path, &left));
    }
}

/// What lies in a folder of drumfs's that stays, but for such folders.
fn not_ours(root: &Root, path: &[u8], left: &BTreeSet<&[u8]>) -> Vec<Stay> {
    let names = root.names(path).unwrap_or_default();
    let paths = names.into_iter().map(|name| if path.is_empty() { name } else { [path, b"/", &name].concat() });
    let others = paths.filter(|path| !left.contains(&path[..]) && path != ledger::NAME.as_bytes());
    others.map(|path| Stay { path, why: Stay::NOT_OURS }).collect()
}

/// Removes the folder of the tree itself, where drumfs made it and it is empty.
fn own_folder(root: &Root, ledger: &Ledger, undone: &mut Undone) {
    if !ledger.folders.contains_key(&[][..]) {
        return;
    }
    match std::fs::remove_dir(root.path()) {
        Ok(()) => undone.folders += 1,
        Err(_) => {
            let left = ledger.folders.keys().map(|folder| &folder[..]).collect();
            undone.stays.extend(not_ours(root, b"", &left));
        }
    }
}
