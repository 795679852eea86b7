//! A catalogue in bytes: one part a chunk, column after column, little-endian. Whatever bytes are read, nothing worse
//! comes of it than no catalogue, and no more memory is asked for than the bytes themselves take a few times over.

use std::sync::Arc;

use super::catalogue::Catalogue;
use super::chunk::{Chunk, Parts, Runs};
use crate::archive::{ContentHash, HashAlgorithm};
use crate::audio::{Attributes, Codec};
use crate::index::{GateAnswer, Status};

/// No codec: the sample has no attributes.
const NO_CODEC: u16 = u16::MAX;

/// One chunk of a catalogue that was read.
#[derive(Debug)]
pub struct Packed(Arc<Chunk>);

impl Packed {
    /// Reads what [`Catalogue::packed`] gave; none where it is damaged.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let chunk = read(&mut reader)?;
        reader.0.is_empty().then(|| Self(Arc::new(chunk)))
    }
}

impl Catalogue {
    /// The catalogue in bytes, part by part.
    pub fn packed(&self) -> impl ExactSizeIterator<Item = Vec<u8>> {
        self.chunks().all().iter().map(|chunk| write(chunk))
    }

    /// The catalogue of its parts, in order; none where they do not go together.
    pub fn unpacked(parts: Vec<Packed>) -> Option<Self> {
        let chunks: Vec<Arc<Chunk>> = parts.into_iter().map(|Packed(chunk)| chunk).collect();
        let len: usize = chunks.iter().map(|chunk| chunk.len()).sum();
        let ordered = chunks.is_sorted_by(|a, b| a.path(a.len() - 1) < b.path(0));
        // Ids are 31 bits.
        (ordered && len < 1 << 31).then(|| Self::of_chunks(chunks))
    }
}

fn write(chunk: &Chunk) -> Vec<u8> {
    let len = chunk.len();
    let mut out = Vec::with_capacity(len * 256 + chunk.paths().values().len());
    put(&mut out, [len as u32].map(u32::to_le_bytes));
    put(&mut out, (0..len).map(|place| (chunk.path(place).len() as u32).to_le_bytes()));
    out.extend_from_slice(chunk.paths().values());
    put(&mut out, (0..len).map(|place| chunk.size(place).to_le_bytes()));
    put(&mut out, chunk.mtimes().iter().map(|mtime| mtime.to_le_bytes()));
    out.extend((0..len).map(|place| chunk.status(place) as u8));
    out.extend((0..len).map(|place| chunk.hash(place).map_or(0, |hash| hash.algorithm() as u8 + 1)));
    (0..len).for_each(|place| out.extend_from_slice(chunk.digest(place)));
    let attributes: Vec<Option<Attributes>> = (0..len).map(|place| chunk.attributes(place)).collect();
    write_attributes(&mut out, &attributes);
    put(&mut out, (0..len).map(|place| (chunk.probs().get(place).len() as u32).to_le_bytes()));
    put(&mut out, chunk.probs().values().iter().map(|prob| prob.to_le_bytes()));
    out.push(u8::from(!chunk.gates().is_empty()));
    for gate in chunk.gates() {
        out.push(gate.map_or(0, |gate| 1 + u8::from(gate.refused)));
        out.extend_from_slice(&gate.map_or(0.0, |gate| gate.probability).to_le_bytes());
    }
    let mut texts: Vec<&Arc<str>> = Vec::new();
    put(&mut out, [(chunk.errors().len() as u32).to_le_bytes()]);
    for (place, error) in chunk.errors() {
        let text = texts.iter().position(|text| Arc::ptr_eq(text, error)).unwrap_or_else(|| {
            texts.push(error);
            texts.len() - 1
        });
        put(&mut out, [place.to_le_bytes(), (text as u32).to_le_bytes()]);
    }
    put(&mut out, [(texts.len() as u32).to_le_bytes()]);
    for text in texts {
        put(&mut out, [(text.len() as u32).to_le_bytes()]);
        out.extend_from_slice(text.as_bytes());
    }
    out
}

fn put<const N: usize>(out: &mut Vec<u8>, values: impl IntoIterator<Item = [u8; N]>) {
    values.into_iter().for_each(|value| out.extend_from_slice(&value));
}

