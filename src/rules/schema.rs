//! The JSON schema of rules.yml, for editors: what the parser takes, as far as a schema can say it.
//!
//! It asks for labels as the model spells them, where the parser takes any case, and for plain numbers, where the parser
//! takes them in quotes, too. It can't say that a pattern is one, or that a range starts below its end.

use serde_json::{Map, Value, json};

use super::condition::Field;
use super::keys::{self, Key, MiscKey, RouteKey};
use super::parse::{MAX_FOLDER_BYTES, MAX_ROUTES};
use super::parse_route::MAX_PATTERN_BYTES;
use super::spec::Rules;
use super::vocabulary::{MISC, Vocabulary};

/// A decimal number; exponents are short, so that none is infinite.
const NUMBER: &str = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?";
/// A number from 0 to 1.
const UNIT: &str = r"\+?(0(\.[0-9]*)?|\.[0-9]+|1(\.0*)?)";

impl Rules {
    /// The JSON schema (draft 2020-12) of rules files that speak of the labels of `vocabulary`.
    pub fn schema(vocabulary: &Vocabulary) -> Value {
        let schema = Schema { vocabulary };
        let properties = object(Key::ALL.map(|key| (key.name(), schema.of_key(key))));
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "rules.yml of drumfs",
            "description": "What goes into which folder. Every key has a default; see docs/rules.md",
            "type": ["object", "null"],
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

struct Schema<'v> {
    vocabulary: &'v Vocabulary,
}

impl Schema<'_> {
    fn of_key(&self, key: Key) -> Value {
        match key {
            Key::TargetLabels => described(
                "The folders; `all` makes one of every label",
                json!({"anyOf": [{"const": "all"}, list(self.label(), None)]}),
            ),
            Key::Misc => described(
                "Where uncertain sounds go",
                closed(object(MiscKey::ALL.map(|key| (key.name(), of_misc_key(key))))),
            ),
            Key::Thresholds => {
                let labels = self.vocabulary.labels().iter().filter(|label| *label != MISC);
                let entries = object(labels.map(|label| (label.as_str(), probability())));
                described("Thresholds of single folders, over that of misc", or_nothing(closed(entries)))
            }
            Key::Canonical => {
                let entries = object(self.vocabulary.fine().iter().map(|label| (label.as_str(), self.label())));
                described("Which label a label is collected under", or_nothing(closed(entries)))
            }
            Key::Layout => described("How the archive's folders show inside a folder", words(&keys::layouts())),
            Key::Duplicates => described("The same bytes under several paths", words(&keys::DUPLICATES)),
            Key::Names => described("What a file's name counts for", words(&keys::names())),
            Key::KeepOpenedPaths => described(
                "A path that was opened goes on opening after its sample has moved",
                json!({"type": "boolean"}),
            ),
            Key::Routes => {
                let routes = list(self.route(), Some(MAX_ROUTES));
                let nothing = json!({"type": "array", "maxItems": 0});
                described(
                    "Before the thresholds; the first that matches wins",
                    json!({"anyOf": [routes, nothing, {"type": "null"}]}),
                )
            }
        }
    }

    fn route(&self) -> Value {
        let mut route = closed(object(RouteKey::all().map(|key| (key.name(), self.of_route_key(key)))));
        let conditions: Vec<Value> =
            RouteKey::all().filter(|key| key.is_condition()).map(|key| json!({"required": [key.name()]})).collect();
        let (to, hide) = (RouteKey::To.name(), RouteKey::Hide.name());
        if let Some(route) = route.as_object_mut() {
            route.insert(
                "allOf".to_owned(),
                json!([
                    {"anyOf": [
                        {"required": [to], "properties": {hide: {"const": false}}},
                        {"required": [hide], "properties": {hide: {"const": true}, to: false}},
                    ]},
                    {"anyOf": conditions},
                ]),
            );
        }
        route
    }

