//! Signals: one, or the stop signal and after some patience SIGKILL.

use std::time::Duration;

use super::container::Container;
use super::error::ContainerError;
use super::handle::Containers;
use super::hold_back::hold_back;
use super::life::Phase;
use super::outcome::Outcome;
use super::records::Records;
use super::{pause, signal, silent};

/// Docker's patience.
pub(super) const DEFAULT_STOP_SECONDS: u32 = 10;
/// A process that survives SIGKILL for this long is stuck in the kernel.
const KILL_LIMIT: Duration = Duration::from_secs(30);

/// Sends the stop signal, waits `timeout_seconds` (the container's own by default), then kills; unless the container
/// does not run.
///
/// # Errors
/// [`ContainerError`].
pub(crate) async fn stop(
    containers: &Containers,
    text: &str,
    timeout_seconds: Option<u32>,
    signal_text: &str,
) -> Result<Outcome, ContainerError> {
    let container = containers.registry.find(text)?;
    let stop = container.settings().stop.clone();
    let number = match signal_text {
        "" => stop.signal,
        text => signal::parse(text)?,
    };
    // One that is being started is waited for.
    drop(container.turn.lock().await);
    if !container.life().phase.holds_shim() {
        return Ok(Outcome::Already(()));
    }
    hold_back(containers, &container).await?;
    let own = stop.timeout_seconds.unwrap_or(DEFAULT_STOP_SECONDS);
    let patience = Duration::from_secs(timeout_seconds.unwrap_or(own).into());
    let mut life = container.life.subscribe();
    send(&containers.records, &container, number).await?;
    if tokio::time::timeout(patience, life.wait_for(|life| !life.phase.holds_shim())).await.is_err() {
        kill_and_wait(&containers.records, &container).await?;
    }
    containers.records.publish(&container, "stop", &[]);
    Ok(Outcome::Done(()))
}

/// Sends one signal to the first process; an empty text is SIGKILL, whose end is waited for. After a signal that is to
/// end it, it does not come back; between two runs that is all that any signal does.
///
/// # Errors
/// [`ContainerError::NotRunning`], [`ContainerError::Signal`], or what the shim says.
pub(crate) async fn kill(
    containers: &Containers,
    text: &str,
    signal_text: &str,
) -> Result<(), ContainerError> {
    let container = containers.registry.find(text)?;
    let number = if signal_text.is_empty() { signal::KILL } else { signal::parse(signal_text)? };
    let phase = container.life().phase;
    let is_restarting = phase == Phase::Restarting;
    if is_restarting || number == signal::KILL || number == container.settings().stop.signal {
        hold_back(containers, &container).await?;
    }
    if !is_restarting && !phase.holds_process() {
        return Err(ContainerError::NotRunning(container.name()));
    }
    // A shim that does not answer cannot tell the end.
    if is_restarting || (number == signal::KILL && container.process_task().is_ok()) {
        return kill_and_wait(&containers.records, &container).await;
    }
    send(&containers.records, &container, number).await
}

/// Sends SIGKILL, and returns when the container has ended.
///
/// # Errors
/// [`ContainerError::Unkillable`] when it does not end.
pub(super) async fn kill_and_wait(records: &Records, container: &Container) -> Result<(), ContainerError> {
    let mut life = container.life.subscribe();
    let pid = life.borrow().pid;
    send(records, container, signal::KILL).await?;
    let ended = tokio::time::timeout(KILL_LIMIT, life.wait_for(|life| !life.phase.holds_shim())).await;
    let stuck = |_| ContainerError::Unkillable { name: container.name(), pid, limit: KILL_LIMIT };
    ended.map(drop).map_err(stuck)
}

/// Sends a signal; that the process is gone already is no error.
async fn send(records: &Records, container: &Container, number: i32) -> Result<(), ContainerError> {
    let task = match container.process_task() {
        Ok(task) => task,
        Err(ContainerError::NotReached { .. }) => return silent::signal(container, number).await,
        Err(_) => return Ok(()),
    };
    match task.kill("", number).await {
        Ok(()) => {
            records.publish(container, "kill", &[("signal", number.to_string())]);
            pause::thaw_signalled(records, container, &task).await
        }
        Err(error) if error.is_not_found() => Ok(()),
        // It ended while we asked; the supervisor has seen or will see it.
        Err(_) if !container.life().phase.holds_shim() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
