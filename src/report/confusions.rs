//! What the model mixes up: labels it wavers between, corrections that disagree with it, and packs where either happens
//! more often than elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Serialize;

use super::chance::{Chance, false_discovery_rates};
use crate::archive::ContentHash;
use crate::rules::{Doubt, Router, two_highest};
use crate::store::Override;
use crate::view::{Catalogue, SampleRef};

/// What counts, and how much is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// Two labels are close where their probabilities differ by less than this.
    pub margin: f32,
    /// At most so many lines of each kind.
    pub top: usize,
    /// At most so many examples a line.
    pub examples: usize,
}

/// A pack is spoken of where at most this share of all that is said of packs is expected to be chance, ...
pub const FALSE_SHARE: f64 = 0.05;
/// ... and where it happened at least so often.
pub const LEAST_HITS: u64 = 3;

/// What is mixed up.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Confusions {
    /// Contents that were looked at: classified ones, each once.
    pub contents: u64,
    /// Those whose first two fine labels are close.
    pub close_contents: u64,
    /// Corrections whose sound is there and was classified.
    pub overrides: u64,
    /// Those of them that say something else than the model.
    pub overrides_against: u64,
    /// Fine labels that are close, the most frequent pair first.
    pub close: Vec<ClosePair>,
    /// What people say against what the model hears, the most frequent pair first.
    pub against: Vec<Disagreement>,
    /// What happens in a pack far more often than elsewhere, the least likely chance first.
    pub packs: Vec<PackMixUp>,
    /// How many combinations of pack and labels were asked about: that many chances to find something where nothing is.
    pub tests: u64,
}

/// Two fine labels that the model wavers between.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClosePair {
    /// The labels, in label order.
    pub labels: [String; 2],
    /// How many contents.
    pub contents: u64,
    /// For how many of them the second is the first in that order.
    pub first_leads: u64,
    /// Whether the two are collected in different folders, so that it matters which of them is right.
    pub apart: bool,
    /// The closest.
    pub examples: Vec<Example>,
}

/// People say one thing and the model another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Disagreement {
    /// What people say: a label or a folder.
    pub said: String,
    /// The fine label that the model favours.
    pub heard: String,
    /// How many contents.
    pub contents: u64,
    /// Those the model is surest of.
    pub examples: Vec<Example>,
}

/// Where it is known from what a sound is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// A person corrected it.
    Override,
    /// Its name, or that of its folder, says so.
    Name,
    /// Nothing says so: the model itself wavers between the two.
    Close,
}

impl Evidence {
    /// In a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Override => "corrected",
            Self::Name => "by its name",
            Self::Close => "close",
        }
    }
}

/// A pack where one thing is taken for another, or nearly, far more often than elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PackMixUp {
    /// The pack: the first folder of the path.
    pub pack: String,
    /// What the sounds are, by that.
    pub is: String,
    /// What the model hears, or what it is close to hearing.
    pub heard: String,
    /// Where it is known from what they are.
    pub evidence: Evidence,
    /// How many contents of the pack.
    pub hits: u64,
    /// Of so many of the pack that are that.
    pub of: u64,
    /// The share of it in all other packs.
    pub elsewhere: f64,
    /// How likely so many are by chance, where packs do not matter: Fisher's exact test, one-sided.
    pub chance: f64,
    /// What share of this and all less likely ones is expected to be chance, given how many were asked about.
    pub false_share: f64,
    /// Some of them.
    pub examples: Vec<Example>,
}

/// A sound to listen to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// Relative path in the archive; `\u{fffd}` stands for what is not UTF-8.
    pub path: String,
    /// The file in the mount; none where it is not mounted.
    pub mounted: Option<String>,
    /// The likeliest fine label with its probability, and the next.
    pub labels: Vec<(String, f32)>,
}

/// A pair of labels in one pack, and what says so.
type Key = (u32, Evidence, u8, u8);

/// Examples that were found so far: the value by which the least goes first, and the sample.
#[derive(Debug, Default, Clone)]
struct Best(Vec<(f32, u32)>);

impl Best {
    fn offer(&mut self, most: usize, value: f32, id: u32) {
        // Ids come in order, so that of equals the first by path stays.
        let place = self.0.partition_point(|(known, _)| *known <= value);
        if place < most {
            self.0.insert(place, (value, id));
            self.0.truncate(most);
        }
    }
}

/// What one sample says.
struct Said<'a> {
    id: u32,
    sample: SampleRef<'a>,
    pack: u32,
    /// Fine labels with the highest probabilities.
    first: (u8, f32),
    second: (u8, f32),
    doubt: Doubt,
    word: Option<&'a str>,
}

/// Reads a catalogue for what its samples say.
struct Reader<'a> {
    catalogue: &'a Catalogue,
    router: &'a Router,
    overrides: &'a HashMap<ContentHash, Override>,
    wanted: Wanted,
}

