//! From a file's bytes to mono samples.
//!
//! The format is told by content. Uncompressed WAV, AIFF and CAF are read here, leniently and fast, and everything else by
//! symphonia. Only the first [`MAX_SECONDS`] are decoded: enough for every one-shot,
//! and for a loop or a song more than the classifier listens to.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known as codec;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};
use symphonia::default::{codecs::PcmDecoder, formats, get_codecs, get_probe};
use thiserror::Error;

use super::mix::Mix;
use super::riff::{self, Pcm};

/// How much of a file is decoded, in seconds.
pub const MAX_SECONDS: u32 = 10;
/// Highest sample rate that is believed, in Hz.
pub const MAX_SAMPLE_RATE: u32 = 1_000_000;
/// Highest number of channels that is believed.
pub const MAX_CHANNELS: u16 = 64;

/// How much of a file that is not in memory is read to find its samples, in bytes.
const HEAD_BYTES: u64 = 256 * 1024;
/// Frames decoded at a time from companded files: small enough to stay in the cache.
const PCM_BLOCK: usize = 4096;
/// Packets in a row that may fail before a file is given up.
const MAX_BAD_PACKETS: u32 = 64;
/// More frames than any codec here packs into one byte; bounds what a damaged header may claim.
const MAX_FRAMES_PER_BYTE: u64 = 8192;

/// Why there are no samples.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// No reader recognises the content, or its codec is not one that can be decoded.
    #[error("{0}")]
    Unsupported(String),
    /// The format is known and the content is damaged.
    #[error("{reason}{}", position.map(|at| format!(" (at byte {at})")).unwrap_or_default())]
    Damaged {
        /// What is wrong.
        reason: String,
        /// Where, as an offset in bytes, if known.
        position: Option<u64>,
    },
    /// The file could not be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl DecodeError {
    pub(super) fn damaged(reason: impl Into<String>) -> Self {
        Self::Damaged { reason: reason.into(), position: None }
    }

    pub(super) fn damaged_at(position: u64, reason: impl Into<String>) -> Self {
        Self::Damaged { reason: reason.into(), position: Some(position) }
    }

    fn from_symphonia(error: SymphoniaError, format: &str) -> Self {
        match error {
            SymphoniaError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::damaged(format!("{format}: the file ends too early"))
            }
            SymphoniaError::IoError(error) => Self::Io(error),
            SymphoniaError::Unsupported(what) => Self::Unsupported(format!("{format}: {what}")),
            other => Self::damaged(format!("{format}: {other}")),
        }
    }
}

/// What to decode.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// The whole file.
    Bytes(&'a [u8]),
    /// A file that is too large to hold; read from its beginning, whatever its position.
    File(&'a File),
}

/// Decoded audio. The samples belong to the [`Decoder`] that made them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decoded<'a> {
    /// The mono mix of at most the first [`MAX_SECONDS`]: the mean of the channels, or the first channel where they
    /// cancel. Full scale is 1; float files may exceed it. Always finite.
    pub samples: &'a [f32],
    /// Frames a second, in Hz.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u16,
    /// The codec's short name, such as `pcm_s16le`, `flac` or `mp3`.
    pub codec: &'static str,
    /// Length of the whole file in frames: counted where it was decoded to its end, otherwise as the container says,
    /// bounded by what the file's size can hold, or estimated from the bytes used so far where it says nothing.
    pub total_frames: u64,
}

impl Decoded<'_> {
    /// Duration of the whole file in seconds.
    pub fn duration_sec(&self) -> f64 {
        self.total_frames as f64 / f64::from(self.sample_rate.max(1))
    }
}

/// Decodes files; keeps its buffers between them. One per thread.
#[derive(Default)]
pub struct Decoder {
    mix: Mix,
    head: Vec<u8>,
}

