//! Making a view: route every sample, put each into its folder, make the names unique.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::catalogue::{Catalogue, Sample};
use super::generated::{Generated, Numbers};
use super::ino::{self, ROOT};
use super::names::{NAME_MAX, cut, tagged};
use super::tree::{BuildTimes, Dir, DirId, Entry, Listing, Node, OWN_NAME, Tree, View};
use crate::archive::ContentHash;
use crate::rules::{FolderId, Layout, Reason, Router, Subject, Verdict};
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

impl ViewInput<'_> {
    /// What the rules look at in a sample.
    fn subject<'s>(&'s self, sample: &'s Sample) -> Subject<'s> {
        let said = sample.hash.as_ref().filter(|_| !self.overrides.is_empty()).and_then(|h| self.overrides.get(h));
        sample.subject(said.map(|said| &said.label[..]))
    }

    /// Makes the view.
    pub fn build(self) -> View {
        let started = Instant::now();
        let verdicts = self.verdicts();
        let routed = Instant::now();
        let mut builder = Builder::new(&self);
        builder.reserved_folders();
        builder.class_folders(&verdicts);
        builder.uncertain(&verdicts);
        let (dirs, names, generated) = builder.finish();
        let by_ino = dirs.iter().enumerate().map(|(id, dir)| (dir.ino, DirId(id as u32))).collect();
        let placed = Instant::now();
        let generated_inos =
            generated.iter().map(|file| (ino::of_generated(file.path(&self.router).as_bytes()), *file)).collect();
        let numbers = Numbers::count(&self.catalogue, &self.router, &verdicts, &self.labels);
        let counted = Instant::now();
        let tree = Tree {
            catalogue: self.catalogue,
            router: self.router,
            labels: self.labels,
            verdicts,
            dirs,
            names,
            by_ino,
            generated_inos,
            numbers,
            stats: OnceLock::new(),
            summary: OnceLock::new(),
            errors: OnceLock::new(),
        };
        let times = BuildTimes { route: routed - started, tree: placed - routed, count: counted - placed };
        View { tree: Arc::new(tree), epoch: self.epoch, rules_error: self.rules_error, times }
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let samples = self.catalogue.samples();
        let mut verdicts: Vec<Verdict> =
            samples.par_iter().with_min_len(1024).map(|sample| self.router.route(&self.subject(sample))).collect();
        if self.router.hide_duplicates() {
            let first: HashSet<u32> = self.catalogue.by_hash().iter().copied().collect();
            for (id, (sample, verdict)) in samples.iter().zip(&mut verdicts).enumerate() {
                if sample.hash.is_some() && !first.contains(&(id as u32)) {
                    verdict.reason = Reason::Hidden;
                }
            }
        }
        verdicts
    }
}

struct Pending {
    parent: DirId,
    name: Box<[u8]>,
    ino: u64,
    samples: Vec<u32>,
    others: Vec<Entry>,
    by_id: Option<Arc<[u32]>>,
    /// Whether the samples come from more than one folder of the archive, so that names may clash or be out of order.
    mixed: bool,
}

impl Pending {
    /// Samples of another folder of the archive begin; `same` tells whether it is that of a sample.
    fn takes_from(&mut self, same: impl Fn(u32) -> bool) {
        self.mixed |= self.samples.first().is_some_and(|&first| !same(first));
    }
}

struct Builder<'a> {
    input: &'a ViewInput<'a>,
    dirs: Vec<Pending>,
    found: HashMap<(DirId, Box<[u8]>), DirId>,
    names: Vec<Box<[u8]>>,
    generated: Vec<Generated>,
}

impl<'a> Builder<'a> {
    fn new(input: &'a ViewInput<'a>) -> Self {
        let root = Pending {
            parent: DirId::ROOT,
            name: [].into(),
            ino: ROOT,
            samples: Vec::new(),
            others: Vec::new(),
            by_id: None,
            mixed: false,
        };
        Self { input, dirs: vec![root], found: HashMap::new(), names: Vec::new(), generated: Vec::new() }
    }

    fn dir(&mut self, parent: DirId, name: &[u8]) -> DirId {
        if let Some(known) = self.found.get(&(parent, Box::from(name))) {
            return *known;
        }
        let id = DirId(self.dirs.len() as u32);
        let ino = ino::of_folder(self.dirs[parent.0 as usize].ino, name);
        self.dirs.push(Pending {
            parent,
            name: name.into(),
            ino,
            samples: Vec::new(),
            others: Vec::new(),
            by_id: None,
            mixed: false,
        });
        self.dirs[parent.0 as usize].others.push(Entry { node: Node::Dir(id), name: OWN_NAME });
        self.found.insert((parent, name.into()), id);
        id
    }

    fn path(&mut self, from: DirId, path: &[u8]) -> DirId {
        path.split(|&b| b == b'/').filter(|part| !part.is_empty()).fold(from, |dir, part| self.dir(dir, part))
    }

