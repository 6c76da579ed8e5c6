//! Writing to standard output and error. A reader that has gone ends the program quietly; it never panics.

use std::io::{ErrorKind, Write};

use crate::error::Error;

/// Writes text to standard output as it is.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(written)
}

/// Writes one line to standard output.
pub(crate) fn line(text: &str) -> Result<(), Error> {
    print(&format!("{text}\n"))
}

/// Writes one line to standard error.
pub(crate) fn note(text: &str) {
    // When even standard error is gone there is nobody left to tell.
    let _unheard = writeln!(std::io::stderr().lock(), "{text}");
}

/// Says what went wrong, for errors that do not end the program.
pub(crate) fn complain(error: &Error) {
    if let Some(line) = error.line() {
        note(&format!("knarr: {line}"));
    }
}

/// A failed write to our own output.
pub(crate) fn written(source: std::io::Error) -> Error {
    match source.kind() {
        ErrorKind::BrokenPipe => Error::OutputClosed,
        _ => Error::Stream { action: "write to standard output", source },
    }
}