impl Decoder {
    /// A decoder with empty buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes the beginning of a file of `size` bytes to mono. `extension` (without the dot) is believed only where
    /// the content does not say what it is: an MP3 may start with anything.
    ///
    /// A file whose tail is damaged is used as far as it goes.
    ///
    /// # Errors
    /// [`DecodeError::Unsupported`] where nothing here reads such a file, [`DecodeError::Damaged`] where it should but
    /// can't, [`DecodeError::Io`] where the file can't be read.
    pub fn decode(&mut self, source: Source, size: u64, extension: Option<&str>) -> Result<Decoded<'_>, DecodeError> {
        let size = match source {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::File(_) => size,
        };
        if size == 0 {
            return Err(DecodeError::damaged("the file is empty"));
        }
        let mut head = std::mem::take(&mut self.head);
        let begin = match source {
            Source::Bytes(bytes) => bytes,
            Source::File(file) => read_at(file, 0, HEAD_BYTES, &mut head)?,
        };
        let info = self.decode_known(source, begin, size, extension);
        self.head = head;
        let Info { sample_rate, channels, codec, total_frames } = info?;
        Ok(Decoded { samples: self.mix.finish(), sample_rate, channels, codec, total_frames })
    }

    /// Fills the mix by whatever reads such a beginning.
    fn decode_known(
        &mut self,
        source: Source,
        begin: &[u8],
        size: u64,
        extension: Option<&str>,
    ) -> Result<Info, DecodeError> {
        let kind = Kind::of(begin, extension)?;
        let pcm = match kind {
            Kind::Wave => riff::wave(begin, size)?,
            Kind::Aiff => riff::aiff(begin, size)?,
            Kind::Caf => riff::caf(begin, size)?,
            _ => None,
        };
        match pcm {
            Some(pcm) => self.decode_pcm(source, pcm),
            None => self.decode_any(source, size, kind, extension),
        }
    }

    /// Decodes uncompressed samples whose place is known.
    fn decode_pcm(&mut self, source: Source, pcm: Pcm) -> Result<Info, DecodeError> {
        let sample_rate = believable_rate(Some(pcm.rate))?;
        let channels = believable_channels(usize::from(pcm.channels))?;
        let frame_bytes = pcm.frame_bytes();
        let max_frames = max_frames(sample_rate);
        let total_frames = pcm.len / (frame_bytes as u64).max(1);
        self.mix.start(channels, max_frames);

        let wanted = total_frames.min(max_frames as u64) * frame_bytes as u64;
        let mut read = Vec::new();
        let data = match source {
            Source::Bytes(bytes) => usize::try_from(pcm.start).ok().and_then(|start| bytes.get(start..)),
            Source::File(file) => Some(read_at(file, pcm.start, wanted, &mut read)?),
        };
        let data = data.unwrap_or_default();
        let data = data.get(..usize::try_from(wanted).unwrap_or(usize::MAX).min(data.len())).unwrap_or_default();
        let codec = self.push_pcm(&pcm, data)?;
        let cut_short = (data.len() as u64) < wanted;
        let total_frames = if cut_short { self.mix.frames() as u64 } else { total_frames };
        Ok(Info { sample_rate, channels, codec, total_frames })
    }

    /// Adds interleaved samples to the mix; returns the codec's name.
    fn push_pcm(&mut self, pcm: &Pcm, data: &[u8]) -> Result<&'static str, DecodeError> {
        // Integers become -1..1, offset ones too. What follows reads each sample once, which symphonia's decoder for
        // the same codecs does at a tenth of the speed; it does the companded ones.
        let mix = &mut self.mix;
        let name = match pcm.codec {
            codec::CODEC_ID_PCM_U8 => mix.push_bytes(data, "pcm_u8", |[a]| (f32::from(a) - 128.0) / 128.0),
            codec::CODEC_ID_PCM_S8 => mix.push_bytes(data, "pcm_s8", |[a]| f32::from(a as i8) / 128.0),
            codec::CODEC_ID_PCM_S16LE => mix.push_bytes(data, "pcm_s16le", |b| i16_to_f32(i16::from_le_bytes(b))),
            codec::CODEC_ID_PCM_S16BE => mix.push_bytes(data, "pcm_s16be", |b| i16_to_f32(i16::from_be_bytes(b))),
            codec::CODEC_ID_PCM_S24LE => {
                mix.push_bytes(data, "pcm_s24le", |[a, b, c]| i32_to_f32(i32::from_le_bytes([0, a, b, c])))
            }
            codec::CODEC_ID_PCM_S24BE => {
                mix.push_bytes(data, "pcm_s24be", |[a, b, c]| i32_to_f32(i32::from_be_bytes([a, b, c, 0])))
            }
            codec::CODEC_ID_PCM_S32LE => mix.push_bytes(data, "pcm_s32le", |b| i32_to_f32(i32::from_le_bytes(b))),
            codec::CODEC_ID_PCM_S32BE => mix.push_bytes(data, "pcm_s32be", |b| i32_to_f32(i32::from_be_bytes(b))),
            codec::CODEC_ID_PCM_F32LE => mix.push_bytes(data, "pcm_f32le", f32::from_le_bytes),
            codec::CODEC_ID_PCM_F32BE => mix.push_bytes(data, "pcm_f32be", f32::from_be_bytes),
            codec::CODEC_ID_PCM_F64LE => mix.push_bytes(data, "pcm_f64le", |b| f64::from_le_bytes(b) as f32),
            codec::CODEC_ID_PCM_F64BE => mix.push_bytes(data, "pcm_f64be", |b| f64::from_be_bytes(b) as f32),
            _ => return self.push_companded(pcm, data),
        };
        Ok(name)
    }

    /// Adds A-law or µ-law samples to the mix; returns the codec's name.
    fn push_companded(&mut self, pcm: &Pcm, data: &[u8]) -> Result<&'static str, DecodeError> {
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(pcm.codec).with_sample_rate(pcm.rate).with_channels(Channels::Discrete(pcm.channels));
        let fail = |error| DecodeError::from_symphonia(error, "pcm");
        let mut decoder = PcmDecoder::try_new(&parameters, &AudioDecoderOptions::default()).map_err(fail)?;
        for block in data.chunks(PCM_BLOCK * pcm.frame_bytes().max(1)) {
            let packet = PacketRef::new(0, Timestamp::new(0), Duration::ZERO, block);
            self.mix.push(decoder.decode_ref(&packet).map_err(fail)?);
        }
        Ok(decoder.codec_info().short_name)
    }

    /// Decodes with one of symphonia's readers.
    fn decode_any(
        &mut self,
        source: Source,
        size: u64,
        kind: Kind,
        extension: Option<&str>,
    ) -> Result<Info, DecodeError> {
        let media: Box<dyn MediaSource + '_> = match source {
            Source::Bytes(bytes) => Box::new(io::Cursor::new(bytes)),
            Source::File(mut file) => {
                file.seek(SeekFrom::Start(0))?;
                Box::new(OpenFile { file, size })
            }
        };
        let stream = MediaSourceStream::new(media, MediaSourceStreamOptions::default());
        let mut reader = kind.open(stream, extension)?;
        let name = reader.format_info().short_name;
        let Some(track) = reader.default_track(TrackType::Audio) else {
            return Err(DecodeError::Unsupported(format!("{name}: no audio track that can be decoded")));
        };
        let Track { id, num_frames, .. } = *track;
        let Some(parameters) = track.codec_params.as_ref().and_then(|parameters| parameters.audio()) else {
            return Err(DecodeError::Unsupported(format!("{name}: unknown codec")));
        };
        if let Some(rate) = parameters.sample_rate {
            believable_rate(Some(rate))?;
        }
        if let Some(channels) = &parameters.channels {
            believable_channels(channels.count())?;
        }
        let mut decoder = get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(|error| DecodeError::from_symphonia(error, name))?;
        let codec = decoder.codec_info().short_name;

        let mut format: Option<(u32, u16)> = None;
        let mut used_bytes = 0u64;
        let mut bad_packets = 0u32;
        let mut first_error = None;
        let mut at_end = false;
        self.mix.start(0, 0);
        while format.is_none() || !self.mix.is_full() {
            let packet = match reader.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => {
                    at_end = true;
                    break;
                }
                Err(error) => {
                    // What came before is used; the file ends here.
                    first_error.get_or_insert(error);
                    at_end = true;
                    break;
                }
            };
            used_bytes += packet.data.len() as u64;
            if packet.track_id != id {
                continue;
            }
            match decoder.decode(&packet) {
                Ok(buffer) if buffer.frames() == 0 => {}
                Ok(buffer) => {
                    bad_packets = 0;
                    let spec = (buffer.spec().rate(), buffer.num_planes());
                    if format.is_none() {
                        let rate = believable_rate(Some(spec.0))?;
                        let channels = believable_channels(spec.1)?;
                        self.mix.start(channels, max_frames(rate));
                        format = Some((rate, channels));
                    }
                    if format.is_some_and(|(rate, channels)| (rate, usize::from(channels)) != spec) {
                        // Another stream chained onto the first.
                        at_end = true;
                        break;
                    }
                    self.mix.push(buffer);
                }
                Err(error) => {
                    first_error.get_or_insert(error);
                    bad_packets += 1;
                    if bad_packets >= MAX_BAD_PACKETS {
                        at_end = true;
                        break;
                    }
                }
            }
        }
        let frames = self.mix.frames() as u64;
        let Some((sample_rate, channels)) = format else {
            if let Some(error) = first_error {
                return Err(DecodeError::from_symphonia(error, name));
            }
            let Some(rate) = parameters_rate(reader.as_ref(), id) else {
                return Err(DecodeError::damaged(format!("{name}: no audio in it")));
            };
            return Ok(Info { sample_rate: rate, channels: 1, codec, total_frames: 0 });
        };
        let total_frames = if at_end {
            frames
        } else {
            let left = size.saturating_sub(used_bytes);
            let most = frames.saturating_add(left.saturating_mul(MAX_FRAMES_PER_BYTE));
            match num_frames {
                Some(claimed) => claimed.clamp(frames, most),
                None => (frames as f64 * (size as f64 / used_bytes.max(1) as f64).max(1.0)) as u64,
            }
        };
        Ok(Info { sample_rate, channels, codec, total_frames })
    }
}

