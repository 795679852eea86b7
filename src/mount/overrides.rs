//! overrides.jsonl as the mount takes it and shows it.

use std::sync::PoisonError;

use super::keeper::Shared;
use crate::overrides::{Form, Labels, LineError, Names, write};
use crate::store::Word;

/// Reads one line. Blank lines say nothing.
///
/// # Errors
/// What is wrong with the line.
pub fn parse_line(line: &[u8], shared: &Shared) -> Result<Option<Word>, LineError> {
    let view = shared.view();
    let labels = Labels::new(&shared.vocabulary, view.router());
    Names { labels: &labels, contents: &**view.catalogue() }.parse(line)
}

/// Every override as a line, ordered by hash.
pub fn text(shared: &Shared) -> Vec<u8> {
    let overrides = shared.overrides.read().unwrap_or_else(PoisonError::into_inner);
    let mut text = Vec::new();
    // Nothing fails to be written into memory.
    _ = write(&overrides, shared.view().catalogue(), Form::New, &mut text);
    text
}
