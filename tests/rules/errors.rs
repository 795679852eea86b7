//! What a refused file is answered with: position, what was found, what would be accepted.

use drumfs::rules::{MAX_ROUTES, MAX_TEXT_BYTES, Rules, RulesErrorKind, Vocabulary};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::generate::rules_text;

/// The whole message of a refused text.
fn message(text: &str) -> String {
    match Rules::parse(text, &Vocabulary::drums()) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_mistake_is_named_with_its_place_and_what_was_meant() {
    for (text, expected) in [
        (
            "layout: flat\n\ntarget_labels: [Kick, Snar]\n",
            "line 3, column 23: unknown label `Snar`; did you mean `Snare`?",
        ),
        ("targt_labels: all\n", "did you mean `target_labels`?"),
        (
            "layout: by-pak\n",
            "line 1, column 9: found `by-pak`; expected preserve, flat, by-pack; did you mean `by-pack`?",
        ),
        ("misc: {treshold: 0.5}\n", "did you mean `threshold`?"),
        ("misc: {threshold: 50}\n", "50 percent is 0.5"),
        ("misc: {threshold: high}\n", "expected a number from 0 to 1"),
        ("thresholds: {Kik: 0.5}\n", "line 1, column 14: unknown label `Kik`; did you mean `Kick`?"),
        ("thresholds: {Kick/808: 0.5}\n", "routes take `confidence`"),
        ("thresholds: {misc: 0.5}\n", "misc: {threshold: 0.5}"),
        ("canonical: {Chna: Crash}\n", "did you mean `China`?"),
        ("canonical: {China: Crsh}\n", "did you mean `Crash`?"),
        ("names: tie\n", "expected ignore, tiebreak, trust"),
        ("keep_opened_paths: maybe\n", "expected true or false"),
        ("duplicates: true\n", "expected show, hide"),
        ("target_labels: []\n", "empty list"),
        ("target_labels: Kick\n", "did you mean `[Kick]`?"),
        ("target_labels: {Kick: 1}\n", "found a mapping"),
        ("layout: flat\nlayout: flat\n", "line 2, column 1: `layout` a second time; the first is on line 1"),
        ("misc: {label: ../x}\n", "`..` is not the name of a folder"),
        ("Kick\n", "rules are `key: value` lines"),
    ] {
        let message = message(text);
        assert!(message.contains(expected), "{text}{message}");
    }
}

#[test]
fn a_mistake_in_a_route_is_named_with_its_place_and_what_was_meant() {
    let route = |route: &str| message(&format!("routes:\n  - {{{route}}}\n"));
    for (text, expected) in [
        ("path: \"a/*\"", "line 2, column 5: a route that leads nowhere; it needs `to: FOLDER` or `hide: true`"),
        ("to: Loops", "a route without a condition"),
        ("path: x/y, to: Loops, hide: true", "both `to` and `hide`"),
        ("path: x/y, hide: false", "leads nowhere"),
        ("path: x/y, folder: Loops", "did you mean `to`?"),
        ("durration: \"> 4\", to: Loops", "did you mean `duration`?"),
        ("duration: \"> 4 s\", to: Loops", "leave the unit out: duration is in seconds"),
        ("duration: 4.0, to: Loops", "write \"> 4\", \"< 4\" or a range"),
        ("confidence: \"> 60\", to: Loops", "60 percent is 0.6"),
        ("channels: stereo, to: Loops", "found `stereo`"),
        ("label: Kik, to: Loops", "did you mean `Kick`?"),
        ("fine_label: misc, to: Loops", "unknown label `misc`"),
        ("reason: hidden, to: Loops", "expected error, override"),
        ("reason: topp1, to: Loops", "did you mean `top1`?"),
        ("path: \"a[\", to: Loops", "is not a pattern"),
        ("path: \"\", to: Loops", "empty pattern"),
        ("path: [], to: Loops", "empty list"),
        ("path: x/y, to: /Loops", "it starts with `/`; folders are relative to the mount; did you mean `Loops`?"),
        ("path: x/y, to: Loops/", "did you mean `Loops`?"),
        ("path: x/y, to: a//b", "no name before or after it"),
        ("path: x/y, to: a/../b", "`..` is not the name of a folder"),
        ("path: x/y, to: Kick/_x", "names that start with `_` are drumfs's own"),
        ("path: x/y, to: \"a\\tb\"", "control character"),
        ("path: x/y, to: RULES-ERROR.txt", "drumfs's own"),
        ("path: x/y, to: \"\"", "it is empty"),
        ("path: x/y, path: z, to: Loops", "`path` a second time"),
    ] {
        let message = route(text);
        assert!(message.contains(expected), "{text}\n{message}");
    }
    assert!(route(&format!("path: x/y, to: {}", "ü".repeat(128))).contains("longer than 255 bytes"));
    assert!(route(&format!("path: x/y, to: {}", "u/".repeat(600) + "u")).contains("longer than 1024 bytes"));
}

#[test]
fn what_yaml_reads_otherwise_is_answered_with_quotes() {
    for (text, expected) in [
        (
            "routes:\n  - {name: *808*, to: x}\n",
            "line 2, column 12: a value that starts with `*` means something else in YAML; put it in quotes: \"*…\"",
        ),
        ("routes:\n  - name: *808*\n    to: x\n", "put it in quotes"),
        ("routes:\n  - duration: > 4.0\n    to: x\n", "put the condition in quotes"),
        ("routes:\n  - name: &a\n    to: x\n", "put it in quotes"),
        ("routes:\n  - name: @a\n    to: x\n", "put it in quotes"),
        ("routes:\n  - name: |\n      a\n    to: x\n", "a value over several lines"),
        ("routes:\n  - name: a\n      b\n    to: x\n", "a value over several lines"),
        ("misc:\n\tthreshold: 0.5\n", "indent with spaces"),
        ("layout: flat\n---\nnames: trust\n", "remove the `---`"),
        ("layout: flat\nnames\n", "line 2, column 1: a line without a `:`"),
    ] {
        let message = message(text);
        assert!(message.contains(expected), "{text}{message}");
    }
}

#[test]
fn keys_of_config_yml_are_sent_home() {
    for (key, home) in [
        ("model_path", "config.yml"),
        ("label_mapping", "config.yml"),
        ("hash_algorithm", "config.yml"),
        ("output_dir", "drumfs rebuild"),
        ("archive_root", "drumfs mount"),
        ("overrides", "_control/overrides.jsonl"),
        ("misc_threshold", "misc: {threshold: 0.5}"),
    ] {
        let message = message(&format!("{key}: x\n"));
        assert!(
            message.starts_with(&format!("line 1, column 1: unknown key `{key}`")) && message.contains(home),
            "{message}"
        );
    }
}

#[test]
fn text_and_routes_have_limits() {
    let drums = Vocabulary::drums();
    let error = Rules::parse(&" ".repeat(MAX_TEXT_BYTES + 1), &drums).unwrap_err();
    assert_eq!((error.kind, error.could_be_unfinished()), (RulesErrorKind::TooLarge, false));
    assert!(Rules::parse(&" ".repeat(MAX_TEXT_BYTES), &drums).is_ok());
    let routes = |count: usize| format!("routes:\n{}", "  - {name: a, to: b}\n".repeat(count));
    assert_eq!(Rules::parse(&routes(MAX_ROUTES), &drums).map(|rules| rules.route_count()), Ok(MAX_ROUTES));
    let error = Rules::parse(&routes(MAX_ROUTES + 1), &drums).unwrap_err();
    assert_eq!((error.kind, error.line), (RulesErrorKind::TooLarge, MAX_ROUTES + 2));
}

#[test]
fn hostile_text_is_refused_in_time() {
    let drums = Vocabulary::drums();
    let bomb: String = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned())
        .chain((1..12).map(|i| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 8].join(", "))))
        .collect();
    for text in [
        bomb,
        "[".repeat(MAX_TEXT_BYTES),
        "{a: ".repeat(MAX_TEXT_BYTES / 4),
        "- ".repeat(MAX_TEXT_BYTES / 2),
        format!("routes: [{}]", "{}, ".repeat(MAX_TEXT_BYTES / 8)),
        "a".repeat(MAX_TEXT_BYTES),
        "\"".repeat(MAX_TEXT_BYTES),
        "? ".repeat(MAX_TEXT_BYTES / 2),
        format!("routes: [{{name: \"{}\", to: x}}]", "{a,".repeat(300) + &"}".repeat(300)),
        "#\n".repeat(MAX_TEXT_BYTES / 2 - 4) + "lay:",
        "x:\n".repeat(MAX_TEXT_BYTES / 3),
    ] {
        let start = std::time::Instant::now();
        let _ = Rules::parse(&text, &drums);
        let shown: String = text.chars().take(20).collect();
        assert!(start.elapsed().as_secs() < 20, "{shown}… took {:?}", start.elapsed());
    }
}

