//! How much of the disk a layer may take. What it is when uncompressed says little of that: an empty directory is a block
//! on the disk, and a hard link to a file of the layers below is a copy of it.

use std::os::fd::OwnedFd;

use super::error::{LayerError, placing};
use super::message::Limits;
use crate::files::has_room;

/// The smallest piece of disk that anything but an empty file takes.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// After so many bytes, or so many files, the disk is asked whether there is room for more.
const ASK_BYTES: u64 = 1 << 20;
const ASK_FILES: u64 = 256;

/// What is left of a layer's part of the disk.
pub(super) struct Budget {
    limits: Limits,
    bytes: u64,
    files: u64,
    unasked_bytes: u64,
    unasked_files: u64,
}

impl Budget {
    /// For a layer of `blob_bytes` compressed bytes.
    pub(super) fn new(limits: Limits, blob_bytes: u64) -> Self {
        let bytes = limits.free_bytes.max(blob_bytes.saturating_mul(limits.ratio)).min(limits.layer_bytes);
        let limits = Limits { free_bytes: bytes, ..limits };
        Self { limits, bytes, files: limits.entries, unasked_bytes: 0, unasked_files: 0 }
    }

    /// Takes one file, directory or other name into account that needs `bytes` beside its inode. `root` is on the disk.
    pub(super) fn charge(&mut self, root: &OwnedFd, bytes: u64) -> Result<(), LayerError> {
        let bytes = bytes.next_multiple_of(BLOCK_BYTES);
        let too_many = |what: &'static str, limit| LayerError::TooMany { what: what.into(), limit };
        self.bytes = self
            .bytes
            .checked_sub(bytes)
            .ok_or_else(|| too_many("bytes on the disk", self.limits.free_bytes))?;
        self.files = self.files.checked_sub(1).ok_or_else(|| too_many("files", self.limits.entries))?;
        self.unasked_bytes += bytes;
        self.unasked_files += 1;
        if self.unasked_bytes >= ASK_BYTES || self.unasked_files >= ASK_FILES {
            (self.unasked_bytes, self.unasked_files) = (0, 0);
            if !has_room(root, bytes).map_err(placing("look for room in", b""))? {
                return Err(LayerError::NoRoom);
            }
        }
        Ok(())
    }
}
