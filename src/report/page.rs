//! A page that needs nothing beside it: headings, tiles, bars, histograms and tables in one HTML document, without a
//! script, light or dark as the reader prefers, and as narrow as a phone.
//!
//! Charts are SVG that stretches; their words are HTML around it, so that they stay readable at any width.

use std::fmt::{Display, Write as _};

use super::{digits, escaped};

/// Colours are those of the diagrams in [`super::reliability`].
const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1b1f24;--faint:#59636e;--ground:#fff;--panel:#f6f8fa;--line:#d1d9e0;--bar:#3b7dd8;\
--track:#e6eaef;--sure:#b3450a}\
@media(prefers-color-scheme:dark){:root{--text:#f0f6fc;--faint:#9198a1;--ground:#0d1117;--panel:#151b23;--line:#3d444d;\
--bar:#3f7fd9;--track:#212830;--sure:#ff9a5c}}\
*{box-sizing:border-box}\
body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:64rem;background:var(--ground);color:var(--text);\
font:15px/1.45 system-ui,sans-serif;font-variant-numeric:tabular-nums}\
h1{font-size:1.5rem;margin:0 0 .2rem;overflow-wrap:anywhere}h2{font-size:1.05rem;margin:0 0 .7rem}\
p{margin:.2rem 0 .7rem}.faint,small,caption{color:var(--faint)}\
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(max(8.5rem,22%),1fr));gap:.6rem;margin:1.2rem 0}\
.tile{background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:.6rem .8rem}\
.tile b{display:block;font-size:1.35rem;font-weight:600}.tile span{color:var(--faint);font-size:.85rem}\
.charts{columns:2 22rem;column-gap:1rem}\
section{background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:1rem;margin:0 0 1rem;\
break-inside:avoid}section.wide{column-span:all;margin-top:1rem}\
.bars{display:grid;grid-template-columns:fit-content(40%) 1fr max-content;gap:.32rem .7rem;align-items:center;margin:0}\
.bars dt{overflow-wrap:anywhere;line-height:1.2}.bars dd{margin:0;text-align:right}.bars dd small{display:inline-block;min-width:3.6rem}\
svg{display:block;width:100%}.bars svg{height:.8rem}.track{fill:var(--track)}.bar{fill:var(--bar)}\
.histogram svg{height:8.5rem;border-bottom:1px solid var(--line)}\
.axis{display:flex;justify-content:space-between;color:var(--faint);font-size:.8rem;margin-top:.25rem}\
.axis.bins{justify-content:normal}.axis.bins span{flex:1 1 0;text-align:center;min-width:0}\
.figures{margin:.6rem 0 0;font-size:.9rem}\
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;min-width:34rem;font-size:.9rem}caption{text-align:left;padding-bottom:.4rem}\
th,td{text-align:left;vertical-align:top;padding:.3rem .7rem .3rem 0;border-top:1px solid var(--line)}\
thead th{border-top:0;font-weight:600}td.number,th.number{text-align:right;white-space:nowrap}td{overflow-wrap:break-word}\
.none{color:var(--faint);margin:0}code{font-size:.9em;overflow-wrap:anywhere}";

/// A page that is being written.
#[derive(Debug)]
pub struct Page(String);

/// One bar of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it counts.
    pub name: String,
    /// How many.
    pub count: u64,
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number, written at the right.
    Number(String),
    /// A path or a name, as it is; several stand below each other.
    Code(Vec<String>),
}

impl Page {
    /// A page with a heading and a line below it.
    pub fn new(heading: &str, about: &str) -> Self {
        let heading = escaped(heading);
        let mut page = String::new();
        // Writing to a string can't fail.
        let _ = write!(
            page,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{heading}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{heading}</h1>\n\
             <p class=\"faint\">{}</p>\n",
            escaped(about)
        );
        Self(page)
    }

