//! Originals that go, change or can't be read while they are shown: that file alone is concerned.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use crate::common::eventually;
use crate::common::mount::Mount;
use crate::common::sounds::{wav, wav_of};
use crate::common::tools::{c_path, run, said};

const ALL: &str = "layout: flat\nroutes:\n  - {path: \"**\", to: All}\n";

fn mount() -> Mount {
    let mount = Mount::of(&["pack/a.wav", "pack/b.wav", "pack/c.wav", "pack/d.wav", "pack/e.wav"]);
    mount.save_rules(ALL).unwrap();
    mount
}

fn hash_of(mount: &Mount, path: &str) -> serde_json::Value {
    mount.index().into_iter().find(|record| record["relative_path"] == path).unwrap()["hash"].clone()
}

/// The others are as they were.
#[track_caller]
fn others_stay(mount: &Mount) {
    for (seed, name) in ["b.wav", "c.wav", "d.wav", "e.wav"].iter().enumerate() {
        assert_eq!(fs::read(mount.path("All").join(name)).unwrap(), wav(seed as u64 + 1), "{name}");
    }
}

#[test]
fn one_that_is_gone_is_not_found_and_the_others_stay() {
    let mount = mount();
    let shown = mount.path("All/a.wav");
    let open = File::open(&shown).unwrap();
    fs::remove_file(mount.archive.join("pack/a.wav")).unwrap();
    let errno = File::open(&shown).unwrap_err().raw_os_error();
    assert!(errno == Some(libc::ENOENT) || errno == Some(libc::EIO), "{errno:?}");
    others_stay(&mount);
    eventually("it is no longer listed", || !mount.names("All").contains(&"a.wav".to_owned()));
    assert_eq!(mount.status()["missing"], 1);
    // Whoever had it open reads on, also where the kernel has nothing of it in mind any more.
    for _ in 0..50 {
        let mut bytes = vec![0; wav(0).len()];
        open.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, wav(0));
        assert_eq!(open.metadata().unwrap().len(), wav(0).len() as u64);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    fs::write(mount.archive.join("pack/a.wav"), wav(0)).unwrap();
    eventually("it is back", || shown.exists());
    assert_eq!(fs::read(&shown).unwrap(), wav(0));
}

#[test]
fn one_that_was_replaced_serves_its_new_bytes_with_its_new_size_and_is_heard_again() {
    let mount = mount();
    let shown = mount.path("All/a.wav");
    let before = hash_of(&mount, "pack/a.wav");
    let mut old = File::open(&shown).unwrap();
    let mut start = vec![0; 100];
    old.read_exact(&mut start).unwrap();
    for (round, seconds) in [0.3, 0.05, 0.6].into_iter().enumerate() {
        let new = wav_of(100 + round as u64, seconds);
        let draft = mount.dir.path().join("new.wav");
        fs::write(&draft, &new).unwrap();
        fs::rename(&draft, mount.archive.join("pack/a.wav")).unwrap();
        let mut file = File::open(&shown).unwrap();
        assert_eq!(file.metadata().unwrap().len(), new.len() as u64, "the size after the open");
        assert_eq!(fs::metadata(&shown).unwrap().len(), new.len() as u64);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert!(bytes == new, "round {round}: the new bytes");
        let times = [fs::metadata(&shown), fs::metadata(mount.archive.join("pack/a.wav"))];
        let times = times.map(|meta| meta.unwrap().modified().unwrap());
        assert_eq!(times[0], times[1]);
        let cat = run("cat", &[shown.as_os_str()]);
        assert!(cat.stdout == new, "round {round}: another process");
    }
    others_stay(&mount);
    eventually("it was heard again", || {
        let now = hash_of(&mount, "pack/a.wav");
        now.is_string() && now != before
    });
    // Several readers opened several files of that name: no byte of another is ever mixed in where nothing was cached.
    eventually("a new open reads the last one", || fs::read(&shown).unwrap() == wav_of(102, 0.6));
}

/// Found by the model of model.rs: with one number for both, whoever held the old one was given bytes that the kernel had
/// kept of the new one; and once each had a number, zeros after its end, for as many as the new one was longer.
#[test]
fn one_that_is_held_open_reads_on_while_others_read_what_replaced_it() {
    let mount = mount();
    let shown = mount.path("All/a.wav");
    let mut held = vec![(File::open(&shown).unwrap(), wav(0))];
    for round in 0..4u64 {
        let new = wav_of(200 + round, 0.2 + 0.1 * round as f64);
        let draft = mount.dir.path().join("new.wav");
        fs::write(&draft, &new).unwrap();
        fs::rename(&draft, mount.archive.join("pack/a.wav")).unwrap();
        mount.rescan();
        for turn in 0..3 {
            // Also where nobody has opened it yet.
            assert_eq!(fs::metadata(&shown).unwrap().len(), new.len() as u64, "round {round}, {turn}: its size now");
            assert!(fs::read(&shown).unwrap() == new, "round {round}, {turn}: who opens it now");
            for (number, (file, bytes)) in held.iter().enumerate() {
                let mut read = vec![0; bytes.len() + 1];
                let len = file.read_at(&mut read, 0).unwrap();
                assert_eq!(len, bytes.len(), "round {round}, {turn}: who opened version {number} reads to its end");
                assert!(read[..len] == bytes[..], "round {round}, {turn}: who opened version {number}");
                assert_eq!(file.metadata().unwrap().len(), bytes.len() as u64, "round {round}, {turn}: {number}");
            }
        }
        held.push((File::open(&shown).unwrap(), new));
    }
}

