//! Statistics for a terminal.

use std::collections::BTreeMap;

use super::stats::{CONFIDENCE_BINS, Spread, Stats};
use super::{Style, bytes, digits, time};
use crate::report::bars::cut;

impl Stats {
    /// The lines that a terminal shows.
    pub fn text(&self, style: Style) -> Vec<String> {
        let numbers = &self.numbers;
        let mut lines = vec![
            format!(
                "{} samples in {} packs, {}, {}",
                digits(numbers.samples),
                digits(self.packs),
                bytes(numbers.bytes),
                time(numbers.seconds)
            ),
            format!(
                "{} classified, {} could not be, {} hidden by rules, {} missing",
                digits(self.classified),
                digits(numbers.failed),
                digits(numbers.hidden),
                digits(numbers.missing)
            ),
            match self.duplicated.samples {
                0 => "no content stands under two paths".to_owned(),
                samples => format!(
                    "{} contents stand under {} paths: {} twice over, {}",
                    digits(self.duplicated.contents),
                    digits(samples),
                    digits(numbers.duplicates),
                    bytes(self.duplicated.bytes)
                ),
            },
        ];
        let total = numbers.samples;
        let bars = |title: &str, counts: &BTreeMap<String, u64>, total: u64, lines: &mut Vec<String>| {
            if counts.values().any(|count| *count > 0) {
                lines.extend([String::new(), style.heading(title)]);
                lines.extend(style.bars(most_first(counts), total));
            }
        };
        bars("Folders", &numbers.folders, total, &mut lines);
        bars("Labels, as the model hears them", &self.canonical_labels, self.classified, &mut lines);
        bars("Fine labels", &numbers.fine_labels, self.classified, &mut lines);
        if let Some(confidence) = &self.confidence {
            lines.extend([String::new(), style.heading("How sure the model is")]);
            lines.push(format!("  {}", figures(confidence, |value| format!("{value:.3}"))));
            let names: Vec<String> = (0..CONFIDENCE_BINS).map(confidence_bin).collect();
            let rows = names.iter().map(String::as_str).zip(self.confidence_histogram);
            lines.extend(style.bars(rows, self.classified));
        }
        if let Some(duration) = &self.duration {
            lines.extend([String::new(), style.heading("Length")]);
            lines.push(format!("  {}", figures(duration, time)));
            let names = self.duration_names();
            let rows = names.iter().map(String::as_str).zip(self.duration_histogram.iter().map(|bin| bin.count));
            lines.extend(style.bars(rows, duration.count));
        }
        let reasons = numbers.reasons.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
        bars("Why they are where they are", &reasons, total, &mut lines);
        if !self.errors.is_empty() {
            lines.extend([String::new(), style.heading("What could not be heard")]);
            for error in &self.errors {
                lines.push(format!(
                    "  {:>7}  {}: {}",
                    digits(error.count),
                    error.status,
                    cut(&error.reason, style.width.saturating_sub(26).max(20))
                ));
                lines.push(
                    style.faint(&format!("           {}", cut(&error.example, style.width.saturating_sub(11).max(20)))),
                );
            }
        }
        lines
    }

    /// What the bins of the lengths are called.
    pub(super) fn duration_names(&self) -> Vec<String> {
        let mut last = 0.0;
        let name = |bin: &super::stats::DurationBin| match bin.below {
            Some(end) => {
                last = end;
                format!("< {end} s")
            }
            None => format!("≥ {last} s"),
        };
        self.duration_histogram.iter().map(name).collect()
    }
}

/// Names with their counts, the most frequent first.
pub(super) fn most_first(counts: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let mut rows: Vec<(&str, u64)> =
        counts.iter().map(|(name, count)| (&name[..], *count)).filter(|(_, count)| *count > 0).collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    rows
}

/// Mean, median, least and greatest.
pub(super) fn figures(spread: &Spread, show: impl Fn(f64) -> String) -> String {
    format!(
        "mean {}, median {}, min {}, max {}",
        show(spread.mean),
        show(spread.median),
        show(spread.min),
        show(spread.max)
    )
}

fn confidence_bin(bin: usize) -> String {
    let at = |bin: usize| bin as f64 / CONFIDENCE_BINS as f64;
    format!("{:.2} to {:.2}", at(bin), at(bin + 1))
}
