//! The rules file a new mount starts with.

use std::fmt::Write as _;

use super::spec::Rules;
use super::vocabulary::{MISC, Vocabulary};

impl Rules {
    /// The text a user first finds in `_control/rules.yml`: every key with its default, and what can be done with it.
    /// Parses to [`Rules::defaults`].
    pub fn template(vocabulary: &Vocabulary) -> String {
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
        let listed = if targets.is_empty() { vec![MISC.to_owned()] } else { targets.clone() };
        let listed: Vec<String> = listed.iter().map(|label| in_yaml(label)).collect();
        let _ = writeln!(text, "target_labels: [{}]", listed.join(", "));
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
             misc: {{threshold: 0.50, label: misc}}\n\
             \n\
             # Another threshold for one folder.\n\
             thresholds: {{}}\n\
             # thresholds: {{{kick}: 0.70}}\n\
             \n\
             # Which label a label is collected under, where it has no folder of its own.\n\
             canonical: {{}}\n\
             # canonical: {{{rim}: misc}}\n\
             \n\
             # Below each folder: preserve (the archive's own folders), flat (none) or by-pack (the first one).\n\
             layout: preserve\n\
             \n\
             # The same sound under several paths: show all of them, or hide all but the first.\n\
             duplicates: show\n\
             \n\
             # What a name such as BD_019.wav counts: ignore (nothing), tiebreak (where the model is unsure) or trust\n\
             # (wherever it says one thing).\n\
             names: tiebreak\n\
             \n\
             # A path that a program has opened is to go on opening after its sample has moved to another folder.\n\
             # (This version reads the key and does not do it yet; paths in _by-id never change.)\n\
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
