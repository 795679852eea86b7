//! What a sample's name says it is.
//!
//! A name is split into words at everything that is no letter and where its case changes, and only whole words count:
//! `CH` is a closed hat in `CH_01.wav` and nothing in `Chord.wav`. The words are those found on drum machines, in packs
//! and in sampler manuals, with plurals and several languages; [`MODIFIERS`] may be written together with them.
//!
//! Not every word is as good as every other. In one name the best [`Tier`] of what is found counts, and the others do
//! not: `Kick_OH_01` is a kick, heard by the overhead microphones.

use super::label_set::LabelSet;
use super::vocabulary::Vocabulary;
use super::words::{CODES, DESCRIBING, FAINT, MACHINES, MODIFIERS, OVERRULING, WORDS};

/// How good a word is, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    /// A word that turns what it stands beside into something else: a reversed crash is a reverse.
    Overruling,
    /// A name of a sound.
    Name,
    /// A machine's abbreviation of two letters.
    Code,
    /// An abbreviation or a word that as often means something else.
    Faint,
    /// A word for many sounds, such as percussion.
    Describing,
}

const TIERS: usize = 5;

/// A word of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    /// The first eight bytes, as in [`Word::start`].
    start: u64,
    text: &'static [u8],
    tier: Tier,
    label: u8,
}

/// The words for one vocabulary.
#[derive(Debug, Clone)]
pub(super) struct NameTable {
    /// By length, then by their first eight bytes: comparing integers tells nearly all words apart.
    words: Vec<Vec<Known>>,
    /// Two words in a row, neither longer than eight bytes.
    pairs: Vec<(u64, u64, Tier, u8)>,
}

/// A word of a name, as it is written there.
#[derive(Clone, Copy)]
struct Word<'n> {
    text: &'n [u8],
    /// The first eight bytes in lower case, zeros after the end.
    start: u64,
}

impl<'n> Word<'n> {
    const NONE: Self = Self { text: &[], start: 0 };

    fn of(text: &'n [u8]) -> Self {
        let mut start = [0; 8];
        for (slot, byte) in start.iter_mut().zip(text) {
            *slot = byte.to_ascii_lowercase();
        }
        Self { text, start: u64::from_be_bytes(start) }
    }
}

/// What was found of a word.
type Meaning = Option<(Tier, u8)>;

