//! Waiting for a process in the foreground: its terminal, the signals meant for it, its exit code.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{WaitId, WaitIdOptions};
use rustix::termios::{
    OptionalActions, OutputModes, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use crate::notify::Notify;
use crate::sys::pidfd;
use crate::sys::signal::{self, SignalSet};

/// One copy between terminals; a screen is smaller.
const COPY_BYTES: usize = 16 * 1024;

/// Why the process could not be waited for.
#[derive(Debug, thiserror::Error)]
#[error("cannot wait for the container's process")]
pub(crate) struct WaitError {
    source: Errno,
}

impl From<Errno> for WaitError {
    fn from(source: Errno) -> Self {
        Self { source }
    }
}

/// Signals that are kept for [`Foreground::wait`] from before the process is made.
#[derive(Debug)]
pub(crate) struct Foreground {
    signals: OwnedFd,
}

/// Puts the caller's terminal back as it was.
struct RawTerminal(Option<Termios>);

impl RawTerminal {
    fn enter() -> Result<Self, Errno> {
        let stdin = rustix::stdio::stdin();
        let Ok(before) = tcgetattr(stdin) else { return Ok(Self(None)) };
        let mut raw = before.clone();
        raw.make_raw();
        // Line ends are turned once, here: see `leave_line_ends`.
        raw.output_modes |= OutputModes::OPOST;
        tcsetattr(stdin, OptionalActions::Now, &raw)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // There is nothing left to report to; the shell sets its own modes.
            tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before).ok();
        }
    }
}

impl Foreground {
    /// Holds all signals back, so that none is lost between now and the wait.
    ///
    /// # Errors
    /// [`WaitError`].
    pub(crate) fn begin() -> Result<Self, WaitError> {
        signal::block(&SignalSet::full());
        Ok(Self { signals: signal::descriptor(&SignalSet::full())? })
    }

    /// Passes signals and terminal on until the process, a child of ours, has ended. Returns its exit code, 128+N for
    /// signal N.
    ///
    /// # Errors
    /// [`WaitError`].
    pub(crate) fn wait(
        &self,
        process: BorrowedFd<'_>,
        master: Option<&OwnedFd>,
        mut notify: Option<Notify>,
    ) -> Result<u8, WaitError> {
        let terminal = master.map(|_| RawTerminal::enter()).transpose()?;
        let mut reads_stdin = master.is_some();
        if let Some(master) = master {
            resize(master);
        }
        loop {
            let told = notify.as_ref().and_then(Notify::as_fd);
            let stdin = reads_stdin.then(rustix::stdio::stdin);
            let watched = [Some(process), Some(self.signals.as_fd()), told, master.map(AsFd::as_fd), stdin];
            let [has_ended, is_signalled, is_told, has_output, has_input] = wait_for_any(watched)?;
            if let Some(master) = master {
                if has_output {
                    copy(master.as_fd(), rustix::stdio::stdout());
                }
                if has_input {
                    reads_stdin = copy(rustix::stdio::stdin(), master.as_fd());
                }
            }
            if is_told {
                // Our own pid, as under runc: the service manager started and watches us.
                notify = notify
                    .take()
                    .and_then(|mut notify| notify.forward(std::process::id()).is_ok().then_some(notify));
            }
            if is_signalled {
                self.forward(process, master)?;
            }
            if has_ended {
                if let Some(master) = master {
                    drain(master.as_fd());
                }
                drop(terminal);
                return Ok(reap(process)?);
            }
        }
    }

    fn forward(&self, process: BorrowedFd<'_>, master: Option<&OwnedFd>) -> Result<(), Errno> {
        let number = signal::receive(&self.signals)?;
        match (number, master) {
            (libc::SIGCHLD | libc::SIGURG, _) => Ok(()),
            (libc::SIGWINCH, Some(master)) => {
                resize(master);
                Ok(())
            }
            _ => match pidfd::send_signal(process, number) {
                Err(Errno::SRCH) => Ok(()),
                sent => sent,
            },
        }
    }
}

/// Waits until there is something to read from one of these, and tells from which.
fn wait_for_any<const COUNT: usize>(
    watched: [Option<BorrowedFd<'_>>; COUNT],
) -> Result<[bool; COUNT], Errno> {
    let mut waiting: Vec<PollFd<'_>> = watched
        .iter()
        .flatten()
        .map(|descriptor| PollFd::from_borrowed_fd(*descriptor, PollFlags::IN))
        .collect();
    retry_on_intr(|| poll(&mut waiting, None))?;
    let mut ready = waiting.iter().map(|polled| !polled.revents().is_empty());
    Ok(watched.map(|descriptor| descriptor.is_some() && ready.next() == Some(true)))
}

/// The container's terminal is as large as ours; not every caller has one.
fn resize(master: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
        tcsetwinsize(master, size).ok();
    }
}

/// Copies what is there; false at the end of the stream. Not to be inlined: its buffer would be in the way of every
/// command, as four pages more to touch.
#[inline(never)]
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; COPY_BYTES];
    let Ok(length @ 1..) = rustix::io::read(from, &mut buffer) else { return false };
    let mut rest = &buffer[..length];
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return false,
        }
    }
    true
}

/// What the process wrote before it ended.
fn drain(master: BorrowedFd<'_>) {
    loop {
        let mut waiting = [PollFd::from_borrowed_fd(master, PollFlags::IN)];
        let nothing = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let has_more = poll(&mut waiting, Some(&nothing)).is_ok_and(|count| count > 0);
        if !has_more || !copy(master, rustix::stdio::stdout()) {
            return;
        }
    }
}

fn reap(process: BorrowedFd<'_>) -> Result<u8, Errno> {
    let status =
        rustix::process::waitid(WaitId::PidFd(process), WaitIdOptions::EXITED)?.ok_or(Errno::CHILD)?;
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    };
    Ok(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
