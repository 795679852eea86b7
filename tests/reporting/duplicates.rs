//! `drumfs duplicates`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use drumfs::audio::resample::Resampler;
use serde_json::Value;

use crate::common::mount::Mount;
use crate::support::{Place, drumfs, header};

/// A hit of a drum: a falling tone, and noise that no other hit has.
fn hit(drum: u32, hit: u64) -> Vec<f32> {
    let mut seed = (u64::from(drum) << 32 | hit).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut phase = 0.0f32;
    (0..18_000)
        .map(|n| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let noise = (seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
            let t = n as f32 / 44_100.0;
            phase += std::f32::consts::TAU * (60.0 + 40.0 * drum as f32 + 200.0 * (-t * 60.0).exp()) / 44_100.0;
            0.6 * phase.sin() * (-t * 14.0).exp() + 0.25 * noise * (-t * 40.0).exp()
        })
        .collect()
}

fn wav(samples: &[f32], rate: u32) -> Vec<u8> {
    let mut file = header(samples.len() as u32 * 2, rate);
    file.extend(samples.iter().flat_map(|x| ((x * 32_000.0).round() as i16).to_le_bytes()));
    file
}

fn run(archive: &Path, store: &Path, more: &[&str]) -> Value {
    let output =
        drumfs().args(["duplicates", "--json"]).arg(archive).arg("--store").arg(store).args(more).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn paths(group: &Value) -> Vec<&str> {
    let others = group["others"].as_array().unwrap().iter();
    std::iter::once(&group["first"]).chain(others).map(|sound| sound["path"].as_str().unwrap()).collect()
}

/// Eight drums with four hits each; of one hit of three of them there are copies.
fn kits() -> Place {
    let place = Place::new();
    for drum in 0..8 {
        for number in 0..4 {
            // Layers: another hit each, and louder and louder.
            let sound: Vec<f32> = hit(drum, number).iter().map(|x| x * (0.4 + 0.2 * number as f32)).collect();
            place.put(&format!("kit/drum {drum}/layer {number}.wav"), &wav(&sound, 44_100));
        }
    }
    let quieter: Vec<f32> = hit(1, 2).iter().map(|x| x * 0.1).collect();
    place.put("other/quieter.wav", &wav(&quieter, 44_100));
    let late: Vec<f32> = std::iter::repeat_n(0.0, 3000).chain(hit(2, 0)).collect();
    place.put("other/late.wav", &wav(&late, 44_100));
    place.put("other/short.wav", &wav(&hit(2, 0)[..9000], 44_100));
    let slow = Resampler::default().resample(&hit(3, 1), 44_100, 22_050, usize::MAX);
    place.put("other/slow.wav", &wav(&slow, 22_050));
    place.put("other/same.wav", &fs::read(place.archive().join("kit/drum 5/layer 0.wav")).unwrap());
    place
}

#[test]
fn copies_are_found_and_layers_are_not() {
    let place = kits();
    place.index(&[]);
    let found = run(&place.archive(), &place.store(), &[]);
    let exact = found["exact"].as_array().unwrap();
    assert_eq!(exact.len(), 1);
    assert_eq!(exact[0]["paths"], serde_json::json!(["kit/drum 5/layer 0.wav", "other/same.wav"]));
    let groups: Vec<Vec<&str>> = found["near"]["groups"].as_array().unwrap().iter().map(paths).collect();
    assert_eq!(
        groups,
        [
            vec!["kit/drum 1/layer 2.wav", "other/quieter.wav"],
            vec!["kit/drum 2/layer 0.wav", "other/late.wav", "other/short.wav"],
            vec!["kit/drum 3/layer 1.wav", "other/slow.wav"],
        ]
    );
    // What is kept answers the second time, and a new file alone is listened to and compared.
    let counts = |found: &Value| ["heard", "compared", "read"].map(|key| found["near"][key].as_u64().unwrap());
    assert_eq!(counts(&found)[0], 36);
    assert!(counts(&found)[1] >= 4, "{found}");
    let again = run(&place.archive(), &place.store(), &[]);
    assert_eq!(counts(&again), [0, 0, 0]);
    assert_eq!(again["near"]["groups"], found["near"]["groups"]);
    fs::write(
        place.archive().join("other/quieter.wav"),
        wav(&hit(1, 3).iter().map(|x| x * 0.1).collect::<Vec<_>>(), 44_100),
    )
    .unwrap();
    place.index(&[]);
    let again = run(&place.archive(), &place.store(), &[]);
    assert_eq!(paths(&again["near"]["groups"][0]), ["kit/drum 1/layer 3.wav", "other/quieter.wav"]);
    assert_eq!(counts(&again)[0], 1);
    assert_eq!(run(&place.archive(), &place.store(), &["--exact"])["near"], Value::Null);
}

#[test]
fn real_copies_in_other_formats_are_found_and_nothing_else_is() {
    let place = Place::with_real_sounds();
    place.index(&[]);
    let found = run(&place.archive(), &place.store(), &[]);
    assert_eq!(found["exact_samples"], 2, "{found}");
    // Listed with tests/archive: which of its sounds are one recording is written nowhere, so that what is found is looked
    // at here: every one is very much alike, none is with itself, and damaged files are no reason to stop.
    for group in found["near"]["groups"].as_array().unwrap() {
        let paths = paths(group);
        assert!(paths.is_sorted() && paths.len() > 1, "{paths:?}");
        assert!(group["others"].as_array().unwrap().iter().all(|sound| sound["likeness"].as_f64() >= Some(0.93)));
    }
    let text = drumfs().arg("duplicates").arg(place.archive()).arg("--store").arg(place.store()).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("The same bytes: 2 contents") && text.contains("Nearly the same sound"), "{text}");
}