impl NameTable {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let mut words: Vec<Vec<Known>> = Vec::new();
        let mut pairs = Vec::new();
        for (tier, table) in [(Tier::Name, WORDS), (Tier::Code, CODES), (Tier::Faint, FAINT)] {
            for (label, list) in table {
                let Some(index) = vocabulary.index_of(label) else { continue };
                let tier = match tier {
                    Tier::Name if OVERRULING.contains(label) => Tier::Overruling,
                    Tier::Name if DESCRIBING.contains(label) => Tier::Describing,
                    tier => tier,
                };
                for text in *list {
                    if let Some((first, second)) = text.split_once(' ') {
                        let (first, second) = (Word::of(first.as_bytes()), Word::of(second.as_bytes()));
                        pairs.push((first.start, second.start, tier, index));
                        continue;
                    }
                    if words.len() <= text.len() {
                        words.resize(text.len() + 1, Vec::new());
                    }
                    if let Some(same_length) = words.get_mut(text.len()) {
                        let start = Word::of(text.as_bytes()).start;
                        same_length.push(Known { start, text: text.as_bytes(), tier, label: index });
                    }
                }
            }
        }
        words.iter_mut().for_each(|same_length| same_length.sort_unstable());
        Self { words, pairs }
    }

    fn look_up(&self, word: &Word<'_>) -> Meaning {
        let same_length = self.words.get(word.text.len())?;
        let first = same_length.partition_point(|known| known.start < word.start);
        let candidates = same_length.get(first..)?.iter().take_while(|known| known.start == word.start);
        let mut same = candidates.filter(|known| known.text.eq_ignore_ascii_case(word.text));
        same.next().map(|known| (known.tier, known.label))
    }

    /// A word, or one that is written together with a modifier: `hatopen`, `lotom`.
    fn look_up_modified(&self, word: &Word<'_>) -> Meaning {
        let found = self.look_up(word);
        if found.is_some() || word.text.len() < 5 {
            return found;
        }
        MODIFIERS.iter().find_map(|modifier| {
            let (modifier, len) = (modifier.as_bytes(), word.text.len());
            let rest = len.checked_sub(modifier.len()).filter(|rest| *rest >= 2)?;
            let (head, tail) = (word.text.split_at_checked(modifier.len())?, word.text.split_at_checked(rest)?);
            let rest = if head.0.eq_ignore_ascii_case(modifier) {
                head.1
            } else if tail.1.eq_ignore_ascii_case(modifier) {
                tail.0
            } else {
                return None;
            };
            // What is left must be a name, or a code beside a modifier that is long enough to be meant.
            self.look_up(&Word::of(rest)).filter(|(tier, _)| match tier {
                Tier::Name => rest.len() >= 3,
                Tier::Code => modifier.len() >= 4,
                _ => false,
            })
        })
    }

    fn look_up_pair(&self, first: &Word<'_>, second: &Word<'_>) -> Meaning {
        if first.text.is_empty() || first.text.len() > 8 || second.text.len() > 8 {
            return None;
        }
        let pair = self.pairs.iter().find(|pair| (pair.0, pair.1) == (first.start, second.start))?;
        Some((pair.2, pair.3))
    }

    /// The fine labels that a sample's path speaks of: those of the file's name, or else those of the nearest folder
    /// that speaks of any.
    pub(super) fn labels_of(&self, path: &[u8]) -> LabelSet {
        for (depth, component) in path.rsplit(|byte| *byte == b'/').enumerate() {
            let found = match component.iter().rposition(|byte| *byte == b'.') {
                Some(dot) if depth == 0 => self.labels_in(component.get(..dot).unwrap_or(component), true),
                _ => self.labels_in(component, depth == 0),
            };
            if !found.is_empty() {
                return found;
            }
        }
        LabelSet::default()
    }

    /// Whether a folder's name has nothing in it but words of the tables.
    fn is_plain(&self, name: &[u8]) -> bool {
        let modifies = |run: &[u8]| MODIFIERS.iter().any(|modifier| modifier.as_bytes().eq_ignore_ascii_case(run));
        let known = |run: &[u8]| run.is_empty() || modifies(run) || self.look_up_modified(&Word::of(run)).is_some();
        !name.iter().any(u8::is_ascii_digit) && name.split(|byte| !is_letter(*byte)).all(known)
    }

    /// The fine labels that one name speaks of.
    fn labels_in(&self, name: &[u8], is_file: bool) -> LabelSet {
        let mut reading = Reading {
            table: self,
            // A folder's codes count only where it is called nothing else: `SD` and `SD Soft` are full of snares,
            // `SD card` is not.
            codes_count: is_file || self.is_plain(name),
            faint_counts: is_file,
            tiers: [LabelSet::default(); TIERS],
            previous: Word::NONE,
            waiting: None,
        };
        for (run, after) in runs(name) {
            let whole = Word::of(run);
            if let Some(meaning) = self.look_up_modified(&whole).filter(|_| !is_machine(run, after)) {
                reading.take(whole, Some(meaning));
                continue;
            }
            let mut rest = run;
            while !rest.is_empty() {
                let (part, after_part) = rest.split_at(first_part(rest));
                rest = after_part;
                let word = Word::of(part);
                let names_machine = rest.is_empty() && is_machine(part, after);
                reading.take(word, self.look_up_modified(&word).filter(|_| !names_machine));
            }
        }
        reading.end()
    }
}

/// A name that is being read, word by word.
struct Reading<'t, 'n> {
    table: &'t NameTable,
    codes_count: bool,
    faint_counts: bool,
    /// What was found, by tier.
    tiers: [LabelSet; TIERS],
    previous: Word<'n>,
    /// What the word before means by itself: put once the next has not made a pair of the two.
    waiting: Meaning,
}

