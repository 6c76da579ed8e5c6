//! Signal masks and signals as a descriptor.

use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::sys::checked;

/// The last signal.
const SIGNAL_MAX: i32 = 64;

/// The kernel's `sigset_t`.
const SET_BYTES: usize = 8;

/// A set of signals, 1 to 64.
#[derive(Clone, Copy)]
pub(crate) struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// Every signal.
    #[must_use]
    pub(crate) fn full() -> Self {
        let mut set = Self::empty();
        // SAFETY: sigfillset writes the set that it is given.
        unsafe { libc::sigfillset(&raw mut set.0) };
        set
    }

    /// These signals.
    #[must_use]
    pub(crate) fn from_numbers(numbers: &[i32]) -> Self {
        let mut set = Self::empty();
        for number in numbers {
            // SAFETY: sigaddset writes the set that it is given, and refuses numbers that are no signals.
            unsafe { libc::sigaddset(&raw mut set.0, *number) };
        }
        set
    }

    /// No signal.
    #[must_use]
    pub(crate) fn empty() -> Self {
        // SAFETY: sigset_t is plain old data; all zeroes is the empty set on Linux.
        Self(unsafe { std::mem::zeroed() })
    }
}

/// Blocks these signals and no others.
pub(crate) fn block(set: &SignalSet) {
    // SAFETY: the set lives through the call, which fails only for another address or operation than these.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set.0, std::ptr::null_mut()) };
}

/// A descriptor to [`receive`] blocked signals of `set` from.
///
/// # Errors
/// EMFILE.
pub(crate) fn descriptor(set: &SignalSet) -> Result<OwnedFd, Errno> {
    // SAFETY: the set lives through the call; -1 asks for a new descriptor.
    let fd = checked(libc::c_long::from(unsafe { libc::signalfd(-1, &raw const set.0, libc::SFD_CLOEXEC) }))?;
    // SAFETY: the kernel returned this descriptor to us and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Reads the number of the next signal, waiting for it if there is none yet.
///
/// # Errors
/// The kernel's.
pub(crate) fn receive(signals: &OwnedFd) -> Result<i32, Errno> {
    // signalfd(2): a record of 128 bytes, the number in the first four.
    let mut record = [0; 128];
    rustix::io::read(signals, &mut record)?;
    Ok(i32::from_ne_bytes([record[0], record[1], record[2], record[3]]))
}

/// Sends a signal by number, real-time ones included, to a child that has not been reaped.
///
/// # Errors
/// EPERM.
pub(crate) fn send_to_child(pid: u32, number: i32) -> Result<(), Errno> {
    // SAFETY: kill takes two integers; it reads and writes none of our memory.
    checked(libc::c_long::from(unsafe { libc::kill(pid.cast_signed(), number) })).map(drop)
}

/// Makes of the caller's signal dispositions and mask, which exec keeps, what this program relies on.
///
/// - SIGCHLD is not ignored: the kernel would reap our children before we have their exit status.
/// - SIGPIPE and SIGXFSZ are: that our reader has left, or that the caller's limit of file sizes is reached, is an
///   error to handle, not our end in the middle of a change.
/// - None is blocked.
pub(super) fn begin() {
    for (number, action) in
        [(libc::SIGCHLD, libc::SIG_DFL), (libc::SIGPIPE, libc::SIG_IGN), (libc::SIGXFSZ, libc::SIG_IGN)]
    {
        // SAFETY: both are valid actions for each of these signals.
        unsafe { libc::signal(number, action) };
    }
    block(&SignalSet::empty());
}

/// Gives every signal its default action again, and blocks none. What is ignored or blocked stays so across exec, which
/// would make the container inherit the caller's choices and ours. (crun does the same; runc 1.1 leaves the mask.)
pub(crate) fn restore_defaults() {
    // The kernel's `struct sigaction`: SIG_DFL, no flags, no restorer, no further signals blocked, is all zeroes.
    let default = [0_u64; 4];
    for number in 1..=i64::from(SIGNAL_MAX) {
        // SAFETY: the kernel reads 32 bytes of the array and writes nothing. For SIGKILL and SIGSTOP the call fails
        // without effect. The C library's own call refuses the signals that it keeps for itself, 32 to 34.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                SET_BYTES,
            )
        };
    }
    block(&SignalSet::empty());
}
