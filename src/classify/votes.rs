//! How a model votes on labels that are not its own, and how votes become one.
//!
//! The probabilities that come out are those of the leading model's labels. A member m says p(l) of each of its own
//! labels l. Each of these means a set T(l) of leading labels, see [`Votes::new`]; C is what all of them cover. With a
//! reference q, a distribution over the leading labels, the member's vote is
//!
//! ```text
//! v(f) = q(C) · Σ_l p(l) · [f ∈ T(l)] · q(f) / q(T(l))    for f in C
//! v(f) = q(f)                                              for every other f
//! ```
//!
//! So what a member says of a coarse label is spread over the fine labels below it as the reference has them, and of
//! labels that it does not know it says nothing: it only divides what the reference leaves for those it knows. Where
//! q(T(l)) is 0 the spread is even. A label that means nothing among the leading ones is spread over all of C.
//!
//! The reference is the mean (of the same kind and with the same weights as below) of the votes of those members that
//! tell all leading labels apart, the leading model first among them; where none of them heard the sound, it is even.
//!
//! With weights w that sum to 1 over the members that heard the sound, the votes become
//!
//! ```text
//! arithmetic:  p(f) = Σ_m w_m v_m(f)
//! geometric:   p(f) ∝ Π_m v_m(f)^w_m        v below 1e-9 counts as 1e-9
//! ```

use std::collections::BTreeMap;

use thiserror::Error;

use super::labels::{CANONICAL, Labels, MISC, canonical_index};

/// How votes become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mean {
    /// The weighted mean.
    #[default]
    Arithmetic,
    /// The weighted geometric mean, divided by its sum: a label needs a word from every member.
    Geometric,
}

/// Below this a probability counts as this in a geometric mean, so that no member alone rules a label out for good.
const LEAST: f64 = 1e-9;

/// What a config.yml says a member's label means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nothing among the leading labels.
    Nothing,
    /// A canonical label with everything below it that the member does not name itself, or else a fine label.
    One(String),
    /// These labels; of a name that is both a fine and a canonical label, the fine one.
    Several(Vec<String>),
}

/// A mapping that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VotesError {
    /// It maps a label that the member does not have.
    #[error("`mapping` names `{label}`, which is none of its labels ({known})")]
    UnknownLabel {
        /// The label.
        label: String,
        /// Those it has.
        known: String,
    },
    /// It maps to something that is neither a leading nor a canonical label.
    #[error(
        "`mapping` sends `{label}` to `{target}`, which is neither one of the first model's labels nor one of {}",
        CANONICAL.join(", ")
    )]
    UnknownTarget {
        /// The member's label.
        label: String,
        /// Where it is sent.
        target: String,
    },
    /// None of its labels means anything among the leading ones.
    #[error(
        "none of its labels ({labels}) is one of the first model's, or one of {}: say with `mapping` what they mean",
        CANONICAL.join(", ")
    )]
    NothingInCommon {
        /// The member's labels.
        labels: String,
    },
}

/// What a member's labels mean among the leading ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Votes {
    /// For each of its labels the leading labels it means, ascending.
    targets: Vec<Vec<usize>>,
    /// How many leading labels there are.
    leading: usize,
    /// Whether its labels are the leading ones, in their order.
    same: bool,
    /// Whether it tells all leading labels apart.
    complete: bool,
}

impl Votes {
    /// Of the leading model itself, or of one with the same labels in the same order.
    pub fn same(labels: usize) -> Self {
        Self { targets: (0..labels).map(|label| vec![label]).collect(), leading: labels, same: true, complete: true }
    }

