//! Execs that are known: made and not started yet, running, and ended a while ago, so that a client can ask afterwards how
//! one ended. Bounded in number, bytes and time; knarrd forgets them all when it stops.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use knarr_proto::id::ContainerId;
use tokio::sync::watch;

use super::container::Container;
use super::life::Exit;

/// An exec that has ended is remembered for so long, as docker's; so is one that was never started, when room is short.
const REMEMBERED: Duration = Duration::from_secs(300);
/// How many are known at a time, of all containers: as many as calls that wait.
const MAX_EXECS: usize = 4096;
/// What all their arguments and variables may take together.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// What is to run, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExecOptions {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) working_dir: String,
    /// Empty for the container's own.
    pub(crate) user: String,
    pub(crate) tty: bool,
    pub(crate) stdin: bool,
    pub(crate) privileged: bool,
    /// For docker's clients; empty for the usual ones.
    pub(crate) detach_keys: String,
}

/// Where an exec is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExecState {
    /// Made.
    Created,
    /// Being started.
    Starting,
    /// Its process runs.
    Running { pid: u32 },
    /// Its process has ended, or could not be started.
    Ended(Exit),
}

/// One more process of a container.
pub(super) struct Exec {
    pub(super) id: String,
    pub(super) container: Arc<Container>,
    pub(super) options: ExecOptions,
    pub(super) state: watch::Sender<ExecState>,
    /// When it was made, and later when it ended.
    since: Mutex<Instant>,
}

/// Why another exec cannot be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "knarrd knows {MAX_EXECS} execs or 32 MiB of them, which is as many as it takes: try again when some have ended"
)]
pub(crate) struct TooManyExecs;

/// All that are known.
#[derive(Default)]
pub(super) struct Execs {
    by_id: Mutex<HashMap<String, Arc<Exec>>>,
}

impl Exec {
    pub(super) fn new(id: String, container: Arc<Container>, options: ExecOptions) -> Self {
        let state = watch::Sender::new(ExecState::Created);
        Self { id, container, options, state, since: Mutex::new(Instant::now()) }
    }

    /// Takes it for its only start. Returns false if it was started before.
    pub(super) fn take(&self) -> bool {
        self.state.send_if_modified(|state| {
            let is_new = *state == ExecState::Created;
            if is_new {
                *state = ExecState::Starting;
            }
            is_new
        })
    }

    pub(super) fn set(&self, state: ExecState) {
        if matches!(state, ExecState::Ended(_)) {
            *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        self.state.send_replace(state);
    }

    pub(super) fn state(&self) -> ExecState {
        self.state.borrow().clone()
    }

    fn size(&self) -> usize {
        let options = &self.options;
        let texts = options.args.iter().chain(&options.env).map(|text| text.len() + size_of::<String>());
        texts.sum::<usize>()
            + options.working_dir.len()
            + options.user.len()
            + options.detach_keys.len()
            + size_of::<Self>()
    }

    fn since(&self) -> Instant {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        let has_ended = matches!(self.state(), ExecState::Ended(_));
        self.container.life.borrow().removed || (has_ended && self.since() + REMEMBERED <= now)
    }

    fn may_be_forgotten(&self, now: Instant) -> bool {
        match self.state() {
            ExecState::Ended(_) => true,
            ExecState::Created => self.since() + REMEMBERED <= now,
            ExecState::Starting | ExecState::Running { .. } => false,
        }
    }
}

impl Execs {
    fn by_id(&self) -> MutexGuard<'_, HashMap<String, Arc<Exec>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an exec. Forgets others whose time has come, and where room is short the oldest that have ended.
    ///
    /// # Errors
    /// [`TooManyExecs`] when those that run or wait for their start take all the room.
    pub(super) fn add(&self, exec: Arc<Exec>, now: Instant) -> Result<(), TooManyExecs> {
        let mut by_id = self.by_id();
        by_id.retain(|_, known| !known.is_forgotten(now));
        let fits = |by_id: &HashMap<String, Arc<Exec>>| {
            let bytes: usize = by_id.values().map(|known| known.size()).sum();
            by_id.len() < MAX_EXECS && bytes + exec.size() <= MAX_BYTES
        };
        while !fits(&by_id) {
            let ended = by_id.values().filter(|known| known.may_be_forgotten(now));
            let oldest = ended.min_by_key(|known| known.since()).map(|known| known.id.clone());
            by_id.remove(&oldest.ok_or(TooManyExecs)?);
        }
        by_id.insert(exec.id.clone(), exec);
        Ok(())
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Exec>> {
        self.by_id().get(id).filter(|exec| !exec.is_forgotten(Instant::now())).cloned()
    }

    /// The ids of a container's execs that have not ended, in order.
    pub(super) fn of_container(&self, id: &ContainerId) -> Vec<String> {
        let by_id = self.by_id();
        let of_it = by_id.values().filter(|exec| exec.container.id() == id);
        let mut ids: Vec<_> = of_it
            .filter(|exec| !matches!(exec.state(), ExecState::Ended(_)))
            .map(|exec| exec.id.clone())
            .collect();
        ids.sort();
        ids
    }
}
