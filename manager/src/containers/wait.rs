//! Waiting for a container to end or to be gone. Who waits is registered first, so that an end between the registration and
//! the wait is seen.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::ContainerError;
use super::handle::Containers;
use super::life::{Exit, Life};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitCondition {
    /// It does not run; at once when that is so already.
    NotRunning,
    /// Its next end, even if it does not run yet.
    NextExit,
    /// It is gone.
    Removed,
}

/// A registered wait.
pub(crate) struct Waiter {
    stopping: CancellationToken,
    life: watch::Receiver<Life>,
    condition: WaitCondition,
    /// How often the container had ended at the registration.
    ends: u64,
}

/// Registers a wait: an end that comes from now on is not missed.
///
/// # Errors
/// [`ContainerError::NotFound`], [`ContainerError::Ambiguous`].
pub(crate) fn wait(
    containers: &Containers,
    text: &str,
    condition: WaitCondition,
) -> Result<Waiter, ContainerError> {
    let life = containers.registry.find(text)?.life.subscribe();
    let ends = life.borrow().ends;
    Ok(Waiter { stopping: containers.work.stopping(), life, condition, ends })
}

impl Waiter {
    /// Returns the exit status when the condition holds, or when the container is gone.
    ///
    /// # Errors
    /// [`ContainerError::Stopping`] when knarrd stops first.
    pub(crate) async fn exit(mut self) -> Result<Exit, ContainerError> {
        let (condition, ends) = (self.condition, self.ends);
        let is_over = |life: &Life| {
            life.removed
                || match condition {
                    // As docker: a run that has ended is enough, whether or not another follows.
                    WaitCondition::NotRunning => !life.phase.holds_shim() || life.ends > ends,
                    WaitCondition::NextExit => life.ends > ends,
                    WaitCondition::Removed => false,
                }
        };
        tokio::select! {
            // A container in memory outlives those that wait for it, or is marked as removed before.
            life = self.life.wait_for(is_over) => {
                life.map(|life| life.last_exit()).map_err(|_| ContainerError::Stopping)
            }
            () = self.stopping.cancelled() => Err(ContainerError::Stopping),
        }
    }
}
