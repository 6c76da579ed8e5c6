//! One process of a container, its first or an exec: its state, its streams, its end. How it is made is `container`'s.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use knarr_proto::status::{Event, Status};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::sync::{MutexGuard as AsyncGuard, oneshot};
use tokio::task::JoinHandle;

use super::error::TaskError;
use crate::descriptor::Descriptor;
use crate::flag::Flag;
use crate::reaper::Exit;
use crate::record;
use crate::runtime::ContainerStreams;
use crate::stdio::{PipeOwner, Request, StdioError, Streams, Target};

/// A process that a manager asked for.
#[derive(Debug)]
pub(crate) struct Process {
    /// Empty for the container's first process.
    pub(crate) exec_id: String,
    /// Where the manager wants its streams.
    pub(crate) request: Request,
    target: Target,
    /// Opened before the process is made: see [`Target::is_needed_before_start`].
    streams: OnceLock<Arc<Streams>>,
    /// An exec's specification, the runtime-spec's JSON, until it is made.
    specification: Mutex<Vec<u8>>,
    /// The process's own ends, until it is made.
    ends: Mutex<Option<ContainerStreams>>,
    terminal: OnceLock<Arc<Descriptor>>,
    /// For signals: a pid may be another process's as soon as this one has been reaped.
    pidfd: OnceLock<OwnedFd>,
    /// When it was started, by the kernel's clock.
    start_time: OnceLock<u64>,
    state: Mutex<State>,
    exited: Flag,
    /// Its input is to end as soon as it has one.
    has_input_ended: Flag,
    /// Held while the process is started, and while its exit is told: so a start is always told first.
    turn: tokio::sync::Mutex<()>,
}

/// What changes in a process's life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// Where it is.
    pub(crate) status: Status,
    /// Its pid on the host; 0 before it is made.
    pub(crate) pid: u32,
    /// How it ended.
    pub(crate) exit: Option<Exit>,
}

impl Process {
    /// A process that is to be made.
    pub(crate) fn new(exec_id: String, request: Request) -> Result<Arc<Self>, TaskError> {
        let target = Target::parse(&request).map_err(|bad| TaskError::Stdio(StdioError::Target(bad)))?;
        Ok(Arc::new(Self {
            exec_id,
            request,
            target,
            streams: OnceLock::new(),
            specification: Mutex::default(),
            ends: Mutex::default(),
            terminal: OnceLock::new(),
            pidfd: OnceLock::new(),
            start_time: OnceLock::new(),
            state: Mutex::new(State { status: Status::Creating, pid: 0, exit: None }),
            exited: Flag::default(),
            has_input_ended: Flag::default(),
            turn: tokio::sync::Mutex::default(),
        }))
    }

    /// Opens its streams, unless they are open; the attach socket is recorded in `bundle`.
    pub(crate) fn open_streams(&self, owner: PipeOwner, bundle: &Path) -> Result<&Arc<Streams>, TaskError> {
        if self.streams.get().is_none() {
            let opened = Streams::open(&self.target, self.request.terminal, owner, bundle);
            let (streams, ends) = opened.map_err(TaskError::Stdio)?;
            *self.ends.lock().expect("nothing panics under this lock") = Some(ends);
            if self.has_input_ended.is_raised() {
                streams.close_stdin();
            }
            // There is one thread, and it has just looked.
            self.streams.set(streams).ok();
        }
        Ok(self.streams.get().expect("set above"))
    }

    /// What an exec is to run.
    pub(crate) fn specify(&self, specification: Vec<u8>) {
        *self.specification.lock().expect("nothing panics under this lock") = specification;
    }

    /// What it is to run, once.
    pub(crate) fn take_specification(&self) -> Vec<u8> {
        std::mem::take(&mut *self.specification.lock().expect("nothing panics under this lock"))
    }

    /// Whether clients have to find its streams before it is started.
    pub(crate) fn is_attached_before_start(&self) -> bool {
        self.target.is_needed_before_start()
    }

    /// Its streams, once they are open.
    pub(crate) fn streams(&self) -> Option<&Arc<Streams>> {
        self.streams.get()
    }

