//! The start gate: a fifo in the state directory that the child holds open for both directions and reads one byte from.
//! Nothing in the container has a name for it; `start` unlinks it before it writes, so that only one start wins.
//! Where there are poststart hooks it then waits until no process has the gate open: the program is executed by then.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use knarr_proto::status::Status;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::error::StartError;
use crate::child::error::CreateError;
use crate::hooks::{self, HookKind};
use crate::notify::Watcher;
use crate::state::names::START_GATE;
use crate::state::record::State;
use crate::sys::pidfd;

/// Makes the gate in the container's state directory.
pub(super) fn make(directory: BorrowedFd<'_>) -> Result<OwnedFd, CreateError> {
    let gate = |source| CreateError::Gate { source };
    rustix::fs::mknodat(directory, START_GATE, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(gate)?;
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(directory, START_GATE, flags, Mode::empty()).map_err(gate)
}

/// Lets a created container's process go. It is killed when a poststart hook fails.
///
/// # Errors
/// [`StartError`].
pub(crate) fn start(root: &Path, state: &State) -> Result<(), StartError> {
    let observed = state.observe(root)?;
    match observed.status {
        Status::Created => {}
        Status::Stopped => return Err(StartError::Stopped),
        Status::Running => return Err(StartError::Running),
        status => return Err(StartError::State(status)),
    }
    let directory = root.join(state.id.as_str());
    // Read while nothing has happened yet.
    let spec = state.has_poststart_hooks.then(|| state.spec(root)).transpose()?;
    let path = directory.join(START_GATE);
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let gate = match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Err(StartError::Running),
        Err(Errno::NXIO) => return Err(StartError::Stopped),
        opened => opened.map_err(|source| StartError::Gate { source })?,
    };
    match rustix::fs::unlinkat(CWD, &path, AtFlags::empty()) {
        Err(Errno::NOENT) => return Err(StartError::Running),
        unlinked => unlinked.map_err(|source| StartError::Gate { source })?,
    }
    let notify = Watcher::from_environment().map(|watcher| watcher.listen(&directory)).transpose()?.flatten();
    rustix::io::write(&gate, b"s").map_err(|source| StartError::Gate { source })?;
    let init = state.open_init()?;
    if let Some(spec) = spec {
        // Poststart hooks come after the user's program is executed (runtime-spec, "Lifecycle"): then, or when the
        // process has ended, the gate has no reader any more.
        retry_on_intr(|| poll(&mut [PollFd::new(&gate, PollFlags::empty())], None))
            .map_err(|source| StartError::Gate { source })?;
        let text = state.oci("running", observed.pid);
        if let Err(error) =
            hooks::run(HookKind::Poststart, &spec.hooks, &text, Some(Path::new(&state.bundle)))
        {
            if let Some(init) = init {
                // It may have ended by itself; the hook's failure is the one to tell.
                pidfd::send_signal(init.as_fd(), libc::SIGKILL).ok();
            }
            return Err(error.into());
        }
    }
    if let (Some(notify), Some(init)) = (notify, init) {
        notify.wait(init.as_fd(), observed.pid)?;
    }
    Ok(())
}
