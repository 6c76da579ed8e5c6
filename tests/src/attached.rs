//! A client of a shim's attach socket, by the protocol in `knarr_proto::frame`.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use knarr_proto::frame::{FrameKind, HEADER_BYTES, Header, Stream};

use crate::process::DEADLINE;

/// A connection to a process's streams, and what has come through it.
#[derive(Debug)]
pub struct Attached {
    socket: UnixStream,
    /// What the process wrote to stdout or its terminal.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: Vec<u8>,
    /// Bytes that we were too slow for.
    pub dropped: u64,
}

impl Attached {
    /// Joins the streams at this socket.
    ///
    /// # Panics
    /// When nobody listens there.
    #[must_use]
    #[track_caller]
    pub fn connect(path: &Path) -> Self {
        let socket = UnixStream::connect(path).expect("the attach socket is there");
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket has a timeout");
        Self { socket, stdout: Vec::new(), stderr: Vec::new(), dropped: 0 }
    }

    /// Input; empty to say that there is no more.
    ///
    /// # Panics
    /// When the shim takes none.
    pub fn send(&mut self, bytes: &[u8]) {
        let header = Header { kind: FrameKind::Stdin, length: bytes.len() };
        self.socket.write_all(&[&header.encode(), bytes].concat()).expect("the shim takes input");
    }

    /// Reads one frame; `false` at the end.
    ///
    /// # Panics
    /// When the shim breaks its word, or nothing comes.
    #[track_caller]
    pub fn read(&mut self) -> bool {
        let mut header = [0; HEADER_BYTES];
        match self.socket.read_exact(&mut header) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return false,
            read => read.expect("a header"),
        }
        let header = Header::decode(header).expect("a header of the protocol");
        let mut payload = vec![0; header.length];
        self.socket.read_exact(&mut payload).expect("a payload");
        match header.kind {
            FrameKind::Output(Stream::Stdout) => self.stdout.extend(payload),
            FrameKind::Output(Stream::Stderr) => self.stderr.extend(payload),
            FrameKind::Dropped => {
                self.dropped += u64::from_be_bytes(payload.try_into().expect("eight bytes"));
            }
            FrameKind::Stdin => panic!("a shim sends no input"),
        }
        true
    }

    /// Reads until `text` has come through stdout.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn expect(&mut self, text: &str, deadline: Duration) {
        let end = Instant::now() + deadline;
        while !String::from_utf8_lossy(&self.stdout).contains(text) {
            let so_far = String::from_utf8_lossy(&self.stdout).into_owned();
            assert!(self.read(), "the streams ended before {text:?}; {so_far:?}");
            assert!(Instant::now() < end, "no {text:?} within {deadline:?}; {so_far:?}");
        }
    }

    /// Reads to the end.
    ///
    /// # Panics
    /// As [`Self::read`].
    #[track_caller]
    pub fn finish(mut self) -> Self {
        while self.read() {}
        self
    }

    /// stdout as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}
