//! Finds the samples of WAV, AIFF and CAF files, leniently: sizes in the headers are taken as hints, the file's size as
//! the truth. What was cut short in a copy, or written by a recorder that never came back to fill its header in, is
//! read as far as it goes.

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known as codec;

use super::decode::DecodeError;

/// Uncompressed samples in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pcm {
    pub codec: AudioCodecId,
    /// Frames a second, in Hz.
    pub rate: u32,
    pub channels: u16,
    /// Bytes of one sample of one channel.
    pub sample_bytes: u16,
    /// Offset of the first frame in the file, in bytes.
    pub start: u64,
    /// Length of the samples in bytes, never past the end of the file.
    pub len: u64,
}

impl Pcm {
    /// Bytes of one frame: a sample of every channel.
    pub fn frame_bytes(&self) -> usize {
        usize::from(self.sample_bytes) * usize::from(self.channels)
    }
}

/// The little or big end first.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

/// Bytes with a position, for which nothing is out of range.
#[derive(Clone, Copy)]
struct Head<'a> {
    bytes: &'a [u8],
    order: Order,
}

impl Head<'_> {
    fn tag(&self, at: usize) -> Option<[u8; 4]> {
        self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(match self.order {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.tag(at)?;
        Some(match self.order {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        })
    }

    fn u64(&self, at: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
        Some(match self.order {
            Order::Little => u64::from_le_bytes(bytes),
            Order::Big => u64::from_be_bytes(bytes),
        })
    }
}

/// How samples are laid out, without where.
#[derive(Clone, Copy)]
struct Format {
    codec: AudioCodecId,
    rate: u32,
    channels: u16,
    sample_bytes: u16,
    /// Frames the header claims, where it claims any.
    frames: Option<u32>,
}

/// Finds the samples of a WAV file. `head` is the file or its beginning, `size` the whole file's size in bytes.
///
/// Returns `None` where the file is a WAV whose codec is not uncompressed, or whose samples start past `head`.
///
/// # Errors
/// [`DecodeError::Damaged`] where there is no usable format or no data.
pub(super) fn wave(head: &[u8], size: u64) -> Result<Option<Pcm>, DecodeError> {
    let head = Head { bytes: head, order: Order::Little };
    let mut format = None;
    let mut data = None;
    for (tag, at, len) in Chunks::new(head, size) {
        match &tag {
            b"fmt " if format.is_none() => match wave_format(head, at, len)? {
                Some(found) => format = Some(found),
                None => return Ok(None),
            },
            b"data" => {
                let left = size.saturating_sub(at as u64);
                // 0 and 0xFFFFFFFF are what a writer leaves that never came back; 0 is also an honest "nothing",
                // told by another chunk following.
                let open = len == u32::MAX || (len == 0 && !is_chunk(head, at, left));
                let len = if open { left } else { u64::from(len).min(left) };
                data = Some((at as u64, len));
                if format.is_some() {
                    break;
                }
            }
            _ => {}
        }
    }
    finish(format, data, size, head.bytes.len(), "fmt", "data")
}

/// Reads a `fmt ` chunk of `len` bytes whose body is at `at`.
fn wave_format(head: Head, at: usize, len: u32) -> Result<Option<Format>, DecodeError> {
    let fields =
        (|| Some((head.u16(at)?, head.u16(at + 2)?, head.u32(at + 4)?, head.u16(at + 12)?, head.u16(at + 14)?)))();
    let Some((mut kind, channels, rate, align, bits)) = fields else {
        return Err(DecodeError::damaged_at(at as u64, "the fmt chunk is cut short"));
    };
    const EXTENSIBLE: u16 = 0xFFFE;
    if kind == EXTENSIBLE && len >= 40 {
        // The sub-format's first two bytes are the plain format's number.
        kind = head.u16(at + 24).unwrap_or(kind);
    }
    // The container's size counts: 12 bits of 16, 20 of 24 and 24 of 32 are left-justified in it.
    let container = match align.checked_div(channels) {
        Some(bytes) if bytes >= bits.div_ceil(8) && bytes <= 8 => bytes,
        _ => bits.div_ceil(8),
    };
    let codec = match (kind, container) {
        (1, 1) => codec::CODEC_ID_PCM_U8,
        (1, 2) => codec::CODEC_ID_PCM_S16LE,
        (1, 3) => codec::CODEC_ID_PCM_S24LE,
        (1, 4) => codec::CODEC_ID_PCM_S32LE,
        (3, 4) => codec::CODEC_ID_PCM_F32LE,
        (3, 8) => codec::CODEC_ID_PCM_F64LE,
        (6, 1) => codec::CODEC_ID_PCM_ALAW,
        (7, 1) => codec::CODEC_ID_PCM_MULAW,
        (1 | 3 | 6 | 7, _) => {
            return Err(DecodeError::damaged_at(at as u64, format!("{bits} bits a sample in a WAV of kind {kind}")));
        }
        _ => return Ok(None),
    };
    Ok(Some(Format { codec, rate, channels, sample_bytes: container, frames: None }))
}

/// Finds the samples of an AIFF or AIFC file; the same as [`wave`] otherwise.
pub(super) fn aiff(head: &[u8], size: u64) -> Result<Option<Pcm>, DecodeError> {
    let head = Head { bytes: head, order: Order::Big };
    let compressed = head.tag(8) == Some(*b"AIFC");
    let mut format = None;
    let mut data = None;
    for (tag, at, len) in Chunks::new(head, size) {
        match &tag {
            b"COMM" if format.is_none() => match aiff_format(head, at, compressed)? {
                Some(found) => format = Some(found),
                None => return Ok(None),
            },
            b"SSND" => {
                let offset = head.u32(at).unwrap_or(0);
                let start = at as u64 + 8 + u64::from(offset);
                let left = size.saturating_sub(start);
                let claimed = u64::from(len).saturating_sub(8 + u64::from(offset));
                data = Some((start, if len == 0 || len == u32::MAX { left } else { claimed.min(left) }));
                if format.is_some() {
                    break;
                }
            }
            _ => {}
        }
    }
    finish(format, data, size, head.bytes.len(), "COMM", "SSND")
}

/// Reads a `COMM` chunk whose body is at `at`.
fn aiff_format(head: Head, at: usize, compressed: bool) -> Result<Option<Format>, DecodeError> {
    let fields = (|| {
        let rate: [u8; 10] = head.bytes.get(at + 8..at + 18)?.try_into().ok()?;
        Some((head.u16(at)?, head.u32(at + 2)?, head.u16(at + 6)?, extended(rate)))
    })();
    let Some((channels, frames, bits, rate)) = fields else {
        return Err(DecodeError::damaged_at(at as u64, "the COMM chunk is cut short"));
    };
    let kind = if compressed { head.tag(at + 18).unwrap_or(*b"NONE") } else { *b"NONE" };
    let sample_bytes = bits.div_ceil(8);
    let (codec, sample_bytes) = match (&kind.map(|c| c.to_ascii_lowercase()), sample_bytes) {
        (b"none" | b"twos", 1) => (codec::CODEC_ID_PCM_S8, 1),
        (b"none" | b"twos", 2) => (codec::CODEC_ID_PCM_S16BE, 2),
        (b"none" | b"twos", 3) | (b"in24", _) => (codec::CODEC_ID_PCM_S24BE, 3),
        (b"none" | b"twos", 4) | (b"in32", _) => (codec::CODEC_ID_PCM_S32BE, 4),
        (b"sowt", 1) => (codec::CODEC_ID_PCM_S8, 1),
        (b"sowt", 2) => (codec::CODEC_ID_PCM_S16LE, 2),
        (b"sowt", 3) | (b"42ni", _) => (codec::CODEC_ID_PCM_S24LE, 3),
        (b"sowt", 4) | (b"23ni", _) => (codec::CODEC_ID_PCM_S32LE, 4),
        (b"raw ", 1) => (codec::CODEC_ID_PCM_U8, 1),
        (b"fl32", _) => (codec::CODEC_ID_PCM_F32BE, 4),
        (b"fl64", _) => (codec::CODEC_ID_PCM_F64BE, 8),
        (b"alaw", _) => (codec::CODEC_ID_PCM_ALAW, 1),
        (b"ulaw", _) => (codec::CODEC_ID_PCM_MULAW, 1),
        (b"none" | b"twos" | b"sowt" | b"raw ", _) => {
            return Err(DecodeError::damaged_at(at as u64, format!("{bits} bits a sample in an AIFF")));
        }
        _ => return Ok(None),
    };
    Ok(Some(Format { codec, rate, channels, sample_bytes, frames: (frames != 0).then_some(frames) }))
}

/// An 80-bit IEEE 754 extended number as a sample rate in Hz; 0 where it is none.
fn extended(bytes: [u8; 10]) -> u32 {
    let [sign_exponent @ .., _, _, _, _, _, _, _, _] = bytes;
    let [_, _, mantissa @ ..] = bytes;
    let exponent = i32::from(u16::from_be_bytes(sign_exponent)) - 16_383 - 63;
    let value = u64::from_be_bytes(mantissa) as f64 * 2f64.powi(exponent);
    // `as` saturates, and a negative rate has its sign bit in the exponent: far too large.
    value.round() as u32
}

/// Finds the samples of a CAF file; the same as [`wave`] otherwise.
pub(super) fn caf(head: &[u8], size: u64) -> Result<Option<Pcm>, DecodeError> {
    let bytes = Head { bytes: head, order: Order::Big };
    let mut format = None;
    let mut data = None;
    // After the file's header, chunks of a tag and a length of 64 bits, not padded.
    let mut at = 8usize;
    while let (Some(tag), Some(len)) = (bytes.tag(at), bytes.u64(at.saturating_add(4))) {
        let body = at + 12;
        match &tag {
            b"desc" => match caf_format(bytes, body)? {
                Some(found) => format = Some(found),
                None => return Ok(None),
            },
            b"data" => {
                // Four bytes of edit count come first. A length of -1 is "to the end".
                let start = body as u64 + 4;
                data = Some((start, len.saturating_sub(4).min(size.saturating_sub(start))));
                break;
            }
            _ => {}
        }
        match usize::try_from(len).ok().and_then(|len| body.checked_add(len)) {
            Some(next) => at = next,
            None => break,
        }
    }
    finish(format, data, size, head.len(), "desc", "data")
}

/// Reads a `desc` chunk whose body is at `at`.
fn caf_format(head: Head, at: usize) -> Result<Option<Format>, DecodeError> {
    let fields = (|| {
        let rate = f64::from_bits(head.u64(at)?);
        Some((rate, head.tag(at + 8)?, head.u32(at + 12)?, head.u32(at + 24)?, head.u32(at + 28)?))
    })();
    let Some((rate, kind, flags, channels, bits)) = fields else {
        return Err(DecodeError::damaged_at(at as u64, "the desc chunk is cut short"));
    };
    let (float, little) = (flags & 1 != 0, flags & 2 != 0);
    let (codec, sample_bytes) = match (&kind, float, little, bits) {
        (b"alaw", ..) => (codec::CODEC_ID_PCM_ALAW, 1),
        (b"ulaw", ..) => (codec::CODEC_ID_PCM_MULAW, 1),
        (kind, ..) if *kind != *b"lpcm" => return Ok(None),
        (_, false, _, 8) => (codec::CODEC_ID_PCM_S8, 1),
        (_, false, false, 16) => (codec::CODEC_ID_PCM_S16BE, 2),
        (_, false, true, 16) => (codec::CODEC_ID_PCM_S16LE, 2),
        (_, false, false, 24) => (codec::CODEC_ID_PCM_S24BE, 3),
        (_, false, true, 24) => (codec::CODEC_ID_PCM_S24LE, 3),
        (_, false, false, 32) => (codec::CODEC_ID_PCM_S32BE, 4),
        (_, false, true, 32) => (codec::CODEC_ID_PCM_S32LE, 4),
        (_, true, false, 32) => (codec::CODEC_ID_PCM_F32BE, 4),
        (_, true, true, 32) => (codec::CODEC_ID_PCM_F32LE, 4),
        (_, true, false, 64) => (codec::CODEC_ID_PCM_F64BE, 8),
        (_, true, true, 64) => (codec::CODEC_ID_PCM_F64LE, 8),
        _ => return Err(DecodeError::damaged_at(at as u64, format!("{bits} bits a sample in a CAF"))),
    };
    let channels = u16::try_from(channels).unwrap_or(u16::MAX);
    // `as` saturates, and gives 0 for what is no number.
    Ok(Some(Format { codec, rate: rate.round() as u32, channels, sample_bytes, frames: None }))
}

fn finish(
    format: Option<Format>,
    data: Option<(u64, u64)>,
    size: u64,
    head_len: usize,
    format_name: &str,
    data_name: &str,
) -> Result<Option<Pcm>, DecodeError> {
    let whole = head_len as u64 >= size;
    match (format, data) {
        (Some(format), Some((start, mut len))) => {
            let frame_bytes = u64::from(format.sample_bytes) * u64::from(format.channels);
            if let Some(frames) = format.frames {
                len = len.min(u64::from(frames) * frame_bytes);
            }
            let Format { codec, rate, channels, sample_bytes, .. } = format;
            Ok(Some(Pcm { codec, rate, channels, sample_bytes, start, len }))
        }
        // The chunk may lie past the beginning that was read.
        _ if !whole => Ok(None),
        (None, _) => Err(DecodeError::damaged_at(size, format!("no {format_name} chunk"))),
        (_, None) => Err(DecodeError::damaged_at(size, format!("no {data_name} chunk"))),
    }
}

/// Whether a chunk that fits into `left` bytes seems to start at `at`.
fn is_chunk(head: Head, at: usize, left: u64) -> bool {
    left == 0
        || match (head.tag(at), head.u32(at.saturating_add(4))) {
            (Some(tag), Some(len)) => {
                tag.iter().all(|c| c.is_ascii_graphic() || *c == b' ') && u64::from(len) + 8 <= left
            }
            _ => false,
        }
}

/// The chunks of a RIFF or FORM file: tag, offset of the body, length as stated.
struct Chunks<'a> {
    head: Head<'a>,
    size: u64,
    at: u64,
}

impl<'a> Chunks<'a> {
    fn new(head: Head<'a>, size: u64) -> Self {
        Self { head, size, at: 12 }
    }
}

impl Iterator for Chunks<'_> {
    type Item = ([u8; 4], usize, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let at = usize::try_from(self.at).ok()?;
        let tag = self.head.tag(at)?;
        let len = self.head.u32(at.checked_add(4)?)?;
        let body = self.at + 8;
        // Bodies are padded to an even length. A body that reaches past the end is the last chunk.
        self.at = if body + u64::from(len) > self.size { u64::MAX } else { body + u64::from(len) + u64::from(len & 1) };
        Some((tag, at + 8, len))
    }
}
