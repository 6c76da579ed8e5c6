//! How docker tells stdout from stderr on one connection (its package stdcopy). Pure.
//!
//! ```text
//! stream(1) │ 0 0 0 │ length(4, big-endian) │ payload
//! ```
//! A terminal has one stream only, which comes as it is.

use http::HeaderValue;
use knarr_proto::frame::Stream;
use tonic::codegen::Bytes;

use super::versions::{MULTIPLEXED, Version};

const HEAD_BYTES: usize = 8;
/// What clients show as an error of the engine.
const SYSTEM: u8 = 3;

/// How output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Raw,
    Multiplexed,
}

impl Framing {
    /// That of a process with or without a terminal.
    pub(super) fn of(tty: bool) -> Self {
        if tty { Self::Raw } else { Self::Multiplexed }
    }

    /// What the stream is called.
    pub(super) fn content_type(self, version: Version) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Multiplexed if version >= MULTIPLEXED => "application/vnd.docker.multiplexed-stream",
            Self::Multiplexed | Self::Raw => "application/vnd.docker.raw-stream",
        })
    }

    /// A piece of output.
    pub(super) fn output(self, stream: Stream, data: Vec<u8>) -> Bytes {
        let number = match stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        match self {
            Self::Raw => data.into(),
            Self::Multiplexed => frame(number, &data),
        }
    }

    /// A sentence of ours in the middle of output.
    pub(super) fn error(self, sentence: &str) -> Bytes {
        match self {
            Self::Raw => Bytes::copy_from_slice(sentence.as_bytes()),
            Self::Multiplexed => frame(SYSTEM, sentence.as_bytes()),
        }
    }
}

fn frame(number: u8, data: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(HEAD_BYTES + data.len());
    frame.extend([number, 0, 0, 0]);
    // Pieces of output have 64 KiB at most.
    frame.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(data);
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::docker::versions::OLDEST;

    #[test]
    fn output_without_a_terminal_has_heads() {
        let framing = Framing::of(false);
        assert_eq!(framing.output(Stream::Stdout, b"hi".to_vec())[..], *b"\x01\0\0\0\0\0\0\x02hi");
        let long = framing.output(Stream::Stderr, vec![b'x'; 0x1_0203]);
        assert_eq!(long[..9], *b"\x02\0\0\0\0\x01\x02\x03x");
        assert_eq!(framing.error("no")[..], *b"\x03\0\0\0\0\0\0\x02no");
        assert_eq!(Framing::of(true).output(Stream::Stdout, b"hi".to_vec())[..], *b"hi");
        let types = [Framing::Raw, framing].map(|framing| framing.content_type(OLDEST));
        assert_eq!(types[0], types[1]);
        assert_ne!(framing.content_type(MULTIPLEXED), types[0]);
    }
}
