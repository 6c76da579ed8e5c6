//! Signal masks and signals as a descriptor.

use std::os::fd::{FromRawFd, OwnedFd};

use super::{Errno, checked};

/// A set of signals, 1 to 64.
#[derive(Clone, Copy)]
pub struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// Every signal.
    #[must_use]
    pub fn full() -> Self {
        let mut set = Self::empty();
        // SAFETY: sigfillset writes the set that it is given.
        unsafe { libc::sigfillset(&raw mut set.0) };
        set
    }

    /// These signals.
    #[must_use]
    pub fn of(numbers: &[i32]) -> Self {
        let mut set = Self::empty();
        for number in numbers {
            // SAFETY: sigaddset writes the set that it is given, and refuses numbers that are no signals.
            unsafe { libc::sigaddset(&raw mut set.0, *number) };
        }
        set
    }

    /// No signal.
    #[must_use]
    pub fn empty() -> Self {
        // SAFETY: sigset_t is plain old data; all zeroes is the empty set on Linux.
        Self(unsafe { std::mem::zeroed() })
    }
}

/// Replaces the mask of blocked signals, and returns the one before.
///
/// # Errors
/// None in practice.
pub fn block(set: &SignalSet) -> Result<SignalSet, Errno> {
    let mut before = SignalSet::empty();
    // SAFETY: both sets live through the call.
    checked(libc::c_long::from(unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set.0, &raw mut before.0)
    }))?;
    Ok(before)
}

/// A descriptor from which blocked signals of `set` are read, 128 bytes each, the number in the first four.
///
/// # Errors
/// EMFILE.
pub fn descriptor(set: &SignalSet) -> Result<OwnedFd, Errno> {
    // SAFETY: the set lives through the call; -1 asks for a new descriptor.
    let fd = checked(libc::c_long::from(unsafe { libc::signalfd(-1, &raw const set.0, libc::SFD_CLOEXEC) }))?;
    // SAFETY: the kernel returned this descriptor to us and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Gives every signal its default action again. An ignored signal stays ignored across exec, which would make the
/// container inherit choices of whoever called us (we ourselves ignore SIGPIPE).
pub fn restore_defaults() {
    for number in 1..=64 {
        // SAFETY: SIG_DFL is a valid action for each signal; for SIGKILL, SIGSTOP and the C library's own the call
        // fails without effect, which is what we want.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
}
