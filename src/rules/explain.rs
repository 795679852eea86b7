//! Why a sample goes where it goes, step by step.

use std::fmt;

use serde::Serialize;

use super::condition::Condition;
use super::heard::{first_three, likeliest};
use super::names::NameTable;
use super::route::{Audio, Router, field_value};
use super::spec::{Action, Names, Route};
use super::subject::Subject;
use super::verdict::{Reason, Verdict};

/// How many fine and collected labels an explanation lists.
const LISTED: usize = 5;

/// A label and its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelSum {
    /// The label.
    pub label: String,
    /// Its calibrated probability, summed over what is collected under it in a list of sums.
    pub probability: f32,
}

/// One route that was tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteCheck {
    /// Its index, from 0.
    pub index: usize,
    /// The line it starts on in rules.yml, from 1.
    pub line: usize,
    /// Its conditions, as text.
    pub conditions: Vec<String>,
    /// Where it leads; `None` where it hides.
    pub to: Option<String>,
    /// Whether all of its conditions hold.
    pub matched: bool,
    /// The conditions that do not hold, each with what the sample has instead.
    pub failed: Vec<String>,
}

/// One step of the precedence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// The reason that this step gives.
    pub reason: Reason,
    /// Whether it decided.
    pub decided: bool,
    /// What it found.
    pub note: String,
}

/// Why one sample goes where it goes. Serialises for `--json`; displays for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The sample's relative path; bytes that are not UTF-8 are replaced.
    pub path: String,
    /// The folder; `None` where it is hidden.
    pub folder: Option<String>,
    /// Why.
    pub reason: Reason,
    /// The label given by a name or an override, else the one the audio favours.
    pub label: Option<String>,
    /// That label's probability.
    pub confidence: f32,
    /// The threshold of the label the audio favours.
    pub threshold: Option<f32>,
    /// Probability of the label the audio favours minus that of the next.
    pub margin: f32,
    /// Entropy of the fine probabilities in nats.
    pub entropy: f32,
    /// The fine labels the model finds likeliest.
    pub fine: Vec<LabelSum>,
    /// The same, collected as the rules say.
    pub sums: Vec<LabelSum>,
    /// What the name says, whether or not it counts.
    pub name_says: Vec<String>,
    /// The routes up to the first that matches.
    pub routes: Vec<RouteCheck>,
    /// Every step, in order of precedence, up to the one that decided.
    pub stages: Vec<Stage>,
}

impl Router {
    /// Says why `subject` goes where [`Router::route`] sends it.
    pub fn explain(&self, subject: &Subject<'_>) -> Explanation {
        let audio = self.audio(subject);
        let verdict = self.route(subject);
        let name = |label: u8| self.labels.get(usize::from(label)).cloned().unwrap_or_default();
        let ranked = |mut list: Vec<LabelSum>| {
            list.sort_by(|a, b| b.probability.total_cmp(&a.probability));
            list.truncate(LISTED);
            list
        };
        let (fine, collected) = match &audio {
            None => (Vec::new(), Vec::new()),
            Some(_) => (
                ranked(
                    (0..=u8::MAX)
                        .zip(subject.probs)
                        .map(|(label, p)| LabelSum { label: name(label), probability: *p })
                        .collect(),
                ),
                ranked(
                    self.groups
                        .sums(subject.probs)
                        .map(|(label, probability)| LabelSum { label: name(label), probability })
                        .collect(),
                ),
            ),
        };
        let mut routes = Vec::new();
        for (index, (route, compiled)) in self.rules.spec.routes.iter().zip(&self.routes).enumerate() {
            let holds = self.test_results(subject, audio.as_ref(), &compiled.tests);
            let failed: Vec<String> = route
                .conditions
                .iter()
                .zip(&holds)
                .filter(|(_, holds)| !**holds)
                .map(|(condition, _)| self.why_not(condition, subject, audio.as_ref()))
                .collect();
            let matched = failed.is_empty();
            routes.push(RouteCheck {
                index,
                line: route.line,
                conditions: route.conditions.iter().map(described).collect(),
                to: destination(route),
                matched,
                failed,
            });
            if matched {
                break;
            }
        }
        let mut explanation = Explanation {
            path: String::from_utf8_lossy(subject.path).into_owned(),
            folder: (!verdict.is_hidden()).then(|| self.folder_name(verdict.folder).to_owned()),
            reason: verdict.reason,
            label: verdict.label.map(name),
            confidence: verdict.confidence,
            threshold: audio.and_then(|audio| self.threshold_of.get(usize::from(audio.top)).copied()),
            margin: verdict.margin,
            entropy: verdict.entropy,
            fine,
            sums: collected,
            name_says: name_says(&self.names, subject, &self.labels),
            routes,
            stages: Vec::new(),
        };
        explanation.stages = self.stages(subject, &verdict, audio.as_ref(), &explanation);
        explanation
    }

