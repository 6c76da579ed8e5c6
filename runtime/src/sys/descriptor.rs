//! Whole ranges of file descriptors, and descriptors that came from outside as numbers.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;

use crate::sys::checked;

/// Marks every descriptor from `first` on close-on-exec, while our root is still the host's: before Linux 5.11, and
/// where a filter forbids close_range, those that the host's /proc lists are marked one by one.
///
/// # Errors
/// The kernel's, of reading /proc.
pub(crate) fn close_on_exec_from(first: RawFd) -> Result<(), Errno> {
    // SAFETY: close_range with CLOEXEC only sets a flag on our own descriptors; it takes integers.
    let marked = checked(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    });
    match marked {
        Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => mark_listed(first),
        marked => marked.map(drop),
    }
}

fn mark_listed(first: RawFd) -> Result<(), Errno> {
    let directory = rustix::fs::open(c"/proc/self/fd", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    for entry in Dir::new(directory)? {
        let name = entry?;
        // "." and ".." are no numbers.
        let number = name.file_name().to_str().ok().and_then(|name| name.parse().ok());
        for number in number.into_iter().filter(|number: &RawFd| *number >= first) {
            // SAFETY: F_SETFD takes and returns integers.
            checked(libc::c_long::from(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }))?;
        }
    }
    Ok(())
}

/// Closes every descriptor from `first` on but `kept`. For a forked child that only waits and then execs: the owners of
/// what is closed are in code that it never comes back to.
pub(crate) fn close_all_but(first: RawFd, kept: RawFd) {
    close_range(first, kept - 1);
    close_range(first.max(kept + 1), RawFd::MAX);
}

/// Where a filter forbids close_range, descriptors are closed one by one up to here.
const NUMBER_MAX: RawFd = 4096;

fn close_range(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    // SAFETY: takes integers; by its caller's contract nothing uses the closed numbers again.
    let closed = checked(unsafe {
        libc::syscall(libc::SYS_close_range, first as libc::c_uint, last as libc::c_uint, 0)
    });
    if closed.is_err() {
        for number in first..=last.min(NUMBER_MAX) {
            // SAFETY: as above.
            unsafe { libc::close(number) };
        }
    }
}

/// Makes the copy of `descriptor` survive exec as `number`.
///
/// # Errors
/// EBADF, EMFILE.
pub(crate) fn duplicate_onto(descriptor: RawFd, number: RawFd) -> Result<(), Errno> {
    // SAFETY: dup2 takes integers; `number` is below 3 in all our uses, so no OwnedFd of ours is replaced.
    checked(libc::c_long::from(unsafe { libc::dup2(descriptor, number) }))?;
    Ok(())
}

/// Clears close-on-exec of a descriptor that the caller of this program asked to pass on.
///
/// # Errors
/// EBADF when there is no such descriptor.
pub(crate) fn keep_on_exec(number: RawFd) -> Result<(), Errno> {
    // SAFETY: F_SETFD takes and returns integers.
    checked(libc::c_long::from(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }))?;
    Ok(())
}

/// Whether `number` is an open descriptor.
pub(crate) fn is_open(number: RawFd) -> bool {
    // SAFETY: F_GETFD takes and returns integers.
    checked(libc::c_long::from(unsafe { libc::fcntl(number, libc::F_GETFD) })).is_ok()
}

/// Takes over a duplicate of a descriptor known by number only.
///
/// # Errors
/// EBADF, EMFILE.
pub(crate) fn duplicate(number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: F_DUPFD_CLOEXEC takes and returns integers.
    let copy = checked(libc::c_long::from(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) }))?;
    // SAFETY: the kernel returned this descriptor to us and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy as RawFd) })
}
