//! A client's place at a process's streams: output as it comes, input as the client sends it, and the process's end.

use std::path::Path;
use std::sync::Arc;

use knarr_proto::frame::{FrameKind, Header, MAX_PAYLOAD_BYTES};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::container::Container;
use super::error::ContainerError;
use super::execs::ExecState;
use super::handle::Containers;
use super::life::{Exit, Life};
use super::logs::{LogOptions, LogReader};
use super::records::Records;
use crate::tasks::plan::TerminalSize;
use crate::tasks::shims::Task;
use crate::tasks::streams::Output;

/// What a client wants of a container's streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttachOptions {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    /// Start the container once joined.
    pub(crate) start: bool,
    /// First everything recorded so far.
    pub(crate) logs: bool,
}

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Stdin(Vec<u8>),
    CloseStdin,
    Resize(TerminalSize),
    /// The person leaves; the process goes on.
    Detach,
}

/// A client's place at a process's streams.
pub(crate) struct Session {
    /// 0 when the process could not be started.
    pub(crate) pid: u32,
    /// What was recorded before, when that was asked for.
    pub(crate) past: Option<LogReader>,
    pub(crate) output: Output,
    pub(crate) input: InputSink,
    pub(crate) ending: Ending,
}

/// The way to the process.
pub(crate) struct InputSink {
    socket: Option<OwnedWriteHalf>,
    task: Option<Task>,
    exec_id: String,
    /// Whether input is passed on at all, and whether its end is.
    takes_stdin: bool,
    closes_stdin: bool,
    records: Records,
    container: Arc<Container>,
}

/// How the process will have ended.
pub(crate) enum Ending {
    /// A container's first process.
    Container { stopping: CancellationToken, life: watch::Receiver<Life>, ends: u64, until_removed: bool },
    /// An exec.
    Exec(watch::Receiver<ExecState>),
}

impl Session {
    /// A place at the streams of a container's process, which are these; none when it could not be started.
    pub(super) fn new(
        containers: &Containers,
        container: &Arc<Container>,
        options: AttachOptions,
        ends: u64,
        (pid, socket): (u32, Option<UnixStream>),
    ) -> Self {
        let streams = &container.spec.streams;
        let (output, input) = halves(containers, container, socket, options);
        let input = InputSink {
            task: container.task(),
            takes_stdin: options.stdin && streams.open_stdin,
            closes_stdin: streams.stdin_once,
            ..input
        };
        let (stopping, life) = (containers.work.stopping(), container.life.subscribe());
        let until_removed = container.settings().auto_remove;
        let ending = Ending::Container { stopping, life, ends, until_removed };
        let max_files = containers.execution.logs.max_files;
        let past = options.logs.then(|| past(&container.bundle, max_files, options));
        Self { pid, past, output, input, ending }
    }
}

/// What was recorded until now.
fn past(bundle: &Path, max_files: u32, options: AttachOptions) -> LogReader {
    let options = LogOptions {
        follow: false,
        stdout: options.stdout,
        stderr: options.stderr,
        since: None,
        until: None,
        tail: None,
    };
    LogReader::new(bundle, max_files, &options)
}

/// Output and input of one connection to a shim.
pub(super) fn halves(
    containers: &Containers,
    container: &Arc<Container>,
    socket: Option<UnixStream>,
    options: AttachOptions,
) -> (Output, InputSink) {
    let (output, writer) = Output::split(socket, options.stdout, options.stderr);
    let input = InputSink {
        socket: writer,
        task: None,
        exec_id: String::new(),
        takes_stdin: options.stdin,
        closes_stdin: true,
        records: containers.records.clone(),
        container: Arc::clone(container),
    };
    (output, input)
}

impl InputSink {
    /// Passes on what the client sent. A process that has ended or closed its stdin takes nothing more: no error.
    pub(crate) async fn apply(&mut self, input: Input) {
        match input {
            Input::Stdin(data) if self.takes_stdin => {
                for piece in data.chunks(MAX_PAYLOAD_BYTES) {
                    self.send(piece).await;
                }
            }
            Input::CloseStdin if self.takes_stdin && self.closes_stdin => self.send(&[]).await,
            Input::Stdin(_) | Input::CloseStdin => {}
            Input::Resize(size) => {
                if let Some(task) = &self.task
                    && let Err(error) = task.resize(&self.exec_id, size.columns, size.rows).await
                {
                    tracing::debug!(%error, "the terminal was not resized");
                }
            }
            Input::Detach if self.exec_id.is_empty() => self.records.publish(&self.container, "detach", &[]),
            Input::Detach => {
                self.records.publish(&self.container, "exec_detach", &[("execID", self.exec_id.clone())]);
            }
        }
    }

    async fn send(&mut self, data: &[u8]) {
        let Some(socket) = &mut self.socket else { return };
        let mut frame = Header { kind: FrameKind::Stdin, length: data.len() }.encode().to_vec();
        frame.extend_from_slice(data);
        if let Err(error) = socket.write_all(&frame).await {
            tracing::debug!(%error, "the process takes no more input");
            self.socket = None;
        }
    }

    pub(super) fn of_exec(self, task: Task, exec_id: String) -> Self {
        Self { task: Some(task), exec_id, ..self }
    }
}

impl Ending {
    /// Returns when the process has ended; for an auto-removed container, when that is gone.
    ///
    /// # Errors
    /// [`ContainerError::Stopping`] when knarrd stops first.
    pub(crate) async fn exit(self) -> Result<Exit, ContainerError> {
        match self {
            Self::Container { stopping, mut life, ends, until_removed } => {
                let over = |life: &Life| life.removed || (!until_removed && life.ends > ends);
                tokio::select! {
                    seen = life.wait_for(over) => {
                        seen.map(|life| life.last_exit()).map_err(|_| ContainerError::Stopping)
                    }
                    () = stopping.cancelled() => Err(ContainerError::Stopping),
                }
            }
            Self::Exec(mut state) => {
                let is_over = |state: &ExecState| matches!(state, ExecState::Ended(_));
                match state.wait_for(is_over).await.as_deref() {
                    Ok(ExecState::Ended(exit)) => Ok(exit.clone()),
                    Ok(_) | Err(_) => Err(ContainerError::Stopping),
                }
            }
        }
    }
}
