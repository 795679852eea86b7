//! The name of a codec in two bytes: every sample of a catalogue has one, and there are a few dozen in all.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU16;
use std::sync::{LazyLock, PoisonError, RwLock};

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A codec's short name, such as `pcm_s16le`, `flac` or `mp3`; equal names are one number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Codec(NonZeroU16);

/// Names are kept for as long as the program runs. More or longer ones than these are no codec's, and are called
/// [`OTHER`]: a file that lists a million of them costs no memory.
const MAX_NAMES: usize = 1024;
const MAX_LEN: usize = 64;
const OTHER: &str = "other";

#[derive(Default)]
struct Names {
    /// By number, less one.
    names: Vec<&'static str>,
    numbers: HashMap<&'static str, NonZeroU16>,
}

static NAMES: LazyLock<RwLock<Names>> = LazyLock::new(RwLock::default);

impl Codec {
    /// The codec of a name.
    pub fn new(name: &str) -> Self {
        if let Some(known) = NAMES.read().unwrap_or_else(PoisonError::into_inner).numbers.get(name) {
            return Self(*known);
        }
        let mut all = NAMES.write().unwrap_or_else(PoisonError::into_inner);
        // One place is left for the name of all others.
        let name = if name.len() > MAX_LEN || all.names.len() + 1 >= MAX_NAMES { OTHER } else { name };
        if let Some(known) = all.numbers.get(name) {
            return Self(*known);
        }
        let kept: &'static str = Box::leak(Box::from(name));
        all.names.push(kept);
        let number = u16::try_from(all.names.len()).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN);
        all.numbers.insert(kept, number);
        Self(number)
    }

    /// The name.
    pub fn as_str(self) -> &'static str {
        let all = NAMES.read().unwrap_or_else(PoisonError::into_inner);
        all.names.get(usize::from(self.0.get()) - 1).copied().unwrap_or(OTHER)
    }
}

impl Default for Codec {
    fn default() -> Self {
        Self::new("")
    }
}

impl From<&str> for Codec {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Codec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Codec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Codec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a codec")
            }

            fn visit_str<E>(self, name: &str) -> Result<Codec, E> {
                Ok(Codec::new(name))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::Attributes;

    #[test]
    fn a_name_comes_back_and_is_written_like_any_string() {
        let (wav, flac) = (Codec::new("pcm_s16le"), Codec::new("flac"));
        assert_eq!((wav.as_str(), flac.as_str()), ("pcm_s16le", "flac"));
        assert_eq!(Codec::new("pcm_s16le"), wav);
        assert_ne!(wav, flac);
        assert_eq!(postcard::to_stdvec(&wav).unwrap(), postcard::to_stdvec("pcm_s16le").unwrap());
        assert_eq!(serde_json::from_str::<Codec>("\"fl\\u0061c\"").unwrap(), flac);
    }

    #[test]
    fn attributes_with_or_without_a_codec_take_32_bytes() {
        assert_eq!(size_of::<Option<Attributes>>(), 32);
    }

    #[test]
    fn names_that_are_no_codec_cost_no_memory() {
        assert_eq!(Codec::new(&"x".repeat(1000)).as_str(), OTHER);
    }
}
