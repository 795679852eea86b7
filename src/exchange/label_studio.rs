//! Label Studio's tasks: JSON in its import format, streamed both ways.
//!
//! A task is `{"data": {…}, "predictions": […]}`; what people did comes back as `annotations` of the same task (the JSON
//! export), or flat with `label` beside the data (the JSON_MIN export). The labelling interface is to call the choices
//! `label` and the sound `audio`.

use std::io::{self, BufReader, Read, Write};

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::output::Output;
use super::record::{LineError, Record};
use super::rows::{LabelRow, RowHash};
use super::write::{Table, WriteOptions};
use crate::index::Status;
use crate::index::record::path_text;

/// Where Label Studio serves local files (its `LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED`).
const LOCAL: &str = "/data/local-files/?d=";

#[derive(Serialize)]
struct Task<'a> {
    data: Data<'a>,
    predictions: Vec<Prediction<'a>>,
}

#[derive(Serialize)]
struct Data<'a> {
    audio: String,
    path: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    hash: Option<String>,
    hash_algorithm: Option<&'static str>,
    /// The label when the task was written.
    label_was: Option<&'a str>,
    /// For people: the likeliest labels with their probabilities.
    heard: String,
}

#[derive(Serialize)]
struct Prediction<'a> {
    model_version: &'a str,
    score: f32,
    result: [Choice<'a>; 1],
}

#[derive(Serialize)]
struct Choice<'a> {
    id: &'static str,
    from_name: &'static str,
    to_name: &'static str,
    r#type: &'static str,
    score: f32,
    value: Choices<'a>,
}

#[derive(Serialize)]
struct Choices<'a> {
    choices: [&'a str; 1],
}

/// Writes tasks as one JSON list.
pub struct TaskWriter {
    output: Output,
    prefix: String,
    options: WriteOptions,
    any: bool,
}

impl TaskWriter {
    /// Writes the beginning of the list.
    pub fn new(mut output: Output, options: WriteOptions) -> io::Result<Self> {
        output.write_all(b"[")?;
        let prefix = match &options.prefix {
            Some(prefix) => prefix.clone(),
            None if options.archive.is_empty() => LOCAL.to_owned(),
            None => format!("{LOCAL}{}/", encoded(options.archive.as_bytes())),
        };
        Ok(Self { output, prefix, options, any: false })
    }
}

/// A path for an address: everything but letters, digits and `-._~/` as `%XX` (RFC 3986, 2.1 to 2.3).
fn encoded(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for &byte in path {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => text.push(byte as char),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

impl Table for TaskWriter {
    fn write(&mut self, record: &Record) -> io::Result<bool> {
        if record.sample.status != Status::Ok {
            return Ok(false);
        }
        let label = self.options.label.of(record);
        let (path, path_bytes) = path_text(&record.sample.path);
        let heard: Vec<String> = record.topk.iter().map(|(label, p)| format!("{label} {p:.2}")).collect();
        let score = record.assigned_confidence.or(record.conf_top1).unwrap_or(0.0);
        let prediction = |label| Prediction {
            model_version: record.model.as_deref().unwrap_or("older pipeline"),
            score,
            result: [Choice {
                id: "label",
                from_name: "label",
                to_name: "audio",
                r#type: "choices",
                score,
                value: Choices { choices: [label] },
            }],
        };
        let task = Task {
            data: Data {
                audio: format!("{}{}", self.prefix, encoded(&record.sample.path)),
                path,
                path_bytes,
                hash: record.sample.hash.map(|hash| hash.to_hex()),
                hash_algorithm: record.sample.hash.map(|hash| hash.algorithm().name()),
                label_was: label,
                heard: heard.join(", "),
            },
            predictions: label.map(prediction).into_iter().collect(),
        };
        self.output.write_all(if self.any { b",\n" } else { b"\n" })?;
        self.any = true;
        serde_json::to_writer(&mut self.output, &task)?;
        Ok(true)
    }

    fn finish(mut self: Box<Self>) -> io::Result<Output> {
        self.output.write_all(b"\n]\n")?;
        Ok(self.output)
    }
}

/// Reads tasks one after the other and gives what people said of each; a task that is wrong costs itself alone. Tasks
/// are counted from 1.
///
/// # Errors
/// Where it is no JSON list, with line and column.
pub fn read_tasks(
    input: impl Read,
    each: &mut dyn FnMut(u64, Result<Option<LabelRow>, LineError>),
) -> Result<(), serde_json::Error> {
    struct List<'f>(&'f mut dyn FnMut(u64, Result<Option<LabelRow>, LineError>));
    impl<'de> Visitor<'de> for List<'_> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of Label Studio's tasks (its JSON or JSON_MIN export)")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            let mut number = 0;
            while let Some(task) = seq.next_element::<Box<RawValue>>()? {
                number += 1;
                (self.0)(number, said(task.get()));
            }
            Ok(())
        }
    }
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 16, input));
    json.deserialize_seq(List(each))?;
    json.end()
}

