//! An archive, an index of it and a tree, in a temporary folder.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use drumfs::rebuild::{self, Link, Narrowed, Originals, RebuildError, Recorded, Report, Undone};
use drumfs::rules::{Layout, Vocabulary};
use drumfs::view::{DirId, Node, View};
use serde_json::json;
use tempfile::TempDir;

/// Where a test works. Samples are known by an index alone, so that no model is asked.
pub struct Place {
    dir: TempDir,
    /// The folder of each sample, by its path in the archive.
    pub labels: BTreeMap<String, String>,
    pub layout: Option<Layout>,
}

impl Place {
    /// An archive of these samples in these folders; each has bytes of its own.
    pub fn of(samples: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut place = Self { dir, labels: BTreeMap::new(), layout: None };
        fs::create_dir(place.archive()).unwrap();
        samples.iter().for_each(|(path, label)| place.add(path, label));
        place
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    pub fn archive(&self) -> PathBuf {
        self.path().join("archive")
    }

    pub fn out(&self) -> PathBuf {
        self.path().join("tree")
    }

    pub fn index(&self) -> PathBuf {
        self.path().join("index.jsonl")
    }

    /// One more sample.
    pub fn add(&mut self, path: &str, label: &str) {
        let file = self.archive().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("the sound of {path}")).unwrap();
        set_mtime(&file, 1_000_000_000 + path.len() as i64);
        self.labels.insert(path.to_owned(), label.to_owned());
    }

    /// Writes the index.
    pub fn write_index(&self) {
        let line = |(path, label): (&String, &String)| {
            let abs_path = self.archive().join(path);
            let record = json!({
                "relative_path": path, "abs_path": abs_path, "hash": format!("{:032x}", hash(path)), "size": 1,
                "mtime": 1.5, "label_top1": label, "conf_top1": 0.9, "assigned_label": label, "assigned_reason": "top1",
            });
            format!("{record}\n")
        };
        fs::write(self.index(), self.labels.iter().map(line).collect::<String>()).unwrap();
    }

    /// The view of the index, and the originals.
    pub fn view(&self) -> (View, Originals) {
        self.write_index();
        let drums = Vocabulary::drums();
        let recorded = Recorded::read(&self.index(), None, drums.fine(), false).unwrap();
        assert_eq!(recorded.bad.count(), 0, "{:?}", recorded.bad.sentences());
        let narrowed = Narrowed { rules: None, layout: self.layout, labels: &[], overrides: &HashMap::new() };
        (recorded.view(&drums, drums.fine().into(), &narrowed).unwrap(), recorded.originals)
    }

    pub fn try_rebuild(&self, link: Link, dry_run: bool) -> Result<Report, RebuildError> {
        let (view, originals) = self.view();
        let out = self.out();
        let options = rebuild::Options {
            out: &out,
            link,
            dry_run,
            index: None,
            cancel: &AtomicBool::new(false),
            planned: &|_| {},
            put: &|_| {},
        };
        rebuild::rebuild(&view, &originals, &options)
    }

    #[track_caller]
    pub fn rebuild(&self, link: Link) -> Report {
        self.try_rebuild(link, false).unwrap()
    }

    #[track_caller]
    pub fn undo(&self) -> Undone {
        rebuild::undo(&self.out(), false, &AtomicBool::new(false)).unwrap().unwrap()
    }

    /// The samples in the tree: their paths, and those of the originals that have the same bytes.
    pub fn tree(&self) -> BTreeMap<String, String> {
        let mut tree = files(&self.out());
        tree.retain(|path, _| !path.starts_with('_'));
        tree.into_iter()
            .map(|(path, bytes)| (path, bytes.strip_prefix("the sound of ").unwrap_or(&bytes).to_owned()))
            .collect()
    }

    /// The samples that the view has: their paths in it, and those of the originals.
    pub fn of_view(&self) -> BTreeMap<String, String> {
        let (view, _) = self.view();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut samples = BTreeMap::new();
        for dir in view.dirs() {
            let path = view.dir_path(dir);
            if path.starts_with(b"_") || dir == DirId::ROOT {
                continue;
            }
            for (name, node) in view.entries(dir) {
                if let Node::Sample(id) = node {
                    samples.insert(format!("{}/{}", text(&path), text(&name)), text(view.sample(id).path));
                }
            }
        }
        samples
    }
}

fn hash(path: &str) -> u64 {
    path.bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

/// Every file below a folder with its bytes; links are followed, and a dead one has none.
pub fn files(folder: &Path) -> BTreeMap<String, String> {
    let text = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
    if !folder.exists() {
        return BTreeMap::new();
    }
    let all = crate::common::snapshot::files_below(folder);
    all.iter().map(|path| (text(path), fs::read_to_string(path).unwrap_or_default())).collect()
}

/// Sets a file's time in seconds since 1970, and 5 ns.
pub fn set_mtime(path: &Path, seconds: i64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(seconds as u64, 5);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// What tells whether a file was touched.
pub fn identity(path: &Path) -> (u64, i64, i64, i64, i64) {
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec())
}

/// The identities of everything below a folder, folders too.
pub fn identities(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, i64, i64, i64)> {
    let all = crate::common::snapshot::snapshot(folder);
    all.into_keys().map(|path| (path.clone(), identity(&folder.join(path)))).collect()
}
