//! Giving a container its task: intent recorded → bundle written while the shim starts → task made → clients joined →
//! task started → recorded, and watched from then on. What fails on the way is undone.

use std::sync::Arc;

use knarr_proto::reason::Reason;
use tokio::sync::MutexGuard;

use super::container::{Container, Link};
use super::end::supervise;
use super::error::{self, ContainerError};
use super::execution::Execution;
use super::handle::Containers;
use super::life::{Event, Exit};
use super::outcome::Outcome;
use super::pending::Connected;
use super::remove::remove_in_turn_or_log;
use crate::error::Chain;
use crate::failure::Failure as _;
use crate::snapshots::{Mount, MountType, Snapshots};
use crate::tasks::shims::{CreateTask, Task, shim_mount};
use crate::time::UnixNs;

/// Docker's exit code of a container that could not be started for the machine's sake.
const NOT_STARTED: u32 = 128;

/// An overlay whose unmount does not wait until all that was written is on the disk (Linux 5.10): for the files of a
/// container that are removed when it ends.
const VOLATILE: &str = "volatile";

/// Starts a container, unless it runs. Returns its pid.
///
/// # Errors
/// [`ContainerError`]; [`ContainerError::Command`] when its command cannot be executed.
pub(crate) async fn start(containers: &Containers, text: &str) -> Result<Outcome<u32>, ContainerError> {
    let container = containers.registry.find(text)?;
    let this = containers.clone();
    let start = async move {
        let turn = container.turn.lock().await;
        start_in_turn(&this, &container, &turn).await
    };
    containers.work.finish(start).await
}

/// As [`start`], for a caller that holds the turn.
pub(super) async fn start_in_turn(
    containers: &Containers,
    container: &Arc<Container>,
    _turn: &MutexGuard<'_, ()>,
) -> Result<Outcome<u32>, ContainerError> {
    let (records, execution) = (&containers.records, &containers.execution);
    let before = container.life();
    container.check_whole()?;
    if before.phase.may_exec() {
        return Ok(Outcome::Already(before.pid));
    }
    container.set_bypassed(false);
    records.enter(container, Event::StartAsked { boot_id: execution.boot_id.clone() }).await?;
    let (task, pid) = match launch(execution, &containers.storage.snapshots, container).await {
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

async fn launch(
    execution: &Execution,
    snapshots: &Snapshots,
    container: &Container,
) -> Result<(Task, u32), ContainerError> {
    // Whatever comes of this start, it is the one that they wait for.
    let waiting = container.pending.take();
    let began = std::time::Instant::now();
    let spawned = execution.tasks.shims.spawn(container.id(), &container.bundle);
    let (mounts, task) = tokio::join!(prepare(execution, snapshots, container), spawned);
    let task = task?;
    // From here on a failure is undone through the task.
    container.set_link(Link::Task(task.clone()));
    let mounts = mounts?;
    let ready = began.elapsed();
    let is_for_once = container.settings().auto_remove;
    let rootfs = mounts.into_iter().map(|Mount { kind, source, options }| {
        let volatile = (is_for_once && kind == MountType::Overlay).then(|| VOLATILE.to_owned());
        shim_mount(kind.as_str().to_owned(), source, options.into_iter().chain(volatile).collect())
    });
    let create = CreateTask {
        bundle: container.bundle.to_string_lossy().into_owned(),
        rootfs: rootfs.collect(),
        streams: execution.tasks.stdio(&container.task_plan(), execution.logs),
        systemd_cgroup: execution.tasks.cgroups.is_systemd(),
    };
    task.create(create).await.map_err(error::of_start)?;
    let created = began.elapsed();
    let mut clients = Vec::new();
    for client in waiting {
        clients.push((client, execution.connect_streams(container).await));
    }
    let pid = task.start("").await.map_err(error::of_start)?;
    for (client, connected) in clients {
        // One that has left meanwhile needs no connection.
        drop(client.send(connected.map(|socket| Connected { pid, socket })));
    }
    tracing::debug!(container = %container.id(), ?ready, ?created, started = ?began.elapsed(), "launched");
    Ok((task, pid))
}

async fn prepare(
    execution: &Execution,
    snapshots: &Snapshots,
    container: &Container,
) -> Result<Vec<Mount>, ContainerError> {
    let mounts = snapshots.mounts(container.id().as_str()).await;
    let mounts = mounts.map_err(|source| ContainerError::Snapshot { doing: "find", source })?;
    execution.tasks.prepare(container.task_plan(), snapshots.clone()).await?;
    Ok(mounts)
}

/// Back to where it was, with the reason kept; the first error is the one that is told.
async fn undo(containers: &Containers, container: &Container, cause: &ContainerError) {
    containers.execution.end_task(container).await;
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
