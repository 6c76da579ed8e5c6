//! Clients that joined a container before it started. The next start connects each of them to the container's shim
//! before the process runs, so that none misses output.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::tasks::{Connected, TaskError, WaitingClient};

/// Those that wait for one container's start. Their number is bounded by that of calls that wait.
#[derive(Default)]
pub(super) struct PendingClients {
    waiting: Mutex<Vec<WaitingClient>>,
}

impl PendingClients {
    fn waiting(&self) -> MutexGuard<'_, Vec<WaitingClient>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The receiver is told at the next start; its sender is dropped when that fails.
    pub(super) fn register(&self) -> oneshot::Receiver<Result<Connected, TaskError>> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.retain(|sender| !sender.is_closed());
        waiting.push(sender);
        receiver
    }

    /// Takes all that wait, for a start.
    pub(super) fn take(&self) -> Vec<WaitingClient> {
        std::mem::take(&mut *self.waiting())
    }
}