    fn file(&mut self, dir: DirId, file: Generated) {
        self.dirs[dir.0 as usize].others.push(Entry { node: Node::Generated(file), name: OWN_NAME });
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

    fn class_folders(&mut self, verdicts: &[Verdict]) {
        let router = Arc::clone(&self.input.router);
        let folders: Vec<DirId> =
            router.folders().iter().map(|folder| self.path(DirId::ROOT, folder.as_bytes())).collect();
        let catalogue = Arc::clone(&self.input.catalogue);
        let outline = catalogue.outline();
        // Samples come in path order: nearly always the folder is that of the sample before.
        let mut last: Vec<Option<(u32, DirId)>> = vec![None; folders.len()];
        for (id, verdict) in verdicts.iter().enumerate() {
            if verdict.reason == Reason::Hidden || outline.line_len[id] == 0 {
                continue;
            }
            let folder = usize::from(verdict.folder);
            let dir = match last[folder] {
                Some((number, dir)) if number == outline.folder[id] => dir,
                _ => {
                    let path = catalogue.samples()[id].folder();
                    let inner = match router.layout() {
                        Layout::Flat => b"",
                        Layout::Preserve => path,
                        Layout::ByPack => catalogue.samples()[id].pack(),
                    };
                    let dir = self.path(folders[folder], inner);
                    last[folder] = Some((outline.folder[id], dir));
                    self.dirs[dir.0 as usize].takes_from(|other| catalogue.samples()[other as usize].folder() == path);
                    dir
                }
            };
            self.dirs[dir.0 as usize].samples.push(id as u32);
        }
    }

    /// The samples the model is least sure of: the smallest distance between the first two folders' probabilities.
    /// What a person or a route decided is not asked again.
    fn uncertain(&mut self, verdicts: &[Verdict]) {
        let uncertain = self.dir(DirId::ROOT, b"_uncertain");
        let asked = |verdict: &Verdict| {
            matches!(verdict.reason, Reason::Top1 | Reason::LowConfidence | Reason::OutOfTarget | Reason::Name)
        };
        let samples = self.input.catalogue.samples();
        let mut ids: Vec<u32> = (0..samples.len() as u32)
            .filter(|&id| asked(&verdicts[id as usize]) && samples[id as usize].is_present())
            .collect();
        let order =
            |a: &u32, b: &u32| verdicts[*a as usize].margin.total_cmp(&verdicts[*b as usize].margin).then(a.cmp(b));
        if ids.len() > UNCERTAIN_MAX {
            ids.select_nth_unstable_by(UNCERTAIN_MAX, order);
            ids.truncate(UNCERTAIN_MAX);
        }
        ids.sort_unstable_by(order);
        for (rank, &id) in ids.iter().enumerate() {
            let sample = &samples[id as usize];
            let (label, percent) = sample.best_label().map_or(("?", 0.0), |(label, prob)| {
                (self.input.labels.get(label).map_or("?", |label| &label[..]), prob * 100.0)
            });
            let mut name = format!("{:03} {label} {percent:.0}% ", rank + 1).into_bytes();
            let (stem, extension) = super::names::split(sample.name());
            let room = NAME_MAX.saturating_sub(name.len() + extension.len());
            name.extend_from_slice(cut(stem, room));
            name.extend_from_slice(extension);
            let place = self.names.len() as u32;
            self.names.push(name.into());
            self.dirs[uncertain.0 as usize].others.push(Entry { node: Node::Sample(id), name: place });
        }
    }

    /// The folders with their entries in order.
    fn finish(mut self) -> (Vec<Dir>, Vec<Box<[u8]>>, Vec<Generated>) {
        let pending = std::mem::take(&mut self.dirs);
        let mut done = Vec::with_capacity(pending.len());
        for dir in &pending {
            let listing = match &dir.by_id {
                Some(ids) => Listing::ById(Arc::clone(ids)),
                None => Listing::Entries(self.listing(&pending, dir)),
            };
            let digest = self.digest(&pending, &listing);
            let before = self.input.previous.and_then(|view| {
                let old = &view.tree.dirs[view.dir_by_ino(dir.ino)?.0 as usize];
                (old.digest == digest).then_some(old.mtime)
            });
            done.push(Dir {
                ino: dir.ino,
                parent: dir.parent,
                name: dir.name.clone(),
                listing,
                subfolders: dir.others.iter().filter(|e| matches!(e.node, Node::Dir(_))).count() as u32,
                mtime: before.unwrap_or(self.input.now),
                digest,
            });
        }
        (done, self.names, self.generated)
    }

    fn own_name<'n>(&'n self, pending: &'n [Pending], entry: &Entry) -> Cow<'n, [u8]> {
        if entry.name != OWN_NAME {
            return Cow::Borrowed(&self.names[entry.name as usize]);
        }
        match entry.node {
            Node::Dir(dir) => Cow::Borrowed(&pending[dir.0 as usize].name),
            Node::Sample(id) => Cow::Borrowed(self.input.catalogue.samples()[id as usize].name()),
            Node::Generated(file) => Cow::Owned(file.name(&self.input.router).into_bytes()),
        }
    }

    /// The entries of a folder, ordered by name, each name once: of samples that share a name the first by path keeps
    /// it and the others get their content's hash; a folder's name goes before a sample's.
    fn listing(&mut self, pending: &[Pending], dir: &Pending) -> Vec<Entry> {
        let catalogue = Arc::clone(&self.input.catalogue);
        if !dir.mixed && dir.others.is_empty() {
            // In path order, and so in the order of their names, each of which is there once.
            return dir.samples.iter().map(|&id| Entry { node: Node::Sample(id), name: OWN_NAME }).collect();
        }
        let name = |id: u32| catalogue.samples()[id as usize].name();
        let rank = catalogue.name_rank();
        let mut ids = dir.samples.clone();
        if dir.mixed {
            ids.sort_unstable_by_key(|&id| (rank[id as usize], id));
        }
        let taken: HashSet<Cow<'_, [u8]>> =
            dir.others.iter().map(|entry| Cow::Owned(self.own_name(pending, entry).into_owned())).collect();
        let mut entries = Vec::with_capacity(ids.len() + dir.others.len());
        let mut clashing = Vec::new();
        let mut before: Option<u32> = None;
        for &id in &ids {
            let twin = before.is_some_and(|before| rank[before as usize] == rank[id as usize]);
            if twin || (!taken.is_empty() && taken.contains(name(id))) {
                clashing.push(id);
            } else {
                entries.push(Entry { node: Node::Sample(id), name: OWN_NAME });
            }
            before = Some(id);
        }
        if clashing.is_empty() && dir.others.is_empty() {
            return entries;
        }
        if !clashing.is_empty() {
            let mut taken: HashSet<Vec<u8>> = taken.into_iter().map(Cow::into_owned).collect();
            taken.extend(ids.iter().map(|&id| name(id).to_vec()));
            for id in clashing {
                let made = self.unique(id, &taken);
                taken.insert(made.clone());
                let place = self.names.len() as u32;
                self.names.push(made.into());
                entries.push(Entry { node: Node::Sample(id), name: place });
            }
        }
        entries.extend_from_slice(&dir.others);
        if !entries.is_sorted_by(|a, b| self.own_name(pending, a) < self.own_name(pending, b)) {
            // Already in order but for what was put at the end: a merging sort is nearly linear here.
            entries.sort_by(|a, b| self.own_name(pending, a).cmp(&self.own_name(pending, b)));
        }
        entries
    }

    /// A name for a sample whose own is taken: with the first digits of its content's hash, and where that is taken
    /// as well (the same content twice) with those of its path.
    fn unique(&self, id: u32, taken: &HashSet<Vec<u8>>) -> Vec<u8> {
        let sample = &self.input.catalogue.samples()[id as usize];
        let path = format!("{:016x}", self.input.catalogue.ino(id));
        let content = sample.hash.map_or_else(|| path.clone(), |hash| hash.to_hex());
        let short = |text: &str| text[..8.min(text.len())].to_owned();
        let tags = [short(&content), format!("{} {}", short(&content), short(&path)), format!("{content} {path}")];
        let made = tags.iter().map(|tag| tagged(sample.name(), tag)).find(|made| !taken.contains(made));
        // The inode number is unique, so only a file that was named to look like this one can be in the way.
        made.unwrap_or_else(|| {
            (2u64..)
                .map(|n| tagged(sample.name(), &format!("{path} {n}")))
                .find(|made| !taken.contains(made))
                .unwrap_or_default()
        })
    }

    /// A number that differs where names or what they stand for differ.
    fn digest(&self, pending: &[Pending], listing: &Listing) -> u64 {
        let mix = |sum: u64, value: u64| sum.rotate_left(5) ^ value.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        match listing {
            Listing::ById(ids) => ids.iter().fold(0, |sum, &id| {
                let hash = self.input.catalogue.samples()[id as usize].hash;
                mix(mix(sum, self.input.catalogue.ino(id)), hash.map_or(0, |hash| xxh3_64(hash.as_bytes())))
            }),
            Listing::Entries(entries) => entries.iter().fold(0, |sum, entry| {
                let number = match entry.node {
                    // A sample's number tells its own name, too.
                    Node::Sample(id) => self.input.catalogue.ino(id),
                    Node::Dir(dir) => pending[dir.0 as usize].ino,
                    Node::Generated(file) => ino::of_generated(file.path(&self.input.router).as_bytes()),
                };
                let sum = mix(sum, number);
                if entry.name == OWN_NAME { sum } else { mix(sum, xxh3_64(&self.own_name(pending, entry))) }
            }),
        }
    }
}
