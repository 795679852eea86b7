//! What a sample's name says it is.
//!
//! A name is split into words at everything that is no letter and where its case changes, and only whole words count:
//! `CH` is a closed hat in `CH_01.wav` and nothing in `Chord.wav`. The words are those found on drum machines, in packs
//! and in sampler manuals, with plurals and a few languages.

use super::label_set::LabelSet;
use super::vocabulary::Vocabulary;

/// Words by label. Lower case; a word with a space is two words in a row.
const WORDS: &[(&str, &[&str])] = &[
    (
        "Kick",
        &[
            "kick",
            "kicks",
            "kik",
            "kck",
            "kk",
            "kd",
            "bd",
            "bds",
            "bassdrum",
            "bassdrums",
            "bass drum",
            "bass drums",
            "kickdrum",
            "kickdrums",
            "basedrum",
            "bombo",
            "bumbo",
            "cassa",
            "grosse caisse",
            "grossecaisse",
            "bassorumpu",
            "bastrumma",
            "キック",
        ],
    ),
    (
        "Snare",
        &[
            "snare",
            "snares",
            "snr",
            "snrs",
            "sn",
            "sd",
            "sds",
            "snaredrum",
            "snaredrums",
            "caja",
            "caixa",
            "rullante",
            "caisse claire",
            "caisseclaire",
            "virvel",
            "virveli",
            "スネア",
        ],
    ),
    (
        "Rim",
        &[
            "rim",
            "rims",
            "rimshot",
            "rimshots",
            "rimclick",
            "rs",
            "sidestick",
            "sidesticks",
            "side stick",
            "crossstick",
            "cross stick",
            "xstick",
        ],
    ),
    (
        "Hihat",
        &[
            "hihat",
            "hihats",
            "hi hat",
            "hi hats",
            "hat",
            "hats",
            "hh",
            "hhs",
            "ch",
            "chh",
            "hhc",
            "oh",
            "ohh",
            "hho",
            "phh",
            "hhp",
            "closedhat",
            "closedhats",
            "closedhihat",
            "openhat",
            "openhats",
            "openhihat",
            "pedalhat",
            "charley",
            "charleston",
            "chimbal",
            "ハイハット",
            "ハット",
        ],
    ),
    ("Crash", &["crash", "crashes", "crsh", "cr", "crashcymbal", "クラッシュ"]),
    ("Ride", &["ride", "rides", "rd", "rc", "ridecymbal", "ライド"]),
    ("China", &["china", "chinas", "chinacymbal"]),
    ("Splash", &["splash", "splashes"]),
    ("Sizzle", &["sizzle", "sizzles"]),
    (
        "Cymbal",
        &[
            "cymbal",
            "cymbals",
            "cym",
            "cyms",
            "cymb",
            "cy",
            "becken",
            "bekken",
            "cymbale",
            "cymbales",
            "platillo",
            "platillos",
            "piatto",
            "piatti",
            "prato",
            "pratos",
            "シンバル",
        ],
    ),
    (
        "Tom",
        &[
            "tom", "toms", "lt", "mt", "ht", "ft", "lowtom", "midtom", "hitom", "hightom", "floortom", "tomtom",
            "tomtoms", "surdo", "タム",
        ],
    ),
    ("Timbale", &["timbale", "timbales"]),
    ("Timpani", &["timpani", "timp", "timps", "timpano", "kettledrum", "pauke", "pauken", "timbal"]),
    ("Agogo", &["agogo", "agogos"]),
    ("Bell", &["bell", "bells"]),
    ("Bongo", &["bongo", "bongos", "bongoes"]),
    ("Cabasa", &["cabasa", "cabasas", "cabaza", "afuche"]),
    (
        "Clap",
        &[
            "clap",
            "claps",
            "clp",
            "clps",
            "cp",
            "cps",
            "handclap",
            "handclaps",
            "hand clap",
            "hand claps",
            "palmas",
            "palmada",
            "palmadas",
            "klatschen",
            "クラップ",
        ],
    ),
    ("Clave", &["clave", "claves"]),
    ("Conga", &["conga", "congas", "cng", "cga", "tumba", "tumbadora", "quinto"]),
    (
        "Cowbell",
        &[
            "cowbell",
            "cowbells",
            "cow bell",
            "cow bells",
            "cb",
            "cow",
            "cencerro",
            "kuhglocke",
            "campanaccio",
            "カウベル",
        ],
    ),
    ("Cuica", &["cuica", "cuicas", "cuíca"]),
    ("FX", &["fx", "sfx", "effect", "effects", "zap", "zaps", "riser", "risers"]),
    ("Guiro", &["guiro", "guiros", "güiro"]),
    ("Maracas", &["maracas", "maraca"]),
    ("Metal", &["metal", "metals", "metallic", "anvil"]),
    ("Noise", &["noise", "noises", "static"]),
    ("Perc", &["perc", "percs", "prc", "percussion", "percussions", "percussive", "perk", "perkussion", "percusion"]),
    ("Reverse", &["reverse", "reversed", "reverses"]),
    ("Shaker", &["shaker", "shakers", "shk", "shkr", "shake", "egg shaker", "rassel", "chocalho"]),
    (
        "Tambourine",
        &[
            "tambourine",
            "tambourines",
            "tamb",
            "tambs",
            "tambo",
            "tamburin",
            "tamborine",
            "pandereta",
            "pandeiro",
            "riq",
            "タンバリン",
        ],
    ),
    ("Triangle", &["triangle", "triangles", "triangel", "triangolo"]),
    ("Vibraslap", &["vibraslap", "vibraslaps", "vibra slap"]),
    ("Vox", &["vox", "voxes", "vocal", "vocals", "voice", "voices"]),
];

