//! Records for commands that pass them on one by one: of an archive's store, of the mount that has it, or of a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::context::Ear;
use super::known::From;
use super::{Failure, Global, output, rules};
use crate::archive::ArchiveRoot;
use crate::exchange::catalogue::Source;
use crate::exchange::{BadLines, IndexReader, Order, Record};
use crate::index::join;
use crate::learn;
use crate::rules::Router;
use crate::store::{self, Store};

/// Where records come from.
pub enum Origin {
    /// The store of an archive.
    Store(Arc<Store>, ArchiveRoot),
    /// The index.jsonl of the mount that has an archive's store.
    Mount(PathBuf, ArchiveRoot),
    /// An index.jsonl.
    Index(PathBuf),
}

impl Origin {
    /// What is known of an archive.
    pub fn of_archive(global: &Global, ear: &Ear, root: ArchiveRoot) -> Result<Self, Failure> {
        Ok(match From::open(global, ear, &root)?.0 {
            From::Store(store) => Self::Store(store, root),
            From::Mount(mount) => Self::Mount(mount.join("_control/index.jsonl"), root),
        })
    }

    /// A file, an archive, or the folder of an archive's store.
    pub fn of_path(global: &Global, ear: &Ear, path: &Path) -> Result<Self, Failure> {
        if !path.is_dir() {
            return Ok(Self::Index(path.to_owned()));
        }
        match store::archive_of(path).filter(|_| path.join("db").exists()) {
            Some(archive) => {
                let there = Global { store: Some(path.to_owned()), ..global.clone() };
                Self::of_archive(&there, ear, ArchiveRoot::new(&archive)?)
            }
            None => Self::of_archive(global, ear, ArchiveRoot::new(path)?),
        }
    }

    /// The archive that it is of, where that is known.
    pub fn archive(&self) -> Option<&ArchiveRoot> {
        match self {
            Self::Store(_, root) | Self::Mount(_, root) => Some(root),
            Self::Index(_) => None,
        }
    }

    /// The labels in the order of the probabilities, as far as anything tells; those of the model in use where nothing
    /// does.
    pub fn labels(&self, ear: &Ear) -> Result<Vec<String>, Failure> {
        let own = ear.ensemble.labels().names();
        match self {
            Self::Store(..) => Ok(own.to_vec()),
            Self::Mount(path, _) | Self::Index(path) => Ok(labels_of(path, own)?.unwrap_or_else(|| own.to_vec())),
        }
    }

    /// Gives every record to `each`. Lines that are none go to `bad`.
    pub fn each(
        &self,
        ear: &Ear,
        bad: &mut BadLines,
        each: &mut dyn FnMut(Record) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self {
            Self::Mount(path, _) | Self::Index(path) => {
                for record in bad.passing(IndexReader::open(path)?) {
                    each(record?)?;
                }
                Ok(())
            }
            Self::Store(store, root) => {
                let (ensemble, refused) = learn::in_force(&ear.ensemble, store.folder());
                refused.iter().for_each(output::tell);
                let rules = rules::rules(ear, store.rules()?.active.as_deref(), None)?;
                let source = Source {
                    store,
                    ensemble: &ensemble,
                    router: &Router::new(&rules, &ear.vocabulary),
                    overrides: &join::load_overrides(store)?,
                    root: root.path(),
                };
                source.read(each)
            }
        }
    }
}

/// The labels of an index in the order of its probabilities, told from its lines; none where they do not tell.
pub fn labels_of(path: &Path, expected: &[String]) -> Result<Option<Vec<String>>, Failure> {
    let mut order = Order::default();
    let mut bad = BadLines::default();
    for record in bad.passing(IndexReader::open(path)?).take(crate::exchange::order::LOOKED_AT) {
        order.look(&record?);
        if order.is_complete() {
            break;
        }
    }
    Ok(order.labels(expected))
}
