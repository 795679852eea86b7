//! The JSON schemas of rules.yml and config.yml: what they accept is read, what is read they accept, and the files in
//! docs/schema are what the program prints.

use std::path::Path;
use std::process::Command;

use drumfs::config::{self, Config};
use drumfs::rules::{Rules, Vocabulary};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::string::string_regex;
use regex_automata::meta::Regex;
use serde_json::{Map, Value, json};

use crate::generate::rules_text;

/// Why a value is not what a schema asks for, by the rules of draft 2020-12; the keywords are those that the schemas use.
fn refused(root: &Value, schema: &Value, value: &Value) -> Option<String> {
    let Value::Object(schema) = schema else { return (*schema == false).then(|| format!("{value} may not be there")) };
    let failed = |keyword: &str| Some(format!("{keyword}: {value}"));
    for (keyword, wanted) in schema {
        let words = || wanted.as_array().unwrap().iter();
        let accepts = |schema: &Value| refused(root, schema, value).is_none();
        let ok = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "deprecated" | "$defs" | "format" => true,
            "$ref" => accepts(root.pointer(wanted.as_str().unwrap().strip_prefix('#').unwrap()).unwrap()),
            "type" => {
                let is = |kind: &Value| match kind.as_str().unwrap() {
                    "null" => value.is_null(),
                    "boolean" => value.is_boolean(),
                    "string" => value.is_string(),
                    "number" => value.is_number(),
                    "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    other => panic!("no type {other}"),
                };
                if wanted.is_array() { words().any(is) } else { is(wanted) }
            }
            "const" => wanted == value,
            "enum" => words().any(|word| word == value),
            "anyOf" => words().any(accepts),
            "allOf" => words().all(accepts),
            "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > wanted.as_f64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= wanted.as_u64().unwrap()),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= wanted.as_u64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text)),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= wanted.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= wanted.as_u64().unwrap()),
            "items" => {
                let mut problems =
                    value.as_array().into_iter().flatten().filter_map(|item| refused(root, wanted, item));
                if let Some(problem) = problems.next() {
                    return Some(problem);
                }
                true
            }
            "required" => {
                value.as_object().is_none_or(|value| words().all(|key| value.contains_key(key.as_str().unwrap())))
            }
            "properties" | "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                for (key, value) in value.as_object().into_iter().flatten() {
                    let of_key = match (known.and_then(|known| known.get(key)), keyword.as_str()) {
                        (Some(schema), "properties") => schema,
                        (None, "additionalProperties") => wanted,
                        _ => continue,
                    };
                    if let Some(problem) = refused(root, of_key, value) {
                        return Some(format!("{key}: {problem}"));
                    }
                }
                true
            }
            other => panic!("no keyword {other}"),
        };
        if !ok {
            return failed(keyword);
        }
    }
    None
}

/// Values that a schema mostly accepts; whether it does, [`refused`] tells.
fn values(root: &Value, schema: &Value) -> BoxedStrategy<Value> {
    let Value::Object(keywords) = schema else { return Just(json!("anything")).boxed() };
    let under = |schema: &Value| values(root, schema);
    if let Some(to) = keywords.get("$ref") {
        return under(root.pointer(to.as_str().unwrap().strip_prefix('#').unwrap()).unwrap());
    }
    if let Some(words) = keywords.get("enum") {
        return select(words.as_array().unwrap().clone()).boxed();
    }
    if let Some(word) = keywords.get("const") {
        return Just(word.clone()).boxed();
    }
    if let Some(choices) = keywords.get("anyOf") {
        let choices: Vec<_> = choices.as_array().unwrap().iter().map(under).collect();
        return proptest::strategy::Union::new(choices).boxed();
    }
    let kinds = match keywords.get("type") {
        Some(Value::Array(kinds)) => kinds.clone(),
        Some(kind) => vec![kind.clone()],
        None => vec![json!("string"), json!("boolean"), json!("null")],
    };
    let of_kind = |kind: &Value| match kind.as_str().unwrap() {
        "null" => Just(Value::Null).boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "integer" => (1..100_000u32).prop_map(Value::from).boxed(),
        "number" if keywords.contains_key("maximum") => (0..=100u8).prop_map(|n| json!(f64::from(n) / 100.0)).boxed(),
        "number" => prop_oneof![(1..100_000u32).prop_map(Value::from), (0.5..1e6f64).prop_map(Value::from)].boxed(),
        "string" => text(keywords),
        "array" => {
            let items = keywords.get("items").map_or_else(|| Just(json!("anything")).boxed(), under);
            let least = usize::from(keywords.contains_key("minItems"));
            let most = keywords.get("maxItems").and_then(Value::as_u64).map_or(3, |most| most.min(3) as usize);
            prop::collection::vec(items, least..=most).prop_map(Value::from).boxed()
        }
        "object" => {
            let known = keywords.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
            let known: Vec<_> = known.iter().map(|(key, schema)| (Just(key.clone()), under(schema))).collect();
            let other = match keywords.get("additionalProperties") {
                Some(Value::Bool(false)) | None => Just(Map::new()).boxed(),
                Some(schema) => prop::option::of(under(schema))
                    .prop_map(|value| value.into_iter().map(|value| ("something".to_owned(), value)).collect())
                    .boxed(),
            };
            let picked: Vec<_> = known.into_iter().map(|entry| prop::option::weighted(0.25, entry)).collect();
            (picked, other)
                .prop_map(|(picked, other)| Value::Object(picked.into_iter().flatten().chain(other).collect()))
                .boxed()
        }
        other => panic!("no type {other}"),
    };
    proptest::strategy::Union::new(kinds.iter().map(of_kind).collect::<Vec<_>>()).boxed()
}

