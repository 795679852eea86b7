//! rules.yml: parsing it with positions, and routing a sample by it. Pure: no I/O.
//!
//! [`Rules::parse`] turns the text into validated [`Rules`] or one [`RulesError`] with a line, a column and a hint.
//! [`Router::new`] compiles rules for a [`Vocabulary`], and [`Router::route`] maps each [`Subject`] to exactly one
//! [`Verdict`]. `docs/rules.md` is the same for people who write rules.

mod condition;
mod diff;
mod document;
mod doubt;
mod error;
mod explain;
mod globs;
mod heard;
mod keys;
mod label_set;
mod limit;
mod meaning;
mod names;
mod parse;
mod parse_route;
mod route;
mod schema;
mod spec;
mod subject;
mod template;
mod verdict;
mod vocabulary;
mod words;

pub use diff::{Diff, Move, diff};
pub use doubt::Doubt;
pub(crate) use doubt::two_highest;
pub use error::{RulesError, RulesErrorKind};
pub(crate) use error::{did_you_mean, shown};
pub use explain::{Explanation, LabelSum, RouteCheck, Stage};
pub use limit::NoFolder;
pub use parse::{MAX_ROUTES, MAX_TEXT_BYTES};
pub use route::{FolderId, Router};
pub use spec::{Duplicates, Layout, Names, Rules, Warning};
pub use subject::{ReadName, Subject};
pub use template::{FirstRules, FirstTargets};
pub use verdict::{Reason, Verdict};
pub use vocabulary::{Vocabulary, VocabularyError};

/// Whether `word` is a key at the top of a rules file.
pub fn is_key(word: &str) -> bool {
    keys::Key::named(word).is_some()
}