impl<'n> Reading<'_, 'n> {
    /// Takes the next word: together with the one before, where the two make a term (`bass drum`), else by itself.
    fn take(&mut self, word: Word<'n>, meaning: Meaning) {
        if let Some(pair) = self.table.look_up_pair(&self.previous, &word) {
            (self.waiting, self.previous) = (Some(pair), Word::NONE);
            return;
        }
        self.put();
        (self.waiting, self.previous) = (meaning, word);
    }

    fn put(&mut self) {
        let Some((tier, label)) = self.waiting.take() else { return };
        let counts = match tier {
            Tier::Code => self.codes_count,
            Tier::Faint => self.faint_counts,
            _ => true,
        };
        if let Some(set) = self.tiers.get_mut(tier as usize).filter(|_| counts) {
            set.insert(label);
        }
    }

    /// What the best tier says.
    fn end(mut self) -> LabelSet {
        self.put();
        self.tiers.into_iter().find(|set| !set.is_empty()).unwrap_or_default()
    }
}

/// The runs of letters in a name, each with what follows it. Those of what looks like a hash are passed over: `bd` is
/// no kick in `3fbd02a1`.
fn runs(name: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = name;
    let mut hash_ends = 0usize;
    std::iter::from_fn(move || {
        loop {
            let start = rest.iter().position(|byte| is_letter(*byte))?;
            let from = rest.get(start..)?;
            let at = name.len() - from.len();
            let len = from.iter().position(|byte| !is_letter(*byte)).unwrap_or(from.len());
            let (run, after) = from.split_at_checked(len)?;
            rest = after;
            if at < hash_ends {
                continue;
            }
            // The token around the run, back to the last byte that is neither letter nor digit.
            let alnum = |byte: &u8| is_letter(*byte) || byte.is_ascii_digit();
            let before = name.get(..at)?.iter().rev().take_while(|byte| alnum(byte)).count();
            let length = from.iter().take_while(|byte| alnum(byte)).count();
            let token = name.get(at - before..at + length)?;
            if is_hash(token) {
                hash_ends = at + length;
                continue;
            }
            return Some((run, after));
        }
    })
}

/// Whether a token looks like a hash: eight or more hexadecimal digits, going back and forth between letters and
/// numbers.
fn is_hash(token: &[u8]) -> bool {
    let changes = token.windows(2).filter(|pair| matches!(pair, [a, b] if a.is_ascii_digit() != b.is_ascii_digit()));
    token.len() >= 8 && token.iter().all(u8::is_ascii_hexdigit) && changes.count() >= 3
}

/// Whether a word and the number after it name a machine: the `CR` of `CR-78` is no crash.
fn is_machine(word: &[u8], after: &[u8]) -> bool {
    if word.len() > 2 {
        return false;
    }
    let number = after.strip_prefix(b"-").unwrap_or(after);
    let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = number.get(..digits).unwrap_or_default();
    MACHINES.iter().any(|(letters, numbers)| {
        letters.as_bytes().eq_ignore_ascii_case(word) && numbers.iter().any(|known| known.as_bytes() == number)
    })
}

fn is_letter(byte: u8) -> bool {
    // Bytes beyond ASCII belong to letters of other scripts far more often than to punctuation.
    byte.is_ascii_alphabetic() || !byte.is_ascii()
}

