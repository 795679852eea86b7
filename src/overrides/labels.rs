//! Which labels a person may give.

use super::LineError;
use crate::rules::{Router, Vocabulary, did_you_mean};

/// The labels that an override may name: those of the model, the canonical ones, and the folders of the rules.
#[derive(Debug, Clone)]
pub struct Labels<'a>(Vec<&'a str>);

impl<'a> Labels<'a> {
    /// The labels of a model, and the folders of the rules in force.
    pub fn new(vocabulary: &'a Vocabulary, router: &'a Router) -> Self {
        let folders = router.folders().iter().map(|folder| &folder[..]);
        Self::of(vocabulary.labels().iter().map(String::as_str).chain(folders))
    }

    /// Any labels, each once, in the order in which they are named to a person.
    pub fn of(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all: Vec<&str> = Vec::new();
        for name in names {
            if !all.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                all.push(name);
            }
        }
        Self(all)
    }

    /// All of them: the model's first, in its order, then canonical ones, then folders.
    pub fn all(&self) -> &[&'a str] {
        &self.0
    }

    /// A label in its usual spelling, whatever its case here.
    ///
    /// # Errors
    /// [`LineError::UnknownLabel`], with what may be meant.
    pub fn known(&self, label: &str) -> Result<&'a str, LineError> {
        let known = || self.0.iter().copied();
        let found = known().find(|known| *known == label).or_else(|| known().find(|k| k.eq_ignore_ascii_case(label)));
        found.ok_or_else(|| {
            let hint = match did_you_mean(label, known()) {
                Some(hint) => format!("; {hint}"),
                None => format!("; there are {}, and any folder that a route of rules.yml leads to", self.0.join(", ")),
            };
            LineError::UnknownLabel { label: crate::rules::shown(label), hint }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_known_whatever_their_case_and_a_misspelt_one_is_guessed() {
        let labels = Labels::of(["Kick", "Snare", "Kick/808", "kick", "Snare"]);
        assert_eq!(labels.known("kick/808"), Ok("Kick/808"));
        assert_eq!(labels.known("Snar").unwrap_err().to_string(), "unknown label `Snar`; did you mean `Snare`?");
        let far = labels.known("Gong").unwrap_err().to_string();
        assert!(far.starts_with("unknown label `Gong`; there are Kick, Snare, Kick/808, and any folder"), "{far}");
    }
}
