//! The only place with `unsafe`: one file per kernel concept, one call per block, descriptors in and out as
//! `OwnedFd`/`BorrowedFd`. Only what rustix does not wrap safely is here. Nothing here decides anything; callers name
//! what went wrong.
#![allow(unsafe_code)]

pub mod bpf;
pub mod clone;
pub mod descriptor;
pub mod entry;
pub mod exec;
pub mod file;
pub mod heap;
pub mod interface;
pub mod keyring;
pub mod late_calls;
pub mod memory_policy;
pub mod message;
pub mod mount;
pub mod mountinfo;
pub mod namespace;
pub mod personality;
pub mod pidfd;
pub mod scheduling;
pub mod seccomp;
pub mod signal;

pub use rustix::io::Errno;

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
