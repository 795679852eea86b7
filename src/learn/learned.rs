//! `learned.json`: what was learnt, beside the store, and what was in force before it.
//!
//! The one in force is `learned.json`; those before are `learned.json.1`, `learned.json.2` and so on, the highest number
//! the newest. Each is written whole to another name, synced and renamed, so that a crash leaves the old one or the new
//! one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Effect;
use crate::classify::Head;

/// The name of the one in force.
const NAME: &str = "learned.json";

/// How many earlier ones are kept.
pub const KEPT: usize = 9;

/// No file that is worth reading is longer, in bytes.
const MAX_LEN: u64 = 64 << 20;

/// A learned.json that can't be read, written or used.
#[derive(Debug, Error)]
pub enum LearnedError {
    /// The system failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Not what drumfs writes.
    #[error("{path} is damaged ({reason}) and is not used: take it back with `drumfs learn ARCHIVE --undo`")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Learnt for another model.
    #[error(
        "{path} was learnt for the model `{found}`, the model in use is `{expected}`: it is not used. Learn again with \
         `drumfs learn ARCHIVE`, or take it back with --undo"
    )]
    OtherModel {
        /// The file.
        path: PathBuf,
        /// The model in use.
        expected: String,
        /// The model it names.
        found: String,
    },
    /// Learnt with another label order.
    #[error(
        "{path} was learnt with labels of checksum {found}, the labels in use have {expected}: it is not used. Learn \
         again with `drumfs learn ARCHIVE`, or take it back with --undo"
    )]
    OtherLabels {
        /// The file.
        path: PathBuf,
        /// Checksum of the labels in use.
        expected: String,
        /// The checksum it names.
        found: String,
    },
}

/// What a last layer was fitted to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FittedOn {
    /// Overrides that were learnt from.
    pub overrides: usize,
    /// Overrides that name a folder that says nothing of the sound.
    pub no_label: usize,
    /// Overrides whose sound is not there, could not be heard, or has changed.
    pub unheard: usize,
    /// Packs they are from.
    pub packs: usize,
    /// Sounds of what shipped with the model.
    pub shipped: usize,
    /// XXH3 (64 bits, hexadecimal) of the pairs of content hash and label, in the order of the hashes.
    pub hash: String,
}

/// What was learnt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Id of the model whose last layer it changes.
    pub model: String,
    /// Checksum of the labels.
    pub labels_checksum: String,
    /// When, in seconds since 1970.
    pub at: f64,
    /// What it was fitted to.
    pub fitted_on: FittedOn,
    /// What that did, on sounds that were not learnt from.
    pub effect: Effect,
    /// The change of the last layer.
    pub change: Head,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> LearnedError + '_ {
    move |source| LearnedError::Io { path: path.to_owned(), source }
}

impl Learned {
    /// The file in a store's folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(NAME)
    }

    /// Reads the one in force in a store's folder; none where nothing was learnt.
    ///
    /// # Errors
    /// [`LearnedError::Io`] and [`LearnedError::Damaged`].
    pub fn read(folder: &Path) -> Result<Option<Self>, LearnedError> {
        let path = folder.join(NAME);
        let text = match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > MAX_LEN => {
                return Err(LearnedError::Damaged { path, reason: format!("it has {} bytes", metadata.len()) });
            }
            Ok(_) => fs::read(&path).map_err(io_error(&path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(&path)(error)),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| LearnedError::Damaged { path, reason: error.to_string() })
    }

    /// The change it makes, for a model with this id, these labels, so many outputs and such an embedding. `folder` is
    /// where it was read.
    ///
    /// # Errors
    /// [`LearnedError`] where it is for another.
    pub fn head_for(
        self,
        folder: &Path,
        model: &str,
        labels_checksum: &str,
        outputs: usize,
        size: usize,
    ) -> Result<Head, LearnedError> {
        let path = folder.join(NAME);
        if self.model != model {
            return Err(LearnedError::OtherModel { path, expected: model.to_owned(), found: self.model });
        }
        if self.labels_checksum != labels_checksum {
            let (expected, found) = (labels_checksum.to_owned(), self.labels_checksum);
            return Err(LearnedError::OtherLabels { path, expected, found });
        }
        if !self.change.fits(outputs, size) {
            let reason = format!("its change is not one of {outputs} outputs and {size} values");
            return Err(LearnedError::Damaged { path, reason });
        }
        Ok(self.change)
    }

    /// Puts this in force; what was in force before is kept to go back to.
    ///
    /// # Errors
    /// [`LearnedError::Io`]; what was in force stays so.
    pub fn adopt(&self, folder: &Path) -> Result<(), LearnedError> {
        let path = folder.join(NAME);
        let text = serde_json::to_vec(self).map_err(|error| io_error(&path)(error.into()))?;
        let earlier = earlier(folder)?;
        let fresh = folder.join(format!("{NAME}.new"));
        write_synced(&fresh, &text).map_err(io_error(&fresh))?;
        let kept = folder.join(format!("{NAME}.{}", earlier.last().map_or(1, |(number, _)| number.saturating_add(1))));
        match fs::hard_link(&path, &kept) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A file system without links: a copy does, too.
            Err(_) => {
                let before = fs::read(&path).map_err(io_error(&path))?;
                write_synced(&kept, &before).map_err(io_error(&kept))?;
            }
        }
        fs::rename(&fresh, &path).map_err(io_error(&path))?;
        sync_folder(folder)?;
        let too_many = (earlier.len() + 1).saturating_sub(KEPT);
        for (_, old) in earlier.into_iter().take(too_many) {
            fs::remove_file(&old).map_err(io_error(&old))?;
        }
        Ok(())
    }

    /// Takes back what is in force: what was before it is in force again, or what shipped. False where nothing was.
    ///
    /// # Errors
    /// [`LearnedError::Io`].
    pub fn undo(folder: &Path) -> Result<bool, LearnedError> {
        let path = folder.join(NAME);
        let current = match fs::read(&path) {
            Ok(current) => current,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_error(&path)(error)),
        };
        for (_, before) in earlier(folder)?.into_iter().rev() {
            // A crash between keeping and replacing leaves the same twice.
            let same = fs::read(&before).map_err(io_error(&before))? == current;
            fs::rename(&before, &path).map_err(io_error(&path))?;
            // Renaming a link over another name of the same file does nothing: the spare name is taken away.
            match fs::remove_file(&before) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&before)(error)),
                _ => {}
            }
            if !same {
                sync_folder(folder)?;
                return Ok(true);
            }
        }
        fs::remove_file(&path).map_err(io_error(&path))?;
        sync_folder(folder)?;
        Ok(true)
    }

    /// How many earlier ones there are to go back to.
    ///
    /// # Errors
    /// [`LearnedError::Io`].
    pub fn earlier(folder: &Path) -> Result<usize, LearnedError> {
        earlier(folder).map(|earlier| earlier.len())
    }
}

