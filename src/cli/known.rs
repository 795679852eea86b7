//! What is known of an archive, for commands that read: from its store, or from its mount while that owns the store.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::context::{self, Ear};
use super::{Failure, Global, output};
use crate::archive::{ArchiveRoot, ContentHash};
use crate::classify::Ensemble;
use crate::duplicates;
use crate::exchange::IndexReader;
use crate::index::join;
use crate::learn;
use crate::mount::platform;
use crate::overrides::{Recorder, Wanted};
use crate::rules::Router;
use crate::store::{MOUNTED, Override, Store, StoreError};
use crate::view::{Builder, Catalogue, SampleRef, ino};

/// Samples, what people said, and the rules in force.
pub struct Known {
    /// The samples.
    pub catalogue: Catalogue,
    /// What people said.
    pub overrides: HashMap<ContentHash, Override>,
    /// The text of the rules in force; none where none was ever saved.
    pub rules: Option<String>,
    /// Where this is from.
    pub from: From,
    /// The folder of the store, whoever has it.
    pub folder: PathBuf,
}

/// Where it is known from.
pub enum From {
    /// The store, which nobody else has.
    Store(Arc<Store>),
    /// The mount that has the store.
    Mount(PathBuf),
}

impl Known {
    /// Reads what is known of an archive.
    pub fn read(global: &Global, ear: &Ear, root: &ArchiveRoot) -> Result<Self, Failure> {
        let (from, folder) = From::open(global, ear, root)?;
        match from {
            From::Mount(mount) => Self::read_mount(mount, folder, &mut |_, _| true),
            From::Store(store) => {
                Self::read_store(ear, store, folder, |store, ensemble| Ok(crate::index::load(store, ensemble)?))
            }
        }
    }

    /// The same with those samples alone that lines may speak of, and one with a content in any case, which tells what
    /// names the contents: memory does not grow with the archive.
    pub fn read_wanted(global: &Global, ear: &Ear, root: &ArchiveRoot, wanted: &Wanted) -> Result<Self, Failure> {
        let (from, folder) = From::open(global, ear, root)?;
        let mut first = true;
        let mut wants = |path: &[u8], hash: Option<&ContentHash>| {
            let is_first = first && hash.is_some();
            first &= !is_first;
            is_first || wanted.may_be(path, hash)
        };
        match from {
            From::Mount(mount) => Self::read_mount(mount, folder, &mut wants),
            From::Store(store) => Self::read_store(ear, store, folder, |store, ensemble| {
                let mut samples = Builder::default();
                for item in store.samples() {
                    let (path, entry) = item?;
                    if wants(&path, entry.hash.as_ref()) {
                        let heard =
                            entry.hash.as_ref().map(|hash| join::analyses(store, hash, ensemble)).transpose()?;
                        samples.add([join(&path, &entry, heard.as_ref(), ensemble)]);
                    }
                }
                Ok(samples.finish())
            }),
        }
    }

    fn read_store(
        ear: &Ear,
        store: Arc<Store>,
        folder: PathBuf,
        samples: impl FnOnce(&Store, &Ensemble) -> Result<Catalogue, Failure>,
    ) -> Result<Self, Failure> {
        let (ensemble, refused) = learn::in_force(&ear.ensemble, &folder);
        refused.iter().for_each(output::tell);
        Ok(Self {
            catalogue: samples(&store, &ensemble)?,
            overrides: join::load_overrides(&store)?,
            rules: store.rules()?.active.or_else(|| ear.first_rules()),
            from: From::Store(store),
            folder,
        })
    }

    /// The rules in force, ready to route by.
    pub fn router(&self, ear: &Ear) -> Result<Router, Failure> {
        Ok(Router::new(&super::rules::rules(ear, self.rules.as_deref(), None)?, &ear.vocabulary))
    }

    /// The mount this is from, where it is from one.
    pub fn mount(&self) -> Option<&Path> {
        match &self.from {
            From::Store(_) => None,
            From::Mount(mount) => Some(mount),
        }
    }