/// Text that a pattern matches, of characters that YAML allows.
fn text(keywords: &Map<String, Value>) -> BoxedStrategy<Value> {
    let pattern = keywords.get("pattern").map_or("[a-z*?/]{1,12}", |pattern| pattern.as_str().unwrap());
    let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
    let shown = |c: char| if c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric() { c } else { 'x' };
    string_regex(pattern).unwrap().prop_map(move |text| text.chars().map(shown).collect::<String>().into()).boxed()
}

fn rules_schema() -> Value {
    Rules::schema(&Vocabulary::drums())
}

fn accepts(schema: &Value, value: &Value) -> bool {
    refused(schema, schema, value).is_none()
}

/// What a schema can't say.
const RULES_UNSAID: [&str; 5] = [
    "starts above where it ends",
    "is not a pattern",
    "can't hold others",
    "is drumfs's own",
    "the pattern can't be used",
];
const CONFIG_UNSAID: [&str; 1] = ["leave those at the top out"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_that_the_schema_accepts_are_read(value in values(&rules_schema(), &rules_schema())) {
        let text = value.to_string();
        if accepts(&rules_schema(), &value) && let Err(error) = Rules::parse(&text, &Vocabulary::drums()) {
            prop_assert!(RULES_UNSAID.iter().any(|unsaid| error.message.contains(unsaid)), "{error}\n{text}");
        }
    }

    #[test]
    fn rules_that_are_read_the_schema_accepts(text in rules_text()) {
        prop_assert!(Rules::parse(&text, &Vocabulary::drums()).is_ok());
        let mut value: Value = serde_saphyr::from_str(&text).unwrap_or_default();
        // YAML 1.1 words, which editors that know 1.2 underline.
        if let Some(word @ Value::String(_)) = value.get_mut("keep_opened_paths") {
            *word = true.into();
        }
        prop_assert_eq!(refused(&rules_schema(), &rules_schema(), &value), None, "{}", text);
    }

    #[test]
    fn a_config_that_the_schema_accepts_is_read(value in values(&config::schema(), &config::schema())) {
        let text = value.to_string();
        if accepts(&config::schema(), &value) && let Err(error) = Config::parse(&text, Path::new("")) {
            prop_assert!(CONFIG_UNSAID.iter().any(|unsaid| error.contains(unsaid)), "{error}\n{text}");
        }
    }
}

