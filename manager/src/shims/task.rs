//! One container's task, through its shim: containerd's Task v3 service in our own words and types.

use std::time::{Duration, SystemTime};

use containerd_shim_protos::api;
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim_protos::shim_async::TaskClient;
use containerd_shim_protos::types::{mount, task};
use knarr_proto::id::ContainerId;
use ttrpc::context::{Context, with_duration};

use super::ShimError;

/// A runtime that takes longer to make or start a container than this is stuck.
const RUNTIME_LIMIT: Duration = Duration::from_secs(120);
/// Calls that only ask or signal.
const SHORT_LIMIT: Duration = Duration::from_secs(20);
/// The type of an exec's process specification, as containerd names it.
const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";

/// A connection to a container's shim; clones share it.
#[derive(Clone)]
pub(crate) struct Task {
    id: ContainerId,
    client: TaskClient,
}

/// Which streams a process has, all at one URI (`knarr_proto::stdio`).
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    /// The `knarr://` URI.
    pub(crate) uri: String,
    /// Whether the process can be sent input.
    pub(crate) stdin: bool,
    /// One stream, and a terminal in front of it.
    pub(crate) terminal: bool,
}

/// What the container's first process needs.
pub(crate) struct CreateTask {
    pub(crate) bundle: String,
    /// Type, source, target below the rootfs, options.
    pub(crate) rootfs: Vec<mount::Mount>,
    pub(crate) streams: Joined,
}

/// What one more process needs.
pub(crate) struct ExecTask {
    pub(crate) exec_id: String,
    /// The process as the runtime-spec writes it.
    pub(crate) process_json: Vec<u8>,
    pub(crate) streams: Joined,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskExit {
    pub(crate) code: u32,
    pub(crate) at: SystemTime,
}

/// Where a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskStatus {
    /// Made; waits for start.
    Created,
    /// Runs, or is frozen.
    Running,
    /// Has ended.
    Stopped,
}

/// What a shim says of its first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskState {
    pub(crate) status: TaskStatus,
    pub(crate) pid: u32,
    pub(crate) exit: TaskExit,
}

impl Task {
    pub(super) fn new(id: ContainerId, client: TaskClient) -> Self {
        Self { id, client }
    }

    /// Makes the container's first process, up to the point where it waits for [`Task::start`]. Its pid.
    pub(crate) async fn create(&self, task: CreateTask) -> Result<u32, ShimError> {
        let Joined { uri, stdin, terminal } = task.streams;
        let request = api::CreateTaskRequest {
            id: self.id(),
            bundle: task.bundle,
            rootfs: task.rootfs,
            terminal,
            stdin: if stdin { uri.clone() } else { String::new() },
            stderr: if terminal { String::new() } else { uri.clone() },
            stdout: uri,
            ..Default::default()
        };
        let reply = self.client.create(with_duration(RUNTIME_LIMIT), &request).await;
        reply.map(|reply| reply.pid).map_err(|error| failed("create the task", error))
    }

    /// Lets the first process, or an exec, run. Its pid.
    pub(crate) async fn start(&self, exec_id: &str) -> Result<u32, ShimError> {
        let request = api::StartRequest { id: self.id(), exec_id: exec_id.to_owned(), ..Default::default() };
        let reply = self.client.start(with_duration(RUNTIME_LIMIT), &request).await;
        reply.map(|reply| reply.pid).map_err(|error| failed("start the process", error))
    }

    /// Makes one more process; [`Task::start`] lets it run.
    pub(crate) async fn exec(&self, task: ExecTask) -> Result<(), ShimError> {
        let Joined { uri, stdin, terminal } = task.streams;
        let spec = Any { type_url: PROCESS_TYPE.to_owned(), value: task.process_json, ..Default::default() };
        let request = api::ExecProcessRequest {
            id: self.id(),
            exec_id: task.exec_id,
            terminal,
            stdin: if stdin { uri.clone() } else { String::new() },
            stderr: if terminal { String::new() } else { uri.clone() },
            stdout: uri,
            spec: MessageField::some(spec),
            ..Default::default()
        };
        let reply = self.client.exec(with_duration(RUNTIME_LIMIT), &request).await;
        reply.map(drop).map_err(|error| failed("prepare the exec", error))
    }