    fn stages(
        &self,
        subject: &Subject<'_>,
        verdict: &Verdict,
        audio: Option<&Audio>,
        explanation: &Explanation,
    ) -> Vec<Stage> {
        let matched = explanation.routes.iter().find(|route| route.matched);
        let route_note = |hides: bool| match matched {
            Some(RouteCheck { line, to: None, .. }) => format!("the route on line {line} matches first and hides it"),
            Some(RouteCheck { line, to: Some(to), .. }) if hides => {
                format!("the first route that matches, on line {line}, leads to {to}")
            }
            Some(RouteCheck { line, to: Some(to), .. }) => format!("the route on line {line} leads to {to}"),
            None if explanation.routes.is_empty() => "there are no routes".to_owned(),
            None => format!("none of {} routes matches", explanation.routes.len()),
        };
        let top = audio.and_then(|audio| self.labels.get(usize::from(audio.top))).map_or("", String::as_str);
        let heard = |confidence: f32| match audio {
            None => "nothing was classified".to_owned(),
            Some(audio) => {
                let threshold = self.threshold_of.get(usize::from(audio.top)).copied().unwrap_or_default();
                let relation = if confidence < threshold { "below" } else { "at or above" };
                format!("{top} with {confidence:.3}, {relation} its threshold of {threshold}")
            }
        };
        let audio_confidence = audio.map_or(0.0, |audio| audio.confidence);
        let mut stages = Vec::new();
        for reason in Reason::ALL {
            let decided = reason == verdict.reason;
            let note = match reason {
                Reason::Hidden => route_note(true),
                Reason::Error => format!("listening ended with `{}`", subject.status.name()),
                Reason::Override => match subject.override_label {
                    None => "nobody has said otherwise".to_owned(),
                    Some(word) if self.overridden(word).is_some() => format!("a person said `{word}`"),
                    Some(word) => format!("a person said `{word}`, which is no label and no folder any more"),
                },
                Reason::Route => route_note(false),
                Reason::Gate => gate_note(subject),
                Reason::Name => self.name_note(subject, audio, explanation, decided),
                Reason::OutOfTarget if decided => format!("the audio favours {top}, which has no folder"),
                Reason::OutOfTarget if audio.is_none() => heard(0.0),
                Reason::OutOfTarget => format!("the audio favours {top}, which has a folder"),
                Reason::LowConfidence | Reason::Top1 => heard(audio_confidence),
            };
            stages.push(Stage { reason, decided, note });
            if decided {
                break;
            }
        }
        stages
    }

    fn name_note(
        &self,
        subject: &Subject<'_>,
        audio: Option<&Audio>,
        explanation: &Explanation,
        decided: bool,
    ) -> String {
        let names = self.rules.names();
        let said = match explanation.name_says.as_slice() {
            [] => return format!("names: {}; the name says nothing", names.name()),
            said => format!("names: {}; the name says {}", names.name(), said.join(" and ")),
        };
        if decided {
            return said;
        }
        let why = match names {
            Names::Ignore => "which is ignored",
            Names::Trust => "which is more than one thing",
            Names::Tiebreak if audio.is_none() => "and there is no audio to break a tie of",
            Names::Tiebreak if audio.is_some_and(|audio| !audio.below_threshold) => "and the audio is sure enough",
            Names::Tiebreak => {
                let first = first_three(subject.probs);
                let among = explanation
                    .name_says
                    .iter()
                    .any(|said| first.iter().flatten().any(|label| self.labels.get(usize::from(*label)) == Some(said)));
                if among {
                    "which is more than one thing, or has no folder"
                } else {
                    "which is not among the audio's first three"
                }
            }
        };
        format!("{said}, {why}")
    }

