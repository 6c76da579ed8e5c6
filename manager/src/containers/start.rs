//! Giving a container its task: intent recorded → bundle written while the shim starts → task made → clients joined →
//! task started → recorded, and watched from then on. What fails on the way is undone.

use std::sync::Arc;

use knarr_proto::reason::Reason;
use tokio::net::UnixStream;
use tokio::sync::MutexGuard;

use super::error::{self, ContainerError};
use super::life::{Event, Exit};
use super::pending::Connected;
use super::{Container, Containers, Link, Outcome};
use crate::error::Chain;
use crate::failure::Failure as _;
use crate::snapshots::{Mount, MountType};
use crate::tasks::shims::{CreateTask, Task, shim_mount};
use crate::time::UnixNs;

/// Docker's exit code of a container that could not be started for the machine's sake.
const NOT_STARTED: u32 = 128;

/// An overlay whose unmount does not wait until all that was written is on the disk (Linux 5.10): for the files of a
/// container that are removed when it ends.
const VOLATILE: &str = "volatile";

impl Containers {
    /// Starts a container, unless it runs. Returns its pid.
    ///
    /// # Errors
    /// [`ContainerError`]; [`ContainerError::Command`] when its command cannot be executed.
    pub(crate) async fn start(&self, text: &str) -> Result<Outcome<u32>, ContainerError> {
        let container = self.find(text)?;
        let this = self.clone();
        self.to_the_end(async move {
            let turn = container.turn.lock().await;
            this.start_in_turn(&container, &turn).await
        })
        .await
    }

    /// As [`Containers::start`], for a caller that holds the turn.
    pub(super) async fn start_in_turn(
        &self,
        container: &Arc<Container>,
        _turn: &MutexGuard<'_, ()>,
    ) -> Result<Outcome<u32>, ContainerError> {
        let before = container.life();
        if let Some(cause) = &container.damage {
            return Err(ContainerError::Damaged { name: container.name(), cause: cause.clone() });
        }
        if before.phase.is_running() {
            return Ok(Outcome::Already(before.pid));
        }
        container.is_killed.store(false, std::sync::atomic::Ordering::Relaxed);
        self.enter(container, Event::StartAsked { boot_id: self.parts().boot_id.clone() }).await?;
        let (task, pid) = match self.launch(container).await {
            Ok(launched) => launched,
            Err(error) => {
                self.undo_start(container, &error).await;
                return Err(error);
            }
        };
        let event = Event::Started { pid, at: UnixNs::now() };
        let durability = event.durability(container.settings.auto_remove);
        let running = container.after(event)?;
        container.set_link(Link::Task(task.clone()));
        self.publish(container, "start", &[]);
        // The process runs whatever becomes of the record: watch it first, and do not take it back.
        self.supervise(Arc::clone(container), task);
        self.show(container, running.clone());
        self.record(container, &running, durability).await?;
        Ok(Outcome::Done(pid))
    }

    async fn launch(&self, container: &Container) -> Result<(Task, u32), ContainerError> {
        let parts = self.parts();
        // Whatever comes of this start, it is the one that they wait for.
        let waiting = container.pending.take();
        let began = std::time::Instant::now();
        let spawned = parts.tasks.shims.spawn(container.id(), &container.bundle);
        let (mounts, task) = tokio::join!(self.prepare(container), spawned);
        let task = task?;
        // From here on a failure is undone through the task.
        container.set_link(Link::Task(task.clone()));
        let mounts = mounts?;
        let ready = began.elapsed();
        let is_for_once = container.settings.auto_remove;
        let rootfs = mounts.into_iter().map(|Mount { kind, source, options }| {
            let volatile = (is_for_once && kind == MountType::Overlay).then(|| VOLATILE.to_owned());
            shim_mount(kind.as_str().to_owned(), source, options.into_iter().chain(volatile).collect())
        });
        let create = CreateTask {
            bundle: container.bundle.to_string_lossy().into_owned(),
            rootfs: rootfs.collect(),
            streams: parts.tasks.stdio(&container.task_plan(), parts.logs),
            systemd_cgroup: parts.tasks.cgroups.is_systemd(),
        };
        task.create(create).await.map_err(error::of_start)?;
        let created = began.elapsed();
        let mut clients = Vec::new();
        for client in waiting {
            clients.push((client, self.connect_streams(container).await));
        }
        let pid = task.start("").await.map_err(error::of_start)?;
        for (client, connected) in clients {
            // One that has left meanwhile needs no connection.
            drop(client.send(connected.map(|socket| Connected { pid, socket })));
        }
        tracing::debug!(container = %container.id(), ?ready, ?created, started = ?began.elapsed(), "launched");
        Ok((task, pid))
    }

    async fn prepare(&self, container: &Container) -> Result<Vec<Mount>, ContainerError> {
        let mounts = self.parts().snapshots.mounts(container.id().as_str()).await;
        let mounts = mounts.map_err(|source| ContainerError::Snapshot { doing: "find", source })?;
        let (tasks, snapshots) = (&self.parts().tasks, self.parts().snapshots.clone());
        tasks.prepare(container.task_plan(), snapshots).await?;
        Ok(mounts)
    }

    pub(super) async fn connect_streams(&self, container: &Container) -> Result<UnixStream, ContainerError> {
        let connected = self.parts().tasks.connect_streams(container.id()).await;
        connected.map_err(|source| ContainerError::Streams { doing: "join", source })
    }

    /// Back to where it was, with the reason kept; the first error is the one that is told.
    async fn undo_start(&self, container: &Arc<Container>, cause: &ContainerError) {
        self.end_task(container).await;
        let exit = Exit {
            code: exit_code(cause),
            finished_at: UnixNs::now(),
            oom_killed: false,
            error: Chain(cause).to_string(),
        };
        let event = Event::StartUndone { exit: Some(exit) };
        if let Err(error) = self.enter(container, event.clone()).await {
            tracing::error!(container = %container.id(), error = %Chain(&error), "a failed start was not recorded");
            if let Ok(life) = container.after(event) {
                self.show(container, life);
            }
        }
        if container.settings.auto_remove {
            self.remove_in_turn_or_log(container).await;
        }
    }
}

/// The exit code of a process that could not be started.
pub(super) fn exit_code(cause: &ContainerError) -> u32 {
    let code = cause.reason().and_then(Reason::exit_code);
    code.map_or(NOT_STARTED, u32::from)
}
