//! Content: blobs by digest. A blob has its name only once its bytes were verified and are on disk, so what is under
//! `blobs/` is whole and right; what is under `ingest/` is neither yet. It never knows what a blob means or who needs it.
//!
//! ```text
//! content/blobs/<algorithm>/<hex>      verified, fsynced, then renamed here, directory fsynced
//! content/ingest/<algorithm>-<hex>     a download that can go on where it stopped
//! content/ingest/new-<n>               bytes whose digest is not known yet; gone after a restart
//! ```

mod digest;
mod ingest;

use std::collections::HashMap;
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use knarr_proto::kind::Kind;

use crate::files::kind_of_io;
pub(crate) use digest::{Algorithm, Digest, Hasher, InvalidDigest};
pub(crate) use ingest::Ingest;

/// A partial download that nobody came back for in a week is not worth its disk space.
const MAX_PARTIAL_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The blobs on disk; clones share them.
#[derive(Clone)]
pub(crate) struct Content {
    shared: Arc<Shared>,
}

struct Shared {
    blobs: PathBuf,
    ingest: PathBuf,
    next_unnamed: AtomicU64,
    /// One writer for each digest; entries nobody holds are dropped when the next one is made.
    writers: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

/// What [`Content::claim`] found.
#[expect(clippy::large_enum_variant, reason = "one at a time, and taken apart at once")]
pub(crate) enum Claim {
    /// The blob is here already.
    Here,
    /// It is for the caller to bring; nobody else does at the same time.
    Bring(Ingest),
}

/// Why content could not be had or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    /// There is no such blob.
    #[error("blob {0} is not here")]
    NotHere(Digest),
    /// The bytes are not those that the digest names.
    #[error("wrong digest: expected {expected}, the bytes have {found}")]
    WrongDigest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// More or fewer bytes than the descriptor says.
    #[error("wrong size: {digest} should have {expected} bytes, {found} came")]
    WrongSize {
        /// The blob.
        digest: Digest,
        /// The descriptor's size.
        expected: u64,
        /// Bytes that came; at least one too many when too long.
        found: u64,
    },
    /// A document is larger than anything sensible.
    #[error("{what} is larger than the {limit} bytes allowed")]
    TooLarge {
        /// The blob or file.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// The file system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What we were doing.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The blocking task is gone: the daemon is stopping, or it panicked.
    #[error("the content task ended early")]
    Task(#[source] tokio::task::JoinError),
}

impl ContentError {
    /// What kind of failure this is.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::NotHere(_) => Kind::NotFound,
            Self::WrongDigest { .. } | Self::WrongSize { .. } => Kind::DataLoss,
            Self::TooLarge { .. } => Kind::InvalidArgument,
            Self::Io { source, .. } => kind_of_io(source),
            Self::Task(_) => Kind::Internal,
        }
    }
}

/// Shorthand for `map_err`: what was done, to which file.
fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ContentError {
    move |source| ContentError::Io { doing, path: path.to_owned(), source }
}

