//! Meeting a container's shim again: after a restart of knarrd, or when a connection broke. What a container is now, its
//! shim says; where that does not answer, the kernel. What neither can tell stays as it is recorded.

use std::sync::Arc;

use knarr_proto::keep::policy::FIRST_PAUSE;

use super::bring_back::bring_back;
use super::census;
use super::container::{Container, Link};
use super::end::{self, Ended};
use super::error::ContainerError;
use super::follow::{Followed, follow};
use super::keep;
use super::life::{Event, Life, Phase};
use super::recover::{Recovery, Settled};
use super::signal::KILL;
use super::silent::{remedy, traces};
use crate::error::Chain;
use crate::tasks::bundle;
use crate::tasks::shims::{ShimError, ShimLook, Task, TaskExit, TaskState, TaskStatus};
use crate::time::UnixNs;

impl Recovery {
    /// Brings a container that may run to what it is now. The caller has the turn.
    pub(super) async fn meet(
        &self,
        container: &Arc<Container>,
        life: Life,
    ) -> Result<Settled, ContainerError> {
        match self.0.execution.tasks.shims.look(container.id(), &container.bundle).await {
            ShimLook::HasTask(task, state) => self.take_up(container, task, state).await?,
            ShimLook::NoTask(task) => {
                container.set_link(Link::Task(task));
                self.without_task(container, &life, "its shim has no task any more").await?;
            }
            ShimLook::Dead => {
                return self
                    .without_shim(container, &life, "its socket is gone, but it runs".to_owned())
                    .await;
            }
            ShimLook::Unknown(error) => {
                let silence = Chain(&error).to_string();
                return self.without_shim(container, &life, silence).await;
            }
        }
        Ok(Settled::Yes)
    }

    /// No shim answers: what the kernel says, counts.
    async fn without_shim(
        &self,
        container: &Arc<Container>,
        life: &Life,
        silence: String,
    ) -> Result<Settled, ContainerError> {
        let Some(traces) = traces(container).await else {
            container.set_link(Link::Silent(silence));
            return Ok(Settled::NotYet);
        };
        // Nothing that a living shim could still say is of use once the end is on record, or was our doing.
        let is_known = bundle::exit_record(&container.bundle).await.is_some() || container.is_bypassed();
        let is_over = traces.shims.is_empty() || (is_known && traces.processes.is_empty());
        if !is_over {
            container.set_link(Link::Silent(remedy(&traces).unwrap_or(silence)));
            return Ok(Settled::NotYet);
        }
        for (pid, _) in &traces.shims {
            census::kill_shim(container.id(), *pid);
        }
        let why = match traces.shims.is_empty() {
            true => "its shim ended unexpectedly",
            false => "it was killed while its shim did not answer",
        };
        self.without_task(container, life, why).await?;
        Ok(Settled::Yes)
    }

    async fn take_up(
        &self,
        container: &Arc<Container>,
        task: Task,
        state: TaskState,
    ) -> Result<(), ContainerError> {
        container.set_link(Link::Task(task.clone()));
        let now = self.catch_up(container, &task).await?;
        let status = match (state.status, now) {
            // The shim is letting it go.
            (TaskStatus::Created, Some(_)) => TaskStatus::Running,
            (status, _) => status,
        };
        match status {
            _ if now == Some(Followed::IsOver) => {}
            // Between two runs: the shim tells what becomes of that.
            TaskStatus::Stopped if now.is_some() => end::supervise(&self.0, Arc::clone(container), task),
            TaskStatus::Running | TaskStatus::Paused => {
                let met = Event::Met { pid: state.pid, at: UnixNs::now() };
                if container.after(met.clone())? != container.life() {
                    self.0.records.enter(container, met).await?;
                }
                // knarrd may have ended between the freezer and the record.
                match (state.status == TaskStatus::Paused, container.life().phase) {
                    (true, Phase::Running) => self.0.records.enter(container, Event::Frozen).await?,
                    (false, Phase::Paused) => self.0.records.enter(container, Event::Thawed).await?,
                    _ => {}
                }
                end::supervise(&self.0, Arc::clone(container), task);
            }
            TaskStatus::Stopped => {
                let exit = TaskExit { code: state.exit.code, at: state.exit.at };
                end::end(&self.0, container, Ended::Seen(exit)).await;
            }
            // knarrd ended between making the task and starting it: no client is told that it runs.
            TaskStatus::Created => {
                if let Err(error) = task.kill("", KILL).await {
                    tracing::debug!(container = %container.id(), error = %Chain(&error), "the waiting process was not killed");
                }
                self.undo(container).await?;
            }
        }
        Ok(())
    }

    /// Follows a shim that starts its container again by itself to where it is; `None` for one that does not.
    async fn catch_up(
        &self,
        container: &Arc<Container>,
        task: &Task,
    ) -> Result<Option<Followed>, ContainerError> {
        if !keep::is_kept(container) {
            return Ok(None);
        }
        match task.watch(0).await {
            Ok(kept) if kept.has_begun() => Ok(Some(follow(&self.0, container, &kept).await?)),
            // One of an earlier version, or before its first run.
            Ok(_) | Err(ShimError::Task { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// There is no task: it has ended, or was never started.
    async fn without_task(
        &self,
        container: &Arc<Container>,
        life: &Life,
        why: &str,
    ) -> Result<(), ContainerError> {
        if keep::is_kept(container)
            && let Some(kept) = self.0.execution.tasks.kept(container.id()).await
            && kept.has_begun()
            && follow(&self.0, container, &kept).await? == Followed::IsOver
        {
            return Ok(());
        }
        let life = &Life { phase: container.life().phase, ..life.clone() };
        if life.phase == Phase::Restarting {
            self.0.execution.end_task(container).await;
            bring_back(&self.0, Arc::clone(container), FIRST_PAUSE);
            return Ok(());
        }
        let ran = life.phase != Phase::Starting || bundle::exit_record(&container.bundle).await.is_some();
        if !ran {
            return self.undo(container).await;
        }
        end::end(&self.0, container, Ended::Unseen(why.to_owned())).await;
        Ok(())
    }
}
