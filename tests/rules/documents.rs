//! The documentation's examples and the template are what the parser takes.

use drumfs::rules::{Layout, Names, Router, Rules, Vocabulary};

const GUIDE: &str = include_str!("../../docs/rules.md");

/// The fenced blocks of the guide whose info string is `info`.
fn blocks(info: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<Vec<&str>> = None;
    for line in GUIDE.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(found)) => open = Some(vec![found]),
            (Some(lines), Some(_)) => {
                if lines[0] == info {
                    blocks.push(lines[1..].join("\n") + "\n");
                }
                open = None;
            }
            (Some(lines), None) => lines.push(line),
            (None, None) => {}
        }
    }
    blocks
}

#[test]
fn every_example_of_the_guide_is_valid_and_says_something() {
    let drums = Vocabulary::drums();
    let examples = blocks("yaml");
    assert!(examples.len() >= 10, "{}", examples.len());
    for example in examples {
        let rules = Rules::parse(&example, &drums).unwrap_or_else(|error| panic!("{error}\n{example}"));
        assert_eq!(rules.warnings(), [], "{example}");
    }
}

#[test]
fn every_refused_example_of_the_guide_is_answered_as_shown() {
    let (refused, answers) = (blocks("yaml refused"), blocks("text answer"));
    assert!(refused.len() >= 3 && refused.len() == answers.len());
    for (text, answer) in refused.iter().zip(&answers) {
        let error = Rules::parse(text, &Vocabulary::drums()).expect_err(text);
        assert_eq!(error.to_string(), answer.trim_end());
    }
}

#[test]
fn the_guide_speaks_of_every_key() {
    for key in [
        "target_labels",
        "misc",
        "thresholds",
        "canonical",
        "layout",
        "duplicates",
        "names",
        "keep_opened_paths",
        "routes",
        "path",
        "name",
        "label",
        "fine_label",
        "confidence",
        "margin",
        "entropy",
        "duration",
        "rms",
        "centroid",
        "rolloff",
        "sample_rate",
        "channels",
        "size",
        "reason",
        "to",
        "hide",
    ] {
        assert!(GUIDE.contains(&format!("`{key}`")), "{key}");
    }
}

#[test]
fn the_template_and_text_without_keys_are_the_defaults() {
    let drums = Vocabulary::drums();
    let defaults = Rules::defaults(&drums);
    for text in [
        Rules::template(&drums).as_str(),
        "",
        "\n",
        "# nothing\n",
        "---\n",
        "{}\n",
        "thresholds:\ncanonical:\nroutes:\n",
    ] {
        assert_eq!(Rules::parse(text, &drums), Ok(defaults.clone()), "{text}");
    }
    assert_eq!((defaults.layout(), defaults.names()), (Layout::Preserve, Names::Tiebreak));
    assert!(defaults.keep_opened_paths() && !defaults.hide_duplicates() && defaults.route_count() == 0);
    let folders = ["Crash", "Hihat", "Kick", "Ride", "Snare", "Tom", "misc"];
    assert_eq!(Router::new(&defaults, &drums).folders(), folders);
    let none: [(&str, &str); 0] = [];
    for small in [Vocabulary::new(["A", "B"], [("A", "B")]).unwrap(), Vocabulary::new(["A"], none).unwrap()] {
        assert_eq!(Rules::parse(&Rules::template(&small), &small), Ok(Rules::defaults(&small)));
    }
}

#[test]
fn what_the_template_suggests_works() {
    let drums = Vocabulary::drums();
    let text: String = Rules::template(&drums)
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with("routes:") || rest.starts_with("  - ") => format!("{rest}\n"),
            Some(rest) if rest.starts_with("thresholds: ") || rest.starts_with("canonical: ") => format!("{rest}\n"),
            _ => String::new(),
        })
        .collect();
    let rules = Rules::parse(&text, &drums).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!((rules.route_count(), rules.warnings()), (4, [].as_slice()), "{text}");
}

#[test]
fn the_vocabulary_of_these_tests_is_that_of_the_shipped_model() {
    let classifier = drumfs::classify::Classifier::embedded().unwrap();
    let shipped = classifier.labels();
    let drums = Vocabulary::drums();
    assert_eq!(drums.fine().len(), shipped.len());
    for (label, &canonical) in drums.fine().iter().zip(drums.canonical_of()) {
        let place = shipped.index_of(label).unwrap();
        let collected = drumfs::classify::labels::CANONICAL[shipped.canonical()[place]];
        assert_eq!(drums.labels()[usize::from(canonical)], collected, "{label}");
    }
}
