//! What the shim inherits from containerd or knarrd, and cannot work with. What is left alone reaches the container as it
//! does under containerd's own shim: scheduling, NUMA policy, personality, resource limits.

use nix::sys::signal::SigSet;
use rustix::fs::Mode;

/// Blocks no signal, and lets files have the modes that we give them. That SIGCHLD is not ignored the reaper sees to.
pub(crate) fn settle() {
    // Fails for an invalid operation alone, which this is not.
    SigSet::empty().thread_set_mask().ok();
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
}