    /// What `own` labels mean among `leading` ones, each by the first of these that applies:
    ///
    /// 1. what `mapping` says;
    /// 2. a canonical label of the same name, such as `Crash`, whatever its case: everything that the leading model
    ///    collects under it, less what the member has a label of its own for;
    /// 3. a leading fine label of the same name;
    /// 4. the canonical label that the member's own mapping collects it under, as in 2;
    /// 5. nothing.
    ///
    /// # Errors
    /// [`VotesError`].
    pub fn new(own: &Labels, leading: &Labels, mapping: &BTreeMap<String, Target>) -> Result<Self, VotesError> {
        let names = || own.names().join(", ");
        if let Some(label) = mapping.keys().find(|label| own.index_of(label).is_none()) {
            return Err(VotesError::UnknownLabel { label: label.clone(), known: names() });
        }
        let fine = |name: &str| leading.names().iter().position(|known| known.eq_ignore_ascii_case(name));
        // What a label is meant to be, before anything is taken from canonical ones.
        let mut meant = Vec::with_capacity(own.len());
        let mut in_common = false;
        for (name, &collected) in own.names().iter().zip(own.canonical()) {
            let said = mapping.get(name);
            let (targets, known) = match said {
                Some(Target::Nothing) => (Meant::default(), false),
                Some(Target::One(target)) => (Meant::named(target, leading), true),
                Some(Target::Several(targets)) => {
                    let mut meant = Meant::default();
                    for target in targets {
                        let label = fine(target);
                        let canonical = if label.is_some() { None } else { canonical_index(target) };
                        if label.is_none() && canonical.is_none() {
                            return Err(VotesError::UnknownTarget { label: name.clone(), target: target.clone() });
                        }
                        meant.fine.extend(label);
                        meant.canonical.extend(canonical);
                    }
                    (meant, true)
                }
                None => match Meant::named(name, leading) {
                    named if named.is_nothing() => {
                        (Meant { fine: Vec::new(), canonical: vec![collected] }, collected != MISC)
                    }
                    named => (named, true),
                },
            };
            if let (Some(Target::One(target)), true) = (said, targets.is_nothing()) {
                return Err(VotesError::UnknownTarget { label: name.clone(), target: target.clone() });
            }
            in_common |= known;
            meant.push(targets);
        }
        let named: Vec<usize> = meant.iter().flat_map(|meant| meant.fine.iter().copied()).collect();
        let targets: Vec<Vec<usize>> = meant
            .iter()
            .map(|meant| {
                let below = |canonical: usize| {
                    let below = leading.canonical().iter().enumerate().filter(move |(_, to)| **to == canonical);
                    below.map(|(label, _)| label).filter(|label| !named.contains(label))
                };
                let mut targets: Vec<usize> = meant.fine.clone();
                targets.extend(meant.canonical.iter().flat_map(|&canonical| below(canonical)));
                targets.sort_unstable();
                targets.dedup();
                targets
            })
            .collect();
        if !in_common || targets.iter().all(Vec::is_empty) {
            return Err(VotesError::NothingInCommon { labels: names() });
        }
        let same = own.len() == leading.len() && targets.iter().enumerate().all(|(label, to)| to[..] == [label]);
        let alone = targets.iter().all(|to| to.len() == 1);
        let complete = alone && (0..leading.len()).all(|label| targets.iter().any(|to| to[..] == [label]));
        Ok(Self { targets, leading: leading.len(), same, complete })
    }

    /// Whether it tells all leading labels apart.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// For each of the member's labels the leading labels it means, ascending.
    pub fn targets(&self) -> &[Vec<usize>] {
        &self.targets
    }

    /// The vote of a member that says `own`, with the reference `reference`.
    fn spread(&self, own: &[f32], reference: &[f64]) -> Vec<f64> {
        if self.same {
            return own.iter().map(|p| f64::from(*p)).collect();
        }
        let mut covered = vec![false; self.leading];
        for &label in self.targets.iter().flatten() {
            if let Some(covered) = covered.get_mut(label) {
                *covered = true;
            }
        }
        let all: Vec<usize> = (0..self.leading).filter(|label| covered[*label]).collect();
        let of = |label: usize| reference.get(label).copied().unwrap_or_default();
        let mut inside = vec![0f64; self.leading];
        for (p, targets) in own.iter().zip(&self.targets) {
            let targets = if targets.is_empty() { &all } else { targets };
            let sum: f64 = targets.iter().map(|&label| of(label)).sum();
            for &label in targets {
                let share = if sum > 0.0 { of(label) / sum } else { 1.0 / targets.len() as f64 };
                if let Some(vote) = inside.get_mut(label) {
                    *vote += f64::from(*p) * share;
                }
            }
        }
        let known: f64 = all.iter().map(|&label| of(label)).sum();
        let votes = inside.iter().zip(&covered).enumerate();
        votes.map(|(label, (inside, covered))| if *covered { known * inside } else { of(label) }).collect()
    }
}

/// What one label is meant to be.
#[derive(Default)]
struct Meant {
    fine: Vec<usize>,
    canonical: Vec<usize>,
}