#[test]
fn the_answer_is_the_same_while_a_mount_has_the_store_and_whatever_the_threads() {
    let place = kits();
    let dir = tempfile::tempdir().unwrap();
    fs::rename(place.archive(), dir.path().join("archive")).unwrap();
    let mut mount = Mount::start(dir);
    let mounted = run(&mount.archive, &mount.store, &[]);
    assert_eq!(mounted["near"]["groups"].as_array().unwrap().len(), 3, "{mounted}");
    mount.end();
    let other = mount.dir.path().join("damaged");
    fs::write(mount.store.join("outlines.bin"), b"no outlines").unwrap();
    let again = run(&mount.archive, &mount.store, &["--threads", "1"]);
    assert_eq!(again["near"]["groups"], mounted["near"]["groups"], "{}", other.display());
}

#[test]
fn what_files_are_called_changes_nothing_but_who_stands_first() {
    let (place, renamed) = (kits(), Place::new());
    let mut files = Vec::new();
    let mut folders = vec![place.archive()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    for (number, path) in files.iter().enumerate() {
        // The last becomes the first, and neighbours are torn apart.
        renamed.put(&format!("{}/{}.wav", number * 7 % 5, 99 - number), &fs::read(path).unwrap());
    }
    let groups = |place: &Place| -> BTreeSet<BTreeSet<String>> {
        place.index(&[]);
        let found = run(&place.archive(), &place.store(), &[]);
        let hash = |sound: &Value| sound["hash"].as_str().unwrap().to_owned();
        let group = |group: &Value| {
            let others = group["others"].as_array().unwrap().iter();
            std::iter::once(&group["first"]).chain(others).map(hash).collect()
        };
        found["near"]["groups"].as_array().unwrap().iter().map(group).collect()
    };
    assert_eq!(groups(&place), groups(&renamed));
}

#[test]
fn a_file_that_can_not_be_heard_is_named_and_costs_itself_alone() {
    let place = kits();
    place.index(&[]);
    // Another content than is known, and nothing at all.
    fs::write(place.archive().join("other/late.wav"), wav(&hit(7, 77), 44_100)).unwrap();
    fs::remove_file(place.archive().join("kit/drum 6/layer 1.wav")).unwrap();
    let output = drumfs()
        .args(["duplicates", "--json"])
        .arg(place.archive())
        .arg("--store")
        .arg(place.store())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "some files failed");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed: Vec<&str> =
        found["near"]["failed"].as_array().unwrap().iter().map(|failed| failed["path"].as_str().unwrap()).collect();
    assert_eq!(failed, ["kit/drum 6/layer 1.wav", "other/late.wav"], "{found}");
    assert!(found["near"]["failed"][1]["reason"].as_str().unwrap().contains("changed"), "{found}");
    assert_eq!(found["near"]["unheard"], 2);
    let groups: Vec<Vec<&str>> = found["near"]["groups"].as_array().unwrap().iter().map(paths).collect();
    assert_eq!(
        groups,
        [
            vec!["kit/drum 1/layer 2.wav", "other/quieter.wav"],
            vec!["kit/drum 2/layer 0.wav", "other/short.wav"],
            vec!["kit/drum 3/layer 1.wav", "other/slow.wav"],
        ]
    );
}

