//! Narrowing what rules do, for one occasion: another layout, fewer folders.

use std::sync::Arc;

use thiserror::Error;

use super::parse::check_folder;
use super::route::{FolderId, Router};
use super::spec::{Layout, Rules, Spec};
use super::verdict::{Reason, Verdict};

/// A folder that the rules don't have.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the rules have no folder `{name}`{hint}; there are {folders}")]
pub struct NoFolder {
    name: String,
    hint: String,
    folders: String,
}

impl Rules {
    /// The same rules with another layout.
    #[must_use]
    pub fn with_layout(&self, layout: Layout) -> Self {
        Self { spec: Arc::new(Spec { layout, ..Spec::clone(&self.spec) }), ..self.clone() }
    }
}

impl Router {
    /// The same with these folders alone, and what is in them; everything else goes to misc, as if it had no folder.
    /// The case of A to Z does not count.
    ///
    /// # Errors
    /// [`NoFolder`] for the first name that is no folder's.
    pub fn limited_to<S: AsRef<str>>(mut self, names: &[S]) -> Result<Self, NoFolder> {
        let names: Vec<&str> = names.iter().map(|name| name.as_ref().trim_matches(['/', ' '])).collect();
        let is_in = |folder: &str, name: &str| {
            folder.len() >= name.len()
                && folder.is_char_boundary(name.len())
                && folder[..name.len()].eq_ignore_ascii_case(name)
                && folder[name.len()..].bytes().next().is_none_or(|next| next == b'/')
        };
        if let Some(unknown) = names.iter().find(|name| !self.folders.iter().any(|folder| is_in(folder, name))) {
            let near = |folder: &&String| strsim::damerau_levenshtein(&folder.to_lowercase(), &unknown.to_lowercase());
            let closest = self.folders.iter().min_by_key(near).filter(|closest| near(closest) <= 2);
            return Err(NoFolder {
                name: (*unknown).to_owned(),
                hint: closest.map(|closest| format!(" (did you mean `{closest}`?)")).unwrap_or_default(),
                folders: self.folders.join(", "),
            });
        }
        let misc = usize::from(self.misc_folder);
        let folders = self.folders.iter().enumerate();
        let open = folders.map(|(index, folder)| index == misc || names.iter().any(|name| is_in(folder, name)));
        self.closed = open.map(|open| !open).collect();
        Ok(self)
    }

    /// Whether a name may be a folder's.
    pub fn may_be_folder(name: &str) -> bool {
        check_folder(name).is_ok()
    }

    /// The folder of this name, which is made where there is none; none where it can't be a folder's name.
    pub fn with_folder(&mut self, name: &str) -> Option<FolderId> {
        if let Some(known) = self.folder_ids.get(name) {
            return Some(*known);
        }
        let id = FolderId::try_from(self.folders.len()).ok().filter(|_| Self::may_be_folder(name))?;
        self.folders.push(name.to_owned());
        self.folder_ids.insert(name.to_owned(), id);
        Some(id)
    }

    /// The folder that a person's word means; none where it means none.
    pub fn folder_of_word(&self, word: &str) -> Option<FolderId> {
        self.overridden(word).map(|(folder, _)| folder)
    }

    /// Whether [`Router::limited_to`] left a folder out.
    pub fn is_closed(&self, folder: FolderId) -> bool {
        self.closed.get(usize::from(folder)).copied().unwrap_or(false)
    }

    /// A verdict with misc for a folder that is closed.
    pub(super) fn limit(&self, verdict: Verdict) -> Verdict {
        if verdict.is_hidden() || !self.is_closed(verdict.folder) {
            return verdict;
        }
        Verdict { folder: self.misc_folder, reason: Reason::OutOfTarget, out_of_target: true, ..verdict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Status;
    use crate::rules::{Subject, Vocabulary};

    fn folder(router: &Router, path: &str, label: usize, said: Option<&str>) -> (String, Reason) {
        let mut probs = [0.0; 34];
        probs[label] = 1.0;
        let subject = Subject {
            path: path.as_bytes(),
            size: 1,
            status: Status::Ok,
            attributes: None,
            probs: &probs,
            override_label: said,
            gate_refused: false,
            gate_probability: None,
            read_name: None,
        };
        let verdict = router.route(&subject);
        (router.folder_name(verdict.folder).to_owned(), verdict.reason)
    }

    #[test]
    fn folders_that_are_not_asked_for_go_to_misc() {
        let drums = Vocabulary::drums();
        let text =
            "routes: [{path: \"808/**\", to: Kick/808}, {path: \"loops/**\", to: Loops}, {path: \"x/**\", hide: true}]";
        let rules = Rules::parse(text, &drums).unwrap();
        let router = Router::new(&rules, &drums).limited_to(&["kick", "Snare "]).unwrap();
        let (kick, tom) = (2, 5);
        assert_eq!(folder(&router, "a.wav", kick, None), ("Kick".to_owned(), Reason::Top1));
        assert_eq!(folder(&router, "808/a.wav", kick, None), ("Kick/808".to_owned(), Reason::Route));
        assert_eq!(folder(&router, "a.wav", tom, None), ("misc".to_owned(), Reason::OutOfTarget));
        assert_eq!(folder(&router, "loops/a.wav", kick, None), ("misc".to_owned(), Reason::OutOfTarget));
        assert_eq!(folder(&router, "a.wav", kick, Some("Tom")), ("misc".to_owned(), Reason::OutOfTarget));
        assert_eq!(folder(&router, "a.wav", tom, Some("Snare")), ("Snare".to_owned(), Reason::Override));
        assert_eq!(folder(&router, "x/a.wav", tom, None).1, Reason::Hidden);
    }

    #[test]
    fn a_folder_that_is_none_is_named_with_those_there_are() {
        let drums = Vocabulary::drums();
        let router = Router::new(&Rules::defaults(&drums), &drums);
        let error = router.clone().limited_to(&["Kick", "Snair"]).unwrap_err().to_string();
        assert!(error.contains("no folder `Snair` (did you mean `Snare`?)"), "{error}");
        assert!(router.limited_to(&["Kic"]).is_err());
    }

    #[test]
    fn another_layout_leaves_the_rest() {
        let drums = Vocabulary::drums();
        let rules = Rules::parse("duplicates: hide", &drums).unwrap().with_layout(Layout::Flat);
        assert_eq!((rules.layout(), rules.hide_duplicates()), (Layout::Flat, true));
    }
}
