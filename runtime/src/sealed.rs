//! This program's own file, out of the reach of containers: a process of ours that enters a container can be made to
//! show its binary there (`#!/proc/self/exe`), and root in the container could write to the host's (CVE-2019-5736). So
//! we run from a read-only mount of that one file which is attached nowhere, or, where we may not mount, from a sealed
//! copy in memory.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

use crate::sys::entry::Arguments;
use crate::sys::exec;
use crate::sys::mount::{Change, Reach, change};

/// This program.
const OWN: &std::ffi::CStr = c"/proc/self/exe";

/// One sendfile at a time; the binary is smaller than one.
const COPY_BYTES: usize = 16 << 20;

const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Why the program does not run.
#[derive(Debug, thiserror::Error)]
#[error("cannot protect this program's own file from the container (CVE-2019-5736)")]
pub(crate) struct SealError {
    source: Errno,
}

/// Returns when this program runs from a file that cannot be written through it; where it does not yet, it is executed
/// again from one, with the same arguments and environment.
///
/// # Errors
/// [`SealError`].
pub(crate) fn ensure(arguments: Arguments) -> Result<(), SealError> {
    let sealed = is_sealed().and_then(|is| if is { Ok(()) } else { execute_sealed(arguments) });
    sealed.map_err(|source| SealError { source })
}

fn is_sealed() -> Result<bool, Errno> {
    let own = rustix::fs::open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    if rustix::fs::fstatvfs(&own)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    // Only files in memory have seals.
    Ok(rustix::fs::fcntl_get_seals(&own).is_ok_and(|seals| seals.contains(SEALS)))
}

fn execute_sealed(arguments: Arguments) -> Result<(), Errno> {
    let sealed = match readonly_mount() {
        // Not the host's root, or a kernel or a sandbox without the new mount calls.
        Err(Errno::PERM | Errno::NOSYS | Errno::INVAL) => sealed_copy()?,
        mounted => mounted?,
    };
    exec::execute_descriptor(sealed.as_fd(), arguments).map(|never| match never {})
}

fn readonly_mount() -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = rustix::mount::open_tree(CWD, OWN, flags)?;
    change(mount.as_fd(), Change::READONLY, Reach::One)?;
    Ok(mount)
}

fn sealed_copy() -> Result<OwnedFd, Errno> {
    let own = rustix::fs::open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = match rustix::fs::memfd_create(c"knarr-runtime", flags | MemfdFlags::EXEC) {
        // Before Linux 6.3 there is no such flag, and every file in memory can be executed.
        Err(Errno::INVAL) => rustix::fs::memfd_create(c"knarr-runtime", flags)?,
        made => made?,
    };
    while rustix::fs::sendfile(&copy, &own, None, COPY_BYTES)? > 0 {}
    rustix::fs::fcntl_add_seals(&copy, SEALS)?;
    Ok(copy)
}
