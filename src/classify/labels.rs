//! The fine labels in the order of the model's outputs, and the canonical label each is collected under.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

/// The canonical labels: six folders of a kit, and `misc` for everything else. A canonical index counts in this list.
pub const CANONICAL: [&str; 7] = ["Crash", "Hihat", "Kick", "Ride", "Snare", "Tom", "misc"];

/// Index of `misc` in [`CANONICAL`].
pub const MISC: usize = 6;

/// A label list or a mapping that can't be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LabelsError {
    /// Not JSON, or not of the shape that was expected.
    #[error("{what}: {reason}; expected {expected}")]
    Json {
        /// Which of the two files.
        what: &'static str,
        /// What the JSON reader says, with line and column.
        reason: String,
        /// What the file should hold.
        expected: &'static str,
    },
    /// A label is listed twice, or is empty.
    #[error("label_mapping.json: label {index} is `{name}`, which is {problem}")]
    BadLabel {
        /// Position in the list, from 0.
        index: usize,
        /// The label.
        name: String,
        /// `empty` or `listed twice`.
        problem: &'static str,
    },
    /// The mapping names a fine label that the list lacks, and nearly names one that is there.
    #[error("canonical_mapping.json: `{fine}` is not one of the model's labels; did you mean `{meant}`?")]
    UnknownFine {
        /// The label.
        fine: String,
        /// The one that is there.
        meant: String,
    },
    /// The mapping sends a label to something that is not canonical.
    #[error(
        "canonical_mapping.json: `{fine}` goes to `{canonical}`; expected one of {}, or another label of the model (a folder of another name: a route of \
         rules.yml, `- {{fine_label: {fine}, to: {canonical}}}`)",
        CANONICAL.join(", ")
    )]
    UnknownCanonical {
        /// The fine label.
        fine: String,
        /// Where it is sent.
        canonical: String,
    },
}

/// The fine labels of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
    canonical: Vec<usize>,
    /// What labels are collected under that is not canonical, by the place of the label.
    elsewhere: BTreeMap<usize, String>,
    checksum: String,
}

/// `label_mapping.json`, in any of the forms that the older pipeline wrote.
#[derive(Deserialize)]
#[serde(untagged)]
enum List {
    Names(Vec<String>),
    ByName(BTreeMap<String, usize>),
    ByNumber(BTreeMap<String, String>),
}

impl List {
    /// The names in order; none where the numbers are not 0, 1, 2 and so on.
    fn names(self) -> Option<Vec<String>> {
        let mut numbered: Vec<(usize, String)> = match self {
            Self::Names(names) => return Some(names),
            Self::ByName(numbers) => numbers.into_iter().map(|(name, number)| (number, name)).collect(),
            Self::ByNumber(names) => {
                let parsed = names.into_iter().map(|(number, name)| Some((number.trim().parse().ok()?, name)));
                parsed.collect::<Option<_>>()?
            }
        };
        numbered.sort();
        let in_order = numbered.iter().enumerate().all(|(index, (number, _))| index == *number);
        in_order.then(|| numbered.into_iter().map(|(_, name)| name).collect())
    }
}

/// What `label_mapping.json` may hold.
const LIST_FORMS: &str = "a list of names such as [\"Agogo\", \"Bell\"], or an object such as {\"Agogo\": 0, \"Bell\": 1} or {\"0\": \"Agogo\"}";

/// Reads `label_mapping.json`: the names in the order of the model's outputs.
///
/// # Errors
/// [`LabelsError::Json`] where it is none of its forms, [`LabelsError::BadLabel`] where a name is empty or listed twice.
pub fn parse_names(label_mapping: &str) -> Result<Vec<String>, LabelsError> {
    let names = read_names(label_mapping)?;
    for (index, name) in names.iter().enumerate() {
        let problem = if name.trim().is_empty() {
            "empty"
        } else if names.iter().take(index).any(|earlier| earlier == name) {
            "listed twice"
        } else {
            continue;
        };
        return Err(LabelsError::BadLabel { index, name: name.clone(), problem });
    }
    Ok(names)
}

