//! What is known of an archive, told to people: figures, pictures, pages and lists. Nothing here reads or writes a file.

pub mod bars;
mod chance;
pub mod confusions;
mod confusions_show;
mod diverse;
mod duplicates;
pub mod page;
pub mod reliability;
pub mod stats;
mod stats_index;
mod stats_page;
mod stats_text;
pub mod uncertain;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::view::SampleRef;

pub use bars::Style;
pub use duplicates::Duplicates;
pub use reliability::{Diagram, Panel};
pub use stats::{Spread, Stats};
pub use stats_index::IndexCounter;

/// A number with commas between its thousands.
pub fn digits(number: u64) -> String {
    let plain = number.to_string();
    let mut grouped = String::with_capacity(plain.len() + plain.len() / 3);
    for (place, digit) in plain.chars().enumerate() {
        if place > 0 && (plain.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A size in bytes, in the unit that fits, by thousands.
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    let mut value = size as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "bytes" { format!("{size} bytes") } else { format!("{value:.1} {unit}") }
}

/// A length of time, in the units that fit.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 60.0 => format!("{s:.2} s"),
        s if s < 3600.0 => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), (s % 60.0).floor()),
        s if s < 360_000.0 => format!("{:.0} h {:02.0} min", (s / 3600.0).floor(), (s % 3600.0 / 60.0).floor()),
        s => format!("{} h", digits((s / 3600.0) as u64)),
    }
}

/// The path that never changes of a sample in a mount.
fn by_id_path(mount: &Path, sample: SampleRef<'_>) -> String {
    let name = PathBuf::from(OsString::from_vec(sample.by_id_name()));
    mount.join("_by-id").join(name).display().to_string()
}

/// A path, or another text that anybody may have written, as a terminal shows it: what can move its cursor, colour it or
/// turn the direction of writing is U+FFFD.
pub fn printable(text: &str) -> String {
    let harmful = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if harmful(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A text as it stands in HTML and SVG.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!([0, 999, 1000, 1_234_567].map(digits), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([999, 1500, 2_000_000_000].map(bytes), ["999 bytes", "1.5 kB", "2.0 GB"]);
        assert_eq!([0.0415, 1.5, 125.0, 7260.0].map(time), ["42 ms", "1.50 s", "2 min 05 s", "2 h 01 min"]);
        assert_eq!(time(3_600_000.0), "1,000 h");
    }
}
