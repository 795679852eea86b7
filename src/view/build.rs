//! Making a view: route every sample, put each into its folder, make the names unique.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::assigned::Assigned;
use super::catalogue::{Catalogue, SAME_NAME};
use super::generated::{Generated, Numbers};
use super::ino::{self, ROOT};
use super::names::{NAME_MAX, cut, tagged, untaken};
use super::sample::folder_of;
use super::tree::{BuildTimes, Dir, DirId, Entry, Listing, Name, Names, Node, Place, Tree, View, mix};
use crate::archive::ContentHash;
use crate::rules::{FolderId, Layout, Reason, Router, Subject};
use crate::store::Override;

/// How many samples `_uncertain/` shows.
const UNCERTAIN_MAX: usize = 500;

/// What a view is made from.
#[derive(Debug)]
pub struct ViewInput<'a> {
    /// The samples.
    pub catalogue: Arc<Catalogue>,
    /// The rules.
    pub router: Arc<Router>,
    /// The fine labels in label order.
    pub labels: Arc<[String]>,
    /// What people said.
    pub overrides: &'a HashMap<ContentHash, Override>,
    /// The view before this one: folders that did not change keep their time.
    pub previous: Option<&'a View>,
    /// The time that changed folders get.
    pub now: SystemTime,
    /// The number of the view.
    pub epoch: u64,
    /// Why the last save of rules.yml was refused, while it is.
    pub rules_error: Option<Arc<str>>,
}

/// Where the rules put each sample of a catalogue, in order; of several with the same content the first alone shows,
/// where the rules say so.
pub fn assign(catalogue: &Catalogue, router: &Router, overrides: &HashMap<ContentHash, Override>) -> Vec<Assigned> {
    route(catalogue, router, overrides).into_iter().map(|routed| routed.assigned).collect()
}

fn route(catalogue: &Catalogue, router: &Router, overrides: &HashMap<ContentHash, Override>) -> Vec<Routed> {
    let mut routed = catalogue.each(Routed { assigned: Assigned::HIDDEN, margin: 0.0 }, |sample, name| {
        let said = sample.hash.as_ref().filter(|_| !overrides.is_empty()).and_then(|hash| overrides.get(hash));
        let subject = Subject { read_name: Some(name), ..sample.subject(said.map(|said| &said.label[..])) };
        let verdict = router.route(&subject);
        Routed { assigned: (&verdict).into(), margin: verdict.margin }
    });
    if router.hide_duplicates() {
        let mut first = vec![false; routed.len()];
        catalogue.by_hash().iter().for_each(|&id| first[id as usize] = true);
        let hashed = catalogue.chunks().all().iter().flat_map(|c| (0..c.len()).map(|place| c.has_hash(place)));
        for ((routed, hashed), first) in routed.iter_mut().zip(hashed).zip(first) {
            if hashed && !first {
                routed.assigned.reason = Reason::Hidden;
            }
        }
    }
    if router.hide_near_duplicates() {
        for id in catalogue.later_alike() {
            // The same bytes are hidden with it.
            routed[id as usize].assigned.reason = Reason::Hidden;
        }
    }
    routed
}

