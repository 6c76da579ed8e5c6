//! Looking at files through another mount namespace for a while, and coming back.
#![forbid(unsafe_code)]

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::sys::file::open_directory;
use crate::sys::namespace;

/// What this process saw before it went to look at something else.
pub(crate) struct View {
    pub(crate) namespace: OwnedFd,
    pub(crate) root: OwnedFd,
    pub(crate) directory: OwnedFd,
}

impl View {
    /// Looks through the eyes of a child.
    pub(crate) fn enter(child: BorrowedFd<'_>) -> Result<Self, Errno> {
        let view = Self::current()?;
        namespace::enter(child, libc::CLONE_NEWNS)?;
        Ok(view)
    }

    /// Has mounts of its own from here on, to begin with the same.
    pub(crate) fn unshare() -> Result<Self, Errno> {
        let view = Self::current()?;
        namespace::unshare(libc::CLONE_NEWNS)?;
        Ok(view)
    }

    pub(crate) fn current() -> Result<Self, Errno> {
        let namespace = namespace::open(c"/proc/self/ns/mnt")?;
        Ok(Self { namespace, root: open_directory(c"/")?, directory: open_directory(c".")? })
    }

    pub(crate) fn leave(self) -> Result<(), Errno> {
        namespace::enter(self.namespace, libc::CLONE_NEWNS)?;
        rustix::process::fchdir(&self.root)?;
        rustix::process::chroot(c".")?;
        rustix::process::fchdir(&self.directory)
    }
}
