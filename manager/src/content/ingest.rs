//! One blob on its way in: bounded, hashed while it is written, and named only when it is what it should be.
//! Every method may block.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use knarr_proto::kind::is_disk_full;
use tokio::sync::OwnedMutexGuard;

use super::{Algorithm, Content, ContentError, Digest, Hasher, Origin, sync_directory};
use crate::files::{failed, has_room};

/// After so many bytes, the disk is asked whether there is room for more.
const ASK_BYTES: u64 = 1 << 20;

/// So many zeros are not written. Small enough to find most, large enough that data is written in large pieces.
const HOLE_BYTES: usize = 64 << 10;

/// A blob being written. Dropped without [`Ingest::commit`], a download stays for the next try; everything else goes.
pub(crate) struct Ingest {
    content: Content,
    file: File,
    path: PathBuf,
    hasher: Hasher,
    written_bytes: u64,
    /// Since the disk was last asked whether there is room.
    unasked_bytes: u64,
    goal: Goal,
    /// Committed, or discarded: there is no file at `path` any more.
    is_settled: bool,
}

enum Goal {
    /// Exactly this blob, which goes on where an earlier download from the same origin stopped. The guard keeps other
    /// downloads from the same file.
    Download { digest: Digest, size_bytes: u64, _turn: OwnedMutexGuard<()> },
    /// Exactly this blob, whose bytes are all at hand.
    Copy { digest: Digest, size_bytes: u64 },
    /// Whatever it turns out to be.
    Unnamed { limit_bytes: u64 },
}

impl Goal {
    fn algorithm(&self) -> Algorithm {
        self.expected().map_or(Algorithm::Sha256, |(digest, _)| digest.algorithm())
    }

    fn expected(&self) -> Option<(&Digest, u64)> {
        match self {
            Self::Download { digest, size_bytes, .. } | Self::Copy { digest, size_bytes } => {
                Some((digest, *size_bytes))
            }
            Self::Unnamed { .. } => None,
        }
    }
}

impl Ingest {
    pub(super) fn resume(
        content: Content,
        (digest, size_bytes): (Digest, u64),
        origin: &Origin,
        turn: OwnedMutexGuard<()>,
    ) -> Result<Self, ContentError> {
        let name = format!("{}-{}-{origin}", digest.algorithm().name(), digest.hex());
        let path = content.shared.ingest.join(name);
        let mut file = open(&path, true)?;
        let mut hasher = Hasher::new(digest.algorithm());
        let mut written_bytes = hash_all(&mut file, &mut hasher).map_err(failed("read", &path))?;
        if written_bytes > size_bytes {
            file.set_len(0).and_then(|()| file.rewind()).map_err(failed("truncate", &path))?;
            hasher = Hasher::new(digest.algorithm());
            written_bytes = 0;
        }
        let goal = Goal::Download { digest, size_bytes, _turn: turn };
        Ok(Self { content, file, path, hasher, written_bytes, unasked_bytes: 0, goal, is_settled: false })
    }

    pub(super) fn copy(
        content: Content,
        name: &str,
        digest: Digest,
        size_bytes: u64,
    ) -> Result<Self, ContentError> {
        Self::fresh(content, name, Goal::Copy { digest, size_bytes })
    }

    pub(super) fn unnamed(content: Content, name: &str, limit_bytes: u64) -> Result<Self, ContentError> {
        Self::fresh(content, name, Goal::Unnamed { limit_bytes })
    }

    fn fresh(content: Content, name: &str, goal: Goal) -> Result<Self, ContentError> {
        let path = content.shared.ingest.join(name);
        let file = open(&path, false)?;
        let hasher = Hasher::new(goal.algorithm());
        Ok(Self { content, file, path, hasher, written_bytes: 0, unasked_bytes: 0, goal, is_settled: false })
    }

    /// How many bytes are here: where a download goes on.
    #[must_use]
    pub(crate) fn offset(&self) -> u64 {
        self.written_bytes
    }

