//! What the page is given: samples, sounds in parts, pictures.

use serde_json::json;

use crate::page::{Page, command, command_of};
use crate::support::{Place, archive, wav};

#[test]
fn sounds_come_as_they_are_in_parts_or_decoded_where_browsers_do_not_play_them() {
    let place = Place::new();
    let (plain, aiff) = (wav(1), std::fs::read(archive().join("Latin Perc Vol.1/shakers/cabasa.aif")).unwrap());
    place.put("a/plain.wav", &plain);
    place.put("a/cabasa.aif", &aiff);
    place.index(&[]);
    std::fs::write(place.path().join("list"), "a/plain.wav\na/cabasa.aif\n").unwrap();
    let list = place.path().join("list").display().to_string();
    let page = Page::open(&place.archive(), &place.store(), &["--list", &list]);
    let whole = page.get("audio/0");
    assert_eq!((whole.status, whole.header("content-type"), &whole.body), (200, Some("audio/wav"), &plain));
    let part = page.get_with("audio/0", "Range: bytes=4-7\r\n");
    assert_eq!((part.status, &part.body[..]), (206, &plain[4..8]));
    assert_eq!(part.header("content-range"), Some(&*format!("bytes 4-7/{}", plain.len())));
    let end = page.get_with("audio/0", "Range: bytes=-10\r\n");
    assert_eq!((end.status, &end.body[..]), (206, &plain[plain.len() - 10..]));
    let beyond = page.get_with("audio/0", "Range: bytes=999999-\r\n");
    assert_eq!((beyond.status, beyond.body.len()), (416, 0));
    for path in ["audio/1", "audio/0?decoded", "audio/1?decoded"] {
        let decoded = page.get(path);
        assert_eq!((decoded.status, decoded.header("content-type")), (200, Some("audio/wav")), "{path}");
        assert!(decoded.body.starts_with(b"RIFF") && decoded.body.len() > 1000, "{path}");
    }
    let part = page.get_with("audio/1", "Range: bytes=0-3\r\n");
    assert_eq!((part.status, &part.body[..]), (206, &b"RIFF"[..]));
    let picture = page.get("picture/1");
    assert_eq!(picture.status, 200);
    assert!(picture.body.len() > 6 + 900, "{}", picture.body.len());
    let item = page.get("item/1").json();
    assert_eq!((&item["path"], &item["place"]), (&json!("a/cabasa.aif"), &json!(1)));
    assert_eq!(item["top"].as_array().unwrap().len(), 10);
    let shares: Vec<f64> = item["top"].as_array().unwrap().iter().map(|top| top[1].as_f64().unwrap()).collect();
    assert!(shares.is_sorted_by(|a, b| a >= b) && shares[0] > 0.0 && shares[0] <= 1.0, "{shares:?}");
    // A file that went meanwhile costs its own sound.
    std::fs::remove_file(place.archive().join("a/plain.wav")).unwrap();
    assert_eq!(page.get("audio/0").status, 500);
    assert_eq!(page.get("picture/0").status, 500);
    assert_eq!(page.get("item/0").status, 200);
}

