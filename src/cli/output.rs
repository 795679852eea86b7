//! Printing that does not panic: `println!` does where nobody reads any more, as in `drumfs rules diff … | head`.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsRawFd;

use serde::Serialize;

use crate::report::Style;

/// How wide a line is where stdout is no terminal that says, in columns.
const WIDTH: usize = 80;

/// Prints a result as a line on stdout.
///
/// # Errors
/// What the system says; [`io::ErrorKind::BrokenPipe`] where nobody reads any more.
pub fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Prints many lines on stdout.
///
/// # Errors
/// As [`line`].
pub fn lines(lines: impl IntoIterator<Item = impl Display>) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    lines.into_iter().try_for_each(|line| writeln!(out, "{line}"))?;
    out.flush()
}

/// How stdout can be drawn on: as wide as the terminal, or as COLUMNS says; in colours only on a terminal, and not where
/// NO_COLOR says so (<https://no-color.org>).
pub fn style() -> Style {
    let said = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let is_terminal = io::stdout().is_terminal();
    let asked = said("COLUMNS").and_then(|columns| columns.to_str()?.parse().ok());
    let width = asked.or_else(|| if is_terminal { terminal_width() } else { None }).unwrap_or(WIDTH);
    let dumb = said("TERM").is_some_and(|terminal| terminal == "dumb");
    Style { width: width.clamp(20, 500), colour: is_terminal && !dumb && said("NO_COLOR").is_none() }
}

fn terminal_width() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize to the place it is given, which lives until after the call.
    let done = unsafe { libc::ioctl(io::stdout().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (done == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Prints a result as JSON on stdout.
///
/// # Errors
/// As [`line`].
pub fn json(value: &impl Serialize) -> io::Result<()> {
    line(serde_json::to_string_pretty(value)?)
}

/// Prints a result that is text of a format of its own.
///
/// # Errors
/// As [`line`].
pub fn bytes(text: &[u8]) -> io::Result<()> {
    io::stdout().write_all(text)
}

/// A time in seconds since 1970 as date and time of day, UTC.
pub fn date(at: f64) -> String {
    let seconds = at.clamp(0.0, 2e11) as i64;
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to a date in the calendar that starts in March, where the day that comes every four years is the last:
    // Howard Hinnant, chrono-Compatible Low-Level Date Algorithms, civil_from_days.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Tells a person something on stderr. Where nobody listens there is nobody to tell of that.
pub fn tell(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether a command failed only because whoever read its output has gone: nothing to say, and nothing that failed.
pub fn is_unread(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::date;

    /// As `date -u -d @…` prints them.
    #[test]
    fn times_are_dates_of_the_usual_calendar() {
        assert_eq!(date(0.0), "1970-01-01 00:00:00Z");
        assert_eq!(date(951_782_399.9), "2000-02-28 23:59:59Z");
        assert_eq!(date(951_782_400.0), "2000-02-29 00:00:00Z");
        assert_eq!(date(1_735_689_599.0), "2024-12-31 23:59:59Z");
        assert_eq!(date(4_107_542_400.0), "2100-03-01 00:00:00Z");
    }
}
