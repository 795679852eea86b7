//! What other programs heard: models of indexes that were imported, which the models in use stand in for as soon as they
//! have heard a content themselves.

use std::collections::HashMap;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};
use sled::Tree;

use super::{Store, StoreError};
use crate::archive::ContentHash;
use crate::index::Analysis;

/// A model whose word came with an index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedModel {
    /// Its id in the store: `imported:` and what the index calls it.
    pub id: String,
    /// Its labels, in the order of its logits.
    pub labels: Vec<String>,
    /// When it was imported last, in seconds since 1970.
    pub at: f64,
}

impl ImportedModel {
    /// What the id of every model begins with that an index was imported from; no model that listens has such an id.
    pub const PREFIX: &str = "imported:";

    /// The model that an index calls `name`.
    pub fn new(name: &str, labels: Vec<String>, at: f64) -> Self {
        Self { id: format!("{}{name}", Self::PREFIX), labels, at }
    }
}

/// Every imported model, the newest first.
pub(super) fn all(meta: &Tree) -> sled::Result<Vec<ImportedModel>> {
    let mut models: Vec<ImportedModel> = Vec::new();
    for item in meta.scan_prefix(ImportedModel::PREFIX) {
        let (key, value) = item?;
        match serde_json::from_slice(&value) {
            Ok(model) => models.push(model),
            // Only what was imported from it is lost, until it is imported again.
            Err(error) => log::warn!("the store's word on {}: {error}", String::from_utf8_lossy(&key)),
        }
    }
    models.sort_by(|a, b| b.at.total_cmp(&a.at));
    Ok(models)
}

impl Store {
    /// The models of imported indexes, the newest first.
    pub fn imported_models(&self) -> Vec<ImportedModel> {
        self.imports.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether any index was imported.
    pub fn has_imports(&self) -> bool {
        !self.imports.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Takes note of a model whose word is being imported. It has to be before anything of its is recorded under
    /// [`ImportedModel::id`].
    ///
    /// # Errors
    /// Where the store can't be written.
    pub fn put_imported_model(&self, model: &ImportedModel) -> Result<(), StoreError> {
        let value = serde_json::to_vec(model).unwrap_or_default();
        let trees = self.trees()?;
        trees.meta.insert(&model.id, value).map_err(|error| self.failed(error))?;
        let models = all(&trees.meta).map_err(|error| self.failed(error))?;
        *self.imports.write().unwrap_or_else(PoisonError::into_inner) = models;
        self.flush()
    }

    /// Whether anything was ever heard of a content, by any model, or imported.
    ///
    /// # Errors
    /// Where the store can't be read.
    pub fn is_heard(&self, hash: &ContentHash) -> Result<bool, StoreError> {
        self.is_heard_by_key(&hash.key())
    }

    /// The same of [`ContentHash::key`].
    ///
    /// # Errors
    /// Where the store can't be read.
    pub fn is_heard_by_key(&self, key: &[u8]) -> Result<bool, StoreError> {
        let trees = self.trees()?;
        let first = trees.analyses.scan_prefix(key).next();
        first.transpose().map(|entry| entry.is_some()).map_err(|error| self.failed(error))
    }

    /// What an imported index says of a content, as logits of `labels`: the word of the newest import. Labels that its
    /// model does not have are next to impossible.
    ///
    /// # Errors
    /// Where the store can't be read.
    pub fn imported(&self, hash: &ContentHash, labels: &[String]) -> Result<Option<Analysis>, StoreError> {
        Ok(self.imported_by(hash, labels)?.map(|(_, analysis)| analysis))
    }

    /// The same, with the id of the model that said it.
    ///
    /// # Errors
    /// Where the store can't be read.
    pub fn imported_by(&self, hash: &ContentHash, labels: &[String]) -> Result<Option<(String, Analysis)>, StoreError> {
        for model in self.imports.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let Some(mut analysis) = self.analysis(hash, &model.id)? else { continue };
            if model.labels != labels && !analysis.logits.is_empty() {
                let known: HashMap<&str, f32> =
                    model.labels.iter().map(String::as_str).zip(analysis.logits.iter().copied()).collect();
                let logit = |label: &String| known.get(&label[..]).copied().unwrap_or(LEAST);
                analysis.logits = labels.iter().map(logit).collect();
            }
            return Ok(Some((model.id.clone(), analysis)));
        }
        Ok(None)
    }
}

/// The logit of a probability of next to nothing: ln 1e-12.
const LEAST: f32 = -27.631_021;
