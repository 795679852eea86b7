//! The promises, one test each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drumfs::rules::FolderId;
use drumfs::view::{Catalogue, DirId, Generated, Node, ROOT, Sample, View, changed_names};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::generate::{hash, overrides, rules, samples};
use super::model::{Entries, Input, What, at, written_out};

fn input() -> impl Strategy<Value = Input> {
    (samples(), rules(), overrides()).prop_map(|(samples, rules, overrides)| Input { samples, rules, overrides })
}

fn dir(view: &View, path: &[u8]) -> DirId {
    match view.resolve(path) {
        Some(Node::Dir(dir)) => dir,
        other => panic!("{} is {other:?}", String::from_utf8_lossy(path)),
    }
}

fn is_class(path: &[u8]) -> bool {
    !path.is_empty() && !path.starts_with(b"_")
}

/// Every sample that shows is once in the class folders, where the rules say, under a name made from its own.
fn samples_are_where_the_rules_say(input: &Input, view: &View) -> TestCaseResult {
    let mut expected = input.places();
    for (folder, entries) in written_out(view).iter().filter(|(path, _)| is_class(path)) {
        for (name, _, what) in entries {
            let What::Sample(path) = what else { continue };
            let place = expected.remove(path);
            prop_assert_eq!(place.as_ref(), Some(folder), "{}", String::from_utf8_lossy(path));
            let own = path.rsplit(|&byte| byte == b'/').next().unwrap();
            if name != own {
                let clash = entries.iter().any(|(other, _, what)| other == own && *what != What::Sample(path.clone()));
                prop_assert!(clash, "{:?} was renamed for nothing", String::from_utf8_lossy(own));
                prop_assert!(name.contains(&b'['), "{:?}", String::from_utf8_lossy(name));
            }
        }
    }
    prop_assert!(expected.is_empty(), "nowhere: {:?}", expected);
    Ok(())
}

/// Names are unique and no longer than names may be; of samples that share one the first by path keeps it.
fn names_are_names(view: &View) -> TestCaseResult {
    for (folder, entries) in written_out(view) {
        let names: BTreeSet<&Vec<u8>> = entries.iter().map(|(name, _, _)| name).collect();
        prop_assert_eq!(names.len(), entries.len(), "twice the same name in {:?}: {:?}", folder, entries);
        prop_assert!(entries.is_sorted(), "{:?} is not in order", String::from_utf8_lossy(&folder));
        for name in names {
            prop_assert!(!name.is_empty() && name.len() <= 255, "{} bytes: {:?}", name.len(), name);
            prop_assert!(!name.contains(&b'/') && !name.contains(&0) && !matches!(&name[..], b"." | b".."));
        }
        let mut first: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
        let samples = |(name, _, what): &'_ (Vec<u8>, u64, What)| match what {
            What::Sample(path) => Some((name.clone(), path.clone())),
            _ => None,
        };
        let samples: Vec<_> = entries.iter().filter_map(samples).collect();
        if is_class(&folder) {
            for (_, path) in &samples {
                let own = path.rsplit(|&byte| byte == b'/').next().unwrap();
                let known = first.entry(own).or_insert(path);
                *known = (*known).min(path);
            }
            for (own, path) in first {
                let folder_has_it = entries.iter().any(|(name, _, what)| name == own && *what == What::Folder);
                let keeps = samples.iter().any(|(name, of)| name == own && of == path);
                prop_assert!(keeps != folder_has_it, "{:?}", String::from_utf8_lossy(own));
            }
        }
    }
    Ok(())
}

