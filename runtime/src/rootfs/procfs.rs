//! A procfs of our own that no container has touched: mounted by us, held by descriptor, never found by path. All
//! writes to sysctls and to our own attributes go through it: a container that mounts its own /proc must not receive
//! them in the kernel's stead (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881).

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::sys::file;

/// A verified procfs.
#[derive(Debug)]
pub(crate) struct Procfs(OwnedFd);

impl Procfs {
    /// Takes the descriptor that fsmount returned for a procfs.
    pub(super) fn from_mount(mount: OwnedFd) -> Self {
        Self(mount)
    }

    /// Mounts one of the present pid namespace, attached nowhere.
    pub(crate) fn mount() -> Result<Self, Errno> {
        let context = rustix::mount::fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_create(&context)?;
        let none = MountAttrFlags::empty();
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, none).map(Self)
    }

    /// Writes a whole value in one call to a file below it that is there by the kernel's making: nothing on the way is
    /// magic (`thread-self` is an ordinary link), and nothing is mounted over it.
    pub(crate) fn write(&self, path: &str, value: &[u8]) -> Result<(), Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat2(&self.0, path, flags, Mode::empty(), resolve)?;
        file::write_whole(&file, value)
    }
}
