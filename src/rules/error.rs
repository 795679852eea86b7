//! Why a rules file was refused, and where.

use std::fmt;

/// What sort of mistake a rules file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RulesErrorKind {
    /// Not YAML, or YAML that rules don't use (anchors, several documents, values over several lines).
    Syntax,
    /// A key that means nothing where it stands.
    UnknownKey,
    /// A label that neither the model nor the canonical mapping has.
    UnknownLabel,
    /// A value that is not one of those accepted.
    BadValue,
    /// Something that has to be there is not.
    Missing,
    /// A key occurs twice.
    Duplicate,
    /// More text or more routes than rules may have.
    TooLarge,
}

/// A rules file was refused: the first mistake found, with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesError {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What was found, and what would be accepted.
    pub message: String,
    /// What to write instead, where that can be guessed.
    pub hint: Option<String>,
    /// What sort of mistake it is.
    pub kind: RulesErrorKind,
    pub(super) unfinished: bool,
}

impl RulesError {
    /// Whether text that is still to come could make the file valid.
    ///
    /// A program may write a file in several pieces. Never false for the beginning of a valid file, wherever it is cut;
    /// false where the mistake lies in text that nothing appended can change.
    pub fn could_be_unfinished(&self) -> bool {
        self.unfinished
    }
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RulesError {}

/// Line and column, both from 1 and the column in characters, of a byte offset.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or("");
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before.get(start..).unwrap_or("").chars().count() + 1)
}

/// The word of `known` that `found` most looks like, where it looks like one at all.
pub(super) fn closest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&found, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= (word.chars().count().max(3) / 3).min(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `did you mean `…`?`, where a word is close.
pub(crate) fn did_you_mean<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // A long text is no misspelling, and comparing it would take time.
    if found.len() > 100 {
        return None;
    }
    closest(found, known).map(|word| format!("did you mean `{word}`?"))
}

/// `found` as it is shown in a message: shortened, control characters escaped.
pub(crate) fn shown(found: &str) -> String {
    let mut text: String = found
        .chars()
        .take(60)
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    if found.chars().nth(60).is_some() {
        text.push('…');
    }
    text
}
