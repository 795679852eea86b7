//! From the document to [`Rules`]: every key, validated where it stands.

use std::sync::Arc;

use super::document::{Document, Kind, Node, Scalar};
use super::error::{RulesError, RulesErrorKind, did_you_mean, position, shown};
use super::globs::Globs;
use super::keys::{self, Key, MiscKey};
use super::spec::{Duplicates, Layout, Names, Rules, Spec, Warning};
use super::vocabulary::{MISC, Vocabulary};

/// The longest rules file, in bytes.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// The most routes a rules file may have.
pub const MAX_ROUTES: usize = 10_000;

/// The longest `to`, in bytes.
pub(super) const MAX_FOLDER_BYTES: usize = 1024;
/// The longest name of a file or folder on the usual filesystems, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// The file that says why rules were refused; it must not be shadowed by a folder.
const ERROR_FILE: &str = "RULES-ERROR.txt";

/// The threshold of every folder where rules say none.
pub(super) const DEFAULT_MISC_THRESHOLD: f32 = 0.50;

/// The keys at the top.
fn keys() -> [&'static str; 9] {
    Key::ALL.map(Key::name)
}

pub(super) fn default_spec(vocabulary: &Vocabulary) -> Spec {
    Spec {
        targets: Some(vocabulary.default_targets()),
        misc_threshold: DEFAULT_MISC_THRESHOLD,
        misc_label: MISC.to_owned(),
        thresholds: Vec::new(),
        canonical: Vec::new(),
        layout: Layout::default(),
        duplicates: Duplicates::default(),
        names: Names::default(),
        keep_opened_paths: true,
        routes: Vec::new(),
    }
}

pub(super) fn parse_bytes(bytes: &[u8], vocabulary: &Vocabulary) -> Result<Rules, RulesError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text, vocabulary),
        Err(error) => {
            let valid =
                bytes.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or("");
            match parse(valid, vocabulary) {
                Err(earlier) if !earlier.could_be_unfinished() => return Err(earlier),
                _ => {}
            }
            let (line, column) = position(valid, valid.len());
            Err(RulesError {
                line,
                column,
                message: "the text is not UTF-8".to_owned(),
                hint: Some("save the file as UTF-8".to_owned()),
                kind: RulesErrorKind::Syntax,
                // A character cut in the middle.
                unfinished: error.error_len().is_none(),
            })
        }
    }
}

pub(super) fn parse(text: &str, vocabulary: &Vocabulary) -> Result<Rules, RulesError> {
    parse_whole(text, vocabulary).map_err(|error| earlier_mistake(text, &error, vocabulary).unwrap_or(error))
}

fn parse_whole(text: &str, vocabulary: &Vocabulary) -> Result<Rules, RulesError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(RulesError {
            line: 1,
            column: 1,
            message: format!("{} bytes of text; rules may have {MAX_TEXT_BYTES}", text.len()),
            hint: None,
            kind: RulesErrorKind::TooLarge,
            unfinished: false,
        });
    }
    Parser::new(&Document::parse(text)?, vocabulary).rules()
}

/// How many sections above an unfinished one are looked at for a mistake.
const SECTIONS_BACK: usize = 8;

/// A mistake in the sections above an unfinished one. Whatever follows, those stay as they are, so a bracket that is
/// still open does not have to be closed before somebody learns of a misspelt label above it.
fn earlier_mistake(text: &str, error: &RulesError, vocabulary: &Vocabulary) -> Option<RulesError> {
    if !error.could_be_unfinished() || error.kind != RulesErrorKind::Syntax {
        return None;
    }
    let starts_section = |start: &usize| {
        text.get(*start..).is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric() || c == '"' || c == '\''))
    };
    let starts = text.rmatch_indices('\n').map(|(newline, _)| newline + 1).filter(starts_section);
    for start in starts.take(SECTIONS_BACK) {
        match parse_whole(text.get(..start)?, vocabulary) {
            Ok(_) => return None,
            Err(error) if !error.could_be_unfinished() => return Some(error),
            Err(_) => {}
        }
    }
    None
}

