//! Content: blobs by digest. A blob has its name only once its bytes were verified and are on disk, so what is under
//! `blobs/` is whole and right; what is under `ingest/` is neither yet. It never knows what a blob means or who needs it.
//!
//! ```text
//! content/blobs/<algorithm>/<hex>      verified, fsynced, then renamed here, directory fsynced
//! content/ingest/<algorithm>-<hex>-<origin>   a download that can go on where it stopped
//! content/ingest/new-<n>               bytes that are at hand as a whole; gone after a restart
//! content/damaged/<algorithm>-<hex>    a blob that has no longer the bytes that its name says
//! ```
//! A blob that is found damaged is moved to `damaged/`: it is not here any more, and the next pull fetches it again.
#![allow(
    clippy::disallowed_methods,
    reason = "files are touched on blocking threads, and before clients are served"
)]

mod digest;
mod ingest;

use std::collections::HashMap;
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use knarr_proto::kind::Kind;

use crate::files::{FileError, failed};
pub(crate) use digest::{Algorithm, Digest, Hasher, InvalidDigest};
pub(crate) use ingest::{Ingest, Verified};

/// A download that is not continued within a day is not worth its disk space, nor is a damaged blob as evidence.
const MAX_LEFTOVER_AGE: Duration = Duration::from_secs(24 * 3600);
/// Hexadecimal digits of an origin's name: two origins that meet would share a file, which is verified all the same.
const ORIGIN_DIGITS: usize = 16;

/// The blobs on disk; clones share them.
#[derive(Clone)]
pub(crate) struct Content {
    shared: Arc<Shared>,
}

/// Held by the one that writes.
type Turn = Arc<tokio::sync::Mutex<()>>;

struct Shared {
    blobs: PathBuf,
    ingest: PathBuf,
    damaged: PathBuf,
    next_unnamed: AtomicU64,
    /// One writer for each digest and origin; unused entries are dropped when the next one is made.
    writers: Mutex<HashMap<(Digest, Origin), Turn>>,
}

/// Where a download comes from. Only downloads from the same origin share a partial file and wait for one another, so
/// that a stalled or lying registry holds up no download from another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin(String);

impl Origin {
    /// For the repository of this name, `registry/path`.
    #[must_use]
    pub(crate) fn repository(name: &str) -> Self {
        Self(Digest::of(name.as_bytes()).hex()[..ORIGIN_DIGITS].to_owned())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The outcome of [`Content::claim`].
#[expect(clippy::large_enum_variant, reason = "one at a time, and taken apart at once")]
pub(crate) enum Claim {
    /// The blob is here already.
    Here,
    /// The caller must download it, and holds the only claim of its origin.
    Bring(Ingest),
}

/// Why content could not be had or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    /// There is no such blob.
    #[error("blob {0} is not here")]
    NotHere(Digest),
    /// The bytes on disk are no longer those that the digest names.
    #[error("blob {0} is damaged on disk and was set aside: pull the image again")]
    Damaged(Digest),
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
    #[error(transparent)]
    File(#[from] FileError),
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
            Self::Damaged(_) | Self::WrongDigest { .. } | Self::WrongSize { .. } => Kind::DataLoss,
            Self::TooLarge { .. } => Kind::InvalidArgument,
            Self::File(source) => source.kind(),
            Self::Task(_) => Kind::Internal,
        }
    }
}

