//! containerd's task service over ttrpc, version 3 and, with the same messages, version 2. It only translates: what is
//! done is `task`'s.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use containerd_shim_protos::api;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::empty::Empty;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::oci::ProcessDetails;
use containerd_shim_protos::shim_async::{Task, create_task};
use containerd_shim_protos::ttrpc::r#async::{Service, TtrpcContext};
use containerd_shim_protos::ttrpc::{self, Code, get_status};
use containerd_shim_protos::types::task;
use knarr_proto::kind::Kind;
use knarr_proto::reason;
use knarr_proto::status::Status;

use crate::chain::chain;
use crate::keep;
use crate::reaper::Exit;
use crate::stdio::Request;
use crate::task::{NewContainer, Options, TaskError, Tasks};
use crate::timestamp;

/// containerd 1.x calls the same service by this name.
const SERVICES: [&str; 2] = ["containerd.task.v3.Task", "containerd.task.v2.Task"];

/// The message beside a pid that is an exec's.
const PROCESS_DETAILS: &str = "containerd.runc.v1.ProcessDetails";

/// The service for both of containerd's versions, and our own beside it.
pub(crate) fn services(tasks: &Arc<Tasks>) -> HashMap<String, Service> {
    let of = |name: &str| {
        let service = create_task(Arc::new(TaskService(Arc::clone(tasks))));
        service.into_values().map(move |service| (name.to_owned(), service)).collect::<Vec<_>>()
    };
    let own = (knarr_proto::keep::SERVICE.to_owned(), keep::service::service(tasks));
    SERVICES.iter().flat_map(|name| of(name)).chain([own]).collect()
}

struct TaskService(Arc<Tasks>);

impl TaskService {
    /// Carries out `work` to its end, whatever becomes of the caller: a connection that breaks or a deadline that passes
    /// must not leave a container half made.
    async fn to_the_end<T, F>(&self, work: impl FnOnce(Arc<Tasks>) -> F) -> ttrpc::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, TaskError>> + Send + 'static,
    {
        match tokio::spawn(work(Arc::clone(&self.0))).await {
            Ok(done) => Ok(done?),
            Err(interrupted) => Err(ttrpc::Error::Others(interrupted.to_string())),
        }
    }
}

#[async_trait]
impl Task for TaskService {
    async fn state(&self, _: &TtrpcContext, request: api::StateRequest) -> ttrpc::Result<api::StateResponse> {
        let (container, process) = self.0.process(&request.id, &request.exec_id)?;
        let state = process.state();
        let Request { terminal, stdin, stdout, stderr } = process.request.clone();
        Ok(api::StateResponse {
            id: container.id.clone(),
            bundle: container.bundle.to_string_lossy().into_owned(),
            pid: state.pid,
            status: wire_status(state.status).into(),
            stdin,
            stdout,
            stderr,
            terminal,
            exit_status: state.exit.map_or(0, |exit| exit.code),
            exited_at: exited_at(state.exit),
            exec_id: request.exec_id,
            ..api::StateResponse::default()
        })
    }

    async fn create(
        &self,
        _: &TtrpcContext,
        request: api::CreateTaskRequest,
    ) -> ttrpc::Result<api::CreateTaskResponse> {
        if !request.checkpoint.is_empty() || !request.parent_checkpoint.is_empty() {
            return Err(TaskError::Checkpoint.into());
        }
        let options = Options::decode(request.options.as_ref());
        let new = NewContainer {
            options: options.map_err(TaskError::Options)?,
            id: request.id,
            bundle: PathBuf::from(request.bundle),
            rootfs: request.rootfs,
            stdio: Request {
                terminal: request.terminal,
                stdin: request.stdin,
                stdout: request.stdout,
                stderr: request.stderr,
            },
        };
        let pid = self.to_the_end(|tasks| async move { tasks.create(new).await }).await?;
        Ok(api::CreateTaskResponse { pid, ..Default::default() })
    }

    async fn start(&self, _: &TtrpcContext, request: api::StartRequest) -> ttrpc::Result<api::StartResponse> {
        let start = |tasks: Arc<Tasks>| async move { tasks.start(&request.id, &request.exec_id).await };
        let pid = self.to_the_end(start).await?;
        Ok(api::StartResponse { pid, ..Default::default() })
    }

    async fn delete(
        &self,
        _: &TtrpcContext,
        request: api::DeleteRequest,
    ) -> ttrpc::Result<api::DeleteResponse> {
        let delete = |tasks: Arc<Tasks>| async move { tasks.delete(&request.id, &request.exec_id).await };
        let (pid, exit) = self.to_the_end(delete).await?;
        Ok(api::DeleteResponse {
            pid,
            exit_status: exit.code,
            exited_at: exited_at(Some(exit)),
            ..Default::default()
        })
    }

    async fn pids(&self, _: &TtrpcContext, request: api::PidsRequest) -> ttrpc::Result<api::PidsResponse> {
        let pids = self.0.pids(&request.id)?;
        let process = |(pid, exec_id): (u32, Option<String>)| task::ProcessInfo {
            pid,
            info: exec_id.map(details).into(),
            ..Default::default()
        };
        let processes = pids.into_iter().map(process).collect();
        Ok(api::PidsResponse { processes, ..Default::default() })
    }

    async fn pause(&self, _: &TtrpcContext, request: api::PauseRequest) -> ttrpc::Result<Empty> {
        self.to_the_end(|tasks| async move { tasks.pause(&request.id).await }).await?;
        Ok(Empty::default())
    }

