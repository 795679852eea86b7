//! Which files of an archive are samples: by extension where it says so, by the first bytes where it does not.

/// Extensions that make a file a sample, whatever is in it: what can't be decoded is the user's file all the same
/// and is listed as such.
const AUDIO: [&str; 24] = [
    "wav", "wave", "bwf", "aif", "aiff", "aifc", "flac", "mp3", "mp2", "ogg", "oga", "m4a", "m4r", "aac", "alac",
    "caf", "opus", "wma", "wv", "w64", "rf64", "au", "snd", "ape",
];

/// Extensions that are never opened: what lies beside samples in packs.
const OTHER: [&str; 60] = [
    "txt", "md", "pdf", "rtf", "doc", "docx", "html", "htm", "url", "webloc", "nfo", "diz", "ini", "cfg", "xml",
    "json", "jsonl", "yml", "yaml", "csv", "db", "plist", "log", "asd", "reapeaks", "gpk", "pek", "ovw", "sfk", "jpg",
    "jpeg", "png", "gif", "bmp", "webp", "ico", "svg", "zip", "rar", "7z", "gz", "exe", "dll", "mid", "midi", "als",
    "adg", "adv", "flp", "rpp", "nki", "nkm", "nkc", "sfz", "sf2", "exs", "fxp", "fxb", "mov", "avi",
];

/// What a file's name says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A sample by its extension.
    Audio,
    /// Certainly not a sample.
    Other,
    /// Only the content can tell.
    Unknown,
}

/// The extension of a file name: what follows the last dot, unless the dot comes first or last.
pub fn extension(name: &[u8]) -> Option<&[u8]> {
    let dot = name.iter().rposition(|&b| b == b'.')?;
    (dot > 0 && dot + 1 < name.len()).then(|| &name[dot + 1..])
}

/// What `name` says of its file.
pub fn by_name(name: &[u8]) -> Named {
    let Some(extension) = extension(name) else { return Named::Unknown };
    let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(extension);
    if AUDIO.iter().any(|known| is(known)) {
        Named::Audio
    } else if OTHER.iter().any(|known| is(known)) {
        Named::Other
    } else {
        Named::Unknown
    }
}

/// How many bytes [`is_audio`] looks at.
pub const SNIFF_LEN: usize = 12;

/// Whether the first bytes of a file are those of a sound: RIFF/RIFX WAVE, FORM AIFF or AIFC, FLAC, Ogg, CAF, an
/// `ftyp` box of an MPEG-4 audio brand, or an ID3 tag. A bare MPEG frame header is too short a sign to go by.
pub fn is_audio(head: &[u8]) -> bool {
    let form = |start: &[u8], kinds: &[&[u8]]| {
        head.starts_with(start) && head.get(8..12).is_some_and(|kind| kinds.contains(&kind))
    };
    form(b"RIFF", &[b"WAVE"])
        || form(b"RIFX", &[b"WAVE"])
        || form(b"FORM", &[b"AIFF", b"AIFC"])
        || head.starts_with(b"fLaC")
        || head.starts_with(b"OggS")
        || head.starts_with(b"caff")
        || head.starts_with(b"ID3")
        || (head.get(4..8) == Some(b"ftyp") && head.get(8..11) == Some(b"M4A"))
}

/// Whether a file or folder of this name is passed over: hidden ones (which `._*` are), and what macOS, Windows and
/// network drives leave behind.
pub fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".")
        || [&b"__MACOSX"[..], b"$RECYCLE.BIN", b"System Volume Information", b"@eaDir"]
            .iter()
            .any(|junk| junk.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_they_can() {
        assert_eq!(by_name(b"CP.WAV"), Named::Audio);
        assert_eq!(by_name(b"kick.wav.asd"), Named::Other);
        assert_eq!(by_name(b"asdf 7"), Named::Unknown);
        assert_eq!(by_name(b"Kick.808"), Named::Unknown);
        assert_eq!(by_name(b"ends with dot."), Named::Unknown);
    }

    #[test]
    fn first_bytes_tell_sounds_from_the_rest() {
        assert!(is_audio(b"RIFF\x24\0\0\0WAVEfmt "));
        assert!(is_audio(b"FORM\0\0\0\x24AIFC"));
        assert!(is_audio(b"\0\0\0\x20ftypM4A "));
        assert!(!is_audio(b"RIFF\x24\0\0\0AVI LIST"));
        assert!(!is_audio(b"\0\0\0\x20ftypisom"));
        assert!(!is_audio(b"%PDF"));
        assert!(!is_audio(b""));
    }

    #[test]
    fn what_systems_leave_behind_is_hidden() {
        for name in [&b"._kick.wav"[..], b".DS_Store", b"__MACOSX", b"$Recycle.Bin"] {
            assert!(is_hidden(name));
        }
        assert!(!is_hidden(b"_unsorted"));
    }
}
