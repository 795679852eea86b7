//! Listens to one file: decode, features, models. What goes wrong costs that one file.

use std::sync::Arc;

use super::analysis::{Analyses, Analysis, Status};
pub use crate::audio::Source;
use crate::audio::features::Unheard;
use crate::audio::{Attributes, DecodeError, Decoder, Extractor, Features};
use crate::classify::{Arrangement, Ensemble, Inputs, Layout, ModelError, Outputs, Session};

/// Turns files into analyses; keeps its buffers and its sessions between them. One per thread.
pub struct Listener {
    ensemble: Arc<Ensemble>,
    decoder: Decoder,
    extractor: Extractor,
    inputs: Inputs,
    /// One a model; `None` after a panic, until the next file builds a new one.
    sessions: Vec<Option<Session>>,
}

impl Listener {
    /// A listener with the ears of `ensemble`.
    ///
    /// # Errors
    /// [`ModelError`] where the backend can't run a model.
    pub fn new(ensemble: Arc<Ensemble>) -> Result<Self, ModelError> {
        let sessions: Result<Vec<_>, _> = ensemble.models().map(|model| model.session().map(Some)).collect();
        let (decoder, extractor, inputs) = (Decoder::new(), Extractor::new(), Inputs::default());
        Ok(Self { sessions: sessions?, ensemble, decoder, extractor, inputs })
    }

    /// What the file sounds like to every model. `size` is the whole file's size in bytes, `extension` its extension
    /// without the dot, believed only where the content does not say what it is.
    ///
    /// Never fails and never panics: an [`Analysis`] that is not [`Status::Ok`] says why.
    pub fn listen(&mut self, source: Source, size: u64, extension: Option<&str>) -> Analyses {
        self.complete(Analyses::unheard(&self.ensemble), source, size, extension)
    }

    /// Lets the models that are missing in `heard` listen, and no others: the file is decoded once.
    pub fn complete(&mut self, heard: Analyses, source: Source, size: u64, extension: Option<&str>) -> Analyses {
        let prepared = self.prepare(heard, source, size, extension);
        self.conclude(prepared)
    }

    /// Decodes a file and makes what the models that are missing in `heard` read of it.
    ///
    /// Never fails and never panics, as [`Listener::listen`].
    pub fn prepare(&mut self, mut heard: Analyses, source: Source, size: u64, extension: Option<&str>) -> Prepared {
        let missing: Vec<usize> = heard.missing().collect();
        let inputs = self.guard(|listener| listener.inputs(source, size, extension, &missing));
        let inputs = inputs.map_err(|analysis| fail_all(&mut heard, &analysis)).ok();
        Prepared { heard, inputs }
    }

    /// Lets the models listen to what was prepared.
    ///
    /// Never fails and never panics, as [`Listener::listen`].
    pub fn conclude(&mut self, Prepared { mut heard, inputs }: Prepared) -> Analyses {
        if let Some(inputs) = inputs
            && let Err(analysis) = self.guard(|listener| {
                listener.hear(&inputs, &mut heard);
                Ok(())
            })
        {
            fail_all(&mut heard, &analysis);
        }
        heard
    }

    /// Runs `hear` and turns a panic into a failed analysis.
    fn guard<T>(&mut self, hear: impl FnOnce(&mut Self) -> Result<T, Analysis>) -> Result<T, Analysis> {
        // Whatever a panic leaves half-done is thrown away below. It is told in the file's analysis; on stderr it would
        // only tear the progress bar.
        let caught = crate::catch_quietly(|| hear(self));
        caught.unwrap_or_else(|payload| {
            self.decoder = Decoder::new();
            self.extractor = Extractor::new();
            self.inputs = Inputs::default();
            self.sessions.fill_with(|| None);
            let message = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            Err(failed(Status::LoadError, format!("the decoder panicked: {message}"), None))
        })
    }

    /// What the models at `missing` read. Fails where none of them can hear anything.
    fn inputs(
        &mut self,
        source: Source,
        size: u64,
        extension: Option<&str>,
        missing: &[usize],
    ) -> Result<ModelInputs, Analysis> {
        let decoded = match self.decoder.decode(source, size, extension) {
            Ok(decoded) => decoded,
            Err(error) => {
                let status = match error {
                    DecodeError::Unsupported(_) => Status::Unsupported,
                    DecodeError::Damaged { .. } | DecodeError::Io(_) => Status::LoadError,
                };
                return Err(failed(status, error.to_string(), None));
            }
        };
        let sound = self.extractor.extract(decoded.samples, decoded.sample_rate);
        let attributes = Some(Attributes {
            duration_sec: decoded.duration_sec(),
            rms_dbfs: sound.rms_dbfs,
            centroid_hz: sound.centroid_hz,
            rolloff_hz: sound.rolloff_hz,
            sample_rate: decoded.sample_rate,
            channels: decoded.channels,
            codec: decoded.codec.into(),
        });
        let features = match sound.features {
            Ok(features) => features,
            Err(unheard) => {
                let status = match unheard {
                    Unheard::TooShort => Status::TooShort,
                    Unheard::Silent => Status::Silent,
                };
                return Err(failed(status, unheard.to_string(), attributes));
            }
        };
        self.inputs.begin();
        let mut values = Vec::with_capacity(missing.len());
        for (index, model) in self.ensemble.models().enumerate().filter(|(index, _)| missing.contains(index)) {
            let (layout, arrangement) = (&model.description().layout, model.description().arrangement);
            let own = (layout, arrangement) == (&Layout::Own, Arrangement::Straight);
            let made = (!own).then(|| {
                self.inputs.get(layout, arrangement, &features, decoded.samples, decoded.sample_rate).to_vec()
            });
            values.push((index, made));
        }
        Ok(ModelInputs { attributes, features, values })
    }

