//! Processes by descriptor: a pidfd means one process for ever, a pid only until it is used again.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use crate::sys::{checked, file};

/// Opens a process, which must be a thread group's leader.
///
/// # Errors
/// [`Errno::SRCH`] when there is none, [`Errno::INVAL`] for 0 or a thread.
pub(crate) fn open(pid: u32) -> Result<OwnedFd, Errno> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::INVAL)?;
    rustix::process::pidfd_open(pid, PidfdFlags::empty())
}

/// The pid of a process as our procfs sees it, which must not be reaped yet.
///
/// # Errors
/// [`Errno::SRCH`] when it is not in our pid namespace or gone.
pub(crate) fn pid_of(process: BorrowedFd<'_>) -> Result<u32, Errno> {
    let path = PathBuf::from(format!("/proc/self/fdinfo/{}", process.as_raw_fd()));
    let text = file::read_text(&path, file::MAX_PROC_BYTES)?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    pid.filter(|pid| *pid != 0).ok_or(Errno::SRCH)
}

/// Sends a signal by number, real-time ones included; 0 only looks whether it could be sent.
///
/// # Errors
/// [`Errno::SRCH`] when the process has ended.
pub(crate) fn send_signal(process: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let (none, flags) = (std::ptr::null::<libc::siginfo_t>(), 0_u32);
    // SAFETY: takes integers and a null siginfo, which means "as kill(2)"; reads and writes none of our memory.
    checked(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, none, flags) })
        .map(drop)
}

/// Returns when the process has ended, as a zombie or for good.
///
/// # Errors
/// [`Errno::TIMEDOUT`] when it has not after `longest`.
pub(crate) fn wait_exit(process: BorrowedFd<'_>, longest: Duration) -> Result<(), Errno> {
    let deadline = std::time::Instant::now() + longest;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        let mut waiting = [PollFd::from_borrowed_fd(process, PollFlags::IN)];
        match poll(&mut waiting, Some(&timeout)) {
            Ok(0) => return Err(Errno::TIMEDOUT),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// What `/proc/<pid>/stat` says about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// `R`, `S`, `D`, `T`, `Z`, `X` …
    pub(crate) state: u8,
    /// Clock ticks since boot; with the pid it names one process.
    pub(crate) start_time: u64,
}

impl Stat {
    /// Whether it runs no more: a zombie, or being removed.
    #[must_use]
    pub(crate) fn is_dead(self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Reads a process's state and start time in one read, so that both are of the same process.
///
/// # Errors
/// [`Errno::SRCH`] when there is no such process, [`Errno::PROTO`] when the file is not as proc(5) says.
pub(crate) fn stat(pid: u32) -> Result<Stat, Errno> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    match file::read_bytes(&path, file::MAX_PROC_BYTES) {
        Ok(bytes) => parse_stat(&String::from_utf8_lossy(&bytes)).ok_or(Errno::PROTO),
        Err(Errno::NOENT) => Err(Errno::SRCH),
        Err(errno) => Err(errno),
    }
}

/// proc(5): `pid (name) state …`, the start time is field 22; the name may hold spaces and parentheses.
fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = *fields.next()?.as_bytes().first()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, start_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_s_name_cannot_fake_its_state() {
        let rest = "1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1000 1";
        for name in ["sh", "a b", ") Z 1", "((", "x) Z 1 1 (y"] {
            let stat = parse_stat(&format!("7 ({name}) S {rest}")).expect(name);
            assert_eq!(stat, Stat { state: b'S', start_time: 4242 }, "{name}");
        }
        assert_eq!(parse_stat("7 (sh) S 1 1"), None);
    }

    #[test]
    fn our_own_process_is_alive_and_stays_the_same() {
        let pid = std::process::id();
        let first = stat(pid).expect("we are alive");
        assert!(!first.is_dead());
        assert_eq!(stat(pid).expect("we are alive").start_time, first.start_time);
    }

    #[test]
    fn the_end_of_a_process_is_seen() {
        let mut child = std::process::Command::new("/bin/sleep").arg("100").spawn().expect("sleep");
        let process = open(child.id()).expect("it runs");
        assert_eq!(wait_exit(std::os::fd::AsFd::as_fd(&process), Duration::ZERO), Err(Errno::TIMEDOUT));
        send_signal(std::os::fd::AsFd::as_fd(&process), libc::SIGKILL).expect("ours to kill");
        wait_exit(std::os::fd::AsFd::as_fd(&process), Duration::from_secs(10)).expect("killed");
        assert!(stat(child.id()).expect("not reaped yet").is_dead());
        child.wait().expect("reaped");
        assert_eq!(send_signal(std::os::fd::AsFd::as_fd(&process), 0), Err(Errno::SRCH));
    }
}