impl ViewInput<'_> {
    /// Makes the view.
    pub fn build(self) -> View {
        let started = Instant::now();
        let routed_to = route(&self.catalogue, &self.router, self.overrides);
        self.place(started, routed_to)
    }

    /// Makes the view of samples whose places are known: `decided` has one for each, in the order of the catalogue.
    pub fn build_decided(self, decided: &[Assigned]) -> View {
        let started = Instant::now();
        let routed = |(_, place): (_, usize)| {
            let assigned = decided.get(place).copied().unwrap_or(Assigned::HIDDEN);
            Routed { assigned, margin: 0.0 }
        };
        let routed_to = self.catalogue.samples().iter().zip(0..).map(routed).collect();
        self.place(started, routed_to)
    }

    fn place(self, started: Instant, routed_to: Vec<Routed>) -> View {
        let routed = Instant::now();
        let mut builder = Builder::new(&self);
        builder.reserved_folders();
        let places = builder.class_folders(&routed_to);
        builder.uncertain(&routed_to);
        let Finished { dirs, placed, entries, names, generated } = builder.finish(&places);
        drop(places);
        let assigned: Vec<Assigned> = routed_to.into_iter().map(|routed| routed.assigned).collect();
        let by_ino = dirs.iter().enumerate().map(|(id, dir)| (dir.ino, DirId(id as u32))).collect();
        let built = Instant::now();
        let generated_inos =
            generated.iter().map(|file| (ino::of_generated(file.path(&self.router).as_bytes()), *file)).collect();
        let numbers = Numbers::count(&self.catalogue, &self.router, &assigned, &self.labels);
        let counted = Instant::now();
        let tree = Tree {
            catalogue: self.catalogue,
            router: self.router,
            labels: self.labels,
            assigned,
            dirs,
            placed,
            entries,
            names,
            by_ino,
            generated_inos,
            numbers,
            stats: OnceLock::new(),
            summary: OnceLock::new(),
            errors: OnceLock::new(),
        };
        let times = BuildTimes { route: routed - started, tree: built - routed, count: counted - built };
        View { tree: Arc::new(tree), epoch: self.epoch, rules_error: self.rules_error, times }
    }
}

/// What making a view needs of a verdict.
#[derive(Debug, Clone, Copy)]
struct Routed {
    assigned: Assigned,
    margin: f32,
}

/// A folder while its content is collected.
struct Pending {
    parent: DirId,
    name: Box<[u8]>,
    ino: u64,
    /// How many samples are in it, and the first of them.
    count: u32,
    first: u32,
    others: Vec<Entry>,
    by_id: Option<Arc<[u32]>>,
    /// Whether the samples come from more than one folder of the archive, so that names may clash or be out of order.
    mixed: bool,
}

impl Pending {
    fn new(parent: DirId, name: &[u8], ino: u64) -> Self {
        Self { parent, name: name.into(), ino, count: 0, first: 0, others: Vec::new(), by_id: None, mixed: false }
    }
}

/// The folder of a sample that shows in none.
const NOWHERE: u32 = u32::MAX;

/// Set where a sample's name is taken by another in its folder.
const TAKEN: u32 = 1 << 31;

struct Builder<'a> {
    input: &'a ViewInput<'a>,
    dirs: Vec<Pending>,
    found: HashMap<(DirId, Box<[u8]>), DirId>,
    names: Names,
    entries: Vec<Entry>,
    generated: Vec<Generated>,
}

struct Finished {
    dirs: Vec<Dir>,
    placed: Vec<u32>,
    entries: Vec<Entry>,
    names: Names,
    generated: Vec<Generated>,
}

impl<'a> Builder<'a> {
    fn new(input: &'a ViewInput<'a>) -> Self {
        Self {
            input,
            dirs: vec![Pending::new(DirId::ROOT, b"", ROOT)],
            found: HashMap::new(),
            names: Names::default(),
            entries: Vec::new(),
            generated: Vec::new(),
        }
    }

    fn dir(&mut self, parent: DirId, name: &[u8]) -> DirId {
        if let Some(known) = self.found.get(&(parent, Box::from(name))) {
            return *known;
        }
        let id = DirId(self.dirs.len() as u32);
        let ino = ino::of_folder(self.dirs[parent.0 as usize].ino, name);
        self.dirs.push(Pending::new(parent, name, ino));
        self.dirs[parent.0 as usize].others.push(Entry { node: Node::Dir(id), name: Name::Own });
        self.found.insert((parent, name.into()), id);
        id
    }

    fn path(&mut self, from: DirId, path: &[u8]) -> DirId {
        path.split(|&b| b == b'/').filter(|part| !part.is_empty()).fold(from, |dir, part| self.dir(dir, part))
    }

    fn file(&mut self, dir: DirId, file: Generated) {
        self.dirs[dir.0 as usize].others.push(Entry { node: Node::Generated(file), name: Name::Own });
        self.generated.push(file);
    }