/// Whether `folder` can be a folder of the view.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_folder(folder: &str) -> Result<(), String> {
    if folder.is_empty() {
        return Err("it is empty".to_owned());
    }
    if folder.len() > MAX_FOLDER_BYTES {
        return Err(format!("it is longer than {MAX_FOLDER_BYTES} bytes"));
    }
    if folder.starts_with('/') {
        return Err("it starts with `/`; folders are relative to the mount".to_owned());
    }
    for (index, name) in folder.split('/').enumerate() {
        if name.is_empty() {
            return Err("it has `/` with no name before or after it".to_owned());
        }
        if name == "." || name == ".." {
            return Err(format!("`{name}` is not the name of a folder"));
        }
        if name.starts_with('_') {
            return Err("names that start with `_` are drumfs's own".to_owned());
        }
        if name.chars().any(char::is_control) {
            return Err("it has a control character".to_owned());
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(format!("a name in it is longer than {MAX_NAME_BYTES} bytes"));
        }
        if index == 0 && name.eq_ignore_ascii_case(ERROR_FILE) {
            return Err(format!("`{ERROR_FILE}` is drumfs's own"));
        }
        // `_manifests/Kick.txt` is the manifest of `Kick` and can't hold that of `Kick.txt/808` as well.
        if name.ends_with(".txt") && folder.split('/').count() > index + 1 {
            return Err("a folder whose name ends in `.txt` can't hold others".to_owned());
        }
    }
    Ok(())
}

pub(super) struct Parser<'d, 't> {
    pub(super) document: &'d Document<'t>,
    pub(super) vocabulary: &'d Vocabulary,
    warnings: Vec<Warning>,
    pub(super) path_patterns: Vec<(String, &'d Node)>,
    pub(super) name_patterns: Vec<(String, &'d Node)>,
}

impl<'d, 't> Parser<'d, 't> {
    fn new(document: &'d Document<'t>, vocabulary: &'d Vocabulary) -> Self {
        Self { document, vocabulary, warnings: Vec::new(), path_patterns: Vec::new(), name_patterns: Vec::new() }
    }

    fn rules(mut self) -> Result<Rules, RulesError> {
        let document = self.document;
        let mut spec = default_spec(self.vocabulary);
        let mut target_nodes = None;
        let mut threshold_nodes: &[(Node, Node)] = &[];
        let mut canonical_nodes: &[(Node, Node)] = &[];
        match &document.root.kind {
            Kind::Null => {}
            Kind::Map(entries) => {
                self.each_once(entries)?;
                for (key, value) in entries {
                    let word = self.key(key)?;
                    match Key::named(word).ok_or_else(|| self.unknown_key(key, word))? {
                        Key::TargetLabels => {
                            spec.targets = self.target_labels(value)?;
                            target_nodes = Some(value);
                        }
                        Key::Misc => self.misc(value, &mut spec)?,
                        Key::Thresholds => {
                            threshold_nodes = self.optional_map(value, "labels and their thresholds: {Kick: 0.7}")?;
                            spec.thresholds = self.thresholds(threshold_nodes)?;
                        }
                        Key::Canonical => {
                            canonical_nodes = self.optional_map(value, "pairs of labels: {China: Crash}")?;
                            spec.canonical = self.canonical(canonical_nodes)?;
                        }
                        Key::Layout => spec.layout = self.choice(value, &keys::layouts())?,
                        Key::Duplicates => spec.duplicates = self.choice(value, &keys::DUPLICATES)?,
                        Key::Names => spec.names = self.choice(value, &keys::names())?,
                        Key::KeepOpenedPaths => spec.keep_opened_paths = self.boolean(value)?,
                        Key::Routes => spec.routes = self.routes(value)?,
                    }
                }
            }
            _ => {
                let message = format!("found {}; rules are `key: value` lines", document.root.kind.described());
                return Err(document.value_error(&document.root, RulesErrorKind::Syntax, message).hint_keys());
            }
        }
        self.warn_of_contradictions(&spec, target_nodes, threshold_nodes, canonical_nodes);
        let path_globs = self.globs(&self.path_patterns)?;
        let name_globs = self.globs(&self.name_patterns)?;
        self.warnings.sort_by_key(|warning| (warning.line, warning.column));
        Ok(Rules {
            spec: Arc::new(spec),
            path_globs: Arc::new(path_globs),
            name_globs: Arc::new(name_globs),
            warnings: self.warnings.into(),
        })
    }

    fn globs(&self, patterns: &[(String, &Node)]) -> Result<Globs, RulesError> {
        let texts: Vec<String> = patterns.iter().map(|(pattern, _)| pattern.clone()).collect();
        Globs::new(&texts).map_err(|(index, reason)| {
            let node = patterns.get(index).map_or(&self.document.root, |(_, node)| *node);
            self.document.value_error(node, RulesErrorKind::BadValue, format!("the pattern can't be used: {reason}"))
        })
    }

    pub(super) fn warn(&mut self, node: &Node, message: String) {
        let (line, column) = self.document.position(node);
        self.warnings.push(Warning { line, column, message });
    }

    /// Keys that speak of each other may come in any order, so that what they contradict each other in is no error.
    fn warn_of_contradictions(
        &mut self,
        spec: &Spec,
        targets: Option<&Node>,
        thresholds: &[(Node, Node)],
        canonical: &[(Node, Node)],
    ) {
        let Some(labels) = spec.targets.clone() else {
            if let (Some(_), Some((key, _))) = (targets, canonical.first()) {
                self.warn(
                    key,
                    "with `target_labels: all` nothing is collected, so `canonical` has no effect".to_owned(),
                );
            }
            return;
        };
        let is_target = |label: &String| labels.contains(label);
        for ((label, _), (key, _)) in spec.thresholds.iter().zip(thresholds) {
            if !is_target(label) {
                self.warn(
                    key,
                    format!("`{label}` has no folder, so its threshold has no effect; list it in target_labels"),
                );
            }
        }
        for ((from, to), (key, _)) in spec.canonical.iter().zip(canonical) {
            let default = self.default_canonical(from);
            if is_target(from) && from != to && default.as_deref() != Some(to) {
                self.warn(key, format!("`{from}` is listed in target_labels and collected under `{to}`: its folder stays without its own sounds"));
            }
        }
    }

    fn default_canonical(&self, fine: &str) -> Option<String> {
        let index = self.vocabulary.index_of(fine)?;
        let to = self.vocabulary.canonical_of().get(usize::from(index))?;
        self.vocabulary.labels().get(usize::from(*to)).cloned()
    }

    // --- keys -----------------------------------------------------------------------------------------------------

    pub(super) fn key<'n>(&self, key: &'n Node) -> Result<&'n str, RulesError> {
        match &key.kind {
            Kind::Scalar(scalar) => Ok(&scalar.text),
            other => {
                let message = format!("found {} where a key belongs", other.described());
                Err(self.document.key_error(key, RulesErrorKind::UnknownKey, message))
            }
        }
    }

