//! Further processes in a container: asked for, started, deleted. A started one is told from the container's first
//! process only by its id.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use containerd_shim_protos::events::task::{TaskExecAdded, TaskExecStarted};
use knarr_proto::id::ContainerId;
use knarr_proto::status::{Event, Status};
use rustix::process::Signal;
use serde_json::{Map, Value};
use tokio::task::JoinHandle;

use super::container::{Container, Launch};
use super::error::TaskError;
use super::process::Process;
use crate::reaper::Exit;
use crate::stdio::{Request, Streams};

/// The exit status of a process that never ran; containerd's shim says so, too.
const NEVER_RAN: u32 = 255;

impl Container {
    /// Takes note of one more process; [`Container::start_exec`] makes it. `process` is the runtime-spec's JSON.
    pub(super) fn add_exec(&self, exec_id: &str, process: &[u8], stdio: Request) -> Result<(), TaskError> {
        exec_id.parse::<ContainerId>().map_err(TaskError::Id)?;
        self.require_live()?;
        let mut process: Map<String, Value> = serde_json::from_slice(process)
            .map_err(|error| TaskError::Malformed("the process", Some(error)))?;
        process.insert("terminal".to_owned(), Value::Bool(stdio.terminal));
        if self.execs().contains_key(exec_id) {
            return Err(TaskError::Exists(exec_id.to_owned()));
        }
        let opened = Streams::open(&stdio, self.owner).map_err(TaskError::Stdio)?;
        let text = serde_json::to_vec(&process).expect("it was JSON before");
        write_private(&self.file_of(exec_id, "json"), &text)
            .map_err(|source| TaskError::Bundle("the exec's process", source))?;
        let process = Process::new(exec_id.to_owned(), stdio, opened);
        self.execs().insert(exec_id.to_owned(), process);
        let (container_id, exec_id) = (self.id.clone(), exec_id.to_owned());
        let event = TaskExecAdded { container_id, exec_id, ..TaskExecAdded::default() };
        self.around.publisher.publish("/tasks/exec-added", &event);
        Ok(())
    }

    /// Makes an exec's process, which runs at once. Its pid.
    pub(super) async fn start_exec(self: &Arc<Self>, exec: &Arc<Process>) -> Result<u32, TaskError> {
        let _turn = exec.turn().await;
        exec.require(Status::Creating, "start")?;
        self.require_live()?;
        exec.streams.starting();
        let exec_id = exec.exec_id.as_str();
        let (process, pid_file) = (self.file_of(exec_id, "json"), self.file_of(exec_id, "pid"));
        let arguments: Vec<OsString> =
            vec!["--detach".into(), "--process".into(), process.clone().into_os_string()];
        let launch = Launch { operation: "exec", arguments, id: &self.id, pid_file: pid_file.clone() };
        let launched = launch.run(&self.runtime, &self.around, exec).await;
        // They have served; what is left of them goes with the bundle.
        fs::remove_file(process).ok();
        fs::remove_file(pid_file).ok();
        let exit = match launched {
            Ok(exit) => exit,
            Err(error) => {
                // One that was made and then not taken over: nobody could ever reach it.
                exec.signal(Signal::KILL).ok();
                exec.ended(Exit { code: NEVER_RAN, at: SystemTime::now() });
                return Err(error);
            }
        };
        exec.advance(Event::InitReady, "start")?;
        exec.advance(Event::Started, "start")?;
        self.supervise(Arc::clone(exec), exit);
        let pid = exec.state().pid;
        let (container_id, exec_id) = (self.id.clone(), exec.exec_id.clone());
        let event = TaskExecStarted { container_id, exec_id, pid, ..TaskExecStarted::default() };
        self.around.publisher.publish("/tasks/exec-started", &event);
        Ok(pid)
    }

    /// Forgets an exec that has ended or was never started; as [`Container::delete`].
    pub(super) async fn delete_exec(&self, exec: &Process) -> Result<(Exit, Vec<JoinHandle<()>>), TaskError> {
        let turn = exec.turn().await;
        let state = exec.state();
        let exit = match (state.exit, state.status) {
            (Some(exit), _) => exit,
            (None, Status::Creating) => {
                let exit = Exit { code: NEVER_RAN, at: SystemTime::now() };
                exec.ended(exit);
                fs::remove_file(self.file_of(&exec.exec_id, "json")).ok();
                exit
            }
            (None, status) => return Err(TaskError::State { operation: "delete", status }),
        };
        drop(turn);
        self.execs().remove(&exec.exec_id);
        Ok((exit, exec.streams.close().await.into_iter().collect()))
    }

    fn require_live(&self) -> Result<(), TaskError> {
        match self.init.state().status {
            Status::Created | Status::Running => Ok(()),
            status => Err(TaskError::State { operation: "exec in", status }),
        }
    }

    fn file_of(&self, exec_id: &str, extension: &str) -> std::path::PathBuf {
        self.bundle.join(format!("exec-{exec_id}.{extension}"))
    }
}

fn write_private(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text)
}
