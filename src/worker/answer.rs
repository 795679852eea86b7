//! One line of the list, and the record that answers it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::Line;
use crate::archive::discover::mtime_ns;
use crate::archive::{ArchiveRoot, HashAlgorithm};
use crate::classify::Ensemble;
use crate::index::record::RecordContext;
use crate::index::{Analyses, Listener, Reading, join};
use crate::rules::Router;
use crate::store::SampleEntry;

/// Makes records of files.
pub struct Answerer {
    root: ArchiveRoot,
    ensemble: Arc<Ensemble>,
    router: Router,
    algorithm: HashAlgorithm,
}

impl Answerer {
    /// Of the files below `root`, as `ensemble` hears them and `router` places them.
    pub fn new(root: ArchiveRoot, ensemble: Arc<Ensemble>, router: Router, algorithm: HashAlgorithm) -> Self {
        Self { root, ensemble, router, algorithm }
    }

    /// The record of a line, with its newline. What goes wrong is in the record: this never fails and never panics.
    /// `listener` is this thread's, made where there is none yet.
    pub fn answer(&self, line: &Line, listener: &mut Option<Listener>) -> Vec<u8> {
        let caught = crate::catch_quietly(|| match line {
            Line::File(path) => self.hear(path, listener),
            Line::Refused { shown, why } => self.record(shown, &unread(why.clone()), None),
        });
        caught.unwrap_or_else(|payload| {
            *listener = None;
            self.failed(line, &format!("drumfs panicked: {}", crate::panic_message(payload.as_ref())))
        })
    }

    /// The record of a line that could not be answered.
    pub fn failed(&self, line: &Line, why: &str) -> Vec<u8> {
        self.record(line.path(), &unread(why.to_owned()), None)
    }

    fn hear(&self, path: &[u8], listener: &mut Option<Listener>) -> Vec<u8> {
        let heard = Reading::new(&self.root, path, self.algorithm).and_then(|reading| {
            let Reading { size, mtime_ns, hash, .. } = reading;
            let heard = reading.complete(Analyses::unheard(&self.ensemble), listener, &self.ensemble)?;
            Ok((SampleEntry { size, mtime_ns, hash: Some(hash), unreadable: None, missing: false }, heard))
        });
        match heard {
            Ok((entry, heard)) => self.record(path, &entry, Some(&heard)),
            Err(error) => {
                // As the walk of an indexing pass sees it.
                let found = fs::symlink_metadata(self.root.absolute(path)).ok();
                let entry = SampleEntry {
                    size: found.as_ref().map_or(0, MetadataExt::size),
                    mtime_ns: found.as_ref().map_or(0, mtime_ns),
                    missing: error.kind() == io::ErrorKind::NotFound,
                    ..unread(error.to_string())
                };
                self.record(path, &entry, None)
            }
        }
    }

    fn record(&self, path: &[u8], entry: &SampleEntry, heard: Option<&Analyses>) -> Vec<u8> {
        let sample = join(path, entry, heard, &self.ensemble);
        let verdict = self.router.route(&sample.subject(None));
        let context = RecordContext {
            root: self.root.path(),
            router: &self.router,
            labels: self.ensemble.labels().names(),
            model: self.ensemble.id(),
            features: Some(&self.ensemble.leading().description().features),
        };
        context.line(&sample, &verdict)
    }
}

/// What there is to say of a file that was not read.
fn unread(why: String) -> SampleEntry {
    SampleEntry { size: 0, mtime_ns: 0, hash: None, unreadable: Some(why), missing: false }
}
