//! Which probability of an index belongs to which label, told from the index itself: each line names its best labels
//! with their probabilities, which are somewhere among all of them.

use super::record::Record;

/// So many lines are looked at; a label that is never among the best of them is hardly worth its name.
pub const LOOKED_AT: usize = 50_000;

/// Labels found in the order of the probabilities, as far as they are known.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Order {
    /// For each place the label, and how often it was found there less how often another was.
    places: Vec<Option<(String, u32)>>,
}

impl Order {
    /// Looks at a record.
    pub fn look(&mut self, record: &Record) {
        let probs = &record.sample.probs;
        if probs.is_empty() {
            return;
        }
        if self.places.len() < probs.len() {
            self.places.resize(probs.len(), None);
        }
        for (label, probability) in &record.topk {
            let mut same = probs.iter().enumerate().filter(|(_, known)| *known == probability).map(|(place, _)| place);
            // A number that is there twice tells nothing.
            let (Some(place), None) = (same.next(), same.next()) else { continue };
            let Some(slot) = self.places.get_mut(place) else { continue };
            match slot {
                Some((known, count)) if known == label => *count = count.saturating_add(1),
                Some((_, count)) if *count > 0 => *count -= 1,
                _ => *slot = Some((label.clone(), 1)),
            }
        }
    }

    /// Whether every label is known.
    pub fn is_complete(&self) -> bool {
        !self.places.is_empty() && self.places.iter().all(Option::is_some)
    }

    /// The labels: those of `expected` where they are as many and none was found elsewhere; else what was found, with
    /// `class_<n>` for what was not. None where no probabilities were seen.
    pub fn labels(&self, expected: &[String]) -> Option<Vec<String>> {
        if self.places.is_empty() {
            return None;
        }
        let found = || self.places.iter().map(|place| place.as_ref().map(|(label, _)| &label[..]));
        let agrees = |(found, expected): (Option<&str>, &String)| found.is_none_or(|found| found == expected);
        if expected.len() == self.places.len() && found().zip(expected).all(agrees) {
            return Some(expected.to_vec());
        }
        let name = |(place, found): (usize, Option<&str>)| found.map_or(format!("class_{place}"), str::to_owned);
        Some(found().enumerate().map(name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(topk: &str, probs: &str) -> Record {
        Record::parse(format!(r#"{{"relative_path": "a", "topk": {topk}, "probs": {probs}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn the_order_is_told_from_the_best_of_each_line() {
        let mut order = Order::default();
        order.look(&record(r#"[["Tom", 0.5], ["Kick", 0.25]]"#, "[0.25, 0.125, 0.125, 0.5]"));
        // Twice the same number: not told which is meant.
        order.look(&record(r#"[["Ride", 0.125]]"#, "[0.75, 0.125, 0.125, 0.0]"));
        let expected = ["Kick", "Ride", "Snare", "Tom"].map(str::to_owned);
        assert_eq!(order.labels(&expected).unwrap(), expected);
        let others = ["Tom", "Ride", "Snare", "Kick"].map(str::to_owned);
        assert_eq!(order.labels(&others).unwrap(), ["Kick", "class_1", "class_2", "Tom"]);
        assert!(!order.is_complete());
        order.look(&record(r#"[["Ride", 0.5], ["Snare", 0.25]]"#, "[0.2, 0.5, 0.25, 0.05]"));
        assert!(order.is_complete());
        assert_eq!(Order::default().labels(&expected), None);
    }
}
