//! How a worker ends, when it is not by the end of its list.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use super::support::{Place, Running};
use super::{answers, lines, worker};

#[test]
fn a_worker_whose_reader_has_gone_ends_though_its_list_goes_on() {
    let place = Place::with_sounds(1);
    let mut run = Running::start(worker(&place.archive(), &[]).stdin(Stdio::piped()));
    let mut list = run.0.stdin.take().unwrap();
    let mut read = BufReader::new(run.0.stdout.take().unwrap());
    list.write_all(b"pack 0/00000.wav\n").unwrap();
    read.read_line(&mut String::new()).unwrap();
    drop(read);
    list.write_all(b"pack 0/00000.wav\n").unwrap();
    // The list is still open.
    let output = run.0.wait().unwrap();
    assert_eq!(output.code(), Some(0));
    drop(list);
}

#[test]
fn sigterm_ends_a_worker_that_waits_and_leaves_whole_lines() {
    let place = Place::with_sounds(1);
    let mut run = Running::start(worker(&place.archive(), &["--threads", "2"]).stdin(Stdio::piped()));
    let mut list = run.0.stdin.take().unwrap();
    list.write_all(&b"pack 0/00000.wav\n".repeat(50)).unwrap();
    let mut read = BufReader::new(run.0.stdout.take().unwrap());
    let mut text = Vec::new();
    read.read_until(b'\n', &mut text).unwrap();
    run.signal(libc::SIGTERM);
    let rest = std::thread::spawn(move || {
        std::io::Read::read_to_end(&mut read, &mut text).unwrap();
        text
    });
    assert_eq!(run.0.wait().unwrap().code(), Some(1), "what was not read was not answered");
    let text = rest.join().unwrap();
    let records = lines(&text);
    assert!((1..=50).contains(&records.len()));
    assert!(records.iter().all(|line| serde_json::from_slice::<serde_json::Value>(line).is_ok()));
    drop(list);
}

#[test]
fn a_list_that_can_not_be_read_is_a_failure() {
    let place = Place::with_sounds(1);
    let folder = std::fs::File::open(place.archive()).unwrap();
    let output = worker(&place.archive(), &[]).stdin(folder).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the list on standard input can't be read"), "{output:?}");
    let output = answers(&place.path().join("nowhere"), &[], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no folder"), "{output:?}");
}