    fn reserved_folders(&mut self) {
        for file in Generated::AT_ROOT {
            self.file(DirId::ROOT, file);
        }
        let control = self.dir(DirId::ROOT, b"_control");
        for file in Generated::CONTROL {
            self.file(control, file);
        }
        let manifests = self.dir(DirId::ROOT, b"_manifests");
        for id in 0..self.input.router.folders().len() {
            let folder = &self.input.router.folders()[id];
            let parent = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
            let dir = self.path(manifests, parent.as_bytes());
            self.file(dir, Generated::Manifest(id as FolderId));
        }
        let by_id = self.dir(DirId::ROOT, b"_by-id");
        self.dirs[by_id.0 as usize].by_id = Some(Arc::clone(self.input.catalogue.by_hash()));
    }

    /// The folder of each sample, or [`NOWHERE`].
    fn class_folders(&mut self, routed: &[Routed]) -> Vec<u32> {
        let router = Arc::clone(&self.input.router);
        let folders: Vec<DirId> =
            router.folders().iter().map(|folder| self.path(DirId::ROOT, folder.as_bytes())).collect();
        let catalogue = Arc::clone(&self.input.catalogue);
        let mut places = Vec::with_capacity(routed.len());
        // Samples come in path order: nearly always the folder is that of the sample before. Folders of the archive
        // are told apart by number.
        let mut last: Vec<Option<(u32, DirId)>> = vec![None; folders.len()];
        let (mut number, mut before): (u32, &[u8]) = (0, b"");
        for chunk in catalogue.chunks().all() {
            for place in 0..chunk.len() {
                let begins = if place == 0 { folder_of(chunk.path(0)) != before } else { chunk.begins_folder(place) };
                number += u32::from(begins);
                let assigned = &routed[places.len()].assigned;
                if assigned.reason == Reason::Hidden || !chunk.is_present(place) {
                    places.push(NOWHERE);
                    continue;
                }
                let folder = usize::from(assigned.folder);
                let dir = match last[folder] {
                    Some((known, dir)) if known == number => dir,
                    _ => {
                        let sample = chunk.sample(place);
                        let inner = match router.layout() {
                            Layout::Flat => b"",
                            Layout::Preserve => sample.folder(),
                            Layout::ByPack => sample.pack(),
                        };
                        let dir = self.path(folders[folder], inner);
                        last[folder] = Some((number, dir));
                        let pending = &mut self.dirs[dir.0 as usize];
                        pending.mixed |=
                            pending.count > 0 && catalogue.sample(pending.first).folder() != sample.folder();
                        dir
                    }
                };
                let pending = &mut self.dirs[dir.0 as usize];
                if pending.count == 0 {
                    pending.first = places.len() as u32;
                }
                pending.count += 1;
                places.push(dir.0);
            }
            before = folder_of(chunk.path(chunk.len() - 1));
        }
        places
    }

    /// The samples the model is least sure of: the smallest distance between the first two folders' probabilities.
    /// What a person or a route decided is not asked again.
    fn uncertain(&mut self, routed: &[Routed]) {
        let uncertain = self.dir(DirId::ROOT, b"_uncertain");
        let asked = |routed: &Routed| routed.assigned.reason.is_by_ear();
        let catalogue = Arc::clone(&self.input.catalogue);
        let present = catalogue.chunks().all().iter().flat_map(|c| (0..c.len()).map(|place| c.is_present(place)));
        let asked = present.zip(routed).zip(0u32..).filter(|((present, routed), _)| *present && asked(routed));
        let mut ids: Vec<u32> = asked.map(|(_, id)| id).collect();
        let order = |a: &u32, b: &u32| routed[*a as usize].margin.total_cmp(&routed[*b as usize].margin).then(a.cmp(b));
        if ids.len() > UNCERTAIN_MAX {
            ids.select_nth_unstable_by(UNCERTAIN_MAX, order);
            ids.truncate(UNCERTAIN_MAX);
        }
        ids.sort_unstable_by(order);
        for (rank, &id) in ids.iter().enumerate() {
            let sample = catalogue.sample(id);
            let (label, percent) = sample.best_label().map_or(("?", 0.0), |(label, prob)| {
                (self.input.labels.get(label).map_or("?", |label| &label[..]), prob * 100.0)
            });
            let mut name = format!("{:03} {label} {percent:.0}% ", rank + 1).into_bytes();
            let (stem, extension) = super::names::split(sample.name());
            let room = NAME_MAX.saturating_sub(name.len() + extension.len());
            name.extend_from_slice(cut(stem, room));
            name.extend_from_slice(extension);
            let name = self.names.keep(&name);
            self.dirs[uncertain.0 as usize].others.push(Entry { node: Node::Sample(id), name });
        }
    }

