//! What `drumfs worker` promises, through the program itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod answers;
mod ending;
mod shards;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use drumfs::index::record::RecordContext;
use drumfs::rules::{Router, Rules, Vocabulary};
use support::{Place, drumfs, ensemble};

/// `drumfs worker --root ROOT`, with further arguments.
fn worker(root: &Path, more: &[&str]) -> Command {
    let mut command = drumfs();
    command.arg("worker").arg("--root").arg(root).args(more);
    command
}

/// A worker's answers to a list.
fn answers(root: &Path, more: &[&str], list: &[u8]) -> Output {
    let mut command = worker(root, more);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, list) = (child.stdin.take().unwrap(), list.to_vec());
    let writer = std::thread::spawn(move || drop(stdin.write_all(&list)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// The records of a worker that answered everything.
fn records(root: &Path, more: &[&str], list: &[u8]) -> Vec<serde_json::Value> {
    let output = answers(root, more, list);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    lines(&output.stdout).into_iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Lines, each of which must have its end.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    let lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    assert!(lines.iter().all(|line| line.ends_with(b"\n")));
    lines
}

/// index.jsonl of an archive that one machine has indexed, by the default rules.
fn index_of(place: &Place) -> Vec<Vec<u8>> {
    let store = place.open().unwrap().store;
    let catalogue = drumfs::index::load(&store, ensemble()).unwrap();
    let labels = ensemble().labels();
    let canonical = labels.names().iter().enumerate().map(|(index, name)| (name, labels.collected_under(index)));
    let vocabulary = Vocabulary::new(labels.names().iter().cloned(), canonical).unwrap();
    let router = Router::new(&Rules::defaults(&vocabulary), &vocabulary);
    let root = place.archive().canonicalize().unwrap();
    let context = RecordContext {
        root: &root,
        router: &router,
        labels: ensemble().labels().names(),
        model: ensemble().id(),
        features: Some(&ensemble().leading().description().features),
    };
    let samples = catalogue.samples();
    samples.iter().map(|sample| context.line(sample, &router.route(&sample.subject(None)))).collect()
}
