//! Runs, changes of the archive and a person's own doings in any order, beside a model that is too simple to be wrong:
//! after each run every sample is where the view says unless something of the person's is in the way, and whatever the
//! person put or changed is as the person left it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use drumfs::rebuild::{Link, Stay};
use drumfs::rules::Layout;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::place::{Place, files};

const SAMPLES: [&str; 6] = ["a/k.wav", "b/k.wav", "a/s.wav", "k.wav", "b/c/k.wav", "Kick/k.wav"];
const LABELS: [&str; 4] = ["Kick", "Snare", "misc", "Kick/a"];

#[derive(Debug, Clone)]
enum Step {
    /// A sample is (again) in the archive, with this label.
    Label(usize, usize),
    /// A sample is no longer known.
    Forget(usize),
    /// The bytes of an original are others.
    Change(usize),
    /// The `n`-th file of the tree is edited by a person.
    Edit(usize),
    /// The `n`-th file of the tree is removed by a person.
    Remove(usize),
    /// A person puts a file at the place where a sample with this label goes.
    Put(usize, usize),
    Layout(Layout),
    Rebuild(Link),
    Undo,
}

fn step() -> impl Strategy<Value = Step> {
    let sample = 0..SAMPLES.len();
    let label = 0..LABELS.len();
    let link = proptest::sample::select(vec![Link::Symlink, Link::Copy, Link::Hard, Link::Copy]);
    prop_oneof![
        4 => (sample.clone(), label.clone()).prop_map(|(sample, label)| Step::Label(sample, label)),
        1 => sample.clone().prop_map(Step::Forget),
        1 => sample.clone().prop_map(Step::Change),
        1 => (0..40usize).prop_map(Step::Edit),
        1 => (0..40usize).prop_map(Step::Remove),
        1 => (sample, label).prop_map(|(sample, label)| Step::Put(sample, label)),
        1 => proptest::sample::select(Layout::ALL.to_vec()).prop_map(Step::Layout),
        5 => link.prop_map(Step::Rebuild),
        1 => Just(Step::Undo),
    ]
}

/// What a person put into the tree, by path.
type Mine = BTreeMap<String, String>;

fn in_tree(place: &Place) -> Vec<String> {
    files(&place.out()).into_keys().filter(|path| !path.contains("_rebuild_log")).collect()
}

fn run(steps: &[Step]) -> TestCaseResult {
    let mut place = Place::of(&[]);
    let (mut mine, mut count): (Mine, u32) = (Mine::new(), 0);
    for step in steps {
        count += 1;
        match step {
            Step::Label(sample, label) => {
                if place.labels.contains_key(SAMPLES[*sample]) || place.archive().join(SAMPLES[*sample]).exists() {
                    place.labels.insert(SAMPLES[*sample].to_owned(), LABELS[*label].to_owned());
                } else {
                    place.add(SAMPLES[*sample], LABELS[*label]);
                }
            }
            Step::Forget(sample) => _ = place.labels.remove(SAMPLES[*sample]),
            Step::Change(sample) => {
                let path = place.archive().join(SAMPLES[*sample]);
                if path.exists() {
                    // Hard links in the tree keep the bytes of before.
                    fs::remove_file(&path).unwrap();
                    fs::write(&path, format!("the sound of {} ({count})", SAMPLES[*sample])).unwrap();
                }
            }
            Step::Edit(number) => {
                let all = in_tree(&place);
                if let Some(path) = all.get(number % all.len().max(1)) {
                    let whole = place.out().join(path);
                    // As most programs save: another file takes the place. An original is never written.
                    fs::remove_file(&whole).unwrap();
                    fs::write(&whole, format!("mine {count}")).unwrap();
                    mine.insert(path.clone(), format!("mine {count}"));
                }
            }
            Step::Remove(number) => {
                let all = in_tree(&place);
                if let Some(path) = all.get(number % all.len().max(1)) {
                    fs::remove_file(place.out().join(path)).unwrap();
                    mine.remove(path);
                }
            }
            Step::Put(sample, label) => {
                let path = format!("{}/{}", LABELS[*label], SAMPLES[*sample]);
                let whole = place.out().join(&path);
                let made = fs::create_dir_all(whole.parent().unwrap()).is_ok();
                if made && !whole.exists() && !whole.is_symlink() {
                    fs::write(&whole, format!("mine {count}")).unwrap();
                    mine.insert(path, format!("mine {count}"));
                }
            }
            Step::Layout(layout) => place.layout = Some(*layout),
            Step::Rebuild(link) => {
                let report = place.rebuild(*link);
                yours_now(&place, &mut mine, &report.stays);
                after_run(
                    &place,
                    &mine,
                    report.problems.iter().map(|p| String::from_utf8_lossy(&p.path).into_owned()),
                )?;
                let before = super::place::identities(&place.out());
                let again = place.rebuild(*link);
                prop_assert!(again.is_unchanged(), "{:?}", again);
                prop_assert_eq!(super::place::identities(&place.out()), before);
            }
            Step::Undo => {
                if place.out().join(drumfs::rebuild::LOG_NAME).exists() {
                    let undone = place.undo();
                    yours_now(&place, &mut mine, &undone.stays);
                    prop_assert_eq!(files(&place.out()), mine.clone());
                }
            }
        }
        for (path, text) in &mine {
            let now = fs::read_to_string(place.out().join(path)).ok();
            prop_assert_eq!(now.as_ref(), Some(text), "{}", path);
        }
    }
    Ok(())
}

/// What drumfs says that it leaves is the person's: what was changed, and the last name of bytes that the archive lost.
fn yours_now(place: &Place, mine: &mut Mine, stays: &[Stay]) {
    for stay in stays {
        let path = String::from_utf8_lossy(&stay.path).into_owned();
        let whole = place.out().join(&path);
        if whole.is_file() {
            mine.insert(path, fs::read_to_string(whole).unwrap());
        }
    }
}

/// The tree is the view and what is the person's, where that is not in the way.
fn after_run(place: &Place, mine: &Mine, problems: impl Iterator<Item = String>) -> TestCaseResult {
    let problems: BTreeSet<String> = problems.collect();
    let (tree, view) = (place.tree(), place.of_view());
    let bytes = |original: &String| fs::read_to_string(place.archive().join(original)).unwrap();
    for (path, original) in &view {
        // A file of the person's may be where a folder should be.
        let blocked = mine.keys().any(|mine| path == mine || path.starts_with(&format!("{mine}/")));
        let blocked = blocked || mine.keys().any(|mine| mine.starts_with(&format!("{path}/")));
        if blocked {
            prop_assert!(problems.contains(path), "{} is in the way of {} and nothing is said", path, original);
        } else {
            let expected = bytes(original);
            let expected = expected.strip_prefix("the sound of ").unwrap();
            prop_assert_eq!(tree.get(path).map(String::as_str), Some(expected), "{}", path);
        }
    }
    for path in tree.keys() {
        prop_assert!(view.contains_key(path) || mine.contains_key(path), "{} is neither's", path);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_tree_is_the_view_and_what_is_yours_stays(steps in proptest::collection::vec(step(), 1..14)) {
        run(&steps)?;
    }
}
