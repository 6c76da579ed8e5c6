//! A layer's bytes on their way: one thread inflates, one hashes, and the caller reads, each in its own time.
//!
//! ```text
//! blob ─▶ inflate ─┬─▶ Stream, read by the placer
//!                  └─▶ hash ─▶ the uncompressed digest
//! ```
//! Chunks are shared, not copied, and come back to be filled again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

use super::error::LayerError;
use super::message::Limits;
use crate::content::{Algorithm, Digest, Hasher};
use crate::layers::confine::ConfineError;

/// One chunk: large enough that handing it on costs nothing, small enough to stay in a cache.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that may wait for the slower of the two readers.
const CHUNKS_AHEAD: usize = 16;
/// How much of the blob is read at once.
const READ_BYTES: usize = 256 << 10;
/// 128 MiB, what zstd's own tools take without being asked; more is memory for an attacker.
const ZSTD_WINDOW_LOG: u32 = 27;

type Chunk = Arc<Vec<u8>>;

/// The uncompressed bytes, in order.
pub(super) struct Stream {
    chunks: Receiver<Result<Chunk, LayerError>>,
    used: SyncSender<Vec<u8>>,
    current: Chunk,
    offset: usize,
    position_bytes: u64,
}

/// The threads behind a [`Stream`].
pub(super) struct Workers {
    inflating: JoinHandle<()>,
    hashing: JoinHandle<Digest>,
}

/// Starts to inflate `blob`. `read` is told how many of its bytes were taken so far, after every chunk.
///
/// # Errors
/// [`LayerError::Confine`] when threads cannot be had.
pub(super) fn start(
    blob: File,
    algorithm: Algorithm,
    limits: Limits,
    mut read: impl FnMut(u64) + Send + 'static,
) -> Result<(Stream, Workers), LayerError> {
    let (to_placer, chunks) = mpsc::sync_channel(CHUNKS_AHEAD);
    let (to_hasher, hashed) = mpsc::sync_channel::<Chunk>(CHUNKS_AHEAD);
    let (used, empty) = mpsc::sync_channel(2 * CHUNKS_AHEAD);
    let give_back = used.clone();
    let hashing = spawn("hash", move || {
        let mut hasher = Hasher::new(algorithm);
        for chunk in hashed {
            hasher.update(&chunk);
            recycle(&give_back, chunk);
        }
        hasher.finish()
    })?;
    let inflating = spawn("inflate", move || {
        let count = Arc::new(AtomicU64::new(0));
        let source = Counted { blob, read: Arc::clone(&count) };
        let send = |chunk: Chunk| {
            // A reader that is gone has said why itself.
            read(count.load(Ordering::Relaxed));
            to_hasher.send(Arc::clone(&chunk)).is_ok() && to_placer.send(Ok(chunk)).is_ok()
        };
        if let Err(error) = inflate(source, limits, &count, &empty, send) {
            drop(to_placer.send(Err(error)));
        }
    })?;
    let stream = Stream { chunks, used, current: Chunk::default(), offset: 0, position_bytes: 0 };
    Ok((stream, Workers { inflating, hashing }))
}

fn spawn<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, LayerError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| {
        let source = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::AGAIN).into();
        ConfineError::Step { doing: "starting a thread".into(), source }.into()
    })
}

impl Workers {
    /// The digest of the whole uncompressed stream, which must have been read to its end.
    pub(super) fn finish(self, stream: Stream) -> Digest {
        drop(stream);
        self.inflating.join().expect("inflating does not panic");
        self.hashing.join().expect("hashing does not panic")
    }
}

/// A chunk that nobody else reads any more is filled again. When the queue is full there are enough.
fn recycle(used: &SyncSender<Vec<u8>>, chunk: Chunk) {
    if let Ok(bytes) = Arc::try_unwrap(chunk) {
        drop(used.try_send(bytes));
    }
}

