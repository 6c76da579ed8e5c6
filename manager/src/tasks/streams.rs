//! What comes from a process, through its shim: frames in, pieces out. A slow reader never holds the process up: the shim
//! drops output for it and says how much.

use knarr_proto::frame::{FrameKind, HEADER_BYTES, Header, Stream};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::error::TaskError;

/// A piece of what comes from the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// At most 64 KiB.
    Output { stream: Stream, data: Vec<u8> },
    /// So many bytes were left out, the client was too slow.
    Dropped { bytes: u64 },
}

/// The process's output; ends when the process has closed its streams.
pub(crate) struct Output {
    /// `None` for a process whose output is discarded.
    socket: Option<BufReader<OwnedReadHalf>>,
    stdout: bool,
    stderr: bool,
}

impl Output {
    /// The two directions of a connection to a shim, of which these streams are wanted.
    pub(crate) fn split(
        socket: Option<UnixStream>,
        stdout: bool,
        stderr: bool,
    ) -> (Self, Option<OwnedWriteHalf>) {
        let (reader, writer) = socket.map(UnixStream::into_split).unzip();
        (Self { socket: reader.map(BufReader::new), stdout, stderr }, writer)
    }

    /// The next piece; `None` when all of the process's streams have ended.
    ///
    /// # Errors
    /// [`TaskError::Streams`] when the shim breaks its word or the connection.
    pub(crate) async fn next(&mut self) -> Result<Option<Piece>, TaskError> {
        let failed = |source| TaskError::Streams { doing: "read", source };
        let Some(socket) = &mut self.socket else { return Ok(None) };
        loop {
            let mut header = [0; HEADER_BYTES];
            match socket.read_exact(&mut header).await {
                Ok(_) => {}
                Err(error) if is_end(&error) => return Ok(None),
                Err(error) => return Err(failed(error)),
            }
            let header = Header::decode(header).map_err(|error| failed(std::io::Error::other(error)))?;
            let mut data = vec![0; header.length];
            socket.read_exact(&mut data).await.map_err(failed)?;
            let stream = match header.kind {
                FrameKind::Output(stream) => stream,
                FrameKind::Dropped => {
                    let bytes = data.try_into().map_or(0, u64::from_be_bytes);
                    return Ok(Some(Piece::Dropped { bytes }));
                }
                FrameKind::Stdin => return Err(failed(std::io::Error::other("the shim sent input"))),
            };
            let wanted = match stream {
                Stream::Stdout => self.stdout,
                Stream::Stderr => self.stderr,
            };
            // Length 0 only says that this stream has ended.
            if wanted && !data.is_empty() {
                return Ok(Some(Piece::Output { stream, data }));
            }
        }
    }
}

fn is_end(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as K;
    matches!(error.kind(), K::UnexpectedEof | K::ConnectionReset | K::BrokenPipe)
}
