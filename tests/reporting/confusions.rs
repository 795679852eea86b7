//! `drumfs confusions`.

use std::path::Path;

use drumfs::report::confusions::{Confusions, Evidence, Wanted, find};

use crate::common::mount::Mount;
use crate::made::Made;
use crate::support::drumfs;

const WANTED: Wanted = Wanted { margin: 0.1, top: 20, examples: 2 };

fn found(made: &Made, mount: Option<&Path>) -> Confusions {
    find(&made.catalogue(), &made.router(), &made.overrides, made.labels(), mount, WANTED)
}

#[test]
fn close_labels_are_paired_whichever_leads_with_the_closest_as_examples() {
    let mut made = Made::new();
    made.add("a/1.wav", &[("Kick", 0.45), ("Tom", 0.40)]);
    made.add("a/2.wav", &[("Tom", 0.45), ("Kick", 0.44)]);
    made.add("a/3.wav", &[("Tom", 0.45), ("Kick", 0.42)]);
    made.add("a/4.wav", &[("Snare", 0.45), ("Rim", 0.44)]);
    made.add("a/5.wav", &[("Snare", 0.90)]);
    let found = found(&made, Some(Path::new("/mnt")));
    assert_eq!((found.contents, found.close_contents), (5, 4));
    let pair = &found.close[0];
    assert_eq!((pair.labels.each_ref().map(String::as_str), pair.contents, pair.first_leads), (["Kick", "Tom"], 3, 1));
    assert!(pair.apart && !found.close[1].apart, "a snare and its rim share a folder");
    let examples: Vec<&str> = pair.examples.iter().map(|example| &example.path[..]).collect();
    assert_eq!(examples, ["a/2.wav", "a/3.wav"]);
    let hash = made.samples[1].hash.unwrap().to_hex();
    assert_eq!(pair.examples[0].mounted.as_deref(), Some(&format!("/mnt/_by-id/{hash}.wav")[..]));
}

#[test]
fn corrections_that_disagree_are_counted_by_what_was_said_and_what_was_heard() {
    let mut made = Made::new();
    for (number, said) in ["Tom", "Tom", "Kick", "Kick/808", "Loops"].into_iter().enumerate() {
        let hash = made.add(&format!("a/{number}.wav"), &[("Kick", 0.8 + number as f32 / 100.0)]);
        made.say(hash, said);
    }
    made.rules = "routes: [{name: 'x', to: Loops}, {name: 'y', to: Kick/808}]".to_owned();
    let found = found(&made, None);
    // `Loops` says nothing of the sound.
    assert_eq!((found.overrides, found.overrides_against), (4, 2));
    let pair = &found.against[0];
    assert_eq!((&pair.said[..], &pair.heard[..], pair.contents), ("Tom", "Kick", 2));
    assert_eq!(pair.examples[0].path, "a/1.wav", "where the model is surest");
    assert_eq!(found.against.len(), 1);
}

#[test]
fn a_pack_is_named_where_it_is_no_chance_and_not_before() {
    let mut made = Made::new();
    for pack in 0..10 {
        for number in 0..20 {
            // In pack 3 twelve of twenty toms are heard as kicks; elsewhere one of twenty.
            let wrong = if pack == 3 { number < 12 } else { number == 0 };
            let heard = if wrong { "Kick" } else { "Tom" };
            made.add(&format!("pack {pack}/TOM {number:02}.wav"), &[(heard, 0.9)]);
        }
        // A pack of two, both wrong: too few to say anything.
        made.add(&format!("pack {pack}/Snare.wav"), &[("Snare", 0.9)]);
    }
    made.add("tiny/Snare 1.wav", &[("Clap", 0.9)]);
    made.add("tiny/Snare 2.wav", &[("Clap", 0.9)]);
    let found = found(&made, None);
    assert_eq!(found.packs.len(), 1, "{:?}", found.packs);
    let pack = &found.packs[0];
    assert_eq!((&pack.pack[..], &pack.is[..], &pack.heard[..]), ("pack 3", "Tom", "Kick"));
    assert_eq!((pack.evidence, pack.hits, pack.of, pack.examples.len()), (Evidence::Name, 12, 20, 2));
    assert!((pack.elsewhere - 0.05).abs() < 1e-9 && pack.chance < 1e-8 && pack.false_share < 1e-6, "{pack:?}");
}

#[test]
fn even_packs_are_not_spoken_of() {
    let mut made = Made::new();
    // Every pack has the same share of close ones and of misheard names.
    for pack in 0..30 {
        for number in 0..20 {
            let probabilities = [("Tom", 0.5), ("Kick", if number % 4 == 0 { 0.45 } else { 0.1 })];
            made.add(&format!("pack {pack:02}/{number}.wav"), &probabilities);
        }
    }
    let found = found(&made, None);
    assert!(found.packs.is_empty() && found.tests > 0, "{found:?}");
    assert_eq!(found.close[0].contents, 150);
}

#[test]
fn examples_of_a_mounted_archive_can_be_played_from_the_mount() {
    let mount = Mount::of_test_archive();
    mount.append_override(r#"{"path": "Akai/Layered/BD_019.wav", "label": "Tom"}"#).unwrap();
    let run = |more: &[&str]| {
        let output = drumfs()
            .arg("confusions")
            .arg(&mount.archive)
            .arg("--store")
            .arg(&mount.store)
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let json: serde_json::Value = serde_json::from_slice(&run(&["--json", "--margin", "0.5"])).unwrap();
    assert_eq!(json["overrides_against"], 1, "{json}");
    let examples = json["against"][0]["examples"].as_array().unwrap().iter();
    let close = json["close"].as_array().unwrap().iter().flat_map(|pair| pair["examples"].as_array().unwrap());
    let mut seen = 0;
    for example in examples.chain(close) {
        let original = mount.archive.join(example["path"].as_str().unwrap());
        let shown = std::fs::read(example["mounted"].as_str().unwrap()).unwrap();
        assert_eq!(std::fs::read(original).unwrap(), shown);
        seen += 1;
    }
    assert!(seen > 5);
    let text = String::from_utf8(run(&[])).unwrap();
    assert!(text.contains("Tom, and the model hears Kick") && text.contains("_by-id/"), "{text}");
    let page = mount.dir.path().join("page.html");
    assert!(run(&["--html", page.to_str().unwrap()]).is_empty());
    assert!(std::fs::read_to_string(page).unwrap().contains("BD_019.wav"));
}