    async fn resume(&self, _: &TtrpcContext, request: api::ResumeRequest) -> ttrpc::Result<Empty> {
        self.to_the_end(|tasks| async move { tasks.resume(&request.id).await }).await?;
        Ok(Empty::default())
    }

    async fn checkpoint(&self, _: &TtrpcContext, _: api::CheckpointTaskRequest) -> ttrpc::Result<Empty> {
        Err(TaskError::Checkpoint.into())
    }

    async fn kill(&self, _: &TtrpcContext, request: api::KillRequest) -> ttrpc::Result<Empty> {
        let kill = |tasks: Arc<Tasks>| async move {
            tasks.kill(&request.id, &request.exec_id, request.signal, request.all).await
        };
        self.to_the_end(kill).await?;
        Ok(Empty::default())
    }

    async fn exec(&self, _: &TtrpcContext, request: api::ExecProcessRequest) -> ttrpc::Result<Empty> {
        let api::ExecProcessRequest { id, exec_id, terminal, stdin, stdout, stderr, spec, .. } = request;
        let process = spec.into_option().unwrap_or_default().value;
        let stdio = Request { terminal, stdin, stdout, stderr };
        self.0.exec(&id, &exec_id, &process, stdio)?;
        Ok(Empty::default())
    }

    async fn resize_pty(&self, _: &TtrpcContext, request: api::ResizePtyRequest) -> ttrpc::Result<Empty> {
        let api::ResizePtyRequest { id, exec_id, width, height, .. } = request;
        self.0.resize(&id, &exec_id, width, height)?;
        Ok(Empty::default())
    }

    async fn close_io(&self, _: &TtrpcContext, request: api::CloseIORequest) -> ttrpc::Result<Empty> {
        if request.stdin {
            self.0.close_stdin(&request.id, &request.exec_id)?;
        }
        Ok(Empty::default())
    }

    async fn update(&self, _: &TtrpcContext, request: api::UpdateTaskRequest) -> ttrpc::Result<Empty> {
        let resources = request.resources.into_option().unwrap_or_default().value;
        self.to_the_end(|tasks| async move { tasks.update(&request.id, resources).await }).await?;
        Ok(Empty::default())
    }

    async fn wait(&self, _: &TtrpcContext, request: api::WaitRequest) -> ttrpc::Result<api::WaitResponse> {
        let exit = self.0.wait(&request.id, &request.exec_id).await?;
        Ok(api::WaitResponse {
            exit_status: exit.code,
            exited_at: exited_at(Some(exit)),
            ..Default::default()
        })
    }

    async fn stats(&self, _: &TtrpcContext, request: api::StatsRequest) -> ttrpc::Result<api::StatsResponse> {
        let stats = self.0.metrics(&request.id)?;
        Ok(api::StatsResponse { stats: MessageField::some(stats), ..Default::default() })
    }

    async fn connect(
        &self,
        _: &TtrpcContext,
        request: api::ConnectRequest,
    ) -> ttrpc::Result<api::ConnectResponse> {
        // A shim without its container yet is no error here: containerd asks which shim it has found.
        let task_pid = self.0.container(&request.id).map_or(0, |container| container.init().state().pid);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(api::ConnectResponse { shim_pid: std::process::id(), task_pid, version, ..Default::default() })
    }

    async fn shutdown(&self, _: &TtrpcContext, _: api::ShutdownRequest) -> ttrpc::Result<Empty> {
        self.0.shut_down();
        Ok(Empty::default())
    }
}

fn details(exec_id: String) -> Any {
    let details = ProcessDetails { exec_id, ..ProcessDetails::default() };
    let value = details.write_to_bytes().expect("there are no required fields");
    Any { type_url: PROCESS_DETAILS.to_owned(), value, ..Any::default() }
}

fn exited_at(exit: Option<Exit>) -> MessageField<Timestamp> {
    exit.map(|exit| timestamp::protobuf(exit.at)).into()
}

fn wire_status(status: Status) -> task::Status {
    match status {
        // An exec that waits for its start; a container is not seen before it is created.
        Status::Creating | Status::Created => task::Status::CREATED,
        Status::Running => task::Status::RUNNING,
        Status::Paused => task::Status::PAUSED,
        Status::Stopped => task::Status::STOPPED,
    }
}

/// The one place where a failure becomes a code and a text for the caller, the causes included.
impl From<TaskError> for ttrpc::Error {
    fn from(error: TaskError) -> Self {
        let code = match error.kind() {
            Kind::InvalidArgument => Code::INVALID_ARGUMENT,
            Kind::NotFound => Code::NOT_FOUND,
            Kind::AlreadyExists => Code::ALREADY_EXISTS,
            Kind::FailedPrecondition => Code::FAILED_PRECONDITION,
            Kind::PermissionDenied => Code::PERMISSION_DENIED,
            Kind::Unauthenticated => Code::UNAUTHENTICATED,
            Kind::ResourceExhausted => Code::RESOURCE_EXHAUSTED,
            Kind::Unavailable => Code::UNAVAILABLE,
            Kind::DeadlineExceeded => Code::DEADLINE_EXCEEDED,
            Kind::DataLoss => Code::DATA_LOSS,
            Kind::Unimplemented => Code::UNIMPLEMENTED,
            Kind::Cancelled => Code::CANCELLED,
            Kind::Internal => Code::INTERNAL,
        };
        let mut status = get_status(code, chain(&error));
        status.details.extend(error.reason().map(|reason| ttrpc::proto::Any {
            type_url: reason::KEY.to_owned(),
            value: reason.as_str().as_bytes().to_vec(),
            ..Default::default()
        }));
        ttrpc::Error::RpcStatus(status)
    }
}
