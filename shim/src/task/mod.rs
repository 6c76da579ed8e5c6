//! The shim's one container and its processes, as the task service sees them: [`Tasks`]. `container` and `exec` are what
//! can be done, `run` is one of its runs and `process` one process, `end` and `oom` what is told of it, `returns` how one run
//! follows another, `health` and `probe` how its health is found out, `options` how the runtime is to be called, `error` why a request failed.

mod config;
mod container;
mod context;
mod end;
mod error;
mod exec;
mod health;
mod launch;
mod oom;
mod options;
mod probe;
mod process;
mod returns;
mod run;

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, MutexGuard};

use containerd_shim_protos::events::task::TaskDelete;
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use rustix::process::Signal;
use tokio::task::JoinSet;

pub(crate) use self::container::{Container, NewContainer};
pub(crate) use self::context::ShimContext;
pub(crate) use self::error::TaskError;
pub(crate) use self::options::Options;
pub(crate) use self::process::Process;
use crate::cgroup::Cgroup;
use crate::console;
use crate::flag::Flag;
use crate::journal;
use crate::reaper::Exit;
use crate::record;
use crate::sockets::SocketName;
use crate::stdio::Request;
use crate::timestamp;

/// What the shim is there for.
#[derive(Debug)]
pub(crate) struct Tasks {
    context: ShimContext,
    slot: Mutex<Slot>,
    /// Attach sockets of deleted processes, whose clients still read.
    lingering: Mutex<JoinSet<()>>,
    /// Raised when the shim is to end.
    pub(crate) ending: Flag,
    /// The name by which clients find the shim.
    socket: Mutex<SocketName>,
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
    pub(crate) fn new(context: ShimContext, socket: SocketName) -> Self {
        let (slot, lingering) = (Mutex::new(Slot::Empty), Mutex::default());
        Self { context, slot, lingering, ending: Flag::default(), socket: Mutex::new(socket) }
    }

    /// Makes the container. Its first process's pid.
    pub(crate) async fn create(&self, new: NewContainer) -> Result<u32, TaskError> {
        let ours = &self.context.settings.id;
        if new.id != *ours {
            return Err(TaskError::Foreign(ours.clone()));
        }
        if let Some(path) = new.options.shim_cgroup() {
            Cgroup::admit_us(path).map_err(TaskError::Cgroup)?;
        }
        self.claim()?;
        let created = Container::create(new, self.context.clone()).await;
        let mut slot = self.slot();
        match created {
            Ok(container) => {
                let pid = container.init().state().pid;
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
            Slot::Creating | Slot::Made(_) => Err(TaskError::Exists(self.context.settings.id.clone())),
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
        process.close_stdin();
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
            self.context.publisher.publish("/tasks/delete", &event);
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
            self.remove_names();
            self.ending.raise();
        }
    }

    /// Ends the shim that no client wants: one without a container, or with one that has ended, whose exit record stays.
    /// Returns whether it may end.
    pub(crate) fn abandon(&self) -> bool {
        let mut slot = self.slot();
        let is_ended = match &*slot {
            Slot::Empty => true,
            Slot::Made(container) => container.is_over(),
            Slot::Creating | Slot::Closed => false,
        };
        if is_ended {
            *slot = Slot::Closed;
            self.remove_names();
        }
        is_ended
    }

    /// Forgets the execs whose streams were made for a client that attaches before their start: the one that would have
    /// started them has gone, and no other knows them.
    pub(crate) async fn forget_unstarted_execs(&self) {
        let container = match &*self.slot() {
            Slot::Made(container) => Arc::clone(container),
            Slot::Empty | Slot::Creating | Slot::Closed => return,
        };
        container.forget_unstarted_execs().await;
    }

    fn remove_names(&self) {
        let socket = self.socket();
        if let Err(error) = socket.remove() {
            journal::warn(&format!("socket {} stays: {error}", socket.path().display()));
        }
        if let Err(error) = record::forget(&self.context.settings.bundle) {
            journal::warn(&format!("the record of the shim's process stays: {error}"));
        }
    }

    /// Whether it has no container, and none is being made.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(*self.slot(), Slot::Empty)
    }

    /// Whether its container is being made or has not ended.
    pub(crate) fn has_process(&self) -> bool {
        match &*self.slot() {
            Slot::Creating => true,
            Slot::Made(container) => !container.is_over(),
            Slot::Empty | Slot::Closed => false,
        }
    }

    /// Whether clients that look for the shim's socket find it.
    pub(crate) fn is_in_place(&self) -> bool {
        self.socket().is_in_place()
    }

    /// Makes sockets anew whose names are gone. A new listener for the shim's own, if that was one of them.
    pub(crate) fn renew_sockets(&self) -> io::Result<Option<UnixListener>> {
        let container = match &*self.slot() {
            Slot::Made(container) => Some(Arc::clone(container)),
            _ => None,
        };
        let renewed = container.map_or(Ok(()), |container| container.renew_sockets());
        let own = self.socket().renew()?;
        if let Err(error) = renewed {
            journal::warn(&format!("an attach socket cannot be made anew: {error}"));
        }
        Ok(own)
    }

    fn socket(&self) -> MutexGuard<'_, SocketName> {
        self.socket.lock().expect("nothing panics under this lock")
    }

    /// Waits for the clients of deleted processes' streams.
    pub(crate) async fn farewell(&self) {
        let mut clients =
            std::mem::take(&mut *self.lingering.lock().expect("nothing panics under this lock"));
        while clients.join_next().await.is_some() {}
    }

    /// The container, if it is the one asked for. No container has the empty id: it stands for whichever is here, for a
    /// client that has found the socket and has lost its records.
    pub(crate) fn container(&self, id: &str) -> Result<Arc<Container>, TaskError> {
        match &*self.slot() {
            Slot::Made(container) if id.is_empty() || container.id == id => Ok(Arc::clone(container)),
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