impl Meant {
    /// A canonical label with what is below it, or else a fine label, by name. A canonical label that the leading model
    /// collects nothing under is none.
    fn named(name: &str, leading: &Labels) -> Self {
        let canonical = canonical_index(name).filter(|index| leading.canonical().contains(index));
        let fine = leading.names().iter().position(|known| known.eq_ignore_ascii_case(name));
        match (canonical, fine) {
            // The fine label of that name belongs to whoever names it, and everything else below it, too.
            (Some(canonical), _) => Self { fine: Vec::new(), canonical: vec![canonical] },
            (None, fine) => Self { fine: fine.into_iter().collect(), canonical: Vec::new() },
        }
    }

    fn is_nothing(&self) -> bool {
        self.fine.is_empty() && self.canonical.is_empty()
    }
}

/// One member's word on a sound.
#[derive(Debug, Clone, Copy)]
pub struct Vote<'a> {
    /// Its weight; positive.
    pub weight: f32,
    /// What its labels mean.
    pub votes: &'a Votes,
    /// Its calibrated probabilities, in the order of its own labels.
    pub probabilities: &'a [f32],
}

/// The probabilities of the leading labels that come of the members' words, as the module says: they sum to 1. Empty
/// where nobody has said anything.
pub fn fuse(words: &[Vote<'_>], mean: Mean) -> Vec<f32> {
    let leading = match words {
        [] => return Vec::new(),
        // Nothing is lost on the way: a model alone says what it says.
        [alone] if alone.votes.same => return alone.probabilities.to_vec(),
        [first, ..] => first.votes.leading,
    };
    let even = vec![1.0 / leading.max(1) as f64; leading];
    let spread = |words: &mut dyn Iterator<Item = &Vote<'_>>, reference: &[f64]| {
        let votes: Vec<(f64, Vec<f64>)> =
            words.map(|word| (f64::from(word.weight), word.votes.spread(word.probabilities, reference))).collect();
        combined(&votes, mean, leading)
    };
    let reference = spread(&mut words.iter().filter(|word| word.votes.complete), &even).unwrap_or(even.clone());
    let fused = spread(&mut words.iter(), &reference).unwrap_or(even);
    fused.into_iter().map(|p| p as f32).collect()
}

