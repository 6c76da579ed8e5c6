//! Waiting for a container to end or to be gone.

use super::Containers;
use super::error::ContainerError;
use super::life::{Exit, Life, Phase};
use crate::time::UnixNs;

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

impl Containers {
    /// Returns when the container has ended, or is gone; with its last exit status.
    ///
    /// # Errors
    /// [`ContainerError::NotFound`], [`ContainerError::Stopping`] when knarrd stops first.
    pub(crate) async fn wait(&self, text: &str, condition: WaitCondition) -> Result<Exit, ContainerError> {
        let container = self.find(text)?;
        let mut life = container.life.subscribe();
        let ends = life.borrow().ends;
        let is_over = |life: &Life| match condition {
            WaitCondition::NotRunning => !life.phase.is_live(),
            WaitCondition::NextExit => life.ends > ends,
            WaitCondition::Removed => false,
        };
        let over = async {
            let seen = life.wait_for(|life| life.removed || is_over(life)).await;
            seen.map(|life| life.clone()).map_err(|_| ContainerError::NotFound(text.to_owned()))
        };
        tokio::select! {
            life = over => Ok(exit_of(&life?)),
            () = self.shared.stopping.cancelled() => Err(ContainerError::Stopping),
        }
    }
}

/// The last exit; of one that never ran, docker says 0.
fn exit_of(life: &Life) -> Exit {
    let never = Exit { code: 0, finished_at: UnixNs(0), oom_killed: false, error: String::new() };
    match life.phase {
        Phase::Creating | Phase::Starting => never,
        _ => life.exit.clone().unwrap_or(never),
    }
}
