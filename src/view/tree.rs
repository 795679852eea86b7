//! The tree itself: folders, what is in them, and how to find it by name or number.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use super::assigned::Assigned;
use super::catalogue::Catalogue;
use super::generated::{Generated, Numbers};
use super::ino::{self, Ino, ROOT};
use super::names::untaken;
use super::sample::SampleRef;
use crate::rules::{FolderId, Layout, Reason, Router};

/// A folder of one view. Numbers are places in this view only; what stays is the inode number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DirId(pub(super) u32);

impl DirId {
    /// The root folder of every view.
    pub const ROOT: Self = Self(0);
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Dir(DirId),
    /// A sample, by its id in the catalogue.
    Sample(u32),
    /// A file that drumfs makes.
    Generated(Generated),
}

/// A place in a folder, in four bytes: a sample under its own name by its id, anything else by its place in
/// [`Tree::entries`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u32);

/// Set where a place is no sample under its own name.
const OTHER: u32 = 1 << 31;

impl Place {
    pub fn of_sample(id: u32) -> Self {
        Self(id)
    }

    pub fn of_entry(entry: u32) -> Self {
        Self(entry | OTHER)
    }

    /// The sample under its own name, or else the place in [`Tree::entries`].
    pub fn get(self) -> Result<u32, usize> {
        if self.0 & OTHER == 0 { Ok(self.0) } else { Err((self.0 & !OTHER) as usize) }
    }
}

/// A name in a folder that is not a sample's own: where it is kept, and what it stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub node: Node,
    pub name: Name,
}

/// Where a name is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// The folder or the file has it itself.
    Own,
    /// At this place of [`Names`], with this length.
    Kept { start: u32, len: u8 },
}

/// Names that were made, one after another.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<u8>);

impl Names {
    /// Keeps a name of at most [`super::names::NAME_MAX`] bytes.
    pub fn keep(&mut self, name: &[u8]) -> Name {
        let start = self.0.len() as u32;
        self.0.extend_from_slice(name);
        Name::Kept { start, len: name.len() as u8 }
    }

    pub fn get(&self, start: u32, len: u8) -> &[u8] {
        let start = start as usize;
        self.0.get(start..start + usize::from(len)).unwrap_or_default()
    }
}

#[derive(Debug)]
pub(super) enum Listing {
    /// Samples under their own names, ordered by name: a part of [`Tree::placed`].
    Own(std::ops::Range<u32>),
    /// Ordered by name.
    Places(Box<[Place]>),
    /// One file for each content, named after it, ordered by digest.
    ById(Arc<[u32]>),
}

#[derive(Debug)]
pub(super) struct Dir {
    pub ino: Ino,
    pub parent: DirId,
    pub name: Box<[u8]>,
    pub listing: Listing,
    pub subfolders: u32,
    pub mtime: SystemTime,
    /// Of what is in it: tells whether it changed from one view to the next.
    pub digest: u64,
}

/// What was computed from one catalogue and one set of rules.
#[derive(Debug)]
pub(super) struct Tree {
    pub catalogue: Arc<Catalogue>,
    pub router: Arc<Router>,
    pub labels: Arc<[String]>,
    pub assigned: Vec<Assigned>,
    pub dirs: Vec<Dir>,
    /// The samples of one folder after another.
    pub placed: Vec<u32>,
    pub entries: Vec<Entry>,
    pub names: Names,
    pub by_ino: HashMap<Ino, DirId>,
    pub generated_inos: HashMap<Ino, Generated>,
    pub numbers: Numbers,
    pub stats: OnceLock<Arc<[u8]>>,
    pub summary: OnceLock<Arc<[u8]>>,
    pub errors: OnceLock<Arc<[u8]>>,
}

/// The whole virtual tree for one state of catalogue and rules.
#[derive(Debug, Clone)]
pub struct View {
    pub(super) tree: Arc<Tree>,
    /// Raised by one with every view.
    pub epoch: u64,
    /// Why the last save of rules.yml was refused, while it is.
    pub rules_error: Option<Arc<str>>,
    /// How long it took to make.
    pub times: BuildTimes,
}

/// How long the making of a view took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BuildTimes {
    /// Asking the rules about every sample.
    pub route: Duration,
    /// Folders, names and their order.
    pub tree: Duration,
    /// Counting.
    pub count: Duration,
}

impl BuildTimes {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.route + self.tree + self.count
    }
}

