//! A child of ours until it runs the user's program.

use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Signal, WaitId, WaitIdOptions};

/// The child between clone3 and the end of its creation.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
}

impl Child {
    /// Kills and reaps it; that it has ended by itself is as good.
    pub(crate) fn end(self) {
        rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL).ok();
        rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED).ok();
    }
}
