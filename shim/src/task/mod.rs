//! The shim's one container and its processes, as the task service sees them: [`Tasks`]. `container` and `exec` are what
//! can be done, `process` is one process, `end` and `oom` what is told of it, `options` how the runtime is to be called,
//! `error` why a request failed.

mod config;
mod container;
mod end;
mod error;
mod exec;
mod oom;
mod options;
mod process;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use containerd_shim_protos::events::task::TaskDelete;
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use rustix::process::Signal;
use tokio::task::JoinSet;

pub(crate) use self::container::{Container, NewContainer, Surroundings};
pub(crate) use self::error::TaskError;
pub(crate) use self::options::Options;
pub(crate) use self::process::Process;
use crate::cgroup::Cgroup;
use crate::console;
use crate::flag::Flag;
use crate::journal;
use crate::reaper::Exit;
use crate::stdio::Request;
use crate::timestamp;

/// What the shim is there for.
#[derive(Debug)]
pub(crate) struct Tasks {
    around: Surroundings,
    slot: Mutex<Slot>,
    /// Attach sockets of deleted processes, whose clients still read.
    lingering: Mutex<JoinSet<()>>,
    /// Raised when the shim is to end.
    pub(crate) ending: Flag,
}

/// Where the one container is.
#[derive(Debug)]
enum Slot {
    Empty,
    Creating,
    Made(Arc<Container>),
    /// It has been deleted, or never was, and the shim ends.
    Closed,
}

impl Tasks {
    /// No container yet.
    pub(crate) fn new(around: Surroundings) -> Self {
        let (slot, lingering) = (Mutex::new(Slot::Empty), Mutex::default());
        Self { around, slot, lingering, ending: Flag::default() }
    }

    /// Makes the container. Its first process's pid.
    pub(crate) async fn create(&self, new: NewContainer) -> Result<u32, TaskError> {
        let ours = &self.around.settings.id;
        if new.id != *ours {
            return Err(TaskError::Foreign(ours.clone()));
        }
        if let Some(path) = new.options.shim_cgroup() {
            Cgroup::admit_us(path).map_err(TaskError::Cgroup)?;
        }
        self.claim()?;
        let created = Container::create(new, self.around.clone()).await;
        let mut slot = self.slot();
        match created {
            Ok(container) => {
                let pid = container.init.state().pid;
                *slot = Slot::Made(container);
                Ok(pid)
            }
            Err(error) => {
                *slot = Slot::Empty;
                Err(error)
            }
        }
    }

    fn claim(&self) -> Result<(), TaskError> {
        let mut slot = self.slot();
        match *slot {
            Slot::Empty => {
                *slot = Slot::Creating;
                Ok(())
            }
            Slot::Creating | Slot::Made(_) => Err(TaskError::Exists(self.around.settings.id.clone())),
            Slot::Closed => Err(TaskError::Ending),
        }
    }

    /// Starts the first process, or an exec. Its pid.
    pub(crate) async fn start(&self, id: &str, exec_id: &str) -> Result<u32, TaskError> {
        let (container, process) = self.process(id, exec_id)?;
        match exec_id {
            "" => container.start().await,
            _ => container.start_exec(&process).await,
        }
    }

    /// Takes note of one more process.
    pub(crate) fn exec(
        &self,
        id: &str,
        exec_id: &str,
        process: &[u8],
        stdio: Request,
    ) -> Result<(), TaskError> {
        self.container(id)?.add_exec(exec_id, process, stdio)
    }

    /// Sends a signal: to the container's first process, to all of its processes, or to an exec.
    pub(crate) async fn kill(
        &self,
        id: &str,
        exec_id: &str,
        signal: u32,
        all: bool,
    ) -> Result<(), TaskError> {
        let (container, process) = self.process(id, exec_id)?;
        if exec_id.is_empty() {
            return container.kill(signal, all).await;
        }
        let number = i32::try_from(signal).ok().and_then(Signal::from_named_raw);
        process.signal(number.ok_or(TaskError::Signal(signal))?)
    }

    /// Freezes the container.
    pub(crate) async fn pause(&self, id: &str) -> Result<(), TaskError> {
        self.container(id)?.pause().await
    }

    /// Thaws it.
    pub(crate) async fn resume(&self, id: &str) -> Result<(), TaskError> {
        self.container(id)?.resume().await
    }

