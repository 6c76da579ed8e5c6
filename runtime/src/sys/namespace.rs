//! Namespaces by descriptor: opened, entered, left.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;
use rustix::thread::ThreadNameSpaceType;

use crate::sys::checked;

/// Opens a namespace. What else is at the path is not waited for.
///
/// # Errors
/// The kernel's.
pub(crate) fn open(path: impl Arg) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
}

/// setns(2): moves this process into a namespace or, by a pidfd, into those of another process; `flags` (`CLONE_NEW*`)
/// say of which kinds. Into a pid namespace only its children go.
///
/// # Errors
/// EINVAL for another kind of namespace, EPERM without the right over it.
pub(crate) fn enter(of: impl AsFd, flags: i32) -> Result<(), Errno> {
    let kinds = ThreadNameSpaceType::from_bits_retain(flags.cast_unsigned());
    rustix::thread::move_into_thread_name_spaces(of.as_fd(), kinds)
}

/// Moves this process into new namespaces of the kinds in `flags` (`CLONE_NEW*` only).
///
/// # Errors
/// EPERM, ENOSPC.
pub(crate) fn unshare(flags: i32) -> Result<(), Errno> {
    // SAFETY: with CLONE_NEW* flags alone, neither memory nor the descriptor table is affected.
    checked(libc::c_long::from(unsafe { libc::unshare(flags) })).map(drop)
}
