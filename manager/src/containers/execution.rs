//! What running a container needs: the tasks, the bounds of its log, and which boot of the machine this is.

use super::container::{Container, Link};
use crate::error::Chain;
use crate::tasks::{LogBounds, Tasks};

/// What running a container needs.
pub(crate) struct Execution {
    pub(crate) tasks: Tasks,
    pub(crate) logs: LogBounds,
    /// The kernel's, so that a reboot is noticed.
    pub(crate) boot_id: String,
}

impl Execution {
    /// Ends the container's task and shim. The caller has the turn. What cannot be done is logged and tried again at the
    /// next start of knarrd.
    pub(super) async fn end_task(&self, container: &Container) {
        let task = container.task();
        container.set_link(Link::None);
        if let Err(error) = self.tasks.end(container.id(), task).await {
            tracing::warn!(container = %container.id(), error = %Chain(&error), "not all of a task was cleaned up");
        }
    }
}
