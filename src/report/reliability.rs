//! A reliability diagram as SVG: how often sounds are what they were taken for, by how sure the model was.
//!
//! Where the two agree the bars end on the diagonal. Bars below it: surer than right; above it: righter than sure.

use std::fmt::Write as _;

use super::escaped;
use crate::classify::figures::{BINS, Bin, calibration_error};

/// Side of a plot, in pixels.
const SIDE: f64 = 300.0;
/// Height of the counts below a plot.
const COUNTS: f64 = 56.0;
/// Room around the plots: for the axis at the left, ...
const LEFT: f64 = 58.0;
/// ... between two plots of a row, ...
const GAP: f64 = 62.0;
/// ... for the heading, ...
const TOP: f64 = 82.0;
/// ... above each plot for its title, and below it for the axis and the counts.
const ABOVE: f64 = 36.0;
const BELOW: f64 = 116.0;

/// One plot.
#[derive(Debug, Clone)]
pub struct Panel {
    /// What it shows, in a few words.
    pub title: String,
    /// The bins.
    pub bins: [Bin; BINS],
}

/// Plots in rows of two.
#[derive(Debug, Clone)]
pub struct Diagram {
    /// The heading.
    pub heading: String,
    /// Two lines below it.
    pub about: [String; 2],
    /// The plots, row by row.
    pub rows: Vec<[Panel; 2]>,
}

/// Colours for light, and over them those for dark, as the viewer prefers; text keeps a contrast of 4.5 to 1 and more.
/// No variables: viewers that are no browser don't know them.
const STYLE: &str = "\
text{font-family:system-ui,sans-serif;fill:#1b1f24}.faint{fill:#59636e}.ground{fill:#fff}.bar{fill:#3b7dd8}\
.count{fill:#59636e;opacity:.55}.line{stroke:#d1d9e0;fill:none}.equal{stroke:#59636e;stroke-dasharray:5 4;fill:none}\
.sure{stroke:#b3450a;stroke-width:3}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.faint{fill:#9198a1}.ground{fill:#0d1117}.bar{fill:#3f7fd9}\
.count{fill:#9198a1}.line{stroke:#3d444d}.equal{stroke:#9198a1}.sure{stroke:#ff9a5c}}";

impl Diagram {
    /// The picture: one SVG document that needs nothing beside it.
    pub fn svg(&self) -> String {
        let row_height = ABOVE + SIDE + BELOW;
        let (width, height) = (LEFT + 2.0 * SIDE + GAP + 20.0, TOP + row_height * self.rows.len() as f64 + 6.0);
        let mut svg = String::new();
        // Writing to a string can't fail.
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\">\n<title>{heading}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n\
             <text x=\"{LEFT}\" y=\"28\" font-size=\"18\" font-weight=\"600\">{heading}</text>\n\
             <text class=\"faint\" x=\"{LEFT}\" y=\"48\" font-size=\"12\">{}</text>\n\
             <text class=\"faint\" x=\"{LEFT}\" y=\"65\" font-size=\"12\">{}</text>\n",
            escaped(&self.about[0]),
            escaped(&self.about[1]),
            heading = escaped(&self.heading),
        );
        for (number, row) in self.rows.iter().enumerate() {
            for (column, panel) in row.iter().enumerate() {
                let left = LEFT + (SIDE + GAP) * column as f64;
                let top = TOP + row_height * number as f64 + ABOVE;
                panel.draw(&mut svg, left, top);
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Panel {
    fn draw(&self, svg: &mut String, left: f64, top: f64) {
        let bottom = top + SIDE;
        let middle = left + SIDE / 2.0;
        let _ = writeln!(
            svg,
            "<g><text x=\"{left}\" y=\"{}\" font-size=\"14\" font-weight=\"600\">{}</text>\
             <text class=\"faint\" x=\"{}\" y=\"{0}\" font-size=\"12\" text-anchor=\"end\">calibration error {:.3}</text>",
            top - 10.0,
            escaped(&self.title),
            left + SIDE,
            calibration_error(&self.bins),
        );
        for fifth in 0..=5 {
            let share = f64::from(fifth) / 5.0;
            let (x, y) = (left + share * SIDE, bottom - share * SIDE);
            let _ = writeln!(
                svg,
                "<path class=\"line\" d=\"M{left} {y}h{SIDE}\"/>\
                 <text class=\"faint\" x=\"{}\" y=\"{}\" font-size=\"11\" text-anchor=\"end\">{share:.1}</text>\
                 <text class=\"faint\" x=\"{x}\" y=\"{}\" font-size=\"11\" text-anchor=\"middle\">{share:.1}</text>",
                left - 6.0,
                y + 4.0,
                bottom + 15.0,
            );
        }
        let width = SIDE / BINS as f64;
        let most = self.bins.iter().map(|bin| bin.count).max().unwrap_or(0).max(1) as f64;
        let floor = bottom + 40.0 + COUNTS;
        for (number, bin) in self.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0) {
            let x = left + number as f64 * width;
            let count = bin.count as f64 / most * (COUNTS - 10.0);
            let _ = writeln!(
                svg,
                "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
                 <path class=\"sure\" d=\"M{:.1} {:.1}h{:.1}\"/>\
                 <rect class=\"count\" x=\"{0:.1}\" y=\"{:.1}\" width=\"{2:.1}\" height=\"{:.1}\"/>\
                 <text class=\"faint\" x=\"{:.1}\" y=\"{:.1}\" font-size=\"8.5\" text-anchor=\"middle\">{}</text>",
                x + 1.5,
                bottom - bin.right * SIDE,
                width - 3.0,
                bin.right * SIDE,
                x + 1.5,
                bottom - bin.confidence * SIDE,
                width - 3.0,
                floor - count,
                count,
                x + width / 2.0,
                floor - count - 3.0,
                short(bin.count),
            );
        }
        let _ = writeln!(
            svg,
            "<path class=\"equal\" d=\"M{left} {bottom}L{} {top}\"/>\
             <path class=\"line\" d=\"M{left} {floor}h{SIDE}\"/>\
             <text class=\"faint\" x=\"{middle}\" y=\"{}\" font-size=\"11\" text-anchor=\"middle\">confidence; below, how many \
             sounds</text>\
             <text class=\"faint\" font-size=\"11\" text-anchor=\"middle\" transform=\"translate({} {})rotate(-90)\">share that \
             is right</text></g>",
            left + SIDE,
            bottom + 30.0,
            left - 34.0,
            top + SIDE / 2.0,
        );
    }
}

/// A count in four characters at most.
fn short(count: usize) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{}k", count / 1000),
        _ => format!("{}M", count / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::figures::bins;

    #[test]
    fn every_bin_with_sounds_in_it_is_a_bar_with_its_count() {
        let bins = bins([(0.95, true), (0.96, false), (0.5, true)].into_iter());
        let panel = |title: &str| Panel { title: title.to_owned(), bins };
        let diagram = Diagram {
            heading: "how sure & how right".to_owned(),
            about: ["<model>".to_owned(), String::new()],
            rows: vec![[panel("before"), panel("after")]],
        };
        let svg = diagram.svg();
        assert_eq!(svg.matches("class=\"bar\"").count(), 4);
        assert_eq!(svg.matches(">2</text>").count(), 2, "two sounds share a bin");
        assert!(svg.contains("how sure &amp; how right") && svg.contains("&lt;model&gt;"));
        assert!(svg.contains("prefers-color-scheme:dark"));
        // A bar as high as its share: half of two sounds.
        assert!(svg.contains(&format!("height=\"{:.1}\"", SIDE / 2.0)), "{svg}");
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
    }
}
