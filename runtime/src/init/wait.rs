//! The time between `create` and `start`: the process is all set up, holds nothing of the host's, and waits at a fifo.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;

use super::error::InitError;
use crate::handshake::ChildEnd;
use crate::process::launch::Inherited;
use crate::sys::signal::{self, SignalSet};
use crate::sys::{descriptor, exec};

/// What ends a program that has no other plans. As the first process of a pid namespace we would never get them, so
/// that `kill` would not end a container that is only created.
const ENDING: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// Tells that all is set up; then `create` has it wait at the gate, a fifo that is open for both directions, so that
/// the read ends only when `start` writes its byte. All descriptors but those that the program inherits are closed by
/// then (CVE-2024-21626).
///
/// Returns the gate: `start` sees it close when the user's program is executed.
pub(super) fn wait(
    channel: &ChildEnd,
    gate: Option<OwnedFd>,
    inherited: Inherited,
) -> Result<Option<OwnedFd>, InitError> {
    let failed = |source| InitError::Gate { source };
    if gate.is_some() {
        signal::block(&SignalSet::from_numbers(&ENDING));
    }
    channel.ready()?;
    let Some(gate) = gate else { return Ok(None) };
    descriptor::close_all_but(inherited.end(), gate.as_raw_fd());
    let signals = signal::descriptor(&SignalSet::from_numbers(&ENDING)).map_err(failed)?;
    loop {
        let mut waiting = [PollFd::new(&gate, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        retry_on_intr(|| poll(&mut waiting, None)).map_err(failed)?;
        if waiting[1].revents().contains(PollFlags::IN) {
            exec::leave(128 + signal::receive(&signals).map_err(failed)?);
        }
        if waiting[0].revents().contains(PollFlags::IN) {
            rustix::io::read(&gate, &mut [0]).map_err(failed)?;
            return Ok(Some(gate));
        }
    }
}
