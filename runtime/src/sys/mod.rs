//! The only place with `unsafe`: one file per kernel concept, one call per block, descriptors in and out as
//! `OwnedFd`/`BorrowedFd`. Only what rustix does not wrap safely is here. Nothing here decides anything; callers name
//! what went wrong.
//!
//! Linux 5.10 is enough: `mount` does without mount_setattr (5.12), `descriptor` without close_range's mark (5.11). For
//! any other call that is missing, or that a filter around us forbids, the refusal names the Linux that has it.
#![allow(unsafe_code)]

pub(crate) mod bpf;
pub(crate) mod clone;
pub(crate) mod descriptor;
pub(crate) mod entry;
pub(crate) mod exec;
pub(crate) mod file;
pub(crate) mod heap;
pub(crate) mod interface;
pub(crate) mod keyring;
pub(crate) mod late_calls;
pub(crate) mod memory_policy;
pub(crate) mod message;
pub(crate) mod mount;
pub(crate) mod mountinfo;
pub(crate) mod namespace;
pub(crate) mod personality;
pub(crate) mod pidfd;
pub(crate) mod scheduling;
pub(crate) mod seccomp;
pub(crate) mod signal;

use rustix::io::Errno;

/// The kernel's answer in an error of the standard library's.
pub(crate) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// The result of a system call that returns -1 on error, with errno taken at once.
pub(crate) fn checked(returned: libc::c_long) -> Result<libc::c_long, Errno> {
    if returned == -1 {
        let errno = std::io::Error::last_os_error().raw_os_error();
        return Err(Errno::from_raw_os_error(errno.expect("last_os_error always holds an errno")));
    }
    Ok(returned)
}
