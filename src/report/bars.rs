//! Bars for a terminal: as wide as it is, with colours where it has them.

use super::digits;
use super::page::share;

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether colours are wanted.
    pub colour: bool,
}

/// Narrower than this nothing is drawn, in columns.
const LEAST_BAR: usize = 8;
/// A bar is no wider than this, in columns: wider ones are harder to compare with their numbers.
const MOST_BAR: usize = 60;
/// Names are cut to this, in columns.
const MOST_NAME: usize = 28;

impl Style {
    /// A heading.
    pub fn heading(self, text: &str) -> String {
        if self.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Something of less weight.
    pub fn faint(self, text: &str) -> String {
        if self.colour { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bar(self, text: &str) -> String {
        if self.colour { format!("\x1b[34m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// One line a bar: name, bar, count, share of `total`. The longest bar is that of the greatest count.
    pub fn bars<'a>(self, rows: impl IntoIterator<Item = (&'a str, u64)>, total: u64) -> Vec<String> {
        let rows: Vec<(String, u64)> = rows.into_iter().map(|(name, count)| (cut(name, MOST_NAME), count)).collect();
        let name_width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let count_width = rows.iter().map(|(_, count)| digits(*count).len()).max().unwrap_or(0);
        let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
        // Two before the name, two between the parts, and `100.0 %`.
        let room = self.width.saturating_sub(2 + name_width + 2 + 2 + count_width + 2 + 7);
        let bar_width = if room < LEAST_BAR { 0 } else { room.min(MOST_BAR) };
        let line = |(name, count): &(String, u64)| {
            let bar = blocks(*count as f64 / most as f64 * bar_width as f64);
            let gap = " ".repeat(bar_width.saturating_sub(bar.chars().count()));
            let between = if bar_width > 0 { "  " } else { "" };
            format!(
                "  {name:<name_width$}  {}{gap}{between}{:>count_width$}  {:>7}",
                self.bar(&bar),
                digits(*count),
                share(*count, total)
            )
        };
        rows.iter().map(line).collect()
    }
}

/// A bar of so many columns, to an eighth of one; something is there wherever anything is.
fn blocks(columns: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = if columns > 0.0 { (columns * 8.0).round().max(1.0) as usize } else { 0 };
    "█".repeat(eighths / 8) + EIGHTHS.get(eighths % 8).copied().unwrap_or("")
}

/// A text of at most so many characters; what can move a terminal's cursor is left out.
pub fn cut(text: &str, most: usize) -> String {
    let mut clean: String = text.chars().filter(|c| !c.is_control()).take(most + 1).collect();
    if clean.chars().count() > most {
        clean = clean.chars().take(most.saturating_sub(1)).collect::<String>() + "…";
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_colour_comes_unasked() {
        for width in [20, 40, 80, 200] {
            let style = Style { width, colour: false };
            let rows = [("Kick", 1_234_567), ("a name that is longer than most names are", 3), ("none", 0)];
            for line in style.bars(rows, 1_234_570) {
                assert!(line.chars().count() <= width.max(52), "{width}: {line}");
                assert!(!line.contains('\x1b'));
            }
        }
        assert!(Style { width: 80, colour: true }.bars([("Kick", 1)], 1)[0].contains("\x1b[34m"));
    }

    #[test]
    fn what_is_there_shows_and_what_is_not_does_not() {
        let style = Style { width: 80, colour: false };
        let lines = style.bars([("a", 1_000_000), ("b", 1), ("c", 0)], 1_000_001);
        assert!(lines[1].contains('▏') && !lines[2].contains('▏'));
        assert!(lines[0].contains("1,000,000  100.0 %"), "{}", lines[0]);
        assert_eq!((blocks(1.5), blocks(0.0), blocks(2.0)), ("█▌".to_owned(), String::new(), "██".to_owned()));
    }

    #[test]
    fn a_name_can_not_steer_the_terminal() {
        assert_eq!(cut("a\x1b[31mb\nc", 20), "a[31mbc");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
