//! What the shim does for its container without being asked ([`knarr_proto::keep`]): whether and when a run that has
//! ended is followed by another, and what of all that is on the disk before anyone is told. How a run is made is
//! `task`'s.

pub(crate) mod service;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use knarr_proto::exit::ExitRecord;
use knarr_proto::keep::health::{Health, HealthCheck, HealthStatus, OnUnhealthy, ProbeResult};
use knarr_proto::keep::policy::{Ending, RestartPolicy, next_pause};
use knarr_proto::keep::{FILE_NAME, KEPT_FILE_NAME, Keep, Kept, Now, Run};
use tokio::sync::{MutexGuard as AsyncGuard, watch};
use tokio::time::sleep;

use crate::exit::unix_ns;
use crate::journal;

/// What is to be done for one container, and what has been.
#[derive(Debug)]
pub(crate) struct Keeper {
    bundle: PathBuf,
    kept: watch::Sender<Kept>,
    state: Mutex<State>,
    /// Held while one run is followed by another, and while it is decided that none is.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// As last read; without the file there is nothing to do.
    orders: Option<Keep>,
    /// The run that goes on: its process, and when it began by either clock.
    run: Option<(u32, SystemTime, Instant)>,
    last_pause: Duration,
    /// What becomes of the run that goes on, or of the pause after it, when that is not the policy's to say.
    verdict: Option<Verdict>,
}

/// What an unhealthy container's run is followed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Another,
    None,
}

impl Keeper {
    /// Of a container that is about to be made in `bundle`. What an earlier shim kept is over.
    pub(crate) fn new(bundle: &Path) -> Self {
        if let Err(error) = forget(bundle) {
            journal::warn(&format!("an earlier run's {KEPT_FILE_NAME} stays: {error}"));
        }
        let orders = read(bundle).unwrap_or_default();
        let restarts = orders.as_ref().map_or(0, |orders| orders.restarts);
        let kept = Kept::new(restarts, Now::Running { pid: 0, started_at_unix_ns: 0 });
        let state = Mutex::new(State { orders, ..State::default() });
        let (bundle, turn) = (bundle.to_owned(), tokio::sync::Mutex::default());
        Self { bundle, kept: watch::Sender::new(kept), state, turn }
    }

    /// A run begins; what follows is its process's doing.
    pub(crate) fn begin(&self, pid: u32) {
        let now = SystemTime::now();
        let mut state = self.state();
        (state.run, state.verdict) = (Some((pid, now, Instant::now())), None);
        let has_check = state.orders.as_ref().is_some_and(|orders| orders.health.is_some());
        drop(state);
        self.change(|kept| {
            kept.now = Now::Running { pid, started_at_unix_ns: unix_ns(now) };
            kept.health = has_check.then(|| kept.health.take().unwrap_or_default());
            kept.health.iter_mut().for_each(Health::begin);
        });
    }

    /// A run has ended, as recorded. After how long another one follows, if one does; that is on the disk when this
    /// returns, and watchers know it.
    pub(crate) fn end(&self, record: &ExitRecord) -> Option<Duration> {
        // A process that was never let go is no run.
        let (pid, started_at, began) = self.state().run.take()?;
        let run = Run {
            number: self.kept.borrow().ended + 1,
            pid,
            started_at_unix_ns: unix_ns(started_at),
            exited_at_unix_ns: record.exited_at_unix_ns,
            code: record.code,
            oom_killed: record.oom_killed,
            error: String::new(),
            returns: false,
        };
        self.enter(run, began.elapsed())
    }

    /// A run could not be started; as [`Keeper::end`].
    pub(crate) fn fail(&self, code: u32, error: String) -> Option<Duration> {
        let run = self.state().run.take();
        let now = unix_ns(SystemTime::now());
        let run = Run {
            number: self.kept.borrow().ended + 1,
            pid: run.map_or(0, |(pid, ..)| pid),
            started_at_unix_ns: run.map_or(now, |(_, started_at, _)| unix_ns(started_at)),
            exited_at_unix_ns: now,
            code,
            oom_killed: false,
            error,
            returns: false,
        };
        self.enter(run, Duration::ZERO)
    }

