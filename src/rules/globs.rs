//! The glob patterns of all routes, matched together.

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

/// How many patterns one set takes: an automaton over thousands of patterns outgrows globset's limits.
const PER_SET: usize = 256;

/// Patterns that are matched against the same text, each known by its index.
#[derive(Debug, Default)]
pub(super) struct Globs {
    /// Each with the index of its first pattern.
    sets: Vec<(usize, GlobSet)>,
}

/// Parses one pattern. `*` and `?` stay within a folder, `**` does not, and A to Z match in either case.
///
/// # Errors
/// What globset says of it.
pub(super) fn compile(pattern: &str) -> Result<globset::Glob, globset::Error> {
    GlobBuilder::new(pattern).case_insensitive(true).literal_separator(true).backslash_escape(true).build()
}

impl Globs {
    /// Compiles `patterns`.
    ///
    /// # Errors
    /// The index of a pattern that can't be compiled, and why.
    pub(super) fn new(patterns: &[String]) -> Result<Self, (usize, String)> {
        let mut sets = Vec::new();
        let mut first = 0;
        for chunk in patterns.chunks(PER_SET) {
            build(chunk, first, &mut sets)?;
            first += chunk.len();
        }
        Ok(Self { sets })
    }

    /// Leaves in `matched` the indices of the patterns that match `text`, ascending. `scratch` saves an allocation.
    pub(super) fn matches(&self, text: &[u8], scratch: &mut Vec<usize>, matched: &mut Vec<usize>) {
        matched.clear();
        let candidate = Candidate::from_bytes(text);
        for (first, set) in &self.sets {
            set.matches_candidate_into(&candidate, scratch);
            matched.extend(scratch.iter().map(|index| first + index));
        }
    }
}

/// Builds one set of `chunk`, or several where it is too large for one.
fn build(chunk: &[String], first: usize, sets: &mut Vec<(usize, GlobSet)>) -> Result<(), (usize, String)> {
    let mut builder = GlobSetBuilder::new();
    for (index, pattern) in chunk.iter().enumerate() {
        builder.add(compile(pattern).map_err(|error| (first + index, error.kind().to_string()))?);
    }
    match builder.build() {
        Ok(set) => {
            sets.push((first, set));
            Ok(())
        }
        Err(error) if chunk.len() < 2 => Err((first, error.kind().to_string())),
        Err(_) => {
            let (left, right) = chunk.split_at(chunk.len() / 2);
            build(left, first, sets)?;
            build(right, first + left.len(), sets)
        }
    }
}
