//! What knarrd inherits from the process that starts it, and cannot work with: the blocked and the ignored signals and the
//! file mode mask of a person's shell, of another daemon, of a broken init script. What is left alone reaches the
//! containers as it does under docker: scheduling, NUMA policy, personality, resource limits.

use std::io;

use nix::sys::signal::SigSet;
use rustix::fs::Mode;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// A file would grow beyond RLIMIT_FSIZE. Its number is the same on every architecture that we are built for.
const FILE_SIZE_EXCEEDED: SignalKind = SignalKind::from_raw(25);

/// Blocks no signal, and lets files have the modes that we give them. Also for the unpack helper, before any thread.
pub(crate) fn settle() {
    // Fails for an invalid operation alone, which this is not.
    SigSet::empty().thread_set_mask().ok();
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
}

/// Has handlers, which do nothing, for two signals: where the caller ignores SIGCHLD the kernel would keep no exit status
/// of our children, and SIGXFSZ would end us where a failed write is to be told.
pub(crate) fn handle_signals(runtime: &Runtime) -> io::Result<()> {
    let _inside = runtime.enter();
    [SignalKind::child(), FILE_SIZE_EXCEEDED].into_iter().try_for_each(|kind| signal(kind).map(drop))
}
