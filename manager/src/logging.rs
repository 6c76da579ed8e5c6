//! The log on standard error: one event a line, and nothing in it that a terminal obeys. Names, paths and errors in it
//! come from images, registries, containers and clients.

use std::io::{self, Write};

use knarr_proto::escape;
use tracing_subscriber::EnvFilter;

/// Begins to log what passes `filter` (`info`, or as for RUST_LOG).
pub(crate) fn start(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        // Colours would be escape sequences, too, and a log is read in files and journals.
        .with_ansi(false)
        .with_writer(|| Escaped(io::stderr()))
        .init();
}

/// Escapes what passes through. Each write is one event with its newline.
struct Escaped<W>(W);

impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        self.0.write_all(format!("{}\n", escape::line(line)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let mut log = Escaped(Vec::new());
        log.write_all("name=\x1b[2J\n2026 INFO forged\u{202e}\n".as_bytes()).expect("memory");
        assert_eq!(String::from_utf8_lossy(&log.0), "name=\\u{1b}[2J\\n2026 INFO forged\\u{202e}\n");
    }
}