fn write_attributes(out: &mut Vec<u8>, attributes: &[Option<Attributes>]) {
    let mut codecs: Vec<Codec> = Vec::new();
    let mut numbers = Vec::with_capacity(attributes.len());
    for attributes in attributes {
        numbers.push(attributes.as_ref().map_or(NO_CODEC, |attributes| {
            let known = codecs.iter().position(|codec| *codec == attributes.codec);
            known.unwrap_or_else(|| {
                codecs.push(attributes.codec);
                codecs.len() - 1
            }) as u16
        }));
    }
    put(out, [(codecs.len() as u16).to_le_bytes()]);
    for codec in codecs {
        let name = codec.as_str();
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
    }
    put(out, numbers.into_iter().map(u16::to_le_bytes));
    for attributes in attributes.iter().flatten() {
        let Attributes { duration_sec, rms_dbfs, centroid_hz, rolloff_hz, sample_rate, channels, codec: _ } =
            attributes;
        out.extend_from_slice(&duration_sec.to_le_bytes());
        put(out, [rms_dbfs, centroid_hz, rolloff_hz].map(|value| value.to_le_bytes()));
        out.extend_from_slice(&sample_rate.to_le_bytes());
        out.extend_from_slice(&channels.to_le_bytes());
    }
}

/// Bytes that are still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn one<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<usize> {
        Some(u32::from_le_bytes(self.one()?) as usize)
    }

    fn column<T, const N: usize>(&mut self, len: usize, of: impl Fn([u8; N]) -> T) -> Option<Box<[T]>> {
        let (values, _) = self.bytes(len.checked_mul(N)?)?.as_chunks::<N>();
        Some(values.iter().map(|value| of(*value)).collect())
    }

    fn runs<T: Copy, const N: usize>(&mut self, len: usize, of: impl Fn([u8; N]) -> T) -> Option<Runs<T>> {
        let lens = self.column(len, u32::from_le_bytes)?;
        let sum = lens.iter().try_fold(0usize, |sum, &len| sum.checked_add(len as usize))?;
        Runs::from_parts(self.column(sum, of)?, &lens)
    }

    fn text(&mut self, len: usize) -> Option<&'a str> {
        std::str::from_utf8(self.bytes(len)?).ok()
    }
}

fn read(from: &mut Reader<'_>) -> Option<Chunk> {
    let len = from.number()?;
    let paths = from.runs(len, |[byte]: [u8; 1]| byte)?;
    let sizes = from.column(len, u64::from_le_bytes)?;
    let mtimes = from.column(len, i64::from_le_bytes)?;
    let statuses: Option<Vec<Status>> =
        from.bytes(len)?.iter().map(|&status| Status::ALL.get(usize::from(status)).copied()).collect();
    let algorithms = from.bytes(len)?;
    let mut hashes = Vec::with_capacity(len);
    for &algorithm in algorithms {
        hashes.push(match usize::from(algorithm).checked_sub(1) {
            None => None,
            Some(algorithm) => {
                let algorithm = *HashAlgorithm::ALL.get(algorithm)?;
                Some(ContentHash::from_digest(algorithm, from.bytes(algorithm.digest_len())?)?)
            }
        });
    }
    let attributes = read_attributes(from, len)?;
    let probs = from.runs(len, f32::from_le_bytes)?;
    let gates = match from.one()? {
        [0] => [].into(),
        _ => from.column(len, |[state, probability @ ..]: [u8; 5]| {
            let probability = f32::from_le_bytes(probability);
            (state != 0).then_some(GateAnswer { probability, refused: state > 1 })
        })?,
    };
    let errors = from.number()?;
    let errors = from.column(errors, |[a, b, c, d, text @ ..]: [u8; 8]| {
        (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(text) as usize)
    })?;
    let count = from.number()?;
    let mut texts: Vec<Arc<str>> = Vec::new();
    for _ in 0..count {
        let len = from.number()?;
        texts.push(from.text(len)?.into());
    }
    let errors: Option<Vec<(u32, Arc<str>)>> =
        errors.iter().map(|(place, text)| Some((*place, Arc::clone(texts.get(*text)?)))).collect();
    let (statuses, errors) = (statuses?, errors?.into());
    Chunk::from_parts(Parts { paths, sizes, mtimes, hashes, statuses, attributes, probs, gates, errors })
}

fn read_attributes(from: &mut Reader<'_>, len: usize) -> Option<Box<[Option<Attributes>]>> {
    let mut codecs = Vec::new();
    for _ in 0..u16::from_le_bytes(from.one()?) {
        let [len] = from.one()?;
        codecs.push(Codec::new(from.text(usize::from(len))?));
    }
    let numbers = from.column(len, u16::from_le_bytes)?;
    let one = |number: &u16| {
        if *number == NO_CODEC {
            return Some(None);
        }
        Some(Some(Attributes {
            codec: *codecs.get(usize::from(*number))?,
            duration_sec: f64::from_le_bytes(from.one()?),
            rms_dbfs: f32::from_le_bytes(from.one()?),
            centroid_hz: f32::from_le_bytes(from.one()?),
            rolloff_hz: f32::from_le_bytes(from.one()?),
            sample_rate: u32::from_le_bytes(from.one()?),
            channels: u16::from_le_bytes(from.one()?),
        }))
    };
    numbers.iter().map(one).collect()
}
