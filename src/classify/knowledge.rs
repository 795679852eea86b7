//! What a model learnt from, as far as its last layer goes: the file that `drumfs learn` needs beside a model.
//!
//! The file is little endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `drumknow` |
//! | u32 | version, 1 |
//! | u32 | K: number of the model's outputs, 1 to 65,535 |
//! | u32 | N: values of an embedding, 1 to 65,535 |
//! | u32 | M: number of samples |
//! | u16 and that many bytes | the model's id, UTF-8: name, first 8 hexadecimal digits of the ONNX file's XXH3, features |
//! | u16 and that many bytes | checksum of the labels, as in the model's JSON |
//! | K × N × f32 | weights of the last layer, one row an output |
//! | K × f32 | biases of the last layer |
//! | M × (u16, f32, f32, N × u8) | label (index of the output), min, step, values; an embedding is min + step · value |
//! | u64 | XXH3 of everything before |
//!
//! Several altered copies of a training sample may be in it as samples of their own. `models/training/knowledge.py`
//! writes it.

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::Embedding;

const MAGIC: &[u8; 8] = b"drumknow";
const VERSION: u32 = 1;

/// A knowledge file that can't be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KnowledgeError {
    /// It begins with something else.
    #[error("it is no knowledge file: it does not begin with `drumknow`")]
    Magic,
    /// Of a version this program does not read.
    #[error("it is of version {0}, this program reads version {VERSION}")]
    Version(u32),
    /// It ends too early or too late, or does not have the checksum it says.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It belongs to another model.
    #[error("it belongs to the model `{found}`, the model in use is `{expected}`")]
    OtherModel {
        /// The model in use.
        expected: String,
        /// The model it names.
        found: String,
    },
    /// It belongs to another label order.
    #[error("it was made with labels of checksum {found}, the labels in use have {expected}")]
    OtherLabels {
        /// Checksum of the labels in use.
        expected: String,
        /// The checksum it names.
        found: String,
    },
    /// It is for another number of outputs or another embedding.
    #[error("it is for {found:?} outputs and values of an embedding, the model has {expected:?}")]
    OtherShape {
        /// Outputs and size of the model in use.
        expected: (usize, usize),
        /// Those of the file.
        found: (usize, usize),
    },
}

/// The last layer of a model, and what the model learnt from as that layer saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Knowledge {
    outputs: usize,
    size: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
    samples: Vec<(u16, Embedding)>,
}

/// What a knowledge file must agree with.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The model's id.
    pub model: &'a str,
    /// Checksum of its labels.
    pub labels_checksum: &'a str,
    /// Number of its outputs.
    pub outputs: usize,
    /// Values of its embedding.
    pub size: usize,
}

/// Reads numbers off the front of a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], KnowledgeError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(KnowledgeError::Damaged("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], KnowledgeError> {
        let mut array = [0; LEN];
        array.copy_from_slice(self.take(LEN)?);
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, KnowledgeError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, KnowledgeError> {
        self.array().map(u32::from_le_bytes)
    }

    fn f32(&mut self) -> Result<f32, KnowledgeError> {
        self.array().map(f32::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, KnowledgeError> {
        let len = self.u16()?;
        std::str::from_utf8(self.take(usize::from(len))?).map_err(|_| KnowledgeError::Damaged("a name is not UTF-8"))
    }

    fn numbers(&mut self, count: usize) -> Result<Vec<f32>, KnowledgeError> {
        let len = count.checked_mul(4).ok_or(KnowledgeError::Damaged("it ends too early"))?;
        let numbers = self.take(len)?.chunks_exact(4).map(|four| {
            let mut array = [0; 4];
            array.copy_from_slice(four);
            f32::from_le_bytes(array)
        });
        let numbers: Vec<f32> = numbers.collect();
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(KnowledgeError::Damaged("a weight is no number"));
        }
        Ok(numbers)
    }
}

impl Knowledge {
    /// Reads a knowledge file and compares it with the model it should belong to. Any bytes give an answer: nothing is
    /// allocated beyond a small multiple of their length.
    ///
    /// # Errors
    /// As [`KnowledgeError`] tells.
    pub fn parse(bytes: &[u8], owner: Owner<'_>) -> Result<Self, KnowledgeError> {
        let mut reader = Reader(bytes);
        if reader.take(MAGIC.len()).ok() != Some(MAGIC) {
            return Err(KnowledgeError::Magic);
        }
        let version = reader.u32()?;
        if version != VERSION {
            return Err(KnowledgeError::Version(version));
        }
        let (body, checksum) = bytes.split_last_chunk::<8>().ok_or(KnowledgeError::Damaged("it ends too early"))?;
        if xxh3_64(body) != u64::from_le_bytes(*checksum) {
            return Err(KnowledgeError::Damaged("its checksum is wrong"));
        }
        let [outputs, size, count] = [reader.u32()? as usize, reader.u32()? as usize, reader.u32()? as usize];
        let (model, labels) = (reader.text()?, reader.text()?);
        if model != owner.model {
            return Err(KnowledgeError::OtherModel { expected: owner.model.to_owned(), found: model.to_owned() });
        }
        if labels != owner.labels_checksum {
            return Err(KnowledgeError::OtherLabels {
                expected: owner.labels_checksum.to_owned(),
                found: labels.to_owned(),
            });
        }
        if (outputs, size) != (owner.outputs, owner.size) {
            return Err(KnowledgeError::OtherShape { expected: (owner.outputs, owner.size), found: (outputs, size) });
        }
        if outputs > usize::from(u16::MAX) || size > usize::from(u16::MAX) {
            return Err(KnowledgeError::Damaged("a size is out of range"));
        }
        let weights = reader.numbers(outputs * size)?;
        let bias = reader.numbers(outputs)?;
        let mut samples = Vec::new();
        for _ in 0..count {
            let label = reader.u16()?;
            if usize::from(label) >= outputs {
                return Err(KnowledgeError::Damaged("a sample has a label that is none"));
            }
            let (min, step) = (reader.f32()?, reader.f32()?);
            let embedding = Embedding::from_parts(min, step, reader.take(size)?);
            samples.push((label, embedding.ok_or(KnowledgeError::Damaged("a sample holds what is no number"))?));
        }
        if reader.0.len() != 8 {
            return Err(KnowledgeError::Damaged("it ends too late"));
        }
        let knowledge = Self { outputs, size, weights, bias, samples };
        // Numbers so large that their products are none would be learnt from.
        let finite = |(_, embedding): &(u16, Embedding)| knowledge.logits(embedding).iter().all(|x| x.is_finite());
        if !knowledge.samples.iter().all(finite) {
            return Err(KnowledgeError::Damaged("what it makes of a sample is no number"));
        }
        Ok(knowledge)
    }

