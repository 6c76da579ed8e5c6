//! systemd starts no scope without a process, and ends it when it is empty; a container's first process enters by
//! itself later. Until it is in, a child of ours that does nothing holds the scope open.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::sys::clone::{Forked, fork_into};
use crate::sys::exec;

/// The process.
#[derive(Debug)]
pub(in crate::cgroup) struct Placeholder {
    pub(super) pid: u32,
    pidfd: OwnedFd,
}

impl Placeholder {
    /// Forks it. It ends with us, whatever ends us.
    pub(super) fn fork() -> Result<Self, Errno> {
        let parent = rustix::process::getpid();
        match fork_into(0, None)? {
            Forked::Parent { pid, pidfd } => Ok(Self { pid, pidfd }),
            Forked::Child => {
                let bound = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
                // Our parent may have ended before that was in force.
                while bound.is_ok() && rustix::process::getppid() == Some(parent) {
                    rustix::event::pause();
                }
                exec::leave(0);
            }
        }
    }

    /// Ends it.
    pub(in crate::cgroup) fn end(self) {
        // It cannot be gone before we have waited for it.
        rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL).ok();
        rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED).ok();
    }
}
