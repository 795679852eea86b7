//! What should be in a tree: the folders, samples and files of a view. Pure.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;

use crate::archive::ArchiveRoot;
use crate::rules::FolderId;
use crate::view::{DirId, Generated, Node, View, tagged};

/// Folders of the view that are none of a tree: `_by-id` and `_uncertain` show samples a second time, and `_control` is a
/// mount's alone.
const MOUNT_ONLY: [&[u8]; 3] = [b"_control", b"_by-id", b"_uncertain"];

/// Where the originals of a catalogue's samples are.
#[derive(Debug)]
pub struct Originals {
    archives: Vec<ArchiveRoot>,
    /// The archive of each sample, by its id; empty where there is but one.
    of: Vec<u16>,
}

impl Originals {
    /// All of them in one archive.
    pub fn in_one(archive: ArchiveRoot) -> Self {
        Self { archives: vec![archive], of: Vec::new() }
    }

    /// In several: `of` has the place of each sample's archive, by the sample's id. None where that leads nowhere.
    pub fn in_several(archives: Vec<ArchiveRoot>, of: Vec<u16>) -> Option<Self> {
        let fits = !archives.is_empty() && of.iter().all(|&place| usize::from(place) < archives.len());
        fits.then_some(Self { archives, of })
    }

    /// None at all, of no samples.
    pub(super) fn nowhere() -> Self {
        Self { archives: Vec::new(), of: Vec::new() }
    }

    /// The archives.
    pub fn archives(&self) -> &[ArchiveRoot] {
        &self.archives
    }

    pub(super) fn archive(&self, sample: u32) -> &ArchiveRoot {
        let place = self.of.get(sample as usize).copied().unwrap_or(0);
        // There are no samples where there is no archive, and all places lead somewhere.
        &self.archives[usize::from(place)]
    }
}

/// A folder of the tree.
#[derive(Debug)]
pub(super) struct Folder {
    dir: DirId,
    /// Its path in the tree.
    pub path: Box<[u8]>,
}

/// A sample of the tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// Its folder, as a place in [`Plan::folders`].
    pub folder: u32,
    place: u32,
    /// Its id in the catalogue.
    pub sample: u32,
}

/// What should be in a tree.
#[derive(Debug)]
pub(super) struct Plan<'v> {
    view: &'v View,
    originals: &'v Originals,
    /// Ordered by path, so that each comes after the one it lies in. The first is the tree itself.
    pub folders: Vec<Folder>,
    /// Ordered by folder and name.
    pub items: Vec<Item>,
    /// The files that the view makes, with their paths.
    pub made: Vec<(String, Generated)>,
    /// Names of samples that the file system would take for another's, by folder and place.
    renamed: HashMap<(u32, u32), Box<[u8]>>,
}

impl<'v> Plan<'v> {
    /// The tree of a view. On a file system that takes `a` and `A` for the same name, of samples with such names the
    /// first keeps its own and the others get the first digits of their content's hash, as those with equal names do.
    pub fn new(view: &'v View, originals: &'v Originals, ignores_case: bool) -> Self {
        let mut folders: Vec<Folder> = view
            .dirs()
            .map(|dir| Folder { dir, path: view.dir_path(dir).into() })
            .filter(|folder| {
                let top = folder.path.split(|&byte| byte == b'/').next().unwrap_or_default();
                !MOUNT_ONLY.contains(&top)
            })
            .collect();
        folders.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let router = view.router();
        let (closed, open): (Vec<FolderId>, Vec<FolderId>) =
            (0..=FolderId::MAX).take(router.folders().len()).partition(|folder| router.is_closed(*folder));
        // Folders that are not used are none of the tree, unless another lies in them.
        let is_unused = |path: &[u8]| {
            let path = path.strip_prefix(b"_manifests/").unwrap_or(path);
            let leads_to = |folder: &FolderId| {
                let rest = router.folder_name(*folder).as_bytes().strip_prefix(path);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            };
            closed.iter().any(leads_to) && !open.iter().any(leads_to)
        };
        folders.retain(|folder| closed.is_empty() || !is_unused(&folder.path));
        let (mut items, mut made) = (Vec::new(), Vec::new());
        for (number, folder) in (0u32..).zip(&folders) {
            for (place, (_, node)) in (0..view.len(folder.dir)).filter_map(|p| Some((p, view.entry(folder.dir, p)?))) {
                match node {
                    Node::Sample(sample) => items.push(Item { folder: number, place: place as u32, sample }),
                    Node::Generated(Generated::Manifest(folder)) if router.is_closed(folder) => {}
                    Node::Generated(Generated::RulesError | Generated::NeverIndex) | Node::Dir(_) => {}
                    Node::Generated(file) => made.push((file.path(view.router()).into_owned(), file)),
                }
            }
        }
        let mut plan = Self { view, originals, folders, items, made, renamed: HashMap::new() };
        if ignores_case {
            plan.tell_apart();
        }
        plan
    }

