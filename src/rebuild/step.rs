//! What has to be done for each sample: what should be there beside what is.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::disk::{Folder, Found, Root, Stat};
use super::ledger::{Entry, Ledger, Whose, key, same_time};
use super::link::{Link, look_at_original};
use super::plan::{Item, Plan};
use super::problem::{Kind, Problem, Stay, of_original};

/// What is done for one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is there, put by drumfs; the place of its line in the log of before.
    Keep(u32),
    /// It is not there.
    Put,
    /// Something is there that drumfs put and that is out of date; the place of its line in the log of before.
    Replace(u32),
    /// A copy of it is in another folder, where it no longer belongs; the place of that one's line in the log of before.
    Move(u32),
    /// It is there, and drumfs did not put it.
    There,
    /// Nothing can be done; what drumfs put there before stays, where there is a line of it in the log.
    Fail(Option<u32>),
}

/// A sample that was looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looked {
    pub step: Step,
    /// What the original is.
    pub original: Stat,
}

/// What is done with something that no longer belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// drumfs put it: it goes.
    Remove,
    /// The same, and it lost bytes.
    RemoveTorn,
    /// It becomes another one.
    Moved,
    /// It has gone.
    Gone,
    /// It stays.
    Stays(&'static str),
    /// It could not be looked at.
    Unknown,
}

/// Lines of the log by their places, and what becomes of them.
pub(super) type Fates = Vec<(u32, Fate)>;

/// How many samples one thread looks at before it takes others.
pub(super) const AT_A_TIME: usize = 256;

/// An open folder, kept from one name to the next.
pub(super) struct Last<'r> {
    root: Option<&'r Root>,
    open: Option<Opened>,
}

struct Opened {
    path: Vec<u8>,
    folder: Result<Folder, Option<i32>>,
}

impl<'r> Last<'r> {
    pub fn new(root: Option<&'r Root>) -> Self {
        Self { root, open: None }
    }

    /// The folder at a path.
    ///
    /// # Errors
    /// What the system says.
    pub fn folder(&mut self, path: &[u8]) -> io::Result<&Folder> {
        if self.open.as_ref().is_none_or(|opened| opened.path != path) {
            let folder = match self.root {
                Some(root) => root.folder(path).map_err(|error| error.raw_os_error()),
                None => Err(Some(libc::ENOENT)),
            };
            self.open = Some(Opened { path: path.to_vec(), folder });
        }
        match self.open.as_ref().map(|opened| opened.folder.as_ref()) {
            Some(Ok(folder)) => Ok(folder),
            Some(Err(Some(code))) => Err(io::Error::from_raw_os_error(*code)),
            _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        }
    }

    /// What is at a path: nothing where its folder is missing or no folder.
    ///
    /// # Errors
    /// What the system says.
    pub fn look(&mut self, path: &[u8]) -> io::Result<Found> {
        let (folder, name) = key(path);
        match self.folder(folder) {
            Ok(folder) => folder.look(name),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => Ok(Found::Nothing),
                _ => Err(error),
            },
        }
    }
}

/// Looks at every sample of a plan, many at a time. Problems are given beside, in order.
pub(super) fn look(
    plan: &Plan<'_>,
    root: Option<&Root>,
    ledger: Option<&Ledger>,
    link: Link,
    cancel: &AtomicBool,
) -> (Vec<Looked>, Vec<Problem>) {
    let nothing = Looked { step: Step::Fail(None), original: Stat::default() };
    let parts: Vec<(Vec<Looked>, Vec<Problem>)> = plan
        .items
        .par_chunks(AT_A_TIME)
        .map(|items| {
            let mut last = Last::new(root);
            let mut problems = Vec::new();
            let one = |item: &Item| {
                if cancel.load(Ordering::Relaxed) {
                    return nothing;
                }
                look_at(plan, item, &mut last, ledger, link).unwrap_or_else(|(entry, kind, error)| {
                    problems.push(Problem { path: plan.path(item), from: plan.from(item), kind, error });
                    Looked { step: Step::Fail(entry), original: Stat::default() }
                })
            };
            let looked = items.iter().map(one).collect();
            (looked, problems)
        })
        .collect();
    let (mut looked, mut problems) = (Vec::with_capacity(plan.items.len()), Vec::new());
    for (part, of_part) in parts {
        looked.extend(part);
        problems.extend(of_part);
    }
    (looked, problems)
}

fn look_at(
    plan: &Plan<'_>,
    item: &Item,
    last: &mut Last<'_>,
    ledger: Option<&Ledger>,
    link: Link,
) -> Result<Looked, (Option<u32>, Kind, String)> {
    let path = plan.path(item);
    let found = last.look(&path).map_err(|error| (None, Kind::NotPut, error.to_string()))?;
    let mine = if found == Found::Nothing { None } else { ledger.and_then(|ledger| mine(ledger, &path, &found)) };
    let from = plan.archive(item).absolute(plan.relative(item));
    let original = look_at_original(&from)
        .map_err(|error| (mine.map(|(place, ..)| place), of_original(&error), error.to_string()))?;
    let step = match mine {
        _ if found == Found::Nothing => Step::Put,
        Some((place, entry, Whose::Drumfs))
            if is_same_way(entry.link, link) && is_it(&found, plan, item, &original, link) =>
        {
            Step::Keep(place)
        }
        Some((place, ..)) => Step::Replace(place),
        None if is_it(&found, plan, item, &original, link) => Step::There,
        None => {
            let what = match found {
                Found::Folder => "a folder that is none of the tree has the name",
                _ => "something that drumfs did not put there, or that was changed since, has the name",
            };
            return Err((None, Kind::InTheWay, what.to_owned()));
        }
    };
    Ok(Looked { step, original })
}

