//! What a person's word on a sample means for a model: which fine labels.

use super::route::Router;

impl Router {
    /// The fine labels, by their place in label order, that `word` may mean under these rules: those collected where a
    /// sample with that word goes, and the label itself. `Kick` means Kick; `misc` means everything collected there;
    /// `Kick/808` means what `Kick` does. With `target_labels: all` `Snare` means Snare alone, by default Rim as well,
    /// because both stand in that folder. None where it is a folder that says nothing of the sound, such as `Loops`.
    pub fn fine_labels_meant(&self, word: &str) -> Option<Vec<usize>> {
        let mut word = word.trim_matches('/');
        loop {
            let label = self.label_ids.get(word).or_else(|| self.label_ids.get(&word.to_ascii_lowercase())).copied();
            let misc = self.folders.get(usize::from(self.misc_folder)).is_some_and(|misc| misc == word);
            let misc = misc && label.is_none_or(|label| self.folder_of_label(label).is_none());
            let meant: Vec<usize> = (0..self.fine)
                .filter(|&fine| {
                    let collected = self.collected_under.get(fine).copied();
                    // A folder for what has no other holds all of that.
                    label.is_some_and(|label| usize::from(label) == fine || collected == Some(label))
                        || misc && collected.is_none_or(|collected| self.folder_of_label(collected).is_none())
                })
                .collect();
            if !meant.is_empty() {
                return Some(meant);
            }
            word = word.rsplit_once('/')?.0;
        }
    }

    /// The collected label that a person's word means, as [`Router::fine_labels_meant`] reads it; none where that is
    /// collected in several places.
    pub fn label_of_word(&self, word: &str) -> Option<u8> {
        let mut collected =
            self.fine_labels_meant(word)?.into_iter().map(|fine| self.collected_under.get(fine).copied());
        let label = collected.next()??;
        collected.all(|other| other == Some(label)).then_some(label)
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::{Router, Rules, Vocabulary};

    fn meant(rules: &str, word: &str) -> Option<Vec<String>> {
        let drums = Vocabulary::drums();
        let router = Router::new(&Rules::parse(rules, &drums).unwrap(), &drums);
        Some(router.fine_labels_meant(word)?.into_iter().map(|fine| drums.fine()[fine].clone()).collect())
    }

    fn names(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|name| name.to_string()).collect())
    }

    #[test]
    fn a_word_means_what_its_folder_holds() {
        assert_eq!(meant("", "Kick"), names(&["Kick"]));
        assert_eq!(meant("", "Snare"), names(&["Snare", "Rim"]));
        assert_eq!(meant("", "Rim"), names(&["Rim"]));
        assert_eq!(meant("", "Clap"), names(&["Clap"]));
        let misc = meant("", "misc").unwrap();
        assert!(misc.len() == 21 && misc.contains(&"Vox".into()) && !misc.contains(&"Rim".into()));
        assert_eq!(meant("misc: {label: Rest}", "Rest").unwrap(), misc);
        assert_eq!(meant("target_labels: all", "Snare"), names(&["Snare"]));
        assert_eq!(meant("canonical: {Clap: Snare}", "Snare"), names(&["Snare", "Rim", "Clap"]));
        // Without a folder of its own a tom goes to misc.
        assert!(meant("target_labels: [Kick]", "misc").unwrap().contains(&"Tom".to_owned()));
    }

    #[test]
    fn a_folder_of_a_route_means_the_label_above_it_or_nothing() {
        let routes = "routes:\n  - {label: Kick, to: Kick/808}\n  - {label: Tom, to: Loops}\n";
        assert_eq!(meant(routes, "Kick/808"), names(&["Kick"]));
        assert_eq!(meant(routes, "Loops"), None);
        assert_eq!(meant(routes, "Gone/With/The/Rules"), None);
    }
}
