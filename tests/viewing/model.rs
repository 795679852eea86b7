//! The reference: what is where, worked out one sample at a time with maps, and a view written out whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use drumfs::archive::ContentHash;
use drumfs::rules::{Layout, Router, Rules, Subject, Verdict, Vocabulary};
use drumfs::store::Override;
use drumfs::view::{Catalogue, DirId, Ino, Node, Sample, View, ViewInput};

pub static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(Vocabulary::drums);

/// A moment that many seconds after 1970.
pub fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// What a view is made from here.
#[derive(Clone)]
pub struct Input {
    pub samples: Vec<Arc<Sample>>,
    pub rules: String,
    pub overrides: HashMap<ContentHash, Override>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}{:?}", self.rules, self.overrides)?;
        for sample in &self.samples {
            writeln!(f, "{:?} {:?} {:?}", String::from_utf8_lossy(&sample.path), sample.hash, sample.status)?;
        }
        Ok(())
    }
}

impl Input {
    /// The rules, compiled.
    pub fn router(&self) -> Router {
        let rules = Rules::parse(&self.rules, &VOCABULARY).unwrap_or_else(|error| panic!("{error}\n{}", self.rules));
        Router::new(&rules, &VOCABULARY)
    }

    /// The view of these samples, all at once.
    pub fn view(&self, previous: Option<&View>, seconds: u64) -> View {
        self.view_of(Catalogue::new(self.samples.clone()), previous, seconds)
    }

    /// The view of a catalogue.
    pub fn view_of(&self, catalogue: Catalogue, previous: Option<&View>, seconds: u64) -> View {
        ViewInput {
            catalogue: Arc::new(catalogue),
            router: Arc::new(self.router()),
            labels: VOCABULARY.fine().to_vec().into(),
            overrides: &self.overrides,
            previous,
            now: at(seconds),
            epoch: seconds,
            rules_error: None,
        }
        .build()
    }

    fn verdict(&self, router: &Router, sample: &Sample) -> Verdict {
        let said = sample.hash.and_then(|hash| self.overrides.get(&hash));
        router.route(&Subject {
            path: &sample.path,
            size: sample.size,
            status: sample.status,
            attributes: sample.attributes.as_ref(),
            probs: &sample.probs,
            override_label: said.map(|said| &said.label[..]),
            gate_refused: false,
            gate_probability: None,
            read_name: None,
        })
    }

    /// The samples that show, each with its folder of the rules, in path order.
    pub fn shown(&self) -> Vec<(Arc<Sample>, String)> {
        let router = self.router();
        let mut contents = BTreeSet::new();
        let mut shown = Vec::new();
        for sample in self.samples.iter().filter(|sample| sample.is_present()) {
            let first = sample.hash.is_none_or(|hash| contents.insert(hash));
            let verdict = self.verdict(&router, sample);
            if !verdict.is_hidden() && (first || !router.hide_duplicates()) {
                shown.push((Arc::clone(sample), router.folders()[usize::from(verdict.folder)].clone()));
            }
        }
        shown
    }

    /// The folder of the view that each sample that shows is in.
    pub fn places(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let layout = self.router().layout();
        let place = |(sample, folder): (Arc<Sample>, String)| {
            let mut parts: Vec<&[u8]> = sample.path.split(|&byte| byte == b'/').collect();
            parts.pop();
            match layout {
                Layout::Flat => parts.clear(),
                Layout::ByPack => parts.truncate(1),
                Layout::Preserve => {}
            }
            parts.insert(0, folder.as_bytes());
            (sample.path.to_vec(), parts.join(&b'/'))
        };
        self.shown().into_iter().map(place).collect()
    }
}

/// What an entry is, in words that mean the same in every view.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Folder,
    Sample(Vec<u8>),
    Made(String),
}

/// One folder of a view: names in order, each with its inode number and what it is.
pub type Entries = Vec<(Vec<u8>, Ino, What)>;

/// Every folder of a view by path.
pub fn written_out(view: &View) -> BTreeMap<Vec<u8>, Entries> {
    let mut folders = BTreeMap::new();
    let mut todo = vec![DirId::ROOT];
    while let Some(dir) = todo.pop() {
        let entry = |(name, node): (std::borrow::Cow<'_, [u8]>, Node)| {
            let what = match node {
                Node::Dir(inner) => {
                    todo.push(inner);
                    What::Folder
                }
                Node::Sample(id) => What::Sample(view.sample(id).path.to_vec()),
                Node::Generated(file) => What::Made(file.path(view.router()).into_owned()),
            };
            (name.into_owned(), view.ino(node), what)
        };
        let entries: Entries = view.entries(dir).map(entry).collect();
        assert!(folders.insert(view.dir_path(dir), entries).is_none(), "two folders have one path");
    }
    folders
}
