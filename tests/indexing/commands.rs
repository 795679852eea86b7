//! Help, completions and the manual page.

use std::process::Command;

use crate::support::{Place, drumfs, index_command};

fn printed(arguments: &[&str]) -> String {
    let output = drumfs().args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_help_of_every_command_is_enough() {
    for (arguments, words) in [
        (
            &["--help"][..],
            &["mount", "index", "rules", "completions", "man", "--store", "--config", "Exit codes", "3 done"][..],
        ),
        (
            &["index", "--help"],
            &["ARCHIVE", "--threads", "--forget-missing", "--repair", "--json", "Ctrl-C", "--store"],
        ),
        (&["infer", "--help"], &["ARCHIVE", "--threads"]),
        (&["mount", "--help"], &["ARCHIVE", "MOUNTPOINT", "--store"]),
        (&["rules", "--help"], &["check", "explain", "diff"]),
        (&["rules", "check", "--help"], &["FILE", "standard input", "--json"]),
        (&["rules", "explain", "--help"], &["ARCHIVE", "SAMPLE", "--rules", "--json"]),
        (&["rules", "diff", "--help"], &["ARCHIVE", "NEW", "--old", "--json"]),
        (
            &["learn", "--help"],
            &["ARCHIVE", "--dry-run", "--force", "--undo", "--status", "--json", "one pack after another"],
        ),
        (
            &["override", "--help"],
            &["PATH|HASH", "LABEL", "--note", "--archive", "--who", "--json", "undo", "history", "import", "merge"],
        ),
        (
            &["override", "import", "--help"],
            &["FILE", "--index", "--hash-originals", "--keep-going", "--dry-run", "MD5"],
        ),
        (&["override", "merge", "--help"], &["--manifest", "--keep", "--dry-run"]),
        (&["review", "--help"], &["ARCHIVE", "--list", "--by", "margin", "Ctrl-C", "--port", "--who", "--again"]),
        (&["calibrate", "--help"], &["--val-manifest", "--out", "--dry-run", "--json", "kit", "held out"]),
        (&["stats", "--help"], &["ARCHIVE", "--index", "--html", "--json", "_stats.json"]),
        (
            &["uncertain", "--help"],
            &[
                "ARCHIVE",
                "--by",
                "entropy",
                "margin",
                "confidence",
                "diverse",
                "--top",
                "--per-pack",
                "--output",
                "--json",
            ],
        ),
        (&["duplicates", "--help"], &["ARCHIVE", "--exact", "--likeness", "--json", "velocity layers", "hide"]),
        (&["confusions", "--help"], &["ARCHIVE", "--margin", "--examples", "--html", "--json", "Fisher"]),
        (
            &["export", "--help"],
            &[
                "ARCHIVE",
                "--index",
                "--output",
                "--format",
                "--quantize",
                "0.0039",
                "--prefix",
                "metadata.csv",
                "Label Studio",
            ],
        ),
        (
            &["import", "--help"],
            &["ARCHIVE", "FILES", "--label-map", "--model", "--dry-run", "label_was", "seen_hashes.txt"],
        ),
        (
            &["aggregate", "--help"],
            &["INPUTS", "--output", "--models", "--conflicts", "model in use here is the newest", "--json"],
        ),
        (&["validate", "--help"], &["stub", "--rules", "--model", "--mapping", "--json", "exits with 1"]),
        (&["validate-mapping", "--help"], &["--model", "--mapping"]),
        (&["create-stub", "--help"], &["--model", "--output", "never"]),
        (&["schema", "--help"], &["rules", "config", "yaml-language-server"]),
        (
            &["worker", "--help"],
            &[
                "--root",
                "--threads",
                "--shard",
                "--null",
                "--input",
                "--rules",
                "--list",
                "status",
                "SIGTERM",
                "Exit codes",
            ],
        ),
        (&["features", "--help"], &["features"]),
        (&["completions", "--help"], &["bash", "zsh", "fish"]),
        (&["man", "--help"], &["manual page"]),
    ] {
        let text = printed(arguments);
        words.iter().for_each(|word| assert!(text.contains(word), "{arguments:?} lacks `{word}`:\n{text}"));
    }
}

#[test]
fn completions_know_every_command_and_option() {
    for (shell, sign) in [("bash", "complete -F"), ("zsh", "#compdef drumfs"), ("fish", "complete -c drumfs")] {
        let text = printed(&["completions", shell]);
        for word in [sign, "index", "mount", "rules", "explain", "forget-missing", "store"] {
            assert!(text.contains(word), "{shell} lacks `{word}`");
        }
    }
    assert_eq!(drumfs().args(["completions", "tcsh"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn the_manual_page_is_one() {
    let text = printed(&["man"]);
    for word in [".TH drumfs 1", ".SH NAME", ".SH SYNOPSIS", "mount", "index", "store", "Exit codes"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(printed(&["--version"]).trim(), concat!("drumfs ", env!("CARGO_PKG_VERSION")));
}

/// `drumfs … | head` panicked when head had read enough, and a mount's progress with it.
#[test]
fn nobody_reading_any_more_is_no_failure() {
    let place = Place::with_sounds(3);
    let unread = |command: &mut Command| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap().code()
    };
    assert_eq!(unread(drumfs().args(["completions", "bash"])), Some(0));
    assert_eq!(unread(drumfs().arg("man")), Some(0));
    assert_eq!(unread(&mut index_command(&place.archive(), &place.store(), &[])), Some(0));
    assert_eq!(place.known().samples.len(), 3, "the pass went on to its end");
}
