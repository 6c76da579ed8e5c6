//! Writing to standard output and error. A reader that has gone ends the program quietly; it never panics. Nothing that
//! is written here can steer the terminal: names, labels and errors come from images, registries and other people. (What
//! a process in a container writes is its own, and takes another way: session, logs.)

use std::io::{ErrorKind, Write};

use knarr_proto::escape;

use crate::error::Error;

/// Writes text to standard output; its newlines and tabs are ours.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(escape::lines(text).as_bytes()).and_then(|()| out.flush()).map_err(written)
}

/// Writes one line to standard output.
pub(crate) fn line(text: &str) -> Result<(), Error> {
    print(&format!("{text}\n"))
}

/// Writes one line to standard error.
pub(crate) fn note(text: &str) {
    // When even standard error is gone there is nobody left to tell.
    let _unheard = writeln!(std::io::stderr().lock(), "{}", escape::lines(text));
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
