//! /proc/thread-self/attr: how the security modules are told the label of the next exec. Shared by AppArmor and
//! SELinux; opens only below a procfs that the caller has verified (CVE-2019-16884, CVE-2025-52881: a container that
//! mounts its own /proc must not receive the label in our stead).

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Writes the whole of `value` in one call, as the modules demand, to `thread-self/attr/<attribute>`.
pub(super) fn write(procfs: BorrowedFd<'_>, attribute: &str, value: &[u8]) -> Result<(), Errno> {
    let file = open(procfs, attribute)?;
    match rustix::io::write(&file, value)? {
        written if written == value.len() => Ok(()),
        _ => Err(Errno::IO),
    }
}

fn open(procfs: BorrowedFd<'_>, attribute: &str) -> Result<OwnedFd, Errno> {
    let path = format!("thread-self/attr/{attribute}");
    // thread-self is an ordinary symlink; nothing on the way is magic and nothing is mounted over it.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(procfs, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), resolve)
}
