//! Freezing a container's processes, and thawing them. The shim does it first, so that a record never says of a process
//! that it rests while it works.

use super::container::Container;
use super::error::ContainerError;
use super::handle::Containers;
use super::life::{Event, Phase};
use super::records::Records;
use crate::tasks::shims::{Task, TaskStatus};

/// Freezes all processes of a running container.
///
/// # Errors
/// [`ContainerError::NotRunning`], [`ContainerError::Paused`] when it is so already, or what the shim says.
pub(crate) async fn pause(containers: &Containers, text: &str) -> Result<(), ContainerError> {
    let container = containers.registry.find(text)?;
    let this = containers.clone();
    let pause = async move {
        let _turn = container.turn.lock().await;
        if container.life().phase == Phase::Paused {
            return Err(ContainerError::Paused(container.name()));
        }
        container.running_task("pause")?.pause().await?;
        enter(&this.records, &container, Event::Frozen, "pause").await
    };
    containers.work.finish(pause).await
}

/// Thaws a paused container's processes.
///
/// # Errors
/// [`ContainerError::NotPaused`], or what the shim says.
pub(crate) async fn unpause(containers: &Containers, text: &str) -> Result<(), ContainerError> {
    let container = containers.registry.find(text)?;
    let this = containers.clone();
    let unpause = async move {
        let _turn = container.turn.lock().await;
        if container.life().phase != Phase::Paused {
            return Err(ContainerError::NotPaused(container.name()));
        }
        let task = container.process_task()?;
        thaw(&this.records, &container, &task).await
    };
    containers.work.finish(unpause).await
}

/// Lets a paused container receive the signal that it was sent, as docker does: a frozen process sees none.
pub(super) async fn thaw_signalled(
    records: &Records,
    container: &Container,
    task: &Task,
) -> Result<(), ContainerError> {
    match container.life().phase {
        Phase::Paused => thaw(records, container, task).await,
        _ => Ok(()),
    }
}

async fn thaw(records: &Records, container: &Container, task: &Task) -> Result<(), ContainerError> {
    if let Err(error) = task.resume().await {
        // SIGKILL ends a frozen process, too.
        let has_ended =
            error.is_not_found() || task.state().await.is_ok_and(|state| state.status == TaskStatus::Stopped);
        return if has_ended { Ok(()) } else { Err(error.into()) };
    }
    enter(records, container, Event::Thawed, "unpause").await
}

/// Records it; that the container has ended meanwhile is no error: it has gone on from there.
async fn enter(
    records: &Records,
    container: &Container,
    event: Event,
    action: &'static str,
) -> Result<(), ContainerError> {
    match records.enter(container, event).await {
        Ok(()) => {
            records.publish(container, action, &[]);
            Ok(())
        }
        Err(ContainerError::State { phase, .. }) if !phase.holds_process() => Ok(()),
        Err(error) => Err(error),
    }
}
