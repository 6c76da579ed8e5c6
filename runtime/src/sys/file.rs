//! Small kernel files (proc, cgroup, sysfs) read and written in one go, and directories to look from.
#![forbid(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

/// No file of procfs or cgroupfs that we read whole is longer, but for lists of processes.
pub(crate) const MAX_PROC_BYTES: usize = 1 << 20;

/// One read of a small file needs no second buffer.
const FIRST_READ_BYTES: usize = 4096;

/// Opens a directory, as O_PATH.
///
/// # Errors
/// The kernel's.
pub(crate) fn open_directory(path: impl Arg) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// The kernel's; [`Errno::FBIG`] for a longer file, [`Errno::ILSEQ`] for one that is not UTF-8.
pub(crate) fn read_text(path: &Path, limit: usize) -> Result<String, Errno> {
    read_text_at(CWD, path, limit)
}

/// The same of a file that may hold names of any bytes.
///
/// # Errors
/// The kernel's; [`Errno::FBIG`].
pub(crate) fn read_bytes(path: &Path, limit: usize) -> Result<Vec<u8>, Errno> {
    read_open(&rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, limit)
}

/// As [`read_text`], below a directory.
///
/// # Errors
/// As [`read_text`].
pub(crate) fn read_text_at(directory: BorrowedFd<'_>, path: &Path, limit: usize) -> Result<String, Errno> {
    let opened = rustix::fs::openat(directory, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    read_all(&opened, limit)
}

/// Reads what is left of an open file.
///
/// # Errors
/// As [`read_text`].
pub(crate) fn read_all(opened: &OwnedFd, limit: usize) -> Result<String, Errno> {
    String::from_utf8(read_open(opened, limit)?).map_err(|_| Errno::ILSEQ)
}

fn read_open(opened: &OwnedFd, limit: usize) -> Result<Vec<u8>, Errno> {
    // Not zeroed: what most files leave of it is never touched.
    let mut bytes = Vec::with_capacity(FIRST_READ_BYTES.min(limit.saturating_add(1)));
    loop {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(3 * bytes.len());
        }
        if rustix::io::retry_on_intr(|| rustix::io::read(opened, spare_capacity(&mut bytes)))? == 0 {
            return Ok(bytes);
        }
        if bytes.len() > limit {
            return Err(Errno::FBIG);
        }
    }
}

/// Writes `value` to an existing file below a directory, in one write.
///
/// # Errors
/// The kernel's; [`Errno::IO`] when it took only a part.
pub(crate) fn write_at(directory: impl AsFd, path: &Path, value: &[u8]) -> Result<(), Errno> {
    write_whole(&open_to_write(directory, path)?, value)
}

/// Opens an existing file below a directory for [`write_whole`].
///
/// # Errors
/// The kernel's.
pub(crate) fn open_to_write(directory: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(directory, path, flags, Mode::empty())
}

/// Writes `value` in one write, which the kernel takes as one order.
///
/// # Errors
/// As [`write_at`].
pub(crate) fn write_whole(opened: &OwnedFd, value: &[u8]) -> Result<(), Errno> {
    let count = rustix::io::retry_on_intr(|| rustix::io::write(opened, value))?;
    if count == value.len() { Ok(()) } else { Err(Errno::IO) }
}

/// Whether a name exists below a directory; a symbolic link exists whatever it points to.
///
/// # Errors
/// The kernel's, but for "no such file".
pub(crate) fn exists_at(directory: impl AsFd, name: &Path) -> Result<bool, Errno> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}
