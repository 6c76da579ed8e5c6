//! The archive's bytes on their way from an asynchronous sender to a blocking reader, and what they are packed in.

use std::io::{self, BufReader, Read};

use tokio::sync::mpsc;

use super::error::ArchiveError;

/// Pieces under way: enough to keep both sides busy, little to hold.
const UNDER_WAY: usize = 4;
/// What the magic numbers of gzip and zstd need.
const SNIFFED_BYTES: usize = 4;
/// The largest window that zstd(1) itself takes without being told: 128 MiB.
const MAX_ZSTD_WINDOW_LOG: u32 = 27;

/// A piece of the archive.
enum Piece {
    Data(Vec<u8>),
    End,
}

/// Where the sender puts the archive's bytes. Dropped before [`Input::end`], the import is given up.
pub(crate) struct Input(mpsc::Sender<Piece>);

/// The other end.
pub(crate) struct Output {
    pieces: mpsc::Receiver<Piece>,
    current: io::Cursor<Vec<u8>>,
    is_at_end: bool,
}

impl Input {
    /// Both ends of a new channel.
    pub(crate) fn channel() -> (Self, Output) {
        let (sender, pieces) = mpsc::channel(UNDER_WAY);
        (Self(sender), Output { pieces, current: io::Cursor::default(), is_at_end: false })
    }

    /// Sends a piece; waits while the reader is behind. Returns false if the reader has ended.
    pub(crate) async fn send(&self, data: Vec<u8>) -> bool {
        self.0.send(Piece::Data(data)).await.is_ok()
    }

    /// Marks the end.
    pub(crate) async fn end(self) {
        // A reader that has ended tells its own reason.
        drop(self.0.send(Piece::End).await);
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.current.read(buffer)?;
            if count > 0 || self.is_at_end || buffer.is_empty() {
                return Ok(count);
            }
            match self.pieces.blocking_recv() {
                Some(Piece::Data(data)) => self.current = io::Cursor::new(data),
                Some(Piece::End) => self.is_at_end = true,
                None => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
    }
}

/// The bytes of `input` without their compression, which is told by its first bytes.
pub(in crate::images) fn uncompressed(mut input: impl Read + 'static) -> Result<Box<dyn Read>, ArchiveError> {
    let mut head = Vec::with_capacity(SNIFFED_BYTES);
    Read::by_ref(&mut input).take(SNIFFED_BYTES as u64).read_to_end(&mut head).map_err(read_error)?;
    let compression = Compression::from_magic(&head);
    let whole = io::Cursor::new(head).chain(input);
    Ok(match compression {
        Compression::Gzip => Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(whole))),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(whole).map_err(ArchiveError::Read)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).map_err(ArchiveError::Read)?;
            Box::new(BufReader::new(decoder))
        }
        Compression::None => Box::new(BufReader::new(whole)),
    })
}

/// How a tar is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// By the first bytes.
    pub(super) fn from_magic(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// A sender that left is told apart from bytes that are wrong.
pub(super) fn read_error(error: io::Error) -> ArchiveError {
    match error.kind() {
        io::ErrorKind::ConnectionAborted => ArchiveError::Left,
        _ => ArchiveError::Read(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read_all(bytes: Vec<u8>) -> Result<Vec<u8>, ArchiveError> {
        let mut read = Vec::new();
        uncompressed(io::Cursor::new(bytes))?.read_to_end(&mut read).map_err(read_error)?;
        Ok(read)
    }

    #[test]
    fn every_compression_is_seen_from_the_first_bytes() {
        let plain = b"something to read".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).expect("memory");
        let zstd = zstd::encode_all(plain.as_slice(), 1).expect("memory");
        for packed in [plain.clone(), gzip.finish().expect("memory"), zstd] {
            assert_eq!(read_all(packed).expect("readable"), plain);
        }
        assert_eq!(read_all(vec![0x1f]).expect("short"), [0x1f]);
        assert!(matches!(read_all(vec![0x1f, 0x8b, 8, 0, 1, 2]), Err(ArchiveError::Read(_))));
    }

    #[tokio::test]
    async fn a_sender_that_leaves_is_not_the_end() {
        for ends in [true, false] {
            let (input, mut output) = Input::channel();
            let reading = tokio::task::spawn_blocking(move || {
                let mut read = Vec::new();
                output.read_to_end(&mut read).map(|_| read)
            });
            assert!(input.send(b"ab".to_vec()).await && input.send(b"c".to_vec()).await);
            if ends {
                input.end().await;
            } else {
                drop(input);
            }
            let read = reading.await.expect("no panic");
            assert_eq!(read.ok(), ends.then(|| b"abc".to_vec()));
        }
    }
}