/// The same, whatever the names are.
///
/// # Errors
/// [`LabelsError::Json`].
pub(super) fn read_names(label_mapping: &str) -> Result<Vec<String>, LabelsError> {
    let failed = |reason: String| LabelsError::Json { what: "label_mapping.json", reason, expected: LIST_FORMS };
    // An untagged reader does not say where a mistake is.
    let value: serde_json::Value = serde_json::from_str(label_mapping).map_err(|error| failed(error.to_string()))?;
    let list: List =
        serde_json::from_value(value).map_err(|_| failed("neither a list nor an object of labels".into()))?;
    list.names().ok_or_else(|| failed("the numbers are not 0, 1, 2 and so on".into()))
}

/// `canonical_mapping.json`, in the older pipeline's form or flat.
#[derive(Deserialize)]
#[serde(untagged)]
enum Mapping {
    Nested { model_class_to_canonical: BTreeMap<String, String> },
    Flat(BTreeMap<String, String>),
}

impl Labels {
    /// Reads `label_mapping.json`, as [`parse_names`] does, and `canonical_mapping.json`, an object from fine to
    /// canonical label, bare or under `model_class_to_canonical`. A fine label may also go to another label of the model,
    /// or to itself, as in mappings of the older pipeline: it has a folder where the rules list that label, and is `misc`
    /// elsewhere. A fine label that the object does not name stays itself where it is canonical, else it goes to `misc`.
    /// What it says of labels that the list lacks is passed over, unless one is nearly named.
    ///
    /// # Errors
    /// [`LabelsError`] says which file, and what in it.
    pub fn parse(label_mapping: &str, canonical_mapping: &str) -> Result<Self, LabelsError> {
        let names = parse_names(label_mapping)?;
        let mapping = serde_json::from_str(canonical_mapping).map_err(|error| LabelsError::Json {
            what: "canonical_mapping.json",
            reason: error.to_string(),
            expected: "an object such as {\"China\": \"Crash\"}",
        })?;
        let (Mapping::Nested { model_class_to_canonical: mapping } | Mapping::Flat(mapping)) = mapping;
        let mut canonical: Vec<usize> = names.iter().map(|name| canonical_index(name).unwrap_or(MISC)).collect();
        let mut elsewhere = BTreeMap::new();
        for (fine, to) in mapping {
            let Some(index) = names.iter().position(|name| *name == fine) else {
                // The older pipeline passed such labels over: of a model before, say. Who misspelt one is to know.
                match near(&fine, names.iter().map(String::as_str)) {
                    Some(meant) => return Err(LabelsError::UnknownFine { fine, meant: meant.to_owned() }),
                    None => continue,
                }
            };
            let known = canonical_index(&to);
            if known.is_none() && !names.contains(&to) {
                return Err(LabelsError::UnknownCanonical { fine, canonical: to });
            }
            if let Some(slot) = canonical.get_mut(index) {
                *slot = known.unwrap_or(MISC);
            }
            if known.is_none() {
                elsewhere.insert(index, to);
            }
        }
        let checksum = checksum(&names);
        Ok(Self { names, canonical, elsewhere, checksum })
    }

    /// The names in the order of the model's outputs.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Position of a fine label, by its exact name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// For each fine label the index in [`CANONICAL`] of the label it is collected under.
    pub fn canonical(&self) -> &[usize] {
        &self.canonical
    }

    /// The name of the label that the fine label at `index` is collected under: one of [`CANONICAL`], or another label.
    pub fn collected_under(&self, index: usize) -> &str {
        let canonical = || self.canonical.get(index).and_then(|&canonical| CANONICAL.get(canonical).copied());
        self.elsewhere.get(&index).map(String::as_str).or_else(canonical).unwrap_or("misc")
    }

    /// XXH3 (64 bits, hexadecimal) of the names joined with line feeds: changes with their order.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// Probability of each label of [`CANONICAL`]: the sum over the fine labels collected under it.
    pub fn canonical_probabilities(&self, probabilities: &[f32]) -> [f32; CANONICAL.len()] {
        let mut sums = [0f32; CANONICAL.len()];
        for (probability, canonical) in probabilities.iter().zip(&self.canonical) {
            if let Some(sum) = sums.get_mut(*canonical) {
                *sum += probability;
            }
        }
        sums
    }
}

