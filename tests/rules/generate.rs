//! Generators: valid rules files in every style people write them in, and samples.

use std::collections::BTreeSet;

use drumfs::audio::Attributes;
use drumfs::index::Status;
use drumfs::rules::{Subject, Vocabulary};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

/// How one section of a rules file is written.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// In brackets rather than indented.
    pub flow: bool,
    /// Brackets over several lines.
    pub spread: bool,
    /// 0 plain where possible, 1 single, 2 double quotes.
    pub quotes: u8,
    pub comment: bool,
    pub blank: bool,
}

fn style() -> impl Strategy<Value = Style> {
    (any::<bool>(), any::<bool>(), 0..3u8, any::<bool>(), any::<bool>())
        .prop_map(|(flow, spread, quotes, comment, blank)| Style { flow, spread, quotes, comment, blank })
}

fn quoted(text: &str, style: Style) -> String {
    let plain = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '/' | '-' | '.' | ' ' | ':'))
        && text.chars().next().is_some_and(|c| c.is_alphanumeric())
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && !text.contains("..");
    match style.quotes {
        0 if plain => text.to_owned(),
        1 => format!("'{}'", text.replace('\'', "''")),
        _ => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

fn list(key: &str, items: &[String], style: Style) -> String {
    let note = if style.comment { " # a list" } else { "" };
    if !style.flow {
        let dashes: String = items.iter().map(|item| format!("  - {item}\n")).collect();
        format!("{key}:{note}\n{dashes}")
    } else if style.spread {
        format!("{key}: [{note}\n  {}\n]\n", items.join(",\n  "))
    } else {
        format!("{key}: [{}]{note}\n", items.join(", "))
    }
}

fn map(key: &str, entries: &[(String, String)], style: Style) -> String {
    let note = if style.comment { " # a mapping" } else { "" };
    let pairs: Vec<String> = entries.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    if !style.flow && !pairs.is_empty() {
        format!("{key}:{note}\n  {}\n", pairs.join("\n  "))
    } else if style.spread {
        format!("{key}: {{\n  {}\n}}{note}\n", pairs.join(",\n  "))
    } else {
        format!("{key}: {{{}}}{note}\n", pairs.join(", "))
    }
}

fn fine() -> Vec<String> {
    Vocabulary::drums().fine().to_vec()
}

fn number() -> impl Strategy<Value = f32> {
    (0..=100u8).prop_map(|percent| f32::from(percent) / 100.0)
}

fn folder() -> impl Strategy<Value = String> {
    select(vec!["Loops", "Kick/808", "My Loops", "Übung/Ü 2", "a:b", "Snare", "FX-1/x_y", "it's", "50% wet", "~x"])
        .prop_map(str::to_owned)
}

fn pattern() -> impl Strategy<Value = String> {
    select(vec![
        "Loops/**",
        "*808*",
        "**/*demo*",
        "[ab]*",
        "{x,y}/*.wav",
        "plain name.wav",
        "*",
        "?x",
        "a b/c:d",
        "Ü*",
        "it's*",
        "a#b",
        "back\\\\slash",
        "808",
        "yes",
        "nullify",
        "%x",
        "!no*",
    ])
    .prop_map(str::to_owned)
}

/// One condition as key and unquoted value.
fn condition() -> impl Strategy<Value = (String, String)> {
    let comparison = select(vec!["> 4.0", ">= 0.25", "< 3", "<= 1", "0.1..0.5", ">0"]);
    let unit = select(vec!["> 0.5", ">= 0.6", "< 1", "0.1..0.5"]);
    let whole = select(vec!["2", "= 2", "> 1", "44100"]);
    prop_oneof![
        pattern().prop_map(|pattern| ("path".to_owned(), pattern)),
        pattern().prop_map(|pattern| ("name".to_owned(), pattern)),
        select(fine()).prop_map(|label| ("label".to_owned(), label)),
        select(fine()).prop_map(|label| ("fine_label".to_owned(), label)),
        (select(vec!["duration", "rms", "centroid", "rolloff", "entropy"]), comparison)
            .prop_map(|(key, value)| (key.to_owned(), value.to_owned())),
        (select(vec!["confidence", "margin"]), unit).prop_map(|(key, value)| (key.to_owned(), value.to_owned())),
        (select(vec!["channels", "sample_rate", "size"]), whole)
            .prop_map(|(key, value)| (key.to_owned(), value.to_owned())),
        select(vec!["error", "low_confidence", "top1", "gate", "out_of_target", "name", "override"])
            .prop_map(|reason| ("reason".to_owned(), reason.to_owned())),
    ]
}

fn route() -> impl Strategy<Value = String> {
    (vec(condition(), 1..4), prop::option::weighted(0.8, folder()), style(), any::<Index>()).prop_map(
        |(conditions, to, style, place)| {
            let mut seen = BTreeSet::new();
            let mut entries: Vec<(String, String)> = conditions
                .into_iter()
                .filter(|(key, _)| seen.insert(key.clone()))
                .map(|(key, value)| {
                    // A plain scalar is read as something else by YAML or can't hold these.
                    let style = if style.flow && value.contains([',', '[', ']', '{', '}', ':']) {
                        Style { quotes: style.quotes.max(1), ..style }
                    } else {
                        style
                    };
                    (key, quoted(&value, style))
                })
                .collect();
            let action = match to {
                Some(to) => {
                    ("to".to_owned(), quoted(&to, Style { quotes: style.quotes.max(u8::from(style.flow)), ..style }))
                }
                None => ("hide".to_owned(), "true".to_owned()),
            };
            entries.insert(place.index(entries.len() + 1), action);
            let pairs: Vec<String> = entries.iter().map(|(key, value)| format!("{key}: {value}")).collect();
            match (style.flow, style.spread) {
                (false, _) => format!("  - {}\n", pairs.join("\n    ")),
                (true, true) => format!("  - {{\n      {}\n    }}\n", pairs.join(",\n      ")),
                (true, false) => format!("  - {{{}}}\n", pairs.join(", ")),
            }
        },
    )
}

/// One top-level section, newline included.
fn section() -> impl Strategy<Value = (u8, String)> {
    let words = |key: &'static str, words: Vec<&'static str>| {
        (select(words), style()).prop_map(move |(word, style)| format!("{key}: {}\n", quoted(word, style)))
    };
    prop_oneof![
        (subsequence(fine(), 1..8), style()).prop_map(|(labels, style)| {
            let labels: Vec<String> = labels.iter().map(|label| quoted(label, style)).collect();
            (0, list("target_labels", &labels, style))
        }),
        Just((0, "target_labels: all\n".to_owned())),
        (number(), folder(), style()).prop_map(|(threshold, label, style)| {
            let label = quoted(&label, Style { quotes: style.quotes.max(u8::from(style.flow)), ..style });
            (1, map("misc", &[("threshold".into(), threshold.to_string()), ("label".into(), label)], style))
        }),
        (subsequence(fine(), 0..4), number(), style()).prop_map(|(labels, threshold, style)| {
            let entries: Vec<_> = labels.iter().map(|label| (quoted(label, style), threshold.to_string())).collect();
            (2, map("thresholds", &entries, style))
        }),
        (subsequence(fine(), 0..4), select(fine()), style()).prop_map(|(labels, to, style)| {
            let entries: Vec<_> = labels.iter().map(|label| (label.clone(), quoted(&to, style))).collect();
            (3, map("canonical", &entries, style))
        }),
        words("layout", vec!["preserve", "flat", "by-pack"]).prop_map(|text| (4, text)),
        words("duplicates", vec!["show", "hide"]).prop_map(|text| (5, text)),
        words("names", vec!["ignore", "tiebreak", "trust"]).prop_map(|text| (6, text)),
        select(vec!["true", "false", "yes", "no", "on"]).prop_map(|word| (7, format!("keep_opened_paths: {word}\n"))),
        vec(route(), 1..4).prop_map(|routes| (8, format!("routes:\n{}", routes.concat()))),
    ]
}

/// A valid rules file.
pub fn rules_text() -> impl Strategy<Value = String> {
    let extras = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (vec((section(), style()), 0..7), extras).prop_map(|(sections, (windows, end, start, directive))| {
        let mut text = String::new();
        if directive && start {
            text.push_str("%YAML 1.2\n");
        }
        if start {
            text.push_str("---\n");
        }
        let mut seen = BTreeSet::new();
        for ((kind, section), style) in sections {
            if !seen.insert(kind) {
                continue;
            }
            if style.comment {
                text.push_str("# what follows: \"quoted, [open\n");
            }
            if style.blank {
                text.push('\n');
            }
            text.push_str(&section);
        }
        if !end {
            text.truncate(text.trim_end_matches('\n').len());
        }
        if windows { text.replace('\n', "\r\n") } else { text }
    })
}

/// A sample that owns what a [`Subject`] borrows.
#[derive(Debug, Clone)]
pub struct Sample {
    pub path: Vec<u8>,
    pub size: u64,
    pub status: Status,
    pub attributes: Option<Attributes>,
    pub probs: Vec<f32>,
    pub override_label: Option<String>,
    pub gate_refused: bool,
}

impl Sample {
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            path: &self.path,
            size: self.size,
            status: self.status,
            attributes: self.attributes.as_ref(),
            probs: &self.probs,
            override_label: self.override_label.as_deref(),
            gate_refused: self.gate_refused,
            gate_probability: None,
            read_name: None,
        }
    }
}