/// A task as it comes back; what is beside the data in one form is in it in the other.
#[derive(Deserialize)]
struct Back {
    data: Option<Where>,
    annotations: Option<Vec<Annotation>>,
    #[serde(default)]
    label: Option<OneOrMore>,
    #[serde(flatten)]
    flat: Where,
    annotator: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Where {
    path: Option<String>,
    #[serde(alias = "relative_path_bytes")]
    path_bytes: Option<String>,
    #[serde(default)]
    relative_path: Option<String>,
    hash: Option<String>,
    hash_algorithm: Option<String>,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    was_cancelled: bool,
    result: Vec<Region>,
    completed_by: Option<serde_json::Value>,
    /// ISO 8601, always in UTC: as text it is in order.
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct Region {
    #[serde(default)]
    from_name: String,
    #[serde(default)]
    value: RegionValue,
}

#[derive(Default, Deserialize)]
struct RegionValue {
    choices: Option<Vec<String>>,
}

/// What a flat export has of a choice: the choice, or several of them as `{"choices": […]}`.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    List(Vec<String>),
    More { choices: Vec<String> },
}

fn said(task: &str) -> Result<Option<LabelRow>, LineError> {
    let task: Back = serde_json::from_str(task).map_err(|error| LineError(format!("no task: {error}")))?;
    let mut by = task.annotator.as_ref().and_then(person);
    let choices = match (task.annotations, task.label) {
        (Some(annotations), _) => {
            let mut kept: Vec<Annotation> = annotations.into_iter().filter(|one| !one.was_cancelled).collect();
            // The one that was touched last counts; the sort keeps the order of equals.
            kept.sort_by(|a, b| a.updated_at.cmp(&b.updated_at));
            let Some(last) = kept.pop() else { return Ok(None) };
            by = last.completed_by.as_ref().and_then(person);
            let is_label = |region: &Region| region.from_name == "label" || region.from_name.is_empty();
            last.result.into_iter().filter(is_label).find_map(|region| region.value.choices)
        }
        (None, Some(OneOrMore::One(label))) => Some(vec![label]),
        (None, Some(OneOrMore::List(labels) | OneOrMore::More { choices: labels })) => Some(labels),
        (None, None) => None,
    };
    let label = match choices.as_deref() {
        None | Some([]) => return Ok(None),
        Some([label]) if label.trim().is_empty() => return Ok(None),
        Some([label]) => label.trim().to_owned(),
        Some(several) => return Err(LineError(format!("it has several labels: {}", several.join(", ")))),
    };
    let at = task.data.unwrap_or(task.flat);
    let path = at.path.or(at.relative_path);
    if path.is_none() && at.path_bytes.is_none() && at.hash.is_none() {
        return Err(LineError(
            "neither `path` nor `hash` in its data says which sample is meant: tasks that drumfs exports have them"
                .to_owned(),
        ));
    }
    let hash = at.hash.map(|text| RowHash { text, algorithm: at.hash_algorithm });
    LabelRow { hash, label, was: None, by, path: None }.at(path, at.path_bytes.as_deref()).map(Some)
}

/// Who annotated: a number, a name, or an object with one.
fn person(who: &serde_json::Value) -> Option<String> {
    let named = |key: &str| who.get(key).and_then(person);
    match who {
        serde_json::Value::String(name) => Some(name.clone()),
        serde_json::Value::Number(number) => Some(format!("Label Studio user {number}")),
        _ => named("email").or_else(|| named("username")).or_else(|| named("id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(json: &str) -> Vec<Result<Option<LabelRow>, LineError>> {
        let mut rows = Vec::new();
        read_tasks(json.as_bytes(), &mut |_, row| rows.push(row)).unwrap();
        rows
    }

    #[test]
    fn what_people_said_comes_back_from_both_exports() {
        let rows = all(r#"[
            {"id": 1, "data": {"audio": "x", "path": "a.wav", "hash": "ab", "hash_algorithm": "xxh3"}, "annotations": [
                {"was_cancelled": true, "result": [], "updated_at": "2026-03-01T00:00:00Z"},
                {"completed_by": {"id": 7, "email": "me@x.org"}, "updated_at": "2026-02-01T00:00:00Z",
                 "result": [{"from_name": "label", "type": "choices", "value": {"choices": ["Snare"]}}]},
                {"completed_by": 1, "updated_at": "2026-01-01T00:00:00Z",
                 "result": [{"from_name": "label", "type": "choices", "value": {"choices": ["Kick"]}}]}]},
            {"data": {"path": "b.wav"}, "annotations": []},
            {"audio": "x", "path": "c.wav", "id": 3, "label": "Tom", "annotator": 2},
            {"data": {"path": "d.wav"}, "annotations": [{"result": [{"value": {"choices": ["Tom", "Kick"]}}]}]},
            {"data": {"audio": "x"}, "annotations": [{"result": [{"value": {"choices": ["Tom"]}}]}]},
            7
        ]"#);
        let first = rows[0].as_ref().unwrap().as_ref().unwrap();
        assert_eq!((&first.label[..], first.by.as_deref()), ("Snare", Some("me@x.org")));
        assert_eq!(first.path.as_deref(), Some(&b"a.wav"[..]));
        assert_eq!(first.hash.as_ref().unwrap().algorithm.as_deref(), Some("xxh3"));
        assert_eq!(rows[1], Ok(None));
        let third = rows[2].as_ref().unwrap().as_ref().unwrap();
        assert_eq!((&third.label[..], third.by.as_deref()), ("Tom", Some("Label Studio user 2")));
        assert!(rows[3].as_ref().unwrap_err().to_string().contains("several labels: Tom, Kick"));
        assert!(rows[4].as_ref().unwrap_err().to_string().contains("neither `path` nor `hash`"));
        assert!(rows[5].is_err());
        assert!(read_tasks(&b"{\"data\": 1}"[..], &mut |_, _| {}).unwrap_err().to_string().contains("Label Studio"));
        assert!(read_tasks(&b"[{}"[..], &mut |_, _| {}).is_err());
    }

    #[test]
    fn addresses_carry_any_path() {
        assert_eq!(encoded("a b/ü&#.wav".as_bytes()), "a%20b/%C3%BC%26%23.wav");
        assert_eq!(encoded(b"\xff"), "%FF");
    }
}
