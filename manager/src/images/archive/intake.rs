//! An archive's data on its way into content: every member of some size becomes a blob as it comes, whatever it is for;
//! blobs that no image references are garbage-collected. In memory are names, digests and four small documents.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::ArchiveError;
use super::input::{Compression, read_error};
use super::layout::{INDEX_JSON, MANIFEST_JSON, OCI_LAYOUT};
use super::members::{Kind, Member, Members};
use crate::collect::Lease;
use crate::content::{Content, Digest, Ingest, Verified};
use crate::images::document::{MAX_BLOB_BYTES, MAX_DOCUMENT_BYTES};
use crate::images::error::ImageError;

/// docker's legacy files of each layer, which nothing reads any more.
const LEGACY: [&str; 2] = ["VERSION", "json"];
/// Links that lead to links: docker writes one.
const MAX_LINKS: usize = 8;
const COPY_STEP_BYTES: usize = 1 << 20;
/// What an archive may write whatever its own size, and how many times its own size beyond that. Blocks of zeros are not
/// written and not counted; images with large empty files are the only ones that are packed so small.
const FREE_BYTES: u64 = 256 << 20;
const MAX_RATIO: u64 = 200;
/// A file takes a block, however small it is.
const MIN_FILE_BYTES: u64 = 4096;

/// A member that is a blob now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) digest: Digest,
    pub(super) size_bytes: u64,
    /// How its data begins.
    pub(super) compression: Compression,
}

/// What was in an archive.
#[derive(Default)]
pub(super) struct Intake {
    stored: BTreeMap<String, Stored>,
    links: BTreeMap<String, String>,
    documents: BTreeMap<&'static str, Vec<u8>>,
    allowance: Allowance,
    /// Named together when all is read: a sync for each would be one for each of thousands of members.
    verified: BTreeMap<Digest, (Verified, Compression)>,
}

/// How much more an archive may write, by how much of it was read.
#[derive(Debug, Default)]
struct Allowance {
    read_bytes: Arc<AtomicU64>,
    written_bytes: u64,
}

impl Allowance {
    fn spend(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.written_bytes += bytes;
        let limit = FREE_BYTES.max(self.read_bytes.load(Ordering::Relaxed).saturating_mul(MAX_RATIO));
        if self.written_bytes > limit {
            return Err(ArchiveError::Bomb { limit });
        }
        Ok(())
    }
}