    fn each_once(&self, entries: &[(Node, Node)]) -> Result<(), RulesError> {
        let mut seen: std::collections::HashMap<&str, &Node> = std::collections::HashMap::new();
        for (key, _) in entries {
            let Kind::Scalar(scalar) = &key.kind else { continue };
            if let Some(first) = seen.insert(&scalar.text, key) {
                let line = self.document.line(first);
                let message = format!("`{}` a second time; the first is on line {line}", shown(&scalar.text));
                return Err(self.document.key_error(key, RulesErrorKind::Duplicate, message).hint("keep one of them"));
            }
        }
        Ok(())
    }

    fn unknown_key(&self, node: &Node, key: &str) -> RulesError {
        let message = format!("unknown key `{}`; the keys are {}", shown(key), keys().join(", "));
        let error = self.document.key_error(node, RulesErrorKind::UnknownKey, message);
        match misplaced_key(key).map(str::to_owned).or_else(|| did_you_mean(key, keys())) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    fn unknown_misc_key(&self, node: &Node, key: &str) -> RulesError {
        let known = MiscKey::ALL.map(MiscKey::name);
        let message = format!("unknown key `{}` in misc; the keys are {}", shown(key), known.join(", "));
        let error = self.document.key_error(node, RulesErrorKind::UnknownKey, message);
        match did_you_mean(key, known) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    // --- values ---------------------------------------------------------------------------------------------------

    /// What a message says of a value that is not `expected`.
    pub(super) fn unexpected(&self, node: &Node, expected: &str) -> RulesError {
        match &node.kind {
            Kind::Null => self.document.missing_error(node, node, format!("nothing here yet; expected {expected}")),
            kind => {
                let message = format!("found {}; expected {expected}", kind.described());
                self.document.value_error(node, RulesErrorKind::BadValue, message)
            }
        }
    }

    pub(super) fn scalar<'n>(&self, node: &'n Node, expected: &str) -> Result<&'n Scalar, RulesError> {
        match &node.kind {
            Kind::Scalar(scalar) => Ok(scalar),
            _ => Err(self.unexpected(node, expected)),
        }
    }

