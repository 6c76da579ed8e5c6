//! The life of a container as the OCI runtime-spec names it, and the only moves it allows.

use std::fmt;

use serde::{Deserialize, Serialize};

/// OCI runtime-spec, "State": `status`; `paused` is runc's addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made.
    Creating,
    /// Made; its process waits for start.
    Created,
    /// Its process runs the user's program.
    Running,
    /// Its cgroup is frozen.
    Paused,
    /// Its process has ended.
    Stopped,
}

/// What can happen to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Init has set everything up and waits.
    InitReady,
    /// Init has been told to go.
    Started,
    /// The cgroup was frozen.
    Frozen,
    /// The cgroup was thawed.
    Thawed,
    /// The process ended.
    Exited,
}

/// The event is not possible in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {status} container cannot see the event {event:?}")]
pub struct Refused {
    /// Where the container was.
    pub status: Status,
    /// What was said to have happened.
    pub event: Event,
}

impl Status {
    /// The whole life of a container.
    ///
    /// # Errors
    /// [`Refused`] when `event` cannot happen in this state.
    pub fn after(self, event: Event) -> Result<Self, Refused> {
        use {Event as E, Status as S};
        match (self, event) {
            (S::Creating, E::InitReady) => Ok(S::Created),
            (S::Created, E::Started) | (S::Paused, E::Thawed) => Ok(S::Running),
            (S::Running, E::Frozen) => Ok(S::Paused),
            (S::Creating | S::Created | S::Running | S::Paused, E::Exited) => Ok(S::Stopped),
            (status, event) => Err(Refused { status, event }),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_container_stays_stopped() {
        use Event::{Exited, Frozen, InitReady, Started, Thawed};
        for event in [InitReady, Started, Frozen, Thawed, Exited] {
            assert_eq!(Status::Stopped.after(event), Err(Refused { status: Status::Stopped, event }));
        }
    }

    #[test]
    fn only_a_created_container_starts() {
        assert_eq!(Status::Created.after(Event::Started), Ok(Status::Running));
        for status in [Status::Creating, Status::Running, Status::Paused] {
            assert!(status.after(Event::Started).is_err());
        }
    }
}
