//! Groups of sounds that are like their first one, out of pairs that may be alike.

use std::collections::BTreeMap;

/// Sounds that hang together by pairs, by their places: each with those behind it that it may be like.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Cluster(BTreeMap<u32, Vec<u32>>);

impl Cluster {
    /// How many sounds are in pairs.
    pub fn len(&self) -> usize {
        let mut all: Vec<u32> = self.0.iter().flat_map(|(first, later)| later.iter().chain([first]).copied()).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }

    /// How many pairs.
    pub fn pairs(&self) -> u64 {
        self.0.values().map(|later| later.len() as u64).sum()
    }
}

/// Sorts pairs, the smaller place first, into what hangs together; clusters by their first places.
pub(super) fn clusters(count: usize, pairs: &[(u32, u32)]) -> Vec<Cluster> {
    let mut parents: Vec<u32> = (0..count as u32).collect();
    fn root(parents: &mut [u32], mut of: u32) -> u32 {
        while let Some(&parent) = parents.get(of as usize) {
            if parent == of {
                break;
            }
            let above = parents.get(parent as usize).copied().unwrap_or(parent);
            if let Some(slot) = parents.get_mut(of as usize) {
                *slot = above;
            }
            of = above;
        }
        of
    }
    for (a, b) in pairs {
        let (a, b) = (root(&mut parents, *a), root(&mut parents, *b));
        if let Some(slot) = parents.get_mut(a.max(b) as usize) {
            *slot = a.min(b);
        }
    }
    let mut sets: BTreeMap<u32, Cluster> = BTreeMap::new();
    for (a, b) in pairs {
        sets.entry(root(&mut parents, *a)).or_default().0.entry(*a).or_default().push(*b);
    }
    sets.into_values().collect()
}

/// The first place of a group, and the others with how like it they are.
pub(super) type Group = (u32, Vec<(u32, f32)>);

/// The groups of a cluster. In order of places each sound joins that of the firsts before it which it is most like, or
/// else is a first itself: so all of a group are like its first, and not only like each other in a chain.
///
/// `compare` says how alike a first is to all that are behind it; of what has joined nothing is asked.
pub(super) fn groups(cluster: &Cluster, least: f32, mut compare: impl FnMut(u32, &[u32]) -> Vec<f32>) -> Vec<Group> {
    let mut joined: BTreeMap<u32, (f32, u32)> = BTreeMap::new();
    for (first, later) in &cluster.0 {
        // Those before it are settled: what did not join any of them is a first.
        if joined.contains_key(first) {
            continue;
        }
        for (other, likeness) in later.iter().zip(compare(*first, later)) {
            if likeness >= least && joined.get(other).is_none_or(|(most, _)| likeness > *most) {
                joined.insert(*other, (likeness, *first));
            }
        }
    }
    let mut groups: BTreeMap<u32, Vec<(u32, f32)>> = BTreeMap::new();
    for (place, (likeness, first)) in joined {
        groups.entry(first).or_default().push((place, likeness));
    }
    groups.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_share_a_sound_hang_together() {
        let found = clusters(9, &[(0, 3), (1, 2), (3, 5), (6, 7), (5, 8)]);
        let of = |pairs: &[(u32, Vec<u32>)]| Cluster(pairs.iter().cloned().collect());
        let expected = [of(&[(0, vec![3]), (3, vec![5]), (5, vec![8])]), of(&[(1, vec![2])]), of(&[(6, vec![7])])];
        assert_eq!(found, expected);
        assert_eq!(
            found.iter().map(|cluster| (cluster.len(), cluster.pairs())).collect::<Vec<_>>(),
            [(4, 3), (2, 1), (2, 1)]
        );
        assert!(clusters(0, &[]).is_empty());
    }

    #[test]
    fn a_sound_joins_the_first_it_is_most_like_and_no_chain() {
        // 0 and 1 are alike, 1 and 2, but not 0 and 2: 2 is a first, and 3, which is like both 0 and 2, joins the liker.
        let cluster = clusters(5, &[(0, 1), (0, 2), (0, 3), (1, 2), (2, 3), (2, 4)]).remove(0);
        let mut asked = Vec::new();
        let found = groups(&cluster, 0.9, |first, later| {
            asked.extend(later.iter().map(|other| (first, *other)));
            later
                .iter()
                .map(|other| match (first, other) {
                    (0, 1) => 0.95,
                    (0, 3) => 0.91,
                    (2, 3) => 0.99,
                    (2, 4) => 0.9,
                    _ => 0.2,
                })
                .collect()
        });
        assert_eq!(found, [(0, vec![(1, 0.95)]), (2, vec![(3, 0.99), (4, 0.9)])]);
        assert_eq!(asked, [(0, 1), (0, 2), (0, 3), (2, 3), (2, 4)], "1 has joined: it is asked for nothing");
    }
}
