//! Blobs: streamed to disk, hashed on the way, gone on with where a connection broke.

use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Response, StatusCode};
use tokio::task::JoinHandle;

use super::budget::Budget;
use super::error::{Cause, RegistryError};
use super::session::Session;
use crate::content::{ContentError, Digest, Ingest};

/// Connections in a row that bring nothing new.
const MAX_IDLE_TRIES: u32 = 5;
/// Bytes that are written at a time.
const PIECE_BYTES: usize = 256 << 10;

/// The disk's side of a download. One piece is written and hashed, on a thread that may block, while the next comes from
/// the network. No thread is held while the registry is waited for: a stalled registry would use them up.
struct Writer {
    piece: Vec<u8>,
    state: State,
}

enum State {
    Idle(Box<Ingest>),
    Writing(JoinHandle<Result<Ingest, ContentError>>),
    /// It failed, and said so.
    Ended,
}

impl Writer {
    fn new(ingest: Ingest) -> Self {
        Self { piece: Vec::with_capacity(PIECE_BYTES), state: State::Idle(Box::new(ingest)) }
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), RegistryError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE_BYTES - self.piece.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == PIECE_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Hands on what has come; waits for the piece before it only.
    async fn flush(&mut self) -> Result<(), RegistryError> {
        let mut ingest = self.ingest().await?;
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        let write = move || ingest.write(&piece).map(|_| ingest);
        self.state = State::Writing(tokio::task::spawn_blocking(write));
        Ok(())
    }

    /// Forgets everything that came.
    async fn restart(&mut self) -> Result<(), RegistryError> {
        self.piece.clear();
        let mut ingest = self.ingest().await?;
        let restart = move || ingest.restart().map(|()| ingest);
        self.state = State::Writing(tokio::task::spawn_blocking(restart));
        Ok(())
    }

    async fn finish(mut self) -> Result<(), RegistryError> {
        self.flush().await?;
        let ingest = self.ingest().await?;
        tokio::task::spawn_blocking(move || ingest.commit()).await??;
        Ok(())
    }

    async fn ingest(&mut self) -> Result<Ingest, RegistryError> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Idle(ingest) => Ok(*ingest),
            State::Writing(writing) => Ok(writing.await??),
            State::Ended => unreachable!("the download ends with the first error of its writer"),
        }
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
        let mut download = Download {
            session: self,
            budget: Budget::blob(size_bytes),
            offset: ingest.offset(),
            furthest: ingest.offset(),
            size_bytes,
            writer: Writer::new(ingest),
        };
        let mut idle_tries = 0;
        while download.offset < size_bytes {
            let before = download.furthest;
            let broken = match download.part(digest).await? {
                Some(response) => match download.stream(response, &told).await? {
                    None => break,
                    Some(broken) => broken,
                },
                None => self.broken("it sends other parts than it is asked for"),
            };
            download.writer.flush().await?;
            idle_tries = if download.furthest > before { 0 } else { idle_tries + 1 };
            if idle_tries == MAX_IDLE_TRIES {
                return Err(broken);
            }
            tracing::debug!(%digest, offset = download.offset, "a download broke and goes on");
        }
        download.writer.finish().await
    }

    fn broken(&self, why: &str) -> RegistryError {
        RegistryError::Broken { registry: self.registry().to_owned(), source: Cause::said(why) }
    }
}

/// One blob on its way, over as many connections as it takes.
struct Download<'a> {
    session: &'a Session,
    budget: Budget,
    /// Bytes that are here.
    offset: u64,
    /// The most that were here at any time; only what is beyond is progress.
    furthest: u64,
    size_bytes: u64,
    writer: Writer,
}

impl Download<'_> {
    /// Asks for what is missing. `None` when there is no such part: the next request is for all of it.
    async fn part(&mut self, digest: &Digest) -> Result<Option<Response>, RegistryError> {
        let mut headers = HeaderMap::new();
        if self.offset > 0 {
            let range = format!("bytes={}-", self.offset);
            headers.insert(RANGE, HeaderValue::from_str(&range).expect("digits are a header"));
        }
        let response = match self.session.get(&format!("blobs/{digest}"), &headers, &mut self.budget).await? {
            Ok(response) => response,
            Err(refused) if refused.status == 416 && self.offset > 0 => return self.start_again(None).await,
            Err(refused) if refused.status == 404 => return Err(RegistryError::NoBlob),
            Err(refused) => return Err(self.session.refusal(refused).await),
        };
        if response.status() != StatusCode::PARTIAL_CONTENT {
            // All of it, whatever was asked for.
            return self.start_again(Some(response)).await;
        }
        match first_byte(&response) {
            Some(first) if first == self.offset => Ok(Some(response)),
            _ => self.start_again(None).await,
        }
    }

    async fn start_again(&mut self, response: Option<Response>) -> Result<Option<Response>, RegistryError> {
        if self.offset > 0 {
            self.offset = 0;
            self.writer.restart().await?;
        }
        Ok(response)
    }

    /// Takes in what one connection brings. Returns why it broke, if it did before the end.
    async fn stream(
        &mut self,
        mut response: Response,
        told: &impl Fn(u64),
    ) -> Result<Option<RegistryError>, RegistryError> {
        let session = self.session;
        loop {
            let piece = self.budget.wait(response.chunk()).await.map_err(|error| session.gave_up(error))?;
            let piece = match piece {
                Ok(Some(piece)) => piece,
                Ok(None) if self.offset >= self.size_bytes => return Ok(None),
                Ok(None) => return Ok(Some(session.broken("it ended too early"))),
                Err(error) => return Ok(Some(session.lost(&error.without_url()))),
            };
            self.offset += piece.len() as u64;
            self.budget.progress(self.offset.saturating_sub(self.furthest));
            self.furthest = self.furthest.max(self.offset);
            self.writer.write(&piece).await?;
            told(self.offset);
        }
    }
}

/// `Content-Range: bytes 5-9/10` begins with byte 5.
fn first_byte(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
