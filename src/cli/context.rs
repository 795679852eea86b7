//! What most commands need: archive, store, model.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Failure, Global, output};
use crate::archive::{ArchiveRoot, HashAlgorithm, real_path};
use crate::classify::{Backend, Ensemble, places};
use crate::config::Config;
use crate::rules::{FirstRules, Rules, RulesError, Vocabulary};
use crate::store::{self, OpenOptions, Store};

/// The models and what belongs to them.
pub struct Ear {
    /// What config.yml says.
    pub config: Config,
    /// What listens.
    pub ensemble: Arc<Ensemble>,
    /// The labels rules may speak of.
    pub vocabulary: Vocabulary,
}

impl Ear {
    /// Reads config.yml and the models.
    pub fn new(global: &Global) -> Result<Self, Failure> {
        Self::of(Self::config(global)?)
    }

    /// The same without calibrations: one that does not belong to its model is no reason not to fit another.
    pub fn uncalibrated(global: &Global) -> Result<Self, Failure> {
        let mut config = Self::config(global)?;
        config.ensemble = config.ensemble.uncalibrated();
        Self::of(config)
    }

    /// Reads config.yml.
    pub fn config(global: &Global) -> Result<Config, Failure> {
        let config = Self::quiet_config(global)?;
        if !config.ignored.is_empty() {
            let path = global.config.as_deref().unwrap_or(Path::new("config.yml")).display();
            let ignored: Vec<&str> = config.ignored.iter().map(|ignored| &ignored.key[..]).collect();
            output::tell(format_args!(
                "{path}: these keys mean nothing to drumfs: {} (`drumfs validate --config {path}` says what takes their \
                 place)",
                ignored.join(", ")
            ));
        }
        Ok(config)
    }

    /// The same, and nothing is said of keys that mean nothing.
    pub fn quiet_config(global: &Global) -> Result<Config, Failure> {
        Ok(global.config.as_deref().map(Config::read).transpose()?.unwrap_or_default())
    }

    fn of(config: Config) -> Result<Self, Failure> {
        let ensemble = Ensemble::open(&config.ensemble)?;
        let labels = ensemble.labels();
        let canonical =
            labels.names().iter().enumerate().map(|(index, name)| (name.as_str(), labels.collected_under(index)));
        let vocabulary = Vocabulary::new(labels.names().iter().cloned(), canonical)?;
        let ear = Self { config, ensemble: Arc::new(ensemble), vocabulary };
        if let Some(text) = ear.first_rules() {
            Rules::parse(&text, &ear.vocabulary).map_err(|RulesError { message, hint, .. }| {
                let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                format!("config.yml: its rules (target_labels, misc, thresholds) can't be used: {message}{hint}")
            })?;
        }
        Ok(ear)
    }

    /// The rules that hold where none were ever saved; none where config.yml says nothing of them.
    pub fn first_rules(&self) -> Option<String> {
        let first = &self.config.first_rules;
        (*first != FirstRules::default()).then(|| Rules::first(&self.vocabulary, first))
    }

    /// The rules of a file; where there is no file, those that hold where none were ever saved.
    pub fn rules(&self, file: Option<&Path>) -> Result<Rules, Failure> {
        let Some(path) = file else {
            let first = self.first_rules();
            return Ok(first.map_or_else(
                || Ok(Rules::defaults(&self.vocabulary)),
                |text| Rules::parse(&text, &self.vocabulary),
            )?);
        };
        let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Rules::parse_bytes(&text, &self.vocabulary).map_err(|error| format!("{}: {error}", path.display()))?)
    }

    /// Starts the backend and proves that it runs every model.
    pub fn start(&self) -> Result<String, Failure> {
        let backend = Backend::start(self.config.onnxruntime.as_deref())?;
        self.ensemble.check()?;
        Ok(backend.describe())
    }

    /// How contents are named.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.config.hash_algorithm
    }

    /// How many files are heard at a time: as asked, as configured, or one for each core.
    pub fn threads(&self, asked: Option<usize>) -> usize {
        asked.or(self.config.threads).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }
}

/// Where the store of an archive is.
pub fn store_folder(global: &Global, config: &Config, archive: &ArchiveRoot) -> Result<PathBuf, Failure> {
    let folder = match global.store.clone().or_else(|| config.store.clone()) {
        Some(folder) => folder,
        None => store::default_folder(archive.path())?,
    };
    let folder = std::path::absolute(folder)?;
    if real_path(&folder).starts_with(archive.path()) {
        return Err(format!(
            "the store {} would lie inside the archive, which is never written: give another folder with --store",
            folder.display()
        )
        .into());
    }
    Ok(folder)
}

/// Opens the store of an archive.
pub fn open_store(folder: PathBuf, archive: &ArchiveRoot, repair: bool, purpose: &str) -> Result<Arc<Store>, Failure> {
    // What the database makes later is this user's alone, too, whatever the shell says.
    places::keep_private();
    let options = OpenOptions { folder, archive: archive.path().to_owned(), repair, purpose: purpose.to_owned() };
    let opened = options.open()?;
    if let Some(notice) = opened.notice {
        output::tell(format_args!("drumfs: {notice}"));
    }
    Ok(Arc::new(opened.store))
}

/// An error where the flag is set, for work that leaves nothing behind when it is given up.
pub fn go_on(stop: &AtomicBool) -> io::Result<()> {
    match stop.load(Ordering::Relaxed) {
        true => Err(io::Error::other("stopped; nothing was written")),
        false => Ok(()),
    }
}

/// A flag that Ctrl-C and SIGTERM set. The second one ends the process at once.
pub fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))?;
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}