impl Content {
    /// Opens (or makes) the content below `root` and sweeps what interrupted work left behind. Blocks.
    ///
    /// # Errors
    /// [`ContentError::File`].
    pub(crate) fn open(root: &Path) -> Result<Self, ContentError> {
        let blobs = root.join("blobs");
        let (ingest, damaged) = (root.join("ingest"), root.join("damaged"));
        for directory in [&blobs.join("sha256"), &blobs.join("sha512"), &ingest, &damaged] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(failed("make directory", directory))?;
        }
        for directory in [&blobs, root] {
            sync_directory(directory)?;
        }
        sweep(&ingest, |name, age| name.starts_with("new-") || age > MAX_LEFTOVER_AGE)?;
        let (next_unnamed, writers) = (AtomicU64::new(0), Mutex::default());
        let content = Self { shared: Arc::new(Shared { blobs, ingest, damaged, next_unnamed, writers }) };
        content.sweep_old_blocking()?;
        Ok(content)
    }

    /// Removes downloads that were not continued, and damaged blobs, of more than a day ago. Blocks.
    ///
    /// # Errors
    /// [`ContentError::File`].
    pub(crate) fn sweep_old_blocking(&self) -> Result<(), ContentError> {
        for directory in [&self.shared.ingest, &self.shared.damaged] {
            sweep(directory, |_, age| age > MAX_LEFTOVER_AGE)?;
        }
        Ok(())
    }

    /// Where the blob is or would be.
    #[must_use]
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.shared.blobs.join(digest.algorithm().name()).join(digest.hex())
    }

    /// The blob's size in bytes, `None` when it is not here. What stands in its place and is no file is set aside. Blocks.
    ///
    /// # Errors
    /// [`ContentError::File`].
    pub(crate) fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError> {
        let path = self.path(digest);
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => self.set_aside_blocking(digest).map(|()| None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("look at blob", path)(error).into()),
        }
    }

    /// Opens the blob for reading. What stands in its place and is no file is set aside. Blocks.
    ///
    /// # Errors
    /// [`ContentError::NotHere`], [`ContentError::File`].
    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<File, ContentError> {
        if self.size(digest)?.is_none() {
            return Err(ContentError::NotHere(digest.clone()));
        }
        let path = self.path(digest);
        File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ContentError::NotHere(digest.clone()),
            _ => failed("open blob", path)(error).into(),
        })
    }

    /// Reads a small blob whole and verifies it once more. One that is damaged is set aside. Blocks.
    ///
    /// # Errors
    /// [`ContentError::NotHere`], [`ContentError::TooLarge`], [`ContentError::Damaged`], [`ContentError::File`].
    pub(crate) fn read_blocking(&self, digest: &Digest, limit_bytes: u64) -> Result<Vec<u8>, ContentError> {
        let mut bytes = Vec::new();
        let read = self.open_blob(digest)?.take(limit_bytes + 1).read_to_end(&mut bytes);
        let is_too_large = bytes.len() as u64 > limit_bytes;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        match read {
            Ok(_) if !is_too_large && hasher.finish() == *digest => Ok(bytes),
            Err(error) if !is_decay(&error) => Err(failed("read blob", self.path(digest))(error).into()),
            _ if is_too_large && self.recheck_blocking(digest)? => {
                Err(ContentError::TooLarge { what: digest.to_string(), limit: limit_bytes })
            }
            _ => {
                self.set_aside_blocking(digest)?;
                Err(ContentError::Damaged(digest.clone()))
            }
        }
    }

    /// Returns true if the blob is here with the bytes that its name says. One that is damaged is set aside. Blocks.
    ///
    /// # Errors
    /// [`ContentError::File`].
    pub(crate) fn recheck_blocking(&self, digest: &Digest) -> Result<bool, ContentError> {
        let mut file = match self.open_blob(digest) {
            Ok(file) => file,
            Err(ContentError::NotHere(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut hasher = Hasher::new(digest.algorithm());
        match ingest::hash_all(&mut file, &mut hasher) {
            Ok(_) if hasher.finish() == *digest => Ok(true),
            Err(error) if !is_decay(&error) => Err(failed("read blob", self.path(digest))(error).into()),
            _ => {
                self.set_aside_blocking(digest)?;
                Ok(false)
            }
        }
    }

    /// Takes a damaged blob's name from it. Blocks.
    ///
    /// # Errors
    /// [`ContentError::File`].
    pub(crate) fn set_aside_blocking(&self, digest: &Digest) -> Result<(), ContentError> {
        let path = self.path(digest);
        let aside = self.shared.damaged.join(format!("{}-{}", digest.algorithm().name(), digest.hex()));
        tracing::warn!(blob = %digest, aside = %aside.display(), "a blob is damaged on disk and is set aside");
        match std::fs::rename(&path, &aside) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => Ok(()),
            // There is an earlier one of it, or no such directory: then it is only removed.
            Err(_) => Ok(remove_any(&path).map_err(failed("remove damaged blob", path))?),
        }
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
    /// [`ContentError::File`], [`ContentError::Task`].
    pub(crate) async fn put(&self, bytes: Vec<u8>) -> Result<Digest, ContentError> {
        let digest = Digest::of(&bytes);
        self.put_as(&digest, bytes).await?;
        Ok(digest)
    }

    /// As [`Content::put`], for bytes whose digest is given.
    ///
    /// # Errors
    /// As there, and [`ContentError::WrongDigest`].
    pub(crate) async fn put_as(&self, digest: &Digest, bytes: Vec<u8>) -> Result<(), ContentError> {
        let (content, digest) = (self.clone(), digest.clone());
        let put = move || {
            let Some(mut ingest) = content.ingest_named(&digest, bytes.len() as u64)? else { return Ok(()) };
            ingest.write(&bytes)?;
            ingest.commit().map(drop)
        };
        tokio::task::spawn_blocking(put).await.map_err(ContentError::Task)?
    }

    /// Makes the caller the one who downloads blob `digest` of `size_bytes` from `origin`. Waits while another download
    /// from there does.
    ///
    /// # Errors
    /// [`ContentError::WrongSize`] when the blob is here and has another size; [`ContentError::File`],
    /// [`ContentError::Task`].
    pub(crate) async fn claim(
        &self,
        digest: &Digest,
        size_bytes: u64,
        origin: &Origin,
    ) -> Result<Claim, ContentError> {
        if self.is_here(digest, size_bytes).await? {
            return Ok(Claim::Here);
        }
        let turn = self.writer(digest, origin).lock_owned().await;
        if self.is_here(digest, size_bytes).await? {
            return Ok(Claim::Here);
        }
        let (content, digest, origin) = (self.clone(), digest.clone(), origin.clone());
        let opened = move || Ingest::resume(content, (digest, size_bytes), &origin, turn);
        tokio::task::spawn_blocking(opened).await.map_err(ContentError::Task)?.map(Claim::Bring)
    }

    async fn is_here(&self, digest: &Digest, size_bytes: u64) -> Result<bool, ContentError> {
        let (content, digest) = (self.clone(), digest.clone());
        let looked = move || content.is_here_blocking(&digest, size_bytes);
        tokio::task::spawn_blocking(looked).await.map_err(ContentError::Task)?
    }

    /// A blob of another size is damaged, or whoever said the size is wrong.
    fn is_here_blocking(&self, digest: &Digest, size_bytes: u64) -> Result<bool, ContentError> {
        match self.size(digest)? {
            None => Ok(false),
            Some(found) if found == size_bytes => Ok(true),
            Some(found) if self.recheck_blocking(digest)? => {
                Err(ContentError::WrongSize { digest: digest.clone(), expected: size_bytes, found })
            }
            Some(_) => Ok(false),
        }
    }

    /// Takes in blob `digest` of `size_bytes`, whose bytes are at hand; `None` when it is here. Blocks.
    ///
    /// # Errors
    /// [`ContentError::WrongSize`] when the blob is here and has another size; [`ContentError::File`].
    pub(crate) fn ingest_named(
        &self,
        digest: &Digest,
        size_bytes: u64,
    ) -> Result<Option<Ingest>, ContentError> {
        // As the bytes are at hand, a damaged blob is best replaced now.
        if self.is_here_blocking(digest, size_bytes)? && self.recheck_blocking(digest)? {
            return Ok(None);
        }
        Ingest::copy(self.clone(), &self.new_name(), digest.clone(), size_bytes).map(Some)
    }

    /// Takes in bytes whose digest is not known yet, at most `limit_bytes`. Blocks.
    ///
    /// # Errors
    /// [`ContentError::File`].
    pub(crate) fn ingest_unnamed(&self, limit_bytes: u64) -> Result<Ingest, ContentError> {
        Ingest::unnamed(self.clone(), &self.new_name(), limit_bytes)
    }

    fn new_name(&self) -> String {
        format!("new-{}", self.shared.next_unnamed.fetch_add(1, Ordering::Relaxed))
    }

    /// Brings verified blobs to disk with one sync, however many there are, and names them. Blocks.
    ///
    /// # Errors
    /// [`ContentError::File`]; then some may have their names, and the others are gone.
    pub(crate) fn name_all(&self, blobs: Vec<Verified>) -> Result<(), ContentError> {
        ingest::name_all(self, blobs)
    }

    /// Removes a blob; that it is not here is no error. Returns true if it was. Blocks.
    ///
    /// # Errors
    /// [`ContentError::File`].
    pub(crate) fn remove(&self, digest: &Digest) -> Result<bool, ContentError> {
        let path = self.path(digest);
        match remove_any(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("remove blob", path)(error).into()),
        }
    }

    /// Every blob that is here. Blocks.
    ///
    /// # Errors
    /// [`ContentError::File`].
    pub(crate) fn list(&self) -> Result<Vec<Digest>, ContentError> {
        let mut digests = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let directory = self.shared.blobs.join(algorithm.name());
            let entries = match std::fs::read_dir(&directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(failed("list", &directory))?,
            };
            for entry in entries {
                let name = entry.map_err(failed("list", &directory))?.file_name();
                // Only we write here; a foreign name is an administrator's and left alone.
                let text = format!("{}:{}", algorithm.name(), name.to_string_lossy());
                digests.extend(text.parse::<Digest>());
            }
        }
        Ok(digests)
    }

    fn writer(&self, digest: &Digest, origin: &Origin) -> Turn {
        let mut writers = self.shared.writers.lock().unwrap_or_else(PoisonError::into_inner);
        writers.retain(|_, writer| Arc::strong_count(writer) > 1);
        Arc::clone(writers.entry((digest.clone(), origin.clone())).or_default())
    }
}

fn sync_directory(directory: &Path) -> Result<(), ContentError> {
    let synced = File::open(directory).and_then(|opened| opened.sync_all());
    Ok(synced.map_err(failed("sync directory", directory))?)
}

/// A read error that says that the bytes are lost.
fn is_decay(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// A blob, or what stands in its place.
fn remove_any(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => std::fs::remove_dir_all(path),
        removed => removed,
    }
}

/// Removes the files that `is_rubbish` by name and age.
fn sweep(directory: &Path, is_rubbish: impl Fn(&str, Duration) -> bool) -> Result<(), ContentError> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed("list", directory))?,
    };
    for entry in entries {
        let entry = entry.map_err(failed("list", directory))?;
        let path = entry.path();
        let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) else { continue };
        // A clock that went backwards makes a file from the future: young.
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        if is_rubbish(&entry.file_name().to_string_lossy(), age) {
            match remove_any(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", path)(error).into());
                }
                _ => {}
            }
        }
    }
    Ok(())
}
