//! What running a container needs: the tasks, the bounds of its log, and which boot of the machine this is.

use super::container::{Container, Link};
use crate::error::Chain;
use crate::held::{Held as _, Until};
use crate::networks::Networks;
use crate::tasks::{LogBounds, Tasks};

/// What running a container needs.
pub(crate) struct Execution {
    pub(crate) tasks: Tasks,
    pub(crate) networks: Networks,
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
        if let Err(error) = self.networks.release(container.id(), Until::NextRun).await {
            tracing::warn!(container = %container.id(), error = %Chain(&error), "a container is still in its networks");
        }
    }
}
