//! One container's task, through its shim: containerd's Task v3 service in our own words and types.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use containerd_shim_protos::api;
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim_protos::shim_async::{Client, TaskClient};
use containerd_shim_protos::types::{mount, task};
use knarr_proto::id::ContainerId;
use knarr_proto::reason;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};
use ttrpc::asynchronous::transport::Socket;
use ttrpc::context::{Context, with_duration};

use super::ShimError;
use super::usage::{self, Usage};

/// A runtime that takes longer to make or start a container than this is stuck.
const RUNTIME_LIMIT: Duration = Duration::from_secs(120);
/// Calls that only ask or signal.
pub(super) const SHORT_LIMIT: Duration = Duration::from_secs(20);
/// A shim is one process that only waits and passes on: when it has not said a word for so long, it is stopped or stuck.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);
/// What a shim answers from its memory.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// The type of an exec's process specification, as containerd names it.
const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
/// The type of changed limits, as containerd names it.
const RESOURCES_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";
/// The type of a runc shim's options, as containerd names it.
const OPTIONS_TYPE: &str = "types.containerd.io/containerd.runc.v1.Options";

/// A connection to a container's shim; clones share it.
#[derive(Clone)]
pub(crate) struct Task {
    /// Empty when it is not known yet, for [`Task::identify`].
    id: String,
    client: TaskClient,
    /// The same connection, for calls that containerd's service has not.
    pub(super) wire: Client,
}

/// Which streams a process has, all at one URI (`knarr_proto::stdio`).
#[derive(Clone, Debug)]
pub(crate) struct TaskStdio {
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
    pub(crate) streams: TaskStdio,
    /// The runtime asks systemd for the container's cgroup.
    pub(crate) systemd_cgroup: bool,
}