    /// Changes its limits; the runtime-spec's JSON.
    pub(crate) async fn update(&self, id: &str, resources: Vec<u8>) -> Result<(), TaskError> {
        self.container(id)?.update(resources).await
    }

    /// Its processes, and the exec's id of those that are an exec's first.
    pub(crate) fn pids(&self, id: &str) -> Result<Vec<(u32, Option<String>)>, TaskError> {
        self.container(id)?.pids()
    }

    /// What it uses.
    pub(crate) fn metrics(&self, id: &str) -> Result<Any, TaskError> {
        self.container(id)?.metrics()
    }

    /// Tells a process's terminal its size; without a terminal there is nothing to tell.
    pub(crate) fn resize(&self, id: &str, exec_id: &str, width: u32, height: u32) -> Result<(), TaskError> {
        let (_, process) = self.process(id, exec_id)?;
        match process.terminal() {
            Some(terminal) => console::resize(terminal, width, height).map_err(TaskError::Console),
            None => Ok(()),
        }
    }

    /// No more input for a process.
    pub(crate) fn close_stdin(&self, id: &str, exec_id: &str) -> Result<(), TaskError> {
        let (_, process) = self.process(id, exec_id)?;
        process.streams.close_stdin();
        Ok(())
    }

    /// Waits for a process's end.
    pub(crate) async fn wait(&self, id: &str, exec_id: &str) -> Result<Exit, TaskError> {
        let (_, process) = self.process(id, exec_id)?;
        Ok(process.exit().await)
    }

    /// Deletes an ended process: an exec, or with its first process the container. Its pid and its end.
    pub(crate) async fn delete(&self, id: &str, exec_id: &str) -> Result<(u32, Exit), TaskError> {
        let (container, process) = self.process(id, exec_id)?;
        let (exit, lingering) = match exec_id {
            "" => container.delete().await?,
            _ => container.delete_exec(&process).await?,
        };
        let mut all = self.lingering.lock().expect("nothing panics under this lock");
        while all.try_join_next().is_some() {}
        for clients in lingering {
            all.spawn(async { drop(clients.await) });
        }
        drop(all);
        let pid = process.state().pid;
        if exec_id.is_empty() && self.give_up() {
            let event = TaskDelete {
                container_id: container.id.clone(),
                pid,
                exit_status: exit.code,
                exited_at: MessageField::some(timestamp::protobuf(exit.at)),
                ..TaskDelete::default()
            };
            self.around.publisher.publish("/tasks/delete", &event);
        }
        Ok((pid, exit))
    }

    /// Whether this call was the one that emptied the slot.
    fn give_up(&self) -> bool {
        let mut slot = self.slot();
        let is_made = matches!(*slot, Slot::Made(_));
        if is_made {
            *slot = Slot::Empty;
        }
        is_made
    }

    /// Ends the shim, unless it has a container: containerd asks after every deletion.
    pub(crate) fn shut_down(&self) {
        let mut slot = self.slot();
        if matches!(*slot, Slot::Empty) {
            *slot = Slot::Closed;
            // Before the caller is answered: a new shim for this container may come at once.
            remove_name(&self.around.settings.socket);
            self.ending.raise();
        }
    }

    /// Waits for the clients of deleted processes' streams.
    pub(crate) async fn farewell(&self) {
        let mut clients =
            std::mem::take(&mut *self.lingering.lock().expect("nothing panics under this lock"));
        while clients.join_next().await.is_some() {}
    }

    /// The container, if it is the one asked for.
    pub(crate) fn container(&self, id: &str) -> Result<Arc<Container>, TaskError> {
        match &*self.slot() {
            Slot::Made(container) if container.id == id => Ok(Arc::clone(container)),
            _ => Err(TaskError::NotCreated),
        }
    }

    /// A process of it; the empty exec id is the first one's.
    pub(crate) fn process(
        &self,
        id: &str,
        exec_id: &str,
    ) -> Result<(Arc<Container>, Arc<Process>), TaskError> {
        let container = self.container(id)?;
        let process = container.process(exec_id)?;
        Ok((container, process))
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().expect("nothing panics under this lock")
    }
}

fn remove_name(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        journal::warn(&format!("socket {} stays: {error}", path.display()));
    }
}