/// The known name that a name is nearly; none where it is none of them by far.
pub(super) fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |known: &&str| strsim::normalized_damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase());
    known.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|closest| likeness(closest) > 0.6)
}

/// Index in [`CANONICAL`] of a name, whatever its case.
pub fn canonical_index(name: &str) -> Option<usize> {
    CANONICAL.iter().position(|known| known.eq_ignore_ascii_case(name))
}

/// The checksum of a label list, as [`Labels::checksum`] gives it.
pub fn checksum(names: &[String]) -> String {
    format!("{:016x}", xxh3_64(names.join("\n").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_canonical_mapping_mean_the_same() {
        let list = r#"["China", "Kick", "Vox"]"#;
        let flat = Labels::parse(list, r#"{"China": "Crash", "Kick": "Kick"}"#).unwrap();
        let nested =
            Labels::parse(list, r#"{"model_class_to_canonical": {"China": "Crash", "Kick": "Kick", "Vox": "Misc"}}"#)
                .unwrap();
        assert_eq!(flat, nested);
        assert_eq!(flat.canonical(), [0, 2, MISC]);
        assert_eq!(flat.canonical_probabilities(&[0.5, 0.2, 0.3]), [0.5, 0.0, 0.2, 0.0, 0.0, 0.0, 0.3]);
    }

    #[test]
    fn a_mapping_of_the_older_pipeline_collects_where_it_says_and_leaves_kits_alone() {
        let list = r#"["Agogo", "FX", "Kick", "Noise"]"#;
        let old = r#"{"model_class_to_canonical": {"Agogo": "Agogo", "Noise": "FX"}}"#;
        let labels = Labels::parse(list, old).unwrap();
        assert_eq!(labels.canonical(), [MISC, MISC, 2, MISC]);
        assert_eq!([0, 1, 2, 3].map(|index| labels.collected_under(index)), ["Agogo", "misc", "Kick", "FX"]);
        // Labels that this model never had.
        let more = r#"{"Agogo": "Agogo", "Noise": "FX", "Ride_Bell": "Ride", "Floor_Tom": "Tom"}"#;
        assert_eq!(Labels::parse(list, more), Ok(labels));
        assert!(Labels::parse(list, r#"{"Noise": "Nowhere"}"#).unwrap_err().to_string().contains("another label"));
    }

    #[test]
    fn the_checksum_changes_with_the_order() {
        let labels = |list| Labels::parse(list, "{}").unwrap();
        assert_ne!(labels(r#"["Kick", "Snare"]"#).checksum(), labels(r#"["Snare", "Kick"]"#).checksum());
    }

    #[test]
    fn a_list_and_both_forms_of_an_object_are_the_same_labels() {
        let list = Labels::parse(r#"["Tom", "Kick"]"#, "{}").unwrap();
        for json in [r#"{"Kick": 1, "Tom": 0}"#, r#"{"1": "Kick", "0": "Tom"}"#] {
            assert_eq!(Labels::parse(json, "{}").unwrap(), list, "{json}");
        }
        // Numbers are numbers, whatever their order as text.
        let many: BTreeMap<String, String> = (0..12).map(|n| (n.to_string(), format!("label {n}"))).collect();
        let names = parse_names(&serde_json::to_string(&many).unwrap()).unwrap();
        assert_eq!(names[10], "label 10");
    }

    #[test]
    fn what_is_wrong_with_a_mapping_is_named() {
        let error = |list, mapping| Labels::parse(list, mapping).unwrap_err().to_string();
        assert!(error("3", "{}").contains("expected a list of names"));
        assert!(error(r#"{"Kick": 1}"#, "{}").contains("not 0, 1, 2"));
        assert!(error(r#"{"0": "Kick", "2": "Snare"}"#, "{}").contains("not 0, 1, 2"));
        assert!(error(r#"["Kick", "Kick"]"#, "{}").contains("label 1 is `Kick`, which is listed twice"));
        assert!(error(r#"["Kick"]"#, r#"{"Kik": "Kick"}"#).contains("`Kik` is not one of the model's labels"));
        assert!(error(r#"["Kick"]"#, r#"{"Kick": "Drum"}"#).contains("expected one of Crash, Hihat"));
        assert!(error(r#"["Kick"]"#, "[1]").starts_with("canonical_mapping.json"));
    }
}
