//! The host's /dev/null, shown to containers as a read-only mount of that one node: what is written to it goes where it
//! always went, but root in a container, which reaches it as a standard stream or behind a mask, can change nothing of
//! it. Streams become the container's own null where it has one, which the child sees to; for a user namespace, `exec`
//! and `restore` the creator puts them on that mount before.
#![forbid(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use rustix::stdio::{stderr, stdin, stdout};

use crate::mount_view::View;
use crate::rootfs::tree::attach_readonly;
use crate::sys::descriptor;
use crate::sys::mount::{Change, Reach, change, propagate};

/// Why the host's /dev/null would be in the container's reach.
#[derive(Debug, thiserror::Error)]
#[error("cannot put standard streams on a read-only mount of /dev/null, out of the container's reach")]
pub(crate) struct NullError {
    source: Errno,
}

/// Puts those of our standard streams that are on /dev/null, and that a container is about to get, on a mount of it
/// that is read-only and attached nowhere.
///
/// # Errors
/// [`NullError`].
pub(crate) fn protect_streams() -> Result<(), NullError> {
    let failed = |source| NullError { source };
    let on_null = |stream| rustix::fs::fstat(stream).is_ok_and(|status| is_null(&status));
    let numbers: Vec<i32> =
        (0..).zip([stdin(), stdout(), stderr()].map(on_null)).filter(|(_, is)| *is).map(|(n, _)| n).collect();
    if numbers.is_empty() {
        return Ok(());
    }
    let opened = match open_readonly() {
        // Without the right to mount we are not root, and cannot change the node, which is root's.
        Err(Errno::PERM) => return Ok(()),
        opened => opened.map_err(failed)?,
    };
    numbers
        .into_iter()
        .try_for_each(|number| descriptor::duplicate_onto(opened.as_raw_fd(), number))
        .map_err(failed)
}

fn open_readonly() -> Result<OwnedFd, Errno> {
    let mount = copy()?;
    match change(mount.as_fd(), Change::READONLY, Reach::One) {
        // This kernel changes only what is attached: somewhere that is gone when the node is open.
        Err(Errno::NOSYS | Errno::INVAL) => {
            let away = View::unshare()?;
            let opened = attach_here(mount.as_fd()).and_then(|()| open(mount.as_fd()));
            away.leave().and(opened)
        }
        changed => {
            changed?;
            open(mount.as_fd())
        }
    }
}

fn attach_here(mount: BorrowedFd<'_>) -> Result<(), Errno> {
    propagate(c"/", libc::MS_SLAVE, Reach::Tree)?;
    let target = rustix::fs::open(c"/dev/null", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    attach_readonly(mount, target.as_fd())
}

fn open(mount: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// A detached mount of the device that is at /dev/null here, verified by its numbers: an image or a container that
/// replaced it gets nothing else shown in its place (CVE-2025-31133). It is made read-only where it is shown to a
/// container.
pub(crate) fn copy() -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let copy = rustix::mount::open_tree(CWD, c"/dev/null", flags)?;
    if !is_null(&rustix::fs::statat(&copy, c"", AtFlags::EMPTY_PATH)?) {
        return Err(Errno::NODEV);
    }
    Ok(copy)
}

/// /dev/null, wherever it is.
pub(crate) fn is_null(status: &Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice
        && status.st_rdev == rustix::fs::makedev(1, 3)
}