fn probs() -> impl Strategy<Value = Vec<f32>> {
    (vec(0.0f32..0.2, 34), vec((0..34usize, 0.0f32..4.0), 0..3)).prop_map(|(mut probs, peaks)| {
        for (index, peak) in peaks {
            probs[index] += peak;
        }
        let sum: f32 = probs.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        probs.iter().map(|p| p / sum).collect()
    })
}

pub fn sample() -> impl Strategy<Value = Sample> {
    let path = prop_oneof![
        5 => select(vec![
            "Kit/BD_019.wav", "Loops/kick 808.wav", "Snares/Clap.wav", "x/y/z/019.wav", "demo.wav", "Rim.aif",
            "Loops/demo/HH_1.wav", "Tom/FT.wav",
        ])
        .prop_map(|path| path.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..20),
    ];
    let status = prop_oneof![8 => Just(Status::Ok), 1 => Just(Status::Silent), 1 => Just(Status::Unsupported)];
    let attributes = (0.0f64..8.0, -90.0f32..0.0, 1u16..3).prop_map(|(duration_sec, rms_dbfs, channels)| Attributes {
        duration_sec,
        rms_dbfs,
        centroid_hz: 1000.0,
        rolloff_hz: 3000.0,
        sample_rate: 44_100,
        channels,
        codec: "pcm_s16le".into(),
    });
    let word = select(vec!["Kick", "Clap", "Rim", "misc", "Loops", "Kick/808", "Gone/Deep", "nonsense", "snare"]);
    (
        path,
        any::<u64>(),
        status,
        prop::option::weighted(0.9, attributes),
        prop_oneof![12 => probs(), 1 => Just(Vec::new()), 1 => vec(any::<f32>(), 34), 1 => vec(any::<f32>(), 0..40)],
        prop::option::weighted(0.2, word.prop_map(str::to_owned)),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(path, size, status, attributes, probs, override_label, gate_refused)| Sample {
            path,
            size,
            status,
            attributes,
            probs,
            override_label,
            gate_refused,
        })
}