/// Labels that describe rather than name: each says nothing beside one that is not in this list.
const DESCRIBING: &[&str] = &["Cymbal", "Perc", "Bell", "Metal", "Noise", "FX"];

/// The words for one vocabulary.
#[derive(Debug, Clone)]
pub(super) struct NameTable {
    /// By length, then by their first eight bytes: comparing integers tells nearly all words apart.
    words: Vec<Vec<(u64, &'static [u8], u8)>>,
    /// Two words in a row, neither longer than eight bytes.
    pairs: Vec<(u64, u64, u8)>,
    describing: LabelSet,
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

impl NameTable {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let mut words: Vec<Vec<(u64, &[u8], u8)>> = Vec::new();
        let mut pairs = Vec::new();
        let mut describing = LabelSet::default();
        for (label, list) in WORDS {
            let Some(index) = vocabulary.index_of(label) else { continue };
            for word in *list {
                if let Some((first, second)) = word.split_once(' ') {
                    pairs.push((Word::of(first.as_bytes()).start, Word::of(second.as_bytes()).start, index));
                    continue;
                }
                if words.len() <= word.len() {
                    words.resize(word.len() + 1, Vec::new());
                }
                if let Some(same_length) = words.get_mut(word.len()) {
                    same_length.push((Word::of(word.as_bytes()).start, word.as_bytes(), index));
                }
            }
            if DESCRIBING.contains(label) {
                describing.insert(index);
            }
        }
        words.iter_mut().for_each(|same_length| same_length.sort_unstable());
        Self { words, pairs, describing }
    }

    fn look_up(&self, word: &Word<'_>) -> Option<u8> {
        let same_length = self.words.get(word.text.len())?;
        let first = same_length.partition_point(|(start, _, _)| *start < word.start);
        let candidates = same_length.get(first..)?.iter().take_while(|(start, _, _)| *start == word.start);
        let mut same = candidates.filter(|(_, known, _)| known.eq_ignore_ascii_case(word.text));
        same.next().map(|(_, _, label)| *label)
    }

    fn look_up_pair(&self, first: &Word<'_>, second: &Word<'_>) -> Option<u8> {
        if first.text.is_empty() || first.text.len() > 8 || second.text.len() > 8 {
            return None;
        }
        let pair = self.pairs.iter().find(|pair| (pair.0, pair.1) == (first.start, second.start))?;
        Some(pair.2)
    }

    /// The fine labels that a sample's path speaks of: those of the file's name, or else those of the nearest folder
    /// that speaks of any.
    pub(super) fn labels_of(&self, path: &[u8]) -> LabelSet {
        for (depth, component) in path.rsplit(|byte| *byte == b'/').enumerate() {
            let stem = match component.iter().rposition(|byte| *byte == b'.') {
                Some(dot) if depth == 0 => component.get(..dot).unwrap_or(component),
                _ => component,
            };
            let found = self.labels_in(stem);
            if !found.is_empty() {
                return found;
            }
        }
        LabelSet::default()
    }

    /// The fine labels that one name speaks of.
    fn labels_in(&self, name: &[u8]) -> LabelSet {
        let mut found = LabelSet::default();
        let mut previous = Word::NONE;
        let mut previous_label = None;
        for run in name.split(|byte| !is_letter(*byte)).filter(|run| !run.is_empty()) {
            let whole = Word::of(run);
            if let Some(label) = self.look_up(&whole) {
                self.take(&mut found, &mut previous, &mut previous_label, whole, Some(label));
                continue;
            }
            let mut rest = run;
            while !rest.is_empty() {
                let (part, after) = rest.split_at(first_part(rest));
                rest = after;
                let word = Word::of(part);
                let label = self.look_up(&word);
                self.take(&mut found, &mut previous, &mut previous_label, word, label);
            }
        }
        if let Some(label) = previous_label {
            found.insert(label);
        }
        self.without_describing(found)
    }

    /// Takes the next word: together with the one before, where the two make a term (`bass drum`), else by itself.
    fn take<'n>(
        &self,
        found: &mut LabelSet,
        previous: &mut Word<'n>,
        previous_label: &mut Option<u8>,
        word: Word<'n>,
        label: Option<u8>,
    ) {
        if let Some(label) = self.look_up_pair(previous, &word) {
            *previous_label = Some(label);
            *previous = Word::NONE;
            return;
        }
        if let Some(label) = previous_label.take() {
            found.insert(label);
        }
        *previous = word;
        *previous_label = label;
    }

