//! Where in its life a container is, and how it gets on: one pure table of phases and events. Nothing else makes a
//! phase. What each event writes down, and whether that waits for the disk, is said here, too.

use serde::{Deserialize, Serialize};

use crate::time::UnixNs;

/// Where in its life a container is. A phase that ends in -ing is an intent, recorded before its first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Intent: its snapshot and bundle are being made. Undone after a crash.
    Creating,
    /// Made, never run.
    Created,
    /// Intent: its shim is being started. Finished or undone after a crash.
    Starting,
    /// Its process runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its process has ended, and its shim is about to start it again.
    Restarting,
    /// Its process has ended.
    Exited,
    /// Intent: it is being removed. Redone after a crash.
    Removing,
}

/// What happens to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Snapshot and bundle are there.
    Made,
    /// A start has begun, in this boot of the machine; `restarts` is 0 when a person asks for it.
    StartAsked { boot_id: String, restarts: u32 },
    /// Its process runs since `at`.
    Started { pid: u32, at: UnixNs },
    /// Its shim says that its process runs: after a restart of knarrd.
    Met { pid: u32, at: UnixNs },
    /// A start failed, or was interrupted before the process ran; the reason, if there is one to tell.
    StartUndone { exit: Option<Exit> },
    /// Its processes were frozen.
    Frozen,
    /// They were thawed.
    Thawed,
    /// Its process has ended.
    Ended(Exit),
    /// Its process has ended, and the restart policy brings it back.
    EndedToReturn(Exit),
    /// It was to come back and could not be started; its policy tries again.
    FailedToReturn(Exit),
    /// The restart policy does not bring it back any more.
    GivenUp,
    /// A person wants it to end: its restart policy brings it back no more.
    HeldBack,
    /// It is to be removed, or its creation to be undone.
    RemovalAsked,
}

/// Whether a record of an event is on the disk before anything else is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    Synced,
    /// Survives knarrd's end, however that comes; a power cut may take it.
    Unsynced,
}

/// An event that cannot happen in this phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) phase: Phase,
    /// What cannot be done, for "cannot …".
    pub(crate) doing: &'static str,
}

impl Phase {
    /// The phase after `event`.
    ///
    /// # Errors
    /// [`Refused`] when the event cannot happen now.
    pub(crate) fn after(self, event: &Event) -> Result<Self, Refused> {
        use Event as E;
        use Phase as P;
        match (self, event) {
            (P::Creating, E::Made) => Ok(P::Created),
            (P::Created | P::Exited | P::Restarting, E::StartAsked { .. }) => Ok(P::Starting),
            (P::Starting | P::Restarting, E::Started { .. }) => Ok(P::Running),
            (P::Starting | P::Running | P::Restarting, E::Met { .. }) => Ok(P::Running),
            // Frozen or not, the shim says that it is there: what froze it thaws it.
            (P::Paused, E::Met { .. }) => Ok(P::Paused),
            (P::Running, E::Frozen) => Ok(P::Paused),
            (P::Paused, E::Thawed) => Ok(P::Running),
            (P::Starting | P::Running | P::Paused, E::Ended(_)) => Ok(P::Exited),
            (P::Starting | P::Running | P::Paused, E::EndedToReturn(_)) => Ok(P::Restarting),
            (P::Restarting, E::FailedToReturn(_)) => Ok(P::Restarting),
            (P::Restarting, E::GivenUp) => Ok(P::Exited),
            (phase, E::HeldBack) if phase.holds_shim() => Ok(phase),
            (P::Creating | P::Created | P::Exited | P::Removing, E::RemovalAsked) => Ok(P::Removing),
            (phase, event) => Err(Refused { phase, doing: event.doing() }),
        }
    }

    /// Whether there is a process, running or frozen.
    pub(crate) fn holds_process(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// Whether there may be a shim, which has the process, is about to start it, or will start it again.
    pub(crate) fn holds_shim(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Paused | Self::Restarting)
    }

    /// Whether its process answers: another one can be started beside it, and a client can talk to it.
    pub(crate) fn may_exec(self) -> bool {
        matches!(self, Self::Running)
    }

    /// Whether it rests: it can be started, and removed without force.
    pub(crate) fn may_start(self) -> bool {
        matches!(self, Self::Created | Self::Exited)
    }

    /// Whether docker counts it among the running ones, which are listed without `--all`.
    pub(crate) fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }

    /// The word in messages and filters: docker's.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Creating | Self::Created | Self::Starting => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removing => "removing",
        }
    }
}

