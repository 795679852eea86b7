//! A whole file of lines: what it says in the end, and where it is wrong or disagrees with itself.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead};

use super::{LineError, Names};
use crate::archive::ContentHash;
use crate::store::Word;

/// What a file says of one content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The line that counts, from 1.
    pub line: u64,
    /// What it says.
    pub word: Word,
}

/// A line that can't be taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: LineError,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// Two lines that give one content two labels. The later one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The content.
    pub hash: ContentHash,
    /// The earlier line, from 1, and its label.
    pub earlier: (u64, String),
    /// The later line and its label.
    pub later: (u64, String),
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((before, old), (line, new)) = (&self.earlier, &self.later);
        write!(f, "line {line} says `{new}` of a content of which line {before} says `{old}`; the later one counts")
    }
}

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The last word on each content, in the order in which the contents are first named.
    pub said: Vec<Said>,
    /// Lines that can't be taken.
    pub problems: Vec<Problem>,
    /// Lines that disagree.
    pub conflicts: Vec<Conflict>,
    /// How many lines say something.
    pub lines: u64,
}

/// Reads a file to its end. A line that is wrong costs itself alone. Of two lines on one content the later one counts,
/// as a line is added to take another back; where both give labels and not the same, that is a conflict.
///
/// # Errors
/// Where it can't be read.
pub fn read(mut file: impl BufRead, names: &Names<'_>) -> io::Result<Reading> {
    let mut reading = Reading::default();
    let mut places: HashMap<ContentHash, usize> = HashMap::new();
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line)? == 0 {
            return Ok(reading);
        }
        number += 1;
        let text = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line) } else { &line };
        let word = match names.parse(text) {
            Ok(None) => continue,
            Ok(Some(word)) => word,
            Err(why) => {
                reading.lines += 1;
                reading.problems.push(Problem { line: number, why });
                continue;
            }
        };
        reading.lines += 1;
        let place = *places.entry(word.hash).or_insert(reading.said.len());
        match reading.said.get_mut(place) {
            None => reading.said.push(Said { line: number, word }),
            Some(before) => {
                if let (Some(old), Some(new)) = (&before.word.label, &word.label)
                    && old != new
                {
                    let (earlier, later) = ((before.line, old.clone()), (number, new.clone()));
                    reading.conflicts.push(Conflict { hash: word.hash, earlier, later });
                }
                *before = Said { line: number, word };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::HashAlgorithm;
    use crate::overrides::{At, Contents, Labels};

    struct Paths;

    impl Contents for Paths {
        fn algorithm(&self) -> Option<HashAlgorithm> {
            Some(HashAlgorithm::Xxh3)
        }

        fn holds(&self, _: &ContentHash) -> bool {
            false
        }

        fn at(&self, path: &[u8]) -> At {
            At::Content(ContentHash::of(HashAlgorithm::Xxh3, path))
        }
    }

    #[test]
    fn the_last_word_counts_and_lines_that_disagree_or_are_wrong_are_named() {
        let text = "\u{feff}{\"path\": \"a\", \"label\": \"Kick\"}\r\n\n{\"path\": \"b\", \"label\": \"Kik\"}\n\
                    {\"path\": \"b\", \"label\": \"Tom\"}\n{\"path\": \"a\", \"label\": \"snare\"}\n\
                    {\"path\": \"b\", \"label\": null}\n{\"path\": \"b\", \"label\": \"Kick\"}";
        let labels = Labels::of(["Kick", "Snare", "Tom"]);
        let reading = read(text.as_bytes(), &Names { labels: &labels, contents: &Paths }).unwrap();
        let said: Vec<_> = reading.said.iter().map(|said| (said.line, said.word.label.as_deref())).collect();
        assert_eq!(said, [(5, Some("Snare")), (7, Some("Kick"))]);
        let problems: Vec<String> = reading.problems.iter().map(Problem::to_string).collect();
        assert_eq!(problems, ["line 3: unknown label `Kik`; did you mean `Kick`?"]);
        let conflicts: Vec<String> = reading.conflicts.iter().map(Conflict::to_string).collect();
        let expected = "line 5 says `Snare` of a content of which line 1 says `Kick`; the later one counts";
        assert_eq!(conflicts, [expected], "a label that was taken back is no conflict");
        assert_eq!(reading.lines, 6);
    }
}
