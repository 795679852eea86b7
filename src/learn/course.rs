//! From lessons to a last layer, and what that is worth.

use std::collections::BTreeMap;

use rayon::prelude::*;
use thiserror::Error;

use super::effect::{Effect, Figures, HeldOut};
use super::fit::{Examples, Fit, Goal, add_change, fit, softmax};
use crate::classify::labels::Labels;
use crate::classify::{Embedding, Head, Knowledge};

/// What a person said of one sound, and what the model heard in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// What the model gave, with the last layer that ships.
    pub logits: Vec<f32>,
    /// What went into that layer.
    pub embedding: Embedding,
    /// The fine labels that were meant, any of which is right.
    pub meant: Vec<usize>,
    /// The pack the sound is from.
    pub pack: Vec<u8>,
}

/// Why nothing can be learnt.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CourseError {
    /// So little was said that an effect could not be told from chance.
    #[error(
        "{usable} overrides can be learnt from, and {MIN_LESSONS} are the least that an effect can be measured on: \
         correct some more samples first"
    )]
    TooFew {
        /// How many there are.
        usable: usize,
    },
}

/// The fewest overrides that are learnt from.
pub const MIN_LESSONS: usize = 20;

/// How strongly the layer that ships holds back the change, as a multiple of the mean square of what goes into it. Any
/// value from a fifth to twice it does about as well (docs/learning.md has the measurement).
const STRENGTH: f64 = 0.5;

/// What shipped counts for so many sounds together, however many there are; a lesson for one.
const KNOWLEDGE_WEIGHT: f32 = 2000.0;

/// At most so many sounds of what shipped are looked at while fitting, evenly chosen: it keeps the time within seconds,
/// and more of them, for less each, change nothing that can be measured.
const MAX_KNOWLEDGE: usize = 2000;

/// The most fits for held-out packs; where there are more packs, several are held out together.
const MAX_GROUPS: usize = 20;

/// Parts that a pack is divided into where its own sounds are held out.
const PARTS: usize = 5;

/// What a layer is fitted with.
pub struct Course<'a> {
    knowledge: &'a Knowledge,
    labels: &'a Labels,
    /// How logits become probabilities.
    probabilities: &'a (dyn Fn(&[f32]) -> Vec<f32> + Sync),
    shipped: Examples,
    lambda: f64,
}

impl std::fmt::Debug for Course<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Course").field("shipped", &self.shipped.len()).field("lambda", &self.lambda).finish()
    }
}

impl<'a> Course<'a> {
    /// A course for the model that `knowledge` belongs to, whose logits become probabilities by `probabilities`.
    pub fn new(
        knowledge: &'a Knowledge,
        labels: &'a Labels,
        probabilities: &'a (dyn Fn(&[f32]) -> Vec<f32> + Sync),
    ) -> Self {
        let count = knowledge.samples().len().min(MAX_KNOWLEDGE);
        let weight = KNOWLEDGE_WEIGHT / count.max(1) as f32;
        let mut shipped = Examples::new(Goal::Soft, knowledge.outputs(), knowledge.size(), weight);
        for index in 0..count {
            let Some((_, embedding)) = knowledge.samples().get(index * knowledge.samples().len() / count) else {
                break;
            };
            let logits = knowledge.logits(embedding);
            let mut said = logits.clone();
            softmax(&mut said);
            shipped.push(&logits, embedding.values(), &said);
        }
        let lambda = STRENGTH * shipped.mean_square().max(1e-6);
        Self { knowledge, labels, probabilities, shipped, lambda }
    }

    /// Fits the last layer to what shipped and to `lessons`, and measures what that does for lessons that were not
    /// learnt from. The same lessons in the same order always give the same.
    ///
    /// # Errors
    /// [`CourseError`] where there is too little to learn from.
    pub fn learn(&self, lessons: &[Lesson]) -> Result<(Head, Effect), CourseError> {
        let (outputs, size) = (self.knowledge.outputs(), self.knowledge.size());
        let usable = |lesson: &&Lesson| {
            let meant = !lesson.meant.is_empty() && lesson.meant.iter().all(|&label| label < outputs);
            meant && lesson.logits.len() == outputs && lesson.embedding.len() == size
        };
        let lessons: Vec<&Lesson> = lessons.iter().filter(usable).collect();
        if lessons.len() < MIN_LESSONS {
            return Err(CourseError::TooFew { usable: lessons.len() });
        }
        let whole = self.fit(&lessons, |_| true, None);
        let (packs, by_pack) = groups_of_packs(&lessons);
        let by_part: Vec<usize> = parts_of_packs(&lessons);
        let one_pack = packs == 1;
        let held_out = if one_pack {
            HeldOut::PartOfOnePack { groups: PARTS }
        } else {
            HeldOut::Pack { packs, groups: packs.min(MAX_GROUPS) }
        };
        let (after, after_same_packs) = if one_pack {
            (self.held_out(&lessons, &by_part, &whole), None)
        } else {
            (self.held_out(&lessons, &by_pack, &whole), Some(self.held_out(&lessons, &by_part, &whole)))
        };
        let effect = Effect {
            held_out,
            before: self.figures(lessons.iter().map(|lesson| (lesson.logits.clone(), &lesson.meant[..]))),
            after,
            after_same_packs,
            shipped_before: self.shipped_figures(None),
            shipped_after: self.shipped_figures(Some(&whole.change)),
        };
        Ok((Head::from_change(&whole.change, outputs, size), effect))
    }

