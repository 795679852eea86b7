//! Fifty decisions and more by a real keyboard in a real browser, with no mouse.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::common::mount::Mount;
use crate::driver::{BACKSPACE, Browser, ENTER, ESCAPE, RIGHT};
use crate::page::Page;
use crate::saying::{overrides, run};
use crate::support::{Place, archive, wav};

/// Every label's key, as the page shows it.
fn keys(browser: &Browser) -> HashMap<String, String> {
    let pairs = "[...document.querySelectorAll('#palette button')].map(b => [b.children[1].textContent, b.children[0].textContent])";
    let pairs: Vec<(String, String)> = serde_json::from_value(browser.value(pairs)).unwrap();
    pairs.into_iter().collect()
}

/// The sample that is asked about: its path, and the labels of the digits.
fn asked(browser: &Browser) -> (String, Vec<String>) {
    let asked = browser.value("[item.path, [...document.querySelectorAll('#top button')].map(b => b.dataset.label)]");
    serde_json::from_value(asked).unwrap()
}

/// Presses keys and waits until the page shows what came of them.
fn press(browser: &Browser, pressed: &[&str]) {
    let at = "[document.body.dataset.place, document.body.dataset.said, document.body.dataset.skipped].join()";
    let before = browser.value(at);
    browser.press(pressed);
    browser.until(&format!("!document.body.dataset.busy && {at} !== {before}"));
}

fn ready(browser: &Browser) {
    browser.until("document.body.dataset.place !== undefined && !document.body.dataset.busy");
}

#[test]
fn fifty_decisions_with_undo_and_skip_are_what_was_pressed() {
    let place = Place::with_sounds(58);
    // One that browsers don't play.
    let aiff = std::fs::read(archive().join("Latin Perc Vol.1/shakers/cabasa.aif")).unwrap();
    place.put("pack 0/shaker.aif", &aiff);
    place.put("pack 1/<b>&amp; \"odd\" 'name'.wav", &wav(99));
    assert_eq!(place.index(&[]).code, Some(0));
    let page = Page::open(&place.archive(), &place.store(), &[]);
    let browser = Browser::start();
    browser.go(&page.address);
    ready(&browser);
    let keys = keys(&browser);
    let label_of = |key: &str| -> String { keys.iter().find(|(_, known)| *known == key).unwrap().0.clone() };
    let distinct: std::collections::HashSet<&String> = keys.values().collect();
    assert_eq!((distinct.len(), keys.len()), (35, 35), "each label has a key of its own: {keys:?}");
    assert_eq!(["k", "s", "h"].map(label_of), ["Kick", "Snare", "Hihat"]);

    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    let (mut skipped, mut undone) = (0, 0);
    let large = keys.values().find(|key| key.chars().all(char::is_uppercase)).unwrap().clone();
    for step in 0.. {
        if expected.len() == 50 {
            break;
        }
        let (path, top) = asked(&browser);
        match step % 8 {
            0 => {
                press(&browser, &["1"]);
                expected.insert(path, top[0].clone());
            }
            1 => {
                press(&browser, &["3"]);
                expected.insert(path, top[2].clone());
            }
            2 => {
                press(&browser, &["k"]);
                expected.insert(path, "Kick".to_owned());
            }
            3 if skipped < 4 => {
                press(&browser, &[RIGHT]);
                skipped += 1;
            }
            4 => {
                // Said, taken back, and said again otherwise.
                press(&browser, &["s"]);
                press(&browser, &[BACKSPACE]);
                undone += 1;
                assert_eq!(asked(&browser).0, path);
                press(&browser, &["h"]);
                expected.insert(path, "Hihat".to_owned());
            }
            5 => {
                // A search that is given up first; letters are no decisions meanwhile.
                browser.press(&["/", "c", "k", ESCAPE]);
                assert_eq!(asked(&browser).0, path);
                press(&browser, &["/", "c", "o", "w", ENTER]);
                expected.insert(path, "Cowbell".to_owned());
            }
            6 => {
                press(&browser, &[&large]);
                expected.insert(path, label_of(&large));
            }
            _ => {
                press(&browser, &["0"]);
                expected.insert(path, top[9].clone());
            }
        }
        if expected.len() == 25 {
            // A page that is loaded again goes on where it was.
            let before = asked(&browser);
            browser.reload();
            ready(&browser);
            assert_eq!(asked(&browser), before);
        }
    }
    // A skip is taken back like a decision.
    let (path, _) = asked(&browser);
    press(&browser, &[RIGHT]);
    press(&browser, &[BACKSPACE]);
    assert_eq!(asked(&browser).0, path);
    // Keys that mean nothing here, and Space, which plays.
    browser.press(&["-", " "]);
    assert_eq!(asked(&browser).0, path);
    browser.until("audio && audio.duration > 0.1");
    let here = "performance.getEntriesByType('resource').every(e => e.name.startsWith(location.origin))";
    assert_eq!(browser.value(here), true, "no other host is asked for anything");
    browser.until("new Set(new Uint32Array(document.getElementById('spectrum').getContext('2d').getImageData(0, 0, 300, 100).data.buffer)).size > 20");
    assert_eq!(browser.value("document.body.dataset.said"), "50");

    // The browser first: it holds on to the page.
    drop(browser);
    let output = page.end();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("50 labelled, {skipped} skipped, ")), "{said}");
    assert!(said.contains(&format!("{undone} taken back")), "{said}");
    assert_eq!(overrides(&place), expected);
    let history: Value = serde_json::from_slice(&run(&place, &["history", "--json"]).stdout).unwrap();
    let history = history.as_array().unwrap();
    assert_eq!(history.iter().filter(|word| word["undo"] == true).count(), undone);
    assert_eq!(history.len(), 50 + 2 * undone);
    assert!(history.iter().all(|word| word["by"] == "tester"));
}

#[test]
fn each_decision_moves_the_file_in_a_mount_that_has_the_store() {
    let paths: Vec<String> = (0..10).map(|number| format!("pack/{number}.wav")).collect();
    let mount = Mount::of(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    mount.save_rules("layout: flat\ntarget_labels: all\n").unwrap();
    let page = Page::open(&mount.archive, &mount.store, &["--who", "her"]);
    let browser = Browser::start();
    browser.go(&page.address);
    ready(&browser);
    let keys = keys(&browser);
    let labels = ["Cuica", "Clap", "Guiro", "Metal", "Vox", "Agogo", "Conga"];
    for label in labels {
        let (path, _) = asked(&browser);
        let name = path.strip_prefix("pack/").unwrap();
        press(&browser, &[&keys[label]]);
        assert!(mount.path(label).join(name).exists(), "{path} is no {label}");
        press(&browser, &[BACKSPACE]);
        assert!(!mount.path(label).join(name).exists(), "{path} is still a {label}");
        press(&browser, &[&keys[label]]);
        assert!(mount.path(label).join(name).exists(), "{path} is no {label} again");
    }
    let (path, _) = asked(&browser);
    press(&browser, &[RIGHT]);
    press(&browser, &["k"]);
    press(&browser, &["k"]);
    browser.until("document.body.dataset.place === 'end'");
    // What was skipped comes once more.
    press(&browser, &[ENTER]);
    assert_eq!(asked(&browser).0, path);
    press(&browser, &["t"]);
    assert!(mount.path("Tom").join(path.strip_prefix("pack/").unwrap()).exists());
    assert_eq!(mount.status()["overrides"], 10);
    drop(browser);
    let said = String::from_utf8(page.end().stderr).unwrap();
    assert!(said.contains("10 labelled, 0 skipped, 0 left; 7 taken back"), "{said}");
}
