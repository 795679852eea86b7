//! kill -9 while people's words are being written.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::child::{self, Said, number_of_rules};
use crate::support::{Place, Running};

#[test]
fn whatever_was_acknowledged_before_a_kill_9_is_there_after_it() {
    let place = Place::new();
    let mut acknowledged: Vec<u64> = Vec::new();
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = 0;
    for round in 0..60 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut command = child::command("write", &place.store(), &place.archive());
        command.env("DRUMFS_TEST_FROM", next.to_string()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut run = Running(command.spawn().unwrap());
        let lines = BufReader::new(run.0.stdout.take().unwrap()).lines();
        let mut wanted = random % 25;
        // After so many words the process is killed at whatever it is doing; what it said until then still counts.
        for line in lines {
            let line = line.unwrap();
            assert!(!line.starts_with("refused"), "round {round}: {line}");
            let Some(number) = line.strip_prefix("ack ") else { continue };
            acknowledged.push(number.parse().unwrap());
            if wanted == 0 {
                run.signal(libc::SIGKILL);
            }
            wanted = wanted.saturating_sub(1);
            if wanted == 0 && random.is_multiple_of(3) {
                run.signal(libc::SIGKILL);
            }
        }
        run.0.wait().unwrap();
        next = acknowledged.last().map_or(0, |last| last + 1) + 1000;
        let expected = child::expected(&acknowledged);
        let store = place.open().unwrap_or_else(|error| panic!("round {round}: {error}")).store;
        let said = Said::of(&store);
        for (hash, label) in &expected.overrides {
            assert_eq!(said.overrides.get(hash), Some(label), "round {round}");
        }
        if let Some(rules) = &expected.rules {
            // The last one may have been written and not acknowledged any more.
            let found = number_of_rules(said.rules.as_deref().unwrap());
            assert!(found >= number_of_rules(rules), "round {round}: {found} and {rules}");
        }
    }
    assert!(acknowledged.len() > 300, "{}", acknowledged.len());
    // The journal alone is enough.
    let before = Said::of(&place.open().unwrap().store);
    std::fs::remove_dir_all(place.store().join("db")).unwrap();
    let after = Said::of(&place.open().unwrap().store);
    for (hash, label) in &before.overrides {
        assert_eq!(after.overrides.get(hash), Some(label));
    }
    assert!(number_of_rules(after.rules.as_deref().unwrap()) >= number_of_rules(before.rules.as_deref().unwrap()));
}
