//! The process record that a shim keeps in its container's bundle, held against what the kernel says now. Blocking; a
//! process that is missing from it is unknown, not dead.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::fs;
use std::io;
use std::path::Path;

use knarr_proto::processes::{BOOT_ID, FILE_NAME, ProcessIdentity, ProcessRecord};
use rustix::process::{Pid, PidfdFlags, Signal};

/// Whether a process exists, by the kernel's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// It runs.
    Alive,
    /// It has ended.
    Dead,
    /// The kernel does not say.
    Unknown,
}

/// The record in `bundle`. `None` when there is none, or none of this boot that can be read.
pub(super) fn read(bundle: &Path) -> Option<ProcessRecord> {
    let boot_id = fs::read_to_string(BOOT_ID).ok()?;
    let text = fs::read(bundle.join(FILE_NAME)).ok()?;
    ProcessRecord::parse(&text, boot_id.trim())
}

/// Asks the kernel for a recorded process.
pub(super) fn liveness(process: ProcessIdentity) -> Liveness {
    match fs::read_to_string(format!("/proc/{}/stat", process.pid)) {
        Ok(stat) if process.is_alive_in(&stat) => Liveness::Alive,
        Ok(_) => Liveness::Dead,
        // ESRCH: it ended between the open and the read.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Liveness::Dead,
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Liveness::Dead,
        Err(_) => Liveness::Unknown,
    }
}

/// Has a living shim look after its sockets at once: it makes those anew that are missing from their directories. Only a
/// shim that keeps a record knows the signal.
pub(super) fn ask_for_sockets(shim: ProcessIdentity) {
    let Some(pid) = Pid::from_raw(shim.pid.cast_signed()) else { return };
    let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return };
    // Looked at after the pid was pinned, so that the signal reaches this process or none.
    if liveness(shim) == Liveness::Alive
        && let Err(error) = rustix::process::pidfd_send_signal(&pidfd, Signal::HUP)
    {
        tracing::debug!(pid = shim.pid, %error, "a shim was not asked for its sockets");
    }
}
