//! Running programs: with a deadline, in full view (status and both outputs), and stopped by pid when they are ours.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags, Signal};

/// How long a program of a test may take unless the test says otherwise; generous for two loaded cores.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// How long a server may take to stop when asked.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Outcome {
    /// The command as text, for messages.
    pub command: String,
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to stdout, bytes that are no UTF-8 replaced.
    pub stdout: String,
    /// What it wrote to stderr, likewise.
    pub stderr: String,
    /// Wall clock from spawn to exit.
    pub elapsed: Duration,
}

impl Outcome {
    /// The exit code; 128 + N when signal N ended it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// This outcome, which must be a success.
    ///
    /// # Panics
    /// With everything that the program said, when it is none.
    #[track_caller]
    pub fn success(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// This outcome, which must have this exit code.
    ///
    /// # Panics
    /// With everything that the program said, when it has another.
    #[track_caller]
    pub fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "{self}");
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, status, stdout, stderr, elapsed } = self;
        write!(f, "{command}: {status} after {elapsed:?}\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}

/// Runs a program to its end, without input.
///
/// # Panics
/// When it can't be started, or is not done within [`DEADLINE`] (it is killed then).
#[track_caller]
pub fn run(command: &mut Command) -> Outcome {
    run_within(DEADLINE, command.stdin(Stdio::null()))
}

/// As [`run`] with these bytes as its stdin, which is a file that ends.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Outcome {
    let mut file = capture();
    std::io::Write::write_all(&mut file, input).expect("memory for the input");
    file.rewind().expect("a memfd seeks");
    run_within(DEADLINE, command.stdin(file))
}

/// As [`run`] with another deadline, and with the stdin that the command already has.
#[track_caller]
pub fn run_within(deadline: Duration, command: &mut Command) -> Outcome {
    // Files, not pipes: a container that outlives the program and holds its stdout can't make us wait for its end.
    let (mut stdout, mut stderr) = (capture(), capture());
    command
        .stdout(stdout.try_clone().expect("a descriptor"))
        .stderr(stderr.try_clone().expect("a descriptor"));
    let text = format!("{command:?}");
    let begun = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {text}: {error}"));
    let status = wait(&mut child, deadline);
    let elapsed = begun.elapsed();
    let (stdout, stderr) = (read_back(&mut stdout), read_back(&mut stderr));
    let Some(status) = status else {
        child.kill().expect("our child can be killed");
        child.wait().expect("our child can be waited for");
        panic!("{text}: still running after {deadline:?}\n--- stdout\n{stdout}--- stderr\n{stderr}---");
    };
    Outcome { command: text, status, stdout, stderr, elapsed }
}

/// As [`run`] with the streams that the command already has.
#[track_caller]
pub fn run_as_it_is(command: &mut Command) -> ExitStatus {
    let text = format!("{command:?}");
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {text}: {error}"));
    wait(&mut child, DEADLINE).unwrap_or_else(|| {
        child.kill().expect("our child can be killed");
        child.wait().expect("our child can be waited for");
        panic!("{text}: still running after {DEADLINE:?}")
    })
}

fn capture() -> File {
    let fd = rustix::fs::memfd_create("captured", MemfdFlags::CLOEXEC).expect("memory for captured output");
    File::from(fd)
}

fn read_back(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("a memfd seeks");
    file.read_to_end(&mut bytes).expect("a memfd reads");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits for our child by pidfd; `None` when the deadline passed.
pub fn wait(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let pid = Pid::from_child(child);
    let ended = wait_for_pid(pid, deadline);
    ended.then(|| child.wait().expect("our child can be waited for"))
}

/// Whether process `pid`, ours or not, ended within the deadline.
pub fn wait_for_pid(pid: Pid, deadline: Duration) -> bool {
    let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let end = Instant::now() + deadline;
    loop {
        let left = Timespec::try_from(end.saturating_duration_since(Instant::now())).expect("a short time");
        let mut polled = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&left)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("cannot poll a pidfd: {error}"),
        }
    }
}

/// Whether a process runs; a zombie does not.
#[must_use]
pub fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Sends a signal to a process, by pid; one that is gone already is no error.
pub fn signal(pid: Pid, signal: Signal) {
    if let Err(error) = rustix::process::kill_process(pid, signal) {
        assert_eq!(error, rustix::io::Errno::SRCH, "cannot signal {pid:?}");
    }
}

/// A server of a test's: runs until it is stopped or goes out of scope.
#[derive(Debug)]
pub struct Background {
    child: Child,
    name: String,
}

impl Background {
    /// Starts it, both outputs appended to the file at `log`.
    ///
    /// # Panics
    /// When it can't be started.
    #[track_caller]
    pub fn start(command: &mut Command, log: &std::path::Path) -> Self {
        let file = File::options().append(true).create(true).open(log).expect("the log can be made");
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a descriptor")).stderr(file);
        let name = format!("{command:?}");
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { child, name }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our child can be waited for").is_none()
    }

    /// `kill -9`, and its end awaited.
    pub fn kill(&mut self) {
        self.child.kill().expect("our child can be killed");
        self.child.wait().expect("our child can be waited for");
    }

    /// SIGTERM, and `kill -9` where that does not end it. Returns true when it did.
    pub fn stop_or_kill(&mut self) -> bool {
        signal(self.pid(), Signal::TERM);
        let has_ended = wait(&mut self.child, STOP_DEADLINE).is_some();
        if !has_ended {
            self.kill();
        }
        has_ended
    }

    /// SIGTERM, and its exit status.
    ///
    /// # Panics
    /// When it does not stop in time (it is killed then).
    pub fn stop(&mut self) -> ExitStatus {
        if self.is_running() {
            signal(self.pid(), Signal::TERM);
        }
        let Some(status) = wait(&mut self.child, STOP_DEADLINE) else {
            self.kill();
            panic!("{} did not stop within {STOP_DEADLINE:?} of SIGTERM", self.name);
        };
        status
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if !self.is_running() {
            return;
        }
        self.stop_or_kill();
    }
}
