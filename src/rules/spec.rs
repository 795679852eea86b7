//! What a rules file says, once it has been read.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::globs::Globs;
use super::parse;
use super::{RulesError, Vocabulary};

/// How the paths of the archive show inside a folder of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Below each folder, the sample's own folders.
    #[default]
    Preserve,
    /// All samples directly in the folder.
    Flat,
    /// Below each folder, the first folder of the sample's path: its pack.
    ByPack,
}

impl Layout {
    /// Every layout.
    pub const ALL: [Self; 3] = [Self::Preserve, Self::Flat, Self::ByPack];

    /// The word in rules.yml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preserve => "preserve",
            Self::Flat => "flat",
            Self::ByPack => "by-pack",
        }
    }
}

/// What the name of a sample counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Names {
    /// Nothing.
    Ignore,
    /// It decides where the audio is below its threshold and ranks what the name says among its first three.
    #[default]
    Tiebreak,
    /// It decides wherever it says exactly one thing.
    Trust,
}

impl Names {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Ignore, Self::Tiebreak, Self::Trust];

    /// The word in rules.yml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Tiebreak => "tiebreak",
            Self::Trust => "trust",
        }
    }
}

/// Where a route sends what it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// To a folder of the view.
    To(String),
    /// Out of the view.
    Hide,
}

/// One entry of `routes`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Route {
    /// The line it starts on, from 1.
    pub(super) line: usize,
    /// In the order they are tested: cheap ones first.
    pub(super) conditions: Vec<Condition>,
    pub(super) action: Action,
}

/// What is done with a sound that is there several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// All of them show.
    #[default]
    Show,
    /// Of the same bytes the first path shows.
    Hide,
    /// Of what `drumfs duplicates` found to be nearly the same sound as well.
    HideNear,
}

/// Every key of a rules file. Labels are names: indices come with the vocabulary a router is made for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spec {
    /// The labels that have a folder; `None` is `all`.
    pub(super) targets: Option<Vec<String>>,
    pub(super) misc_threshold: f32,
    pub(super) misc_label: String,
    pub(super) thresholds: Vec<(String, f32)>,
    pub(super) canonical: Vec<(String, String)>,
    pub(super) layout: Layout,
    pub(super) duplicates: Duplicates,
    pub(super) names: Names,
    pub(super) keep_opened_paths: bool,
    pub(super) routes: Vec<Route>,
}

/// Something in a valid rules file that probably does not do what its writer wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What is odd, and what to write instead.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

/// A rules file that was parsed and validated. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rules {
    pub(super) spec: Arc<Spec>,
    pub(super) path_globs: Arc<Globs>,
    pub(super) name_globs: Arc<Globs>,
    pub(super) warnings: Arc<[Warning]>,
}

/// Equal where they say the same; warnings don't count.
impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

impl Rules {
    /// Parses and validates the text of a rules file. Text without keys gives [`Rules::defaults`].
    ///
    /// # Errors
    /// The first mistake, with its position.
    pub fn parse(text: &str, vocabulary: &Vocabulary) -> Result<Self, RulesError> {
        parse::parse(text, vocabulary)
    }

    /// [`Rules::parse`] of bytes as they were written to a file.
    ///
    /// # Errors
    /// As [`Rules::parse`], and where the bytes are not UTF-8.
    pub fn parse_bytes(bytes: &[u8], vocabulary: &Vocabulary) -> Result<Self, RulesError> {
        parse::parse_bytes(bytes, vocabulary)
    }

    /// What holds where rules.yml is absent or says nothing: the vocabulary's canonical labels as folders, a threshold
    /// of 0.50, `misc`, layout `preserve`, names as tiebreak, no routes.
    pub fn defaults(vocabulary: &Vocabulary) -> Self {
        Self {
            spec: Arc::new(parse::default_spec(vocabulary)),
            path_globs: Arc::default(),
            name_globs: Arc::default(),
            warnings: Arc::new([]),
        }
    }

    /// What is valid and still looks like a mistake.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// How paths show inside a folder.
    pub fn layout(&self) -> Layout {
        self.spec.layout
    }

    /// What names count for.
    pub fn names(&self) -> Names {
        self.spec.names
    }

    /// What is done with a sound that is there several times.
    pub fn duplicates(&self) -> Duplicates {
        self.spec.duplicates
    }

    /// Whether of several samples with the same content only the first path shows.
    pub fn hide_duplicates(&self) -> bool {
        self.spec.duplicates != Duplicates::Show
    }

    /// Whether a path that was opened goes on opening after its sample moved.
    pub fn keep_opened_paths(&self) -> bool {
        self.spec.keep_opened_paths
    }

    /// The number of routes.
    pub fn route_count(&self) -> usize {
        self.spec.routes.len()
    }
}
