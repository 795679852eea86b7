//! status.json: how the mount is getting on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::keeper::Shared;
use super::passthrough::Reading;
use crate::classify::Calibration;

/// What does not change while mounted.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The archive's root.
    pub archive: PathBuf,
    /// The store's folder.
    pub store: PathBuf,
    /// What runs the model.
    pub backend: String,
    /// The model's id.
    pub model: String,
    /// The version of the features.
    pub features: String,
    /// The rules that hold where none were ever saved; none where that is the template.
    pub first_rules: Option<String>,
    /// Who says so where a sample is moved; none where that is not known.
    pub user: Option<String>,
}

/// How indexing is getting on.
#[derive(Debug, Clone, Default)]
pub struct IndexProgress {
    /// When the running pass began; none while idle.
    pub started: Option<Instant>,
    /// Files heard in this pass, or the last.
    pub done: u64,
    /// Files to be heard in it.
    pub total: u64,
    /// Those that could not be classified.
    pub failed: u64,
    /// Rate of the last pass, in files a second.
    pub last_rate: f64,
    /// What a person should know: the last error of a pass, or that the archive seems to be absent.
    pub last_error: Option<String>,
    /// Why a calibration, or what was learnt, was not taken up, until one is.
    pub judging_error: Option<String>,
    /// Whole passes that have ended since the mount began.
    pub passes: u64,
}

impl IndexProgress {
    /// A pass begins.
    pub fn begin(&mut self) {
        *self = Self {
            started: Some(Instant::now()),
            last_error: self.last_error.take(),
            judging_error: self.judging_error.take(),
            passes: self.passes,
            ..Self::default()
        };
    }

    /// A pass has ended.
    pub fn end(&mut self, error: Option<String>) {
        self.last_rate = self.rate();
        self.started = None;
        self.last_error = error;
        self.passes += 1;
    }

    /// Files a second.
    pub fn rate(&self) -> f64 {
        match self.started {
            Some(started) => self.done as f64 / started.elapsed().max(Duration::from_millis(1)).as_secs_f64(),
            None => self.last_rate,
        }
    }
}

#[derive(Serialize)]
struct Status<'a> {
    version: &'static str,
    epoch: u64,
    samples: u64,
    failed: u64,
    missing: u64,
    hidden: u64,
    folders: &'a BTreeMap<String, u64>,
    overrides: usize,
    indexing: Indexing,
    rules_error: Option<&'a str>,
    last_error: Option<String>,
    calibration: Vec<InForce<'a>>,
    /// Whether something that was learnt from corrections is in force.
    learned: bool,
    view_build_ms: f64,
    view_build: Build,
    /// The last change of the view.
    view_change: Change,
    /// How the kernel gets the bytes of large originals.
    passthrough: &'static str,
    backend: &'a str,
    model: &'a str,
    features: &'a str,
    archive: String,
    store: String,
}

/// A calibration that is in force.
#[derive(Serialize)]
struct InForce<'a> {
    model: &'a str,
    /// None where the compiled-in one is.
    file: Option<String>,
    temperature: f32,
    /// How many labels have numbers of their own.
    platt: usize,
    /// Of what it was fitted on.
    data_hash: Option<&'a str>,
}

impl<'a> From<&'a Calibration> for InForce<'a> {
    fn from(calibration: &'a Calibration) -> Self {
        Self {
            model: &calibration.model,
            file: calibration.file.as_ref().map(|path| path.display().to_string()),
            temperature: calibration.temperature,
            platt: calibration.platt.len(),
            data_hash: calibration.data.as_ref().map(|data| &data.hash[..]),
        }
    }
}

/// How long the parts of a change of the view took that are not the making of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChangeTimes {
    /// Parsing the rules; only where they were saved.
    pub parse: Duration,
    /// Writing down what must survive; only where rules were saved.
    pub store: Duration,
    /// Telling the kernel which names changed.
    pub notify: Duration,
}

#[derive(Serialize)]
struct Change {
    parse_ms: f64,
    store_ms: f64,
    notify_ms: f64,
}

#[derive(Serialize)]
struct Indexing {
    state: &'static str,
    done: u64,
    total: u64,
    failed: u64,
    files_per_sec: f64,
    passes: u64,
}

#[derive(Serialize)]
struct Build {
    route_ms: f64,
    tree_ms: f64,
    count_ms: f64,
}

fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

/// The text of status.json.
pub fn text(shared: &Shared, reading: Reading) -> Vec<u8> {
    let view = shared.view();
    let progress = shared.progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let numbers = view.numbers();
    let change = *shared.change.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let ensemble = shared.ensemble.load();
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        epoch: view.epoch,
        samples: numbers.samples,
        failed: numbers.failed,
        missing: numbers.missing,
        hidden: numbers.hidden,
        folders: &numbers.folders,
        overrides: shared.overrides.read().unwrap_or_else(std::sync::PoisonError::into_inner).len(),
        indexing: Indexing {
            state: if progress.started.is_some() { "running" } else { "idle" },
            done: progress.done,
            total: progress.total,
            failed: progress.failed,
            files_per_sec: (progress.rate() * 10.0).round() / 10.0,
            passes: progress.passes,
        },
        rules_error: view.rules_error.as_deref(),
        last_error: progress.judging_error.or(progress.last_error),
        calibration: ensemble.members().iter().map(|member| member.classifier().calibration().into()).collect(),
        learned: ensemble.members().iter().any(|member| member.head().is_some()),
        view_build_ms: ms(view.times.total()),
        view_build: Build {
            route_ms: ms(view.times.route),
            tree_ms: ms(view.times.tree),
            count_ms: ms(view.times.count),
        },
        view_change: Change { parse_ms: ms(change.parse), store_ms: ms(change.store), notify_ms: ms(change.notify) },
        passthrough: reading.name(),
        backend: &shared.facts.backend,
        model: &shared.facts.model,
        features: &shared.facts.features,
        archive: shared.facts.archive.display().to_string(),
        store: shared.facts.store.display().to_string(),
    };
    // Strings and numbers can't fail to be written.
    let mut text = serde_json::to_vec_pretty(&status).unwrap_or_default();
    text.push(b'\n');
    text
}