/// Those kept, by number, the oldest first.
fn earlier(folder: &Path) -> Result<Vec<(u64, PathBuf)>, LearnedError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error(folder))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(NAME)?.strip_prefix('.')?.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    found.sort();
    Ok(found)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> Result<(), LearnedError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Figures, HeldOut};

    fn learned(bias: f32) -> Learned {
        let figures = Figures { sounds: 30, top1_canonical: 0.5, top1_fine: 0.4, nll: 1.0, ece_canonical: 0.1 };
        Learned {
            model: "m".to_owned(),
            labels_checksum: "abc".to_owned(),
            at: 1.5,
            fitted_on: FittedOn { overrides: 30, no_label: 0, unheard: 0, packs: 2, shipped: 10, hash: String::new() },
            effect: Effect {
                held_out: HeldOut::Pack { packs: 2, groups: 2 },
                before: figures,
                after: figures,
                after_same_packs: Some(figures),
                shipped_before: figures,
                shipped_after: figures,
            },
            change: Head::from_change(&[0.25, bias], 1, 1),
        }
    }

    #[test]
    fn what_was_learnt_is_taken_back_step_by_step_until_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        assert_eq!(Learned::read(at).unwrap(), None);
        assert!(!Learned::undo(at).unwrap());
        for bias in [1.0, 2.0, 3.0] {
            learned(bias).adopt(at).unwrap();
            assert_eq!(Learned::read(at).unwrap(), Some(learned(bias)));
        }
        assert_eq!(Learned::earlier(at).unwrap(), 2);
        for bias in [2.0, 1.0] {
            assert!(Learned::undo(at).unwrap());
            assert_eq!(Learned::read(at).unwrap(), Some(learned(bias)));
        }
        assert!(Learned::undo(at).unwrap());
        assert!(!Learned::undo(at).unwrap());
        assert_eq!(fs::read_dir(at).unwrap().count(), 0, "nothing is left lying about");
    }

    #[test]
    fn nine_earlier_ones_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        (0..15).for_each(|bias| learned(bias as f32).adopt(folder.path()).unwrap());
        assert_eq!(Learned::earlier(folder.path()).unwrap(), KEPT);
        assert!((0..10).all(|_| Learned::undo(folder.path()).unwrap()));
        assert!(!Learned::undo(folder.path()).unwrap());
    }

    /// A crash after the one in force was kept and before it was replaced.
    #[test]
    fn a_crash_in_the_middle_costs_nothing_and_undoes_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        learned(1.0).adopt(at).unwrap();
        learned(2.0).adopt(at).unwrap();
        fs::hard_link(at.join(NAME), at.join("learned.json.2")).unwrap();
        fs::write(at.join("learned.json.new"), "half").unwrap();
        assert_eq!(Learned::read(at).unwrap(), Some(learned(2.0)));
        assert!(Learned::undo(at).unwrap());
        assert_eq!(Learned::read(at).unwrap(), Some(learned(1.0)));
    }

    #[test]
    fn one_of_another_model_label_order_or_shape_is_refused_with_what_to_do() {
        let at = Path::new("/store");
        assert!(learned(1.0).head_for(at, "m", "abc", 1, 1).is_ok());
        let refused = |model, labels, size| learned(1.0).head_for(at, model, labels, 1, size).unwrap_err().to_string();
        assert!(refused("other", "abc", 1).contains("learnt for the model `m`, the model in use is `other`"));
        assert!(refused("m", "x", 1).contains("checksum abc"));
        assert!(refused("m", "abc", 2).contains("damaged"));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), "{\"model\":").unwrap();
        assert!(Learned::read(folder.path()).unwrap_err().to_string().contains("--undo"));
        assert!(Learned::undo(folder.path()).unwrap(), "also what can't be read is taken back");
    }
}
