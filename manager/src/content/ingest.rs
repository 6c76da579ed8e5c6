//! One blob on its way in: bounded, hashed while it is written, and named only when it is what it should be.
//! Every method may block.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use tokio::sync::OwnedMutexGuard;

use super::{Algorithm, Content, ContentError, Digest, Hasher, failed, sync_directory};
use crate::files::{has_room, is_disk_full};

/// After so many bytes, the disk is asked whether there is room for more.
const ASK_BYTES: u64 = 1 << 20;

/// A blob being written. Dropped without [`Ingest::commit`], a named one stays for the next try, an unnamed one goes.
pub(crate) struct Ingest {
    content: Content,
    file: File,
    path: PathBuf,
    hasher: Hasher,
    written_bytes: u64,
    /// Since the disk was last asked whether there is room.
    unasked_bytes: u64,
    goal: Goal,
}

enum Goal {
    /// Exactly this blob. The guard keeps others from writing the same file.
    Blob { digest: Digest, size_bytes: u64, _turn: OwnedMutexGuard<()> },
    /// Whatever it turns out to be.
    Unnamed { limit_bytes: u64, committed: bool },
}

impl Ingest {
    pub(super) fn resume(
        content: Content,
        digest: Digest,
        size_bytes: u64,
        turn: OwnedMutexGuard<()>,
    ) -> Result<Self, ContentError> {
        let path = content.shared.ingest.join(format!("{}-{}", digest.algorithm().name(), digest.hex()));
        let mut file = open(&path, true)?;
        let mut hasher = Hasher::new(digest.algorithm());
        let mut written_bytes = hash_all(&mut file, &mut hasher).map_err(failed("read", &path))?;
        if written_bytes > size_bytes {
            file.set_len(0).and_then(|()| file.rewind()).map_err(failed("truncate", &path))?;
            hasher = Hasher::new(digest.algorithm());
            written_bytes = 0;
        }
        let goal = Goal::Blob { digest, size_bytes, _turn: turn };
        Ok(Self { content, file, path, hasher, written_bytes, unasked_bytes: 0, goal })
    }

    pub(super) fn unnamed(content: Content, name: &str, limit_bytes: u64) -> Result<Self, ContentError> {
        let path = content.shared.ingest.join(name);
        let file = open(&path, false)?;
        let hasher = Hasher::new(Algorithm::Sha256);
        let goal = Goal::Unnamed { limit_bytes, committed: false };
        Ok(Self { content, file, path, hasher, written_bytes: 0, unasked_bytes: 0, goal })
    }

    /// How many bytes are here: where a download goes on.
    #[must_use]
    pub(crate) fn offset(&self) -> u64 {
        self.written_bytes
    }

