//! Finds what people said, and what the model heard there.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use super::Lesson;
use crate::archive::{ArchiveRoot, ContentHash};
use crate::classify::{Ensemble, ModelError};
use crate::index::{Analyses, Analysis, Listener, Reading, Status};
use crate::rules::Router;
use crate::store::Override;
use crate::view::{Catalogue, SampleRef};

/// What there is to learn from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gathered {
    /// One an override, ordered by content hash.
    pub lessons: Vec<Lesson>,
    /// Overrides that name a folder that says nothing of the sound.
    pub no_label: usize,
    /// Overrides whose sound is not there, could not be heard, or has changed.
    pub unheard: usize,
    /// XXH3 (64 bits, hexadecimal) of the pairs of content hash and label, ordered by hash.
    pub hash: String,
}

/// Where overrides and what was heard are found.
pub struct Sources<'a> {
    /// What people said.
    pub overrides: &'a HashMap<ContentHash, Override>,
    /// The samples.
    pub catalogue: &'a Catalogue,
    /// The rules that say what a word means.
    pub router: &'a Router,
    /// The originals, for what has to be heard again.
    pub root: &'a ArchiveRoot,
    /// The models; the leading one learns.
    pub ensemble: &'a Arc<Ensemble>,
    /// What is known of a content; only needs to know what is quickly told.
    pub known: &'a (dyn Fn(&ContentHash) -> Option<Analysis> + Sync),
    /// Told of each override that was looked at, from any thread.
    pub tell: &'a (dyn Fn() + Sync),
}

enum Found {
    Lesson(Lesson),
    NoLabel,
    Unheard,
}

impl Sources<'_> {
    /// Looks at every override. Contents whose embedding is not known are heard from the originals.
    ///
    /// # Errors
    /// [`ModelError`] where the model does not run.
    pub fn gather(&self) -> Result<Gathered, ModelError> {
        let mut said: Vec<(&ContentHash, &Override)> = self.overrides.iter().collect();
        said.sort_by(|a, b| a.0.cmp(b.0));
        // What is wrong with the model is said once, here.
        self.ensemble.leading().session()?;
        let alone = Arc::new(Ensemble::from(self.ensemble.leading().clone()));
        let samples = self.samples();
        let found: Vec<Found> = said
            .par_iter()
            .map_init(
                || None,
                |listener, (hash, said)| {
                    let found = self.look(hash, said, samples.get(*hash).copied(), listener, &alone);
                    (self.tell)();
                    found
                },
            )
            .collect();
        let mut gathered = Gathered::default();
        let mut digest = Xxh3::new();
        for ((hash, said), found) in said.iter().zip(found) {
            match found {
                Found::Lesson(lesson) => gathered.lessons.push(lesson),
                Found::NoLabel => gathered.no_label += 1,
                Found::Unheard => gathered.unheard += 1,
            }
            // A hexadecimal digest has no blank and a label no line feed.
            digest.update(format!("{} {}\n", hash.to_hex(), said.label).as_bytes());
        }
        gathered.hash = format!("{:016x}", digest.digest());
        Ok(gathered)
    }

    /// The first sample by path of each content that was spoken of; one that is there before one that is missing.
    fn samples(&self) -> HashMap<ContentHash, SampleRef<'_>> {
        let mut samples: HashMap<ContentHash, SampleRef<'_>> = HashMap::new();
        for sample in self.catalogue.samples().iter() {
            let Some(hash) = sample.hash.filter(|hash| self.overrides.contains_key(hash)) else { continue };
            let known = samples.entry(hash).or_insert(sample);
            if !known.is_present() && sample.is_present() {
                *known = sample;
            }
        }
        samples
    }

    fn look(
        &self,
        hash: &ContentHash,
        said: &Override,
        sample: Option<SampleRef<'_>>,
        listener: &mut Option<Listener>,
        ensemble: &Arc<Ensemble>,
    ) -> Found {
        let Some(meant) = self.router.fine_labels_meant(&said.label) else { return Found::NoLabel };
        let Some(sample) = sample else { return Found::Unheard };
        let known = (self.known)(hash).filter(|known| known.embedding.is_some() || known.status != Status::Ok);
        let heard = known.or_else(|| {
            let heard = hear(self.root, sample, hash, listener, ensemble);
            heard.inspect_err(|error| log::info!("{}: {error}", self.root.absolute(sample.path).display())).ok()
        });
        match heard {
            Some(Analysis { logits, embedding: Some(embedding), .. }) => {
                Found::Lesson(Lesson { logits, embedding: *embedding, meant, pack: sample.pack().to_vec() })
            }
            _ => Found::Unheard,
        }
    }
}

/// What the model hears in a sample, if its content is still the one that was spoken of.
fn hear(
    root: &ArchiveRoot,
    sample: SampleRef<'_>,
    hash: &ContentHash,
    listener: &mut Option<Listener>,
    ensemble: &Arc<Ensemble>,
) -> io::Result<Analysis> {
    let reading = Reading::new(root, sample.path, hash.algorithm())?;
    if reading.hash != *hash {
        return Err(io::Error::other("the file has changed since something was said of it"));
    }
    let heard = reading.complete(Analyses::unheard(ensemble), listener, ensemble)?;
    heard.get(0).cloned().ok_or_else(|| io::Error::other("nothing was heard"))
}
