//! Replacing this process's program.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::Errno;

use super::entry::Arguments;
use super::signal::restore_defaults;
use crate::sys::checked;

/// execve. Returns only when it fails.
///
/// # Errors
/// The kernel's: ENOENT, EACCES, ENOEXEC, E2BIG …
pub(crate) fn execute(program: &CStr, argv: &[CString], envp: &[CString]) -> Result<Infallible, Errno> {
    let (argv, envp) = (pointers(argv), pointers(envp));
    // SAFETY: the program is NUL-terminated, both lists end with a null pointer, and all of it outlives the call.
    checked(libc::c_long::from(unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) }))?;
    Err(Errno::NOEXEC)
}

/// execveat of an open file itself, whatever its name is, with the arguments and the environment that we have.
///
/// # Errors
/// As [`execute`].
pub(crate) fn execute_descriptor(file: BorrowedFd<'_>, arguments: Arguments) -> Result<Infallible, Errno> {
    let (argv, environment) = arguments.pointers();
    // SAFETY: both lists are the kernel's own, ended by null pointers; the empty path with AT_EMPTY_PATH names the
    // descriptor, which the borrow keeps open.
    checked(unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            argv,
            environment,
            libc::AT_EMPTY_PATH,
        )
    })?;
    Err(Errno::NOEXEC)
}

/// Has a program begin with every signal's default action and none blocked, instead of the caller's choices and ours.
pub(crate) fn default_signals(command: &mut Command) {
    let restore = || {
        restore_defaults();
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls alone: it takes no lock and allocates nothing.
    unsafe { command.pre_exec(restore) };
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// _exit: ends this process at once, without the C library's and Rust's own endings.
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: takes an integer and does not return.
    unsafe { libc::_exit(code) }
}