    /// Forgets the bytes that are here: the sender starts again from the first.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub(crate) fn restart(&mut self) -> Result<(), ContentError> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(failed("truncate", &self.path))?;
        self.written_bytes = 0;
        self.hasher = Hasher::new(match &self.goal {
            Goal::Blob { digest, .. } => digest.algorithm(),
            Goal::Unnamed { .. } => Algorithm::Sha256,
        });
        Ok(())
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`ContentError::WrongSize`] or [`ContentError::TooLarge`] for the first byte too many; [`ContentError::Io`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        let total = self.written_bytes + bytes.len() as u64;
        match &self.goal {
            Goal::Blob { digest, size_bytes, .. } if total > *size_bytes => {
                return Err(ContentError::WrongSize {
                    digest: digest.clone(),
                    expected: *size_bytes,
                    found: total,
                });
            }
            Goal::Unnamed { limit_bytes, .. } if total > *limit_bytes => {
                return Err(ContentError::TooLarge { what: "a file".to_owned(), limit: *limit_bytes });
            }
            Goal::Blob { .. } | Goal::Unnamed { .. } => {}
        }
        self.unasked_bytes += bytes.len() as u64;
        if self.unasked_bytes >= ASK_BYTES {
            self.unasked_bytes = 0;
            let has_room = has_room(&self.file, 0)
                .map_err(io::Error::from)
                .map_err(failed("look for room for", &self.path))?;
            if !has_room {
                return self.no_room(io::ErrorKind::StorageFull.into());
            }
        }
        if let Err(error) = self.file.write_all(bytes) {
            return self.no_room(error);
        }
        self.hasher.update(bytes);
        self.written_bytes = total;
        Ok(())
    }

    /// Gives the space of a download back when it has filled the disk: what is kept for the next try would be in the way
    /// of everything else.
    fn no_room(&mut self, error: io::Error) -> Result<(), ContentError> {
        if is_disk_full(&error) {
            self.restart()?;
        }
        Err(failed("write", &self.path)(error))
    }

    /// The digest of the bytes that are here.
    #[must_use]
    pub(crate) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Gives up for good: nothing is kept for a next try.
    ///
    /// # Errors
    /// [`ContentError::Io`].
    pub(crate) fn discard(self) -> Result<(), ContentError> {
        match &self.goal {
            Goal::Blob { .. } => std::fs::remove_file(&self.path).map_err(failed("remove", &self.path)),
            // Dropping does it.
            Goal::Unnamed { .. } => Ok(()),
        }
    }

    /// Verifies, brings to disk and names the blob. What has the wrong digest is thrown away, what is too short is
    /// kept for the next try.
    ///
    /// # Errors
    /// [`ContentError::WrongSize`], [`ContentError::WrongDigest`], [`ContentError::Io`].
    pub(crate) fn commit(mut self) -> Result<Digest, ContentError> {
        let found = self.hasher.clone().finish();
        if let Goal::Blob { digest, size_bytes, .. } = &self.goal {
            if self.written_bytes != *size_bytes {
                return Err(ContentError::WrongSize {
                    digest: digest.clone(),
                    expected: *size_bytes,
                    found: self.written_bytes,
                });
            }
            if found != *digest {
                let error = ContentError::WrongDigest { expected: digest.clone(), found };
                std::fs::remove_file(&self.path).map_err(failed("remove", &self.path))?;
                return Err(error);
            }
        }
        self.file.sync_all().map_err(failed("sync", &self.path))?;
        let name = self.content.path(&found);
        std::fs::rename(&self.path, &name).map_err(failed("name", &name))?;
        if let Goal::Unnamed { committed, .. } = &mut self.goal {
            *committed = true;
        }
        sync_directory(name.parent().expect("a blob is in its algorithm's directory"))?;
        Ok(found)
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if let Goal::Unnamed { committed: false, .. } = &self.goal {
            // Should it fail, the sweep at the next start takes the file.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

fn open(path: &std::path::Path, keep: bool) -> Result<File, ContentError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(!keep)
        .mode(0o600)
        .open(path)
        .map_err(failed("open", path))
}

/// Leaves the file's position at its end.
pub(super) fn hash_all(file: &mut File, hasher: &mut Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Claim;
    use super::*;

    fn opened() -> (tempfile::TempDir, Content) {
        let directory = tempfile::tempdir().expect("a directory");
        let content = Content::open(directory.path()).expect("content");
        (directory, content)
    }

    async fn brought(content: &Content, digest: &Digest, size_bytes: u64) -> Ingest {
        match content.claim(digest, size_bytes).await.expect("claimed") {
            Claim::Bring(ingest) => ingest,
            Claim::Here => panic!("{digest} is here already"),
        }
    }

    #[tokio::test]
    async fn an_interrupted_blob_goes_on_where_it_stopped() {
        let (directory, content) = opened();
        let digest = Digest::of(b"hello world");
        let mut first = brought(&content, &digest, 11).await;
        first.write(b"hello ").expect("written");
        drop(first);
        let content = Content::open(directory.path()).expect("the same content after a restart");
        let mut second = brought(&content, &digest, 11).await;
        assert_eq!(second.offset(), 6);
        second.write(b"world").expect("written");
        second.commit().expect("the right digest");
        assert_eq!(content.read(&digest, 100).await.expect("read"), b"hello world");
        assert!(matches!(content.claim(&digest, 11).await, Ok(Claim::Here)));
    }

    #[tokio::test]
    async fn wrong_bytes_are_never_named_and_do_not_stand_in_the_way() {
        let (_directory, content) = opened();
        let digest = Digest::of(b"right");
        let mut ingest = brought(&content, &digest, 5).await;
        ingest.write(b"wrong").expect("written");
        assert!(matches!(ingest.commit(), Err(ContentError::WrongDigest { .. })));
        assert!(matches!(content.open_blob(&digest), Err(ContentError::NotHere(_))));
        let mut ingest = brought(&content, &digest, 5).await;
        assert_eq!(ingest.offset(), 0);
        ingest.write(b"right").expect("written");
        ingest.commit().expect("right at last");
    }

    #[tokio::test]
    async fn one_byte_too_many_or_too_few_is_refused() {
        let (_directory, content) = opened();
        let digest = Digest::of(b"12345");
        let mut ingest = brought(&content, &digest, 5).await;
        assert!(matches!(ingest.write(b"123456"), Err(ContentError::WrongSize { found: 6, .. })));
        ingest.write(b"1234").expect("four of five");
        assert!(matches!(ingest.commit(), Err(ContentError::WrongSize { found: 4, .. })));
    }

    #[tokio::test]
    async fn two_that_want_the_same_blob_wait_for_one_another() {
        let (_directory, content) = opened();
        let digest = Digest::of(b"x");
        let mut first = brought(&content, &digest, 1).await;
        let waiting = tokio::spawn({
            let (content, digest) = (content.clone(), digest.clone());
            async move { content.claim(&digest, 1).await.map(|claim| matches!(claim, Claim::Here)) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        first.write(b"x").expect("written");
        first.commit().expect("committed");
        assert!(waiting.await.expect("no panic").expect("claimed"));
    }

    #[test]
    fn what_decayed_on_disk_is_not_believed() {
        let (_directory, content) = opened();
        let mut ingest = content.ingest_unnamed(10).expect("open");
        ingest.write(b"good").expect("written");
        let digest = ingest.commit().expect("committed");
        std::fs::write(content.path(&digest), b"bad!").expect("decay");
        assert!(matches!(content.read_blocking(&digest, 10), Err(ContentError::WrongDigest { .. })));
    }
}
