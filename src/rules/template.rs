//! The rules file a new mount starts with.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::keys::DUPLICATES;
use super::parse::DEFAULT_MISC_THRESHOLD;
use super::spec::Duplicates;
use super::spec::Rules;
use super::vocabulary::{MISC, Vocabulary};

/// What the first rules say where it is not the default: what a config.yml of the older pipeline brings along.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FirstRules {
    /// The labels that have a folder.
    pub target_labels: Option<FirstTargets>,
    /// The threshold of every folder, from 0 to 1.
    pub misc_threshold: Option<f32>,
    /// The name of the folder for what is below it.
    pub misc_label: Option<String>,
    /// Thresholds of single folders, from 0 to 1.
    pub thresholds: BTreeMap<String, f32>,
    /// Whether of samples with the same content only the first is shown.
    pub hide_duplicates: Option<bool>,
}

/// The labels that have a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstTargets {
    /// Every label.
    All,
    /// These.
    These(Vec<String>),
}

impl Rules {
    /// The text a user first finds in `_control/rules.yml`: every key with its default, and what can be done with it.
    /// Parses to [`Rules::defaults`].
    pub fn template(vocabulary: &Vocabulary) -> String {
        Self::first(vocabulary, &FirstRules::default())
    }

    /// The same with what `first` says. Whether that holds together, parsing tells.
    pub fn first(vocabulary: &Vocabulary, first: &FirstRules) -> String {
        let targets = vocabulary.default_targets();
        let others: Vec<&str> =
            vocabulary.fine().iter().filter(|label| !targets.contains(label)).map(String::as_str).collect();
        let example = |preferred: &'static str, fallback: &[String]| -> String {
            match vocabulary.index_of(preferred) {
                Some(_) => preferred.to_owned(),
                None => fallback.first().cloned().unwrap_or_default(),
            }
        };
        let kick = in_yaml(&example("Kick", &targets));
        let rim = in_yaml(&example("Rim", vocabulary.fine()));
        let below_kick = in_yaml(&format!("{}/808", example("Kick", &targets)));
        let mut text = String::new();
        text.push_str(
            "# What goes into which folder. Save this file and the folders change at once; the originals are never touched.\n\
             # A mistake changes nothing: RULES-ERROR.txt then says where it is. An empty file means what is written here.\n\
             \n\
             # The folders. `all` makes one of every label the model knows. Labels without a folder go to misc, or are\n\
             # collected under another label (see canonical).\n",
        );
        // A list may not be empty; misc is always there.
        let listed = match &first.target_labels {
            Some(FirstTargets::All) => None,
            Some(FirstTargets::These(labels)) => Some(labels.clone()),
            None if targets.is_empty() => Some(vec![MISC.to_owned()]),
            None => Some(targets.clone()),
        };
        let _ = match listed {
            None => writeln!(text, "target_labels: all"),
            Some(labels) => {
                let labels: Vec<String> = labels.iter().map(|label| in_yaml(label)).collect();
                writeln!(text, "target_labels: [{}]", labels.join(", "))
            }
        };
        let threshold = decimal(first.misc_threshold.unwrap_or(DEFAULT_MISC_THRESHOLD));
        let misc = in_yaml(first.misc_label.as_deref().unwrap_or(MISC));
        let thresholds: Vec<String> =
            first.thresholds.iter().map(|(label, value)| format!("{}: {}", in_yaml(label), decimal(*value))).collect();
        let thresholds = thresholds.join(", ");
        let duplicates = if first.hide_duplicates.unwrap_or_default() { Duplicates::Hide } else { Duplicates::Show };
        let duplicates = DUPLICATES.iter().find(|(_, choice)| *choice == duplicates).map_or("show", |(word, _)| word);
        if !others.is_empty() {
            text.push_str("# Also known:\n");
            for line in wrapped(&others, 108) {
                let _ = writeln!(text, "#   {line}");
            }
        }
        let _ = write!(
            text,
            "\n\
             # What the model is less sure of than this goes to misc. 0 takes every guess, 0.9 only near certainty.\n\
             misc: {{threshold: {threshold}, label: {misc}}}\n\
             \n\
             # Another threshold for one folder.\n\
             thresholds: {{{thresholds}}}\n\
             # thresholds: {{{kick}: 0.70}}\n\
             \n\
             # Which label a label is collected under, where it has no folder of its own.\n\
             canonical: {{}}\n\
             # canonical: {{{rim}: misc}}\n\
             \n\
             # Below each folder: preserve (the archive's own folders), flat (none) or by-pack (the first one).\n\
             layout: preserve\n\
             \n\
             # The same sound under several paths: show all of them, hide all but the first of the same bytes, or hide-near:\n\
             # also what is nearly the same sound (see `drumfs duplicates`).\n\
             duplicates: {duplicates}\n\
             \n\
             # What a name such as BD_019.wav counts: ignore (nothing), tiebreak (where the model is unsure) or trust\n\
             # (wherever it says one thing).\n\
             names: tiebreak\n\
             \n\
             # A path that a program has opened goes on opening after rules have moved its sample, so that songs keep their\n\
             # sounds; it is in no listing.\n\
             keep_opened_paths: true\n\
             \n\
             # Routes come before the thresholds; the first that matches wins. Patterns and comparisons go in quotes.\n\
             routes: []\n\
             # routes:\n\
             #   - {{path: \"Loops/**\", to: Loops}}\n\
             #   - {{duration: \"> 4.0\", to: Loops}}\n\
             #   - {{label: {kick}, path: \"**/*808*\", confidence: \">= 0.6\", to: {below_kick}}}\n\
             #   - {{name: \"*demo*\", hide: true}}\n"
        );
        text
    }
}

/// A label as it stands in YAML: in quotes where it would be read as something else.
fn in_yaml(label: &str) -> String {
    let plain = label.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '/')
        && label.starts_with(char::is_alphabetic)
        && !label.eq_ignore_ascii_case("null");
    if plain { label.to_owned() } else { format!("'{}'", label.replace('\'', "''")) }
}

/// A number with two decimals, or as many as it needs.
fn decimal(value: f32) -> String {
    let short = format!("{value:.2}");
    if short.parse() == Ok(value) { short } else { value.to_string() }
}

/// `words` in lines of at most `width` characters.
fn wrapped(words: &[&str], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push((*word).to_owned()),
        }
    }
    lines
}
