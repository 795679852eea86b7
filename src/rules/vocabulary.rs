//! The labels rules may speak of: a model's fine labels, and where each is collected by default.

use thiserror::Error;

use super::parse::check_folder;

/// The label of everything that has no class folder.
pub(super) const MISC: &str = "misc";

/// A model's fine labels in the order of its outputs, and the canonical label each is collected under by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    labels: Vec<String>,
    fine: usize,
    canonical_of: Vec<u8>,
    misc: u8,
}

/// A label list that rules can't work with.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum VocabularyError {
    /// More labels than a label index can count.
    #[error("{0} labels: at most 250 are supported")]
    TooMany(usize),
    /// The model has no labels.
    #[error("the model has no labels")]
    Empty,
    /// A label occurs twice, ignoring case.
    #[error("label `{0}` occurs twice")]
    Duplicate(String),
    /// A label can't be the name of a folder.
    #[error("label `{label}` can't be the name of a folder: {reason}")]
    BadName {
        /// The label.
        label: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The canonical mapping speaks of a fine label that the model does not have.
    #[error("the canonical mapping names `{0}`, which is not one of the model's labels")]
    UnknownFine(String),
}

impl Vocabulary {
    /// A vocabulary of `fine` labels in the order of the model's outputs. `canonical` holds pairs of a fine label and
    /// the canonical label it is collected under; a fine label without a pair is collected under `misc`.
    ///
    /// # Errors
    /// Where a label can't be a folder's name, occurs twice, or `canonical` names an unknown fine label.
    pub fn new<F, C, A, B>(fine: F, canonical: C) -> Result<Self, VocabularyError>
    where
        F: IntoIterator,
        F::Item: Into<String>,
        C: IntoIterator<Item = (A, B)>,
        A: AsRef<str>,
        B: AsRef<str>,
    {
        let mut labels: Vec<String> = Vec::new();
        for label in fine {
            let label = label.into();
            check_label(&label)?;
            if labels.iter().any(|seen| seen.eq_ignore_ascii_case(&label)) {
                return Err(VocabularyError::Duplicate(label));
            }
            labels.push(label);
        }
        if labels.is_empty() {
            return Err(VocabularyError::Empty);
        }
        let fine = labels.len();
        let mut collected: Vec<Option<usize>> = vec![None; fine];
        for (from, to) in canonical {
            let (from, to) = (from.as_ref(), to.as_ref());
            check_label(to)?;
            let Some(slot) =
                labels.iter().take(fine).position(|label| label == from).and_then(|i| collected.get_mut(i))
            else {
                return Err(VocabularyError::UnknownFine(from.to_owned()));
            };
            *slot = Some(index_or_push(&mut labels, to));
        }
        let misc = index_or_push(&mut labels, MISC);
        if labels.len() > 250 {
            return Err(VocabularyError::TooMany(labels.len()));
        }
        let canonical_of = collected.into_iter().map(|label| label.unwrap_or(misc) as u8).collect();
        Ok(Self { labels, fine, canonical_of, misc: misc as u8 })
    }

    /// The 34 drum classes drumfs is built around and their default mapping: China, Splash, Cymbal and Sizzle to
    /// Crash; Rim to Snare; Timbale and Timpani to Tom; the six classes of a kit to themselves; the rest to `misc`.
    pub fn drums() -> Self {
        const FINE: [&str; 34] = [
            "Crash",
            "Hihat",
            "Kick",
            "Ride",
            "Snare",
            "Tom",
            "China",
            "Splash",
            "Cymbal",
            "Sizzle",
            "Rim",
            "Timbale",
            "Timpani",
            "Agogo",
            "Bell",
            "Bongo",
            "Cabasa",
            "Clap",
            "Clave",
            "Conga",
            "Cowbell",
            "Cuica",
            "FX",
            "Guiro",
            "Maracas",
            "Metal",
            "Noise",
            "Perc",
            "Reverse",
            "Shaker",
            "Tambourine",
            "Triangle",
            "Vibraslap",
            "Vox",
        ];
        // Positions in FINE, then misc as 34.
        const CANONICAL: [u8; 34] = [
            0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 4, 5, 5, 34, 34, 34, 34, 34, 34, 34, 34, 34, 34, 34, 34, 34, 34, 34, 34, 34,
            34, 34, 34, 34,
        ];
        Self {
            labels: FINE.iter().copied().chain([MISC]).map(str::to_owned).collect(),
            fine: FINE.len(),
            canonical_of: CANONICAL.to_vec(),
            misc: FINE.len() as u8,
        }
    }

