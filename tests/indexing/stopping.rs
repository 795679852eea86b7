//! Passes that do not reach their end.

use std::time::Duration;

use crate::support::{Indexed, Place, Running, index_command, wait_for};

/// Whether a process has threads that listen: signals are handled from before that.
fn is_listening(run: &Running) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", run.0.id()));
    let name = |task: &std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.is_ok_and(|mut tasks| tasks.any(|task| task.is_ok_and(|task| name(&task).starts_with("listen-"))))
}

#[test]
fn ctrl_c_stops_cleanly_and_the_next_run_goes_on() {
    const COUNT: u64 = 6000;
    let place = Place::with_sounds(COUNT as u32);
    let (mut heard, mut interrupted) = (0, 0);
    // When a signal comes is not in our hands: a run that was done before it came ends the test's first half.
    for delay in [0, 100, 200, 300] {
        let run = Running::start(&mut index_command(&place.archive(), &place.store(), &["--threads", "1"]));
        wait_for("the pass", || is_listening(&run).then_some(()));
        std::thread::sleep(Duration::from_millis(delay));
        run.signal(libc::SIGINT);
        let run = Indexed::of(&run.output());
        let [found, unchanged, heard_now, duplicates, gone] = run.counts();
        // A walk that was stopped has seen a part.
        assert!(if found == COUNT { unchanged == heard } else { heard_now == 0 }, "{run:?}");
        assert_eq!((duplicates, gone, &run.json["mostly_absent"]), (0, 0, &false.into()), "{run:?}");
        heard += heard_now;
        if run.json["interrupted"] == true {
            interrupted += 1;
            assert_eq!(run.code, Some(1), "{run:?}");
        } else {
            assert_eq!((run.code, heard), (Some(0), COUNT), "{run:?}");
        }
    }
    assert!(interrupted > 0, "no run was interrupted");
    let last = place.index(&[]);
    assert_eq!(last.counts(), [COUNT, heard, COUNT - heard, 0, 0], "nothing is heard twice: {last:?}");
    assert_eq!(last.code, Some(0));
    assert_eq!(place.known().heard.len() as u64, COUNT);
}

#[test]
fn kill_9_at_any_moment_costs_only_time() {
    const COUNT: u32 = 1500;
    let place = Place::with_sounds(COUNT);
    place.put("broken.wav", b"no sound");
    place.put("copy.wav", &crate::support::wav(7));
    let undisturbed = Place::new();
    let calm = index_command(&place.archive(), &undisturbed.store(), &[]).output().unwrap();
    assert_eq!(calm.status.code(), Some(3));
    // Moments spread over the whole length of a pass, start-up included; a fixed sequence, so that a failure repeats.
    let mut random = 0x2545_F491_4F6C_DD1Du64;
    for _ in 0..30 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let run = Running::start(&mut index_command(&place.archive(), &place.store(), &["--threads", "1"]));
        std::thread::sleep(Duration::from_millis(random % 500));
        run.signal(libc::SIGKILL);
        run.output();
    }
    let last = place.index(&[]);
    assert!(matches!(last.code, Some(0 | 3)), "{last:?}");
    assert_eq!(last.count("found"), u64::from(COUNT) + 2);
    assert!(
        place.known() == crate::support::Known::read(&place.archive(), &undisturbed.store()),
        "the catalogue is that of a run nobody disturbed"
    );
}