/// The length of the first part of a run of letters: `Kick` of `KickDrum`, `HH` of `HHClosed`, `BDs` of `BDs`.
fn first_part(run: &[u8]) -> usize {
    let upper = run.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let lower = run.iter().skip(upper).take_while(|byte| !byte.is_ascii_uppercase()).count();
    match (upper, lower) {
        (0 | 1, _) | (_, 0) => upper + lower,
        // A plural of an abbreviation.
        (_, 1) if run.get(upper) == Some(&b's') => upper + 1,
        // The last capital starts the next word.
        _ => upper - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(path: &str) -> Vec<String> {
        let drums = Vocabulary::drums();
        let labels = NameTable::new(&drums).labels_of(path.as_bytes());
        labels.iter().map(|label| drums.labels()[usize::from(label)].clone()).collect()
    }

    #[test]
    fn every_word_belongs_to_one_label_and_fits() {
        let drums = Vocabulary::drums();
        let tables = || WORDS.iter().chain(CODES).chain(FAINT);
        let mut all: Vec<&str> = tables().flat_map(|(_, words)| words.iter().copied()).collect();
        all.sort_unstable();
        let twice: Vec<_> = all.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
        for (label, words) in tables() {
            assert!(drums.index_of(label).is_some(), "{label}");
            for word in *words {
                assert_eq!(*word, word.to_ascii_lowercase());
                let fits = |(first, second): (&str, &str)| first.len() <= 8 && second.len() <= 8;
                assert!(word.split_once(' ').is_none_or(fits), "{word}");
                assert_eq!(says(word), [*label], "{word}");
            }
        }
        assert!(CODES.iter().all(|(_, codes)| codes.iter().all(|code| code.len() == 2)));
    }

    #[test]
    fn names_are_read_as_people_write_them() {
        for (path, label) in [
            ("Akai/Layered/BD_019.wav", "Kick"),
            ("Kick808.wav", "Kick"),
            ("kick01.wav", "Kick"),
            ("01-Bass Drum.aif", "Kick"),
            ("BassDrum3.wav", "Kick"),
            ("TR-909 Bass_Drum.wav", "Kick"),
            ("BDs/x.wav", "Kick"),
            ("Metal Kick 2.wav", "Kick"),
            ("BDrumNew_v2.wav", "Kick"),
            ("SD_Tight.flac", "Snare"),
            ("909SD.wav", "Snare"),
            ("HHClosed.wav", "Hihat"),
            ("ClosedHH01.wav", "Hihat"),
            ("Hi-Hat Open.wav", "Hihat"),
            ("CH.WAV", "Hihat"),
            ("Crash Cymbal.wav", "Crash"),
            ("Ride Bell 3.wav", "Ride"),
            ("Cow Bell.wav", "Cowbell"),
            ("CowBell.wav", "Cowbell"),
            ("Side-Stick.wav", "Rim"),
            ("LT_03.wav", "Tom"),
            ("Kicks/Deep/019.wav", "Kick"),
            ("Drums/Kicks/Snare 3.wav", "Snare"),
            ("Loops/キック01.wav", "Kick"),
            ("808底鼓.wav", "Kick"),
            ("Бочка 3.wav", "Kick"),
            ("Caisse Claire.wav", "Snare"),
            ("Wood Block.wav", "Perc"),
            ("Perc CB.wav", "Cowbell"),
        ] {
            assert_eq!(says(path), [label], "{path}");
        }
    }

    #[test]
    fn the_numbers_of_drum_machines_are_read() {
        for (path, label) in [
            ("BD0010.WAV", "Kick"),
            ("SD50.WAV", "Snare"),
            ("CP02.WAV", "Clap"),
            ("RS.WAV", "Rim"),
            ("MT75.WAV", "Tom"),
            ("HT00.WAV", "Tom"),
            ("OH25.WAV", "Hihat"),
            ("CY5000.WAV", "Cymbal"),
            ("MA.WAV", "Maracas"),
            ("CL.WAV", "Clave"),
            ("CB.WAV", "Cowbell"),
            ("LC25.WAV", "Conga"),
            ("MC00.WAV", "Conga"),
            ("HC75.WAV", "Conga"),
            ("CR 09.wav", "Crash"),
            ("RD_8.wav", "Ride"),
        ] {
            assert_eq!(says(path), [label], "{path}");
        }
        // A machine's own name says nothing of what is in it.
        for path in
            ["CR-78/01.wav", "cr78 03.wav", "Roland CR-78/x.wav", "RD-8/a.wav", "MC-909 004.wav", "SH-101 9.wav"]
        {
            assert_eq!(says(path), Vec::<String>::new(), "{path}");
        }
        assert_eq!(says("CR-78 CB.wav"), ["Cowbell"]);
    }

    #[test]
    fn modifiers_may_be_written_together_with_a_word() {
        for (path, label) in [
            ("hatopen 3.wav", "Hihat"),
            ("clhat.wav", "Hihat"),
            ("hhclosed-4.wav", "Hihat"),
            ("LoTom.wav", "Tom"),
            ("synthkit-lotom.wav", "Tom"),
            ("tomhi2.wav", "Tom"),
            ("kickhard.wav", "Kick"),
            ("subkick.wav", "Kick"),
            ("crashcymbal.wav", "Crash"),
            ("softsnare.wav", "Snare"),
        ] {
            assert_eq!(says(path), [label], "{path}");
        }
    }

    #[test]
    fn words_count_only_as_whole_words() {
        for path in [
            "Chord.wav",
            "Scratchy.wav",
            "Third.wav",
            "Cprs.wav",
            "Crunch.wav",
            "Sdx.wav",
            "whatever.wav",
            "019.wav",
            "Tomato.wav",
            "Tomorrow.wav",
            "Kickstart.wav",
            "Override 2.wav",
            "bride.wav",
            "Prime.wav",
            "primer.wav",
            "that.wav",
            "What.wav",
            "chat.wav",
            "Trash.wav",
            "Clapton.wav",
            "Labello.wav",
            "Umbrella.wav",
            "Invoice.wav",
            "Metallica.wav",
            "Percival.wav",
            "Stomp.wav",
            "Congress.wav",
            "scrimshaw.wav",
            "Machine.wav",
            "lowrider.wav",
            "3fBD02a1.wav",
            "a1b2cb3d4e5f.wav",
            "Кикимора.wav",
        ] {
            assert_eq!(says(path), Vec::<String>::new(), "{path}");
        }
        assert_eq!(says("Cowbell.wav"), ["Cowbell"], "no bell");
    }

    #[test]
    fn a_files_name_goes_before_its_folders_and_folders_are_not_taken_by_their_codes() {
        assert_eq!(says("Kicks/snare.wav"), ["Snare"]);
        assert_eq!(says("Snares/Claps/01.wav"), ["Clap"]);
        assert_eq!(says("SD/01.wav"), ["Snare"]);
        assert_eq!(says("HH Open/01.wav"), ["Hihat"]);
        for path in ["SD card/01.wav", "MC/01.wav", "From MA/01.wav", "CH Samples 2/x.wav"] {
            assert_eq!(says(path), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn a_name_may_speak_of_several_things() {
        assert_eq!(says("Snare Clap.wav"), ["Snare", "Clap"]);
        assert_eq!(says("BD_SD.wav"), ["Kick", "Snare"]);
        // Codes give way to words, and what often means something else gives way to both.
        assert_eq!(says("Kick_OH_01.wav"), ["Kick"]);
        assert_eq!(says("SD_OH_01.wav"), ["Snare"]);
        assert_eq!(says("Timbale HT.wav"), ["Timbale"]);
        assert_eq!(says("Snare Stick.wav"), ["Snare"]);
        // A sound that was turned around is a reverse, whatever it was.
        assert_eq!(says("Reverse Crash 2.wav"), ["Reverse"]);
        assert_eq!(says("rev snare.wav"), ["Reverse"]);
        assert_eq!(says("Snare Rev A.wav"), ["Snare"], "a reverb, perhaps");
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let table = NameTable::new(&Vocabulary::drums());
        for path in [&b""[..], b"/", b"//", b".", b"\xff\xfe/\x80", &[b'A'; 5000], &[0xe3; 70], b"a/BD\xff.wav"] {
            let _ = table.labels_of(path);
        }
        assert_eq!(table.labels_of(b"\xff_BD_\xfe.wav").iter().count(), 1);
    }
}
