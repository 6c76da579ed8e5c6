//! Blobs: streamed to disk, hashed on the way, gone on with where a connection broke.

use reqwest::Response;
use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

use super::error::{Cause, RegistryError};
use super::session::Session;
use crate::content::{ContentError, Digest, Ingest};

/// Connections in a row that bring nothing new.
const MAX_IDLE_TRIES: u32 = 5;
/// Pieces on their way from the network to the disk: a MiB or so.
const PIECES_AHEAD: usize = 64;
/// Slower than this is a registry that keeps us busy and gives us nothing: 16 KiB in a minute.
const SLOWEST: (u64, Duration) = (16 << 10, Duration::from_secs(60));

enum Piece {
    Bytes(Vec<u8>),
    /// What was sent before is void.
    Restart,
    Finish,
}

/// The disk's side of a download, on a thread that may block.
struct Writer {
    pieces: mpsc::Sender<Piece>,
    written: JoinHandle<Result<(), ContentError>>,
}

impl Writer {
    fn start(mut ingest: Ingest) -> Self {
        let (pieces, mut coming) = mpsc::channel(PIECES_AHEAD);
        let written = tokio::task::spawn_blocking(move || {
            while let Some(piece) = coming.blocking_recv() {
                match piece {
                    Piece::Bytes(bytes) => ingest.write(&bytes)?,
                    Piece::Restart => ingest.restart()?,
                    Piece::Finish => return ingest.commit().map(drop),
                }
            }
            // The download was given up: what came is kept for the next.
            Ok(())
        });
        Self { pieces, written }
    }

    /// Whether the disk still takes pieces; if not, [`Self::finish`] says why.
    async fn send(&self, piece: Piece) -> bool {
        self.pieces.send(piece).await.is_ok()
    }

    async fn finish(self) -> Result<(), RegistryError> {
        // A writer that has ended has an error to tell.
        drop(self.pieces.send(Piece::Finish).await);
        Ok(self.written.await??)
    }
}

impl Session {
    /// Brings the blob of `size_bytes` that `ingest` was claimed for. `told` hears how many bytes are here.
    ///
    /// # Errors
    /// [`RegistryError`]; what came before it is kept for the next try, unless it is wrong.
    pub(in crate::images) async fn blob(
        &self,
        digest: &Digest,
        size_bytes: u64,
        ingest: Ingest,
        told: impl Fn(u64),
    ) -> Result<(), RegistryError> {
        let mut offset = ingest.offset();
        let mut furthest = offset;
        let mut idle_tries = 0;
        let writer = Writer::start(ingest);
        while offset < size_bytes {
            let response = match self.part(digest, offset).await? {
                Part::From(response) => response,
                Part::Start(response) => {
                    offset = 0;
                    if !writer.send(Piece::Restart).await {
                        return writer.finish().await;
                    }
                    response
                }
            };
            let broken = match self.stream(response, &writer, (&mut offset, size_bytes), &told).await {
                Streamed::Whole => break,
                Streamed::Refused => return writer.finish().await,
                Streamed::Broken(error) => error,
            };
            idle_tries = if offset > furthest { 0 } else { idle_tries + 1 };
            furthest = furthest.max(offset);
            if idle_tries == MAX_IDLE_TRIES {
                return Err(broken);
            }
            tracing::debug!(%digest, offset, "a download broke and goes on");
        }
        writer.finish().await
    }

    async fn part(&self, digest: &Digest, offset: u64) -> Result<Part, RegistryError> {
        let mut headers = HeaderMap::new();
        if offset > 0 {
            let range = HeaderValue::from_str(&format!("bytes={offset}-")).expect("digits are a header");
            headers.insert(RANGE, range);
        }
        match self.get(&format!("blobs/{digest}"), &headers).await? {
            Ok(response) if offset > 0 && starts_at(&response) == Some(offset) => Ok(Part::From(response)),
            Ok(response) if response.status() == 200 => Ok(Part::Start(response)),
            // Another part than was asked for, or no such part: all of it, then.
            Ok(_) => Box::pin(self.part(digest, 0)).await,
            Err(refused) if refused.status == 416 && offset > 0 => Box::pin(self.part(digest, 0)).await,
            Err(refused) if refused.status == 404 => Err(RegistryError::NoBlob),
            Err(refused) => Err(self.refusal(refused).await),
        }
    }

    async fn stream(
        &self,
        mut response: Response,
        writer: &Writer,
        (offset, size_bytes): (&mut u64, u64),
        told: &impl Fn(u64),
    ) -> Streamed {
        let mut window = (Instant::now(), *offset);
        loop {
            let piece = match response.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) if *offset >= size_bytes => return Streamed::Whole,
                Ok(None) => return Streamed::Broken(self.broken("it ended too early")),
                Err(error) => return Streamed::Broken(self.lost(&error.without_url())),
            };
            *offset += piece.len() as u64;
            if !writer.send(Piece::Bytes(piece.into())).await {
                return Streamed::Refused;
            }
            told(*offset);
            if window.0.elapsed() >= SLOWEST.1 {
                if *offset - window.1 < SLOWEST.0 {
                    return Streamed::Broken(self.broken("it is too slow"));
                }
                window = (Instant::now(), *offset);
            }
        }
    }

    fn broken(&self, why: &str) -> RegistryError {
        RegistryError::Broken { registry: self.registry().to_owned(), source: Cause::said(why) }
    }
}

enum Part {
    /// From where we are.
    From(Response),
    /// From the beginning.
    Start(Response),
}

enum Streamed {
    Whole,
    /// The disk takes no more.
    Refused,
    Broken(RegistryError),
}

/// `Content-Range: bytes 5-9/10` starts at 5.
fn starts_at(response: &Response) -> Option<u64> {
    if response.status() != 206 {
        return None;
    }
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
