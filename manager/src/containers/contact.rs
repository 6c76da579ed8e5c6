//! Meeting a container's shim again: after a restart of knarrd, or when a connection broke. What a container is now, its
//! shim says; where that does not answer, the kernel. What neither can tell stays as it is recorded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::process::Signal;

use super::census::{self, Census, Traces};
use super::end::Ended;
use super::error::ContainerError;
use super::life::{Event, Life, Phase};
use super::recover::{Recovery, Settled};
use super::{Container, Link, signal};
use crate::error::Chain;
use crate::tasks::bundle;
use crate::tasks::shims::{ShimLook, Task, TaskExit, TaskState, TaskStatus};
use crate::time::UnixNs;

impl Recovery {
    /// Brings a container that may run to what it is now. The caller has the turn.
    pub(super) async fn meet(
        &self,
        container: &Arc<Container>,
        life: Life,
    ) -> Result<Settled, ContainerError> {
        match self.0.parts().tasks.shims.look(container.id(), &container.bundle).await {
            ShimLook::HasTask(task, state) => self.take_up(container, life, task, state).await?,
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
        let is_known = bundle::exit_record(&container.bundle).await.is_some()
            || container.is_killed.load(Ordering::Relaxed);
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
        life: Life,
        task: Task,
        state: TaskState,
    ) -> Result<(), ContainerError> {
        container.set_link(Link::Task(task.clone()));
        match state.status {
            TaskStatus::Running => {
                let met = Event::Met { pid: state.pid, at: UnixNs::now() };
                if container.after(met.clone())? != life {
                    self.0.enter(container, met).await?;
                }
                self.0.supervise(Arc::clone(container), task);
            }
            TaskStatus::Stopped => {
                let exit = TaskExit { code: state.exit.code, at: state.exit.at };
                self.0.ended(container, Ended::Seen(exit)).await;
            }
            // knarrd ended between making the task and starting it: no client is told that it runs.
            TaskStatus::Created => {
                if let Err(error) = task.kill("", signal::KILL).await {
                    tracing::debug!(container = %container.id(), error = %Chain(&error), "the waiting process was not killed");
                }
                self.undo(container).await?;
            }
        }
        Ok(())
    }

    /// There is no task: it has ended, or was never started.
    async fn without_task(
        &self,
        container: &Arc<Container>,
        life: &Life,
        why: &str,
    ) -> Result<(), ContainerError> {
        let ran = life.phase != Phase::Starting || bundle::exit_record(&container.bundle).await.is_some();
        if !ran {
            return self.undo(container).await;
        }
        self.0.ended(container, Ended::Unseen(why.to_owned())).await;
        Ok(())
    }
}

/// Signals a container whose shim does not answer: its first process, and with SIGKILL all of them.
pub(super) async fn signal_without_shim(container: &Container, number: i32) -> Result<(), ContainerError> {
    let Some(traces) = traces(container).await else {
        return Err(ContainerError::NotReached {
            name: container.name(),
            cause: "/proc cannot be read".into(),
        });
    };
    let is_kill = number == signal::KILL;
    container.is_killed.fetch_or(is_kill, Ordering::Relaxed);
    let first = container.life().pid.cast_signed();
    let Some(number) = Signal::from_named_raw(number) else {
        let cause = "only a shim that answers can send a real-time signal".to_owned();
        return Err(ContainerError::NotReached { name: container.name(), cause });
    };
    for pid in traces.processes.into_iter().filter(|pid| is_kill || *pid == first) {
        census::signal_process(container.id(), pid, number);
    }
    Ok(())
}

/// What the kernel knows of a container; `None` when it cannot be asked.
async fn traces(container: &Container) -> Option<Traces> {
    let id = container.id().clone();
    let looked = tokio::task::spawn_blocking(move || Census::take().map(|census| census.of_container(&id)));
    match looked.await {
        Ok(Ok(traces)) => Some(traces),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the processes cannot be listed");
            None
        }
        Err(_) => None,
    }
}

/// What a person can do about a silent shim.
fn remedy(traces: &Traces) -> Option<String> {
    let (pid, _) = traces.shims.iter().find(|(_, is_stopped)| *is_stopped)?;
    Some(format!("its process {pid} is stopped; kill -CONT {pid} lets it go on"))
}