impl Content {
    /// Opens (or makes) the content below `root` and sweeps what interrupted work left behind. Blocks.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub(crate) fn open(root: &Path) -> Result<Self, ContentError> {
        let blobs = root.join("blobs");
        let ingest = root.join("ingest");
        for directory in [&blobs.join("sha256"), &blobs.join("sha512"), &ingest] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(failed("make directory", directory))?;
        }
        for directory in [&blobs, root] {
            sync_directory(directory)?;
        }
        sweep(&ingest)?;
        let writers = Mutex::new(HashMap::new());
        Ok(Self { shared: Arc::new(Shared { blobs, ingest, next_unnamed: AtomicU64::new(0), writers }) })
    }

    /// Where the blob is or would be.
    #[must_use]
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.shared.blobs.join(digest.algorithm().name()).join(digest.hex())
    }

    /// The blob's size in bytes, `None` when it is not here.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub(crate) fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError> {
        let path = self.path(digest);
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("look at blob", &path)(error)),
        }
    }

    /// Opens the blob for reading.
    ///
    /// # Errors
    /// [`ContentError::NotHere`], [`ContentError::Io`].
    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<File, ContentError> {
        let path = self.path(digest);
        File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ContentError::NotHere(digest.clone()),
            _ => failed("open blob", &path)(error),
        })
    }

    /// Reads a small blob whole and verifies it once more: what decays on disk is not believed. Blocks.
    ///
    /// # Errors
    /// [`ContentError::NotHere`], [`ContentError::TooLarge`], [`ContentError::WrongDigest`], [`ContentError::Io`].
    pub(crate) fn read_blocking(&self, digest: &Digest, limit_bytes: u64) -> Result<Vec<u8>, ContentError> {
        let mut bytes = Vec::new();
        let file = self.open_blob(digest)?;
        file.take(limit_bytes + 1)
            .read_to_end(&mut bytes)
            .map_err(failed("read blob", &self.path(digest)))?;
        if bytes.len() as u64 > limit_bytes {
            return Err(ContentError::TooLarge { what: digest.to_string(), limit: limit_bytes });
        }
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        let found = hasher.finish();
        if found != *digest {
            return Err(ContentError::WrongDigest { expected: digest.clone(), found });
        }
        Ok(bytes)
    }

    /// Whether the blob still has the bytes that its name says. Blocks.
    ///
    /// # Errors
    /// [`ContentError::NotHere`], [`ContentError::Io`].
    pub(crate) fn is_whole(&self, digest: &Digest) -> Result<bool, ContentError> {
        let mut hasher = Hasher::new(digest.algorithm());
        let mut file = self.open_blob(digest)?;
        ingest::hash_all(&mut file, &mut hasher).map_err(failed("read blob", &self.path(digest)))?;
        Ok(hasher.finish() == *digest)
    }

    /// [`Content::read_blocking`] on a thread that may block.
    ///
    /// # Errors
    /// As there, and [`ContentError::Task`].
    pub(crate) async fn read(&self, digest: &Digest, limit_bytes: u64) -> Result<Vec<u8>, ContentError> {
        let (content, digest) = (self.clone(), digest.clone());
        tokio::task::spawn_blocking(move || content.read_blocking(&digest, limit_bytes))
            .await
            .map_err(ContentError::Task)?
    }

    /// Keeps a small document that is in memory, and says its sha256 digest.
    ///
    /// # Errors
    /// [`ContentError::Io`], [`ContentError::Task`].
    pub(crate) async fn put(&self, bytes: Vec<u8>) -> Result<Digest, ContentError> {
        let digest = Digest::of(&bytes);
        self.put_as(&digest, bytes).await?;
        Ok(digest)
    }

    /// As [`Content::put`], for bytes whose digest somebody has said.
    ///
    /// # Errors
    /// As there, and [`ContentError::WrongDigest`].
    pub(crate) async fn put_as(&self, digest: &Digest, bytes: Vec<u8>) -> Result<(), ContentError> {
        let content = self.clone();
        if let Claim::Bring(mut ingest) = content.claim(digest, bytes.len() as u64).await? {
            let written = move || {
                ingest.restart()?;
                ingest.write(&bytes)?;
                ingest.commit()
            };
            tokio::task::spawn_blocking(written).await.map_err(ContentError::Task)??;
        }
        Ok(())
    }

    /// Makes the caller the one who brings blob `digest` of `size_bytes`. Waits while another does.
    ///
    /// # Errors
    /// [`ContentError::Io`], [`ContentError::Task`].
    pub(crate) async fn claim(&self, digest: &Digest, size_bytes: u64) -> Result<Claim, ContentError> {
        if self.size(digest)?.is_some() {
            return Ok(Claim::Here);
        }
        let turn = self.writer_of(digest).lock_owned().await;
        if self.size(digest)?.is_some() {
            return Ok(Claim::Here);
        }
        let (content, digest) = (self.clone(), digest.clone());
        let opened = move || Ingest::resume(content, digest, size_bytes, turn);
        tokio::task::spawn_blocking(opened).await.map_err(ContentError::Task)?.map(Claim::Bring)
    }

    /// Takes in bytes whose digest nobody has said yet, at most `limit_bytes`. Blocks.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub(crate) fn ingest_unnamed(&self, limit_bytes: u64) -> Result<Ingest, ContentError> {
        let number = self.shared.next_unnamed.fetch_add(1, Ordering::Relaxed);
        Ingest::unnamed(self.clone(), &format!("new-{number}"), limit_bytes)
    }

    /// Removes a blob; that it is not here is no error. Says whether it was. Blocks.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub(crate) fn remove(&self, digest: &Digest) -> Result<bool, ContentError> {
        let path = self.path(digest);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("remove blob", &path)(error)),
        }
    }

    /// Every blob that is here. Blocks.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub(crate) fn list(&self) -> Result<Vec<Digest>, ContentError> {
        let mut digests = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let directory = self.shared.blobs.join(algorithm.name());
            for entry in std::fs::read_dir(&directory).map_err(failed("list", &directory))? {
                let name = entry.map_err(failed("list", &directory))?.file_name();
                // Only we write here; a foreign name is an administrator's and left alone.
                let text = format!("{}:{}", algorithm.name(), name.to_string_lossy());
                digests.extend(text.parse::<Digest>());
            }
        }
        Ok(digests)
    }

    fn writer_of(&self, digest: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut writers = self.shared.writers.lock().unwrap_or_else(PoisonError::into_inner);
        writers.retain(|_, writer| Arc::strong_count(writer) > 1);
        Arc::clone(writers.entry(digest.clone()).or_default())
    }
}

fn sync_directory(directory: &Path) -> Result<(), ContentError> {
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(failed("sync directory", directory))
}

/// Removes what cannot be resumed, and what nobody resumed.
fn sweep(ingest: &Path) -> Result<(), ContentError> {
    for entry in std::fs::read_dir(ingest).map_err(failed("list", ingest))? {
        let entry = entry.map_err(failed("list", ingest))?;
        let path = entry.path();
        let modified =
            entry.metadata().and_then(|metadata| metadata.modified()).map_err(failed("look at", &path))?;
        // A clock that went backwards makes a file from the future: young.
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        let is_unnamed = entry.file_name().to_string_lossy().starts_with("new-");
        if is_unnamed || age > MAX_PARTIAL_AGE {
            std::fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
    }
    Ok(())
}
