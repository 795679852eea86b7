//! A set of label indices.

/// A set of label indices: one bit each, so that a membership test is a shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LabelSet([u64; 4]);

impl LabelSet {
    pub(super) fn insert(&mut self, label: u8) {
        if let Some(word) = self.0.get_mut(usize::from(label >> 6)) {
            *word |= 1 << (label & 63);
        }
    }

    pub(super) fn contains(&self, label: u8) -> bool {
        self.0.get(usize::from(label >> 6)).is_some_and(|word| word >> (label & 63) & 1 == 1)
    }

    /// The set of labels below 64 whose bits are given.
    pub(super) fn from_first(bits: u64) -> Self {
        Self([bits, 0, 0, 0])
    }

    /// The bits of the labels below 64, where it has no others.
    pub(super) fn first(&self) -> Option<u64> {
        (self.0[1..] == [0; 3]).then_some(self.0[0])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// The labels, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u8> + use<> {
        self.0.into_iter().zip([0u8, 64, 128, 192]).flat_map(|(mut word, first)| {
            std::iter::from_fn(move || {
                // Below 64 where any bit is set.
                let bit = word.trailing_zeros() as u8;
                (word != 0).then(|| {
                    word &= word - 1;
                    first + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = LabelSet::default();
        let labels = [0, 1, 63, 64, 100, 191, 192, 255];
        labels.iter().for_each(|label| set.insert(*label));
        assert_eq!(set.iter().collect::<Vec<_>>(), labels);
        assert!(labels.iter().all(|label| set.contains(*label)) && !set.contains(2) && !set.is_empty());
    }
}
