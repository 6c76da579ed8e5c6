//! Further processes in a container: asked for, started, deleted. A started one is told from the container's first
//! process only by its id.

use std::ffi::OsString;
use std::fs;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::SystemTime;

use containerd_shim_protos::events::task::{TaskExecAdded, TaskExecStarted};
use knarr_proto::id::ContainerId;
use knarr_proto::status::{Event, Status};
use rustix::process::Signal;
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::container::Container;
use super::error::TaskError;
use super::launch::{Launch, in_memory};
use super::process::Process;
use crate::journal;
use crate::reaper::Exit;
use crate::record::{self, LiveProcess};
use crate::stdio::Request;

/// The exit status of a process that never ran; containerd's shim says so, too.
const NEVER_RAN: u32 = 255;

impl Container {
    /// Takes note of one more process; [`Container::start_exec`] makes it. `process` is the runtime-spec's JSON.
    pub(super) fn add_exec(&self, exec_id: &str, process: &[u8], stdio: Request) -> Result<(), TaskError> {
        exec_id.parse::<ContainerId>().map_err(TaskError::Id)?;
        self.require_live()?;
        let mut specification: Map<String, Value> = serde_json::from_slice(process)
            .map_err(|error| TaskError::Malformed("the process", Some(error)))?;
        specification.insert("terminal".to_owned(), Value::Bool(stdio.terminal));
        if self.execs().contains_key(exec_id) {
            return Err(TaskError::Exists(exec_id.to_owned()));
        }
        let process = Process::new(exec_id.to_owned(), stdio)?;
        if process.is_attached_before_start() {
            process.open_streams(self.maker.owner, &self.bundle)?;
        }
        process.specify(serde_json::to_vec(&specification).expect("it was JSON before"));
        self.execs().insert(exec_id.to_owned(), process);
        let (container_id, exec_id) = (self.id.clone(), exec_id.to_owned());
        let event = TaskExecAdded { container_id, exec_id, ..TaskExecAdded::default() };
        self.context.publisher.publish("/tasks/exec-added", &event);
        Ok(())
    }

    /// Makes an exec's process, which runs at once. Its pid.
    pub(super) async fn start_exec(self: &Arc<Self>, exec: &Arc<Process>) -> Result<u32, TaskError> {
        let _turn = exec.turn().await;
        exec.require(Status::Creating, "start")?;
        self.require_live()?;
        let launched = self.launch_exec(exec).await;
        let exit = match launched {
            Ok(exit) => exit,
            Err(error) => {
                // One that was made and then not taken over: no client could ever reach it.
                if exec.signal(Signal::KILL).is_err() && matches!(error, TaskError::PidFile(_)) {
                    self.kill_unknown_children();
                }
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
        self.context.publisher.publish("/tasks/exec-started", &event);
        Ok(pid)
    }

    /// The process's specification goes to the runtime in memory, and its pid file is beside the sockets: a disk that is
    /// full must not keep anyone from looking into the container that has filled it.
    async fn launch_exec(&self, exec: &Arc<Process>) -> Result<oneshot::Receiver<Exit>, TaskError> {
        exec.open_streams(self.maker.owner, &self.bundle)?.starting();
        let memory = in_memory(&exec.take_specification())
            .map_err(|source| TaskError::Bundle("the exec's process", source))?;
        // By our own number: the runtime opens it, and inherits nothing.
        let specification = format!("/proc/{}/fd/{}", std::process::id(), memory.as_raw_fd());
        let pid_file = self.context.settings.volatile_file(&exec.exec_id, "pid");
        let arguments: Vec<OsString> = vec!["--detach".into(), "--process".into(), specification.into()];
        let launch = Launch { operation: "exec", arguments, id: &self.id, pid_file: pid_file.clone() };
        let launched = launch.run(&self.maker.runtime, &self.context, exec).await;
        // No longer needed; a leftover is removed with the container.
        fs::remove_file(pid_file).ok();
        launched
    }

    /// An exec whose pid could not be read is our child and in the container's cgroup, and none that we know.
    fn kill_unknown_children(&self) {
        let init = self.init();
        let known: Vec<u32> =
            self.execs().values().chain([&init]).map(|process| process.state().pid).collect();
        let Ok(pids) = self.pids() else { return };
        for pid in pids.into_iter().map(|(pid, _)| pid).filter(|pid| !known.contains(pid)) {
            let Ok(Some(stat)) = record::stat(pid) else { continue };
            if stat.parent == std::process::id()
                && let Ok(Some(process)) = LiveProcess::open(stat.identity)
                && let Err(error) = process.signal(Signal::KILL)
            {
                journal::warn(&format!("process {pid} of an exec that failed goes on: {error}"));
            }
        }
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
                exit
            }
            (None, status) => return Err(TaskError::State { operation: "delete", status }),
        };
        drop(turn);
        self.execs().remove(&exec.exec_id);
        Ok((exit, exec.close_streams().await.into_iter().collect()))
    }

    /// Forgets those that a client was to attach to before their start.
    pub(super) async fn forget_unstarted_execs(&self) {
        let is_unstarted =
            |exec: &&Arc<Process>| exec.is_attached_before_start() && exec.state().status == Status::Creating;
        let unstarted: Vec<_> = self.execs().values().filter(is_unstarted).cloned().collect();
        for exec in unstarted {
            // One that is being started all the same stays.
            if self.delete_exec(&exec).await.is_ok() {
                journal::warn(&format!("exec {} was never started and is forgotten", exec.exec_id));
            }
        }
    }

    fn require_live(&self) -> Result<(), TaskError> {
        match self.init().state().status {
            Status::Created | Status::Running => Ok(()),
            status => Err(TaskError::State { operation: "exec in", status }),
        }
    }
}
