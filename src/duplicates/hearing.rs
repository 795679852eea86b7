//! Listening to originals, for an outline or to compare them. A file that can't be read, or a decoder that panics, costs
//! that file.

use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;

use super::{Ear, Excerpt, Outline, Outliner};
use crate::archive::ArchiveRoot;
use crate::archive::discover::mtime_ns;
use crate::audio::{Decoded, Decoder};
use crate::index::reading::Reading;
use crate::view::SampleRef;

/// Why there is nothing to be heard, in words.
#[derive(Debug)]
pub(super) enum Unheard {
    /// It can't be read, or is another content by now.
    Unread(String),
    /// It can't be decoded.
    Undecoded(String),
}

/// What is said of a file that has changed.
const CHANGED: &str = "it has changed since it was indexed: run `drumfs index`, then this again";

/// What a thread listens with.
#[derive(Default)]
struct Hearing {
    outliner: Outliner,
    ear: Ear,
}

thread_local! {
    static HEARING: RefCell<Hearing> = RefCell::default();
}

/// The outline of a sample; none for silence.
pub(super) fn outline(root: &ArchiveRoot, sample: SampleRef<'_>) -> Result<Option<Outline>, Unheard> {
    hear(root, sample, |hearing, sound| hearing.outliner.outline(sound.samples, sound.sample_rate))
}

/// What is compared of a sample; none for silence.
pub(super) fn excerpt(root: &ArchiveRoot, sample: SampleRef<'_>) -> Result<Option<Excerpt>, Unheard> {
    hear(root, sample, |hearing, sound| {
        hearing.ear.excerpt(sound.samples, sound.sample_rate, sound.duration_sec(), sound.codec)
    })
}

/// See [`Ear::likeness`].
pub(super) fn likeness(a: &Excerpt, b: &Excerpt) -> f32 {
    HEARING.with_borrow_mut(|hearing| hearing.ear.likeness(a, b))
}

/// Why what is known of a sample is not known of its file; none where the file has the size and time it was indexed with.
pub(super) fn stale(root: &ArchiveRoot, sample: SampleRef<'_>) -> Option<String> {
    match root.open_with_metadata(sample.path) {
        Ok((_, metadata)) if metadata.size() == sample.size && mtime_ns(&metadata) == sample.mtime_ns => None,
        Ok(_) => Some(CHANGED.to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// Decodes a sample, if its content is still the one that is known, and gives the sound to `make`.
fn hear<T>(
    root: &ArchiveRoot,
    sample: SampleRef<'_>,
    make: impl FnOnce(&mut Hearing, &Decoded<'_>) -> Option<T>,
) -> Result<Option<T>, Unheard> {
    let changed = || Unheard::Unread(CHANGED.to_owned());
    let hash = sample.hash.ok_or_else(changed)?;
    let reading =
        Reading::new(root, sample.path, hash.algorithm()).map_err(|error| Unheard::Unread(error.to_string()))?;
    if reading.hash != hash {
        return Err(changed());
    }
    HEARING.with_borrow_mut(|hearing| {
        let made = crate::catch_quietly(|| {
            let mut decoder = Decoder::new();
            let decoded = reading.decode(&mut decoder).map_err(|error| Unheard::Undecoded(error.to_string()))?;
            Ok(make(hearing, &decoded))
        });
        made.unwrap_or_else(|panic| {
            *hearing = Hearing::default();
            Err(Unheard::Undecoded(crate::panic_message(&*panic)))
        })
    })
}
