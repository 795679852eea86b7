//! Names that are unique in their folder, made from the content, never from the order of arrival.

use super::ino::Ino;
use crate::archive::ContentHash;

/// The longest file name, in bytes (NAME_MAX of Linux and macOS).
pub const NAME_MAX: usize = 255;

/// The longest extension, in bytes: what follows the last dot of a name and is longer is no extension.
pub const EXTENSION_MAX: usize = 16;

/// Splits a name before its extension: `kick.wav` into `kick` and `.wav`.
pub fn split(name: &[u8]) -> (&[u8], &[u8]) {
    let extension = crate::archive::kind::extension(name).filter(|extension| extension.len() <= EXTENSION_MAX);
    let at = extension.map_or(name.len(), |extension| name.len() - extension.len() - 1);
    name.split_at(at)
}

/// `name` with ` [tag]` before its extension, cut to [`NAME_MAX`] without breaking a UTF-8 character.
pub fn tagged(name: &[u8], tag: &str) -> Vec<u8> {
    let (stem, extension) = split(name);
    let room = NAME_MAX.saturating_sub(extension.len() + tag.len() + 3);
    let mut made = cut(stem, room).to_vec();
    made.extend_from_slice(b" [");
    made.extend_from_slice(tag.as_bytes());
    made.push(b']');
    made.extend_from_slice(extension);
    made
}

/// Names for a sample whose own is taken, the one to be tried first in front: with the first digits of its content's
/// hash, those and the first of its number (made from its path), and with all of both.
pub fn untaken(name: &[u8], content: Option<ContentHash>, number: Ino) -> impl Iterator<Item = Vec<u8>> {
    let path = format!("{number:016x}");
    let content = content.map_or_else(|| path.clone(), |hash| hash.to_hex());
    let short = |text: &str| text[..8.min(text.len())].to_owned();
    let tags = [short(&content), format!("{} {}", short(&content), short(&path)), format!("{content} {path}")];
    tags.into_iter().map(|tag| tagged(name, &tag))
}

/// `text` cut to `len` bytes, or a little shorter where that would break a UTF-8 character.
pub fn cut(text: &[u8], len: usize) -> &[u8] {
    if text.len() <= len {
        return text;
    }
    let mut end = len;
    // A continuation byte is 10xxxxxx; a character has at most three.
    while end > 0 && len - end < 3 && text[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_goes_before_the_extension() {
        assert_eq!(tagged(b"BD 1.2.wav", "0a1b2c3d"), b"BD 1.2 [0a1b2c3d].wav");
        assert_eq!(tagged(b"noext", "0a1b2c3d"), b"noext [0a1b2c3d]");
    }

    #[test]
    fn what_follows_the_last_dot_may_be_nearly_all_of_a_name() {
        let long = format!("b.{}", "x".repeat(253));
        let made = tagged(long.as_bytes(), "0a1b2c3d");
        assert_eq!(made.len(), NAME_MAX);
        assert!(made.ends_with(b"x [0a1b2c3d]"));
    }

    #[test]
    fn long_names_stay_within_the_limit_and_whole_characters() {
        let long = "ö".repeat(125) + ".wav";
        let made = tagged(long.as_bytes(), "0a1b2c3d");
        assert!(made.len() <= NAME_MAX);
        let text = String::from_utf8(made).unwrap();
        assert!(text.ends_with(" [0a1b2c3d].wav"));
    }
}
