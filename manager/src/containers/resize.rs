//! The size of a container's terminal, set from outside of a session.

use super::error::ContainerError;
use super::handle::Containers;
use crate::tasks::plan::TerminalSize;

/// Sets the size of the terminal of a container's first process.
///
/// # Errors
/// [`ContainerError::NotRunning`]; [`ContainerError::NoTerminal`] when it has none.
pub(crate) async fn resize(
    containers: &Containers,
    text: &str,
    size: TerminalSize,
) -> Result<(), ContainerError> {
    let container = containers.registry.find(text)?;
    let task = container.process_task()?;
    if !container.spec.streams.tty {
        return Err(ContainerError::NoTerminal(container.name()));
    }
    task.resize("", size.columns, size.rows).await?;
    let size = [("height", size.rows.to_string()), ("width", size.columns.to_string())];
    containers.records.publish(&container, "resize", &size);
    Ok(())
}