    /// The samples of one folder after another, ordered by name, with [`TAKEN`] where another sample of the folder has
    /// the name and goes before; and which part is whose.
    fn place(&self, places: &[u32]) -> (Vec<u32>, Vec<Range<u32>>) {
        let mut parts = Vec::with_capacity(self.dirs.len());
        let mut next = 0;
        for dir in &self.dirs {
            parts.push(next..next);
            next += dir.count;
        }
        let mut placed = vec![0; next as usize];
        let mut put = |parts: &mut [Range<u32>], dir: u32, id: u32| {
            let end = &mut parts[dir as usize].end;
            placed[*end as usize] = id;
            *end += 1;
        };
        // In one folder of the archive the order of paths is that of names, each of which is there once.
        for (id, &dir) in places.iter().enumerate() {
            if dir != NOWHERE && !self.dirs[dir as usize].mixed {
                put(&mut parts, dir, id as u32);
            }
        }
        if self.dirs.iter().any(|dir| dir.mixed) {
            let mut name = 0u32;
            let mut last = vec![0u32; self.dirs.len()];
            for &marked in self.input.catalogue.by_name().iter() {
                name += u32::from(marked & SAME_NAME == 0);
                let id = marked & !SAME_NAME;
                let dir = places[id as usize];
                if dir != NOWHERE && self.dirs[dir as usize].mixed {
                    let taken = if last[dir as usize] == name { TAKEN } else { 0 };
                    put(&mut parts, dir, id | taken);
                    last[dir as usize] = name;
                }
            }
        }
        (placed, parts)
    }

    /// The folders with their entries in order.
    fn finish(mut self, places: &[u32]) -> Finished {
        let (mut placed, parts) = self.place(places);
        let pending = std::mem::take(&mut self.dirs);
        let mut listings = Vec::with_capacity(pending.len());
        for (dir, part) in pending.iter().zip(parts) {
            let ids = &mut placed[part.start as usize..part.end as usize];
            listings.push(match &dir.by_id {
                Some(ids) => Listing::ById(Arc::clone(ids)),
                None => self.listing(&pending, dir, ids).map_or(Listing::Own(part), Listing::Places),
            });
        }
        let done = pending.par_iter().zip(listings).map(|(dir, listing)| {
            let digest = self.digest(&pending, &placed, &listing);
            let before = self.input.previous.and_then(|view| {
                let old = &view.tree.dirs[view.dir_by_ino(dir.ino)?.0 as usize];
                (old.digest == digest).then_some(old.mtime)
            });
            Dir {
                ino: dir.ino,
                parent: dir.parent,
                name: dir.name.clone(),
                listing,
                subfolders: dir.others.iter().filter(|e| matches!(e.node, Node::Dir(_))).count() as u32,
                mtime: before.unwrap_or(self.input.now),
                digest,
            }
        });
        let dirs = done.collect();
        Finished { dirs, placed, entries: self.entries, names: self.names, generated: self.generated }
    }

    fn name<'n>(&'n self, pending: &'n [Pending], entry: &Entry) -> Cow<'n, [u8]> {
        match (entry.name, entry.node) {
            (Name::Kept { start, len }, _) => Cow::Borrowed(self.names.get(start, len)),
            (Name::Own, Node::Dir(dir)) => Cow::Borrowed(&pending[dir.0 as usize].name),
            (Name::Own, Node::Sample(id)) => Cow::Borrowed(self.input.catalogue.name(id)),
            (Name::Own, Node::Generated(file)) => Cow::Owned(file.name(&self.input.router).into_bytes()),
        }
    }