    /// What the sample has where `condition` does not hold.
    fn why_not(&self, condition: &Condition, subject: &Subject<'_>, audio: Option<&Audio>) -> String {
        let name = |label: Option<u8>| {
            label.and_then(|label| self.labels.get(usize::from(label))).map_or("nothing", String::as_str)
        };
        let wanted = described(condition);
        match condition {
            Condition::Number(field, _) => match field_value(*field, subject, audio) {
                Some(value) => format!("{wanted}, but it is {}", (value * 1000.0).round() / 1000.0),
                None => format!("{wanted}, but it is not known"),
            },
            Condition::Label(_) => format!("{wanted}, but the audio favours {}", name(audio.map(|audio| audio.top))),
            Condition::FineLabel(_) => {
                format!("{wanted}, but the audio favours {}", name(audio.and_then(|_| likeliest(subject.probs))))
            }
            Condition::Reason(_) => format!("{wanted}, but without routes it would be another"),
            Condition::Path(_) => format!("{wanted}, but the path is another"),
            Condition::Name(_) => format!("{wanted}, but the name is another"),
        }
    }
}

fn gate_note(subject: &Subject<'_>) -> String {
    let found = match (subject.gate_refused, subject.gate_probability) {
        (true, _) => "the gate finds it to be no kit sound",
        (false, Some(_)) => "the gate lets it pass",
        (false, None) => return "there is no gate".to_owned(),
    };
    let said = subject.gate_probability.map(|probability| format!(": one with a probability of {probability:.3}"));
    found.to_owned() + &said.unwrap_or_default()
}

fn name_says(names: &NameTable, subject: &Subject<'_>, labels: &[String]) -> Vec<String> {
    names.labels_of(subject.path).iter().filter_map(|label| labels.get(usize::from(label)).cloned()).collect()
}

fn destination(route: &Route) -> Option<String> {
    match &route.action {
        Action::To(folder) => Some(folder.clone()),
        Action::Hide => None,
    }
}

/// A condition as text.
fn described(condition: &Condition) -> String {
    let quoted = |patterns: &[(usize, String)]| {
        patterns.iter().map(|(_, pattern)| format!("\"{pattern}\"")).collect::<Vec<_>>().join(" or ")
    };
    match condition {
        Condition::Number(field, interval) => format!("{} {interval}", field.name()),
        Condition::Label(labels) => format!("label {}", labels.join(" or ")),
        Condition::FineLabel(labels) => format!("fine_label {}", labels.join(" or ")),
        Condition::Reason(bits) => {
            let reasons = Reason::ALL.into_iter().filter(|reason| bits & reason.bit() != 0).map(Reason::name);
            format!("reason {}", reasons.collect::<Vec<_>>().join(" or "))
        }
        Condition::Path(patterns) => format!("path {}", quoted(patterns)),
        Condition::Name(patterns) => format!("name {}", quoted(patterns)),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.as_deref().unwrap_or("(hidden)");
        writeln!(f, "{}\n  goes to   {folder}, reason {}", self.path, self.reason.name())?;
        let list = |list: &[LabelSum]| {
            list.iter().map(|sum| format!("{} {:.3}", sum.label, sum.probability)).collect::<Vec<_>>().join(", ")
        };
        if !self.sums.is_empty() {
            writeln!(f, "  heard     {}", list(&self.fine))?;
            writeln!(f, "  collected {}", list(&self.sums))?;
            writeln!(f, "  margin {:.3}, entropy {:.3} nats", self.margin, self.entropy)?;
        }
        for stage in &self.stages {
            let mark = if stage.decided { "->" } else { "  " };
            writeln!(f, "  {mark} {:<15} {}", stage.reason.name(), stage.note)?;
        }
        for route in &self.routes {
            let to = route.to.as_deref().map_or("hide".to_owned(), |to| format!("to {to}"));
            let verdict = if route.matched { "matches".to_owned() } else { format!("no: {}", route.failed.join("; ")) };
            writeln!(f, "  route on line {} ({}, {to}): {verdict}", route.line, route.conditions.join(", "))?;
        }
        Ok(())
    }
}
