//! `drumfs uncertain`.

use std::collections::{BTreeMap, HashSet};

use drumfs::report::uncertain::{By, Picked, Wanted, pick};

use crate::made::Made;
use crate::support::{Place, drumfs};

fn paths(made: &Made, by: By, top: usize, per_pack: Option<usize>) -> Vec<String> {
    let catalogue = made.catalogue();
    let picked = pick(&catalogue, &made.router(), &made.overrides, Wanted { by, top, per_pack });
    picked.iter().map(|picked: &Picked<'_>| String::from_utf8(picked.sample.path.to_vec()).unwrap()).collect()
}

#[test]
fn each_measure_puts_its_own_first() {
    let mut made = Made::new();
    made.add("a/sure.wav", &[("Kick", 0.97)]);
    made.add("a/two.wav", &[("Kick", 0.49), ("Snare", 0.48)]);
    made.add("a/spread.wav", &[("Kick", 0.2), ("Ride", 0.1)]);
    made.add("a/low.wav", &[("Kick", 0.34), ("Snare", 0.32), ("Tom", 0.31)]);
    assert_eq!(paths(&made, By::Margin, 9, None), ["a/two.wav", "a/low.wav", "a/spread.wav", "a/sure.wav"]);
    assert_eq!(paths(&made, By::Entropy, 1, None), ["a/spread.wav"]);
    // What is collected in misc is added up: `spread` is that with 0.46.
    assert_eq!(paths(&made, By::Confidence, 2, None), ["a/low.wav", "a/spread.wav"]);
    assert!(paths(&made, By::Margin, 0, None).is_empty());
}

#[test]
fn what_is_decided_is_not_asked_and_a_sound_is_asked_once() {
    let mut made = Made::new();
    let unsure = &[("Kick", 0.5), ("Snare", 0.45)];
    made.add("a/1.wav", unsure);
    let copy = made.samples[0].clone();
    made.samples.push(drumfs::view::Sample { path: b"b/copy of 1.wav".as_slice().into(), ..copy });
    let said = made.add("a/2.wav", unsure);
    made.add("a/loop.wav", unsure);
    made.add("a/hidden.wav", unsure);
    made.add("a/3.wav", unsure);
    made.say(said, "Kick");
    made.rules = "routes: [{name: 'loop*', to: Loops}, {name: 'hidden*', hide: true}]".to_owned();
    for by in [By::Entropy, By::Margin, By::Confidence, By::Diverse] {
        assert_eq!(paths(&made, by, 9, None), ["a/1.wav", "a/3.wav"], "{by:?}");
    }
}

/// Of one loud, unsure pack and nineteen quieter ones, with nine copies nearly alike of each sound.
fn packs() -> Made {
    let mut made = Made::new();
    let kinds = [("Kick", "Tom"), ("Snare", "Clap"), ("Hihat", "Shaker"), ("Ride", "Crash"), ("Bongo", "Conga")];
    for pack in 0..20 {
        for (kind, (a, b)) in kinds.iter().enumerate() {
            for layer in 0..9 {
                let lead = if pack == 0 { 0.30 } else { 0.40 } + layer as f32 * 1e-4;
                made.add(&format!("pack {pack:02}/{kind}-{layer}.wav"), &[(a, lead), (b, 0.28)]);
            }
        }
    }
    made
}

#[test]
fn diverse_goes_over_packs_and_kinds_where_entropy_stays_in_one_place() {
    let made = packs();
    let spread = |paths: &[String]| {
        let packs: HashSet<&str> = paths.iter().map(|path| path.split('/').next().unwrap()).collect();
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for path in paths {
            *kinds.entry(path.split(['/', '-']).nth(1).unwrap()).or_default() += 1;
        }
        (packs.len(), kinds.len(), kinds.values().copied().max().unwrap())
    };
    let entropy = paths(&made, By::Entropy, 20, None);
    assert_eq!(spread(&entropy).0, 1, "{entropy:?}");
    let diverse = paths(&made, By::Diverse, 20, None);
    let (packs, kinds, most) = spread(&diverse);
    assert!(packs >= 10 && kinds == 5 && most <= 8, "{diverse:?}");
    // The first five are the five kinds: what is nearly the same is not asked twice before all else was asked once.
    assert_eq!(spread(&diverse[..5]).1, 5, "{diverse:?}");
    assert_eq!(paths(&made, By::Diverse, 20, None), diverse);
    // A shorter list is the beginning of the same where the bound is.
    assert_eq!(paths(&made, By::Diverse, 10, Some(2)), paths(&made, By::Diverse, 20, Some(2))[..10]);
}

#[test]
fn a_bound_on_packs_holds_and_the_default_one_gives_way() {
    let made = packs();
    for by in [By::Entropy, By::Margin, By::Diverse] {
        let picked = paths(&made, by, 100, Some(3));
        assert_eq!(picked.len(), 60, "{by:?}");
        assert_eq!(picked.iter().filter(|path| path.starts_with("pack 00/")).count(), 3);
    }
    assert_eq!(paths(&made, By::Diverse, 10_000, None).len(), 900);
}

#[test]
fn the_csv_has_the_list_with_paths_as_they_are() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::with_real_sounds();
    let odd = std::ffi::OsStr::from_bytes(b"odd \xff, \"name\".wav");
    let sound = place.archive().join("Akai/Layered");
    let sound = std::fs::read_dir(sound).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(sound).unwrap();
    let end = bytes.len();
    bytes[end - 1] ^= 1;
    std::fs::write(place.archive().join(odd), bytes).unwrap();
    place.index(&[]);
    let run = |more: &[&str]| {
        let (archive, store) = (place.archive(), place.store());
        let output = drumfs().arg("uncertain").arg(archive).arg("--store").arg(store).args(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let csv = run(&["--by", "confidence", "--top", "1000"]);
    let mut reader = csv::Reader::from_reader(&csv[..]);
    assert_eq!(&reader.headers().unwrap()[1], "path");
    let rows: Vec<csv::ByteRecord> = reader.byte_records().map(Result::unwrap).collect();
    assert!(rows.iter().any(|row| &row[1] == odd.as_bytes()), "a path that is no UTF-8 is there as it is");
    let confidences: Vec<f64> = rows.iter().map(|row| String::from_utf8_lossy(&row[6]).parse().unwrap()).collect();
    assert!(confidences.is_sorted() && confidences.len() > 100, "{confidences:?}");
    let file = place.path().join("list.csv");
    assert!(run(&["--by", "confidence", "--top", "1000", "-o", file.to_str().unwrap()]).is_empty());
    assert_eq!(std::fs::read(file).unwrap(), csv);
    let json: serde_json::Value =
        serde_json::from_slice(&run(&["--by", "confidence", "--top", "3", "--json"])).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);
    assert_eq!(json[0]["hash"].as_str().unwrap().as_bytes(), &rows[0][3]);
}

#[test]
fn a_list_that_comes_back_says_what_was_changed_in_it_and_not_what_the_model_guessed() {
    let place = Place::with_sounds(4);
    place.index(&[]);
    let list = place.path().join("ask.csv");
    let run = |arguments: &[&str]| {
        let output = drumfs().args(arguments).arg("--store").arg(place.store()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (archive, ask) = (place.archive().display().to_string(), list.display().to_string());
    run(&["uncertain", &archive, "-o", &ask]);
    assert!(run(&["import", &archive, &ask]).contains(": 0 taken over"));
    let text = std::fs::read_to_string(&list).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut fields: Vec<&str> = lines[1].split(',').collect();
    fields[5] = "Cowbell";
    lines[1] = fields.join(",");
    std::fs::write(&list, lines.join("\n")).unwrap();
    assert!(run(&["import", &archive, &ask]).contains(": 1 taken over"));
    let said = run(&["override", "list", "--archive", &archive]);
    assert!(said.starts_with("Cowbell") && said.lines().count() == 1, "{said}");
}
