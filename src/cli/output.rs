//! Printing that does not panic: `println!` does where nobody reads any more, as in `drumfs rules diff … | head`.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsRawFd;

use serde::Serialize;

pub(crate) use crate::calendar::utc as date;
use crate::report::Style;
pub(crate) use crate::report::printable;

/// How wide a line is where stdout is no terminal that says, in columns.
const WIDTH: usize = 80;

/// Prints a result as a line on stdout.
///
/// # Errors
/// What the system says; [`io::ErrorKind::BrokenPipe`] where nobody reads any more.
pub fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{text}").map_err(named)
}

/// The error with the place in it; a reader that has gone is told as before.
fn named(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("standard output can't be written: {error}"))
}

/// Prints many lines on stdout.
///
/// # Errors
/// As [`line`].
pub fn lines(lines: impl IntoIterator<Item = impl Display>) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    lines.into_iter().try_for_each(|line| writeln!(out, "{line}")).map_err(named)?;
    out.flush().map_err(named)
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
    let mut out = io::stdout();
    // What has no newline at its end is kept back, and lost at the end of the process without a word.
    out.write_all(text).and_then(|()| out.flush()).map_err(named)
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
