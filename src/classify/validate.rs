//! Whether a model and its companions belong together: every check, so that one run tells everything that is wrong.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use super::description::DescriptionText;
use super::ensemble::{Ensemble, EnsembleFiles};
use super::input::Inputs;
use super::labels::{CANONICAL, Labels, canonical_index, checksum, read_names};
use super::model::{
    Classifier, EMBEDDED_CANONICAL, EMBEDDED_LABELS, KIT, ModelError, ModelFiles, is_keras, read_description,
    read_model,
};
use crate::audio::Extractor;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and may not be what was meant.
    Note,
    /// A stub was written in the place of a file that was missing.
    Wrote,
    /// It is wrong.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The model, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What, in a few words.
    pub what: &'static str,
    /// How it ended.
    pub level: Level,
    /// What was found, and what to do where that is wrong.
    pub found: String,
}

/// Checks every model of an ensemble and its gate, and whether they go together.
pub fn validate_all(files: &EnsembleFiles) -> Vec<Check> {
    let members = files.members.iter().map(|member| (false, &member.files));
    let models: Vec<_> = members.chain(files.gate.iter().map(|gate| (true, &gate.files))).collect();
    if let [(_, alone)] = models[..] {
        return validate(alone);
    }
    let mut checks = Vec::new();
    for (is_gate, files) in models {
        let what = if is_gate { "gate" } else { "model" };
        let path = files.model.as_ref().map_or_else(|| "compiled in".to_owned(), |path| path.display().to_string());
        let model = Some(format!("{what}: {path}"));
        checks.extend(validate_as(files, is_gate).into_iter().map(|check| Check { model: model.clone(), ..check }));
    }
    let together = |level, found| Check { model: None, what: "together", level, found };
    if checks.iter().all(|check| check.level != Level::Wrong) {
        checks.push(match Ensemble::open(files) {
            Ok(ensemble) => {
                together(Level::Ok, format!("probabilities are of the labels of {}", ensemble.leading().model_id()))
            }
            Err(error) => together(Level::Wrong, error.to_string()),
        });
    } else {
        checks.push(together(Level::Note, "not looked at before each is right".to_owned()));
    }
    checks
}

/// Checks a model and its companions; where a label list or a canonical mapping is missing and the compiled-in one does
/// not fit, a stub is written, and never over anything.
pub fn validate(files: &ModelFiles) -> Vec<Check> {
    validate_as(files, false)
}

/// The same, of a gate or a model that votes: a gate's labels are collected nowhere.
fn validate_as(files: &ModelFiles, is_gate: bool) -> Vec<Check> {
    let mut checks = Checks { files, checks: Vec::new() };
    let description = checks.description();
    let names = checks.label_list(description.as_ref());
    if let Some(names) = names.filter(|_| !is_gate) {
        checks.canonical_mapping(&names);
    }
    if let Some(description) = &description {
        checks.run(description);
    }
    checks.calibration();
    checks.checks
}

/// What is needed of a model's description.
struct Described {
    outputs: usize,
    labels_checksum: Option<String>,
    /// The labels in it, and the file it is.
    labels: Option<(String, String)>,
}

struct Checks<'f> {
    files: &'f ModelFiles,
    checks: Vec<Check>,
}

/// A companion of the model.
enum Companion {
    /// The file and its text.
    File(PathBuf, String),
    /// It is not there; this is where it would be.
    Absent(PathBuf),
    /// The compiled-in one.
    Embedded,
    /// It can't be read; that was said.
    Unreadable,
}

