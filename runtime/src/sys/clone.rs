//! clone3, used as fork: the child gets a copy of our memory, its own namespaces, and may start inside a cgroup.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use crate::sys::checked;

/// CLONE_INTO_CGROUP; the constant of libc 0.2 is deprecated for being a signed 32-bit one.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which process one is after [`fork_into`].
#[derive(Debug)]
pub(crate) enum Forked {
    /// The caller; `pid` as the caller's pid namespace sees it.
    Parent {
        /// The child's pid.
        pid: u32,
        /// Refers to the child even when the pid is reused.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

/// fork, by the call that docker's seccomp profile allows in containers, too. The child's pid; `None` in the child.
///
/// # Errors
/// The kernel's: EAGAIN at a limit of processes.
pub(crate) fn fork() -> Result<Option<u32>, Errno> {
    // SAFETY: the process has one thread, so that no lock is held by a thread that does not exist in the child.
    let pid = checked(libc::c_long::from(unsafe { libc::fork() }))?;
    Ok(u32::try_from(pid).ok().filter(|pid| *pid != 0))
}

/// Forks into new namespaces (`CLONE_NEW*` of `flags`) and, with `cgroup`, into that cgroup v2 directory.
///
/// # Errors
/// The kernel's: EPERM without the privilege, ENOSPC at a namespace limit, EBUSY for a cgroup that has children.
pub(crate) fn fork_into(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Forked, Errno> {
    let mut pidfd: RawFd = -1;
    let mut arguments = libc::clone_args {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        // With CLONE_PARENT it is the one of the caller itself.
        exit_signal: if flags & libc::CLONE_PARENT as u64 == 0 { libc::SIGCHLD as u64 } else { 0 },
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    if let Some(directory) = cgroup {
        arguments.flags |= INTO_CGROUP;
        arguments.cgroup = directory.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child runs on a copy of this stack and memory, as after fork; the process has one
    // thread, so no lock is held by a thread that does not exist in the child. The arguments outlive the call.
    let pid = checked(unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>())
    })?;
    if pid == 0 {
        return Ok(Forked::Child);
    }
    // SAFETY: with CLONE_PIDFD the kernel stored a new descriptor there, which nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Forked::Parent { pid: pid as u32, pidfd })
}