    /// Number of the model's outputs.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Values of an embedding.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Label and embedding of each sample, in the file's order.
    pub fn samples(&self) -> &[(u16, Embedding)] {
        &self.samples
    }

    /// What the last layer that ships makes of an embedding; empty where that is of another size.
    pub fn logits(&self, embedding: &Embedding) -> Vec<f32> {
        if embedding.len() != self.size {
            return Vec::new();
        }
        let values: Vec<f32> = embedding.values().collect();
        let rows = self.weights.chunks_exact(self.size.max(1)).zip(&self.bias);
        rows.map(|(row, bias)| bias + row.iter().zip(&values).map(|(weight, value)| weight * value).sum::<f32>())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWNER: Owner<'static> = Owner { model: "m-1-f", labels_checksum: "abc", outputs: 3, size: 2 };

    /// A file as it should be, without its checksum.
    fn body() -> Vec<u8> {
        let mut file = b"drumknow".to_vec();
        [1u32, 3, 2, 2].iter().for_each(|number| file.extend(number.to_le_bytes()));
        for text in [OWNER.model, OWNER.labels_checksum] {
            file.extend((text.len() as u16).to_le_bytes());
            file.extend(text.as_bytes());
        }
        [1.0f32, 0.0, 0.0, 1.0, 1.0, 1.0, 0.5, 0.0, -0.5].iter().for_each(|number| file.extend(number.to_le_bytes()));
        for (label, values) in [(0u16, [255u8, 0]), (2, [10, 20])] {
            file.extend(label.to_le_bytes());
            file.extend(0f32.to_le_bytes());
            file.extend(0.1f32.to_le_bytes());
            file.extend(values);
        }
        file
    }

    fn sealed(mut body: Vec<u8>) -> Vec<u8> {
        body.extend(xxh3_64(&body).to_le_bytes());
        body
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let knowledge = Knowledge::parse(&sealed(body()), OWNER).unwrap();
        assert_eq!((knowledge.outputs(), knowledge.size(), knowledge.samples().len()), (3, 2, 2));
        let (label, embedding) = &knowledge.samples()[0];
        assert_eq!(*label, 0);
        let logits = knowledge.logits(embedding);
        for (logit, expected) in logits.iter().zip([26.0, 0.0, 25.0]) {
            assert!((logit - expected).abs() < 1e-4, "{logits:?}");
        }
        assert!(knowledge.logits(&Embedding::default()).is_empty());
    }

    #[test]
    fn a_file_of_another_model_label_order_or_shape_is_refused() {
        let parse = |owner| Knowledge::parse(&sealed(body()), owner).unwrap_err();
        assert!(matches!(parse(Owner { model: "other", ..OWNER }), KnowledgeError::OtherModel { .. }));
        assert!(matches!(parse(Owner { labels_checksum: "x", ..OWNER }), KnowledgeError::OtherLabels { .. }));
        assert!(matches!(parse(Owner { size: 3, ..OWNER }), KnowledgeError::OtherShape { .. }));
    }

    #[test]
    fn a_file_with_a_single_changed_byte_or_cut_anywhere_is_refused() {
        let whole = sealed(body());
        for at in 0..whole.len() {
            assert!(Knowledge::parse(&whole[..at], OWNER).is_err(), "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            assert!(Knowledge::parse(&changed, OWNER).is_err(), "changed at {at}");
        }
        assert_eq!(Knowledge::parse(b"", OWNER), Err(KnowledgeError::Magic));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(junk in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..140) {
            drop(Knowledge::parse(&junk, OWNER));
            // Junk inside a file whose checksum is right.
            let mut file = body();
            for (place, byte) in file.iter_mut().skip(at).zip(&junk) {
                *place = *byte;
            }
            drop(Knowledge::parse(&sealed(file), OWNER));
            let mut version = b"drumknow\x01\0\0\0".to_vec();
            version.extend(&junk);
            drop(Knowledge::parse(&sealed(version), OWNER));
        }
    }
}