    /// The fine labels, in the order of the model's outputs.
    pub fn fine(&self) -> &[String] {
        self.labels.get(..self.fine).unwrap_or(&self.labels)
    }

    /// Every label: the fine ones first, in order, then canonical labels that are no fine label, `misc` among them.
    /// [`super::Verdict::label`] is an index into this list.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// For each fine label, the index in [`Vocabulary::labels`] of the label it is collected under by default.
    pub fn canonical_of(&self) -> &[u8] {
        &self.canonical_of
    }

    /// The index of `misc` in [`Vocabulary::labels`].
    pub fn misc(&self) -> u8 {
        self.misc
    }

    /// The index of a label, ignoring the case of A to Z.
    pub fn index_of(&self, label: &str) -> Option<u8> {
        self.labels.iter().position(|known| known.eq_ignore_ascii_case(label)).map(|index| index as u8)
    }

    /// The canonical labels but `misc`, in label order: the default `target_labels`.
    pub fn default_targets(&self) -> Vec<String> {
        (0..=u8::MAX)
            .zip(&self.labels)
            .filter(|(index, _)| *index != self.misc && self.canonical_of.contains(index))
            .map(|(_, label)| label.clone())
            .collect()
    }
}

fn check_label(label: &str) -> Result<(), VocabularyError> {
    let reason = if label.contains('/') { Err("it contains `/`".to_owned()) } else { check_folder(label) };
    reason.map_err(|reason| VocabularyError::BadName { label: label.to_owned(), reason })
}

fn index_or_push(labels: &mut Vec<String>, label: &str) -> usize {
    labels.iter().position(|known| known.eq_ignore_ascii_case(label)).unwrap_or_else(|| {
        labels.push(label.to_owned());
        labels.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drum_classes_are_what_their_mapping_builds() {
        let drums = Vocabulary::drums();
        let pairs: Vec<(String, String)> = drums
            .fine()
            .iter()
            .zip(drums.canonical_of())
            .map(|(fine, to)| (fine.clone(), drums.labels()[usize::from(*to)].clone()))
            .collect();
        assert_eq!(Vocabulary::new(drums.fine().to_vec(), pairs), Ok(drums.clone()));
        assert_eq!(drums.default_targets(), ["Crash", "Hihat", "Kick", "Ride", "Snare", "Tom"]);
        let canonical = |label: &str| {
            let fine = drums.index_of(label).unwrap();
            drums.labels()[usize::from(drums.canonical_of()[usize::from(fine)])].as_str()
        };
        for label in ["China", "Splash", "Cymbal", "Sizzle"] {
            assert_eq!(canonical(label), "Crash");
        }
        assert_eq!((canonical("Rim"), canonical("Timpani"), canonical("Timbale")), ("Snare", "Tom", "Tom"));
        assert_eq!((canonical("Kick"), canonical("Clap"), canonical("Vox")), ("Kick", "misc", "misc"));
    }

    #[test]
    fn labels_that_can_not_be_folders_are_refused() {
        let none: [(&str, &str); 0] = [];
        assert_eq!(Vocabulary::new(Vec::<String>::new(), none), Err(VocabularyError::Empty));
        assert_eq!(Vocabulary::new(["Kick", "kick"], none), Err(VocabularyError::Duplicate("kick".into())));
        for bad in ["", "a/b", "..", "_x", "a\nb"] {
            assert!(matches!(Vocabulary::new([bad], none), Err(VocabularyError::BadName { .. })), "{bad:?}");
        }
        assert_eq!(Vocabulary::new(["Kick"], [("Snare", "Kick")]), Err(VocabularyError::UnknownFine("Snare".into())));
        let many = (0..300).map(|i| format!("L{i}"));
        assert_eq!(Vocabulary::new(many, none), Err(VocabularyError::TooMany(301)));
    }
}