    /// Fits to what shipped and to those lessons whose place is `wanted`.
    fn fit(&self, lessons: &[&Lesson], wanted: impl Fn(usize) -> bool, near: Option<&Fit>) -> Fit {
        let outputs = self.knowledge.outputs();
        let mut examples = Examples::new(Goal::OneOf, outputs, self.knowledge.size(), 1.0);
        for (_, lesson) in lessons.iter().enumerate().filter(|(place, _)| wanted(*place)) {
            let mut goal = vec![0.0; outputs];
            for &label in &lesson.meant {
                if let Some(slot) = goal.get_mut(label) {
                    *slot = 1.0;
                }
            }
            examples.push(&lesson.logits, lesson.embedding.values(), &goal);
        }
        fit(&[&self.shipped, &examples], self.lambda, near)
    }

    /// Figures of all lessons, each judged by a layer that was fitted without those of its group. Fitting starts from
    /// the layer fitted to all of them, from where it is not far; where it ends does not depend on that.
    fn held_out(&self, lessons: &[&Lesson], group_of: &[usize], whole: &Fit) -> Figures {
        let groups = group_of.iter().max().map_or(0, |last| last + 1);
        let without: Vec<Fit> = (0..groups)
            .into_par_iter()
            .map(|group| self.fit(lessons, |place| group_of.get(place) != Some(&group), Some(whole)))
            .collect();
        self.figures(lessons.iter().zip(group_of).map(|(lesson, &group)| {
            let change = without.get(group).map_or(&[][..], |fit| &fit.change[..]);
            (changed(lesson.logits.clone(), change, &lesson.embedding), &lesson.meant[..])
        }))
    }

    fn figures<'l>(&self, sounds: impl Iterator<Item = (Vec<f32>, &'l [usize])>) -> Figures {
        Figures::of(self.labels, sounds.map(|(logits, meant)| ((self.probabilities)(&logits), meant)))
    }

    fn shipped_figures(&self, change: Option<&[f32]>) -> Figures {
        let labels: Vec<usize> = (0..self.knowledge.outputs()).collect();
        self.figures(self.knowledge.samples().iter().filter_map(|(label, embedding)| {
            let meant = labels.get(usize::from(*label)).map(std::slice::from_ref)?;
            let logits = self.knowledge.logits(embedding);
            Some((change.map_or(logits.clone(), |change| changed(logits, change, embedding)), meant))
        }))
    }
}

fn changed(mut logits: Vec<f32>, change: &[f32], embedding: &Embedding) -> Vec<f32> {
    let values: Vec<f32> = embedding.values().collect();
    add_change(&mut logits, change, &values);
    logits
}

/// How many packs there are, and for each lesson the group its pack is held out with: one a pack, or where there are
/// many, groups of about the same size.
fn groups_of_packs(lessons: &[&Lesson]) -> (usize, Vec<usize>) {
    let mut sizes: BTreeMap<&[u8], usize> = BTreeMap::new();
    lessons.iter().for_each(|lesson| *sizes.entry(&lesson.pack).or_default() += 1);
    let mut packs: Vec<(&[u8], usize)> = sizes.into_iter().collect();
    packs.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let mut groups = vec![0usize; packs.len().min(MAX_GROUPS)];
    let mut group_of: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (pack, size) in &packs {
        // The largest first, each into the smallest group.
        let smallest = (0..groups.len()).min_by_key(|&group| (groups.get(group).copied(), group)).unwrap_or(0);
        if let Some(total) = groups.get_mut(smallest) {
            *total += size;
        }
        group_of.insert(pack, smallest);
    }
    let of = |lesson: &&Lesson| group_of.get(&lesson.pack[..]).copied().unwrap_or(0);
    (packs.len(), lessons.iter().map(of).collect())
}

/// For each lesson one of five parts, to each of which every pack gives about a fifth of its lessons.
fn parts_of_packs(lessons: &[&Lesson]) -> Vec<usize> {
    let mut next: BTreeMap<&[u8], usize> = BTreeMap::new();
    lessons
        .iter()
        .map(|lesson| {
            let count = next.entry(&lesson.pack).or_default();
            *count += 1;
            (*count - 1) % PARTS
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(pack: &str) -> Lesson {
        Lesson { logits: vec![0.0; 2], embedding: Embedding::default(), meant: vec![0], pack: pack.into() }
    }

    #[test]
    fn a_pack_is_held_out_whole_and_many_packs_make_even_groups() {
        let lessons: Vec<Lesson> = (0..300).map(|n| lesson(&format!("pack {}", n % 60 / (1 + n % 2)))).collect();
        let lessons: Vec<&Lesson> = lessons.iter().collect();
        let (packs, groups) = groups_of_packs(&lessons);
        assert!(packs > MAX_GROUPS);
        let mut sizes = [0; MAX_GROUPS];
        for (lesson, group) in lessons.iter().zip(&groups) {
            sizes[*group] += 1;
            let same = |other: &(&&Lesson, &usize)| other.0.pack == lesson.pack;
            assert!(lessons.iter().zip(&groups).filter(same).all(|(_, other)| other == group));
        }
        assert!(sizes.iter().all(|size| (10..=20).contains(size)), "{sizes:?}");
        let few: Vec<&Lesson> = lessons.iter().take(5).copied().collect();
        let (packs, groups) = groups_of_packs(&few);
        assert_eq!(packs, groups.iter().collect::<std::collections::BTreeSet<_>>().len());
    }

    #[test]
    fn every_pack_gives_to_every_part() {
        let lessons: Vec<Lesson> = (0..100).map(|n| lesson(if n % 4 == 0 { "a" } else { "b" })).collect();
        let lessons: Vec<&Lesson> = lessons.iter().collect();
        let parts = parts_of_packs(&lessons);
        for part in 0..PARTS {
            let of = |pack: &[u8]| {
                lessons.iter().zip(&parts).filter(|(lesson, other)| lesson.pack == pack && **other == part).count()
            };
            assert_eq!((of(b"a"), of(b"b")), (5, 15));
        }
    }
}
