//! The `routes` of a rules file.

use super::condition::{Condition, Field, Interval};
use super::document::{Kind, Node};
use super::error::{RulesError, RulesErrorKind, did_you_mean, shown};
use super::globs;
use super::keys::{self, RouteKey};
use super::parse::{MAX_ROUTES, Parser};
use super::spec::{Action, Route};

/// The longest pattern, in bytes.
pub(super) const MAX_PATTERN_BYTES: usize = 1024;

impl<'d> Parser<'d, '_> {
    pub(super) fn routes(&mut self, node: &'d Node) -> Result<Vec<Route>, RulesError> {
        let expected = "a list of routes, each on a line such as `- {path: \"Loops/**\", to: Loops}`";
        let nodes = match &node.kind {
            Kind::Null => return Ok(Vec::new()),
            Kind::List(nodes) => nodes,
            _ => return Err(self.unexpected(node, expected)),
        };
        if let Some(node) = nodes.get(MAX_ROUTES) {
            let message = format!("{} routes; rules may have {MAX_ROUTES}", nodes.len());
            return Err(self.document.final_error(node, RulesErrorKind::TooLarge, message));
        }
        nodes.iter().map(|node| self.route(node)).collect()
    }

    fn route(&mut self, node: &'d Node) -> Result<Route, RulesError> {
        let mut conditions = Vec::new();
        let mut to = None;
        let mut hide = None;
        for (key, value) in self.map(node, "a route such as {path: \"Loops/**\", to: Loops}")? {
            let word = self.key(key)?;
            let key_here = RouteKey::named(word).ok_or_else(|| self.unknown_route_key(key, word))?;
            match key_here {
                RouteKey::To => to = Some((key, self.folder(value)?)),
                RouteKey::Hide => {
                    if self.boolean(value)? {
                        hide = Some(key);
                    }
                }
                RouteKey::Path => conditions.push(Condition::Path(self.patterns(value, true)?)),
                RouteKey::Name => conditions.push(Condition::Name(self.patterns(value, false)?)),
                RouteKey::Label => conditions.push(Condition::Label(self.labels(value, self.vocabulary.labels())?)),
                RouteKey::FineLabel => {
                    conditions.push(Condition::FineLabel(self.labels(value, self.vocabulary.fine())?))
                }
                RouteKey::Reason => conditions.push(Condition::Reason(self.reasons(value)?)),
                RouteKey::Number(field) => conditions.push(Condition::Number(field, self.interval(field, value)?)),
            }
        }
        let action = match (to, hide) {
            (Some((to, _)), Some(hide)) => {
                let later = if self.document.position(to) > self.document.position(hide) { to } else { hide };
                let message = "a route with both `to` and `hide`; it takes one of them".to_owned();
                return Err(self.document.final_error(later, RulesErrorKind::BadValue, message));
            }
            (Some((_, folder)), None) => Action::To(folder),
            (None, Some(_)) => Action::Hide,
            (None, None) => {
                let message = "a route that leads nowhere; it needs `to: FOLDER` or `hide: true`".to_owned();
                return Err(self.document.missing_error(node, node, message));
            }
        };
        if conditions.is_empty() {
            let message = "a route without a condition; it would take every sample".to_owned();
            return Err(self.document.missing_error(node, node, message).hint("add one such as `path: \"Loops/**\"`"));
        }
        conditions.sort_by_key(Condition::cost);
        Ok(Route { line: self.document.line(node), conditions, action })
    }

    fn unknown_route_key(&self, node: &Node, key: &str) -> RulesError {
        let known: Vec<&str> = RouteKey::all().map(RouteKey::name).collect();
        let message = format!("unknown key `{}` in a route; the keys are {}", shown(key), known.join(", "));
        let error = self.document.key_error(node, RulesErrorKind::UnknownKey, message);
        let meant = match key {
            "folder" | "dest" | "destination" | "target" | "into" | "move" => Some("to"),
            "filename" | "file" => Some("name"),
            "length" | "duration_sec" | "seconds" => Some("duration"),
            "conf" | "prob" | "probability" | "threshold" | "conf_top1" => Some("confidence"),
            "loudness" | "level" | "rms_dbfs" => Some("rms"),
            "centroid_hz" => Some("centroid"),
            "rolloff_hz" => Some("rolloff"),
            "canonical" | "class" | "assigned_label" => Some("label"),
            "fine" | "label_top1" => Some("fine_label"),
            "glob" | "dir" | "directory" => Some("path"),
            _ => None,
        };
        match meant.map(|word| format!("did you mean `{word}`?")).or_else(|| did_you_mean(key, known)) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    fn labels(&self, node: &Node, known: &[String]) -> Result<Vec<String>, RulesError> {
        self.one_or_more(node, "a label or a list of labels")?.iter().map(|node| self.label(node, known)).collect()
    }

    fn reasons(&self, node: &Node) -> Result<u16, RulesError> {
        let reasons = keys::reasons();
        let mut bits = 0;
        for node in self.one_or_more(node, "a reason or a list of reasons")? {
            bits |= self.choice(node, &reasons)?.bit();
        }
        Ok(bits)
    }

    fn interval(&self, field: Field, node: &Node) -> Result<Interval, RulesError> {
        let text = &self.scalar(node, "a comparison such as \"> 4.0\"")?.text;
        Interval::parse(field, text).map_err(|(message, hint)| {
            let error = self.document.value_error(node, RulesErrorKind::BadValue, message);
            match hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }

    fn patterns(&mut self, node: &'d Node, of_paths: bool) -> Result<Vec<(usize, String)>, RulesError> {
        let mut patterns = Vec::new();
        for node in self.one_or_more(node, "a pattern such as \"*808*\"")? {
            let pattern = self.scalar(node, "a pattern such as \"*808*\"")?.text.clone();
            self.check_pattern(node, &pattern)?;
            if of_paths && !pattern.contains('/') && !pattern.contains("**") {
                self.warn(node, format!("`{pattern}` matches only files at the top of the archive; write \"**/{pattern}\", or use `name`"));
            } else if of_paths && pattern.starts_with('/') {
                self.warn(node, format!("`{pattern}` matches nothing: paths are relative to the archive"));
            } else if !of_paths && pattern.contains('/') {
                self.warn(node, format!("`{pattern}` matches nothing: `name` is the file's name alone; use `path`"));
            }
            let all = if of_paths { &mut self.path_patterns } else { &mut self.name_patterns };
            patterns.push((all.len(), pattern.clone()));
            all.push((pattern, node));
        }
        Ok(patterns)
    }

    fn check_pattern(&self, node: &Node, pattern: &str) -> Result<(), RulesError> {
        let bad = |message: String| self.document.value_error(node, RulesErrorKind::BadValue, message);
        if pattern.is_empty() {
            return Err(bad("found an empty pattern; expected one such as \"*808*\"".to_owned()));
        }
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(bad(format!("a pattern of {} bytes; it may have {MAX_PATTERN_BYTES}", pattern.len())));
        }
        globs::compile(pattern).map(drop).map_err(|error| {
            let said = error.kind().to_string();
            let error = bad(format!("`{}` is not a pattern: {said}", shown(pattern)));
            if said.contains("escape") {
                return error;
            }
            error.hint("a `[`, `{` or `\\` that stands for itself is written `[[]`, `[{]` or `[\\\\]`")
        })
    }
}