impl Checks<'_> {
    fn say(&mut self, what: &'static str, level: Level, found: impl Into<String>) {
        self.checks.push(Check { model: None, what, level, found: found.into() });
    }

    fn companion(&mut self, what: &'static str, given: Option<&PathBuf>, name: &str) -> Companion {
        let beside = || Some(self.files.model.as_deref()?.parent()?.join(name));
        let Some(path) = given.cloned().or_else(beside) else { return Companion::Embedded };
        match fs::read_to_string(&path) {
            Ok(text) => Companion::File(path, text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Companion::Absent(path),
            Err(error) => {
                self.say(what, Level::Wrong, format!("{}: {error}", path.display()));
                Companion::Unreadable
            }
        }
    }

    /// The model's file, and what the JSON beside it says.
    fn description(&mut self) -> Option<Described> {
        const WHAT: &str = "model";
        let Some(path) = &self.files.model else {
            let files = ModelFiles { uncalibrated: true, ..ModelFiles::default() };
            let classifier = Classifier::open(&files).ok()?;
            self.say(WHAT, Level::Ok, format!("{}, compiled in", classifier.model_id()));
            let description = classifier.description();
            let labels_checksum = Some(description.labels_checksum.clone());
            return Some(Described { outputs: description.outputs, labels_checksum, labels: None });
        };
        if is_keras(path) {
            // Nothing can be said of what it reads and gives.
            self.say(WHAT, Level::Wrong, ModelError::Keras(path.clone()).to_string());
            return None;
        } else if let Err(error) = fs::File::open(path) {
            self.say(WHAT, Level::Wrong, format!("{}: {error}; mend model_path in config.yml", path.display()));
        } else {
            self.say(WHAT, Level::Ok, path.display().to_string());
        }
        const BESIDE: &str = "description";
        let beside = path.with_extension("json");
        let description = match read_description(path, &self.files.old_input) {
            Ok(description) => description,
            Err(error) => {
                self.say(BESIDE, Level::Wrong, error.to_string());
                return None;
            }
        };
        let layout = description.layout(&self.files.old_input);
        let outputs = match fs::read(path) {
            Ok(model) => description.outputs_with(&model),
            // That was said.
            Err(_) => Ok(description.outputs.unwrap_or_default()),
        };
        let origin = if beside.exists() { beside.display().to_string() } else { "config.yml".to_owned() };
        let wrong: Vec<&str> =
            [layout.as_ref().err(), outputs.as_ref().err()].into_iter().flatten().map(|e| &e[..]).collect();
        match (&layout, wrong.is_empty()) {
            (Ok(layout), true) => {
                let (name, outputs) = (description.name.as_deref().unwrap_or_default(), outputs.as_ref().unwrap_or(&0));
                self.say(BESIDE, Level::Ok, format!("{origin}: `{name}`, reads {layout}, {outputs} outputs"));
            }
            _ => self.say(BESIDE, Level::Wrong, format!("{origin}: {}", wrong.join("; "))),
        }
        let labels = description.labels.map(|labels| (origin, labels.to_string()));
        Some(Described { outputs: outputs.ok()?, labels_checksum: description.labels_checksum, labels })
    }

    /// The label list: its names, where they can be read.
    fn label_list(&mut self, description: Option<&Described>) -> Option<Vec<String>> {
        const WHAT: &str = "labels";
        let inline = description.and_then(|described| described.labels.clone());
        let inline = inline.filter(|_| self.files.label_mapping.is_none());
        let fallback = self.files.fallback_labels.as_ref();
        let companion = match inline {
            Some((origin, text)) => Companion::File(origin.into(), text),
            None => self.companion(WHAT, self.files.label_mapping.as_ref(), "label_mapping.json"),
        };
        let (origin, text) = match companion {
            Companion::File(path, text) => (path.display().to_string(), text),
            Companion::Embedded => ("compiled in".to_owned(), EMBEDDED_LABELS.to_owned()),
            Companion::Absent(_) if fallback.is_some() => {
                ("fallback_labels".to_owned(), serde_json::json!(fallback).to_string())
            }
            Companion::Absent(path) => {
                let description = description?;
                let embedded = read_names(EMBEDDED_LABELS).ok()?;
                let expected = description.labels_checksum.as_deref();
                let usual = expected.map_or(embedded.len() == description.outputs, |it| it == checksum(&embedded));
                if self.files.label_mapping.is_none() && description.outputs == 1 {
                    ("one output, a gate's".to_owned(), serde_json::json!([KIT]).to_string())
                } else if self.files.label_mapping.is_none() && usual {
                    ("compiled in".to_owned(), EMBEDDED_LABELS.to_owned())
                } else {
                    let stub: Vec<String> = (0..description.outputs).map(unnamed).collect();
                    let then = "put the label of each output in, in their order";
                    self.write_stub(WHAT, &path, &stub, then, Level::Wrong);
                    return None;
                }
            }
            Companion::Unreadable => return None,
        };
        let names = match read_names(&text) {
            Ok(names) => names,
            Err(error) => {
                self.say(WHAT, Level::Wrong, format!("{origin}: {error}"));
                return None;
            }
        };
        let mut wrong = Vec::new();
        for (index, name) in names.iter().enumerate() {
            if name.trim().is_empty() {
                wrong.push(format!("label {index} is empty"));
            } else if is_unnamed(name) {
                wrong.push(format!("label {index} is still `{name}`: put its name in"));
            } else if let Some(earlier) = names.iter().take(index).position(|earlier| earlier == name) {
                wrong.push(format!("`{name}` is label {earlier} and label {index}"));
            }
        }
        for problem in &wrong {
            self.say(WHAT, Level::Wrong, format!("{origin}: {problem}"));
        }
        let odd: Vec<String> = names.iter().filter_map(|name| respelt(name)).collect();
        if !odd.is_empty() {
            self.say(WHAT, Level::Note, format!("{origin}: {}", odd.join("; ")));
        }
        if let Some(description) = description {
            let found = checksum(&names);
            if names.len() != description.outputs {
                let both = format!("{} labels for {} outputs", names.len(), description.outputs);
                self.say("order", Level::Wrong, format!("{origin}: {both}"));
            } else if !wrong.is_empty() {
                self.say("order", Level::Wrong, "can't be checked before the names are right");
            } else {
                match description.labels_checksum.as_deref() {
                    None if names.len() == 1 => {}
                    None => {
                        let put =
                            format!("put \"labels_checksum\": \"{found}\" into the model's JSON to have it checked");
                        self.say(
                            "order",
                            Level::Note,
                            format!("nothing says which order the model was trained with; {put}"),
                        );
                    }
                    Some(expected) if found != expected => {
                        self.say("order", Level::Wrong, self.other_order(&names, expected, &found));
                    }
                    Some(_) => {
                        let count = names.len();
                        let found = format!("{count} labels, checksum {found}, as the model was trained with");
                        self.say("order", Level::Ok, found);
                    }
                }
            }
        }
        if wrong.is_empty() {
            self.say(WHAT, Level::Ok, format!("{origin}: {} names, each once", names.len()));
        }
        wrong.is_empty().then_some(names)
    }

    /// What to say of labels with another checksum: whether sorting them would be right, as training tools do.
    fn other_order(&self, names: &[String], expected: &str, found: &str) -> String {
        let mut sorted = names.to_vec();
        sorted.sort();
        if checksum(&sorted) == expected {
            return format!("checksum {found}, the model has {expected}: the names are right, in alphabetical order");
        }
        let description = self.files.model.as_deref().map(|path| path.with_extension("json"));
        format!(
            "checksum {found}, the model has {expected}: other names, or another order. If the list is surely what the \
             model was trained with, put \"labels_checksum\": \"{found}\" into {}",
            description.unwrap_or_default().display()
        )
    }

    fn canonical_mapping(&mut self, names: &[String]) {
        const WHAT: &str = "canonical mapping";
        let given = self.files.canonical_mapping.as_ref();
        // Labels that it knows, all of them: what it says of others does no harm.
        let embedded_fits = || {
            let known = |name: &String, pairs: &Pairs| pairs.0.iter().any(|(fine, _)| fine == name);
            let fits = |name: &String, pairs: &Pairs| known(name, pairs) || canonical_index(name).is_some();
            pairs_of(EMBEDDED_CANONICAL).is_ok_and(|pairs| names.iter().all(|name| fits(name, &pairs)))
        };
        let (origin, text) = match self.companion(WHAT, given, "canonical_mapping.json") {
            Companion::File(path, text) => (path.display().to_string(), text),
            Companion::Embedded => ("compiled in".to_owned(), EMBEDDED_CANONICAL.to_owned()),
            Companion::Absent(_) if given.is_none() && embedded_fits() => {
                ("compiled in".to_owned(), super::model::known_canonical(names))
            }
            Companion::Absent(path) => {
                let stub: std::collections::BTreeMap<&str, String> =
                    names.iter().map(|name| (name.as_str(), usual_canonical(name))).collect();
                self.write_stub(WHAT, &path, &stub, "look at where each label goes", Level::Wrote);
                return;
            }
            Companion::Unreadable => return,
        };
        let pairs = match pairs_of(&text) {
            Ok(pairs) => pairs.0,
            Err(error) => {
                let expected = "expected an object such as {\"China\": \"Crash\"}";
                return self.say(WHAT, Level::Wrong, format!("{origin}: {error}; {expected}"));
            }
        };
        let mut right = true;
        for (index, (fine, to)) in pairs.iter().enumerate() {
            let mut wrong = |problem: String| {
                right = false;
                self.say(WHAT, Level::Wrong, format!("{origin}: {problem}"));
            };
            if !names.contains(fine) {
                match super::labels::near(fine, names.iter().map(String::as_str)) {
                    Some(meant) => {
                        wrong(format!("`{fine}` is not one of the model's labels; did you mean `{meant}`?"));
                    }
                    None => {
                        let passed_over = "is not one of the model's labels: passed over";
                        self.say(WHAT, Level::Note, format!("{origin}: `{fine}` {passed_over}"));
                        continue;
                    }
                }
            }
            if canonical_index(to).is_none() && !names.contains(to) {
                let hint = near(to, CANONICAL.into_iter().chain(names.iter().map(String::as_str)));
                wrong(format!(
                    "`{fine}` goes to `{to}`; expected one of {}, or another label of the model{hint}",
                    CANONICAL.join(", ")
                ));
            }
            if pairs.iter().take(index).any(|(earlier, _)| earlier == fine) {
                wrong(format!("`{fine}` is there twice; the last counts"));
            }
        }
        let left = names.iter().filter(|name| canonical_index(name).is_none());
        let left: Vec<&str> =
            left.filter(|name| !pairs.iter().any(|(fine, _)| fine == *name)).map(String::as_str).collect();
        if !left.is_empty() {
            self.say(WHAT, Level::Note, format!("{origin}: not in it, so in misc: {}", left.join(", ")));
        }
        if right {
            self.say(WHAT, Level::Ok, format!("{origin}: {} labels, each to one that is known", pairs.len()));
        }
    }

    /// Lets the model hear something: whether it runs, and gives as many outputs as it says.
    fn run(&mut self, description: &Described) {
        const WHAT: &str = "outputs";
        let sound: Vec<f32> = (0..8000).map(|n| (n as f32 * 0.06).sin() * (-(n as f32) / 2000.0).exp()).collect();
        let heard = match (Classifier::with_any_labels(self.files), Extractor::new().extract(&sound, 44_100).features) {
            (Ok(classifier), Ok(features)) => {
                let described = classifier.description();
                let mut inputs = Inputs::default();
                let values = inputs.get(&described.layout, described.arrangement, &features, &sound, 44_100);
                let mut session = classifier.session();
                session
                    .as_mut()
                    .map_err(|error| error.to_string())
                    .and_then(|session| session.logits(values).map_err(|error| error.to_string()))
            }
            (Err(error), _) => Err(error.to_string()),
            (_, Err(unheard)) => Err(unheard.to_string()),
        };
        match heard {
            Ok(logits) => self.say(WHAT, Level::Ok, format!("it runs, and gives {} finite numbers", logits.len())),
            Err(error) => {
                let outputs = description.outputs;
                self.say(WHAT, Level::Wrong, format!("{error} ({outputs} outputs are described)"));
            }
        }
    }

    /// The calibration in force.
    fn calibration(&mut self) {
        const WHAT: &str = "calibration";
        // What is wrong with the rest was said; whether this fits can only be told of a model that opens.
        let files = ModelFiles { uncalibrated: true, ..self.files.clone() };
        let Ok(classifier) = Classifier::open(&files) else {
            return self.say(WHAT, Level::Note, "not looked at: the model can't be opened as it is");
        };
        match classifier.calibrated(self.files) {
            Ok(classifier) => {
                let calibration = classifier.calibration();
                let origin = match (&calibration.file, classifier.calibration_path(), &self.files.model) {
                    (Some(file), ..) => file.display().to_string(),
                    (None, None, None) => "compiled in".to_owned(),
                    _ => {
                        let none = "none: probabilities are the model's own; `drumfs calibrate` fits one";
                        return self.say(WHAT, Level::Note, none);
                    }
                };
                let own = match calibration.platt.len() {
                    0 => String::new(),
                    count => format!(", {count} labels with numbers of their own"),
                };
                self.say(WHAT, Level::Ok, format!("{origin}: temperature {:.3}{own}", calibration.temperature));
            }
            Err(error) => self.say(WHAT, Level::Wrong, error.to_string()),
        }
    }

    /// Writes a stub where nothing is.
    fn write_stub(&mut self, what: &'static str, path: &Path, stub: &impl Serialize, then: &str, level: Level) {
        match write_new(path, stub) {
            Ok(()) => self.say(what, level, format!("{} was missing; a stub is there now: {then}", path.display())),
            Err(error) => {
                self.say(
                    what,
                    Level::Wrong,
                    format!("{} is missing, and no stub could be written: {error}", path.display()),
                );
            }
        }
    }
}

