//! Trees of an index.jsonl: the older pipeline's, and drumfs's own.

use std::collections::HashMap;
use std::fs;
use std::io::Write;

use drumfs::archive::{ContentHash, HashAlgorithm};
use drumfs::rebuild::{Narrowed, Recorded};
use drumfs::rules::{Reason, Rules, Vocabulary};
use drumfs::store::Override;
use drumfs::view::View;
use serde_json::{Value, json};

use super::place::Place;

type Overrides = HashMap<ContentHash, Override>;

/// Writes an index of these lines.
fn index(place: &Place, lines: &[Value]) {
    fs::write(place.index(), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

fn recorded(place: &Place, check: bool) -> Result<Recorded, String> {
    let read = Recorded::read(&place.index(), None, Vocabulary::drums().fine(), check);
    read.map_err(|error| error.to_string())
}

fn view(recorded: &Recorded, rules: Option<&Rules>, labels: &[String], overrides: &Overrides) -> View {
    let drums = Vocabulary::drums();
    let narrowed = Narrowed { rules, layout: None, labels, overrides };
    recorded.view(&drums, drums.fine().into(), &narrowed).unwrap()
}

/// The folder of each sample, and why.
fn places(view: &View) -> Vec<(String, String, Reason)> {
    let one = |(sample, id): (drumfs::view::SampleRef<'_>, u32)| {
        let assigned = view.assigned(id);
        let folder = if assigned.reason == Reason::Hidden { "" } else { view.router().folder_name(assigned.folder) };
        (String::from_utf8_lossy(sample.path).into_owned(), folder.to_owned(), assigned.reason)
    };
    view.catalogue().samples().iter().zip(0..).map(one).collect()
}

fn place(path: &str, folder: &str, reason: Reason) -> (String, String, Reason) {
    (path.to_owned(), folder.to_owned(), reason)
}

/// 34 probabilities, of which one is high.
fn probs(label: &str, high: f32) -> Vec<f32> {
    let drums = Vocabulary::drums();
    drums.fine().iter().map(|fine| if fine == label { high } else { (1.0 - high) / 33.0 }).collect()
}

/// Lines as the older pipeline wrote them.
fn old(place: &Place) -> Vec<Value> {
    let abs = |path: &str| place.archive().join(path).display().to_string();
    let md5 = |text: &str| ContentHash::of(HashAlgorithm::Md5, text.as_bytes()).to_hex();
    vec![
        json!({"relative_path": "b/k.wav", "abs_path": abs("b/k.wav"), "size": 1, "mtime": 1.0, "hash": md5("k"),
               "label_top1": "Kick", "conf_top1": 0.9, "probs": probs("Kick", 0.9), "assigned_label": "Kick",
               "assigned_reason": "top1", "misc_routed": false, "errors": null}),
        json!({"relative_path": "a/china.wav", "abs_path": abs("a/china.wav"), "size": 1, "mtime": 1.0,
               "hash": md5("c"), "label_top1": "China", "conf_top1": 0.8, "probs": probs("China", 0.8),
               "assigned_label": "China", "assigned_reason": "top1"}),
        json!({"relative_path": "a/low.wav", "abs_path": abs("a/low.wav"), "size": 1, "mtime": 1.0, "hash": md5("l"),
               "label_top1": "Tom", "conf_top1": 0.3, "probs": probs("Tom", 0.3), "assigned_label": "misc",
               "assigned_reason": "low_confidence", "misc_routed": true}),
        json!({"relative_path": "z/copy.wav", "abs_path": abs("z/copy.wav"), "size": 1, "mtime": 1.0,
               "hash": md5("k"), "skipped_duplicate": true, "assigned_label": null, "assigned_reason": "duplicate"}),
        json!({"file": abs("a/short.wav"), "relative_path": "a/short.wav", "error": "too_short"}),
    ]
}

/// An archive of the files that the old index speaks of, with it.
fn with_an_old_index() -> Place {
    let here =
        Place::of(&[("a/china.wav", ""), ("a/low.wav", ""), ("a/short.wav", ""), ("b/k.wav", ""), ("z/copy.wav", "")]);
    index(&here, &old(&here));
    here
}

#[test]
fn an_old_index_gives_the_folders_it_says() {
    let here = with_an_old_index();
    let recorded = recorded(&here, false).unwrap();
    let expected = [
        place("a/china.wav", "China", Reason::Top1),
        place("a/low.wav", "misc", Reason::LowConfidence),
        place("a/short.wav", "misc", Reason::Error),
        place("b/k.wav", "Kick", Reason::Top1),
        place("z/copy.wav", "", Reason::Hidden),
    ];
    assert_eq!(places(&view(&recorded, None, &[], &HashMap::new())), expected);
    assert_eq!(recorded.originals.archives()[0].path(), here.archive());
}

#[test]
fn labels_leave_their_folders_and_misc_as_they_did_and_overrides_go_first() {
    let here = with_an_old_index();
    let recorded = recorded(&here, false).unwrap();
    let word = |label: &str| Override { label: label.to_owned(), note: None, at: 0.0 };
    let md5 = |text: &str| ContentHash::of(HashAlgorithm::Md5, text.as_bytes());
    let overrides = HashMap::from([(md5("l"), word("Kick")), (md5("k"), word("China"))]);
    let expected = [
        place("a/china.wav", "misc", Reason::OutOfTarget),
        place("a/low.wav", "Kick", Reason::Override),
        place("a/short.wav", "misc", Reason::Error),
        place("b/k.wav", "misc", Reason::OutOfTarget),
        place("z/copy.wav", "", Reason::Hidden),
    ];
    assert_eq!(places(&view(&recorded, None, &["kick".to_owned()], &overrides)), expected);
}

#[test]
fn rules_sort_an_old_index_anew_by_its_probabilities_and_its_duplicates_with_it() {
    let here = with_an_old_index();
    let recorded = recorded(&here, true).unwrap();
    let rules = Rules::parse("{names: ignore, misc: {threshold: 0.2}}", &Vocabulary::drums()).unwrap();
    let expected = [
        place("a/china.wav", "Crash", Reason::Top1),
        // The labels that go to misc sum to more than Tom has.
        place("a/low.wav", "misc", Reason::OutOfTarget),
        place("a/short.wav", "misc", Reason::Error),
        place("b/k.wav", "Kick", Reason::Top1),
        place("z/copy.wav", "Kick", Reason::Top1),
    ];
    assert_eq!(places(&view(&recorded, Some(&rules), &[], &HashMap::new())), expected);
}

#[test]
fn probabilities_in_another_order_are_not_taken_for_this_models() {
    let here = Place::of(&[("b/k.wav", "")]);
    let mut lines = old(&here);
    lines[0]["label_top1"] = "Snare".into();
    index(&here, &lines);
    let error = recorded(&here, true).unwrap_err();
    assert!(error.contains("line 1 says `Snare`") && error.contains("say `Kick`"), "{error}");
    assert!(recorded(&here, false).is_ok());
}

#[test]
fn a_line_that_is_no_record_or_leads_elsewhere_costs_itself_alone() {
    let here = Place::of(&[("b/k.wav", "")]);
    let mut lines = old(&here);
    lines.truncate(1);
    for path in ["../secret.wav", "/etc/passwd", "a//b.wav"] {
        lines.push(json!({"relative_path": path, "abs_path": format!("/x/{path}"), "assigned_label": "Kick"}));
    }
    lines.push(json!({"relative_path": "c.wav", "assigned_label": "Kick"}));
    lines.push(json!(["no record"]));
    let evil = here.archive().join("evil.wav");
    lines.push(json!({"relative_path": "evil.wav", "abs_path": evil, "assigned_label": "../../evil"}));
    index(&here, &lines);
    let recorded = recorded(&here, false).unwrap();
    assert_eq!(recorded.bad.count(), 5, "{:?}", recorded.bad.sentences());
    let expected = [place("b/k.wav", "Kick", Reason::Top1), place("evil.wav", "misc", Reason::LowConfidence)];
    assert_eq!(places(&view(&recorded, None, &[], &HashMap::new())), expected);
}

#[test]
fn of_several_records_of_a_sample_the_last_with_a_label_counts() {
    let here = Place::of(&[("b/k.wav", "")]);
    let first = old(&here).remove(0);
    let (mut second, mut third) = (first.clone(), first.clone());
    second["assigned_label"] = "Snare".into();
    third["assigned_label"] = Value::Null;
    third["skipped_duplicate"] = true.into();
    index(&here, &[first, second, third]);
    let recorded = recorded(&here, false).unwrap();
    assert_eq!(places(&view(&recorded, None, &[], &HashMap::new())), [place("b/k.wav", "Snare", Reason::Top1)]);
}

#[test]
fn an_index_of_several_archives_is_one_tree_unless_their_paths_are_the_same() {
    let here = Place::of(&[("k.wav", "")]);
    let other = here.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("s.wav"), "the sound of s.wav").unwrap();
    let line = |root: &std::path::Path, path: &str, label: &str| json!({"relative_path": path, "abs_path": root.join(path), "assigned_label": label});
    index(&here, &[line(&other, "s.wav", "Snare"), line(&here.archive(), "k.wav", "Kick")]);
    let done = super::command::rebuild_index(&here, &[]);
    assert_eq!(done.status.code(), Some(0), "{}", super::command::said(&done));
    let tree = here.tree();
    assert_eq!((&tree["Kick/k.wav"][..], &tree["Snare/s.wav"][..]), ("k.wav", "s.wav"));
    index(&here, &[line(&other, "k.wav", "Snare"), line(&here.archive(), "k.wav", "Kick")]);
    let refused = super::command::rebuild_index(&here, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(super::command::said(&refused).contains("name one of them"), "{}", super::command::said(&refused));
}

#[test]
fn a_gzipped_index_of_an_archive_that_has_moved_is_rebuilt_where_it_is_now() {
    let here = Place::of(&[("a/k.wav", "")]);
    let line = json!({"relative_path": "a/k.wav", "abs_path": "/gone/archive/a/k.wav", "assigned_label": "Kick"});
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writeln!(gz, "{line}").unwrap();
    fs::write(here.index(), gz.finish().unwrap()).unwrap();
    let refused = super::command::rebuild_index(&here, &[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = super::command::said(&refused);
    assert!(said.contains("/gone/archive") && said.contains("rebuild ARCHIVE --index"), "{said}");
    let archive = here.archive();
    let done = super::command::rebuild_index(&here, &[archive.to_str().unwrap(), "--copy-mode", "hardlink"]);
    assert_eq!(done.status.code(), Some(0), "{}", super::command::said(&done));
    assert_eq!(here.tree()["Kick/a/k.wav"], "a/k.wav");
}

#[test]
fn a_file_of_corrections_goes_before_what_the_index_says_and_its_bad_lines_are_named() {
    let here = with_an_old_index();
    let md5 = ContentHash::of(HashAlgorithm::Md5, b"l").to_hex();
    let file = here.path().join("overrides.jsonl");
    let lines = [
        json!({"hash": md5, "correct_label": "Snare"}).to_string(),
        json!({"relative_path": "b/k.wav", "label": "Tom"}).to_string(),
        json!({"relative_path": "a/china.wav", "label": "Sanre"}).to_string(),
    ];
    fs::write(&file, lines.join("\n")).unwrap();
    let done = super::command::rebuild_index(&here, &["--overrides", file.to_str().unwrap(), "--link", "symlink"]);
    let said = super::command::said(&done);
    assert_eq!(done.status.code(), Some(3), "{said}");
    assert!(said.contains("overrides.jsonl: line 3") && said.contains("Snare"), "{said}");
    let there = |path: &str| here.out().join(path).symlink_metadata().is_ok();
    assert!(there("Snare/a/low.wav") && there("Tom/b/k.wav") && there("China/a/china.wav"), "{said}");
}

#[test]
fn a_sample_whose_name_is_not_utf8_is_found_by_its_index_alone() {
    use std::os::unix::ffi::OsStrExt;
    let here = Place::of(&[("a/k.wav", "")]);
    let name = std::ffi::OsStr::from_bytes(b"a/\xfe.wav");
    fs::write(here.archive().join(name), "sound").unwrap();
    // As drumfs writes it: the absolute path is text, and the relative one has its bytes beside.
    let abs = |path: &str| here.archive().join(path).display().to_string();
    index(
        &here,
        &[
            json!({"relative_path": "a/k.wav", "abs_path": abs("a/k.wav"), "assigned_label": "Kick", "status": "ok"}),
            json!({"relative_path": "a/\u{fffd}.wav", "relative_path_bytes": "612ffe2e776176",
                   "abs_path": abs("a/\u{fffd}.wav"), "assigned_label": "Tom", "status": "ok"}),
        ],
    );
    let recorded = recorded(&here, false).unwrap();
    assert_eq!(recorded.originals.archives().len(), 1);
    let paths: Vec<Vec<u8>> = recorded.catalogue().samples().iter().map(|sample| sample.path.to_vec()).collect();
    assert_eq!(paths, [b"a/k.wav".to_vec(), b"a/\xfe.wav".to_vec()]);
}
