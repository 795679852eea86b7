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

    pub(super) fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The labels, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|label| self.contains(*label))
    }
}
