//! Giving a container its task: intent recorded → bundle written while the shim starts → task made → clients joined →
//! task started → recorded, and watched from then on. What fails on the way is undone.

use std::sync::Arc;

use tokio::net::UnixStream;

use super::error::{self, ContainerError};
use super::life::{Event, Exit, Phase};
use super::{Container, Containers, Link};
use crate::error::Chain;
use crate::snapshots::Mount;
use crate::tasks::shims::{CreateTask, Task, shim_mount};
use crate::time::UnixNs;

/// Docker's exit code of a container that could not be started for the machine's sake.
const NOT_STARTED: u32 = 128;

/// An overlay whose unmount does not wait until all that was written is on the disk (Linux 5.10): for the files of a
/// container that are removed when it ends.
const VOLATILE: &str = "volatile";

/// A container that runs now.
pub(super) struct Started {
    pub(super) pid: u32,
    /// The attach socket, connected before the process ran, when that was asked for.
    pub(super) streams: Option<UnixStream>,
}

impl Containers {
    /// Starts a container; that it runs already is no error. Its pid.
    ///
    /// # Errors
    /// [`ContainerError`]; [`ContainerError::Command`] when its command cannot be executed.
    pub(crate) async fn start(&self, text: &str) -> Result<u32, ContainerError> {
        let container = self.find(text)?;
        let this = self.clone();
        self.to_the_end(async move { this.start_now(&container, false).await.map(|started| started.pid) })
            .await
    }

    pub(super) async fn start_now(
        &self,
        container: &Arc<Container>,
        attach: bool,
    ) -> Result<Started, ContainerError> {
        let _turn = container.turn.lock().await;
        let before = container.life();
        if let Some(cause) = &container.damage {
            return Err(ContainerError::Damaged { name: container.name(), cause: cause.clone() });
        }
        match before.phase {
            Phase::Running | Phase::Paused => {
                let streams = if attach { Some(self.connect_streams(container).await?) } else { None };
                return Ok(Started { pid: before.pid, streams });
            }
            // The others, the table lets through or not.
            _ => {}
        }
        container.is_killed.store(false, std::sync::atomic::Ordering::Relaxed);
        self.enter(container, Event::StartAsked { boot_id: self.parts().boot_id.clone() }).await?;
        let (task, started) = match self.launch(container, attach).await {
            Ok(launched) => launched,
            Err(error) => {
                self.undo_start(container, &error).await;
                return Err(error);
            }
        };
        let event = Event::Started { pid: started.pid, at: UnixNs::now() };
        let durability = event.durability(container.settings.auto_remove);
        let running = container.after(event)?;
        container.set_link(Link::Task(task.clone()));
        self.publish(container, "start", &[]);
        // The process runs whatever becomes of the record: watch it first, and do not take it back.
        self.supervise(Arc::clone(container), task);
        self.show(container, running.clone());
        self.record(container, &running, durability).await?;
        Ok(started)
    }

    async fn launch(&self, container: &Container, attach: bool) -> Result<(Task, Started), ContainerError> {
        let parts = self.parts();
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
            let volatile = (is_for_once && kind == "overlay").then(|| VOLATILE.to_owned());
            shim_mount(kind, source, options.into_iter().chain(volatile).collect())
        });
        let create = CreateTask {
            bundle: container.bundle.to_string_lossy().into_owned(),
            rootfs: rootfs.collect(),
            streams: parts.tasks.stdio(&container.task_plan(), parts.logs),
            systemd_cgroup: parts.tasks.cgroups.is_systemd(),
        };
        task.create(create).await.map_err(error::of_start)?;
        let created = began.elapsed();
        let streams = if attach { Some(self.connect_streams(container).await?) } else { None };
        let pid = task.start("").await.map_err(error::of_start)?;
        tracing::debug!(container = %container.id(), ?ready, ?created, started = ?began.elapsed(), "launched");
        Ok((task, Started { pid, streams }))
    }

    async fn prepare(&self, container: &Container) -> Result<Vec<Mount>, ContainerError> {
        let mounts = self.parts().snapshots.mounts(container.id().as_str()).await;
        let mounts = mounts.map_err(|source| ContainerError::Snapshot { doing: "find", source })?;
        self.parts().tasks.prepare(container.task_plan(), mounts.clone()).await?;
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
            code: cause.reason().map_or(NOT_STARTED, super::CommandReason::exit_code),
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
