//! Every word that was said, from the journal, and which words an undo takes back.

use crate::archive::ContentHash;
use crate::store::{JournalEntry, JournalEvent, Word};

/// A word and when it was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Spoken {
    /// In seconds since 1970. All that was said at once has one time.
    pub at: f64,
    /// What was said.
    pub word: Word,
}

/// The words on contents among a journal's entries, oldest first. What names no content that can be read is passed over.
pub fn spoken(entries: Vec<JournalEntry>) -> Vec<Spoken> {
    let word = |JournalEntry { at, event }| match event {
        JournalEvent::Override { hash, hash_algorithm, label, note, by, undo } => {
            let hash = ContentHash::from_hex(hash_algorithm.parse().ok()?, &hash).ok()?;
            Some(Spoken { at, word: Word { hash, label, note, by, undo } })
        }
        JournalEvent::Rules { .. } => None,
    };
    entries.into_iter().filter_map(word).collect()
}

/// What an undo does.
#[derive(Debug, Clone, PartialEq)]
pub struct Undo {
    /// What it takes back, oldest first: what was said last, with everything that was said at once with it.
    pub takes_back: Vec<Spoken>,
    /// What is to be said for that.
    pub words: Vec<Word>,
}

/// How to take back what was said last of the contents that `about` picks; none where there is nothing. An undo is a word
/// like any other and stays in the history; the next one goes on with what was said before.
pub fn undo(spoken: &[Spoken], about: impl Fn(&ContentHash) -> bool, by: Option<&str>) -> Option<Undo> {
    let mut alive: Vec<&Spoken> = Vec::new();
    for said in spoken.iter().filter(|said| about(&said.word.hash)) {
        if said.word.undo {
            if let Some(last) = alive.iter().rposition(|alive| alive.word.hash == said.word.hash) {
                alive.remove(last);
            }
        } else {
            alive.push(said);
        }
    }
    let at = alive.last()?.at;
    let start = alive.iter().rposition(|said| said.at != at).map_or(0, |before| before + 1);
    let takes_back = alive.split_off(start);
    let word = |said: &&Spoken| {
        let before = alive.iter().rev().find(|before| before.word.hash == said.word.hash);
        Word {
            hash: said.word.hash,
            label: before.and_then(|before| before.word.label.clone()),
            note: before.and_then(|before| before.word.note.clone()),
            by: by.map(str::to_owned),
            undo: true,
        }
    };
    let words = takes_back.iter().map(word).collect();
    Some(Undo { takes_back: takes_back.into_iter().cloned().collect(), words })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::HashAlgorithm;

    fn hash(name: &str) -> ContentHash {
        ContentHash::of(HashAlgorithm::Xxh3, name.as_bytes())
    }

    fn say(spoken: &mut Vec<Spoken>, at: f64, words: &[(&str, Option<&str>)]) {
        let word = |&(name, label): &(&str, Option<&str>)| (hash(name), label.map(str::to_owned), None).into();
        spoken.extend(words.iter().map(word).map(|word| Spoken { at, word }));
    }

    fn back(spoken: &mut Vec<Spoken>) -> Option<Vec<Option<String>>> {
        let undo = undo(spoken, |_| true, None)?;
        let at = spoken.len() as f64 + 1e3;
        spoken.extend(undo.words.iter().cloned().map(|word| Spoken { at, word }));
        Some(undo.words.into_iter().map(|word| word.label).collect())
    }

    #[test]
    fn undo_goes_back_word_by_word_and_what_was_said_at_once_goes_at_once() {
        let mut spoken = Vec::new();
        say(&mut spoken, 1.0, &[("a", Some("Kick"))]);
        say(&mut spoken, 2.0, &[("a", Some("Snare")), ("b", Some("Tom"))]);
        say(&mut spoken, 3.0, &[("a", None)]);
        assert_eq!(back(&mut spoken), Some(vec![Some("Snare".to_owned())]));
        say(&mut spoken, 2000.0, &[("b", Some("Clap"))]);
        assert_eq!(back(&mut spoken), Some(vec![Some("Tom".to_owned())]));
        assert_eq!(back(&mut spoken), Some(vec![Some("Kick".to_owned()), None]));
        assert_eq!(back(&mut spoken), Some(vec![None]));
        assert_eq!(back(&mut spoken), None);
    }

    #[test]
    fn undo_of_one_content_leaves_the_others() {
        let mut spoken = Vec::new();
        say(&mut spoken, 1.0, &[("a", Some("Kick"))]);
        say(&mut spoken, 2.0, &[("b", Some("Tom"))]);
        let undo = undo(&spoken, |about| *about == hash("a"), Some("me")).unwrap();
        assert_eq!(undo.words, [Word { hash: hash("a"), label: None, note: None, by: Some("me".into()), undo: true }]);
    }
}