impl View {
    /// The samples it shows.
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.tree.catalogue
    }

    /// The rules it was routed by.
    pub fn router(&self) -> &Arc<Router> {
        &self.tree.router
    }

    /// Counts for status.json and `_stats.json`.
    pub fn numbers(&self) -> &Numbers {
        &self.tree.numbers
    }

    /// The fine labels in label order.
    pub fn labels(&self) -> &[String] {
        &self.tree.labels
    }

    /// What the rules say of a sample.
    pub fn assigned(&self, sample: u32) -> Assigned {
        self.tree.assigned[sample as usize]
    }

    /// The sample with this id.
    pub fn sample(&self, id: u32) -> SampleRef<'_> {
        self.tree.catalogue.sample(id)
    }

    /// The same tree with another word on the last save of rules.yml.
    pub fn with_rules_error(&self, rules_error: Option<Arc<str>>, epoch: u64) -> Self {
        Self { tree: Arc::clone(&self.tree), epoch, rules_error, times: self.times }
    }

    fn dir(&self, dir: DirId) -> &Dir {
        &self.tree.dirs[dir.0 as usize]
    }

    /// Every folder, the root first.
    pub fn dirs(&self) -> impl Iterator<Item = DirId> + use<> {
        (0..self.tree.dirs.len() as u32).map(DirId)
    }

    /// A number that differs where the names in a folder, or what they stand for, differ.
    pub fn digest(&self, dir: DirId) -> u64 {
        self.dir(dir).digest
    }

    /// The folder with this inode number, if this view has it.
    pub fn dir_by_ino(&self, ino: Ino) -> Option<DirId> {
        if ino == ROOT { Some(DirId::ROOT) } else { self.tree.by_ino.get(&ino).copied() }
    }

    /// The generated file with this inode number, if this view has it.
    pub fn generated_by_ino(&self, ino: Ino) -> Option<Generated> {
        self.tree.generated_inos.get(&ino).copied().filter(|file| self.shows(Node::Generated(*file)))
    }

    /// The node with this inode number, if this view has it.
    pub fn by_ino(&self, ino: Ino) -> Option<Node> {
        if ino::is_sample(ino) {
            let (id, sample) = self.tree.catalogue.by_ino(ino)?;
            return sample.is_present().then_some(Node::Sample(id));
        }
        self.dir_by_ino(ino).map(Node::Dir).or_else(|| self.generated_by_ino(ino).map(Node::Generated))
    }

    /// The inode number of a node of this view.
    pub fn ino(&self, node: Node) -> Ino {
        match node {
            Node::Dir(dir) => self.dir(dir).ino,
            Node::Sample(id) => self.tree.catalogue.ino(id),
            Node::Generated(file) => ino::of_generated(file.path(&self.tree.router).as_bytes()),
        }
    }

    /// The folder that a folder lies in; the root lies in itself.
    pub fn parent(&self, dir: DirId) -> DirId {
        self.dir(dir).parent
    }

    /// When what is in a folder last changed.
    pub fn mtime(&self, dir: DirId) -> SystemTime {
        self.dir(dir).mtime
    }

    /// How many folders a folder holds.
    pub fn subfolders(&self, dir: DirId) -> u32 {
        self.dir(dir).subfolders
    }

    /// The path of a folder in the view: empty for the root.
    pub fn dir_path(&self, dir: DirId) -> Vec<u8> {
        let mut parts = Vec::new();
        let mut at = dir;
        while at != DirId::ROOT {
            parts.push(&self.dir(at).name[..]);
            at = self.dir(at).parent;
        }
        parts.reverse();
        parts.join(&b'/')
    }

    fn shows(&self, node: Node) -> bool {
        node != Node::Generated(Generated::RulesError) || self.rules_error.is_some()
    }

    /// What a name in a folder stands for.
    pub fn lookup(&self, dir: DirId, name: &[u8]) -> Option<Node> {
        match &self.dir(dir).listing {
            Listing::Own(part) => {
                let ids = self.tree.part(part);
                let place = ids.binary_search_by(|&id| self.tree.catalogue.name(id).cmp(name)).ok()?;
                Some(Node::Sample(ids[place]))
            }
            Listing::Places(places) => {
                let place = places.binary_search_by(|place| self.tree.name_at(*place).as_ref().cmp(name)).ok()?;
                Some(self.tree.node_at(places[place])).filter(|node| self.shows(*node))
            }
            Listing::ById(ids) => {
                let hex = name.split(|&b| b == b'.').next()?;
                let hash = |id: u32| self.sample(id).hash.map(|hash| hash.to_hex()).unwrap_or_default();
                let place = ids.binary_search_by(|&id| hash(id).as_bytes().cmp(hex)).ok()?;
                (self.sample(ids[place]).by_id_name() == name).then_some(Node::Sample(ids[place]))
            }
        }
    }

    /// The `place`-th entry of a folder. Places of entries that are not shown give none, and so does the end; use
    /// [`View::len`] to tell them apart.
    pub fn entry(&self, dir: DirId, place: usize) -> Option<(Cow<'_, [u8]>, Node)> {
        match &self.dir(dir).listing {
            Listing::Own(part) => {
                let id = *self.tree.part(part).get(place)?;
                Some((Cow::Borrowed(self.tree.catalogue.name(id)), Node::Sample(id)))
            }
            Listing::Places(places) => {
                let place = *places.get(place)?;
                let node = self.tree.node_at(place);
                self.shows(node).then(|| (self.tree.name_at(place), node))
            }
            Listing::ById(ids) => {
                let id = *ids.get(place)?;
                Some((Cow::Owned(self.sample(id).by_id_name()), Node::Sample(id)))
            }
        }
    }

    /// How many places a folder has.
    pub fn len(&self, dir: DirId) -> usize {
        match &self.dir(dir).listing {
            Listing::Own(part) => part.len(),
            Listing::Places(places) => places.len(),
            Listing::ById(ids) => ids.len(),
        }
    }

    /// Every entry of a folder in order.
    pub fn entries(&self, dir: DirId) -> impl Iterator<Item = (Cow<'_, [u8]>, Node)> {
        (0..self.len(dir)).filter_map(move |place| self.entry(dir, place))
    }

    /// The node at a path of the view.
    pub fn resolve(&self, path: &[u8]) -> Option<Node> {
        let mut node = Node::Dir(DirId::ROOT);
        for part in path.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
            let Node::Dir(dir) = node else { return None };
            node = self.lookup(dir, part)?;
        }
        Some(node)
    }

    /// The class folder in which a sample is shown, and under which name; none where the rules hide it or it is gone.
    pub fn place_of(&self, id: u32) -> Option<(DirId, Cow<'_, [u8]>)> {
        let (sample, assigned) = (self.sample(id), self.tree.assigned.get(id as usize)?);
        if assigned.reason == Reason::Hidden || !sample.is_present() {
            return None;
        }
        let router = self.router();
        let inner = match router.layout() {
            Layout::Flat => b"",
            Layout::Preserve => sample.folder(),
            Layout::ByPack => sample.pack(),
        };
        let folder = router.folders().get(usize::from(assigned.folder))?;
        let parts = folder.as_bytes().split(|&b| b == b'/').chain(inner.split(|&b| b == b'/'));
        let number = parts.filter(|part| !part.is_empty()).fold(ROOT, ino::of_folder);
        let dir = self.dir_by_ino(number)?;
        let is_it = |name: &[u8]| self.lookup(dir, name) == Some(Node::Sample(id));
        if is_it(self.tree.catalogue.name(id)) {
            return Some((dir, Cow::Borrowed(self.tree.catalogue.name(id))));
        }
        let mut made = untaken(sample.name(), sample.hash, self.tree.catalogue.ino(id));
        // Else a name that only a file named to look like it makes necessary.
        let made = made.find(|name| is_it(name)).map(Cow::Owned);
        let any = || self.entries(dir).find(|(_, node)| *node == Node::Sample(id)).map(|(name, _)| name);
        made.or_else(any).map(|name| (dir, name))
    }

    /// Every sample placed in a folder of the rules, in path order.
    pub fn placed_in(&self, folder: FolderId) -> impl Iterator<Item = SampleRef<'_>> {
        let samples = self.tree.catalogue.samples();
        let here = move |assigned: &Assigned| assigned.folder == folder && assigned.reason != Reason::Hidden;
        samples.iter().zip(&self.tree.assigned).filter_map(move |(s, a)| (here(a) && s.is_present()).then_some(s))
    }
}

impl Tree {
    /// A part of `placed`.
    pub fn part(&self, part: &std::ops::Range<u32>) -> &[u32] {
        self.placed.get(part.start as usize..part.end as usize).unwrap_or_default()
    }

    pub fn node_at(&self, place: Place) -> Node {
        place.get().map_or_else(|entry| self.entries[entry].node, Node::Sample)
    }

    pub fn name_at(&self, place: Place) -> Cow<'_, [u8]> {
        let entry = match place.get() {
            Ok(id) => return Cow::Borrowed(self.catalogue.name(id)),
            Err(entry) => &self.entries[entry],
        };
        match (entry.name, entry.node) {
            (Name::Kept { start, len }, _) => Cow::Borrowed(self.names.get(start, len)),
            (Name::Own, Node::Dir(dir)) => Cow::Borrowed(&self.dirs[dir.0 as usize].name),
            (Name::Own, Node::Sample(id)) => Cow::Borrowed(self.catalogue.name(id)),
            (Name::Own, Node::Generated(file)) => Cow::Owned(file.name(&self.router).into_bytes()),
        }
    }
}

/// A sum that tells what went into it, and in which order.
pub(super) fn mix(sum: u64, value: u64) -> u64 {
    sum.rotate_left(5) ^ value.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