    /// No more input. That may be told before the streams are open, and holds then as well.
    pub(crate) fn close_stdin(&self) {
        self.has_input_ended.raise();
        if let Some(streams) = self.streams() {
            streams.close_stdin();
        }
    }

    /// Gives its streams up. What is returned ends when the attach socket's clients have read all.
    pub(crate) async fn close_streams(&self) -> Option<JoinHandle<()>> {
        match self.streams() {
            Some(streams) => streams.close().await,
            None => None,
        }
    }

    /// Its state at this moment.
    pub(crate) fn state(&self) -> State {
        *self.lock()
    }

    /// Moves on; `operation` is what was asked.
    pub(crate) fn advance(&self, event: Event, operation: &'static str) -> Result<(), TaskError> {
        let mut state = self.lock();
        let refused = |_| TaskError::State { operation, status: state.status };
        let next = state.status.after(event).map_err(refused)?;
        state.status = next;
        Ok(())
    }

    /// Refuses `operation` unless the process is at `status`.
    pub(crate) fn require(&self, status: Status, operation: &'static str) -> Result<(), TaskError> {
        let now = self.state().status;
        if now == status { Ok(()) } else { Err(TaskError::State { operation, status: now }) }
    }

    /// The runtime has made it, and its end is watched by `exit`. To be called before anything else is awaited.
    pub(crate) fn made(&self, pid: u32, exit: &oneshot::Receiver<Exit>) {
        self.lock().pid = pid;
        // Not reaped yet, and only we reap: the pid is still its own.
        if exit.is_empty()
            && let Some(number) = Pid::from_raw(pid.cast_signed())
            && let Ok(pidfd) = rustix::process::pidfd_open(number, PidfdFlags::empty())
        {
            // One create or start, one process.
            self.pidfd.set(pidfd).ok();
            if let Ok(Some(stat)) = record::stat(pid) {
                self.start_time.set(stat.identity.start_time).ok();
            }
        }
    }

    /// When it was started, in ticks since boot; later than anything for one that had ended before it was looked at.
    pub(crate) fn start_time(&self) -> u64 {
        self.start_time.get().copied().unwrap_or(u64::MAX)
    }

    /// Sends a signal to this process alone.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), TaskError> {
        let state = self.state();
        if state.exit.is_some() {
            return Err(TaskError::Finished);
        }
        if state.pid == 0 {
            return Err(TaskError::NotStarted);
        }
        // Without a descriptor it had ended before we came to open one.
        let pidfd = self.pidfd.get().ok_or(TaskError::Finished)?;
        match rustix::process::pidfd_send_signal(pidfd, signal) {
            Ok(()) => Ok(()),
            Err(Errno::SRCH) => Err(TaskError::Finished),
            Err(errno) => Err(TaskError::Kill(errno)),
        }
    }

    /// It has ended, and everything that has to be kept about that is kept.
    pub(crate) fn ended(&self, exit: Exit) {
        let mut state = self.lock();
        state.exit = Some(exit);
        state.status = Status::Stopped;
        drop(state);
        self.exited.raise();
    }

    /// Waits for the end.
    pub(crate) async fn exit(&self) -> Exit {
        self.exited.raised().await;
        self.state().exit.expect("set before the flag")
    }

    /// The right to start the process or to tell its exit.
    pub(crate) async fn turn(&self) -> AsyncGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Gives it these ends, in place of streams that clients can see.
    pub(crate) fn give_ends(&self, ends: ContainerStreams) {
        *self.ends.lock().expect("nothing panics under this lock") = Some(ends);
    }

    /// The process's own ends of its streams, once.
    pub(crate) fn take_ends(&self) -> ContainerStreams {
        self.ends.lock().expect("nothing panics under this lock").take().unwrap_or_default()
    }

    /// Its terminal has come.
    pub(crate) fn connect(&self, terminal: Arc<Descriptor>) {
        if let Some(streams) = self.streams() {
            streams.connect(&terminal);
        }
        // One create or start, one terminal.
        self.terminal.set(terminal).ok();
    }

    /// Its terminal, if it has one.
    pub(crate) fn terminal(&self) -> Option<&Arc<Descriptor>> {
        self.terminal.get()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}