    /// Fills in what the models hear.
    fn hear(&mut self, inputs: &ModelInputs, heard: &mut Analyses) {
        let ModelInputs { attributes, features, values } = inputs;
        for (index, (model, session)) in self.ensemble.models().zip(&mut self.sessions).enumerate() {
            let Some((_, values)) = values.iter().find(|(of, _)| *of == index) else { continue };
            let values = values.as_deref().unwrap_or(features.as_slice());
            let outputs = match session {
                Some(session) => session.hear(values),
                empty => model.session().and_then(|session| empty.insert(session).hear(values)),
            };
            let attributes = *attributes;
            let analysis = match outputs {
                Ok(Outputs { logits, embedding }) => {
                    let embedding = embedding.map(Box::new);
                    Analysis { status: Status::Ok, error: None, attributes, logits, embedding }
                }
                Err(error) => failed(Status::LoadError, error.to_string(), attributes),
            };
            heard.set(index, analysis);
        }
    }
}

/// A file that was decoded and is not yet heard by all models. To prepare some files and then let the models hear them all
/// is faster than one after the other: the tables of the one stay in the processor's cache, then the weights of the other.
pub struct Prepared {
    heard: Analyses,
    /// None where nothing can be heard: `heard` says why.
    inputs: Option<ModelInputs>,
}

/// What models read of one sound.
struct ModelInputs {
    attributes: Option<Attributes>,
    features: Features,
    /// Of each model that is to listen, by its index, the values it reads; none where those are the features.
    values: Vec<(usize, Option<Vec<f32>>)>,
}

/// What stopped all models that have not listened yet stopped each.
fn fail_all(heard: &mut Analyses, analysis: &Analysis) {
    let unheard: Vec<usize> = heard.missing().collect();
    unheard.into_iter().for_each(|index| heard.set(index, analysis.clone()));
}

fn failed(status: Status, error: String, attributes: Option<Attributes>) -> Analysis {
    Analysis { status, error: Some(error), attributes, logits: Vec::new(), embedding: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mono 16-bit WAV file of a decaying sine.
    fn kick(rate: u32) -> Vec<u8> {
        let samples = (0..rate / 2).flat_map(|n| {
            let t = f64::from(n) / f64::from(rate);
            let x = 0.8 * (-t / 0.12).exp() * (std::f64::consts::TAU * 60.0 * t).sin();
            ((x * 32767.0) as i16).to_le_bytes()
        });
        let data: Vec<u8> = samples.collect();
        let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        file.extend(rate.to_le_bytes());
        file.extend((rate * 2).to_le_bytes());
        file.extend(b"\x02\0\x10\0data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    fn listener() -> Listener {
        Listener::new(Arc::new(Ensemble::embedded().unwrap())).unwrap()
    }

    #[test]
    fn a_file_in_memory_and_one_on_disk_sound_the_same() {
        let bytes = kick(44_100);
        let path = std::env::temp_dir().join(format!("drumfs-listen-{}.wav", std::process::id()));
        std::fs::write(&path, &bytes).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let mut listener = listener();
        let in_memory = listener.listen(Source::Bytes(&bytes), bytes.len() as u64, Some("wav"));
        let on_disk = listener.listen(Source::File(&file), bytes.len() as u64, Some("wav"));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(in_memory, on_disk);
        let heard = in_memory.get(0).unwrap();
        assert_eq!(heard.status, Status::Ok, "{:?}", heard.error);
        assert_eq!(heard.logits.len(), 34);
        let attributes = heard.attributes.as_ref().unwrap();
        assert_eq!((attributes.sample_rate, attributes.channels, attributes.codec.as_str()), (44_100, 1, "pcm_s16le"));
        assert!((attributes.duration_sec - 0.5).abs() < 1e-4);
    }

    #[test]
    fn a_file_that_is_not_heard_says_why() {
        let mut listener = listener();
        let mut status = |bytes: &[u8], extension| {
            let heard = listener.listen(Source::Bytes(bytes), bytes.len() as u64, Some(extension));
            let analysis = heard.get(0).unwrap();
            assert!(analysis.logits.is_empty());
            assert!(analysis.error.as_ref().is_some_and(|error| !error.is_empty()));
            (analysis.status, analysis.attributes.is_some())
        };
        let whole = kick(8_000);
        let mut silent = whole.clone();
        silent[44..].fill(0);
        let mut no_channels = whole.clone();
        no_channels[22] = 0;
        assert_eq!(status(b"", "wav"), (Status::LoadError, false));
        assert_eq!(status(b"these are lyrics, not drums", "wav"), (Status::Unsupported, false));
        assert_eq!(status(&whole[..30], "wav"), (Status::LoadError, false));
        assert_eq!(status(&no_channels, "wav"), (Status::LoadError, false));
        assert_eq!(status(&whole[..44 + 60], "wav"), (Status::TooShort, true));
        assert_eq!(status(&silent, "wav"), (Status::Silent, true));
    }

    #[test]
    fn a_listener_goes_on_after_a_panic() {
        let mut listener = listener();
        let bytes = kick(44_100);
        let before = listener.listen(Source::Bytes(&bytes), bytes.len() as u64, None);
        let after_panic = listener.guard(|_| -> Result<(), _> { panic!("a decoder's bug") }).unwrap_err();
        assert_eq!(after_panic.status, Status::LoadError);
        assert!(after_panic.error.unwrap().contains("a decoder's bug"));
        assert_eq!(listener.listen(Source::Bytes(&bytes), bytes.len() as u64, None), before);
    }
}