    /// A row of figures with what each is.
    pub fn tiles<'a>(&mut self, tiles: impl IntoIterator<Item = (String, &'a str)>) {
        self.0.push_str("<div class=\"tiles\">\n");
        for (figure, what) in tiles {
            let (figure, what) = (escaped(&figure), escaped(what));
            let _ = writeln!(self.0, "<div class=\"tile\"><b>{figure}</b><span>{what}</span></div>");
        }
        self.0.push_str("</div>\n<div class=\"charts\">\n");
    }

    /// A part of the page with a heading; `wide` ones take a whole row.
    pub fn section(&mut self, heading: &str, wide: bool, fill: impl FnOnce(&mut Self)) {
        let class = if wide { " class=\"wide\"" } else { "" };
        let _ = writeln!(self.0, "<section{class}>\n<h2>{}</h2>", escaped(heading));
        fill(self);
        self.0.push_str("</section>\n");
    }

    /// A paragraph.
    pub fn words(&mut self, text: impl Display) {
        let _ = writeln!(self.0, "<p class=\"figures\">{}</p>", escaped(&text.to_string()));
    }

    /// What stands where there is nothing to show.
    pub fn nothing(&mut self, text: &str) {
        let _ = writeln!(self.0, "<p class=\"none\">{}</p>", escaped(text));
    }

    /// Bars below each other, each with its count and its share of `total`.
    pub fn bars(&mut self, bars: &[Bar], total: u64) {
        let most = bars.iter().map(|bar| bar.count).max().unwrap_or(0).max(1) as f64;
        self.0.push_str("<dl class=\"bars\">\n");
        for bar in bars {
            let _ = writeln!(
                self.0,
                "<dt>{}</dt>{}<dd>{}<small>{}</small></dd>",
                escaped(&bar.name),
                svg(100.0, &[(0.0, 100.0, 10.0, "track"), (0.0, bar.count as f64 / most * 100.0, 10.0, "bar")]),
                digits(bar.count),
                share(bar.count, total),
            );
        }
        self.0.push_str("</dl>\n");
    }

    /// Columns beside each other with `axis` below: one word a column, or words that are spread over the width.
    pub fn histogram(&mut self, counts: &[u64], axis: &[String]) {
        let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let each = 100.0 / counts.len().max(1) as f64;
        let bars: Vec<_> = counts
            .iter()
            .enumerate()
            // One sound is seen among a million.
            .map(|(place, &count)| {
                (place as f64 * each, each, if count == 0 { 0.0 } else { (count as f64 / most * 60.0).max(0.5) })
            })
            .collect();
        let mut rects = String::new();
        for ((left, width, height), count) in bars.iter().zip(counts) {
            let _ = write!(
                rects,
                "<rect class=\"bar\" x=\"{:.2}\" y=\"{:.2}\" width=\"{:.2}\" height=\"{height:.2}\"><title>{}</title></rect>",
                left + width * 0.06,
                60.0 - height,
                width * 0.88,
                digits(*count),
            );
        }
        let class = if axis.len() == counts.len() { "axis bins" } else { "axis" };
        let words: String = axis.iter().map(|word| format!("<span>{}</span>", escaped(word))).collect();
        let _ = writeln!(
            self.0,
            "<div class=\"histogram\"><svg viewBox=\"0 0 100 60\" preserveAspectRatio=\"none\" role=\"img\">{rects}</svg>\
             <div class=\"{class}\">{words}</div></div>"
        );
    }

    /// A table; columns of numbers stand at the right.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<Cell>]) {
        let is_number = |column: usize| matches!(rows.first().and_then(|row| row.get(column)), Some(Cell::Number(_)));
        self.0.push_str("<div class=\"scroll\"><table><thead><tr>");
        for (column, name) in head.iter().enumerate() {
            let class = if is_number(column) { " class=\"number\"" } else { "" };
            let _ = write!(self.0, "<th{class}>{}</th>", escaped(name));
        }
        self.0.push_str("</tr></thead><tbody>\n");
        for row in rows {
            self.0.push_str("<tr>");
            for cell in row {
                let _ = match cell {
                    Cell::Text(text) => write!(self.0, "<td>{}</td>", escaped(text)),
                    Cell::Number(text) => write!(self.0, "<td class=\"number\">{}</td>", escaped(text)),
                    Cell::Code(lines) => {
                        let lines: Vec<String> =
                            lines.iter().map(|line| format!("<code>{}</code>", escaped(line))).collect();
                        write!(self.0, "<td>{}</td>", lines.join("<br>"))
                    }
                };
            }
            self.0.push_str("</tr>\n");
        }
        self.0.push_str("</tbody></table></div>\n");
    }

    /// The document.
    pub fn finish(mut self) -> String {
        self.0.push_str("</div>\n</body>\n</html>\n");
        self.0
    }
}

/// Boxes that lie on each other from the left: left, width, height, class.
fn svg(width: f64, boxes: &[(f64, f64, f64, &str)]) -> String {
    let mut svg = format!("<svg viewBox=\"0 0 {width} 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
    for (left, width, height, class) in boxes {
        let _ = write!(svg, "<rect class=\"{class}\" x=\"{left}\" y=\"0\" width=\"{width:.2}\" height=\"{height}\"/>");
    }
    svg + "</svg>"
}

/// A share in per cent, one digit after the point.
pub(super) fn share(count: u64, total: u64) -> String {
    format!("{:.1} %", count as f64 / total.max(1) as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_names_is_text_and_nothing_else() {
        let mut page = Page::new("<script>alert(1)</script>", "a & \"b\"");
        page.tiles([("1 < 2".to_owned(), "x")]);
        page.section("<h>", false, |page| {
            page.bars(&[Bar { name: "</dl><img src=x>".to_owned(), count: 3 }], 4);
            page.table(&["<a>"], &[vec![Cell::Code(vec!["<b>.wav".to_owned()])], vec![Cell::Text("<i>".to_owned())]]);
            page.words("<u>");
            page.nothing("<s>");
            page.histogram(&[1, 0], &["<0>".to_owned()]);
        });
        let html = page.finish();
        for tag in ["<script", "<img", "<a>", "<b>.wav", "<i>", "<u>", "<s>", "<0>", "<h>"] {
            assert!(!html.contains(tag), "{tag} in {html}");
        }
        assert!(html.contains("75.0 %") && html.contains("&lt;b&gt;.wav"));
        assert_eq!(html.matches("<section").count(), html.matches("</section").count());
    }

    #[test]
    fn nothing_is_loaded_from_anywhere() {
        let mut page = Page::new("a", "b");
        page.tiles([]);
        let html = page.finish();
        for word in ["http:", "https:", "src=", "href=", "@import", "url(", "<script"] {
            assert!(!html.contains(word), "{word}");
        }
        assert!(html.contains("prefers-color-scheme:dark") && html.contains("width=device-width"));
    }
}