impl<'a> Reader<'a> {
    /// Every content that was classified, once.
    fn each(&self, mut tell: impl FnMut(Said<'a>)) {
        let firsts = self.catalogue.is_first_of_content();
        let (mut pack, mut name): (u32, Option<&[u8]>) = (0, None);
        for ((id, sample), first) in (0u32..).zip(self.catalogue.samples().iter()).zip(firsts) {
            if name != Some(sample.pack()) {
                pack += u32::from(name.is_some());
                name = Some(sample.pack());
            }
            if !first || sample.status.is_error() {
                continue;
            }
            let (Some(doubt), Some([first, second])) = (self.router.doubt(sample.probs), first_two(sample.probs))
            else {
                continue;
            };
            let word = sample.hash.as_ref().and_then(|hash| self.overrides.get(hash)).map(|said| &said.label[..]);
            tell(Said { id, sample, pack, first, second, doubt, word });
        }
    }

    /// What one sample says of packs: what it is, what the model makes of it, whether that is a hit.
    fn evidence(&self, said: &Said<'_>) -> Vec<(Evidence, u8, u8, bool)> {
        let mut found = Vec::with_capacity(3);
        let heard = said.doubt.first.0;
        match said.word.and_then(|word| self.router.label_of_word(word)) {
            Some(is) => found.push((Evidence::Override, is, heard, is != heard)),
            // A person's word beats a name.
            None => {
                if let Some(is) = self.router.label_of_name(said.sample.path) {
                    found.push((Evidence::Name, is, heard, is != heard));
                }
            }
        }
        if said.word.is_none() {
            found.push((Evidence::Close, said.first.0, said.second.0, self.is_close(said)));
        }
        found
    }

    fn is_close(&self, said: &Said<'_>) -> bool {
        said.first.1 - said.second.1 < self.wanted.margin
    }
}

/// Looks for what is mixed up. `labels` are the fine labels in label order; `mount` is where the archive is mounted.
pub fn find(
    catalogue: &Catalogue,
    router: &Router,
    overrides: &HashMap<ContentHash, Override>,
    labels: &[String],
    mount: Option<&Path>,
    wanted: Wanted,
) -> Confusions {
    let reader = Reader { catalogue, router, overrides, wanted };
    let mut close: BTreeMap<(u8, u8), (u64, u64, Best)> = BTreeMap::new();
    let mut against: BTreeMap<(&str, u8), (u64, Best)> = BTreeMap::new();
    let mut hits: HashMap<Key, u64> = HashMap::new();
    let mut of: HashMap<(u32, Evidence, u8), u64> = HashMap::new();
    let mut found = Confusions::default();
    reader.each(|said| {
        found.contents += 1;
        if let Some(word) = said.word
            && let Some(meant) = router.fine_labels_meant(word)
        {
            found.overrides += 1;
            if !meant.contains(&usize::from(said.first.0)) {
                found.overrides_against += 1;
                let (count, best) = against.entry((word, said.first.0)).or_default();
                *count += 1;
                best.offer(wanted.examples, -said.first.1, said.id);
            }
        }
        if reader.is_close(&said) {
            found.close_contents += 1;
            let (a, b) = (said.first.0, said.second.0);
            let (count, leads, best) = close.entry((a.min(b), a.max(b))).or_default();
            *count += 1;
            *leads += u64::from(a < b);
            best.offer(wanted.examples, said.first.1 - said.second.1, said.id);
        }
        for (evidence, is, heard, hit) in reader.evidence(&said) {
            *of.entry((said.pack, evidence, is)).or_default() += 1;
            if hit {
                *hits.entry((said.pack, evidence, is, heard)).or_default() += 1;
            }
        }
    });
    let fine = |label: u8| labels.get(usize::from(label)).cloned().unwrap_or_default();
    let shower = Shower { catalogue, labels, mount };
    found.close = close
        .into_iter()
        .map(|((a, b), (contents, first_leads, best))| ClosePair {
            labels: [fine(a), fine(b)],
            contents,
            first_leads,
            apart: router.collected_under(usize::from(a)) != router.collected_under(usize::from(b)),
            examples: shower.all(&best),
        })
        .collect();
    found.close.sort_by_key(|pair| std::cmp::Reverse(pair.contents));
    found.close.truncate(wanted.top);
    found.against = against
        .into_iter()
        .map(|((said, heard), (contents, best))| Disagreement {
            said: said.to_owned(),
            heard: fine(heard),
            contents,
            examples: shower.all(&best),
        })
        .collect();
    found.against.sort_by_key(|pair| std::cmp::Reverse(pair.contents));
    found.against.truncate(wanted.top);
    let (tests, improbable) = test(&hits, &of);
    found.tests = tests;
    found.packs = reader.packs(improbable, &shower, labels);
    found
}

/// One key with what was counted: hits, of so many, share elsewhere, chance, share of false ones.
struct Improbable {
    key: Key,
    hits: u64,
    of: u64,
    elsewhere: f64,
    chance: f64,
    false_share: f64,
}

/// How many combinations there are to ask about, and those that are hardly chance.
fn test(hits: &HashMap<Key, u64>, of: &HashMap<(u32, Evidence, u8), u64>) -> (u64, Vec<Improbable>) {
    // Of all packs together.
    let mut all: BTreeMap<(Evidence, u8), (u64, u64)> = BTreeMap::new();
    for ((_, evidence, is), count) in of {
        let (sum, packs) = all.entry((*evidence, *is)).or_default();
        *sum += count;
        *packs += 1;
    }
    let mut marked: BTreeMap<(Evidence, u8, u8), u64> = BTreeMap::new();
    for ((_, evidence, is, heard), count) in hits {
        *marked.entry((*evidence, *is, *heard)).or_default() += count;
    }
    let totals = |evidence: Evidence, is: u8| all.get(&(evidence, is)).copied().unwrap_or_default();
    // A pair that occurs anywhere was asked about in every pack that has such sounds.
    let tests = marked.keys().map(|(evidence, is, _)| totals(*evidence, *is).1).sum();
    let chance = Chance::new(all.values().map(|(sum, _)| *sum).max().unwrap_or(0));
    let mut keys: Vec<(&Key, u64)> = hits.iter().map(|(key, count)| (key, *count)).collect();
    keys.sort_unstable();
    let mut found: Vec<Improbable> = keys
        .into_iter()
        .filter_map(|(key, hits)| {
            let &(pack, evidence, is, heard) = key;
            let drawn = *of.get(&(pack, evidence, is))?;
            let marked = *marked.get(&(evidence, is, heard))?;
            let (sum, _) = totals(evidence, is);
            let others = sum.saturating_sub(drawn);
            let elsewhere = if others > 0 { (marked - hits) as f64 / others as f64 } else { 0.0 };
            let chance = chance.of_so_many(sum, marked, drawn, hits);
            Some(Improbable { key: *key, hits, of: drawn, elsewhere, chance, false_share: 1.0 })
        })
        .collect();
    let rates = false_discovery_rates(&found.iter().map(|of| of.chance).collect::<Vec<_>>(), tests);
    found.iter_mut().zip(rates).for_each(|(of, rate)| of.false_share = rate);
    found.retain(|of| of.false_share <= FALSE_SHARE && of.hits >= LEAST_HITS);
    found.sort_by(|a, b| a.chance.total_cmp(&b.chance).then(b.hits.cmp(&a.hits)).then(a.key.cmp(&b.key)));
    (tests, found)
}

impl Reader<'_> {
    /// The packs with examples, for which the catalogue is read once more.
    fn packs(&self, mut improbable: Vec<Improbable>, shower: &Shower<'_>, labels: &[String]) -> Vec<PackMixUp> {
        improbable.truncate(self.wanted.top);
        if improbable.is_empty() {
            return Vec::new();
        }
        let mut best: HashMap<Key, (Best, Vec<u8>)> =
            improbable.iter().map(|of| (of.key, Default::default())).collect();
        self.each(|said| {
            for (evidence, is, heard, hit) in self.evidence(&said) {
                if hit && let Some((best, pack)) = best.get_mut(&(said.pack, evidence, is, heard)) {
                    let value = match evidence {
                        Evidence::Close => said.first.1 - said.second.1,
                        Evidence::Override | Evidence::Name => -said.doubt.first.1,
                    };
                    best.offer(self.wanted.examples, value, said.id);
                    *pack = said.sample.pack().to_vec();
                }
            }
        });
        let show = |of: Improbable| {
            let (_, evidence, is, heard) = of.key;
            let names = if evidence == Evidence::Close { labels } else { self.router.labels() };
            let name = |label: u8| names.get(usize::from(label)).cloned().unwrap_or_default();
            let (best, pack) = best.remove(&of.key).unwrap_or_default();
            PackMixUp {
                pack: String::from_utf8_lossy(&pack).into_owned(),
                is: name(is),
                heard: name(heard),
                evidence,
                hits: of.hits,
                of: of.of,
                elsewhere: of.elsewhere,
                chance: of.chance,
                false_share: of.false_share,
                examples: shower.all(&best),
            }
        };
        improbable.into_iter().map(show).collect()
    }
}

/// Shows samples.
struct Shower<'a> {
    catalogue: &'a Catalogue,
    labels: &'a [String],
    mount: Option<&'a Path>,
}

impl Shower<'_> {
    fn all(&self, best: &Best) -> Vec<Example> {
        best.0.iter().map(|(_, id)| self.one(self.catalogue.sample(*id))).collect()
    }

    fn one(&self, sample: SampleRef<'_>) -> Example {
        let labels = first_two(sample.probs).into_iter().flatten();
        Example {
            path: String::from_utf8_lossy(sample.path).into_owned(),
            mounted: self.mount.map(|mount| super::by_id_path(mount, sample)),
            labels: labels
                .map(|(label, prob)| (self.labels.get(usize::from(label)).cloned().unwrap_or_default(), prob))
                .collect(),
        }
    }
}

/// The two likeliest fine labels, the first of equals; none where there are not two.
fn first_two(probs: &[f32]) -> Option<[(u8, f32); 2]> {
    let (first, second) = two_highest((0..=u8::MAX).zip(probs.iter().copied()))?;
    Some([first, second?])
}
