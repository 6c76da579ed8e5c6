//! Stopping and starting a container as one verb, which goes to its end whether or not its client stays.

use super::error::ContainerError;
use super::handle::Containers;
use super::start::start;
use super::stop::stop;

/// Stops a container if it runs, and starts it. Returns its pid.
///
/// # Errors
/// [`ContainerError::AutoRemoved`], or what [`stop`] and [`start`] say.
pub(crate) async fn restart(
    containers: &Containers,
    text: &str,
    timeout_seconds: Option<u32>,
    signal: &str,
) -> Result<u32, ContainerError> {
    let container = containers.registry.find(text)?;
    if container.settings().auto_remove {
        return Err(ContainerError::AutoRemoved(container.name()));
    }
    let (this, id, signal) = (containers.clone(), container.id().to_string(), signal.to_owned());
    let restart = async move {
        stop(&this, &id, timeout_seconds, &signal).await?;
        let pid = start(&this, &id).await?.into_inner();
        this.records.publish(&container, "restart", &[]);
        Ok(pid)
    };
    containers.work.finish(restart).await
}