/// Whatever is listed is found by name and by number, and nothing else is found.
fn lookups_and_numbers_agree(view: &View) -> TestCaseResult {
    let mut numbers: BTreeMap<u64, What> = BTreeMap::new();
    let folders = written_out(view);
    let all_names: BTreeSet<&Vec<u8>> = folders.values().flatten().map(|(name, _, _)| name).collect();
    for (path, entries) in &folders {
        let dir = dir(view, path);
        prop_assert_eq!(view.dir_by_ino(view.ino(Node::Dir(dir))), Some(dir));
        prop_assert_eq!(view.len(dir) >= entries.len(), true);
        let subfolders = entries.iter().filter(|(_, _, what)| *what == What::Folder).count();
        prop_assert_eq!(view.subfolders(dir) as usize, subfolders);
        let listed: BTreeMap<&[u8], u64> = entries.iter().map(|(name, ino, _)| (&name[..], *ino)).collect();
        for (name, node) in view.entries(dir) {
            prop_assert_eq!(view.lookup(dir, &name), Some(node), "{:?}", String::from_utf8_lossy(&name));
            prop_assert_eq!(view.by_ino(view.ino(node)), Some(node));
            if let Node::Dir(inner) = node {
                prop_assert_eq!(view.parent(inner), dir);
            }
            let mut longer = name.to_vec();
            longer.push(b'x');
            for other in [&longer[..], &name[..name.len() - 1], &name.to_ascii_uppercase(), b"", b"\xff", b"."] {
                let found = view.lookup(dir, other).map(|node| view.ino(node));
                prop_assert_eq!(found, listed.get(other).copied(), "{:?}", String::from_utf8_lossy(other));
            }
        }
        for name in &all_names {
            let found = view.lookup(dir, name).map(|node| view.ino(node));
            prop_assert_eq!(found, listed.get(&name[..]).copied());
        }
        for (_, ino, what) in entries {
            prop_assert!(*ino > ROOT);
            let key = if *what == What::Folder { None } else { Some(what.clone()) };
            if let Some(what) = key {
                let before = numbers.insert(*ino, what.clone());
                prop_assert!(before.is_none_or(|before| before == what), "one number for two files");
            }
        }
    }
    prop_assert_eq!(view.by_ino(ROOT), Some(Node::Dir(DirId::ROOT)));
    for nobody in [0, u64::MAX, 0xC000_0000_0000_0001, 2] {
        prop_assert_eq!(view.by_ino(nobody).is_some(), numbers.contains_key(&nobody));
    }
    Ok(())
}

/// `_by-id/` has every content that is present once, and nothing else.
fn contents_are_listed_once(input: &Input, view: &View) -> TestCaseResult {
    let present: BTreeSet<String> =
        input.samples.iter().filter(|s| s.is_present()).filter_map(|s| s.hash).map(|hash| hash.to_hex()).collect();
    let entries: Entries = written_out(view).remove(&b"_by-id"[..]).unwrap();
    let listed: Vec<String> = entries
        .iter()
        .map(|(name, _, _)| String::from_utf8_lossy(name).split('.').next().unwrap().to_owned())
        .collect();
    prop_assert_eq!(listed.len(), present.len());
    prop_assert_eq!(&listed.into_iter().collect::<BTreeSet<_>>(), &present);
    for (name, _, what) in entries {
        let What::Sample(path) = what else { panic!("{what:?}") };
        let hash = view.catalogue().by_path(&path).unwrap().1.hash.unwrap().to_hex();
        prop_assert!(name.starts_with(hash.as_bytes()));
    }
    Ok(())
}

/// The manifests list what is in the folders, and are as long as they say.
fn manifests_are_true(input: &Input, view: &View) -> TestCaseResult {
    let folders = view.router().folders().to_vec();
    for (id, folder) in folders.iter().enumerate() {
        let manifest = Generated::Manifest(id as FolderId);
        let text = view.generated_text(manifest).unwrap();
        prop_assert_eq!(view.generated_len(manifest), Some(text.len() as u64));
        let expected: Vec<u8> = input
            .shown()
            .iter()
            .filter(|(_, of)| of == folder)
            .flat_map(|(sample, _)| {
                let mut line =
                    sample.path.iter().flat_map(|&byte| if byte == b'\n' { vec![b'\\', b'n'] } else { vec![byte] });
                let mut line: Vec<u8> = line.by_ref().collect();
                line.push(b'\n');
                line
            })
            .collect();
        prop_assert_eq!(&text[..], &expected[..], "{}", folder);
        let path = format!("_manifests/{folder}.txt");
        prop_assert_eq!(view.resolve(path.as_bytes()), Some(Node::Generated(manifest)), "{}", path);
        prop_assert_eq!(
            view.numbers().folders[folder],
            input.shown().iter().filter(|(_, of)| of == folder).count() as u64
        );
    }
    for made in [Generated::Stats, Generated::Summary, Generated::Errors] {
        let text = view.generated_text(made).unwrap();
        prop_assert_eq!(view.generated_len(made), Some(text.len() as u64));
    }
    let failed = input.samples.iter().filter(|s| s.status.is_error()).count();
    let errors = view.generated_text(Generated::Errors).unwrap();
    prop_assert_eq!(errors.iter().filter(|&&byte| byte == b'\n').count(), failed, "a line for each");
    Ok(())
}