/// [`Decoded`] without its samples.
struct Info {
    sample_rate: u32,
    channels: u16,
    codec: &'static str,
    total_frames: u64,
}

fn parameters_rate(reader: &dyn FormatReader, id: u32) -> Option<u32> {
    let track = reader.tracks().iter().find(|track| track.id == id)?;
    track.codec_params.as_ref()?.audio()?.sample_rate
}

fn believable_rate(rate: Option<u32>) -> Result<u32, DecodeError> {
    match rate {
        Some(rate) if (1..=MAX_SAMPLE_RATE).contains(&rate) => Ok(rate),
        rate => Err(DecodeError::damaged(format!("a sample rate of {} Hz", rate.unwrap_or(0)))),
    }
}

fn believable_channels(channels: usize) -> Result<u16, DecodeError> {
    match u16::try_from(channels) {
        Ok(channels @ 1..=MAX_CHANNELS) => Ok(channels),
        _ => Err(DecodeError::damaged(format!("{channels} channels"))),
    }
}

/// Frames decoded at most, at `rate` Hz.
fn max_frames(rate: u32) -> usize {
    rate as usize * MAX_SECONDS as usize
}

/// Reads up to `len` bytes from `at`; fewer where the file ends.
fn read_at<'b>(mut file: &File, at: u64, len: u64, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
    buffer.clear();
    file.seek(SeekFrom::Start(at))?;
    file.take(len).read_to_end(buffer)?;
    Ok(buffer)
}

