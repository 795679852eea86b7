//! The bytes that a browser plays: the original where it can, a WAV file made from it where it can't.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::archive::{ArchiveRoot, kind};
use crate::audio::{Decoder, Source};
use crate::view::SampleRef;

/// A sound to be played.
pub struct Sound {
    /// Its type, as HTTP names it.
    pub kind: &'static str,
    /// Its bytes.
    pub bytes: Bytes,
    /// How many they are.
    pub len: u64,
}

/// Where the bytes of a sound are.
pub enum Bytes {
    /// In the original.
    File(File),
    /// In memory.
    Memory(Vec<u8>),
}

impl Sound {
    /// The bytes from one position to before another.
    ///
    /// # Errors
    /// What the system says.
    pub fn part(self, from: u64, to: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self.bytes {
            Bytes::File(mut file) => {
                file.seek(SeekFrom::Start(from))?;
                Box::new(file.take(to.saturating_sub(from)))
            }
            Bytes::Memory(bytes) => {
                let mut bytes = io::Cursor::new(bytes);
                bytes.set_position(from);
                Box::new(bytes.take(to.saturating_sub(from)))
            }
        })
    }
}

/// The sound of a sample, from its beginning; decoded where browsers don't play it as it is, or where that is asked for.
///
/// # Errors
/// A sentence, where it can't be opened or decoded.
pub fn of(root: &ArchiveRoot, sample: &SampleRef<'_>, decoded: bool) -> Result<Sound, String> {
    let (file, metadata) = root.open_with_metadata(sample.path).map_err(|error| error.to_string())?;
    let len = metadata.len();
    if !decoded && let Some(kind) = played(&file, sample).map_err(|error| error.to_string())? {
        return Ok(Sound { kind, bytes: Bytes::File(file), len });
    }
    let wav = decode(&file, len, sample, wav)?;
    let len = wav.len() as u64;
    Ok(Sound { kind: "audio/wav", bytes: Bytes::Memory(wav), len })
}

/// What the decoder makes of a sample: its mono mix and sample rate, handed to `with`.
///
/// # Errors
/// A sentence, where it can't be opened or decoded.
pub fn decoded<T>(root: &ArchiveRoot, sample: &SampleRef<'_>, with: fn(&[f32], u32) -> T) -> Result<T, String> {
    let (file, metadata) = root.open_with_metadata(sample.path).map_err(|error| error.to_string())?;
    decode(&file, metadata.len(), sample, with)
}

fn decode<T>(file: &File, len: u64, sample: &SampleRef<'_>, with: fn(&[f32], u32) -> T) -> Result<T, String> {
    let extension = kind::extension(sample.name()).map(|e| String::from_utf8_lossy(e).to_ascii_lowercase());
    // A damaged file may cost the decoder its nerve, and nobody else.
    let done = crate::catch_quietly(|| {
        let mut decoder = Decoder::new();
        let decoded = decoder.decode(Source::File(file), len, extension.as_deref()).map_err(|e| e.to_string())?;
        Ok(with(decoded.samples, decoded.sample_rate))
    });
    done.unwrap_or_else(|payload| Err(crate::panic_message(payload.as_ref())))
}

/// The type of a file that browsers play as it is; none for others. Where one does not after all, the page asks for it
/// decoded.
fn played(mut file: &File, sample: &SampleRef<'_>) -> io::Result<Option<&'static str>> {
    let mut head = [0u8; 12];
    let mut got = 0;
    while let Some(rest) = head.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            count => got += count,
        }
    }
    let codec = sample.attributes.map(|attributes| attributes.codec);
    let codec = codec.as_ref().map_or("", |codec| codec.as_str());
    Ok(match &head {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E'] => {
            let plain = matches!(codec, "pcm_u8" | "pcm_s16le" | "pcm_s24le" | "pcm_f32le");
            let usual = sample.attributes.is_some_and(|a| a.channels <= 2 && (8000..=192_000).contains(&a.sample_rate));
            (plain && usual).then_some("audio/wav")
        }
        [b'f', b'L', b'a', b'C', ..] => Some("audio/flac"),
        [b'O', b'g', b'g', b'S', ..] => Some("audio/ogg"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] if codec.starts_with("aac") => Some("audio/mp4"),
        _ if codec == "mp3" => Some("audio/mpeg"),
        _ => None,
    })
}

/// A WAV file of one channel and 16 bits a sample.
fn wav(samples: &[f32], sample_rate: u32) -> Vec<u8> {
    let len = (samples.len() * 2) as u32;
    let mut wav = Vec::with_capacity(44 + samples.len() * 2);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(36 + len).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&sample_rate.to_le_bytes());
    wav.extend_from_slice(&sample_rate.saturating_mul(2).to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&len.to_le_bytes());
    wav.extend(samples.iter().flat_map(|sample| ((sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16).to_le_bytes()));
    wav
}

/// The bytes that a Range header asks for, from the first to before the last, of `len`; none where it asks for none that
/// are there. More than one range is answered with everything, as is what is no range of bytes.
pub fn range(header: &str, len: u64) -> Option<(u64, u64)> {
    let Some((first, last)) =
        header.strip_prefix("bytes=").filter(|r| !r.contains(',')).and_then(|r| r.split_once('-'))
    else {
        return Some((0, len));
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (from, to) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(len)),
        (Some(first), None) if last.trim().is_empty() => (first, len),
        (None, Some(count)) if first.trim().is_empty() && count > 0 => (len.saturating_sub(count), len),
        (None, Some(0)) if first.trim().is_empty() => return None,
        _ => return Some((0, len)),
    };
    (from < len).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_means_them() {
        for (header, expected) in [
            ("bytes=0-", Some((0, 100))),
            ("bytes=10-19", Some((10, 20))),
            ("bytes=90-900", Some((90, 100))),
            ("bytes=-5", Some((95, 100))),
            ("bytes=-500", Some((0, 100))),
            ("bytes=100-", None),
            ("bytes=-0", None),
            ("bytes=0-1,5-6", Some((0, 100))),
            ("bytes=9-3", Some((0, 100))),
            ("lines=1-2", Some((0, 100))),
            ("bytes=a-b", Some((0, 100))),
        ] {
            assert_eq!(range(header, 100), expected, "{header}");
        }
    }

    #[test]
    fn what_is_decoded_is_a_wav_file_that_decodes_to_the_same() {
        let samples: Vec<f32> = (0..1000).map(|i| (i as f32 / 50.0).sin() * 1.2).collect();
        let wav = wav(&samples, 48_000);
        let mut decoder = Decoder::new();
        let back = decoder.decode(Source::Bytes(&wav), 0, None).unwrap();
        assert_eq!((back.sample_rate, back.channels, back.codec), (48_000, 1, "pcm_s16le"));
        let near = |(a, b): (&f32, &f32)| (a.clamp(-1.0, 1.0) - b).abs() < 1e-4;
        assert!(back.samples.iter().zip(&samples).all(|(b, a)| near((a, b))));
    }
}