    fn of_route_key(&self, key: RouteKey) -> Value {
        match key {
            RouteKey::To => described("The folder that the samples go to, such as Kick/808", folder()),
            RouteKey::Hide => described("Whether the samples are left out of the view", json!({"type": "boolean"})),
            RouteKey::Path => described("The path in the archive, as a pattern: \"Loops/**\"", one_or_more(pattern())),
            RouteKey::Name => described("The file's name alone, as a pattern: \"*808*\"", one_or_more(pattern())),
            RouteKey::Label => {
                described("The folder label that the model favours, sure or not", one_or_more(self.label()))
            }
            RouteKey::FineLabel => {
                described("The likeliest of the model's labels", one_or_more(json!({"enum": self.vocabulary.fine()})))
            }
            RouteKey::Reason => {
                described("Why the sample would go where it goes without a route", one_or_more(words(&keys::reasons())))
            }
            RouteKey::Number(field) => comparison(field),
        }
    }

    fn label(&self) -> Value {
        json!({"enum": self.vocabulary.labels()})
    }
}

fn of_misc_key(key: MiscKey) -> Value {
    match key {
        MiscKey::Threshold => described("What the model is less sure of goes to misc", probability()),
        MiscKey::Label => described("The name of that folder", folder()),
    }
}

fn described(text: &str, mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), text.into());
    }
    schema
}

fn object<'n>(entries: impl IntoIterator<Item = (&'n str, Value)>) -> Map<String, Value> {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn closed(properties: Map<String, Value>) -> Value {
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

/// A mapping whose lines may all have been commented out.
fn or_nothing(mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("type".to_owned(), json!(["object", "null"]));
    }
    schema
}

fn list(items: Value, most: Option<usize>) -> Value {
    let mut list = json!({"type": "array", "items": items, "minItems": 1});
    if let (Some(list), Some(most)) = (list.as_object_mut(), most) {
        list.insert("maxItems".to_owned(), most.into());
    }
    list
}

fn one_or_more(one: Value) -> Value {
    let several = list(one.clone(), None);
    json!({"anyOf": [one, several]})
}

fn words<T>(choices: &[(&str, T)]) -> Value {
    json!({"enum": choices.iter().map(|(word, _)| *word).collect::<Vec<_>>()})
}

fn probability() -> Value {
    json!({"type": "number", "minimum": 0, "maximum": 1})
}

/// Text, whatever YAML takes it for: `808` is a pattern.
fn pattern() -> Value {
    json!({"type": ["string", "number", "boolean"], "minLength": 1, "maxLength": MAX_PATTERN_BYTES})
}

/// See `check_folder`: names between slashes, none of them `.` or `..`, none with `_` at its start or control characters.
fn folder() -> Value {
    const REST: &str = r"[^/\x00-\x1f\x7f-\x9f]";
    const FIRST: &str = r"[^/._\x00-\x1f\x7f-\x9f]";
    const THIRD: &str = r"[^/.\x00-\x1f\x7f-\x9f]";
    let name = format!(r"({FIRST}{REST}*|\.{THIRD}{REST}*|\.\.{REST}+)");
    json!({
        "type": ["string", "number", "boolean"],
        "pattern": format!("^{name}(/{name})*$"),
        "maxLength": MAX_FOLDER_BYTES,
    })
}

fn comparison(field: Field) -> Value {
    let number = if field.is_unit() { UNIT } else { NUMBER };
    let operators = if field.is_whole() { "(>=|=>|<=|=<|==|>|<|=)?" } else { "(>=|=>|<=|=<|>|<)" };
    let pattern = format!(r"^ *({operators} *{number}|{number} *\.\.=? *{number}) *$");
    let text = json!({"type": "string", "pattern": pattern});
    let about = format!("{} ({}): \"> 4.0\", \">= 0.6\", \"< 3\" or \"0.1..0.5\"", field.about(), field.unit());
    described(&about, if field.is_whole() { json!({"anyOf": [text, {"type": "number"}]}) } else { text })
}