/// What one more process needs.
pub(crate) struct ExecTask {
    pub(crate) exec_id: String,
    /// The process as the runtime-spec writes it.
    pub(crate) process_json: Vec<u8>,
    pub(crate) streams: TaskStdio,
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
    Running,
    /// Runs, and is frozen.
    Paused,
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
    /// Connects to the shim that serves `socket`, for calls about the container `id`.
    ///
    /// # Errors
    /// [`ShimError::Connect`] when no process listens there; [`ShimError::Silent`] when one does that accepts nothing.
    pub(super) async fn connect(socket: &Path, id: String) -> Result<Self, ShimError> {
        let stream = UnixStream::connect(socket).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                ShimError::Connect { socket: socket.to_owned(), source }
            }
            // The queue of connections that it has not accepted is full.
            _ => ShimError::Silent { doing: "accept a connection", limit: Duration::ZERO },
        })?;
        let wire = Client::new(Socket::from(stream));
        Ok(Self { id, client: TaskClient::new(wire.clone()), wire })
    }

    /// Makes the container's first process, up to the point where it waits for [`Task::start`]. Its pid.
    pub(crate) async fn create(&self, task: CreateTask) -> Result<u32, ShimError> {
        let TaskStdio { uri, stdin, terminal } = task.streams;
        let request = api::CreateTaskRequest {
            id: self.id.clone(),
            bundle: task.bundle,
            rootfs: task.rootfs,
            options: runtime_options(task.systemd_cgroup),
            terminal,
            stdin: if stdin { uri.clone() } else { String::new() },
            stderr: if terminal { String::new() } else { uri.clone() },
            stdout: uri,
            ..Default::default()
        };
        let call = self.client.create(deadline(RUNTIME_LIMIT), &request);
        self.within("create the task", RUNTIME_LIMIT, call).await.map(|reply| reply.pid)
    }

    /// Lets the first process, or an exec, run. Its pid.
    pub(crate) async fn start(&self, exec_id: &str) -> Result<u32, ShimError> {
        let request =
            api::StartRequest { id: self.id.clone(), exec_id: exec_id.to_owned(), ..Default::default() };
        let call = self.client.start(deadline(RUNTIME_LIMIT), &request);
        self.within("start the process", RUNTIME_LIMIT, call).await.map(|reply| reply.pid)
    }

    /// Makes one more process; [`Task::start`] lets it run.
    pub(crate) async fn exec(&self, task: ExecTask) -> Result<(), ShimError> {
        let TaskStdio { uri, stdin, terminal } = task.streams;
        let spec = Any { type_url: PROCESS_TYPE.to_owned(), value: task.process_json, ..Default::default() };
        let request = api::ExecProcessRequest {
            id: self.id.clone(),
            exec_id: task.exec_id,
            terminal,
            stdin: if stdin { uri.clone() } else { String::new() },
            stderr: if terminal { String::new() } else { uri.clone() },
            stdout: uri,
            spec: MessageField::some(spec),
            ..Default::default()
        };
        let call = self.client.exec(deadline(SHORT_LIMIT), &request);
        self.within("prepare the exec", SHORT_LIMIT, call).await.map(drop)
    }

    /// Returns when the process has ended; takes as long as that takes.
    pub(crate) async fn wait(&self, exec_id: &str) -> Result<TaskExit, ShimError> {
        let request =
            api::WaitRequest { id: self.id.clone(), exec_id: exec_id.to_owned(), ..Default::default() };
        let reply = self.client.wait(Context::default(), &request).await;
        let reply = reply.map_err(|error| failed("wait for the process", error))?;
        Ok(exit_of(reply.exit_status, &reply.exited_at))
    }

    /// Forgets an ended process and everything that was made for it.
    pub(crate) async fn delete(&self, exec_id: &str) -> Result<TaskExit, ShimError> {
        let request =
            api::DeleteRequest { id: self.id.clone(), exec_id: exec_id.to_owned(), ..Default::default() };
        let call = self.client.delete(deadline(RUNTIME_LIMIT), &request);
        let reply = self.within("delete the process", RUNTIME_LIMIT, call).await?;
        Ok(exit_of(reply.exit_status, &reply.exited_at))
    }

    /// Sends a signal to a process.
    pub(crate) async fn kill(&self, exec_id: &str, signal: i32) -> Result<(), ShimError> {
        let request = api::KillRequest {
            id: self.id.clone(),
            exec_id: exec_id.to_owned(),
            signal: signal.unsigned_abs(),
            ..Default::default()
        };
        let call = self.client.kill(deadline(SHORT_LIMIT), &request);
        self.within("send the signal", SHORT_LIMIT, call).await.map(drop)
    }

    /// Freezes all processes.
    pub(crate) async fn pause(&self) -> Result<(), ShimError> {
        let request = api::PauseRequest { id: self.id.clone(), ..Default::default() };
        let call = self.client.pause(deadline(RUNTIME_LIMIT), &request);
        self.within("pause the task", RUNTIME_LIMIT, call).await.map(drop)
    }

    /// Thaws them.
    pub(crate) async fn resume(&self) -> Result<(), ShimError> {
        let request = api::ResumeRequest { id: self.id.clone(), ..Default::default() };
        let call = self.client.resume(deadline(RUNTIME_LIMIT), &request);
        self.within("resume the task", RUNTIME_LIMIT, call).await.map(drop)
    }

    /// Changes the limits: the runtime-spec's resources, as JSON.
    pub(crate) async fn update(&self, resources: Vec<u8>) -> Result<(), ShimError> {
        let resources = Any { type_url: RESOURCES_TYPE.to_owned(), value: resources, ..Default::default() };
        let request = api::UpdateTaskRequest {
            id: self.id.clone(),
            resources: MessageField::some(resources),
            ..Default::default()
        };
        let call = self.client.update(deadline(RUNTIME_LIMIT), &request);
        self.within("update the task", RUNTIME_LIMIT, call).await.map(drop)
    }

    /// The pids of all processes, on the host.
    pub(crate) async fn pids(&self) -> Result<Vec<u32>, ShimError> {
        let request = api::PidsRequest { id: self.id.clone(), ..Default::default() };
        let call = self.client.pids(deadline(SHORT_LIMIT), &request);
        let reply = self.within("list the processes", SHORT_LIMIT, call).await?;
        Ok(reply.processes.into_iter().map(|process| process.pid).collect())
    }

    /// What the task uses.
    pub(crate) async fn usage(&self) -> Result<Usage, ShimError> {
        let request = api::StatsRequest { id: self.id.clone(), ..Default::default() };
        let call = self.client.stats(deadline(SHORT_LIMIT), &request);
        let doing = "tell what the task uses";
        let reply = self.within(doing, SHORT_LIMIT, call).await?;
        usage::read(&reply.stats)
            .map_err(|error| ShimError::Lost { doing, source: ttrpc::Error::Others(error.to_string()) })
    }

    /// Sets the size of a process's terminal.
    pub(crate) async fn resize(&self, exec_id: &str, columns: u32, rows: u32) -> Result<(), ShimError> {
        let request = api::ResizePtyRequest {
            id: self.id.clone(),
            exec_id: exec_id.to_owned(),
            width: columns,
            height: rows,
            ..Default::default()
        };
        let call = self.client.resize_pty(deadline(SHORT_LIMIT), &request);
        self.within("resize the terminal", SHORT_LIMIT, call).await.map(drop)
    }

    /// Where the first process is.
    ///
    /// # Errors
    /// [`ShimError::Silent`] when the shim does not answer in time, which says nothing about the process.
    pub(crate) async fn state(&self) -> Result<TaskState, ShimError> {
        self.ask_state().await.map(|reply| state_in(&reply))
    }

    /// Which container the shim has, whatever the caller believes.
    ///
    /// # Errors
    /// As [`Task::state`]; not found when it has none.
    pub(super) async fn identify(&self) -> Result<(ContainerId, PathBuf, TaskState), ShimError> {
        let reply = self.ask_state().await?;
        let malformed = |_| ShimError::Task {
            code: ttrpc::Code::INVALID_ARGUMENT,
            message: format!("the shim has a container of the id {:?}", reply.id),
            reason: None,
        };
        let id = reply.id.parse::<ContainerId>().map_err(malformed)?;
        Ok((id, PathBuf::from(&reply.bundle), state_in(&reply)))
    }

    async fn ask_state(&self) -> Result<api::StateResponse, ShimError> {
        let doing = "tell its state";
        let request = api::StateRequest { id: self.id.clone(), ..Default::default() };
        let asked = timeout(ASK_LIMIT, self.client.state(deadline(ASK_LIMIT), &request)).await;
        let silent = |_| ShimError::Silent { doing, limit: ASK_LIMIT };
        asked.map_err(silent)?.map_err(|error| failed(doing, error))
    }

    /// Tells the shim to end. It closes the connection, maybe before it has answered: that is no error. A shim that has a
    /// container goes on.
    pub(crate) async fn shutdown(&self) -> Result<(), ShimError> {
        let request = api::ShutdownRequest { id: self.id.clone(), now: false, ..Default::default() };
        let call = self.client.shutdown(deadline(SHORT_LIMIT), &request);
        match self.within("end", SHORT_LIMIT, call).await {
            Ok(_) | Err(ShimError::Lost { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes a call that may take as long as `limit`. The shim has to stay responsive meanwhile: one that is stopped or
    /// stuck is told as [`ShimError::Silent`] within seconds, while a slow runtime gets its time.
    async fn within<T>(
        &self,
        doing: &'static str,
        limit: Duration,
        call: impl Future<Output = ttrpc::Result<T>>,
    ) -> Result<T, ShimError> {
        let answered = async {
            tokio::pin!(call);
            loop {
                tokio::select! {
                    reply = &mut call => return reply.map_err(|error| failed(doing, error)),
                    () = sleep(SILENCE_LIMIT) => self.require_answer(doing).await?,
                }
            }
        };
        timeout(limit, answered).await.unwrap_or(Err(ShimError::TimedOut { doing, limit }))
    }

    async fn require_answer(&self, doing: &'static str) -> Result<(), ShimError> {
        let request = api::ConnectRequest { id: self.id.clone(), ..Default::default() };
        match timeout(SILENCE_LIMIT, self.client.connect(Context::default(), &request)).await {
            Ok(Ok(_) | Err(ttrpc::Error::RpcStatus(_))) => Ok(()),
            Ok(Err(error)) => Err(failed(doing, error)),
            Err(_) => Err(ShimError::Silent { doing, limit: SILENCE_LIMIT * 2 }),
        }
    }
}

/// The deadline that the shim is told: later than ours, whose error is ours to name. ttrpc's client reports its own as
/// a text.
fn deadline(limit: Duration) -> Context {
    with_duration(limit + SILENCE_LIMIT)
}

/// The options that the shim passes on to the runtime, in the JSON form that it takes; without any it has its defaults.
fn runtime_options(systemd_cgroup: bool) -> MessageField<Any> {
    if !systemd_cgroup {
        return MessageField::none();
    }
    let value = br#"{"systemd_cgroup":true}"#.to_vec();
    MessageField::some(Any { type_url: OPTIONS_TYPE.to_owned(), value, ..Default::default() })
}

pub(super) fn failed(doing: &'static str, error: ttrpc::Error) -> ShimError {
    match error {
        ttrpc::Error::RpcStatus(status) if status.code() == ttrpc::Code::DEADLINE_EXCEEDED => {
            ShimError::TimedOut { doing, limit: RUNTIME_LIMIT }
        }
        ttrpc::Error::RpcStatus(mut status) => {
            let details = status.details.iter().filter(|detail| detail.type_url == reason::KEY);
            let mut words = details.filter_map(|detail| std::str::from_utf8(&detail.value).ok());
            let reason = words.find_map(|word| word.parse().ok());
            ShimError::Task { code: status.code(), message: status.take_message(), reason }
        }
        source => ShimError::Lost { doing, source },
    }
}

fn state_in(reply: &api::StateResponse) -> TaskState {
    let status = match reply.status.enum_value_or_default() {
        task::Status::CREATED => TaskStatus::Created,
        task::Status::STOPPED => TaskStatus::Stopped,
        task::Status::PAUSED => TaskStatus::Paused,
        task::Status::RUNNING | task::Status::PAUSING | task::Status::UNKNOWN => TaskStatus::Running,
    };
    let exit = exit_of(reply.exit_status, &reply.exited_at);
    TaskState { status, pid: reply.pid, exit }
}

pub(super) fn exit_of(code: u32, at: &MessageField<Timestamp>) -> TaskExit {
    TaskExit { code, at: time(at) }
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
