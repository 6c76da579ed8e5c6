//! The container log's record: one line of text, in the format of Kubernetes' CRI.
//!
//! ```text
//! 2026-11-23T10:00:00.123456789Z stdout F a whole line
//! 2026-11-23T10:00:00.123456789Z stderr P the beginning of a line, its rest follows in a later record
//! ```
//! Content is bytes, never changed, and holds no newline. `F` stands for content followed by a newline, `P` for content
//! without one. Joining all records of a stream gives back exactly what the process wrote.
//!
//! Files: `NAME` is the newest, `NAME.1` the one before it, and so on.

use crate::frame::Stream;

/// The longest content of one record; longer lines become several `P` records (CRI's and Docker's bound).
pub const MAX_CONTENT_BYTES: usize = 16 * 1024;

/// Whether a newline follows the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `F`: the line ends here.
    Full,
    /// `P`: the line goes on.
    Partial,
}

/// A parsed record; `time` is RFC 3339 with nanoseconds, in UTC, so that text order is time order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ`.
    pub time: &'a str,
    /// Where the process wrote it.
    pub stream: Stream,
    /// Whether a newline follows.
    pub tag: Tag,
    /// What it wrote.
    pub content: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads one line, given without its newline. `None` when it is no record: a torn write at the end of a file.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(fields.next()?).ok()?;
        let stream = match fields.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let tag = match fields.next()? {
            b"F" => Tag::Full,
            b"P" => Tag::Partial,
            _ => return None,
        };
        let content = fields.next()?;
        time.ends_with('Z').then_some(Self { time, stream, tag, content })
    }
}

/// Appends to `out` the records for one read of `chunk` from `stream`: a record for every line, and a partial one for
/// what follows the last newline, so that nothing waits in memory.
pub fn append_records(out: &mut Vec<u8>, time: &str, stream: Stream, chunk: &[u8]) {
    for line in chunk.split_inclusive(|byte| *byte == b'\n') {
        let (content, last_tag) = match line.strip_suffix(b"\n") {
            Some(content) => (content, Tag::Full),
            None => (line, Tag::Partial),
        };
        let mut pieces = content.chunks(MAX_CONTENT_BYTES).peekable();
        if pieces.peek().is_none() {
            append(out, time, stream, last_tag, b"");
        }
        while let Some(piece) = pieces.next() {
            let tag = if pieces.peek().is_some() { Tag::Partial } else { last_tag };
            append(out, time, stream, tag, piece);
        }
    }
}

fn append(out: &mut Vec<u8>, time: &str, stream: Stream, tag: Tag, content: &[u8]) {
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(match stream {
        Stream::Stdout => b" stdout ",
        Stream::Stderr => b" stderr ",
    });
    out.extend_from_slice(match tag {
        Tag::Full => b"F ",
        Tag::Partial => b"P ",
    });
    out.extend_from_slice(content);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-23T10:00:00.123456789Z";

    fn joined(log: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let record = Record::parse(line).expect("what append_records wrote");
            out.extend_from_slice(record.content);
            if record.tag == Tag::Full {
                out.push(b'\n');
            }
        }
        out
    }

    #[test]
    fn what_was_written_is_read_back_byte_for_byte() {
        let long = vec![b'x'; MAX_CONTENT_BYTES * 2 + 1];
        for chunks in [
            vec![&b"one\ntwo\n"[..]],
            vec![b"no newline"],
            vec![b"torn ", b"line\n", b"\n\n"],
            vec![b"\xff\xfe bytes\r\n"],
            vec![&long, b"\n"],
        ] {
            let mut log = Vec::new();
            for chunk in &chunks {
                append_records(&mut log, TIME, Stream::Stderr, chunk);
            }
            assert_eq!(joined(&log), chunks.concat());
        }
    }

    #[test]
    fn a_torn_record_is_none() {
        for line in
            ["", "2026-11-23T10", "2026-11-23T10:00:00Z stdout", "2026-11-23T10:00:00Z stdout F", "x y z w"]
        {
            assert_eq!(Record::parse(line.as_bytes()), None, "{line:?}");
        }
    }
}