    /// `Crash Cymbal` is a crash: words that describe give way to words that name.
    fn without_describing(&self, found: LabelSet) -> LabelSet {
        let naming = found.without(&self.describing);
        if naming.is_empty() { found } else { naming }
    }
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
        let mut all: Vec<&str> = WORDS.iter().flat_map(|(_, words)| words.iter().copied()).collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "{all:?}");
        for (label, words) in WORDS {
            assert!(drums.index_of(label).is_some(), "{label}");
            for word in *words {
                assert_eq!(*word, word.to_ascii_lowercase());
                let fits = |(first, second): (&str, &str)| first.len() <= 8 && second.len() <= 8;
                assert!(word.split_once(' ').is_none_or(fits), "{word}");
                assert_eq!(says(word), [*label], "{word}");
            }
        }
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
            ("Caisse Claire.wav", "Snare"),
        ] {
            assert_eq!(says(path), [label], "{path}");
        }
    }

    #[test]
    fn short_words_count_only_as_whole_words() {
        for path in
            ["Chord.wav", "Scratch.wav", "Third.wav", "Cprs.wav", "Crunch.wav", "Sdx.wav", "whatever.wav", "019.wav"]
        {
            assert_eq!(says(path), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn a_name_may_speak_of_several_things() {
        assert_eq!(says("Snare Clap.wav"), ["Snare", "Clap"]);
        assert_eq!(says("Kick_OH_01.wav"), ["Hihat", "Kick"]);
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