/// `_uncertain/` shows samples that are present, each once.
fn the_uncertain_are_shown_once(input: &Input, view: &View) -> TestCaseResult {
    let entries = written_out(view).remove(&b"_uncertain"[..]).unwrap();
    let paths: BTreeSet<_> = entries.iter().map(|(_, _, what)| what.clone()).collect();
    prop_assert_eq!(paths.len(), entries.len());
    let places = input.places();
    for (name, _, what) in entries {
        let What::Sample(path) = what else { panic!("{what:?}") };
        prop_assert!(places.contains_key(&path) && name.len() <= 255);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_sample_is_once_where_the_rules_say_under_a_name_of_its_own(input in input()) {
        let view = input.view(None, 1);
        samples_are_where_the_rules_say(&input, &view)?;
        names_are_names(&view)?;
        the_uncertain_are_shown_once(&input, &view)?;
    }

    #[test]
    fn what_is_listed_is_found_by_name_and_number_and_nothing_else_is(input in input()) {
        lookups_and_numbers_agree(&input.view(None, 1))?;
    }

    #[test]
    fn by_id_has_each_content_once_and_manifests_are_true(input in input()) {
        let view = input.view(None, 1);
        contents_are_listed_once(&input, &view)?;
        manifests_are_true(&input, &view)?;
    }

    /// However samples come in, and whatever was there before: the same samples make the same tree.
    #[test]
    fn names_and_numbers_do_not_depend_on_the_order_of_arrival(
        input in input(),
        strangers in samples(),
        order in vec(any::<u32>(), 60),
        batch in 1..20usize,
    ) {
        let whole = written_out(&input.view(None, 1));
        let known: BTreeSet<&[u8]> = input.samples.iter().map(|sample| &sample.path[..]).collect();
        let strangers: Vec<_> = strangers.into_iter().filter(|sample| !known.contains(&sample.path[..])).collect();
        let gone: Vec<Vec<u8>> = strangers.iter().map(|sample| sample.path.to_vec()).collect();
        let mut arriving: Vec<(u32, Arc<Sample>)> = order.into_iter().zip(input.samples.iter().cloned()).collect();
        arriving.sort_by_key(|(rank, _)| *rank);
        let mut catalogue = Catalogue::new(strangers);
        let mut view = input.view_of(catalogue.with(Vec::new(), Vec::new()), None, 1);
        for (step, part) in arriving.chunks(batch).enumerate() {
            // An older word on the same paths first: the last one counts.
            let old = part.iter().map(|(_, sample)| Arc::new(Sample { size: 1, hash: None, ..(**sample).clone() }));
            let both: Vec<_> = old.chain(part.iter().map(|(_, sample)| Arc::clone(sample))).collect();
            catalogue = catalogue.with(both, if step == 0 { gone.clone() } else { Vec::new() });
            view = input.view_of(catalogue.with(Vec::new(), Vec::new()), Some(&view), 2 + step as u64);
        }
        if arriving.is_empty() {
            view = input.view_of(catalogue.with(Vec::new(), gone), Some(&view), 2);
        }
        prop_assert!(whole == written_out(&view));
    }

    /// Files keep their numbers whatever the rules do, and folders keep number and time while nothing in them changes.
    #[test]
    fn numbers_stay_and_a_folders_time_changes_with_what_is_in_it(
        before in input(),
        rules in rules(),
        overrides in overrides(),
        change in vec((any::<prop::sample::Index>(), 0..30u8), 0..3),
        same in any::<bool>(),
    ) {
        let first = before.view(None, 1);
        let mut after = if same { before.clone() } else { Input { rules, overrides, ..before.clone() } };
        for (index, content) in change {
            if !after.samples.is_empty() {
                let place = index.index(after.samples.len());
                let sample = &after.samples[place];
                let hash = sample.hash.map(|_| hash(content));
                after.samples[place] = Arc::new(Sample { hash, ..(**sample).clone() });
            }
        }
        let second = after.view(Some(&first), 2);
        let (old, new) = (written_out(&first), written_out(&second));
        let mut numbers: BTreeMap<What, u64> = BTreeMap::new();
        for (_, ino, what) in old.values().flatten().chain(new.values().flatten()) {
            if *what != What::Folder {
                prop_assert_eq!(*numbers.entry(what.clone()).or_insert(*ino), *ino, "{:?}", what);
            }
        }
        for (path, entries) in &new {
            let now = second.mtime(dir(&second, path));
            match old.get(path) {
                Some(known) => {
                    let ino = |view: &View| view.ino(Node::Dir(dir(view, path)));
                    prop_assert_eq!(ino(&first), ino(&second));
                    let expected = if known == entries { at(1) } else { at(2) };
                    prop_assert_eq!(now, expected, "{}: {:?} {:?}", String::from_utf8_lossy(path), known, entries);
                }
                None => prop_assert_eq!(now, at(2)),
            }
        }
        let rebuilt = after.view(Some(&second), 3);
        for path in new.keys() {
            prop_assert_eq!(rebuilt.mtime(dir(&rebuilt, path)), second.mtime(dir(&second, path)));
        }
    }

    /// Whoever remembers every name of a view and forgets what is told remembers nothing that is wrong in the next; and
    /// nothing is told that stayed.
    #[test]
    fn what_changed_is_told_and_nothing_else(
        before in input(),
        rules in rules(),
        overrides in overrides(),
        gone in vec(any::<bool>(), 60),
        same in any::<bool>(),
    ) {
        let first = before.view(None, 1);
        let mut after = if same { before.clone() } else { Input { rules, overrides, ..before.clone() } };
        let mut gone = gone.into_iter();
        after.samples.retain(|_| !gone.next().unwrap_or(false) || same);
        let second = after.view(Some(&first), 2);
        let mut remembered = BTreeMap::new();
        for dir in first.dirs() {
            for (name, node) in first.entries(dir).filter(|(_, node)| !matches!(node, Node::Generated(_))) {
                remembered.insert((first.ino(Node::Dir(dir)), name.into_owned()), first.ino(node));
            }
        }
        let now = |dir: u64, name: &[u8]| Some(second.ino(second.lookup(second.dir_by_ino(dir)?, name)?));
        let mut told = Vec::new();
        changed_names(&first, &second, |_| true, |dir, name| told.push((dir, name.to_vec())));
        for (dir, name) in &told {
            let was = remembered.remove(&(*dir, name.clone()));
            prop_assert!(was.is_some(), "{:?} was told twice, or was not there", String::from_utf8_lossy(name));
            prop_assert!(now(*dir, name) != was, "{:?} has not changed", String::from_utf8_lossy(name));
        }
        for ((dir, name), ino) in &remembered {
            prop_assert_eq!(now(*dir, name), Some(*ino), "{:?} was not told", String::from_utf8_lossy(name));
        }
        changed_names(&first, &second, |_| false, |_, _| panic!("nobody was given anything"));
    }

    /// RULES-ERROR.txt is there only while there is something to say, and never in the way of anything else.
    #[test]
    fn the_error_file_comes_and_goes(input in input()) {
        let view = input.view(None, 1);
        let told = view.with_rules_error(Some("line 1".into()), 2);
        prop_assert_eq!(view.resolve(b"RULES-ERROR.txt"), None);
        let node = told.resolve(b"RULES-ERROR.txt");
        prop_assert_eq!(node, Some(Node::Generated(Generated::RulesError)));
        let text = told.generated_text(Generated::RulesError).unwrap();
        prop_assert_eq!(&text[..], b"line 1");
        prop_assert_eq!(told.by_ino(told.ino(node.unwrap())), node);
        let (mut with, without) = (written_out(&told), written_out(&view));
        with.get_mut(&b""[..]).unwrap().retain(|(name, _, _)| name != b"RULES-ERROR.txt");
        prop_assert!(with == without);
    }
}

/// Names that other things of the view have are no folders of the rules.
#[test]
fn a_folder_may_not_take_the_name_of_a_file_of_drumfs() {
    for folder in ["RULES-ERROR.txt", "RULES-ERROR.txt/a", "Kick.txt/808", "a/b.txt/c", "_by-id", "_stats.json"] {
        let rules = format!("routes:\n  - {{name: \"*\", to: {folder}}}\n");
        let error = drumfs::rules::Rules::parse(&rules, &super::model::VOCABULARY).unwrap_err();
        assert_eq!(error.line, 2, "{folder}: {error}");
    }
}
