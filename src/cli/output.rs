//! Printing that does not panic: `println!` does where nobody reads any more, as in `drumfs rules diff … | head`.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

pub(crate) use crate::calendar::utc as date;

/// Prints a result as a line on stdout.
///
/// # Errors
/// What the system says; [`io::ErrorKind::BrokenPipe`] where nobody reads any more.
pub fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
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
