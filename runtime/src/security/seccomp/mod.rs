//! The system call filter: an OCI profile becomes one classic BPF program.
//!
//! The plan calls [`compile`], the child [`install`]; when the profile has `SCMP_ACT_NOTIFY`, the child tells the parent
//! the number of the descriptor that `install` returned, and the parent hands it to the listener ([`listener`]).

pub mod listener;

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::sys::seccomp::{self as kernel, Instruction};

pub use listener::Listener;

/// A filter that the kernel can load.
#[derive(Clone, Debug)]
pub struct Program {
    instructions: Vec<Instruction>,
    flags: u32,
    listener: Option<Listener>,
}

impl Program {
    /// The instructions, for tests and tools.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// `SECCOMP_FILTER_FLAG_*`.
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Who gets the notify descriptor, if the profile has `SCMP_ACT_NOTIFY`.
    #[must_use]
    pub fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }
}

/// Puts the calling thread under the filter, for good. Call in the child: without no_new_privs before capabilities are
/// dropped (loading then needs CAP_SYS_ADMIN), with it as the last step before exec.
///
/// The descriptor, if any, is for the parent: send its *number* with `write` (the one system call that a profile may
/// not notify about) and have the parent fetch it with [`listener::fetch`].
///
/// # Errors
/// The kernel's.
pub fn install(program: &Program) -> Result<Option<OwnedFd>, Errno> {
    kernel::load(&program.instructions, program.flags)
}