#[test]
fn the_least_sure_come_first_each_content_once_and_what_was_decided_does_not_come_again() {
    let place = Place::with_sounds(9);
    place.put("copy of 4.wav", &wav(4));
    place.index(&[]);
    let margin = |page: &Page, at: usize| {
        let top = page.get(&format!("item/{at}")).json()["top"].clone();
        top[0][1].as_f64().unwrap()
    };
    let page = Page::open(&place.archive(), &place.store(), &["--by", "entropy"]);
    assert_eq!(page.get("state").json()["total"], 9);
    assert!(margin(&page, 0) < margin(&page, 8), "{} {}", margin(&page, 0), margin(&page, 8));
    assert_eq!(page.post("say", &json!({"place": 0, "label": "cowbell"})).json()["next"], 1);
    assert_eq!(page.get("item/0").json()["said"], "Cowbell");
    let refused = page.post("say", &json!({"place": 1, "label": "Cowbel"}));
    assert_eq!(refused.status, 422);
    assert!(refused.json()["error"].as_str().unwrap().contains("did you mean `Cowbell`"));
    assert_eq!(page.post("say", &json!({"place": 9, "label": "Kick"})).status, 404);
    assert_eq!(page.post("say", &json!({"label": "Kick"})).status, 400);
    assert_eq!(page.post("skip", &json!({"place": 1})).json()["next"], 2);
    // Another window that still shows what was decided skips nothing by going on.
    let state = page.post("skip", &json!({"place": 0})).json();
    assert_eq!((&state["said"], &state["skipped"], &state["next"]), (&1.into(), &1.into(), &2.into()), "{state}");
    page.end();
    let page = Page::open(&place.archive(), &place.store(), &["--top", "5"]);
    assert_eq!(page.get("state").json()["total"], 5);
    page.end();
    let page = Page::open(&place.archive(), &place.store(), &[]);
    assert_eq!(page.get("state").json()["total"], 8, "the skipped one comes again");
}

#[test]
fn a_list_is_asked_in_its_order_and_what_is_not_known_is_named() {
    let place = Place::with_sounds(5);
    place.index(&[]);
    let list = place.path().join("list.csv");
    let text = "rank,path\n1,pack 2/00002.wav\n2,pack 0/00000.wav\n3,no/such.wav\n4,pack 2/00002.wav\n";
    std::fs::write(&list, text).unwrap();
    let more = ["--list", list.to_str().unwrap()];
    let page = Page::open(&place.archive(), &place.store(), &more);
    assert_eq!(page.get("state").json()["total"], 2);
    assert_eq!(page.get("item/0").json()["path"], "pack 2/00002.wav");
    assert_eq!(page.get("item/1").json()["path"], "pack 0/00000.wav");
    page.post("say", &json!({"place": 0, "label": "Kick"}));
    page.post("say", &json!({"place": 1, "label": "Kick"}));
    let said = String::from_utf8(page.end().stderr).unwrap();
    assert!(said.contains("no sample `no/such.wav` is known"), "{said}");
    let output = command(&place.archive(), &place.store(), &more).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("you said what 2 of them are") && said.contains("nothing to decide"), "{said}");
    let page = Page::open(&place.archive(), &place.store(), &[&more[..], &["--again"]].concat());
    assert_eq!(page.get("item/0").json()["said"], "Kick");
}

#[test]
fn uncertain_asks_in_the_page_about_what_it_lists_in_that_order_and_what_is_said_is_an_override() {
    let place = Place::with_sounds(12);
    place.index(&[]);
    for (by, top) in [("entropy", "5"), ("diverse", "4")] {
        let wanted = ["--by", by, "--top", top];
        let uncertain =
            |more: &[&str]| command_of("uncertain", &place.archive(), &place.store(), &[&wanted[..], more].concat());
        let listed: Vec<serde_json::Value> =
            serde_json::from_slice(&uncertain(&["--json"]).output().unwrap().stdout).unwrap();
        let listed: Vec<String> = listed.iter().map(|line| line["path"].as_str().unwrap().to_owned()).collect();
        assert_eq!(listed.len().to_string(), top);
        let page = Page::of(&mut uncertain(&["--review", "--who", "her"]));
        let asked: Vec<String> = (0..listed.len())
            .map(|at| page.get(&format!("item/{at}")).json()["path"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(asked, listed, "{by}");
        assert_eq!(page.get(&format!("item/{}", listed.len())).status, 404, "and about nothing else");
        assert_eq!(page.post("say", &json!({"place": 0, "label": "Cowbell"})).status, 200);
        let output = page.end();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(crate::saying::overrides(&place).get(&listed[0]).map(String::as_str), Some("Cowbell"), "{by}");
    }
}
