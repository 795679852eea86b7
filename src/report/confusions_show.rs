//! Confusions for a terminal and as a page.

use super::bars::cut;
use super::confusions::{Confusions, Example, PackMixUp};
use super::page::{Cell, Page, share};
use super::{Style, digits, printable};

impl Confusions {
    /// The lines that a terminal shows.
    pub fn text(&self, style: Style) -> Vec<String> {
        let mut lines = vec![self.summary()];
        let examples = |lines: &mut Vec<String>, examples: &[Example]| {
            for example in examples {
                lines.push(style.faint(&format!("      {}  {}", labels(example), place(example))));
            }
        };
        lines.extend([String::new(), style.heading("Close: the first two labels are nearly as likely")]);
        if self.close.is_empty() {
            lines.push("  none".to_owned());
        }
        for pair in &self.close {
            let [a, b] = &pair.labels;
            let where_to = if pair.apart { "" } else { ", one folder" };
            lines.push(format!("  {:>7}  {a} or {b}{where_to}", digits(pair.contents)));
            examples(&mut lines, &pair.examples);
        }
        lines.extend([String::new(), style.heading("Corrected: people say something else than the model")]);
        if self.against.is_empty() {
            lines.push("  none".to_owned());
        }
        for pair in &self.against {
            let said = cut(&pair.said, 40);
            lines.push(format!("  {:>7}  {said}, and the model hears {}", digits(pair.contents), pair.heard));
            examples(&mut lines, &pair.examples);
        }
        lines.extend([String::new(), style.heading("Packs: far more often there than elsewhere")]);
        if self.packs.is_empty() {
            lines.push("  none that could not be chance".to_owned());
        }
        for pack in &self.packs {
            lines.push(format!("  {}: {}", cut(&pack_name(pack), 60), sentence(pack)));
            examples(&mut lines, &pack.examples);
        }
        lines
    }

    fn summary(&self) -> String {
        format!(
            "{} contents: {} close ({}); {} corrections, {} against the model",
            digits(self.contents),
            digits(self.close_contents),
            share(self.close_contents, self.contents),
            digits(self.overrides),
            digits(self.overrides_against)
        )
    }

    /// The page. `archive` is what it is of.
    pub fn html(&self, archive: &str) -> String {
        let mut page = Page::new(&format!("What is mixed up in {archive}"), &self.summary());
        page.tiles([
            (digits(self.contents), "contents"),
            (digits(self.close_contents), "close"),
            (digits(self.overrides), "corrections"),
            (digits(self.overrides_against), "against the model"),
        ]);
        let examples = |examples: &[Example]| {
            Cell::Code(examples.iter().map(|example| format!("{}: {}", labels(example), place(example))).collect())
        };
        page.section("Close: the first two labels are nearly as likely", true, |page| {
            let rows: Vec<Vec<Cell>> = self
                .close
                .iter()
                .map(|pair| {
                    vec![
                        Cell::Number(digits(pair.contents)),
                        Cell::Text(format!("{} or {}", pair.labels[0], pair.labels[1])),
                        Cell::Text(if pair.apart { "two" } else { "one" }.to_owned()),
                        examples(&pair.examples),
                    ]
                })
                .collect();
            match rows.is_empty() {
                true => page.nothing("none"),
                false => page.table(&["contents", "labels", "folders", "the closest"], &rows),
            }
        });
        page.section("Corrected: people say something else than the model", true, |page| {
            let rows: Vec<Vec<Cell>> = self
                .against
                .iter()
                .map(|pair| {
                    vec![
                        Cell::Number(digits(pair.contents)),
                        Cell::Text(pair.said.clone()),
                        Cell::Text(pair.heard.clone()),
                        examples(&pair.examples),
                    ]
                })
                .collect();
            match rows.is_empty() {
                true => page.nothing("none"),
                false => page.table(&["contents", "people say", "the model hears", "where it is surest"], &rows),
            }
        });
        page.section("Packs: far more often there than elsewhere", true, |page| {
            let rows: Vec<Vec<Cell>> = self
                .packs
                .iter()
                .map(|pack| {
                    vec![
                        Cell::Number(format!("{} of {}", digits(pack.hits), digits(pack.of))),
                        Cell::Text(pack_name(pack)),
                        Cell::Text(format!("{}: {}", pack.evidence.words(), pair(pack))),
                        Cell::Number(format!("{:.1} %", pack.elsewhere * 100.0)),
                        Cell::Number(chance(pack.false_share)),
                        examples(&pack.examples),
                    ]
                })
                .collect();
            match rows.is_empty() {
                true => page.nothing("none that could not be chance"),
                false => page.table(&["contents", "pack", "what", "elsewhere", "chance", "some of them"], &rows),
            }
            page.words(format_args!(
                "Of {} combinations of pack and labels that were asked about. Sounds count as independent of each other, \
                 which layers of one drum are not: a hint where to listen, no proof.",
                digits(self.tests)
            ));
        });
        page.finish()
    }
}

fn pack_name(pack: &PackMixUp) -> String {
    if pack.pack.is_empty() { "(no folder)".to_owned() } else { pack.pack.clone() }
}

fn pair(pack: &PackMixUp) -> String {
    use super::confusions::Evidence;
    match pack.evidence {
        Evidence::Close => format!("{} nearly {}", pack.is, pack.heard),
        Evidence::Override | Evidence::Name => format!("{} heard as {}", pack.is, pack.heard),
    }
}

fn sentence(pack: &PackMixUp) -> String {
    format!(
        "{} of {} {} ({}; elsewhere {:.1} %; chance {})",
        digits(pack.hits),
        digits(pack.of),
        pair(pack),
        pack.evidence.words(),
        pack.elsewhere * 100.0,
        chance(pack.false_share)
    )
}

fn chance(probability: f64) -> String {
    if probability < 1e-6 { "< 0.000001".to_owned() } else { format!("{probability:.6}") }
}

fn labels(example: &Example) -> String {
    let labels: Vec<String> =
        example.labels.iter().map(|(label, prob)| format!("{label} {:.0} %", prob * 100.0)).collect();
    labels.join(", ")
}

/// The path; in the mount where there is one, so that it can be played as it stands.
fn place(example: &Example) -> String {
    match &example.mounted {
        Some(mounted) => format!("{}  ({})", printable(&example.path), printable(mounted)),
        None => printable(&example.path),
    }
}