    fn enter(&self, run: Run, ran_for: Duration) -> Option<Duration> {
        self.look();
        let mut state = self.state();
        let pause = state.orders.as_ref().and_then(|orders| {
            let (restarts, last_pause) = (self.kept.borrow().restarts, state.last_pause);
            let is_stopped = orders.is_stopped;
            match state.verdict {
                Some(Verdict::Another) if !is_stopped => Some(next_pause(last_pause, ran_for)),
                Some(_) => None,
                None => orders.restart.pause_after(Ending {
                    code: run.code,
                    ran_for,
                    restarts,
                    last_pause,
                    is_stopped,
                }),
            }
        });
        state.last_pause = pause.unwrap_or_default();
        drop(state);
        let until = pause.map(|pause| unix_ns(SystemTime::now() + pause));
        self.change(|kept| kept.end(Run { returns: pause.is_some(), ..run }, until));
        pause
    }

    /// Waits before a run is followed by another. Whether one is to follow still.
    pub(crate) async fn pause(&self, pause: Duration) -> bool {
        let mut kept = self.kept.subscribe();
        tokio::select! {
            () = sleep(pause) => true,
            // The sender is in self.
            _ = kept.wait_for(|kept| !is_waiting(kept)) => false,
        }
    }

    /// Whether another run is about to follow.
    pub(crate) fn is_waiting(&self) -> bool {
        is_waiting(&self.kept.borrow())
    }