/// A borrowed file as symphonia reads it, with the size it had when it was opened.
struct OpenFile<'a> {
    file: &'a File,
    size: u64,
}

impl Read for OpenFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Seek for OpenFile<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl MediaSource for OpenFile<'_> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.size)
    }
}

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Wave,
    Aiff,
    Flac,
    Ogg,
    Caf,
    Mp4,
    Matroska,
    /// An ID3 tag, behind which anything may follow; MPEG audio frames; or unknown bytes in a file whose name says
    /// that MPEG frames follow.
    Probe,
}

impl Kind {
    fn of(begin: &[u8], extension: Option<&str>) -> Result<Self, DecodeError> {
        let at = |offset: usize, tag: &[u8]| begin.get(offset..).is_some_and(|rest| rest.starts_with(tag));
        let kind = match begin {
            _ if (at(0, b"RIFF") || at(0, b"RF64") || at(0, b"BW64")) && at(8, b"WAVE") => Self::Wave,
            _ if at(0, b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC")) => Self::Aiff,
            _ if at(0, b"fLaC") => Self::Flac,
            _ if at(0, b"OggS") => Self::Ogg,
            _ if at(0, b"caff") => Self::Caf,
            _ if at(4, b"ftyp") => Self::Mp4,
            _ if at(0, &[0x1A, 0x45, 0xDF, 0xA3]) => Self::Matroska,
            _ if at(0, b"ID3") || at(0, b"APETAGEX") => Self::Probe,
            [0xFF, second, ..] if second & 0xE0 == 0xE0 => Self::Probe,
            _ if extension.is_some_and(is_mpeg_extension) => Self::Probe,
            _ => return Err(DecodeError::Unsupported("not an audio format that can be read".to_owned())),
        };
        Ok(kind)
    }

    /// Symphonia's reader for it.
    fn open<'s>(
        self,
        stream: MediaSourceStream<'s>,
        extension: Option<&str>,
    ) -> Result<Box<dyn FormatReader + 's>, DecodeError> {
        let options = FormatOptions::default();
        fn boxed<'s, R: FormatReader + 's>(reader: R) -> Box<dyn FormatReader + 's> {
            Box::new(reader)
        }
        let (name, reader) = match self {
            Self::Wave => ("wave", formats::WavReader::try_new(stream, options).map(boxed)),
            Self::Aiff => ("aiff", formats::AiffReader::try_new(stream, options).map(boxed)),
            Self::Flac => ("flac", formats::FlacReader::try_new(stream, options).map(boxed)),
            Self::Ogg => ("ogg", formats::OggReader::try_new(stream, options).map(boxed)),
            Self::Caf => ("caf", formats::CafReader::try_new(stream, options).map(boxed)),
            Self::Mp4 => ("mp4", formats::IsoMp4Reader::try_new(stream, options).map(boxed)),
            Self::Matroska => ("matroska", formats::MkvReader::try_new(stream, options).map(boxed)),
            Self::Probe => {
                let mut hint = Hint::new();
                if let Some(extension) = extension {
                    hint.with_extension(extension);
                }
                let probed = get_probe().probe(&hint, stream, options, MetadataOptions::default());
                return probed.map_err(|error| DecodeError::from_symphonia(error, "mpeg"));
            }
        };
        reader.map_err(|error| match error {
            // The tag at the beginning says what the file is. A part that such a file must have and lacks is damage,
            // which symphonia reports as unsupported, as it does an unknown codec.
            SymphoniaError::Unsupported(what) if what.contains("missing") => {
                DecodeError::damaged(format!("{name}: {what}"))
            }
            error => DecodeError::from_symphonia(error, name),
        })
    }
}

/// Whether files of this extension are MPEG frames, which have no tag at their beginning.
fn is_mpeg_extension(extension: &str) -> bool {
    ["mp3", "mp2", "mp1", "mpa", "aac"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn i16_to_f32(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

fn i32_to_f32(sample: i32) -> f32 {
    sample as f32 / 2_147_483_648.0
}