    /// Returns when the process has ended; takes as long as that takes.
    pub(crate) async fn wait(&self, exec_id: &str) -> Result<TaskExit, ShimError> {
        let request = api::WaitRequest { id: self.id(), exec_id: exec_id.to_owned(), ..Default::default() };
        let reply = self.client.wait(Context::default(), &request).await;
        let reply = reply.map_err(|error| failed("wait for the process", error))?;
        Ok(TaskExit { code: reply.exit_status, at: time(&reply.exited_at) })
    }

    /// Forgets an ended process and everything that was made for it.
    pub(crate) async fn delete(&self, exec_id: &str) -> Result<TaskExit, ShimError> {
        let request = api::DeleteRequest { id: self.id(), exec_id: exec_id.to_owned(), ..Default::default() };
        let reply = self.client.delete(with_duration(RUNTIME_LIMIT), &request).await;
        let reply = reply.map_err(|error| failed("delete the process", error))?;
        Ok(TaskExit { code: reply.exit_status, at: time(&reply.exited_at) })
    }

    /// Sends a signal to a process.
    pub(crate) async fn kill(&self, exec_id: &str, signal: i32) -> Result<(), ShimError> {
        let request = api::KillRequest {
            id: self.id(),
            exec_id: exec_id.to_owned(),
            signal: signal.unsigned_abs(),
            ..Default::default()
        };
        let reply = self.client.kill(with_duration(SHORT_LIMIT), &request).await;
        reply.map(drop).map_err(|error| failed("send the signal", error))
    }

    /// Sets the size of a process's terminal.
    pub(crate) async fn resize(&self, exec_id: &str, columns: u32, rows: u32) -> Result<(), ShimError> {
        let request = api::ResizePtyRequest {
            id: self.id(),
            exec_id: exec_id.to_owned(),
            width: columns,
            height: rows,
            ..Default::default()
        };
        let reply = self.client.resize_pty(with_duration(SHORT_LIMIT), &request).await;
        reply.map(drop).map_err(|error| failed("resize the terminal", error))
    }

    /// Where the first process is.
    pub(crate) async fn state(&self) -> Result<TaskState, ShimError> {
        let request = api::StateRequest { id: self.id(), ..Default::default() };
        let reply = self.client.state(with_duration(SHORT_LIMIT), &request).await;
        let reply = reply.map_err(|error| failed("tell its state", error))?;
        let status = match reply.status.enum_value_or_default() {
            task::Status::CREATED => TaskStatus::Created,
            task::Status::STOPPED => TaskStatus::Stopped,
            task::Status::RUNNING | task::Status::PAUSED | task::Status::PAUSING | task::Status::UNKNOWN => {
                TaskStatus::Running
            }
        };
        let exit = TaskExit { code: reply.exit_status, at: time(&reply.exited_at) };
        Ok(TaskState { status, pid: reply.pid, exit })
    }

    /// Tells the shim to end. It closes the connection, maybe before it has answered: that is no error.
    pub(crate) async fn shutdown(&self) -> Result<(), ShimError> {
        let request = api::ShutdownRequest { id: self.id(), now: false, ..Default::default() };
        match self
            .client
            .shutdown(with_duration(SHORT_LIMIT), &request)
            .await
            .map_err(|error| failed("end", error))
        {
            Ok(_) | Err(ShimError::Lost { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn id(&self) -> String {
        self.id.as_str().to_owned()
    }
}

fn failed(doing: &'static str, error: ttrpc::Error) -> ShimError {
    match error {
        ttrpc::Error::RpcStatus(status) if status.code() == ttrpc::Code::DEADLINE_EXCEEDED => {
            ShimError::TimedOut { doing, limit: RUNTIME_LIMIT }
        }
        ttrpc::Error::RpcStatus(mut status) => {
            ShimError::Task { code: status.code(), message: status.take_message() }
        }
        source => ShimError::Lost { doing, source },
    }
}

fn time(timestamp: &MessageField<Timestamp>) -> SystemTime {
    let seconds = u64::try_from(timestamp.seconds).unwrap_or(0);
    let nanoseconds = u32::try_from(timestamp.nanos).unwrap_or(0).min(999_999_999);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

/// A mount in the form that shims take.
pub(crate) fn shim_mount(kind: String, source: String, options: Vec<String>) -> mount::Mount {
    mount::Mount { type_: kind, source, options, ..Default::default() }
}
