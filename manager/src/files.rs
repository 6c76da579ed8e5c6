//! What can go wrong with knarrd's own files: which step failed, on which path. One error for all modules, and the one
//! place that decides what a full disk is.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use knarr_proto::kind::{Kind, is_disk_full};
use rustix::io::Errno;

/// A step with a file failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub(crate) struct FileError {
    pub(crate) doing: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

impl FileError {
    /// A full disk is for the user to solve, everything else is ours.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        kind_of_io(&self.source)
    }
}

/// For `map_err`: what was being done, to which file.
pub(crate) fn failed<E: Into<io::Error>>(
    doing: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(E) -> FileError {
    let path = path.into();
    move |source| FileError { doing, path, source: source.into() }
}

/// The kind of a failure that has no path to be told with.
#[must_use]
pub(crate) fn kind_of_io(error: &io::Error) -> Kind {
    if is_disk_full(error) { Kind::ResourceExhausted } else { Kind::Internal }
}

/// So much of a disk is left free by what fills it by the image, one part in so many, but never more than
/// [`MAX_SPARED_BYTES`] and [`MAX_SPARED_INODES`]: records, logs and running containers need room to end well.
const SPARED_PART: u64 = 32;
const MAX_SPARED_BYTES: u64 = 512 << 20;
const MAX_SPARED_INODES: u64 = 16 << 10;

/// Whether `bytes` more fit on the disk of `file`, with some to spare.
pub(crate) fn has_room(file: impl AsFd, bytes: u64) -> Result<bool, Errno> {
    let disk = rustix::fs::fstatvfs(file)?;
    let spared_bytes = (disk.f_blocks.saturating_mul(disk.f_frsize) / SPARED_PART).min(MAX_SPARED_BYTES);
    let available_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
    // A file system that makes inodes as it needs them says 0.
    let spared_inodes = (disk.f_files / SPARED_PART).min(MAX_SPARED_INODES);
    let has_inodes = disk.f_files == 0 || disk.f_favail > spared_inodes;
    Ok(available_bytes >= spared_bytes.saturating_add(bytes) && has_inodes)
}
