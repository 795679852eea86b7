//! Catalogues and rules as nasty as archives and people make them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use drumfs::archive::{ContentHash, HashAlgorithm};
use drumfs::audio::Attributes;
use drumfs::index::Status;
use drumfs::rules::Vocabulary;
use drumfs::store::Override;
use drumfs::view::Sample;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// The hash of a content that stands for a number.
pub fn hash(number: u8) -> ContentHash {
    ContentHash::of(HashAlgorithm::Xxh3, &[number])
}

fn folder() -> impl Strategy<Value = Vec<u8>> {
    let names = vec!["", "", "a", "a/b", "a/b/c/d", "Kick", "808", "Kick/808", "pack.wav", "Übung", "[x] (1)", "deep"];
    let long = "l".repeat(255).into_bytes();
    prop_oneof![
        12 => select(names).prop_map(|name| name.as_bytes().to_vec()),
        1 => Just(b"\xff\xfe".to_vec()),
        1 => Just(long),
    ]
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let names = vec![
        "k.wav",
        "k.wav",
        "k.WAV",
        "k",
        "808",
        "deep",
        "k.tar.wav",
        ".wav.",
        "a b.aif",
        "BD_019.wav",
        "Snare 1.flac",
        "demo.wav",
        "two\nlines.wav",
        "Übung.wav",
        "Kick",
        "00",
        "x.y.z",
    ];
    prop_oneof![
        10 => select(names).prop_map(|name| name.as_bytes().to_vec()),
        1 => Just(b"sn\xffare.wav".to_vec()),
        1 => Just(format!("{}.wav", "k".repeat(251)).into_bytes()),
        1 => Just(format!("{}.wav", "ö".repeat(125)).into_bytes()),
        1 => Just([vec![0xFF; 251], b".wav".to_vec()].concat()),
        // What follows the last dot may be nearly all of the name.
        1 => Just(format!("b.{}", "x".repeat(253)).into_bytes()),
        // Named as if drumfs had named it.
        1 => (0..6u8).prop_map(|number| format!("k [{}].wav", &hash(number).to_hex()[..8]).into_bytes()),
    ]
}

fn probs() -> impl Strategy<Value = Vec<f32>> {
    (vec(0.0f32..0.1, 34), 0..34usize, 0.0f32..4.0).prop_map(|(mut probs, peak, height)| {
        probs[peak] += height;
        let sum: f32 = probs.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        probs.iter().map(|p| p / sum).collect()
    })
}

fn sample() -> impl Strategy<Value = Sample> {
    let status = prop_oneof![
        12 => Just(Status::Ok),
        1 => select(vec![Status::TooShort, Status::Silent, Status::LoadError, Status::Unsupported]),
        1 => Just(Status::Missing),
    ];
    (folder(), name(), 0..30u8, status, probs(), 0.0f64..6.0, any::<u32>(), prop::bool::weighted(0.05)).prop_map(
        |(folder, name, content, status, probs, duration_sec, mtime, unread)| {
            let path = if folder.is_empty() { name } else { [folder, name].join(&b'/') };
            let attributes = Attributes {
                duration_sec,
                rms_dbfs: -20.0,
                centroid_hz: 1000.0,
                rolloff_hz: 3000.0,
                sample_rate: 44_100,
                channels: 1,
                codec: "pcm_s16le".into(),
            };
            Sample {
                path: path.into(),
                size: u64::from(content) * 100,
                mtime_ns: i64::from(mtime) * 1_000_000,
                hash: (!unread).then(|| hash(content)),
                status: if unread && status == Status::Ok { Status::LoadError } else { status },
                error: status.is_error().then(|| "what went wrong".into()),
                attributes: Some(attributes),
                probs: if status == Status::Ok && !unread { probs.into() } else { [].into() },
                gate: None,
            }
        },
    )
}

/// Samples with paths as a file system has them: each once, and nothing below what is a file.
pub fn samples() -> impl Strategy<Value = Vec<Arc<Sample>>> {
    vec(sample(), 0..60).prop_map(|samples| {
        let mut by_path: BTreeMap<Vec<u8>, Arc<Sample>> = BTreeMap::new();
        for sample in samples {
            let path = sample.path.to_vec();
            let inside = |outer: &[u8], inner: &[u8]| inner.starts_with(outer) && inner.get(outer.len()) == Some(&b'/');
            if !by_path.keys().any(|known| inside(known, &path) || inside(&path, known)) {
                by_path.insert(path, Arc::new(sample));
            }
        }
        by_path.into_values().collect()
    })
}

fn route() -> impl Strategy<Value = String> {
    let condition = select(vec![
        "path: \"a/**\"",
        "path: \"**/808*\"",
        "name: \"*k*\"",
        "name: \"*demo*\"",
        "label: Kick",
        "duration: \"> 4.0\"",
        "label: Snare",
        "confidence: \"< 0.5\"",
        "size: \"> 1500\"",
        "reason: low_confidence",
        "fine_label: Clap",
    ]);
    let end = prop_oneof![
        4 => select(vec!["Loops", "Kick/808", "Kick/a", "Kick/a/b", "Snare/pack.wav", "Deep/er/still", "Kick.txt",
            "Kick/a.txt", "Übung", "misc/808"])
            .prop_map(|to| format!("to: \"{to}\"")),
        1 => Just("hide: true".to_owned()),
    ];
    (condition, end).prop_map(|(condition, end)| format!("  - {{{condition}, {end}}}\n"))
}

/// A valid text of rules.yml.
pub fn rules() -> impl Strategy<Value = String> {
    let fine: Vec<String> = Vocabulary::drums().fine().to_vec();
    let targets = prop_oneof![
        2 => Just(String::new()),
        1 => Just("target_labels: all\n".to_owned()),
        1 => subsequence(fine, 1..8).prop_map(|labels| format!("target_labels: [{}]\n", labels.join(", "))),
    ];
    let word =
        |key: &'static str, words: Vec<&'static str>| select(words).prop_map(move |word| format!("{key}: {word}\n"));
    (
        targets,
        word("layout", vec!["preserve", "flat", "by-pack"]),
        word("duplicates", vec!["show", "show", "hide"]),
        word("names", vec!["ignore", "tiebreak", "trust"]),
        (0..=100u8).prop_map(|percent| format!("misc: {{threshold: {}, label: misc}}\n", f32::from(percent) / 100.0)),
        vec(route(), 0..5),
    )
        .prop_map(|(targets, layout, duplicates, names, misc, routes)| {
            let routes = if routes.is_empty() { String::new() } else { format!("routes:\n{}", routes.concat()) };
            [targets, layout, duplicates, names, misc, routes].concat()
        })
}

/// What people said of contents.
pub fn overrides() -> impl Strategy<Value = HashMap<ContentHash, Override>> {
    let label = select(vec!["Kick", "Snare", "Clap", "Rim", "misc", "Loops", "Kick/808", "Gone"]);
    prop::collection::hash_map(0..30u8, label, 0..6).prop_map(|said| {
        let entry =
            |(content, label): (u8, &str)| (hash(content), Override { label: label.to_owned(), note: None, at: 1.0 });
        said.into_iter().map(entry).collect()
    })
}