/// Counts what is read of the archive as it was sent.
struct Counted<R> {
    input: R,
    read_bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.read_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Intake {
    /// Takes in the whole archive. Blocks. Blobs are held by `lease`, before they have their names.
    pub(super) fn read(
        input: impl Read + 'static,
        content: &Content,
        lease: &Lease,
    ) -> Result<Self, ImageError> {
        let mut intake = Self::default();
        let input = Counted { input, read_bytes: Arc::clone(&intake.allowance.read_bytes) };
        let mut members = Members::new(super::input::uncompressed(input)?);
        while let Some(Member { name, kind }) = members.next()? {
            match kind {
                Kind::File(size_bytes) => {
                    intake.file(name, size_bytes, &mut members, (content, lease))?;
                }
                Kind::Link(target) => drop(intake.links.insert(name, target)),
                Kind::Other => {}
            }
        }
        members.finish()?;
        let verified = std::mem::take(&mut intake.verified).into_values();
        content.name_all(verified.map(|(blob, _)| blob).collect())?;
        Ok(intake)
    }

    /// A document at the top of the archive.
    pub(super) fn document(&self, name: &str) -> Option<&[u8]> {
        self.documents.get(name).map(Vec::as_slice)
    }

    /// The blob that the member `name` is, through links.
    pub(super) fn find(&self, name: &str) -> Result<&Stored, ArchiveError> {
        let mut at = name;
        for _ in 0..MAX_LINKS {
            if let Some(stored) = self.stored.get(at) {
                return Ok(stored);
            }
            at = match self.links.get(at) {
                Some(target) => target,
                None if at == name => return Err(ArchiveError::NoMember(quoted(name))),
                None => return Err(ArchiveError::Link(quoted(name))),
            };
        }
        Err(ArchiveError::Link(quoted(name)))
    }

    fn file<R: Read>(
        &mut self,
        name: String,
        size_bytes: u64,
        data: &mut Members<R>,
        (content, lease): (&Content, &Lease),
    ) -> Result<(), ImageError> {
        if let Some(known) = [MANIFEST_JSON, INDEX_JSON, OCI_LAYOUT].into_iter().find(|known| *known == name)
        {
            if size_bytes > MAX_DOCUMENT_BYTES {
                return Err(
                    ArchiveError::TooMany { what: "bytes in a document", limit: MAX_DOCUMENT_BYTES }.into()
                );
            }
            let mut bytes = Vec::new();
            data.read_to_end(&mut bytes).map_err(read_error)?;
            self.documents.insert(known, bytes);
            return Ok(());
        }
        let last = name.rsplit_once('/').map(|(_, last)| last);
        if last.is_some_and(|last| LEGACY.contains(&last)) {
            return Ok(());
        }
        if size_bytes > MAX_BLOB_BYTES {
            return Err(ArchiveError::TooMany { what: "bytes in a blob", limit: MAX_BLOB_BYTES }.into());
        }
        let stored = match digest_in_name(&name) {
            Some(digest) => self.named(digest, size_bytes, data, (content, lease))?,
            None => self.unnamed(size_bytes, data, (content, lease))?,
        };
        self.links.remove(&name);
        self.stored.insert(name, stored);
        Ok(())
    }

    fn named<R: Read>(
        &mut self,
        digest: Digest,
        size_bytes: u64,
        data: &mut Members<R>,
        (content, lease): (&Content, &Lease),
    ) -> Result<Stored, ImageError> {
        lease.add(&digest);
        if let Some((blob, compression)) = self.verified.get(&digest)
            && blob.size_bytes() == size_bytes
        {
            return Ok(Stored { digest, size_bytes, compression: *compression });
        }
        let compression = match content.ingest_named(&digest, size_bytes)? {
            None => {
                let mut head = Vec::new();
                content.open_blob(&digest)?.take(4).read_to_end(&mut head).map_err(ArchiveError::Read)?;
                Compression::from_magic(&head)
            }
            Some(mut ingest) => {
                let compression = self.fill(&mut ingest, data)?;
                self.keep(ingest, compression)?;
                compression
            }
        };
        Ok(Stored { digest, size_bytes, compression })
    }

    fn unnamed<R: Read>(
        &mut self,
        size_bytes: u64,
        data: &mut Members<R>,
        (content, lease): (&Content, &Lease),
    ) -> Result<Stored, ImageError> {
        let mut ingest = content.ingest_unnamed(size_bytes)?;
        let compression = self.fill(&mut ingest, data)?;
        lease.add(&ingest.digest());
        Ok(Stored { digest: self.keep(ingest, compression)?, size_bytes, compression })
    }

    fn keep(&mut self, ingest: Ingest, compression: Compression) -> Result<Digest, ImageError> {
        let verified = ingest.finish()?;
        let digest = verified.digest().clone();
        self.verified.insert(digest.clone(), (verified, compression));
        Ok(digest)
    }

    fn fill<R: Read>(
        &mut self,
        ingest: &mut Ingest,
        data: &mut Members<R>,
    ) -> Result<Compression, ImageError> {
        let mut buffer = vec![0; COPY_STEP_BYTES];
        let mut compression = None;
        self.allowance.spend(MIN_FILE_BYTES)?;
        loop {
            // Read up to the whole buffer: pieces from the network are small, and a write for each is slow.
            let mut filled = 0;
            while filled < buffer.len() {
                match data.read(&mut buffer[filled..]).map_err(read_error)? {
                    0 => break,
                    count => filled += count,
                }
            }
            if compression.is_none() {
                compression = Some(Compression::from_magic(&buffer[..filled]));
            }
            if filled == 0 {
                return Ok(compression.unwrap_or(Compression::None));
            }
            self.allowance.spend(ingest.write(&buffer[..filled])?)?;
        }
    }
}

/// In an OCI layout a blob's name is its digest.
fn digest_in_name(name: &str) -> Option<Digest> {
    let (algorithm, digits) = name.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{digits}").parse().ok()
}

fn quoted(name: &str) -> String {
    name.chars().take(120).collect()
}