impl Event {
    /// What fails when the event is refused.
    fn doing(&self) -> &'static str {
        match self {
            Self::Made => "finish",
            Self::StartAsked { .. } | Self::Started { .. } | Self::Met { .. } | Self::StartUndone { .. } => {
                "start"
            }
            Self::Frozen => "pause",
            Self::Thawed => "unpause",
            Self::Ended(_) | Self::EndedToReturn(_) | Self::FailedToReturn(_) | Self::GivenUp => {
                "record the end of"
            }
            Self::HeldBack => "stop",
            Self::RemovalAsked => "remove",
        }
    }

    /// A power cut ends every process. It may take the intent to start one, and anything about a container that goes
    /// with its process anyway; never that a container is there, nor how it ended.
    pub(crate) fn durability(&self, auto_remove: bool) -> Durability {
        match self {
            // Beside a stop, whose end is synced.
            Self::StartAsked { .. } | Self::HeldBack => Durability::Unsynced,
            _ if auto_remove => Durability::Unsynced,
            _ => Durability::Synced,
        }
    }
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    /// 0–255; 128 + N when signal N ended it.
    pub(crate) code: u32,
    pub(crate) finished_at: UnixNs,
    pub(crate) oom_killed: bool,
    /// Why, when it never ran or its end was not seen.
    pub(crate) error: String,
}

/// What changes in a container's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Life {
    pub(crate) phase: Phase,
    /// Host pid; 0 when nothing runs.
    pub(crate) pid: u32,
    pub(crate) started_at: Option<UnixNs>,
    /// Of the last run.
    pub(crate) exit: Option<Exit>,
    /// The kernel's boot id when it was last started: with another one, nothing of it can be alive.
    pub(crate) boot_id: String,
    /// How often it has ended, so that a waiter can tell one end from the next.
    #[serde(default)]
    pub(crate) ends: u64,
    /// How often its policy has started it again since a person did.
    #[serde(default)]
    pub(crate) restarts: u32,
    /// A person has stopped it.
    #[serde(default)]
    pub(crate) is_stopped: bool,
    /// How many ends of its present shim's runs are among `ends`.
    #[serde(default)]
    pub(crate) followed: u64,
    /// It has been removed; only callers that still wait see this.
    #[serde(skip)]
    pub(crate) removed: bool,
}

/// What is left of a life whose record is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remains {
    /// It was being removed.
    Removal,
    /// How it ended.
    Exit(Exit),
    /// It was started in this boot or an earlier one: its shim and the kernel know more.
    Process { boot_id: String },
    /// It was never started.
    Nothing,
}

impl Life {
    /// Of a container that is being made.
    pub(crate) fn creating() -> Self {
        Self {
            phase: Phase::Creating,
            pid: 0,
            started_at: None,
            exit: None,
            boot_id: String::new(),
            ends: 0,
            restarts: 0,
            is_stopped: false,
            followed: 0,
            removed: false,
        }
    }

    /// Of a container whose record is lost.
    pub(crate) fn rebuilt(remains: Remains) -> Self {
        let new = Self::creating();
        match remains {
            Remains::Removal => Self { phase: Phase::Removing, ..new },
            Remains::Exit(exit) => {
                let started_at = Some(exit.finished_at);
                Self { phase: Phase::Exited, started_at, exit: Some(exit), ends: 1, ..new }
            }
            Remains::Process { boot_id } => Self { phase: Phase::Running, boot_id, ..new },
            Remains::Nothing => Self { phase: Phase::Created, ..new },
        }
    }

    /// The life after `event`.
    ///
    /// # Errors
    /// [`Refused`] when the event cannot happen now.
    pub(crate) fn after(&self, event: Event) -> Result<Self, Refused> {
        let phase = match &event {
            // Back to where it was before: the table has one phase, and this one has two pasts.
            Event::StartUndone { .. } => self.before_start()?,
            event => self.phase.after(event)?,
        };
        let life = Self { phase, ..self.clone() };
        Ok(match event {
            Event::StartAsked { boot_id, restarts } => {
                Self { boot_id, restarts, is_stopped: false, followed: 0, ..life }
            }
            Event::Started { pid, at } => Self { pid, started_at: Some(at), ..life },
            Event::Met { pid, at } => {
                let started_at = self.started_at.filter(|_| self.phase != Phase::Starting);
                Self { pid, started_at: started_at.or(Some(at)), ..life }
            }
            Event::StartUndone { exit: Some(exit) } => {
                Self { pid: 0, exit: Some(exit), ends: life.ends + 1, ..life }
            }
            Event::StartUndone { exit: None } => Self { pid: 0, ..life },
            Event::Ended(exit) | Event::EndedToReturn(exit) | Event::FailedToReturn(exit) => {
                Self { pid: 0, exit: Some(exit), ends: life.ends + 1, ..life }
            }
            Event::HeldBack => Self { is_stopped: true, ..life },
            Event::Made | Event::Frozen | Event::Thawed | Event::GivenUp | Event::RemovalAsked => life,
        })
    }

    /// How it ended the last time; of a container that never ran, docker says 0.
    pub(crate) fn last_exit(&self) -> Exit {
        let never = Exit { code: 0, finished_at: UnixNs(0), oom_killed: false, error: String::new() };
        match self.phase {
            Phase::Creating | Phase::Starting => never,
            _ => self.exit.clone().unwrap_or(never),
        }
    }