/// The mean of votes, summing to 1; none of no votes, or of votes that sum to nothing.
fn combined(votes: &[(f64, Vec<f64>)], mean: Mean, labels: usize) -> Option<Vec<f64>> {
    let weights: f64 = votes.iter().map(|(weight, _)| weight).sum();
    if votes.is_empty() || weights.is_nan() || weights <= 0.0 {
        return None;
    }
    let mut sums = vec![0f64; labels];
    for (weight, vote) in votes {
        for (sum, p) in sums.iter_mut().zip(vote) {
            *sum += weight / weights
                * match mean {
                    Mean::Arithmetic => *p,
                    Mean::Geometric => p.max(LEAST).ln(),
                };
        }
    }
    if mean == Mean::Geometric {
        sums.iter_mut().for_each(|sum| *sum = sum.exp());
    }
    let total: f64 = sums.iter().sum();
    (total > 0.0 && total.is_finite()).then(|| sums.iter().map(|sum| sum / total).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(names: &[&str], canonical: &[(&str, &str)]) -> Labels {
        let mapping: BTreeMap<_, _> = canonical.iter().copied().collect();
        Labels::parse(&serde_json::json!(names).to_string(), &serde_json::json!(mapping).to_string()).unwrap()
    }

    /// Six fine labels: two of Crash, Kick, two of Snare, and Clap, which goes to misc.
    fn leading() -> Labels {
        let canonical =
            [("Crash", "Crash"), ("China", "Crash"), ("Kick", "Kick"), ("Snare", "Snare"), ("Rim", "Snare")];
        labels(&["Crash", "China", "Kick", "Snare", "Rim", "Clap"], &canonical)
    }

    fn votes(own: &Labels, mapping: &[(&str, Target)]) -> Result<Votes, VotesError> {
        let mapping = mapping.iter().map(|(label, target)| ((*label).to_owned(), target.clone())).collect();
        Votes::new(own, &leading(), &mapping)
    }

    fn one(name: &str) -> Target {
        Target::One(name.to_owned())
    }

    fn near(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
    }

    #[test]
    fn a_label_means_what_it_is_called_and_a_canonical_one_what_no_other_label_names() {
        let coarse = votes(&labels(&["Kick", "snare", "Crash", "misc"], &[]), &[]).unwrap();
        assert_eq!(coarse.targets(), [vec![2], vec![3, 4], vec![0, 1], vec![5]]);
        assert!(!coarse.is_complete());
        // One that has Rim itself means the drum by Snare.
        let finer = votes(&labels(&["Snare", "Rim"], &[]), &[]).unwrap();
        assert_eq!(finer.targets(), [vec![3], vec![4]]);
        // All of them, in another order.
        let all = votes(&labels(&["Clap", "Rim", "Snare", "Kick", "China", "Crash"], &[]), &[]).unwrap();
        assert!(all.is_complete());
        assert_eq!(all.targets(), [[5], [4], [3], [2], [1], [0]]);
        // Its own mapping says what a name of its own is collected under.
        let own = labels(&["Kick", "Sidestick", "Whistle"], &[("Sidestick", "Snare")]);
        assert_eq!(votes(&own, &[]).unwrap().targets(), [vec![2], vec![3, 4], vec![5]]);
    }

    #[test]
    fn a_mapping_says_what_names_do_not() {
        let own = labels(&["BD", "SD", "CY", "?"], &[]);
        let said = [
            ("BD", one("kick")),
            ("SD", Target::Several(vec!["Snare".to_owned(), "Clap".to_owned()])),
            ("CY", one("Crash")),
            ("?", Target::Nothing),
        ];
        let votes = votes(&own, &said).unwrap();
        assert_eq!(votes.targets(), [vec![2], vec![3, 5], vec![0, 1], vec![]]);
    }

    #[test]
    fn a_mapping_that_can_not_be_meant_is_refused() {
        let own = labels(&["BD", "Kick"], &[]);
        let refused = |said: &[(&str, Target)]| votes(&own, said).unwrap_err().to_string();
        assert!(refused(&[("SD", one("Snare"))]).contains("`SD`, which is none of its labels (BD, Kick)"));
        assert!(refused(&[("BD", one("Bass drum"))]).contains("`BD` to `Bass drum`"));
        assert!(refused(&[("BD", Target::Several(vec!["Rim".into(), "x".into()]))]).contains("`x`"));
        // The leading model collects nothing under Tom.
        assert!(refused(&[("BD", one("Tom"))]).contains("`Tom`"));
        let strange = votes(&labels(&["cat", "dog"], &[]), &[]).unwrap_err();
        assert!(strange.to_string().contains("none of its labels (cat, dog)"), "{strange}");
        let nothing = votes(&own, &[("BD", Target::Nothing), ("Kick", Target::Nothing)]).unwrap_err();
        assert!(matches!(nothing, VotesError::NothingInCommon { .. }));
    }

    #[test]
    fn a_coarse_model_divides_what_the_fine_one_leaves_for_its_labels() {
        let fine = Votes::same(6);
        let kit = votes(&labels(&["Crash", "Kick", "Snare"], &[]), &[]).unwrap();
        let fine_word = [0.3, 0.1, 0.2, 0.1, 0.1, 0.2];
        let kit_word = [0.5, 0.25, 0.25];
        let words = |weight| {
            [
                Vote { weight: 1.0, votes: &fine, probabilities: &fine_word },
                Vote { weight, votes: &kit, probabilities: &kit_word },
            ]
        };
        // It knows nothing of Clap, which keeps its 0.2; 0.8 is divided 2 to 1 to 1, Crash 3 to 1 and Snare evenly.
        let vote = [0.3, 0.1, 0.2, 0.1, 0.1, 0.2];
        near(&fuse(&words(1.0), Mean::Arithmetic), &vote);
        let kit_word = [0.0, 1.0, 0.0];
        let words = [
            Vote { weight: 3.0, votes: &fine, probabilities: &fine_word },
            Vote { weight: 1.0, votes: &kit, probabilities: &kit_word },
        ];
        near(&fuse(&words, Mean::Arithmetic), &[0.225, 0.075, 0.35, 0.075, 0.075, 0.2]);
        let votes = [[0.3f64, 0.1, 0.2, 0.1, 0.1, 0.2], [1e-9, 1e-9, 0.8, 1e-9, 1e-9, 0.2]];
        let product: Vec<f64> = (0..6).map(|f| votes[0][f].powf(0.75) * votes[1][f].powf(0.25)).collect();
        let sum: f64 = product.iter().sum();
        let expected: Vec<f32> = product.iter().map(|p| (p / sum) as f32).collect();
        near(&fuse(&words, Mean::Geometric), &expected);
    }

    #[test]
    fn without_the_fine_models_word_a_coarse_one_is_spread_evenly() {
        let kit = votes(&labels(&["Crash", "Kick", "misc"], &[]), &[]).unwrap();
        let word = [Vote { weight: 0.5, votes: &kit, probabilities: &[0.5, 0.3, 0.2] }];
        // Snare and Rim are unknown to it: a third of all labels, of which it has nothing to say.
        let known = 4.0 / 6.0;
        near(
            &fuse(&word, Mean::Arithmetic),
            &[known * 0.25, known * 0.25, known * 0.3, 1.0 / 6.0, 1.0 / 6.0, known * 0.2],
        );
        assert!(fuse(&[], Mean::Geometric).is_empty());
    }

    /// Probabilities, some of them 0.
    fn distribution(labels: usize) -> impl Strategy<Value = Vec<f32>> {
        let value = prop_oneof![1 => Just(0f32), 1 => Just(1e-30f32), 4 => 0f32..1.0];
        proptest::collection::vec(value, labels).prop_map(move |values| {
            let sum: f32 = values.iter().sum();
            if sum < 1e-6 {
                vec![1.0 / labels as f32; labels]
            } else {
                values.iter().map(|value| value / sum).collect()
            }
        })
    }

    /// A member: what its labels mean, a weight and a word.
    fn member() -> impl Strategy<Value = (Votes, f32, Vec<f32>)> {
        let kinds = vec![
            Votes::same(6),
            votes(&labels(&["Clap", "Rim", "Snare", "Kick", "China", "Crash"], &[]), &[]).unwrap(),
            votes(&labels(&["Crash", "Kick", "Snare"], &[]), &[]).unwrap(),
            votes(&labels(&["Kick", "Snare", "misc", "x"], &[]), &[("x", Target::Nothing)]).unwrap(),
            votes(&labels(&["a", "b"], &[]), &[("a", Target::Several(vec!["Kick".into(), "Rim".into()]))]).unwrap(),
        ];
        (proptest::sample::select(kinds), 1e-3f32..1e3).prop_flat_map(|(votes, weight)| {
            let words = distribution(votes.targets().len());
            (Just(votes), Just(weight), words)
        })
    }

    fn fused(members: &[(Votes, f32, Vec<f32>)], mean: Mean) -> Vec<f32> {
        let words: Vec<Vote<'_>> = members
            .iter()
            .map(|(votes, weight, probabilities)| Vote { weight: *weight, votes, probabilities })
            .collect();
        fuse(&words, mean)
    }

    fn mean() -> impl Strategy<Value = Mean> {
        prop_oneof![Just(Mean::Arithmetic), Just(Mean::Geometric)]
    }

    proptest! {
        #[test]
        fn what_comes_out_are_probabilities(members in proptest::collection::vec(member(), 1..5), mean in mean()) {
            let probabilities = fused(&members, mean);
            prop_assert_eq!(probabilities.len(), 6);
            prop_assert!(probabilities.iter().all(|p| (0.0..=1.0 + 1e-5).contains(p)), "{:?}", probabilities);
            prop_assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{:?}", probabilities);
        }

        #[test]
        fn the_order_of_members_does_not_matter(
            (members, shuffled) in proptest::collection::vec(member(), 1..5)
                .prop_flat_map(|members| (Just(members.clone()), Just(members).prop_shuffle())),
            mean in mean(),
        ) {
            for (a, b) in fused(&members, mean).iter().zip(fused(&shuffled, mean)) {
                prop_assert!((a - b).abs() < 1e-5, "{} and {}", a, b);
            }
        }

        #[test]
        fn a_model_alone_says_what_it_says(word in distribution(6), weight in 1e-3f32..1e3, mean in mean()) {
            prop_assert_eq!(&fused(&[(Votes::same(6), weight, word.clone())], mean), &word);
        }

        #[test]
        fn a_model_that_is_heard_twice_changes_nothing(word in distribution(6), mean in mean()) {
            let member = (Votes::same(6), 1.0, word.clone());
            for (a, b) in fused(&[member.clone(), member], mean).iter().zip(&word) {
                prop_assert!((a - b).abs() < 1e-5, "{} and {}", a, b);
            }
        }
    }
}
