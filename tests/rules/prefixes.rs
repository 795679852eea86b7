//! A file that is still being written is told from one with a mistake.

use drumfs::rules::{Rules, Vocabulary};
use proptest::prelude::*;

use crate::generate::rules_text;

/// Panics where some beginning of a valid file is taken for a mistake.
fn check_prefixes(text: &str) {
    let drums = Vocabulary::drums();
    if let Err(error) = Rules::parse(text, &drums) {
        panic!("not valid: {error}\n{text}");
    }
    for end in 0..text.len() {
        if let Err(error) = Rules::parse_bytes(&text.as_bytes()[..end], &drums) {
            let beginning = String::from_utf8_lossy(&text.as_bytes()[..end]).into_owned();
            assert!(error.could_be_unfinished(), "{error}\n--- beginning ---\n{beginning:?}\n--- of ---\n{text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_beginning_of_a_valid_file_is_taken_for_a_mistake(text in rules_text()) {
        check_prefixes(&text);
    }
}

#[test]
fn no_beginning_of_files_in_odd_styles_is_taken_for_a_mistake() {
    for text in [
        "%YAML 1.2\n---\nmisc: {threshold: 0.5}\n",
        "---\nlayout: flat\n...\n",
        "misc: {label: \"two\n  lines\"}\n",
        "misc:\n  label: 'two\n    lines'\n",
        "misc:\n  label: \"\\u00dcbung \\x41 \\\n    joined\"\n",
        "? misc\n: {threshold: 0.5}\n",
        "{misc: {threshold: 0.5}, routes: [{path: a/b, to: x}]}\n",
        "{\"misc\" : {\"threshold\":0.5,\"label\":\"x\"}}",
        "target_labels:\n- Kick\n- Snare\nthresholds: {Clap: 0.7}\n",
        "thresholds: {Clap: 0.7}\ntarget_labels: [Kick, Clap]\n",
        "routes:\n  -\n    path: a/*\n    to:\n      Loops\n  - to: x\n    label: [Kick, Snare]\n",
        "routes:\n  - path:\n      - a/*\n      - \"b/*\"\n    to: a:b\n",
        "misc:\n  label:\n    a:b\n",
        "misc:\n  threshold: !!float 0.5\n",
        "routes: # none yet |\n  - path: a/b # >\n    to: x\n",
        "# only\n# comments\n",
        "\u{feff}layout: flat\n",
        "layout: flat\r\nnames: trust\r\n",
        "target_labels: [\n  Kick, # 808 ]\n  Snare ]\n",
        "routes: [{name: '*]*', to: x},\n {name: \"[}]\", to: y}]\n",
    ] {
        check_prefixes(text);
    }
}

#[test]
fn a_mistake_in_finished_text_is_final() {
    let drums = Vocabulary::drums();
    for text in [
        "target_labels: [Kick, Snre]\n",
        "target_labels: [Kick, Snre]",
        "target_labels:\n  - Kick\n  - Snre\n",
        "layout: flatt\n",
        "layout: flatt\nroutes: [\n",
        "layout: flatt\nmisc: {threshold: 0.5,\n  label: \"x",
        "lay: flat",
        "lay: flat\n",
        "misc: {threshold: 2}\n",
        "misc: {}\nmisc: {}\n",
        "misc: {label: }",
        "routes:\n  - {path: \"x/*\"}\n",
        "routes:\n  - path: \"x/*\"\n  - {to: y, name: z}\n",
        "routes:\n  - {to: y}\n",
        "routes:\n  - duration: \"4 s\"\n",
        "misc: {threshold: 0.5}\nfoo: bar: baz\nlayout: flat\n",
        "routes:\n  - {name: *808*, to: x}\nlayout: flat\n",
        "a: b\n",
        "- Kick\n",
    ] {
        let error = Rules::parse(text, &drums).expect_err(text);
        assert!(!error.could_be_unfinished(), "{text:?}: {error}");
    }
}

#[test]
fn text_that_can_go_on_is_unfinished() {
    let drums = Vocabulary::drums();
    for text in [
        "target_labels: [Kick, Sna",
        "target_labels: [Kick,\n",
        "misc:",
        "misc:\n",
        "misc: # soon\n\n",
        "misc: {label: \"x",
        "layout: fla",
        "lay",
        "routes:\n  - path: \"x/*\"\n",
        "routes:\n  - to: Loops\n",
        "routes:\n  -",
        "%YAML 1.2\n",
    ] {
        let error = Rules::parse(text, &drums).expect_err(text);
        assert!(error.could_be_unfinished(), "{text:?}: {error}");
    }
    let cut = &"misc: {label: Übung}".as_bytes()[..15];
    assert!(Rules::parse_bytes(cut, &drums).unwrap_err().could_be_unfinished());
    assert!(!Rules::parse_bytes(b"misc: {label: \xff}\n", &drums).unwrap_err().could_be_unfinished());
}
