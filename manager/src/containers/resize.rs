//! The size of a container's terminal, set from outside of a session.

use super::Containers;
use super::error::ContainerError;
use crate::tasks::plan::TerminalSize;

impl Containers {
    /// Sets the size of the terminal of a container's first process.
    ///
    /// # Errors
    /// [`ContainerError::NotRunning`]; [`ContainerError::NoTerminal`] when it has none.
    pub(crate) async fn resize(&self, text: &str, size: TerminalSize) -> Result<(), ContainerError> {
        let container = self.find(text)?;
        let task = container.running_task()?;
        if !container.spec.streams.tty {
            return Err(ContainerError::NoTerminal(container.name()));
        }
        task.resize("", size.columns, size.rows).await?;
        let size = [("height", size.rows.to_string()), ("width", size.columns.to_string())];
        self.publish(&container, "resize", &size);
        Ok(())
    }
}
