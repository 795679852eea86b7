//! The values of a line as other programs write them, Python's `json` before all.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A path's bytes. Python writes a byte that is no UTF-8 as a lone surrogate (PEP 383): `\udcff` is the byte 0xFF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathText(pub Vec<u8>);

impl<'de> Deserialize<'de> for PathText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = PathText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<PathText, E> {
                Ok(PathText(without_surrogates(bytes)))
            }

            fn visit_str<E>(self, text: &str) -> Result<PathText, E> {
                Ok(PathText(text.as_bytes().to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// The bytes that U+DC80 to U+DCFF stand for. In the generalised UTF-8 that the JSON reader gives they are ED B2 80 to
/// ED B3 BF.
fn without_surrogates(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = match rest {
            [0xED, high @ (0xB2 | 0xB3), low @ 0x80..=0xBF, tail @ ..] => {
                out.push(high << 6 | low & 0x3F);
                tail
            }
            _ => {
                out.push(*first);
                tail
            }
        };
    }
    out
}

/// What went wrong, as text: older versions wrote a string, scripts a list or an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said(pub Option<String>);

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Said;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an error, or null")
            }

            fn visit_unit<E>(self) -> Result<Said, E> {
                Ok(Said(None))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Said, E> {
                Ok(Said(value.then(|| "an error".to_owned())))
            }

            fn visit_str<E>(self, text: &str) -> Result<Said, E> {
                Ok(Said((!text.is_empty()).then(|| text.to_owned())))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Said, E> {
                Ok(Said(Some(value.to_string())))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Said, E> {
                Ok(Said(Some(value.to_string())))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Said, E> {
                Ok(Said(Some(value.to_string())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Said, A::Error> {
                let mut all: Vec<String> = Vec::new();
                while let Some(Said(said)) = seq.next_element()? {
                    all.extend(said);
                }
                Ok(Said((!all.is_empty()).then(|| all.join("; "))))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
                let mut all: Vec<String> = Vec::new();
                while let Some((key, Said(said))) = map.next_entry::<String, Said>()? {
                    all.extend(said.map(|said| format!("{key}: {said}")));
                }
                Ok(Said((!all.is_empty()).then(|| all.join("; "))))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Labels with their probabilities, most probable first: pairs, as both pipelines write them. Anything after the second
/// of a pair is passed over; a probability that is no number is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranked(pub Vec<(String, Option<f32>)>);

impl<'de> Deserialize<'de> for Ranked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair(String, Option<f32>);
        impl<'de> Deserialize<'de> for Pair {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Two;
                impl<'de> Visitor<'de> for Two {
                    type Value = Pair;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a label and its probability")
                    }

                    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pair, A::Error> {
                        let label = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
                        let probability = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(1, &self))?;
                        while seq.next_element::<IgnoredAny>()?.is_some() {}
                        Ok(Pair(label, probability))
                    }
                }
                deserializer.deserialize_seq(Two)
            }
        }
        let pairs = Option::<Vec<Pair>>::deserialize(deserializer)?.unwrap_or_default();
        Ok(Self(pairs.into_iter().map(|Pair(label, probability)| (label, probability)).collect()))
    }
}

/// The line with `NaN`, `Infinity` and `-Infinity`, which Python writes and JSON does not have, as `null`.
pub fn without_nan(line: &[u8]) -> Cow<'_, [u8]> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let (mut out, mut changed) = (Vec::with_capacity(line.len()), false);
    let (mut rest, mut in_string) = (line, false);
    while let [first, tail @ ..] = rest {
        let word = (!in_string).then(|| WORDS.iter().find(|word| rest.starts_with(word))).flatten();
        rest = match (word, first, tail) {
            (Some(word), ..) => {
                out.extend_from_slice(b"null");
                changed = true;
                rest.get(word.len()..).unwrap_or_default()
            }
            (None, b'\\', [next, after @ ..]) if in_string => {
                out.extend([*first, *next]);
                after
            }
            (None, first, tail) => {
                in_string ^= *first == b'"';
                out.push(*first);
                tail
            }
        };
    }
    if changed { Cow::Owned(out) } else { Cow::Borrowed(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_python_could_not_read_comes_back() {
        let path = |json: &str| serde_json::from_str::<PathText>(json).unwrap().0;
        assert_eq!(path(r#""caf\udce9\/x.wav""#), b"caf\xe9/x.wav");
        assert_eq!(path(r#""\udc80\udcff""#), b"\x80\xff");
        assert_eq!(path("\"日本\\u65e5\""), "日本日".as_bytes());
    }

    #[test]
    fn numbers_that_are_none_become_null_outside_of_strings_only() {
        let line = br#"{"a": NaN, "NaN \" Infinity": [Infinity, -Infinity, 1]}"#;
        assert_eq!(&without_nan(line)[..], br#"{"a": null, "NaN \" Infinity": [null, null, 1]}"#);
        assert!(matches!(without_nan(br#"{"a": "NaN"}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn an_error_may_be_any_json() {
        let said = |json: &str| serde_json::from_str::<Said>(json).unwrap().0;
        assert_eq!(said("null"), None);
        assert_eq!(said("[]"), None);
        assert_eq!(said("\"too_short\"").as_deref(), Some("too_short"));
        assert_eq!(said(r#"["a", {"at": 3}]"#).as_deref(), Some("a; at: 3"));
    }
}
