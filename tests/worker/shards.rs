//! Parts of a list.

use std::collections::BTreeSet;

use super::support::Place;
use super::{answers, index_of, lines, worker};

#[test]
fn shards_part_the_list_and_together_are_the_index() {
    let place = Place::with_sounds(40);
    place.index(&[]);
    let index = index_of(&place);
    let list = worker(&place.archive(), &["--list"]).output().unwrap().stdout;
    let mut all: Vec<Vec<u8>> = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let output = answers(&place.archive(), &["--shard", shard], &list);
        assert_eq!(output.status.code(), Some(0));
        let part: Vec<Vec<u8>> = lines(&output.stdout).into_iter().map(<[u8]>::to_vec).collect();
        assert!(!part.is_empty() && part.len() < index.len());
        // In the order of the list, and the same part where the list is made of that part alone.
        let of_part: BTreeSet<&Vec<u8>> = part.iter().collect();
        assert!(index.iter().filter(|line| of_part.contains(line)).eq(&part));
        let listed = worker(&place.archive(), &["--list", "--shard", shard]).output().unwrap().stdout;
        assert_eq!(answers(&place.archive(), &[], &listed).stdout, output.stdout);
        all.extend(part);
    }
    all.sort_unstable();
    let mut sorted = index;
    sorted.sort_unstable();
    assert!(all == sorted);
}

#[test]
fn a_line_that_is_no_path_is_answered_by_exactly_one_shard() {
    let place = Place::new();
    let count = |shard| lines(&answers(&place.archive(), &["--shard", shard], b"{}\n../x\n").stdout).len();
    assert_eq!(["1/3", "2/3", "3/3"].map(count).into_iter().sum::<usize>(), 2);
}

#[test]
fn a_shard_that_is_none_is_wrong_usage() {
    let place = Place::new();
    for shard in ["0/4", "5/4", "x"] {
        let output = answers(&place.archive(), &["--shard", shard], b"a.wav\n");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("the last 16/16"), "{output:?}");
    }
}
