//! A run that is killed leaves whole files, and the next one does what is left.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use drumfs::rebuild::{LOG_NAME, Link};

use super::place::Place;
use crate::common::mount::DRUMFS;
use crate::common::snapshot::files_below;

/// Many samples, some of them large, so that a run takes a while.
fn many() -> Place {
    let mut place = Place::of(&[]);
    for number in 0..600 {
        place.add(&format!("pack {}/{number}.wav", number % 20), ["Kick", "Snare", "misc"][number % 3]);
    }
    for number in (0..600).step_by(7) {
        fs::write(place.archive().join(format!("pack {}/{number}.wav", number % 20)), vec![b'x'; 300_000]).unwrap();
    }
    place
}

/// Runs the program and kills it after so many microseconds; whether it was still at work.
fn killed(place: &Place, link: Link, micros: u64) -> bool {
    let mut command = Command::new(DRUMFS);
    command.args(["rebuild", "--link", link.name(), "--index"]).arg(place.index()).arg("--out").arg(place.out());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // From when it begins to write: the start takes longer than all the rest.
    while !place.out().exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_micros(100));
    }
    std::thread::sleep(Duration::from_micros(micros));
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

/// Everything in the tree is whole: as its original is, under the name it should have.
#[track_caller]
fn is_whole(place: &Place) -> usize {
    let expected = place.of_view();
    let mut samples = 0;
    for path in files_below(&place.out()) {
        let relative = path.strip_prefix(place.out()).unwrap().to_string_lossy().into_owned();
        let name = path.file_name().unwrap().to_string_lossy();
        if relative.starts_with('_') || name.starts_with(".drumfs-") {
            continue;
        }
        let original = place.archive().join(expected.get(&relative).unwrap_or_else(|| panic!("{relative}")));
        assert_eq!(fs::read(&path).unwrap(), fs::read(&original).unwrap(), "{relative} is half a file");
        samples += 1;
    }
    samples
}

#[test]
fn a_killed_run_leaves_whole_files_and_the_next_does_the_rest() {
    for link in [Link::Copy, Link::Symlink, Link::Hard] {
        let place = many();
        place.write_index();
        let mut cut = 0;
        for micros in [0, 300, 1_500, 4_000, 9_000] {
            let was_cut = killed(&place, link, micros);
            cut += usize::from(was_cut);
            let before = is_whole(&place);
            if !was_cut {
                break;
            }
            assert!(before <= 600);
        }
        assert!(cut > 0, "{link}: it was never killed in the middle");
        let before: BTreeMap<_, _> = samples(&place);
        let report = place.rebuild(link);
        assert_eq!(report.problems, [], "{link}");
        assert_eq!((report.kept + report.put, report.there), (600, 0), "{link}: what a killed run put is drumfs's");
        assert_eq!(is_whole(&place), 600);
        let after = samples(&place);
        assert!(before.iter().all(|(path, ino)| after[path] == *ino), "{link}: what was there was put again");
        assert!(unfinished(&place).is_empty(), "{:?}", unfinished(&place));
        assert!(place.rebuild(link).is_unchanged());
        assert_eq!(place.undo().removed, 600);
        // The folder itself may be from a run that was killed before its log was there.
        assert_eq!(super::place::files(&place.out()), BTreeMap::new());
    }
}

#[test]
fn what_a_killed_run_put_there_is_taken_away_by_undo() {
    for micros in [200, 3_000] {
        let place = many();
        place.write_index();
        killed(&place, Link::Copy, micros);
        // Killed before its log was there it has put nothing.
        if place.out().join(LOG_NAME).exists() {
            place.undo();
        }
        let left: Vec<_> = if place.out().exists() { files_below(&place.out()) } else { Vec::new() };
        assert!(
            left.iter().all(|path| path.file_name().unwrap().to_string_lossy().starts_with(".drumfs-")),
            "{left:?}"
        );
    }
}

#[test]
fn a_run_that_was_killed_while_re_sorting_is_gone_on_with() {
    let mut place = many();
    place.rebuild(Link::Copy);
    for (number, label) in place.labels.values_mut().enumerate() {
        *label = ["Tom", "Kick", "Snare", "misc"][number % 4].to_owned();
    }
    place.write_index();
    for micros in [100, 900] {
        // The folder is there already: from the start, then.
        std::thread::sleep(Duration::from_millis(1));
        killed(&place, Link::Copy, 20_000 + micros);
    }
    let report = place.rebuild(Link::Copy);
    assert_eq!((report.problems.len(), report.stays.len(), report.there), (0, 0, 0), "{report:?}");
    assert_eq!(place.tree().len(), 600);
    assert_eq!(place.tree().keys().collect::<Vec<_>>(), place.of_view().keys().collect::<Vec<_>>());
    assert_eq!(place.undo().removed, 600);
}

#[test]
fn copies_that_lost_bytes_when_the_power_went_are_made_again() {
    let place = Place::of(&[("a/k.wav", "Kick"), ("a/s.wav", "Snare"), ("b/t.wav", "Tom")]);
    place.rebuild(Link::Copy);
    let lose = |path: &str| {
        let path = place.out().join(path);
        let file = fs::File::options().write(true).open(&path).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        file.set_len(3).unwrap();
        file.set_modified(before).unwrap();
    };
    lose("Kick/a/k.wav");
    // In the same start of the system nobody but a person can have done that.
    let report = place.rebuild(Link::Copy);
    assert_eq!((report.replaced, report.problems.len()), (0, 1));
    assert_eq!(fs::read(place.out().join("Kick/a/k.wav")).unwrap(), b"the");
    let log = place.out().join(LOG_NAME);
    let text = fs::read_to_string(&log).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(&log, text.replace(boot.trim(), "another start")).unwrap();
    lose("Snare/a/s.wav");
    fs::write(place.out().join("_stats.json"), "").unwrap();
    let report = place.rebuild(Link::Copy);
    assert_eq!((report.replaced, report.problems.len()), (1, 1), "{report:?}");
    assert_eq!(place.tree()["Snare/a/s.wav"], "a/s.wav");
    assert!(!fs::read(place.out().join("_stats.json")).unwrap().is_empty());
}

fn samples(place: &Place) -> BTreeMap<String, u64> {
    let all = files_below(&place.out()).into_iter();
    let relative = all.map(|path| {
        let ino = fs::symlink_metadata(&path).unwrap().ino();
        (path.strip_prefix(place.out()).unwrap().to_string_lossy().into_owned(), ino)
    });
    relative.filter(|(path, _)| !path.starts_with('_') && !path.contains(".drumfs-")).collect()
}

fn unfinished(place: &Place) -> Vec<std::path::PathBuf> {
    files_below(&place.out()).into_iter().filter(|path| path.to_string_lossy().contains(".drumfs-")).collect()
}