#[test]
fn rules_that_are_refused_the_schema_refuses() {
    for text in [
        "target_labels: [Kik]",
        "target_labels: []",
        "target_labels: some",
        "misc: {threshold: 1.5}",
        "misc: {treshold: 0.5}",
        "misc: {label: ../up}",
        "misc: {label: _mine}",
        "misc: 0.5",
        "thresholds: {misc: 0.5}",
        "thresholds: {Kick: high}",
        "canonical: {Kik: Snare}",
        "layout: flatt",
        "names: maybe",
        "duplicates: true",
        "keep_opened_paths: 3",
        "routs: []",
        "routes: [{to: Loops}]",
        "routes: [{path: x}]",
        "routes: [{path: x, to: y, hide: true}]",
        "routes: [{path: x, hide: false}]",
        "routes: [{path: x, to: /y}]",
        "routes: [{path: x, to: a//b}]",
        "routes: [{path: x, to: a/..}]",
        "routes: [{path: x, to: a/}]",
        "routes: [{path: '', to: y}]",
        "routes: [{path: [], to: y}]",
        "routes: [{duration: 4, to: y}]",
        "routes: [{duration: '4 s', to: y}]",
        "routes: [{confidence: '> 60', to: y}]",
        "routes: [{reason: route, to: y}]",
        "routes: [{label: Loops, to: y}]",
        "routes: [{pth: x, to: y}]",
        "[]",
        "text",
    ] {
        let value: Value = serde_saphyr::from_str(text).unwrap();
        assert!(Rules::parse(text, &Vocabulary::drums()).is_err(), "{text}");
        assert!(!accepts(&rules_schema(), &value), "{text}");
    }
}

#[test]
fn what_the_schema_and_the_reader_of_config_yml_say_agrees() {
    let schema = config::schema();
    for (text, right) in [
        ("model_path: a.onnx\nlabel_map: b.json\nthreads: 4\nstore: /x\n", true),
        ("target_labels: null\nmisc: {threshold: 0.5, label: misc}\ndedup_hash: true\n", true),
        (
            "target_labels: [Kick]\nthresholds: {Kick: 0.7}\npaths: {archive_root: a, runs_root: b}\nbatch_size: 32\n",
            true,
        ),
        ("models: [{weight: 3}, {model_path: a.onnx, mapping: {BD: Kick, CY: [Crash, Ride], no: null}}]\n", true),
        ("ensemble: {mean: geometric}\ngate: {model_path: g.onnx, threshold: 0.3}\n", true),
        ("whatever: [1]\n", true),
        ("hash_algorithm: md5\n", true),
        ("hash_algorithm: crc32\n", false),
        ("threads: 0\n", false),
        ("threads: many\n", false),
        ("models: 3\n", false),
        ("models: [{modl: x}]\n", false),
        ("gate: {}\n", false),
        ("ensemble: {mean: median}\n", false),
        ("target_labels: all\n", true),
        ("target_labels: 3\n", false),
        ("target_labels: Kick\n", false),
        ("misc: 0.5\n", false),
        ("misc: {treshold: 1}\n", false),
        ("normalize: 3\n", false),
        ("fallback_labels: Kick\n", false),
    ] {
        let value: Value = serde_saphyr::from_str(text).unwrap();
        assert_eq!(Config::parse(text, Path::new("")).is_ok(), right, "{text}");
        assert_eq!(accepts(&schema, &value), right, "{text}: {:?}", refused(&schema, &schema, &value));
    }
}

#[test]
fn what_config_yml_should_say_is_told_in_words_of_the_file_and_not_of_the_program() {
    for (text, words) in [
        ("target_labels: Kick\n", "expected a list of labels such as [Kick, Snare], `all`, or null"),
        ("misc: 0.5\n", "a mapping such as {threshold: 0.5, label: misc}"),
        ("models: [{mapping: {BD: 3}}]\n", "expected a label, a list of labels, or null"),
    ] {
        let error = Config::parse(text, Path::new("config.yml")).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
        assert!(!error.contains("Text") && !error.contains("enum"), "{error}");
    }
}

/// `DRUMFS_WRITE_SCHEMAS=1 cargo test --release --test rules schemas` writes them.
#[test]
fn the_files_in_docs_are_what_the_program_prints() {
    for which in ["rules", "config"] {
        let printed = Command::new(env!("CARGO_BIN_EXE_drumfs")).args(["schema", which]).output().unwrap();
        assert_eq!(printed.status.code(), Some(0), "{printed:?}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{which}.schema.json"));
        if std::env::var_os("DRUMFS_WRITE_SCHEMAS").is_some() {
            std::fs::write(&path, &printed.stdout).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(
            kept == String::from_utf8(printed.stdout).unwrap(),
            "{} is not what `drumfs schema {which}` prints",
            path.display()
        );
    }
}
