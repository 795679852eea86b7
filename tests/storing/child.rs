//! A process of its own for what may end badly: this very program, started again with one test that does the work.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use drumfs::archive::{ContentHash, HashAlgorithm};
use drumfs::store::{OpenOptions, Store};

/// What people said, as a store tells it: labels by hash, and the rules in force.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Said {
    pub overrides: BTreeMap<String, String>,
    pub rules: Option<String>,
}

impl Said {
    /// Reads it.
    pub fn of(store: &Store) -> Self {
        let overrides = store.overrides().map(Result::unwrap).map(|(hash, said)| (hash.to_hex(), said.label));
        Self { overrides: overrides.collect(), rules: store.rules().unwrap().active }
    }
}

/// The hash that stands for a number.
pub fn hash(number: u64) -> ContentHash {
    ContentHash::of(HashAlgorithm::Xxh3, &number.to_le_bytes())
}

/// This program again, to do `work` on a store.
pub fn command(work: &str, store: &Path, archive: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "child::works_for_another_test", "--nocapture"]);
    command.env("DRUMFS_TEST_WORK", work).env("DRUMFS_TEST_STORE", store);
    command.env("DRUMFS_TEST_ARCHIVE", archive.canonicalize().unwrap());
    command
}

#[test]
#[ignore = "other tests run it in a process of its own"]
fn works_for_another_test() {
    let var = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: other tests start this one"));
    let work = var("DRUMFS_TEST_WORK");
    let options = OpenOptions {
        folder: var("DRUMFS_TEST_STORE").into(),
        archive: var("DRUMFS_TEST_ARCHIVE").into(),
        repair: work == "repair",
        purpose: "a child".to_owned(),
    };
    let store = match options.open() {
        Ok(opened) => opened.store,
        Err(error) => {
            println!("\nrefused {error}");
            return;
        }
    };
    match &work[..] {
        "read" | "repair" => read(&store),
        "write" => write(&store),
        other => panic!("what is `{other}`?"),
    }
}

/// Reads everything there is.
fn read(store: &Store) {
    let mut failed = Vec::new();
    let mut samples = 0;
    for item in store.samples() {
        match item {
            Ok((_, entry)) => {
                samples += 1;
                if let Some(hash) = entry.hash
                    && let Err(error) = store.analysis(&hash, crate::support::ensemble().leading().model_id())
                {
                    failed.push(error.to_string());
                }
            }
            Err(error) => failed.push(error.to_string()),
        }
    }
    let overrides: Result<BTreeMap<String, String>, _> =
        store.overrides().map(|item| item.map(|(hash, said)| (hash.to_hex(), said.label))).collect();
    let said = overrides.and_then(|overrides| Ok((overrides, store.rules()?.active)));
    match said {
        Ok((overrides, rules)) => {
            let line = serde_json::json!({ "samples": samples, "overrides": overrides, "rules": rules });
            println!("\nread {line}");
        }
        Err(error) => failed.push(error.to_string()),
    }
    failed.iter().for_each(|error| println!("\nfailed {error}"));
}

/// Writes overrides and rules until it can't, and says of each that it was acknowledged.
fn write(store: &Store) {
    let from: u64 = std::env::var("DRUMFS_TEST_FROM").unwrap().parse().unwrap();
    let note = "n".repeat(std::env::var("DRUMFS_TEST_NOTE").map_or(0, |len| len.parse().unwrap()));
    for number in from.. {
        let result = if number % 7 == 3 {
            store.accept_rules(&format!("# {number} {note}\nlayout: flat\n"))
        } else {
            store.set_overrides(&[(hash(number), Some(format!("label {number}")), Some(note.clone()))]).map(drop)
        };
        match result {
            Ok(()) => println!("\nack {number}"),
            Err(error) => {
                println!("\nrefused {error}");
                return;
            }
        }
    }
}

/// What a store must hold once the numbers of `acknowledged` were.
pub fn expected(acknowledged: &[u64]) -> Said {
    let mut said = Said::default();
    for &number in acknowledged {
        if number % 7 == 3 {
            said.rules = Some(format!("# {number}"));
        } else {
            said.overrides.insert(hash(number).to_hex(), format!("label {number}"));
        }
    }
    said
}

/// The number in the rules that [`works_for_another_test`] saves.
pub fn number_of_rules(text: &str) -> u64 {
    text[2..].split_whitespace().next().unwrap().parse().unwrap()
}