#[test]
fn one_that_was_truncated_ends_earlier() {
    let mount = mount();
    let shown = mount.path("All/a.wav");
    assert_eq!(fs::read(&shown).unwrap(), wav(0));
    let original = File::options().write(true).open(mount.archive.join("pack/a.wav")).unwrap();
    original.set_len(1000).unwrap();
    let mut file = File::open(&shown).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 1000);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, wav(0)[..1000]);
    others_stay(&mount);
}

#[test]
fn one_that_grows_while_it_is_open_is_read_to_its_new_end() {
    let mount = mount();
    let mut file = File::open(mount.path("All/a.wav")).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, wav(0));
    let mut original = File::options().append(true).open(mount.archive.join("pack/a.wav")).unwrap();
    original.write_all(&[7; 50_000]).unwrap();
    drop(original);
    let want = [wav(0), vec![7; 50_000]].concat();
    eventually("the open handle reads to the new end", || {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes == want
    });
    assert_eq!(fs::read(mount.path("All/a.wav")).unwrap(), want);
}

#[test]
fn something_else_in_its_place_is_an_error_of_that_file_alone_and_nobody_hangs() {
    let mount = mount();
    let (shown, original) = (mount.path("All/a.wav"), mount.archive.join("pack/a.wav"));
    for what in ["a FIFO", "a folder", "a link out of the archive", "a link to itself"] {
        fs::remove_file(&original).or_else(|_| fs::remove_dir(&original)).unwrap();
        match what {
            // SAFETY: the path is NUL-terminated and outlives the call.
            "a FIFO" => assert_eq!(unsafe { libc::mkfifo(c_path(&original).as_ptr(), 0o644) }, 0),
            "a folder" => fs::create_dir(&original).unwrap(),
            "a link out of the archive" => std::os::unix::fs::symlink("/etc/hostname", &original).unwrap(),
            _ => std::os::unix::fs::symlink("a.wav", &original).unwrap(),
        }
        // In another process with a time limit: a FIFO would wait for a writer for ever.
        let cat = run("cat", &[shown.as_os_str()]);
        assert!(!cat.status.success(), "{what}");
        assert!(
            said(&cat).contains("No such file") || said(&cat).contains("Input/output error"),
            "{what}: {}",
            said(&cat)
        );
        others_stay(&mount);
    }
}

#[test]
fn an_archive_that_is_away_for_a_while_is_not_forgotten() {
    let mount = mount();
    let away = mount.dir.path().join("away");
    fs::rename(&mount.archive, &away).unwrap();
    mount.rescan();
    let status = mount.status();
    assert_eq!(status["samples"], 5, "nothing is forgotten: {status}");
    assert!(status["last_error"].is_string(), "and it is said: {status}");
    fs::rename(&away, &mount.archive).unwrap();
    mount.rescan();
    assert!(mount.status()["last_error"].is_null(), "{}", mount.status());
    assert_eq!(mount.names("All").len(), 5);
    assert_eq!(fs::read(mount.path("All/a.wav")).unwrap(), wav(0));
    others_stay(&mount);
}

#[test]
fn a_pack_that_is_away_for_a_while_is_not_forgotten() {
    let mount = mount();
    mount.append_override("{\"path\": \"pack/a.wav\", \"label\": \"Clap\"}").unwrap();
    let (pack, away) = (mount.archive.join("pack"), mount.dir.path().join("away"));
    fs::rename(&pack, &away).unwrap();
    for name in ["All/b.wav", "All/c.wav"] {
        let errno = File::open(mount.path(name)).unwrap_err().raw_os_error();
        assert!(errno == Some(libc::ENOENT) || errno == Some(libc::EIO), "{errno:?}");
    }
    mount.rescan();
    let why = mount.status()["last_error"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("more than half") && why.contains("Nothing was forgotten"), "{}", mount.status());
    fs::rename(&away, &pack).unwrap();
    mount.rescan();
    eventually("all are back", || mount.status()["missing"] == 0 && mount.path("All/b.wav").exists());
    others_stay(&mount);
    let done = mount.status()["indexing"]["done"].as_u64().unwrap();
    assert_eq!(done, 0, "nothing was heard again");
    assert_eq!(mount.status()["overrides"], 1);
}