    /// The entries of a folder, ordered by name, each name once: of samples that share a name the first by path keeps
    /// it and the others get their content's hash; a folder's name goes before a sample's. None where all of them are
    /// `ids`, the samples under their own names.
    fn listing(&mut self, pending: &[Pending], dir: &Pending, ids: &mut [u32]) -> Option<Box<[Place]>> {
        if dir.others.is_empty() && ids.iter().all(|id| id & TAKEN == 0) {
            return None;
        }
        let catalogue = Arc::clone(&self.input.catalogue);
        let name = |id: u32| catalogue.name(id & !TAKEN);
        let others: Vec<Vec<u8>> = dir.others.iter().map(|entry| self.name(pending, entry).into_owned()).collect();
        for other in &others {
            let from = ids.partition_point(|&id| name(id) < &other[..]);
            ids[from..].iter_mut().take_while(|id| name(**id) == &other[..]).for_each(|id| *id |= TAKEN);
        }
        let mut entries: Vec<(Vec<u8>, Entry)> = others.into_iter().zip(dir.others.iter().copied()).collect();
        if ids.iter().any(|id| id & TAKEN != 0) {
            let mut taken: HashSet<Vec<u8>> = entries.iter().map(|(name, _)| name.clone()).collect();
            for &id in ids.iter().filter(|id| *id & TAKEN != 0) {
                let is_taken =
                    |made: &[u8]| taken.contains(made) || ids.binary_search_by(|&id| name(id).cmp(made)).is_ok();
                let made = self.unique(id & !TAKEN, is_taken);
                let kept = self.names.keep(&made);
                entries.push((made.clone(), Entry { node: Node::Sample(id & !TAKEN), name: kept }));
                taken.insert(made);
            }
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut places = Vec::with_capacity(ids.len() + entries.len());
        let mut rest = &ids[..];
        let own = |ids: &[u32], places: &mut Vec<Place>| {
            places.extend(ids.iter().filter(|id| *id & TAKEN == 0).map(|&id| Place::of_sample(id)));
        };
        for (other, entry) in entries {
            let (before, after) = rest.split_at(rest.partition_point(|&id| name(id) < &other[..]));
            own(before, &mut places);
            rest = after;
            places.push(Place::of_entry(self.entries.len() as u32));
            self.entries.push(entry);
        }
        own(rest, &mut places);
        Some(places.into())
    }

    /// A name for a sample whose own is taken: with the first digits of its content's hash, and where that is taken
    /// as well (the same content twice) with those of its path.
    fn unique(&self, id: u32, is_taken: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let sample = self.input.catalogue.sample(id);
        let number = self.input.catalogue.ino(id);
        let made = untaken(sample.name(), sample.hash, number).find(|made| !is_taken(made));
        // The inode number is unique, so only a file that was named to look like this one can be in the way.
        made.unwrap_or_else(|| {
            (2u64..)
                .map(|n| tagged(sample.name(), &format!("{number:016x} {n}")))
                .find(|made| !is_taken(made))
                .unwrap_or_default()
        })
    }

    /// A number that differs where names or what they stand for differ.
    fn digest(&self, pending: &[Pending], placed: &[u32], listing: &Listing) -> u64 {
        let catalogue: &Catalogue = &self.input.catalogue;
        match listing {
            Listing::ById(_) => catalogue.by_hash_digest(),
            // A sample's number tells its own name, too.
            Listing::Own(part) => {
                let ids = &placed[part.start as usize..part.end as usize];
                ids.iter().fold(0, |sum, &id| mix(sum, catalogue.ino(id)))
            }
            Listing::Places(places) => places.iter().fold(0, |sum, place| {
                let entry = match place.get() {
                    Ok(id) => return mix(sum, catalogue.ino(id)),
                    Err(entry) => &self.entries[entry],
                };
                let number = match entry.node {
                    Node::Sample(id) => catalogue.ino(id),
                    Node::Dir(dir) => pending[dir.0 as usize].ino,
                    Node::Generated(file) => ino::of_generated(file.path(&self.input.router).as_bytes()),
                };
                let sum = mix(sum, number);
                if entry.name == Name::Own { sum } else { mix(sum, xxh3_64(&self.name(pending, entry))) }
            }),
        }
    }
}