    pub(super) fn map<'n>(&self, node: &'n Node, expected: &str) -> Result<&'n [(Node, Node)], RulesError> {
        match &node.kind {
            Kind::Map(entries) => {
                self.each_once(entries)?;
                Ok(entries)
            }
            _ => Err(self.unexpected(node, expected)),
        }
    }

    /// A mapping whose lines may all have been commented out.
    fn optional_map<'n>(&self, node: &'n Node, expected: &str) -> Result<&'n [(Node, Node)], RulesError> {
        if matches!(node.kind, Kind::Null) { Ok(&[]) } else { self.map(node, expected) }
    }

    pub(super) fn boolean(&self, node: &Node) -> Result<bool, RulesError> {
        let expected = "true or false";
        self.scalar(node, expected)?.boolean.ok_or_else(|| self.unexpected(node, expected))
    }

    pub(super) fn choice<T: Copy>(&self, node: &Node, choices: &[(&'static str, T)]) -> Result<T, RulesError> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let expected = words.join(", ");
        let found = &self.scalar(node, &expected)?.text;
        choices.iter().find(|(word, _)| word == found).map(|(_, choice)| *choice).ok_or_else(|| {
            let error = self.unexpected(node, &expected);
            match did_you_mean(found, words) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }

    /// A number from 0 to 1.
    fn probability(&self, node: &Node) -> Result<f32, RulesError> {
        let expected = "a number from 0 to 1";
        let number = self.scalar(node, expected)?.number;
        match number {
            Some(number) if (0.0..=1.0).contains(&number) => Ok(number as f32),
            Some(number) if number > 1.0 && number <= 100.0 => {
                Err(self.unexpected(node, expected).hint(format!("{number} percent is {}", number / 100.0)))
            }
            _ => Err(self.unexpected(node, expected)),
        }
    }

    /// A known label, spelt as the vocabulary spells it.
    pub(super) fn label(&self, node: &Node, known: &[String]) -> Result<String, RulesError> {
        let found = &self.scalar(node, "a label")?.text;
        self.label_named(known, found, |message| self.document.value_error(node, RulesErrorKind::UnknownLabel, message))
    }

    fn label_named(
        &self,
        known: &[String],
        found: &str,
        error: impl Fn(String) -> RulesError,
    ) -> Result<String, RulesError> {
        if let Some(label) = known.iter().find(|label| label.eq_ignore_ascii_case(found)) {
            return Ok(label.clone());
        }
        match did_you_mean(found, known.iter().map(String::as_str)) {
            Some(hint) => Err(error(format!("unknown label `{}`", shown(found))).hint(hint)),
            None => {
                let message = format!("unknown label `{}`; the labels are {}", shown(found), known.join(", "));
                Err(error(message))
            }
        }
    }

    /// One value or a list of them, which has to have one at least.
    pub(super) fn one_or_more<'n>(&self, node: &'n Node, expected: &str) -> Result<&'n [Node], RulesError> {
        match &node.kind {
            Kind::Scalar(_) => Ok(std::slice::from_ref(node)),
            Kind::List(nodes) if nodes.is_empty() => Err(self.unexpected_empty(node, expected)),
            Kind::List(nodes) => Ok(nodes),
            _ => Err(self.unexpected(node, expected)),
        }
    }

    fn unexpected_empty(&self, node: &Node, expected: &str) -> RulesError {
        let message = format!("found an empty list; expected {expected}");
        self.document.value_error(node, RulesErrorKind::BadValue, message)
    }

    // --- sections -------------------------------------------------------------------------------------------------

    fn target_labels(&mut self, node: &Node) -> Result<Option<Vec<String>>, RulesError> {
        let expected = "a list of labels such as [Kick, Snare], or `all`";
        let nodes = match &node.kind {
            Kind::Scalar(scalar) if scalar.text == "all" => return Ok(None),
            Kind::Scalar(scalar) => {
                let error = self.unexpected(node, expected);
                return Err(match self.vocabulary.index_of(&scalar.text) {
                    Some(_) => error.hint(format!("did you mean `[{}]`?", scalar.text)),
                    None => error,
                });
            }
            Kind::List(nodes) if nodes.is_empty() => return Err(self.unexpected_empty(node, expected)),
            Kind::List(nodes) => nodes,
            _ => return Err(self.unexpected(node, expected)),
        };
        let mut targets: Vec<String> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let label = self.label(node, self.vocabulary.labels())?;
            if targets.contains(&label) {
                self.warn(node, format!("`{label}` is listed twice"));
            } else if self.vocabulary.index_of(&label) != Some(self.vocabulary.misc()) {
                targets.push(label);
            }
        }
        Ok(Some(targets))
    }

    fn misc(&self, node: &Node, spec: &mut Spec) -> Result<(), RulesError> {
        for (key, value) in self.map(node, "{threshold: 0.5, label: misc}")? {
            let word = self.key(key)?;
            match MiscKey::named(word).ok_or_else(|| self.unknown_misc_key(key, word))? {
                MiscKey::Threshold => spec.misc_threshold = self.probability(value)?,
                MiscKey::Label => spec.misc_label = self.folder(value)?,
            }
        }
        Ok(())
    }

    fn thresholds(&self, entries: &[(Node, Node)]) -> Result<Vec<(String, f32)>, RulesError> {
        let mut thresholds = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let found = self.key(key)?;
            if found == MISC {
                let message = "`misc` takes what is below the thresholds and has none of its own".to_owned();
                let error = self.document.key_error(key, RulesErrorKind::BadValue, message);
                return Err(error.hint("the threshold of every folder is `misc: {threshold: 0.5}`"));
            }
            let error = |message| self.document.key_error(key, RulesErrorKind::UnknownLabel, message);
            let label = self.label_named(self.vocabulary.labels(), found, |message| {
                if found.contains('/') {
                    error(format!("{message}; folders made by routes take `confidence` conditions instead"))
                } else {
                    error(message)
                }
            })?;
            thresholds.push((label, self.probability(value)?));
        }
        Ok(thresholds)
    }

    fn canonical(&self, entries: &[(Node, Node)]) -> Result<Vec<(String, String)>, RulesError> {
        let mut canonical = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let fine = self.label_named(self.vocabulary.fine(), self.key(key)?, |message| {
                self.document.key_error(key, RulesErrorKind::UnknownLabel, message)
            })?;
            canonical.push((fine, self.label(value, self.vocabulary.labels())?));
        }
        Ok(canonical)
    }

    pub(super) fn folder(&self, node: &Node) -> Result<String, RulesError> {
        let folder = &self.scalar(node, "a folder")?.text;
        check_folder(folder).map(|()| folder.clone()).map_err(|reason| {
            let message = format!("`{}` can't be a folder: {reason}", shown(folder));
            let error = self.document.value_error(node, RulesErrorKind::BadValue, message);
            let trimmed = folder.trim_matches('/');
            match check_folder(trimmed) {
                Ok(()) if trimmed != folder => error.hint(format!("did you mean `{trimmed}`?")),
                _ => error,
            }
        })
    }
}

