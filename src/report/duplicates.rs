//! Duplicates for people and programs.

use serde::Serialize;

use super::{Style, bytes, digits, printable};
use crate::duplicates::{Exact, Near};
use crate::view::Catalogue;

/// What is there more than once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Duplicates {
    /// Contents that stand under several paths.
    pub exact: Vec<ExactGroup>,
    /// Samples that could go without a byte being lost: all but one of each content.
    pub exact_samples: u64,
    /// Their bytes.
    pub exact_bytes: u64,
    /// Contents that are nearly the same sound; none where they were not looked for.
    pub near: Option<NearGroups>,
}

/// One content.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExactGroup {
    /// Its hash in hexadecimal.
    pub hash: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where it is; the first stays where the rules hide duplicates.
    pub paths: Vec<String>,
}

/// Contents that are nearly the same sound.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NearGroups {
    /// The groups.
    pub groups: Vec<Group>,
    /// Contents that are like the first of a group.
    pub contents: u64,
    /// Contents that could not be compared: silent, unreadable, damaged.
    pub unheard: u64,
    /// Those that could not be read or decoded in this run.
    pub failed: Vec<Unheard>,
    /// Contents that were listened to in this run.
    pub heard: u64,
    /// Pairs that what is kept of them says may be alike.
    pub candidates: u64,
    /// Pairs that were compared by their sound in this run.
    pub compared: u64,
    /// How often an original was read to be compared.
    pub read: u64,
    /// How like each other two sounds had to be.
    pub least_likeness: f32,
}

/// A sample that could not be heard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unheard {
    /// Where it is.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Sounds like the first of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// The first by path.
    pub first: Sound,
    /// The others, with how like the first they are.
    pub others: Vec<Sound>,
}

/// One content of a group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sound {
    /// Where it is, the first path of the content; `\u{fffd}` stands for what is not UTF-8.
    pub path: String,
    /// Its hash in hexadecimal.
    pub hash: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// The least correlation of any band with the first one's, from 0 to 1; none for the first itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likeness: Option<f32>,
    /// Length in seconds.
    pub duration_sec: Option<f64>,
    /// Level in dBFS.
    pub rms: Option<f32>,
    /// Frames a second, in Hz.
    pub sample_rate: Option<u32>,
    /// The codec's short name.
    pub codec: Option<&'static str>,
}

impl Duplicates {
    /// What was found in a catalogue.
    pub fn of(catalogue: &Catalogue, exact: &[Exact], near: Option<&Near>, least_likeness: f32) -> Self {
        let text = |id: u32| String::from_utf8_lossy(catalogue.sample(id).path).into_owned();
        let group = |ids: &Exact| {
            let sample = catalogue.sample(*ids.first()?);
            let hash = sample.hash?.to_hex();
            Some(ExactGroup { hash, size: sample.size, paths: ids.iter().copied().map(text).collect() })
        };
        let exact: Vec<ExactGroup> = exact.iter().filter_map(group).collect();
        let more = |group: &ExactGroup| group.paths.len() as u64 - 1;
        let sound = |id: u32, likeness: Option<f32>| {
            let sample = catalogue.sample(id);
            let attributes = sample.attributes;
            Sound {
                path: text(id),
                hash: sample.hash.map(|hash| hash.to_hex()),
                size: sample.size,
                likeness,
                duration_sec: attributes.map(|of| of.duration_sec),
                rms: attributes.map(|of| of.rms_dbfs),
                sample_rate: attributes.map(|of| of.sample_rate),
                codec: attributes.map(|of| of.codec.as_str()),
            }
        };
        let near = near.map(|near| NearGroups {
            groups: near
                .groups
                .iter()
                .map(|group| Group {
                    first: sound(group.first, None),
                    others: group.others.iter().map(|(id, likeness)| sound(*id, Some(*likeness))).collect(),
                })
                .collect(),
            contents: near.groups.iter().map(|group| group.others.len() as u64).sum(),
            unheard: near.unheard,
            failed: near.failed.iter().map(|(id, why)| Unheard { path: text(*id), reason: why.clone() }).collect(),
            heard: near.heard,
            candidates: near.candidates,
            compared: near.compared,
            read: near.read,
            least_likeness,
        });
        Self {
            exact_samples: exact.iter().map(more).sum(),
            exact_bytes: exact.iter().map(|group| more(group) * group.size).sum(),
            exact,
            near,
        }
    }

    /// The lines that a terminal shows.
    pub fn text(&self, style: Style) -> Vec<String> {
        let mut lines = vec![style.heading(&format!(
            "The same bytes: {} contents under several paths; {} samples could go, {}",
            digits(self.exact.len() as u64),
            digits(self.exact_samples),
            bytes(self.exact_bytes)
        ))];
        for group in &self.exact {
            for (place, path) in group.paths.iter().enumerate() {
                lines.push(format!("{}{}", if place == 0 { "  " } else { "    = " }, printable(path)));
            }
        }
        let Some(near) = &self.near else { return lines };
        lines.extend([
            String::new(),
            style.heading(&format!(
                "Nearly the same sound: {} groups, {} contents beside their first",
                digits(near.groups.len() as u64),
                digits(near.contents)
            )),
        ]);
        for group in &near.groups {
            lines.push(format!(
                "  {}{}",
                printable(&group.first.path),
                style.faint(&format!("  {}", group.first.about()))
            ));
            for other in &group.others {
                let likeness = other.likeness.map_or_else(String::new, |likeness| format!("{likeness:.3}"));
                lines.push(format!(
                    "    ~ {}{}",
                    printable(&other.path),
                    style.faint(&format!("  {likeness}, {}", other.about()))
                ));
            }
        }
        if near.unheard > 0 {
            lines.push(format!(
                "  {} contents could not be compared: silent, unreadable or damaged",
                digits(near.unheard)
            ));
        }
        lines.extend(
            near.failed.iter().map(|failed| format!("    {}: {}", printable(&failed.path), printable(&failed.reason))),
        );
        lines
    }
}

impl Sound {
    fn about(&self) -> String {
        let parts = [
            self.codec.map(str::to_owned),
            self.sample_rate.map(|rate| format!("{rate} Hz")),
            self.duration_sec.map(super::time),
            self.rms.map(|rms| format!("{rms:.1} dBFS")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}
