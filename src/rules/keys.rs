//! The keys of a rules file. The parser reads by them and the schema describes them: neither can know one that the other
//! does not.

use super::condition::Field;
use super::spec::{Duplicates, Layout, Names};
use super::verdict::Reason;

/// A key at the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    TargetLabels,
    Misc,
    Thresholds,
    Canonical,
    Layout,
    Duplicates,
    Names,
    KeepOpenedPaths,
    Routes,
}

impl Key {
    pub(super) const ALL: [Self; 9] = [
        Self::TargetLabels,
        Self::Misc,
        Self::Thresholds,
        Self::Canonical,
        Self::Layout,
        Self::Duplicates,
        Self::Names,
        Self::KeepOpenedPaths,
        Self::Routes,
    ];

    /// The word in rules.yml.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TargetLabels => "target_labels",
            Self::Misc => "misc",
            Self::Thresholds => "thresholds",
            Self::Canonical => "canonical",
            Self::Layout => "layout",
            Self::Duplicates => "duplicates",
            Self::Names => "names",
            Self::KeepOpenedPaths => "keep_opened_paths",
            Self::Routes => "routes",
        }
    }

    pub(super) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == word)
    }
}

/// A key of `misc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MiscKey {
    Threshold,
    Label,
}

impl MiscKey {
    pub(super) const ALL: [Self; 2] = [Self::Threshold, Self::Label];

    /// The word in rules.yml.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Label => "label",
        }
    }

    pub(super) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == word)
    }
}

/// A key of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteKey {
    To,
    Hide,
    Path,
    Name,
    Label,
    FineLabel,
    Reason,
    Number(Field),
}

impl RouteKey {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let words = [Self::To, Self::Hide, Self::Path, Self::Name, Self::Label, Self::FineLabel, Self::Reason];
        words.into_iter().chain(Field::ALL.map(Self::Number))
    }

    /// The word in rules.yml.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::To => "to",
            Self::Hide => "hide",
            Self::Path => "path",
            Self::Name => "name",
            Self::Label => "label",
            Self::FineLabel => "fine_label",
            Self::Reason => "reason",
            Self::Number(field) => field.name(),
        }
    }

    /// Whether it says which samples the route takes, and not what becomes of them.
    pub(super) fn is_condition(self) -> bool {
        !matches!(self, Self::To | Self::Hide)
    }

    pub(super) fn named(word: &str) -> Option<Self> {
        Self::all().find(|key| key.name() == word)
    }
}

/// The words of `layout`.
pub(super) fn layouts() -> [(&'static str, Layout); 3] {
    Layout::ALL.map(|layout| (layout.name(), layout))
}

/// The words of `duplicates`.
pub(super) const DUPLICATES: [(&str, Duplicates); 3] =
    [("show", Duplicates::Show), ("hide", Duplicates::Hide), ("hide-near", Duplicates::HideNear)];

/// The words of `names`.
pub(super) fn names() -> [(&'static str, Names); 3] {
    Names::ALL.map(|names| (names.name(), names))
}

/// The words of a route's `reason`: those that a sample can have before any route has taken it.
pub(super) fn reasons() -> Vec<(&'static str, Reason)> {
    let asked = Reason::ALL.into_iter().filter(|reason| !matches!(reason, Reason::Hidden | Reason::Route));
    asked.map(|reason| (reason.name(), reason)).collect()
}
