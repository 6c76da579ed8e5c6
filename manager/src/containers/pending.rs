//! Clients that joined a container before it started. The next start connects each of them to the container's shim
//! before the process runs, so that none misses output.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::attach::{AttachOptions, Session};
use super::error::ContainerError;
use super::{Container, Containers};

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

/// A client's place at the streams of a process that does not run yet.
pub(crate) struct PendingSession {
    pub(super) containers: Containers,
    pub(super) container: Arc<Container>,
    pub(super) options: AttachOptions,
    /// How often the container had ended when the client came.
    pub(super) ends: u64,
    pub(super) connected: oneshot::Receiver<Result<Connected, ContainerError>>,
}

impl PendingSession {
    /// Returns the session once the container runs. After a start that failed it has no output, and how the container
    /// ended is the reason.
    ///
    /// # Errors
    /// [`ContainerError::NotFound`] when the container is removed instead, [`ContainerError::Stopping`] when knarrd stops.
    pub(crate) async fn started(mut self) -> Result<Session, ContainerError> {
        let mut life = self.container.life.subscribe();
        let (pid, socket) = tokio::select! {
            biased;
            connected = &mut self.connected => match connected {
                Ok(connected) => connected.map(|Connected { pid, socket }| (pid, Some(socket)))?,
                // The start has failed, and says why in the container's exit.
                Err(_) => (0, None),
            },
            _ = life.wait_for(|life| life.removed) => {
                return Err(ContainerError::NotFound(self.container.name()));
            }
            () = self.containers.shared.stopping.cancelled() => return Err(ContainerError::Stopping),
        };
        Ok(self.containers.session(&self.container, self.options, self.ends, (pid, socket)))
    }
}
