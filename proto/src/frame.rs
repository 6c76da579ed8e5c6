//! The attach socket's frames: how a client joins a process's streams at the shim.
//!
//! The shim listens on a unix stream socket for as long as the process has open streams. Each side sends frames of
//! a 5-byte header, kind (1 byte) and length (4 bytes, big endian), and that many bytes:
//!
//! ```text
//! client → shim   Stdin    input; length 0: no more input, close the process's stdin
//! shim → client   Stdout   output as it comes; length 0: the process has closed this stream
//!                 Stderr   likewise (never with a terminal)
//!                 Dropped  length 8, u64 big endian: so many bytes of output were not sent, the client was too slow
//! ```
//! When all of the process's streams have ended and been sent, the shim closes the connection. A client may leave at any time.

/// The longest payload of a frame, either way.
pub const MAX_PAYLOAD_BYTES: usize = 64 * 1024;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 5;

/// An output stream of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// File descriptor 1, or the terminal.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Input for the process.
    Stdin,
    /// Output of the process.
    Output(Stream),
    /// A count of output that was not sent.
    Dropped,
}

/// A frame's first five bytes, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub kind: FrameKind,
    /// How many bytes of it, at most [`MAX_PAYLOAD_BYTES`].
    pub length: usize,
}

/// The peer does not speak this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// No such kind.
    #[error("unknown frame kind {0}")]
    Kind(u8),
    /// More than [`MAX_PAYLOAD_BYTES`].
    #[error("a frame of {0} bytes is over the limit of {MAX_PAYLOAD_BYTES}")]
    Length(u32),
}

impl Header {
    /// The header's bytes on the wire.
    ///
    /// # Panics
    /// When `length` is over [`MAX_PAYLOAD_BYTES`].
    #[must_use]
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        assert!(self.length <= MAX_PAYLOAD_BYTES, "callers cut their payload");
        let kind = match self.kind {
            FrameKind::Stdin => 0,
            FrameKind::Output(Stream::Stdout) => 1,
            FrameKind::Output(Stream::Stderr) => 2,
            FrameKind::Dropped => 3,
        };
        let [a, b, c, d] = u32::try_from(self.length).expect("checked above").to_be_bytes();
        [kind, a, b, c, d]
    }

    /// Reads a header from the wire.
    ///
    /// # Errors
    /// [`BadFrame`] when the peer sent something else.
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Result<Self, BadFrame> {
        let [kind, a, b, c, d] = bytes;
        let kind = match kind {
            0 => FrameKind::Stdin,
            1 => FrameKind::Output(Stream::Stdout),
            2 => FrameKind::Output(Stream::Stderr),
            3 => FrameKind::Dropped,
            other => return Err(BadFrame::Kind(other)),
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        match usize::try_from(length) {
            Ok(length) if length <= MAX_PAYLOAD_BYTES => Ok(Self { kind, length }),
            _ => Err(BadFrame::Length(length)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_wire() {
        for kind in [
            FrameKind::Stdin,
            FrameKind::Output(Stream::Stdout),
            FrameKind::Output(Stream::Stderr),
            FrameKind::Dropped,
        ] {
            for length in [0, 1, MAX_PAYLOAD_BYTES] {
                let header = Header { kind, length };
                assert_eq!(Header::decode(header.encode()), Ok(header));
            }
        }
    }

    #[test]
    fn a_hostile_header_is_refused() {
        assert_eq!(Header::decode([9, 0, 0, 0, 0]), Err(BadFrame::Kind(9)));
        assert_eq!(Header::decode([1, 0, 1, 0, 1]), Err(BadFrame::Length(0x0001_0001)));
    }
}