    fn before_start(&self) -> Result<Phase, Refused> {
        match (self.phase, self.started_at) {
            (Phase::Starting | Phase::Running, Some(_)) => Ok(Phase::Exited),
            (Phase::Starting | Phase::Running, None) => Ok(Phase::Created),
            (phase, _) => Err(Refused { phase, doing: "start" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 8] = [
        Phase::Creating,
        Phase::Created,
        Phase::Starting,
        Phase::Running,
        Phase::Paused,
        Phase::Restarting,
        Phase::Exited,
        Phase::Removing,
    ];

    fn exit(code: u32) -> Exit {
        Exit { code, finished_at: UnixNs(7), oom_killed: false, error: String::new() }
    }

    fn walk(events: Vec<Event>) -> Result<Life, Refused> {
        events.into_iter().try_fold(Life::creating(), |life, event| life.after(event))
    }

    fn started() -> Vec<Event> {
        let asked = Event::StartAsked { boot_id: "boot".into(), restarts: 0 };
        vec![Event::Made, asked, Event::Started { pid: 5, at: UnixNs(3) }]
    }

    #[test]
    fn a_whole_life_goes_by_the_table() {
        let mut events = started();
        events.extend([Event::Frozen, Event::Thawed, Event::Ended(exit(3))]);
        let life = walk(events.clone()).expect("allowed");
        assert_eq!((life.phase, life.pid, life.ends), (Phase::Exited, 0, 1));
        assert_eq!((life.started_at, life.exit), (Some(UnixNs(3)), Some(exit(3))));
        events.push(Event::RemovalAsked);
        assert_eq!(walk(events).expect("allowed").phase, Phase::Removing);
    }

    #[test]
    fn a_restart_policy_goes_round_and_gives_up() {
        let mut events = started();
        events.extend([
            Event::EndedToReturn(exit(1)),
            Event::Started { pid: 6, at: UnixNs(4) },
            Event::EndedToReturn(exit(2)),
            Event::GivenUp,
        ]);
        let life = walk(events).expect("allowed");
        assert_eq!((life.phase, life.ends, life.exit), (Phase::Exited, 2, Some(exit(2))));
    }

    #[test]
    fn an_undone_start_goes_back_to_where_it_was() {
        let mut first = started();
        first.truncate(2);
        first.push(Event::StartUndone { exit: None });
        assert_eq!(walk(first).expect("allowed").phase, Phase::Created);
        let mut second = started();
        let asked = Event::StartAsked { boot_id: "boot".into(), restarts: 0 };
        second.extend([Event::Ended(exit(0)), asked, Event::StartUndone { exit: Some(exit(127)) }]);
        let life = walk(second).expect("allowed");
        assert_eq!((life.phase, life.ends, life.exit), (Phase::Exited, 2, Some(exit(127))));
    }

    #[test]
    fn what_cannot_happen_is_refused() {
        let allowed = |event: &Event| -> Vec<Phase> {
            PHASES.into_iter().filter(|phase| phase.after(event).is_ok()).collect()
        };
        use Phase as P;
        assert_eq!(allowed(&Event::Made), [P::Creating]);
        let asked = Event::StartAsked { boot_id: String::new(), restarts: 0 };
        assert_eq!(allowed(&asked), [P::Created, P::Restarting, P::Exited]);
        assert_eq!(allowed(&Event::Frozen), [P::Running]);
        assert_eq!(allowed(&Event::Thawed), [P::Paused]);
        assert_eq!(allowed(&Event::Ended(exit(0))), [P::Starting, P::Running, P::Paused]);
        assert_eq!(allowed(&Event::EndedToReturn(exit(0))), [P::Starting, P::Running, P::Paused]);
        assert_eq!(allowed(&Event::FailedToReturn(exit(0))), [P::Restarting]);
        assert_eq!(allowed(&Event::HeldBack), [P::Starting, P::Running, P::Paused, P::Restarting]);
        assert_eq!(allowed(&Event::GivenUp), [P::Restarting]);
        assert_eq!(allowed(&Event::RemovalAsked), [P::Creating, P::Created, P::Exited, P::Removing]);
    }

    #[test]
    fn every_phase_says_what_it_has_and_what_can_be_done() {
        let those = |word: fn(Phase) -> bool| -> Vec<Phase> {
            PHASES.into_iter().filter(|phase| word(*phase)).collect()
        };
        use Phase as P;
        assert_eq!(those(P::holds_process), [P::Running, P::Paused]);
        assert_eq!(those(P::holds_shim), [P::Starting, P::Running, P::Paused, P::Restarting]);
        assert_eq!(those(P::may_exec), [P::Running]);
        assert_eq!(those(P::may_start), [P::Created, P::Exited]);
        assert_eq!(those(P::is_up), [P::Running, P::Paused, P::Restarting]);
    }

    #[test]
    fn only_what_recovery_makes_good_does_not_wait_for_the_disk() {
        let asked = Event::StartAsked { boot_id: String::new(), restarts: 0 };
        assert_eq!(asked.durability(false), Durability::Unsynced);
        for event in [Event::Made, Event::Ended(exit(0)), Event::RemovalAsked] {
            assert_eq!(event.durability(false), Durability::Synced);
            assert_eq!(event.durability(true), Durability::Unsynced);
        }
    }
}
