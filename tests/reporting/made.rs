//! Catalogues that were never heard: samples with the probabilities a test wants.

use std::collections::HashMap;
use std::sync::Arc;

use drumfs::archive::{ContentHash, HashAlgorithm};
use drumfs::audio::Attributes;
use drumfs::index::Status;
use drumfs::rules::{Router, Rules, Vocabulary};
use drumfs::store::Override;
use drumfs::view::{Catalogue, Sample};

/// Samples, rules and corrections.
pub struct Made {
    pub samples: Vec<Sample>,
    pub rules: String,
    pub overrides: HashMap<ContentHash, Override>,
    vocabulary: Vocabulary,
    labels: Vec<String>,
}

impl Made {
    pub fn new() -> Self {
        let vocabulary = Vocabulary::drums();
        let labels = vocabulary.fine().to_vec();
        Self { samples: Vec::new(), rules: String::new(), overrides: HashMap::new(), vocabulary, labels }
    }

    /// Adds a sample whose content is its number, with some probabilities; the rest is spread over the other labels.
    pub fn add(&mut self, path: &str, probabilities: &[(&str, f32)]) -> ContentHash {
        let hash = ContentHash::of(HashAlgorithm::Xxh3, &self.samples.len().to_le_bytes());
        let given: f32 = probabilities.iter().map(|(_, p)| p).sum();
        let rest = (1.0 - given) / (self.labels.len() - probabilities.len()) as f32;
        let of = |label: &String| probabilities.iter().find(|(name, _)| name == label).map_or(rest, |(_, p)| *p);
        self.samples.push(Sample {
            path: path.as_bytes().into(),
            size: 100,
            mtime_ns: 0,
            hash: Some(hash),
            status: Status::Ok,
            error: None,
            attributes: Some(Attributes {
                duration_sec: 0.5,
                rms_dbfs: -20.0,
                centroid_hz: 1000.0,
                rolloff_hz: 2000.0,
                sample_rate: 44_100,
                channels: 1,
                codec: "pcm_s16le".into(),
            }),
            probs: self.labels.iter().map(of).collect(),
            gate: None,
        });
        hash
    }

    pub fn say(&mut self, hash: ContentHash, label: &str) {
        self.overrides.insert(hash, Override { label: label.to_owned(), note: None, at: 1.0 });
    }

    pub fn catalogue(&self) -> Catalogue {
        let mut samples: Vec<Arc<Sample>> = self.samples.iter().cloned().map(Arc::new).collect();
        samples.sort_by(|a, b| a.path.cmp(&b.path));
        Catalogue::new(samples)
    }

    pub fn router(&self) -> Router {
        Router::new(&Rules::parse(&self.rules, &self.vocabulary).unwrap(), &self.vocabulary)
    }

    pub fn labels(&self) -> &[String] {
        &self.labels
    }
}