/// The line of the log that tells of what was found, if drumfs put it there.
fn mine<'l>(ledger: &'l Ledger, path: &'l [u8], found: &Found) -> Option<(u32, &'l Entry, Whose)> {
    let whose = |(place, entry)| (place, entry, ledger.whose(entry, found));
    ledger.entries_at(path).map(whose).find(|(_, _, whose)| *whose != Whose::Yours)
}

fn is_same_way(was: Link, is: Link) -> bool {
    was == is || was.is_own_file() && is.is_own_file()
}

/// Whether what was found is what would be put there.
fn is_it(found: &Found, plan: &Plan<'_>, item: &Item, original: &Stat, link: Link) -> bool {
    match (link, found) {
        (Link::Symlink, Found::Link(target)) => *target == plan.from(item),
        (Link::Hard, Found::File(stat)) => stat.ino == original.ino,
        (Link::Reflink | Link::Copy, Found::File(stat)) => {
            stat.ino != original.ino && stat.size == original.size && same_time(original.mtime_ns, stat.mtime_ns)
        }
        _ => false,
    }
}

/// What becomes of each line of the log that no sample of the plan has the place of. Problems are given beside.
pub(super) fn leftovers(plan: &Plan<'_>, root: Option<&Root>, ledger: &Ledger) -> (Fates, Vec<Problem>) {
    // Both are in the same order.
    let mut items = plan.items.iter().peekable();
    let mut left: Vec<u32> = Vec::new();
    for (place, entry) in (0u32..).zip(&ledger.entries) {
        let wanted = key(&entry.path);
        while items.next_if(|item| (plan.folder(item), &plan.name(item)[..]) < wanted).is_some() {}
        let belongs = items.peek().is_some_and(|item| (plan.folder(item), &plan.name(item)[..]) == wanted);
        if !belongs {
            left.push(place);
        }
    }
    let parts: Vec<(Fates, Vec<Problem>)> = left
        .par_chunks(AT_A_TIME)
        .map(|places| {
            let mut last = Last::new(root);
            let (mut fates, mut problems) = (Vec::with_capacity(places.len()), Vec::new());
            for &place in places {
                let Some(entry) = ledger.entries.get(place as usize) else { continue };
                let fate = fate(ledger, entry, &mut last).unwrap_or_else(|error| {
                    problems.push(not_removed(entry, &error));
                    Fate::Unknown
                });
                fates.push((place, fate));
            }
            (fates, problems)
        })
        .collect();
    let (mut fates, mut problems) = (Vec::with_capacity(left.len()), Vec::new());
    for (part, of_part) in parts {
        fates.extend(part);
        problems.extend(of_part);
    }
    (fates, problems)
}

/// What becomes of what an entry tells of, where it is to go.
///
/// # Errors
/// What the system says.
pub(super) fn fate(ledger: &Ledger, entry: &Entry, last: &mut Last<'_>) -> io::Result<Fate> {
    let found = last.look(&entry.path)?;
    Ok(match (ledger.whose(entry, &found), &found) {
        (_, Found::Nothing) => Fate::Gone,
        // Removing it would lose the sound.
        (Whose::Drumfs, Found::File(stat)) if entry.link == Link::Hard && stat.links < 2 => {
            Fate::Stays(Stay::LAST_NAME)
        }
        (Whose::Drumfs, _) => Fate::Remove,
        (Whose::Torn, _) => Fate::RemoveTorn,
        // Another line of the log may tell of it.
        (Whose::Yours, _) if mine(ledger, &entry.path, &found).is_some() => Fate::Gone,
        (Whose::Yours, _) => Fate::Stays(Stay::CHANGED),
    })
}

pub(super) fn not_removed(entry: &Entry, error: &io::Error) -> Problem {
    Problem { path: entry.path.to_vec(), from: entry.from.to_vec(), kind: Kind::NotRemoved, error: error.to_string() }
}

/// Lets copies that are to be made be those that are to go, where they are of the same original: re-sorting a tree
/// copies nothing again.
pub(super) fn find_moves(
    plan: &Plan<'_>,
    looked: &mut [Looked],
    ledger: &Ledger,
    fates: &mut [(u32, Fate)],
    link: Link,
) {
    if !link.is_own_file() || fates.is_empty() {
        return;
    }
    let mut going: HashMap<&[u8], usize> = HashMap::new();
    for (index, (place, fate)) in fates.iter().enumerate() {
        let entry = ledger.entries.get(*place as usize).filter(|_| *fate == Fate::Remove);
        if let Some(entry) = entry.filter(|entry| entry.link.is_own_file()) {
            going.insert(&entry.from, index);
        }
    }
    for (item, looked) in plan.items.iter().zip(looked).filter(|(_, looked)| looked.step == Step::Put) {
        if going.is_empty() {
            return;
        }
        let from = plan.from(item);
        let Some((place, fate)) = going.get(&from[..]).and_then(|index| fates.get_mut(*index)) else { continue };
        let Some(entry) = ledger.entries.get(*place as usize) else { continue };
        if entry.stat.size == looked.original.size && entry.stat.mtime_ns == looked.original.mtime_ns {
            looked.step = Step::Move(*place);
            *fate = Fate::Moved;
            going.remove(&from[..]);
        }
    }
}