#[test]
fn what_is_odd_but_valid_is_a_warning() {
    let drums = Vocabulary::drums();
    for (text, expected) in [
        ("thresholds: {Clap: 0.5}\n", "`Clap` has no folder"),
        ("canonical: {Hihat: Ride}\n", "its folder stays without its own sounds"),
        ("target_labels: all\ncanonical: {China: Kick}\n", "no effect"),
        ("target_labels: [Kick, Kick]\n", "listed twice"),
        ("routes: [{path: \"*808*\", to: x}]\n", "write \"**/*808*\""),
        ("routes: [{path: \"/Loops/*\", to: x}]\n", "relative"),
        ("routes: [{name: \"Loops/*\", to: x}]\n", "use `path`"),
    ] {
        let rules = Rules::parse(text, &drums).unwrap();
        assert!(
            rules.warnings().iter().any(|warning| warning.to_string().contains(expected)),
            "{text}{:?}",
            rules.warnings()
        );
    }
    for text in ["", &Rules::template(&drums), "canonical: {China: Crash, Rim: Snare}\nthresholds: {Kick: 0.7}\n"] {
        assert_eq!(Rules::parse(text, &drums).unwrap().warnings(), [], "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), bytes in vec(any::<u8>(), 0..200)) {
        let drums = Vocabulary::drums();
        let _ = Rules::parse(&text, &drums);
        let _ = Rules::parse_bytes(&bytes, &drums);
    }

    #[test]
    fn no_text_of_yaml_characters_makes_it_panic(text in "[-a-z0-9:{}\\[\\],\"'#&*!|> %?\n\t\\\\]{0,80}") {
        let _ = Rules::parse(&text, &Vocabulary::drums());
    }

    #[test]
    fn a_damaged_file_is_parsed_or_refused_with_a_place_inside_it(
        text in rules_text(),
        edits in vec((any::<Index>(), 0..4u8, "[-a-z:{}\\[\\],\"'#&*!|> \n]{1,3}"), 1..4),
    ) {
        let mut characters: Vec<char> = text.chars().collect();
        for (place, kind, insert) in &edits {
            let at = place.index(characters.len() + 1);
            match kind {
                0 if at < characters.len() => { characters.remove(at); }
                1 => characters.truncate(at.max(1)),
                2 => characters.extend_from_within(at..),
                _ => { characters.splice(at..at, insert.chars()); }
            }
        }
        let text: String = characters.into_iter().collect();
        if let Err(error) = Rules::parse(&text, &Vocabulary::drums()) {
            let lines = text.split('\n').count();
            // YAML counts a lone carriage return as a line too.
            let lines = lines + text.matches('\r').count();
            prop_assert!(error.line >= 1 && error.column >= 1 && error.line <= lines + 1, "{error}\n{text}");
            prop_assert!(error.to_string().starts_with("line ") && !error.message.is_empty());
        }
    }
}