#[test]
fn a_file_that_has_changed_is_not_answered_from_memory() {
    let place = kits();
    let late = fs::read(place.archive().join("other/late.wav")).unwrap();
    place.put("other/late again.wav", &late);
    place.index(&[]);
    let before = run(&place.archive(), &place.store(), &[]);
    assert_eq!(before["near"]["groups"].as_array().unwrap().len(), 3);
    // Both were listened to and compared; by now one is another sound of the same length, and the other has a copy.
    fs::write(place.archive().join("other/quieter.wav"), wav(&hit(7, 77), 44_100)).unwrap();
    fs::write(place.archive().join("other/late again.wav"), wav(&hit(7, 78), 44_100)).unwrap();
    let look = || -> (Option<i32>, Value) {
        let mut command = drumfs();
        let output =
            command.args(["duplicates", "--json"]).arg(place.archive()).arg("--store").arg(place.store()).output();
        let output = output.unwrap();
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
    };
    let (code, found) = look();
    assert_eq!(code, Some(3), "some files failed");
    let failed = found["near"]["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 2, "{found}");
    for (failed, path) in failed.iter().zip(["other/late again.wav", "other/quieter.wav"]) {
        assert_eq!(failed["path"], path);
        assert!(failed["reason"].as_str().unwrap().contains("run `drumfs index`"), "{failed}");
    }
    let groups = |found: &Value| -> Vec<Vec<String>> {
        let groups = found["near"]["groups"].as_array().unwrap().iter();
        groups.map(|group| paths(group).into_iter().map(str::to_owned).collect()).collect()
    };
    let expected = [
        vec!["kit/drum 2/layer 0.wav", "other/late.wav", "other/short.wav"],
        vec!["kit/drum 3/layer 1.wav", "other/slow.wav"],
    ];
    assert_eq!(groups(&found), expected, "the copy that is as it was stands for its content");
    assert_eq!((&found["near"]["unheard"], &found["near"]["heard"]), (&1.into(), &0.into()));
    place.index(&[]);
    let (code, found) = look();
    assert_eq!(code, Some(0));
    assert_eq!(groups(&found), expected);
}

#[test]
fn hide_near_hides_all_but_the_first_by_path_and_their_copies() {
    let place = kits();
    place.put("other/late again.wav", &fs::read(place.archive().join("other/late.wav")).unwrap());
    let dir = tempfile::tempdir().unwrap();
    fs::rename(place.archive(), dir.path().join("archive")).unwrap();
    let mut mount = Mount::start(dir);
    let hidden = |mount: &Mount| -> Vec<String> {
        let records = mount.index().into_iter().filter(|record| record["assigned_reason"] == "hidden");
        records.map(|record| record["relative_path"].as_str().unwrap().to_owned()).collect()
    };
    let become_hidden = |mount: &Mount, expected: &[&str]| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while hidden(mount) != expected {
            assert!(Instant::now() < deadline, "{:?}, {}", hidden(mount), mount.status()["near_duplicates"]);
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    assert_eq!(mount.status()["near_duplicates"], Value::Null, "the rules do not ask for it");
    // What was found before the save is hidden by the save.
    run(&mount.archive, &mount.store, &[]);
    fs::write(mount.rules(), "duplicates: hide-near\n").unwrap();
    let near = [
        "other/late again.wav",
        "other/late.wav",
        "other/quieter.wav",
        "other/same.wav",
        "other/short.wav",
        "other/slow.wav",
    ];
    assert_eq!(hidden(&mount), near);
    // The search after the save finds the same: nothing is written and no view is made for it.
    let stamp = || fs::metadata(mount.store.join("near.json")).map(|of| (of.ino(), of.mtime_nsec())).unwrap();
    let (view, file) = (mount.status()["epoch"].clone(), stamp());
    let deadline = Instant::now() + Duration::from_secs(60);
    while mount.status()["near_duplicates"]["searches"] == 0 {
        assert!(Instant::now() < deadline, "{}", mount.status()["near_duplicates"]);
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::write(mount.rules(), "duplicates: hide-near\nnames: ignore\n").unwrap();
    let saved = mount.status()["epoch"].clone();
    assert_eq!((saved.as_u64(), stamp()), (view.as_u64().map(|view| view + 1), file));
    // They are still there under the name that never changes, and shown when the rules say so.
    let slow = mount.index().into_iter().find(|record| record["relative_path"] == "other/slow.wav").unwrap();
    assert!(mount.path(format!("_by-id/{}.wav", slow["hash"].as_str().unwrap())).exists());
    fs::write(mount.rules(), "duplicates: hide\n").unwrap();
    assert_eq!(hidden(&mount), ["other/late.wav", "other/same.wav"]);
    fs::write(mount.rules(), "duplicates: show\n").unwrap();
    assert!(hidden(&mount).is_empty());
    // Where nothing was found yet the mount looks by itself; and again where something new was heard.
    mount.end();
    fs::remove_file(mount.store.join("near.json")).unwrap();
    mount.mount_again();
    fs::write(mount.rules(), "duplicates: hide-near\n").unwrap();
    become_hidden(&mount, &near);
    let loud: Vec<f32> = hit(5, 1).iter().map(|x| x * 0.9).collect();
    fs::write(mount.archive.join("other/loud.wav"), wav(&loud, 44_100)).unwrap();
    let more = [
        "other/late again.wav",
        "other/late.wav",
        "other/loud.wav",
        "other/quieter.wav",
        "other/same.wav",
        "other/short.wav",
        "other/slow.wav",
    ];
    become_hidden(&mount, &more);
    let told = &mount.status()["near_duplicates"];
    assert_eq!(told["groups"], 4, "{told}");
    assert_eq!(told["error"], Value::Null);
    // The next mount begins with it.
    mount.end();
    mount.mount_again();
    assert_eq!(hidden(&mount), more);
}