struct Counted {
    blob: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.blob.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn inflate(
    source: Counted,
    limits: Limits,
    read: &AtomicU64,
    empty: &Receiver<Vec<u8>>,
    mut send: impl FnMut(Chunk) -> bool,
) -> Result<(), LayerError> {
    let corrupt =
        |at_bytes| move |error: io::Error| LayerError::Corrupt { at_bytes, reason: error.to_string() };
    let mut decoder = decoder(BufReader::with_capacity(READ_BYTES, source))?;
    let mut total_bytes = 0;
    loop {
        let mut chunk = empty.try_recv().unwrap_or_default();
        chunk.resize(CHUNK_BYTES, 0);
        let filled = fill(&mut decoder, &mut chunk).map_err(corrupt(total_bytes))?;
        if filled == 0 {
            return Ok(());
        }
        total_bytes += filled as u64;
        let allowed = limits.free_bytes.max(read.load(Ordering::Relaxed).saturating_mul(limits.ratio));
        let allowed = allowed.min(limits.layer_bytes);
        if total_bytes > allowed {
            return Err(LayerError::TooMany { what: "bytes when uncompressed".into(), limit: allowed });
        }
        chunk.truncate(filled);
        if !send(Arc::new(chunk)) {
            return Ok(());
        }
    }
}

fn fill(decoder: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match decoder.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// By the first bytes: media types lie, and docker archives have none.
fn decoder(mut blob: BufReader<Counted>) -> Result<Box<dyn Read>, LayerError> {
    let start =
        blob.fill_buf().map_err(|error| LayerError::Corrupt { at_bytes: 0, reason: error.to_string() })?;
    match start {
        [0x1f, 0x8b, ..] => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(blob))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            let opened = zstd::stream::read::Decoder::with_buffer(blob).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Ok(decoder)
            });
            let decoder =
                opened.map_err(|error| LayerError::Corrupt { at_bytes: 0, reason: error.to_string() })?;
            Ok(Box::new(decoder))
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(LayerError::Compression("xz".into())),
        [b'B', b'Z', b'h', ..] => Err(LayerError::Compression("bzip2".into())),
        _ => Ok(Box::new(blob)),
    }
}

impl Stream {
    /// Where in the uncompressed bytes the next one is.
    pub(super) fn position_bytes(&self) -> u64 {
        self.position_bytes
    }

    /// The bytes that are at hand, at least one; empty at the end.
    pub(super) fn available(&mut self) -> Result<&[u8], LayerError> {
        while self.offset == self.current.len() {
            let Ok(next) = self.chunks.recv() else {
                self.current = Chunk::default();
                self.offset = 0;
                return Ok(&[]);
            };
            recycle(&self.used, std::mem::replace(&mut self.current, next?));
            self.offset = 0;
        }
        Ok(&self.current[self.offset..])
    }

    /// Goes past `count` of the available bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.offset += count;
        self.position_bytes += count as u64;
    }

    /// Fills `buffer`, or says how many bytes there were before the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, LayerError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let available = self.available()?;
            let count = available.len().min(buffer.len() - filled);
            if count == 0 {
                break;
            }
            buffer[filled..filled + count].copy_from_slice(&available[..count]);
            self.consume(count);
            filled += count;
        }
        Ok(filled)
    }

    /// Hands out exactly `count` bytes, piece by piece.
    pub(super) fn take(
        &mut self,
        count: u64,
        mut piece: impl FnMut(&[u8]) -> Result<(), LayerError>,
    ) -> Result<(), LayerError> {
        let mut left = count;
        while left > 0 {
            let at_bytes = self.position_bytes;
            let available = self.available()?;
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(available.len());
            if length == 0 {
                return Err(LayerError::Truncated { at_bytes });
            }
            piece(&available[..length])?;
            self.consume(length);
            left -= length as u64;
        }
        Ok(())
    }

    /// Reads what is left: it belongs to the digest.
    pub(super) fn drain(&mut self) -> Result<(), LayerError> {
        loop {
            let count = self.available()?.len();
            if count == 0 {
                return Ok(());
            }
            self.consume(count);
        }
    }
}