    /// The right to have one run follow another.
    pub(crate) async fn turn(&self) -> AsyncGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Sees to it that no run follows. Until what is returned is dropped, none begins either.
    pub(crate) async fn give_up(&self) -> AsyncGuard<'_, ()> {
        let turn = self.turn.lock().await;
        if self.is_waiting() {
            self.change(|kept| kept.now = Now::Over);
        }
        turn
    }

    /// Reads what is to be done again: a return that waits and is not wanted any more is given up.
    pub(crate) async fn reload(&self) -> Kept {
        let turn = self.turn.lock().await;
        self.look();
        drop(turn);
        let is_unwanted = !self.wants_another();
        if is_unwanted {
            drop(self.give_up().await);
        }
        self.kept.borrow().clone()
    }

    /// Whether a run may follow the last one at all.
    fn wants_another(&self) -> bool {
        let state = self.state();
        let has_reason = |orders: &Keep| orders.restart != RestartPolicy::No || state.verdict.is_some();
        state.orders.as_ref().is_some_and(|orders| !orders.is_stopped && has_reason(orders))
    }

    /// What has been done, as soon as that is another than `seen`.
    pub(crate) async fn watch(&self, seen: u64) -> Kept {
        let mut kept = self.kept.subscribe();
        // The sender is in self, so there is no other outcome.
        let changed = kept.wait_for(|kept| kept.change != seen).await;
        changed.map_or_else(|_| self.kept.borrow().clone(), |kept| kept.clone())
    }

    /// How the container's health is found out, if it is.
    pub(crate) fn health_check(&self) -> Option<HealthCheck> {
        self.state().orders.as_ref().and_then(|orders| orders.health.clone())
    }

    /// Its health in one word.
    pub(crate) fn health_status(&self) -> HealthStatus {
        self.kept.borrow().health.as_ref().map(|health| health.status).unwrap_or_default()
    }

    /// Takes a probe's result into account. Its health before and after, in one word.
    pub(crate) fn take(
        &self,
        check: &HealthCheck,
        result: ProbeResult,
        since_start: Duration,
    ) -> (HealthStatus, HealthStatus) {
        let before = self.health_status();
        self.change(|kept| {
            kept.health.get_or_insert_default().take(check, result, since_start);
        });
        (before, self.health_status())
    }

    /// What is to be done now that it is unhealthy: how, by which signal, and within what time. What follows its end is
    /// decided with it.
    pub(crate) fn on_unhealthy(&self) -> Option<(OnUnhealthy, u32, Duration)> {
        self.look();
        let mut state = self.state();
        let orders = state.orders.as_ref()?;
        let (action, signal, seconds) = (orders.on_unhealthy, orders.stop_signal, orders.stop_seconds);
        state.verdict = match action {
            OnUnhealthy::None | OnUnhealthy::Kill => None,
            OnUnhealthy::Stop => Some(Verdict::None),
            OnUnhealthy::Restart => Some(Verdict::Another),
        };
        (action != OnUnhealthy::None).then(|| (action, signal, Duration::from_secs(seconds.into())))
    }

    /// Reads the manager's file. One that cannot be read changes nothing.
    fn look(&self) {
        match read(&self.bundle) {
            Ok(orders) => self.state().orders = orders,
            Err(error) => journal::warn(&format!("{FILE_NAME} is left as it was: {error}")),
        }
    }

    /// On the disk first, then to those that watch.
    fn change(&self, change: impl FnOnce(&mut Kept)) {
        let mut next = self.kept.borrow().clone();
        next.change += 1;
        change(&mut next);
        let is_kept = self.state().orders.as_ref().is_some_and(Keep::is_needed);
        if is_kept && let Err(error) = write(&self.bundle, &next) {
            journal::warn(&format!("{KEPT_FILE_NAME} is old: {error}"));
        }
        self.kept.send_replace(next);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

fn is_waiting(kept: &Kept) -> bool {
    matches!(kept.now, Now::Waiting { .. })
}

fn read(bundle: &Path) -> io::Result<Option<Keep>> {
    match fs::read(bundle.join(FILE_NAME)) {
        Ok(text) => Keep::parse(&text).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces the shim's file. A power cut may take it: then there is no container that it could be about.
fn write(bundle: &Path, kept: &Kept) -> io::Result<()> {
    let temporary = bundle.join(".kept.json.new");
    let text = serde_json::to_vec(kept).expect("it has no map with odd keys");
    fs::write(&temporary, text)?;
    fs::rename(temporary, bundle.join(KEPT_FILE_NAME))
}

fn forget(bundle: &Path) -> io::Result<()> {
    match fs::remove_file(bundle.join(KEPT_FILE_NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knarr_proto::exit;
    use knarr_proto::keep::VERSION;

    fn order(bundle: &Path, restart: RestartPolicy, is_stopped: bool) {
        let (health, on_unhealthy, restarts) = (None, Default::default(), 0);
        let (version, stop_signal, stop_seconds) = (VERSION, 15, 10);
        let keep =
            Keep { version, restart, restarts, is_stopped, health, on_unhealthy, stop_signal, stop_seconds };
        fs::write(bundle.join(FILE_NAME), serde_json::to_vec(&keep).expect("JSON")).expect("writable");
    }

    fn ended(code: u32) -> ExitRecord {
        ExitRecord { version: exit::VERSION, pid: 7, code, exited_at_unix_ns: 9, oom_killed: false }
    }

    fn on_disk(bundle: &Path) -> Option<Kept> {
        fs::read(bundle.join(KEPT_FILE_NAME)).ok().and_then(|text| Kept::parse(&text))
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_run_is_followed_by_another_until_that_is_given_up() {
        let bundle = tempfile::tempdir().expect("a directory");
        order(bundle.path(), RestartPolicy::Always, false);
        let keeper = Keeper::new(bundle.path());
        assert_eq!(keeper.end(&ended(1)), None, "a process that was never let go is no run");
        keeper.begin(7);
        let pause = keeper.end(&ended(1)).expect("it returns");
        let kept = on_disk(bundle.path()).expect("on the disk");
        assert_eq!((kept.ended, kept.restarts, kept.runs[0].code), (1, 1, 1));
        assert_eq!(keeper.watch(0).await, kept);
        assert!(keeper.pause(pause).await);
        keeper.begin(8);
        assert_eq!(keeper.end(&ended(1)), Some(pause * 2));
        order(bundle.path(), RestartPolicy::Always, true);
        assert_eq!(keeper.reload().await.now, Now::Over);
        assert!(!keeper.pause(pause).await, "it is not waited for either");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_stop_is_seen_at_the_end_of_the_run_without_a_call() {
        let bundle = tempfile::tempdir().expect("a directory");
        order(bundle.path(), RestartPolicy::Always, false);
        let keeper = Keeper::new(bundle.path());
        keeper.begin(7);
        order(bundle.path(), RestartPolicy::Always, true);
        assert_eq!(keeper.end(&ended(137)), None);
        assert_eq!(on_disk(bundle.path()).expect("on the disk").now, Now::Over);
    }

    #[test]
    fn without_orders_or_with_damaged_ones_nothing_is_done_and_nothing_written() {
        let bundle = tempfile::tempdir().expect("a directory");
        for text in [None, Some("{"), Some(r#"{"version":99}"#)] {
            if let Some(text) = text {
                fs::write(bundle.path().join(FILE_NAME), text).expect("writable");
            }
            let keeper = Keeper::new(bundle.path());
            keeper.begin(7);
            assert_eq!(keeper.end(&ended(1)), None);
            assert_eq!(on_disk(bundle.path()), None);
        }
    }
}