    pub fn view(&self) -> &'v View {
        self.view
    }

    /// How many samples have another name than in the view.
    pub fn renamed(&self) -> usize {
        self.renamed.len()
    }

    fn tell_apart(&mut self) {
        let fold = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
        let folders: Vec<String> = self.folders.iter().map(|folder| fold(&folder.path)).collect();
        let folder_of = |item: &Item| folders.get(item.folder as usize).map_or("", |folder| folder);
        let mut taken: HashSet<String> = folders.iter().cloned().collect();
        let mut renamed = HashMap::new();
        for item in &self.items {
            let name = self.name(item);
            let mut is_free = |name: &[u8]| taken.insert(format!("{}/{}", folder_of(item), fold(name)));
            if is_free(&name) {
                continue;
            }
            let path = format!("{:016x}", self.view.ino(Node::Sample(item.sample)));
            let content = self.view.sample(item.sample).hash.map_or_else(|| path.clone(), |hash| hash.to_hex());
            let tags = [content.get(..8).unwrap_or(&content), &path];
            let made = tags.iter().map(|tag| tagged(&name, tag)).find(|made| is_free(made));
            renamed.insert((item.folder, item.place), made.unwrap_or_else(|| tagged(&name, &path)).into());
        }
        self.renamed = renamed;
        let mut items = std::mem::take(&mut self.items);
        items.sort_by(|a, b| a.folder.cmp(&b.folder).then_with(|| self.name(a).cmp(&self.name(b))));
        self.items = items;
    }

    /// The name of a sample in its folder.
    pub fn name(&self, item: &Item) -> Cow<'_, [u8]> {
        if !self.renamed.is_empty()
            && let Some(name) = self.renamed.get(&(item.folder, item.place))
        {
            return Cow::Borrowed(name);
        }
        let entry = self.folders.get(item.folder as usize).and_then(|f| self.view.entry(f.dir, item.place as usize));
        entry.map(|(name, _)| name).unwrap_or_default()
    }

    /// The path of an item's folder in the tree.
    pub fn folder(&self, item: &Item) -> &[u8] {
        self.folders.get(item.folder as usize).map_or(&[], |folder| &folder.path)
    }

    /// The path of a sample in the tree.
    pub fn path(&self, item: &Item) -> Vec<u8> {
        match self.folder(item) {
            b"" => self.name(item).into_owned(),
            folder => [folder, b"/", &self.name(item)].concat(),
        }
    }

    /// The archive of a sample's original.
    pub fn archive(&self, item: &Item) -> &'v ArchiveRoot {
        self.originals.archive(item.sample)
    }

    /// The path of a sample's original in its archive.
    pub fn relative(&self, item: &Item) -> &'v [u8] {
        self.view.sample(item.sample).path
    }

    /// The absolute path of a sample's original.
    pub fn from(&self, item: &Item) -> Vec<u8> {
        self.archive(item).absolute(self.relative(item)).as_os_str().as_bytes().to_vec()
    }
}
