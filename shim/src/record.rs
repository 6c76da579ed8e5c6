//! The process record in the bundle (`knarr_proto::processes`): written here, and held against what the kernel says. A
//! process counts as ended only when the kernel says so, never because a file is missing.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use knarr_proto::processes::{BOOT_ID, FILE_NAME, ProcessIdentity, ProcessRecord, ProcessStat, VERSION};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

/// A process that exists, held by a descriptor: what is sent reaches it or nothing.
#[derive(Debug)]
pub(crate) struct LiveProcess {
    pidfd: OwnedFd,
    identity: ProcessIdentity,
}

/// The process with this pid at this moment.
pub(crate) fn identify(pid: u32) -> io::Result<ProcessIdentity> {
    stat(pid)?.map(|stat| stat.identity).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// What /proc says of a pid; `None` when there is no such process.
pub(crate) fn stat(pid: u32) -> io::Result<Option<ProcessStat>> {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => Ok(ProcessStat::parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // It ended between the open and the read.
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A record of a shim that has no container yet.
pub(crate) fn new(shim_pid: u32) -> io::Result<ProcessRecord> {
    let shim = identify(shim_pid)?;
    Ok(ProcessRecord { version: VERSION, boot_id: boot_id()?, shim, init: None, cgroups: Vec::new() })
}

/// Replaces the record in `bundle`.
pub(crate) fn write(bundle: &Path, record: &ProcessRecord) -> io::Result<()> {
    let temporary = bundle.join(".processes.json.new");
    let text = serde_json::to_vec(record).expect("a record has no map with odd keys");
    fs::write(&temporary, text)?;
    fs::rename(temporary, bundle.join(FILE_NAME))
}

/// The record in `bundle`; `None` when there is none of this boot that can be read.
pub(crate) fn read(bundle: &Path) -> Option<ProcessRecord> {
    let text = fs::read(bundle.join(FILE_NAME)).ok()?;
    ProcessRecord::parse(&text, &boot_id().ok()?)
}

/// Removes the record: the shim is ending, and a new one for the same bundle may come at once.
pub(crate) fn forget(bundle: &Path) -> io::Result<()> {
    match fs::remove_file(bundle.join(FILE_NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn boot_id() -> io::Result<String> {
    fs::read_to_string(BOOT_ID).map(|text| text.trim().to_owned())
}

impl LiveProcess {
    /// Opens the process; `None` when it has ended.
    pub(crate) fn open(identity: ProcessIdentity) -> io::Result<Option<Self>> {
        let Some(pid) = Pid::from_raw(identity.pid.cast_signed()) else { return Ok(None) };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        // Looked at after the pid was pinned: it is this process or not, and stays so.
        let found = stat(identity.pid)?.filter(|stat| stat.identity == identity && stat.is_alive());
        Ok(found.map(|_| Self { pidfd, identity }))
    }

    /// Sends a signal; one that has ended meanwhile is no error.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits for its end; returns whether it came within `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> io::Result<bool> {
        let limit = Timespec::try_from(limit).expect("a limit of seconds");
        let mut polled = [PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN)];
        let ended = rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, Some(&limit)))?;
        Ok(ended > 0)
    }

    /// Which process it is.
    pub(crate) fn identity(&self) -> ProcessIdentity {
        self.identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_an_earlier_one_of_its_pid() {
        let own = identify(std::process::id()).expect("we are alive");
        assert!(LiveProcess::open(own).expect("procfs").is_some());
        let earlier = ProcessIdentity { start_time: own.start_time - 1, ..own };
        assert!(LiveProcess::open(earlier).expect("procfs").is_none());
    }

    #[test]
    fn a_damaged_or_missing_record_is_none() {
        let bundle = tempfile::tempdir().expect("a directory");
        assert_eq!(read(bundle.path()), None);
        let record = new(std::process::id()).expect("we are alive");
        write(bundle.path(), &record).expect("writable");
        assert_eq!(read(bundle.path()), Some(record));
        for text in ["", "{", "null", "{\"version\":1}"] {
            fs::write(bundle.path().join(FILE_NAME), text).expect("writable");
            assert_eq!(read(bundle.path()), None, "{text}");
        }
        forget(bundle.path()).expect("removable");
        forget(bundle.path()).expect("and gone already");
    }
}
