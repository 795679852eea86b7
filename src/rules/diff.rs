//! What a change of rules moves.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::route::{FolderId, Router};
use super::verdict::Verdict;

/// How many samples a move is shown with.
const EXAMPLES: usize = 3;

/// The samples that go from one folder to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// The folder before; `None` where the sample was hidden.
    pub from: Option<String>,
    /// The folder after; `None` where the sample is hidden.
    pub to: Option<String>,
    /// How many samples.
    pub count: usize,
    /// Indices of the first few of them, in the order of the verdicts.
    pub examples: Vec<usize>,
}

/// What moves between two lists of verdicts on the same samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// How many samples were compared.
    pub samples: usize,
    /// How many stay where they are.
    pub unchanged: usize,
    /// The moves, largest first, then by name.
    pub moves: Vec<Move>,
}

/// Compares `before` with `after`, sample by sample; where one list is shorter, the rest of the other is left out.
/// Each list comes with the router that made it: folders are compared by name.
pub fn diff(before: (&Router, &[Verdict]), after: (&Router, &[Verdict])) -> Diff {
    let folder = |router: &Router, verdict: &Verdict| {
        (!verdict.is_hidden()).then_some(verdict.folder).filter(|folder| usize::from(*folder) < router.folders().len())
    };
    type Ends = (Option<FolderId>, Option<FolderId>);
    let mut moves: HashMap<Ends, (usize, Vec<usize>)> = HashMap::new();
    let samples = before.1.len().min(after.1.len());
    for (index, (old, new)) in before.1.iter().zip(after.1).enumerate() {
        let (count, examples) = moves.entry((folder(before.0, old), folder(after.0, new))).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(index);
        }
    }
    let mut moves: Vec<Move> = moves
        .into_iter()
        .map(|((from, to), (count, examples))| Move {
            from: from.map(|folder| before.0.folder_name(folder).to_owned()),
            to: to.map(|folder| after.0.folder_name(folder).to_owned()),
            count,
            examples,
        })
        .filter(|moved| moved.from != moved.to)
        .collect();
    moves.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to))));
    let moved: usize = moves.iter().map(|moved| moved.count).sum();
    Diff { samples, unchanged: samples - moved, moves }
}

impl Diff {
    /// How many samples move.
    pub fn moved(&self) -> usize {
        self.samples - self.unchanged
    }

    /// The diff as a person reads it, `path` giving the name of a sample by its index.
    pub fn with_paths<'a, P: Fn(usize) -> String + 'a>(&'a self, path: P) -> impl fmt::Display + 'a {
        WithPaths { diff: self, path }
    }
}

struct WithPaths<'a, P> {
    diff: &'a Diff,
    path: P,
}

impl<P: Fn(usize) -> String> fmt::Display for WithPaths<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_diff(self.diff, Some(&self.path), f)
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_diff(self, None, f)
    }
}

fn write_diff(diff: &Diff, path: Option<&dyn Fn(usize) -> String>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if diff.moves.is_empty() {
        return write!(f, "nothing moves; {} samples stay where they are", diff.samples);
    }
    let shown = |folder: &Option<String>| folder.clone().unwrap_or_else(|| "(hidden)".to_owned());
    let width = diff.moves.iter().map(|moved| moved.count.to_string().len()).max().unwrap_or(0);
    for moved in &diff.moves {
        writeln!(f, "{:>width$}  {} -> {}", moved.count, shown(&moved.from), shown(&moved.to))?;
        let Some(path) = path else { continue };
        for example in &moved.examples {
            writeln!(f, "{:width$}    {}", "", path(*example))?;
        }
        if moved.count > moved.examples.len() {
            writeln!(f, "{:width$}    ... and {} more", "", moved.count - moved.examples.len())?;
        }
    }
    write!(f, "{} of {} samples move", diff.moved(), diff.samples)
}
