//! Statistics as a page.

use std::collections::BTreeMap;

use super::page::{Bar, Cell, Page};
use super::stats::Stats;
use super::stats_text::{figures, most_first};
use super::{bytes, digits, time};

impl Stats {
    /// The page. `archive` is what it is of, `about` the line below that.
    pub fn html(&self, archive: &str, about: &str) -> String {
        let numbers = &self.numbers;
        let mut page = Page::new(archive, about);
        let mean = self.confidence.map_or_else(|| "–".to_owned(), |spread| format!("{:.2}", spread.mean));
        page.tiles([
            (digits(numbers.samples), "samples"),
            (digits(self.packs), "packs"),
            (time(numbers.seconds), "of sound"),
            (bytes(numbers.bytes), "on the disk"),
            (digits(self.classified), "classified"),
            (mean, "mean confidence"),
            (digits(numbers.failed), "could not be heard"),
            (digits(numbers.duplicates), "copies of another"),
        ]);
        let counted = |page: &mut Page, counts: &BTreeMap<String, u64>, total: u64, none: &str| {
            let bars: Vec<Bar> =
                most_first(counts).into_iter().map(|(name, count)| Bar { name: name.to_owned(), count }).collect();
            if bars.is_empty() { page.nothing(none) } else { page.bars(&bars, total) }
        };
        page.section("Folders", false, |page| {
            counted(page, &numbers.folders, numbers.samples, "nothing is in a folder yet")
        });
        page.section("How sure the model is", false, |page| match &self.confidence {
            None => page.nothing("nothing is classified yet"),
            Some(confidence) => {
                let axis = ["0", "0.25", "0.5", "0.75", "1"].map(str::to_owned);
                page.histogram(&self.confidence_histogram, &axis);
                page.words(format_args!("label: {}", figures(confidence, |value| format!("{value:.3}"))));
                if let Some(fine) = &self.fine_confidence {
                    page.words(format_args!("fine label: {}", figures(fine, |value| format!("{value:.3}"))));
                }
            }
        });
        page.section("Fine labels", false, |page| {
            counted(page, &numbers.fine_labels, self.classified, "nothing is classified yet");
        });
        page.section("Labels, as the model hears them", false, |page| {
            counted(page, &self.canonical_labels, self.classified, "nothing is classified yet");
            page.words("Fine labels added up, before any threshold, correction or route.");
        });
        page.section("Length", false, |page| match &self.duration {
            None => page.nothing("nothing could be decoded yet"),
            Some(duration) => {
                let counts: Vec<u64> = self.duration_histogram.iter().map(|bin| bin.count).collect();
                let ends = self
                    .duration_histogram
                    .iter()
                    .map(|bin| bin.below.map_or("more".to_owned(), |end| end.to_string()));
                page.histogram(&counts, &ends.collect::<Vec<_>>());
                page.words(format_args!("shorter than so many seconds; {}", figures(duration, time)));
            }
        });
        page.section("Why they are where they are", false, |page| {
            let reasons = numbers.reasons.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
            counted(page, &reasons, numbers.samples, "nothing is known yet");
        });
        page.section("Formats", false, |page| {
            let codecs = self.codecs.iter().map(|(codec, count)| ((*codec).to_owned(), *count)).collect();
            let decoded = self.duration.map_or(0, |spread| spread.count);
            counted(page, &codecs, decoded, "nothing could be decoded yet");
        });
        page.section("Sample rates", false, |page| {
            let rates =
                self.sample_rates.iter().map(|(rate, count)| (format!("{} Hz", digits((*rate).into())), *count));
            let decoded = self.duration.map_or(0, |spread| spread.count);
            counted(page, &rates.collect(), decoded, "nothing could be decoded yet");
        });
        page.section("Copies", false, |page| match self.duplicated.samples {
            0 => page.nothing("no content stands under two paths"),
            samples => page.words(format_args!(
                "{} contents stand under {} paths; {} could go, {}.",
                digits(self.duplicated.contents),
                digits(samples),
                digits(numbers.duplicates),
                bytes(self.duplicated.bytes)
            )),
        });
        page.section("What could not be heard", true, |page| {
            if self.errors.is_empty() {
                return page.nothing("everything could be heard");
            }
            let rows: Vec<Vec<Cell>> = self
                .errors
                .iter()
                .map(|error| {
                    vec![
                        Cell::Number(digits(error.count)),
                        Cell::Text(error.status.to_owned()),
                        Cell::Text(error.reason.clone()),
                        Cell::Code(vec![error.example.clone()]),
                    ]
                })
                .collect();
            page.table(&["files", "status", "why", "for one"], &rows);
        });
        page.finish()
    }
}
