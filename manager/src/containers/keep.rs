//! What a container's shim is to do for it without being asked: decided from its settings, written before each start and
//! whenever that changes. Callers hold the container's turn.

use knarr_proto::keep::policy::RestartPolicy;
use knarr_proto::keep::{Keep, VERSION};

use super::container::Container;
use super::error::ContainerError;
use super::life::Life;
use super::spec::{Settings, Spec};
use super::stop::DEFAULT_STOP_SECONDS;
use crate::error::Chain;
use crate::tasks::Tasks;

/// What contradicts itself.
///
/// # Errors
/// [`ContainerError::RestartOfRemoved`].
pub(super) fn check(restart: RestartPolicy, auto_remove: bool) -> Result<(), ContainerError> {
    match restart != RestartPolicy::No && auto_remove {
        true => Err(ContainerError::RestartOfRemoved),
        false => Ok(()),
    }
}

/// Whether its shim does anything without being asked.
pub(super) fn is_kept(container: &Container) -> bool {
    container.settings().restart != RestartPolicy::No || container.spec.health.active().is_some()
}

fn plan(spec: &Spec, settings: &Settings, life: &Life) -> Keep {
    Keep {
        version: VERSION,
        restart: settings.restart,
        restarts: life.restarts,
        is_stopped: life.is_stopped,
        health: spec.health.active().cloned(),
        on_unhealthy: spec.health.on_unhealthy,
        stop_signal: settings.stop.signal.unsigned_abs(),
        stop_seconds: settings.stop.timeout_seconds.unwrap_or(DEFAULT_STOP_SECONDS),
    }
}

/// Writes what the shim is to do.
///
/// # Errors
/// [`ContainerError::Task`].
pub(super) async fn order(tasks: &Tasks, container: &Container) -> Result<(), ContainerError> {
    let keep = plan(&container.spec, &container.settings(), &container.life());
    Ok(tasks.order(container.id(), keep).await?)
}

/// The same for a shim that runs, which is told. One that does not answer looks at the next end of a run by itself.
///
/// # Errors
/// [`ContainerError::Task`] when the order cannot be written.
pub(super) async fn order_now(tasks: &Tasks, container: &Container) -> Result<(), ContainerError> {
    order(tasks, container).await?;
    if let Some(task) = container.task()
        && let Err(error) = task.reload().await
    {
        tracing::debug!(container = %container.id(), error = %Chain(&error), "a shim was not told to look");
    }
    Ok(())
}
