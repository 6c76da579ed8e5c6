//! What knarr inherits from the process that starts it, and cannot work with.

use std::io;

use nix::sys::signal::SigSet;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Blocks no signal, and has the kernel keep the exit status of our children: it does not where the caller ignores SIGCHLD,
/// which a handler, this one does nothing, ends. Before the first thread and the first child.
pub(crate) fn settle(runtime: &Runtime) -> io::Result<()> {
    SigSet::empty().thread_set_mask()?;
    let _inside = runtime.enter();
    signal(SignalKind::child()).map(drop)
}
