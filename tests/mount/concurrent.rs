//! Eight that save and eight that look, at once: nobody hangs, and every listing is of one whole view.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::common::mount::{Mount, abort, connection};

const FILES: usize = 200;

/// Everything in one folder; both are there.
fn rules(here: &str, there: &str) -> String {
    format!("layout: flat\nroutes:\n  - {{name: \"no such name\", to: {there}}}\n  - {{path: \"**\", to: {here}}}\n")
}

/// `DRUMFS_STRESS_SECONDS=300 cargo test --release --test mount eight_writers` goes on for longer.
fn stress_for() -> Duration {
    let seconds = std::env::var("DRUMFS_STRESS_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(8))
}

#[test]
fn eight_writers_against_eight_walkers_never_show_a_mixture() {
    let paths: Vec<String> = (0..FILES).map(|n| format!("pack/{n:03}.wav")).collect();
    let mount = Mount::of(&paths.iter().map(|path| path.as_str()).collect::<Vec<_>>());
    mount.save_rules(&rules("A", "B")).unwrap();
    let bytes: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(mount.archive.join(path)).unwrap()).collect();
    // A hang is cut, so that it fails instead.
    let (alive, watched) = channel::<()>();
    let (number, cut) = (connection(&mount.at), AtomicBool::new(false));
    let stop = AtomicBool::new(false);
    let (saves, listings, reads) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let cut = &cut;
        scope.spawn(move || {
            if watched.recv_timeout(stress_for() + Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
                cut.store(true, Ordering::Relaxed);
                abort(number);
            }
        });
        let end = Instant::now() + stress_for();
        let mut threads = Vec::new();
        for writer in 0..8 {
            let (mount, saves) = (&mount, &saves);
            threads.push(scope.spawn(move || {
                let mut turn = writer;
                while Instant::now() < end {
                    let (here, there) = if turn % 2 == 0 { ("A", "B") } else { ("B", "A") };
                    mount.save_rules(&rules(here, there)).unwrap();
                    saves.fetch_add(1, Ordering::Relaxed);
                    turn += 1;
                }
            }));
        }
        for walker in 0..8 {
            let (mount, listings, reads, bytes, stop) = (&mount, &listings, &reads, &bytes, &stop);
            threads.push(scope.spawn(move || {
                let mut turn = walker;
                while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                    let folder = mount.path(if turn % 2 == 0 { "A" } else { "B" });
                    let mut found = 0;
                    for entry in fs::read_dir(&folder).unwrap() {
                        let entry = entry.unwrap();
                        // What is listed may have moved on, but what is found is the sample of that name.
                        if walker < 4
                            && let Ok(meta) = entry.metadata()
                        {
                            let name = entry.file_name().into_string().unwrap();
                            let number: usize = name.trim_end_matches(".wav").parse().unwrap();
                            assert_eq!(meta.len(), bytes[number].len() as u64);
                        }
                        found += 1;
                    }
                    assert!(found == 0 || found == FILES, "{found} of {FILES} in {}", folder.display());
                    listings.fetch_add(1, Ordering::Relaxed);
                    let manifest = fs::read_to_string(mount.path("_manifests/A.txt")).unwrap().lines().count();
                    assert!(manifest == 0 || manifest == FILES, "{manifest} of {FILES} in the manifest");
                    let number = turn % FILES;
                    if let Ok(read) = fs::read(folder.join(format!("{number:03}.wav"))) {
                        assert_eq!(read, bytes[number]);
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                    turn += 1;
                }
            }));
        }
        let failed: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().err()).collect();
        stop.store(true, Ordering::Relaxed);
        drop(alive);
        if let Some(first) = failed.into_iter().next() {
            std::panic::resume_unwind(first);
        }
    });
    assert!(!cut.load(Ordering::Relaxed), "somebody hung");
    let counts = (saves.into_inner(), listings.into_inner(), reads.into_inner());
    assert!(counts.0 > 16 && counts.1 > 16 && counts.2 > 0, "{counts:?}");
    // Every save was a view of its own, and the last of them is what is seen.
    assert!(mount.status()["epoch"].as_u64().unwrap() > counts.0);
    let (a, b) = (mount.names("A").len(), mount.names("B").len());
    assert_eq!((a.max(b), a.min(b)), (FILES, 0));
}