/// Writes JSON where nothing is.
fn write_new(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    // Never over anything, even where it came to be this very moment.
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.inspect_err(|_| drop(fs::remove_file(path)))
}

/// A label list that could not be begun.
#[derive(Debug, Error)]
pub enum StubError {
    /// The model can't be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// How many outputs it has is not known.
    #[error("{}: {reason}", model.display())]
    Outputs {
        /// The model.
        model: PathBuf,
        /// Why.
        reason: String,
    },
    /// It can't be written.
    #[error("{}: {source}; a file that is there is never written over", path.display())]
    Io {
        /// Where it would be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes a label list to fill in: one line for each output of a model. How many there are.
///
/// # Errors
/// [`StubError`], also where there is a file already.
pub fn write_label_stub(files: &ModelFiles, path: &Path) -> Result<usize, StubError> {
    let (bytes, description) = match (read_model(files), &files.model) {
        // For the number of outputs nothing is needed but the file.
        (Err(ModelError::NoDescription(_)), Some(path)) => {
            let bytes = fs::read(path).map_err(|error| ModelError::Io { path: path.clone(), error })?;
            (bytes.into(), DescriptionText::of_the_older_pipeline())
        }
        (read, _) => read?,
    };
    let model = || files.model.clone().unwrap_or_default();
    let outputs = description.outputs_with(&bytes).map_err(|reason| StubError::Outputs { model: model(), reason })?;
    let stub: Vec<String> = (0..outputs).map(unnamed).collect();
    let failed = |source| StubError::Io { path: path.to_owned(), source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    write_new(path, &stub).map_err(failed)?;
    Ok(outputs)
}

/// What a stub calls an output until a person puts the label in.
fn unnamed(index: usize) -> String {
    format!("<label of output {index}>")
}

/// Whether a name was never put in: those of stubs, drumfs's and others', stand in angle brackets.
fn is_unnamed(name: &str) -> bool {
    name.starts_with('<') && name.ends_with('>')
}

/// Where the compiled-in mapping sends a label; `misc` where it does not know it.
fn usual_canonical(name: &str) -> String {
    let usual = pairs_of(EMBEDDED_CANONICAL)
        .ok()
        .and_then(|pairs| pairs.0.into_iter().find(|(fine, _)| fine.eq_ignore_ascii_case(name)).map(|(_, to)| to));
    usual.unwrap_or_else(|| "misc".to_owned())
}

/// A name that drumfs knows in another spelling, which names and rules go by.
fn respelt(name: &str) -> Option<String> {
    let known = Labels::parse(EMBEDDED_LABELS, "{}").ok()?;
    if known.index_of(name).is_some() {
        return None;
    }
    let plain =
        |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    let same = known.names().iter().find(|known| {
        let (known, name) = (plain(known), plain(name));
        known == name || format!("{known}s") == name
    })?;
    Some(format!("`{name}` is `{same}` elsewhere in drumfs, in file names and rules: is it another?"))
}

/// `; did you mean …?`, where something is near.
fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    super::labels::near(name, known).map_or_else(String::new, |closest| format!("; did you mean `{closest}`?"))
}

/// A canonical mapping as it is written, names that are there twice included.
#[derive(Default)]
struct Pairs(Vec<(String, String)>);

fn pairs_of(text: &str) -> Result<Pairs, serde_json::Error> {
    #[derive(Deserialize)]
    struct Nested {
        model_class_to_canonical: Pairs,
    }
    // The older pipeline's form first: the flat form could take its one key for a label.
    serde_json::from_str::<Nested>(text)
        .map(|nested| nested.model_class_to_canonical)
        .or_else(|_| serde_json::from_str(text))
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Pairs;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object from labels to canonical labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Pairs::default();
                while let Some(pair) = map.next_entry()? {
                    pairs.0.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests;