impl RulesError {
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn hint_keys(self) -> Self {
        self.hint(format!("the keys are {}", keys().join(", ")))
    }
}

/// Where a key belongs that people bring along from elsewhere.
fn misplaced_key(key: &str) -> Option<&'static str> {
    Some(match key {
        "model_path" | "model" | "model_dir" | "checkpoint" | "ensemble" | "ensemble_weights" | "weights"
        | "temperature" | "calibration" | "calibration_path" | "backend" | "ort_dylib_path" | "onnxruntime" => {
            "that is about the model and belongs in config.yml (`--config config.yml`)"
        }
        "label_mapping" | "label_mapping_path" | "labels" | "canonical_mapping" | "canonical_mapping_path" => {
            "the files of the model are named in config.yml; here, `canonical: {China: Crash}` changes single labels"
        }
        "hash_algorithm" | "hash" | "workers" | "num_workers" | "threads" | "batch_size" | "sample_rate" | "n_mfcc"
        | "n_fft" | "hop_length" | "mel_params" | "features" | "extensions" | "audio_extensions" | "exclude" => {
            "that is about indexing and belongs in config.yml (`--config config.yml`)"
        }
        "archive" | "archive_root" | "archive_path" | "input" | "input_dir" | "input_root" | "root" | "store"
        | "index" | "index_path" => {
            "drumfs takes it on the command line: `drumfs mount ARCHIVE MOUNTPOINT --store DIR`"
        }
        "output" | "output_dir" | "output_root" | "out" | "link" | "link_mode" | "mode" | "copy" => {
            "drumfs takes it on the command line: `drumfs rebuild ARCHIVE --out DIR --link symlink`"
        }
        "overrides" | "overrides_path" => "overrides live in `_control/overrides.jsonl`",
        "misc_threshold" | "threshold" | "confidence_threshold" | "min_confidence" => {
            "write `misc: {threshold: 0.5}`, or `thresholds: {Kick: 0.7}` for one folder"
        }
        "misc_label" => "write `misc: {label: misc}`",
        "to" | "path" | "name" | "hide" | "label" => "that is part of a route: write `routes:` and the route below it",
        "targets" | "folders" | "classes" => "did you mean `target_labels`?",
        "rules" => "did you mean `routes`?",
        _ => return None,
    })
}