    /// Forgets the bytes that are here: the sender starts again from the first.
    ///
    /// # Errors
    /// [`ContentError::File`].
    pub(crate) fn restart(&mut self) -> Result<(), ContentError> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(failed("truncate", &self.path))?;
        self.written_bytes = 0;
        self.hasher = Hasher::new(self.goal.algorithm());
        Ok(())
    }

    /// Appends bytes; returns how many were written to disk: blocks of zeros become holes. Nothing is kept of a blob
    /// that is too long, nor when the disk is full: its space is needed.
    ///
    /// # Errors
    /// [`ContentError::WrongSize`] or [`ContentError::TooLarge`] for the first byte too many; [`ContentError::File`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<u64, ContentError> {
        let total = self.written_bytes + bytes.len() as u64;
        let error = match &self.goal {
            Goal::Download { digest, size_bytes, .. } | Goal::Copy { digest, size_bytes }
                if total > *size_bytes =>
            {
                let (digest, expected) = (digest.clone(), *size_bytes);
                ContentError::WrongSize { digest, expected, found: total }
            }
            Goal::Unnamed { limit_bytes } if total > *limit_bytes => {
                ContentError::TooLarge { what: "a file".to_owned(), limit: *limit_bytes }
            }
            _ => match self.append(bytes) {
                Ok(count) => {
                    self.hasher.update(bytes);
                    self.written_bytes = total;
                    return Ok(count);
                }
                Err(source) if is_disk_full(&source) => failed("write", &self.path)(source).into(),
                Err(source) => return Err(failed("write", &self.path)(source).into()),
            },
        };
        self.remove_file()?;
        Err(error)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let mut written_bytes = 0;
        for block in bytes.chunks(HOLE_BYTES) {
            if block.len() == HOLE_BYTES && block.iter().all(|byte| *byte == 0) {
                self.file.seek(io::SeekFrom::Current(HOLE_BYTES as i64))?;
            } else {
                self.file.write_all(block)?;
                written_bytes += block.len() as u64;
            }
        }
        self.unasked_bytes += written_bytes;
        if self.unasked_bytes >= ASK_BYTES {
            self.unasked_bytes = 0;
            if !has_room(&self.file, 0)? {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        Ok(written_bytes)
    }

    /// The digest of the bytes that are here.
    #[must_use]
    pub(crate) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Verifies, brings to disk and names the blob. What has the wrong digest is removed; a download that is too short
    /// is kept for the next try.
    ///
    /// # Errors
    /// [`ContentError::WrongSize`], [`ContentError::WrongDigest`], [`ContentError::File`].
    pub(crate) fn commit(mut self) -> Result<Digest, ContentError> {
        let found = self.verify()?;
        if let Err(error) = self.file.sync_all().map_err(failed("sync", &self.path)) {
            // The kernel has dropped what it could not write; a second fsync would succeed all the same.
            self.remove_file()?;
            return Err(error.into());
        }
        let directory = name(&self.content, &self.path, &found)?;
        self.is_settled = true;
        sync_directory(&directory)?;
        Ok(found)
    }

    /// Verifies the blob, for [`Content::name_all`] to bring to disk and name it together with others.
    ///
    /// # Errors
    /// As [`Ingest::commit`].
    pub(crate) fn finish(mut self) -> Result<Verified, ContentError> {
        let digest = self.verify()?;
        self.is_settled = true;
        let (path, size_bytes) = (self.path.clone(), self.written_bytes);
        Ok(Verified { path, digest, size_bytes, is_named: false })
    }

    fn verify(&mut self) -> Result<Digest, ContentError> {
        let found = self.hasher.clone().finish();
        if let Some((digest, size_bytes)) = self.goal.expected() {
            if self.written_bytes != size_bytes {
                let (digest, found) = (digest.clone(), self.written_bytes);
                return Err(ContentError::WrongSize { digest, expected: size_bytes, found });
            }
            if found != *digest {
                let error = ContentError::WrongDigest { expected: digest.clone(), found };
                self.remove_file()?;
                return Err(error);
            }
        }
        // A hole at the end is no part of the file yet.
        self.file.set_len(self.written_bytes).map_err(failed("set the size of", &self.path))?;
        Ok(found)
    }

    fn remove_file(&mut self) -> Result<(), ContentError> {
        self.is_settled = true;
        Ok(std::fs::remove_file(&self.path).map_err(failed("remove", &self.path))?)
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if !self.is_settled && !matches!(self.goal, Goal::Download { .. }) {
            // Should it fail, the sweep at the next start takes the file.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// A blob that is what it should be, and has no name yet. Dropped without one, it goes.
pub(crate) struct Verified {
    path: PathBuf,
    digest: Digest,
    size_bytes: u64,
    is_named: bool,
}

impl Verified {
    /// Of its bytes.
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How many bytes it has.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

impl Drop for Verified {
    fn drop(&mut self) {
        if !self.is_named {
            // Should it fail, the sweep at the next start takes the file.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Brings blobs to disk, all at once, and names them.
pub(super) fn name_all(content: &Content, blobs: Vec<Verified>) -> Result<(), ContentError> {
    if blobs.is_empty() {
        return Ok(());
    }
    let ingest = &content.shared.ingest;
    let synced = File::open(ingest).and_then(|directory| Ok(rustix::fs::syncfs(&directory)?));
    synced.map_err(failed("sync", ingest))?;
    let mut directories = BTreeSet::new();
    for mut blob in blobs {
        directories.insert(name(content, &blob.path, &blob.digest)?);
        blob.is_named = true;
    }
    directories.iter().try_for_each(|directory| sync_directory(directory))
}

/// Gives the file at `path` its blob's name. Returns the directory that it is in now.
fn name(content: &Content, path: &Path, digest: &Digest) -> Result<PathBuf, ContentError> {
    let name = content.path(digest);
    let directory = name.parent().expect("a blob is in its algorithm's directory").to_owned();
    match std::fs::rename(path, &name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !directory.exists() => {
            make_directory(&directory)
                .and_then(|()| std::fs::rename(path, &name))
                .map_err(failed("name", &name))?;
        }
        renamed => renamed.map_err(failed("name", &name))?,
    }
    Ok(directory)
}

fn open(path: &Path, keep: bool) -> Result<File, ContentError> {
    let open =
        || OpenOptions::new().read(true).write(true).create(true).truncate(!keep).mode(0o600).open(path);
    let directory = path.parent().expect("an ingest is in its directory");
    let opened = match open() {
        // The directory was removed below a running knarrd.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(directory).and_then(|()| open())
        }
        opened => opened,
    };
    Ok(opened.map_err(failed("open", path))?)
}

fn make_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
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

    fn origin() -> Origin {
        Origin::repository("registry.example/a")
    }

    async fn claimed(content: &Content, digest: &Digest, size_bytes: u64) -> Ingest {
        match content.claim(digest, size_bytes, &origin()).await.expect("claimed") {
            Claim::Bring(ingest) => ingest,
            Claim::Here => panic!("{digest} is here already"),
        }
    }

    fn stored(content: &Content, bytes: &[u8]) -> Digest {
        let mut ingest = content.ingest_unnamed(100).expect("open");
        ingest.write(bytes).expect("written");
        ingest.commit().expect("committed")
    }

    fn partial_files(directory: &tempfile::TempDir) -> usize {
        std::fs::read_dir(directory.path().join("ingest")).expect("the ingests").count()
    }

    #[tokio::test]
    async fn an_interrupted_blob_goes_on_where_it_stopped() {
        let (directory, content) = opened();
        let digest = Digest::of(b"hello world");
        let mut first = claimed(&content, &digest, 11).await;
        first.write(b"hello ").expect("written");
        drop(first);
        let content = Content::open(directory.path()).expect("the same content after a restart");
        let mut second = claimed(&content, &digest, 11).await;
        assert_eq!(second.offset(), 6);
        second.write(b"world").expect("written");
        second.commit().expect("the right digest");
        assert_eq!(content.read(&digest, 100).await.expect("read"), b"hello world");
        assert!(matches!(content.claim(&digest, 11, &origin()).await, Ok(Claim::Here)));
    }

    #[tokio::test]
    async fn wrong_bytes_are_never_named_and_do_not_stand_in_the_way() {
        let (_directory, content) = opened();
        let digest = Digest::of(b"right");
        let mut ingest = claimed(&content, &digest, 5).await;
        ingest.write(b"wrong").expect("written");
        assert!(matches!(ingest.commit(), Err(ContentError::WrongDigest { .. })));
        assert!(matches!(content.open_blob(&digest), Err(ContentError::NotHere(_))));
        let mut ingest = claimed(&content, &digest, 5).await;
        assert_eq!(ingest.offset(), 0);
        ingest.write(b"right").expect("written");
        ingest.commit().expect("right at last");
    }

    #[tokio::test]
    async fn one_byte_too_few_is_refused_and_one_too_many_leaves_nothing() {
        let (directory, content) = opened();
        let digest = Digest::of(b"12345");
        let mut ingest = claimed(&content, &digest, 5).await;
        ingest.write(b"1234").expect("four of five");
        assert!(matches!(ingest.commit(), Err(ContentError::WrongSize { found: 4, .. })));
        assert_eq!(partial_files(&directory), 1);
        let mut ingest = claimed(&content, &digest, 5).await;
        assert!(matches!(ingest.write(b"56"), Err(ContentError::WrongSize { found: 6, .. })));
        drop(ingest);
        assert_eq!(partial_files(&directory), 0);
    }

    #[tokio::test]
    async fn downloads_from_one_origin_wait_and_those_from_another_do_not() {
        let (_directory, content) = opened();
        let digest = Digest::of(b"x");
        let mut first = claimed(&content, &digest, 1).await;
        let waiting = tokio::spawn({
            let (content, digest) = (content.clone(), digest.clone());
            async move { content.claim(&digest, 1, &origin()).await.map(|claim| matches!(claim, Claim::Here)) }
        });
        let other = Origin::repository("other.example/a");
        let Ok(Claim::Bring(mut second)) = content.claim(&digest, 1, &other).await else {
            panic!("the other origin has no claim")
        };
        assert!(!waiting.is_finished());
        second.write(b"x").expect("written");
        second.commit().expect("committed");
        first.write(b"x").expect("written");
        first.commit().expect("committed as well");
        assert!(waiting.await.expect("no panic").expect("claimed"));
    }

    #[tokio::test]
    async fn a_damaged_blob_is_set_aside_and_can_be_fetched_again() {
        let (directory, content) = opened();
        type Damage = fn(&Path);
        let damages: [(&str, Damage); 5] = [
            ("other bytes", |path| std::fs::write(path, "bad!").expect("written")),
            ("cut", |path| std::fs::write(path, "go").expect("written")),
            ("longer", |path| std::fs::write(path, "good".repeat(100)).expect("written")),
            ("a directory in its place", |path| {
                std::fs::remove_file(path).and_then(|()| std::fs::create_dir(path)).expect("made");
            }),
            ("gone", |path| std::fs::remove_file(path).expect("removed")),
        ];
        for (what, damage) in damages {
            let digest = stored(&content, b"good");
            damage(&content.path(&digest));
            let error = content.read_blocking(&digest, 100).expect_err(what);
            assert!(
                matches!(error, ContentError::Damaged(_) | ContentError::NotHere(_)),
                "{what}: {error:?}"
            );
            let mut ingest = claimed(&content, &digest, 4).await;
            ingest.write(b"good").expect("written");
            ingest.commit().expect(what);
            assert_eq!(content.read_blocking(&digest, 100).expect(what), b"good");
        }
        assert_eq!(std::fs::read_dir(directory.path().join("damaged")).expect("listed").count(), 1);
        // Not read before, but of another size.
        let digest = stored(&content, b"good");
        std::fs::write(content.path(&digest), "g").expect("cut");
        assert!(matches!(content.claim(&digest, 4, &origin()).await, Ok(Claim::Bring(_))));
    }

    #[tokio::test]
    async fn a_wrong_size_in_a_descriptor_does_not_set_a_good_blob_aside() {
        let (_directory, content) = opened();
        let digest = stored(&content, b"good");
        let claim = content.claim(&digest, 5, &origin()).await.map(|_| ());
        assert!(matches!(claim, Err(ContentError::WrongSize { expected: 5, found: 4, .. })), "{claim:?}");
        assert_eq!(content.read_blocking(&digest, 100).expect("still here"), b"good");
    }

    #[tokio::test]
    async fn directories_that_are_removed_meanwhile_are_made_again() {
        let (directory, content) = opened();
        for name in ["ingest", "damaged", "blobs/sha256"] {
            std::fs::remove_dir_all(directory.path().join(name)).expect("removed");
        }
        let digest = stored(&content, b"good");
        std::fs::write(content.path(&digest), "bad!").expect("decay");
        assert!(matches!(content.read_blocking(&digest, 10), Err(ContentError::Damaged(_))));
        content.put(b"good".to_vec()).await.expect("put");
        content.sweep_old_blocking().expect("swept");
        assert_eq!(content.list().expect("listed"), [digest]);
    }
}
