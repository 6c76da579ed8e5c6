//! Giving a container its task: intent recorded → launched → recorded, and watched from then on. A start that fails is
//! taken back.

use std::sync::Arc;

use knarr_proto::keep::health::Health;
use knarr_proto::reason::Reason;
use tokio::sync::MutexGuard;

use super::container::{Container, Link};
use super::end::supervise;
use super::error::{self, ContainerError};
use super::handle::Containers;
use super::keep;
use super::life::{Event, Exit, Phase};
use super::outcome::Outcome;
use super::remove::remove_in_turn_or_log;
use super::{network, partners};
use crate::error::Chain;
use crate::failure::Failure as _;
use crate::tasks::plan::TaskPlan;
use crate::tasks::{Launch, Launched};
use crate::time::UnixNs;

/// Docker's exit code of a container that could not be started for the machine's sake.
const NOT_STARTED: u32 = 128;

/// Who wants a container to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    Person,
    /// Its restart policy; the restarts are counted on.
    Policy,
}

/// Starts a container, unless it runs. Returns its pid.
///
/// # Errors
/// [`ContainerError`]; [`ContainerError::Command`] when its command cannot be executed.
pub(crate) async fn start(containers: &Containers, text: &str) -> Result<Outcome<u32>, ContainerError> {
    let container = containers.registry.find(text)?;
    let this = containers.clone();
    let start = async move {
        let turn = container.turn.lock().await;
        start_in_turn(&this, &container, Asker::Person, &turn).await
    };
    containers.work.finish(start).await
}

/// As [`start`], for a caller that holds the turn.
pub(super) async fn start_in_turn(
    containers: &Containers,
    container: &Arc<Container>,
    asker: Asker,
    _turn: &MutexGuard<'_, ()>,
) -> Result<Outcome<u32>, ContainerError> {
    let (records, execution) = (&containers.records, &containers.execution);
    let before = container.life();
    container.check_whole()?;
    // Between two runs its shim is about to start it.
    let is_returning = before.phase == Phase::Restarting && container.task().is_some();
    if before.phase.may_exec() || is_returning {
        return Ok(Outcome::Already(before.pid));
    }
    container.set_bypassed(false);
    container.set_health(container.spec.health.active().map(|_| Health::default()));
    let restarts = if asker == Asker::Policy { before.restarts } else { 0 };
    records.enter(container, Event::StartAsked { boot_id: execution.boot_id.clone(), restarts }).await?;
    let Launched { task, pid } = match launch(containers, container).await {
        Ok(launched) => launched,
        Err(error) => {
            undo(containers, container, &error).await;
            return Err(error);
        }
    };
    let event = Event::Started { pid, at: UnixNs::now() };
    let durability = event.durability(container.settings().auto_remove);
    let running = container.after(event)?;
    container.set_link(Link::Task(task.clone()));
    records.publish(container, "start", &[]);
    // The process runs whatever becomes of the record: watch it first, and do not take it back.
    supervise(containers, Arc::clone(container), task);
    records.show(container, running.clone());
    records.write(container, &running, durability).await?;
    Ok(Outcome::Done(pid))
}

async fn launch(containers: &Containers, container: &Container) -> Result<Launched, ContainerError> {
    let execution = &containers.execution;
    // Whatever comes of this start, it is the one that they wait for.
    let clients = container.pending.take();
    keep::order(&execution.tasks, container).await?;
    let joined = partners::running(&containers.registry, &container.spec.isolation.sharing).await?;
    let volumes = containers.storage.volumes.sources(container.id()).await?;
    let place = network::join(containers, container).await?;
    let launch = Launch {
        plan: TaskPlan { joined, place, volumes, ..container.task_plan() },
        log: execution.logs.chosen(container.spec.streams.log),
        is_for_once: container.settings().auto_remove,
        clients,
    };
    let launched = execution.tasks.launch(launch, &containers.storage.snapshots).await;
    if launched.is_err() {
        network::leave(containers, container).await;
    }
    launched.map_err(error::of_start)
}

/// Back to where it was, with the reason kept; the first error is the one that is told.
async fn undo(containers: &Containers, container: &Container, cause: &ContainerError) {
    let exit = Exit {
        code: exit_code(cause),
        finished_at: UnixNs::now(),
        oom_killed: false,
        error: Chain(cause).to_string(),
    };
    let event = Event::StartUndone { exit: Some(exit) };
    if let Err(error) = containers.records.enter(container, event.clone()).await {
        tracing::error!(container = %container.id(), error = %Chain(&error), "a failed start was not recorded");
        if let Ok(life) = container.after(event) {
            containers.records.show(container, life);
        }
    }
    if container.settings().auto_remove {
        remove_in_turn_or_log(containers, container).await;
    }
}

/// The exit code of a process that could not be started.
pub(super) fn exit_code(cause: &ContainerError) -> u32 {
    let code = cause.reason().and_then(Reason::exit_code);
    code.map_or(NOT_STARTED, u32::from)
}
