//! Clients that joined a container before it started. The next start connects each of them to the container's shim
//! before the process runs, so that none misses output.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::error::ContainerError;

/// A connection to the streams of a process that runs now.
pub(super) struct Connected {
    pub(super) pid: u32,
    pub(super) socket: UnixStream,
}

type Sender = oneshot::Sender<Result<Connected, ContainerError>>;

/// Those that wait for one container's start. Their number is bounded by that of calls that wait.
#[derive(Default)]
pub(super) struct PendingClients {
    waiting: Mutex<Vec<Sender>>,
}

impl PendingClients {
    fn waiting(&self) -> MutexGuard<'_, Vec<Sender>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The receiver is told at the next start; its sender is dropped when that fails.
    pub(super) fn register(&self) -> oneshot::Receiver<Result<Connected, ContainerError>> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.retain(|sender| !sender.is_closed());
        waiting.push(sender);
        receiver
    }

    /// Takes all that wait, for a start.
    pub(super) fn take(&self) -> Vec<Sender> {
        std::mem::take(&mut *self.waiting())
    }
}
