//! One call of one hook: spawn, state on stdin, bounded output, timeout by pidfd. Never outlives its hook, and never
//! waits for anything that the hook left behind.

use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, OFlags, memfd_create};
use rustix::io::Errno;

use crate::spec::hooks::Hook;
use crate::sys::{errno_of, exec, pidfd};

/// How much of each of stdout and stderr an error repeats; more is read and dropped, so that the hook never blocks.
const OUTPUT_MAX_BYTES: usize = 4096;

/// How a hook failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookFailure {
    /// It could not be started.
    #[error("cannot start {path:?}")]
    Start {
        /// The program.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It could not be given its state or watched.
    #[error("cannot supervise {path:?}")]
    Supervise {
        /// The program.
        path: String,
        /// What the kernel said.
        source: Errno,
    },
    /// It ran longer than its timeout, and was killed.
    #[error("hook ran past specified timeout of {:.1}s, stdout: {}, stderr: {}", .timeout.as_secs_f64(), .output.stdout, .output.stderr)]
    TimedOut {
        /// The timeout.
        timeout: Duration,
        /// What it had said.
        output: Output,
    },
    /// It exited with another code than 0, or by a signal.
    #[error("{}, stdout: {}, stderr: {}", describe(*.status), .output.stdout, .output.stderr)]
    Exited {
        /// Its status.
        status: ExitStatus,
        /// What it said.
        output: Output,
    },
}

/// The beginning of what a hook wrote.
#[derive(Debug)]
pub(crate) struct Output {
    /// Of its stdout.
    pub(crate) stdout: String,
    /// Of its stderr.
    pub(crate) stderr: String,
}

/// Go's words for the signals that end programs.
fn name_of(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "hangup",
        libc::SIGINT => "interrupt",
        libc::SIGABRT => "aborted",
        libc::SIGKILL => "killed",
        libc::SIGSEGV => "segmentation fault",
        libc::SIGPIPE => "broken pipe",
        libc::SIGTERM => "terminated",
        libc::SIGSYS => "bad system call",
        other => return other.to_string(),
    };
    name.to_owned()
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal: {}", name_of(signal)),
        (None, None) => status.to_string(),
    }
}

/// Runs the hook to its end.
pub(super) fn call(
    hook: &Hook,
    state: &[u8],
    directory: Option<&Path>,
    timeout: Option<Duration>,
) -> Result<(), HookFailure> {
    let supervise = |source| HookFailure::Supervise { path: hook.path.clone(), source };
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let stdin = state_file(state).map_err(supervise)?;
    let mut child = spawn(hook, stdin, directory)
        .map_err(|source| HookFailure::Start { path: hook.path.clone(), source })?;
    let mut captured = Captured::from_child(&mut child);
    let ended = wait(&child, &mut captured, deadline);
    if ended != Ok(Ended::Exited) {
        child.kill().map_err(|error| supervise(errno_of(&error)))?;
    }
    let ended = ended.map_err(supervise)?;
    // The child has ended, so this does not block; what its own children still hold open is not waited for.
    let status = child.wait().map_err(|error| supervise(errno_of(&error)))?;
    captured.drain().map_err(supervise)?;
    let output = captured.into_output();
    match (ended, timeout) {
        (Ended::TimedOut, Some(timeout)) => Err(HookFailure::TimedOut { timeout, output }),
        _ if status.success() => Ok(()),
        _ => Err(HookFailure::Exited { status, output }),
    }
}

/// The state as a file: a hook that does not read it cannot block us, however long the annotations are.
fn state_file(state: &[u8]) -> Result<OwnedFd, Errno> {
    let mut file = std::fs::File::from(memfd_create("state", MemfdFlags::CLOEXEC)?);
    file.write_all(state).and_then(|()| file.rewind()).map_err(|error| errno_of(&error))?;
    Ok(file.into())
}

fn spawn(hook: &Hook, stdin: OwnedFd, directory: Option<&Path>) -> io::Result<Child> {
    let mut command = Command::new(&hook.path);
    if let Some((name, arguments)) = hook.args.split_first() {
        command.arg0(name).args(arguments);
    }
    if let Some(env) = &hook.env {
        command.env_clear().envs(env.iter().filter_map(|entry| entry.split_once('=')));
    }
    if let Some(directory) = directory {
        // A bundle may be gone by the time of its container's deletion.
        command.current_dir(if directory.is_dir() { directory } else { Path::new("/") });
    }
    exec::default_signals(&mut command);
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

#[derive(PartialEq, Eq)]
enum Ended {
    Exited,
    TimedOut,
}

fn wait(child: &Child, captured: &mut Captured, deadline: Option<Instant>) -> Result<Ended, Errno> {
    // It has not been waited for, so that its pid is no other's.
    let process = pidfd::open(child.id())?;
    captured.set_nonblocking()?;
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Ok(Ended::TimedOut);
        }
        let left = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let exited = {
            let mut watched = vec![PollFd::new(&process, PollFlags::IN)];
            watched.extend(captured.open().map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN)));
            match poll(&mut watched, left.as_ref()) {
                Ok(_) => !watched[0].revents().is_empty(),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            }
        };
        captured.drain()?;
        if exited {
            return Ok(Ended::Exited);
        }
    }
}

/// The two pipes and the beginning of what came through them.
struct Captured {
    pipes: [Option<std::fs::File>; 2],
    kept: [Vec<u8>; 2],
}

impl Captured {
    fn from_child(child: &mut Child) -> Self {
        let stdout = child.stdout.take().map(|pipe| OwnedFd::from(pipe).into());
        let stderr = child.stderr.take().map(|pipe| OwnedFd::from(pipe).into());
        Self { pipes: [stdout, stderr], kept: [Vec::new(), Vec::new()] }
    }

    fn set_nonblocking(&self) -> Result<(), Errno> {
        for pipe in self.pipes.iter().flatten() {
            rustix::fs::fcntl_setfl(pipe, rustix::fs::fcntl_getfl(pipe)? | OFlags::NONBLOCK)?;
        }
        Ok(())
    }

    fn open(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pipes.iter().flatten().map(AsFd::as_fd)
    }

    /// Reads what is there now.
    fn drain(&mut self) -> Result<(), Errno> {
        for (pipe, kept) in self.pipes.iter_mut().zip(&mut self.kept) {
            let Some(file) = pipe else { continue };
            if drain_one(file, kept)? {
                *pipe = None;
            }
        }
        Ok(())
    }

    fn into_output(self) -> Output {
        let [stdout, stderr] = self.kept.map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned());
        Output { stdout, stderr }
    }
}

/// How many chunks are read from one pipe before the other events get their turn.
const CHUNKS_A_TURN: usize = 64;

/// Whether the pipe is at its end.
fn drain_one(file: &mut std::fs::File, kept: &mut Vec<u8>) -> Result<bool, Errno> {
    let mut chunk = [0; 1024];
    for _ in 0..CHUNKS_A_TURN {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(true),
            Ok(length) => {
                let room = OUTPUT_MAX_BYTES.saturating_sub(kept.len());
                kept.extend_from_slice(&chunk[..length.min(room)]);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(errno_of(&error)),
        }
    }
    Ok(false)
}
