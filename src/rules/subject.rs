//! What routing looks at, and what is kept of it from one view to the next.

use std::sync::atomic::{AtomicU64, Ordering};

use super::label_set::LabelSet;
use crate::audio::Attributes;
use crate::index::Status;

/// What routing may look at; borrowed from the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Relative path in the archive, `/`-separated. Raw bytes: paths need not be UTF-8.
    pub path: &'a [u8],
    /// Size in bytes.
    pub size: u64,
    /// How listening ended.
    pub status: Status,
    /// What was measured, where the content could be decoded.
    pub attributes: Option<&'a Attributes>,
    /// Calibrated probabilities of the fine labels, in label order; empty where nothing was classified.
    pub probs: &'a [f32],
    /// A person's word: a label or a folder of the view.
    pub override_label: Option<&'a str>,
    /// Whether the gate found the sound to be none of the classes.
    pub gate_refused: bool,
    /// The gate's calibrated probability that it is one of them; none where there is no gate. Nothing is decided by it.
    pub gate_probability: Option<f32>,
    /// Where what the name says is kept from one view to the next; none where it is read each time.
    pub read_name: Option<&'a ReadName>,
}

/// What a name says, once it was read: a bit for each label, and one that says so. Reading a name takes a microsecond,
/// as long as everything else that is asked of a sample (`cargo bench --bench route`).
#[derive(Debug, Default)]
pub struct ReadName(AtomicU64);

impl ReadName {
    const READ: u64 = 1 << 63;

    pub(super) fn get_or_read(&self, read: impl FnOnce() -> LabelSet) -> LabelSet {
        let kept = self.0.load(Ordering::Relaxed);
        if kept & Self::READ != 0 {
            return LabelSet::from_first(kept & !Self::READ);
        }
        let labels = read();
        // More labels than there are bits: read each time.
        if let Some(first) = labels.first().filter(|first| first & Self::READ == 0) {
            self.0.store(first | Self::READ, Ordering::Relaxed);
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_once_unless_its_labels_do_not_fit() {
        let (kept, mut reads) = (ReadName::default(), 0);
        let mut set = LabelSet::default();
        set.insert(33);
        for _ in 0..3 {
            let read = || {
                reads += 1;
                set
            };
            assert_eq!(kept.get_or_read(read), set);
        }
        assert_eq!(reads, 1);
        let (kept, mut reads) = (ReadName::default(), 0);
        set.insert(70);
        for _ in 0..2 {
            let read = || {
                reads += 1;
                set
            };
            assert_eq!(kept.get_or_read(read), set);
        }
        assert_eq!(reads, 2, "more labels than bits");
    }

    #[test]
    fn a_name_that_says_nothing_is_read_once_as_well() {
        let (kept, mut reads) = (ReadName::default(), 0);
        for _ in 0..2 {
            let read = || {
                reads += 1;
                LabelSet::default()
            };
            assert!(kept.get_or_read(read).is_empty());
        }
        assert_eq!(reads, 1);
    }
}