    /// Reads what a mount shows: the file system is the interface.
    fn read_mount(
        mount: PathBuf,
        folder: PathBuf,
        wants: &mut dyn FnMut(&[u8], Option<&ContentHash>) -> bool,
    ) -> Result<Self, Failure> {
        let control = mount.join("_control");
        let mut samples = Builder::default();
        let mut overrides = HashMap::new();
        for record in IndexReader::open(&control.join("index.jsonl"))? {
            let sample = record?.sample;
            if wants(&sample.path, sample.hash.as_ref()) {
                samples.add([sample]);
            }
        }
        for line in BufReader::new(fs::File::open(control.join("overrides.jsonl"))?).split(b'\n') {
            let said: Said = serde_json::from_slice(&line?)?;
            let hash = ContentHash::from_hex(said.hash_algorithm.parse()?, &said.hash)?;
            overrides.insert(hash, Override { label: said.label, note: said.note, at: said.at });
        }
        // A draft that was refused is shown in place of what is in force; nothing can be said of the latter then.
        if mount.join("RULES-ERROR.txt").exists() {
            return Err(format!(
                "the last save of {} was refused: mend it first (see {})",
                control.join("rules.yml").display(),
                mount.join("RULES-ERROR.txt").display()
            )
            .into());
        }
        let rules = fs::read_to_string(control.join("rules.yml"))?;
        let from = From::Mount(mount);
        let catalogue = samples.finish().with_alike(duplicates::read_alike(&folder));
        Ok(Self { catalogue, overrides, rules: Some(rules), from, folder })
    }

    /// A sample by its path in the archive, relative or absolute, or by a file of a mount, whose inode number tells it.
    pub fn find<'a>(&'a self, root: &ArchiveRoot, path: &Path) -> Option<SampleRef<'a>> {
        let relative = path.strip_prefix(root.path()).unwrap_or(path);
        if let Some((_, sample)) = self.catalogue.by_path(relative.as_os_str().as_bytes()) {
            return Some(sample);
        }
        let real = path.canonicalize().ok()?;
        if let Ok(relative) = real.strip_prefix(root.path()) {
            return self.catalogue.by_path(relative.as_os_str().as_bytes()).map(|(_, sample)| sample);
        }
        let number = fs::metadata(&real).ok()?.ino();
        self.catalogue.by_ino(ino::kept(number).unwrap_or(number)).map(|(_, sample)| sample)
    }
}

impl From {
    /// The store of an archive, or the mount that has it; and the store's folder.
    pub fn open(global: &Global, ear: &Ear, root: &ArchiveRoot) -> Result<(Self, PathBuf), Failure> {
        let folder = context::store_folder(global, &ear.config, root)?;
        // A store that can't be looked at is no reason to hear everything again.
        let is_there = folder.join("db").try_exists();
        if !is_there.map_err(|error| format!("the store {} can't be read: {error}", folder.display()))? {
            // A mount whose store is elsewhere knows, too, where nobody names another.
            let named = global.store.is_some() || ear.config.store.is_some();
            return match mounts().find(|shown| !named && shown.archive == root.path()) {
                Some(shown) => Ok((Self::Mount(shown.at), shown.store)),
                None => Err(format!(
                    "nothing is known of {} yet: run `drumfs index {}` first",
                    root.path().display(),
                    root.path().display()
                )
                .into()),
            };
        }
        // Whoever asks a mount first need not wait for its store to be let go.
        let was_mounted = fs::read_to_string(folder.join("owner")).is_ok_and(|owner| owner.contains(MOUNTED));
        if was_mounted && let Some(mount) = mount_of(root.path(), &folder) {
            return Ok((Self::Mount(mount), folder));
        }
        match context::open_store(folder.clone(), root, false, "reading") {
            Ok(store) => Ok((Self::Store(store), folder)),
            Err(error) => match error.downcast_ref::<StoreError>() {
                Some(StoreError::InUse { .. }) => match mount_of(root.path(), &folder) {
                    Some(mount) => Ok((Self::Mount(mount), folder)),
                    None => Err(error),
                },
                _ => Err(error),
            },
        }
    }

    /// Where what a person says goes.
    pub fn recorder(&self) -> Recorder {
        match self {
            Self::Store(store) => Recorder::Store(Arc::clone(store)),
            Self::Mount(mount) => Recorder::Mount(mount.clone()),
        }
    }
}

#[derive(serde::Deserialize)]
struct Said {
    hash: String,
    hash_algorithm: String,
    label: String,
    note: Option<String>,
    at: f64,
}

/// What a mount shows.
#[derive(Debug, serde::Deserialize)]
pub struct Shown {
    /// The archive, absolute and without links.
    pub archive: PathBuf,
    /// The store.
    pub store: PathBuf,
    /// Where it is mounted.
    #[serde(skip)]
    pub at: PathBuf,
}

/// The mounts of this user that answer, and what each shows.
pub fn mounts() -> impl Iterator<Item = Shown> {
    platform::own_mounts().into_iter().filter(|mount| mount.mine).filter_map(|mount| {
        let status = fs::read(mount.path.join("_control/status.json")).ok()?;
        let shown: Shown = serde_json::from_slice(&status).ok()?;
        Some(Shown { at: mount.path, ..shown })
    })
}

/// The mount that shows an archive and has this store.
pub fn mount_of(archive: &Path, store: &Path) -> Option<PathBuf> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    mounts().find(|shown| shown.archive == archive && real(&shown.store) == real(store)).map(|shown| shown.at)
}
