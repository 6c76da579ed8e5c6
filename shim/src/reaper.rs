//! The one place that waits for child processes. Children are told apart by pid; the shim is a subreaper, so containers'
//! first processes become its children when their runtime exits. Never blocks and never kills.

use std::collections::{HashMap, VecDeque};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use rustix::process::WaitOptions;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Exits that are kept while a create or an exec is under way: more than a container's pids limit ever lets die in the
/// instant between the process's start and our reading its pid file; the oldest go first.
const MAX_EARLY_EXITS: usize = 4096;
/// How late an exit may be seen whose signal was lost. Rare enough that an idle shim costs nothing.
const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// 0–255; 128 + N when signal N ended it.
    pub(crate) code: u32,
    /// When it was reaped.
    pub(crate) at: SystemTime,
}

/// Waits for every child of this process.
#[derive(Debug, Default)]
pub(crate) struct Reaper {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    watched: HashMap<i32, oneshot::Sender<Exit>>,
    early: VecDeque<(i32, Exit)>,
    holds: usize,
}

/// While it lives, exits that are not watched yet are kept for a later [`Reaper::watch`].
#[derive(Debug)]
pub(crate) struct Hold(Arc<Reaper>);

impl Reaper {
    /// The exit of `pid`, whether it is still to come or was kept by a [`Hold`]. Asked for a child directly after its
    /// spawn, without an `.await` in between, it needs no hold: there is one thread.
    pub(crate) fn watch(&self, pid: u32) -> oneshot::Receiver<Exit> {
        let (sender, receiver) = oneshot::channel();
        let pid = pid.cast_signed();
        let mut state = self.lock();
        match state.early.iter().position(|(early, _)| *early == pid) {
            Some(at) => {
                let (_, exit) = state.early.remove(at).expect("position is within the queue");
                // The receiver is in our hand.
                sender.send(exit).ok();
            }
            None => {
                state.watched.insert(pid, sender);
            }
        }
        receiver
    }

    /// Keeps unwatched exits until the hold is dropped.
    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        self.lock().holds += 1;
        Hold(Arc::clone(self))
    }

    /// Reaps on every SIGCHLD, for ever. `children` comes from [`child_signal`], made before the first child. Without memory
    /// for its message the handler of the signal wakes nothing, so children that are waited for are looked at anyway.
    pub(crate) async fn run(self: Arc<Self>, mut children: Signal) {
        loop {
            match timeout(LOOK_PERIOD, children.recv()).await {
                Ok(None) => return,
                Ok(Some(())) | Err(_) => self.reap(),
            }
        }
    }

    fn reap(&self) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    self.dispatch(pid.as_raw_nonzero().get(), status.as_raw());
                }
                Ok(None) | Err(Errno::CHILD) => return,
                Err(Errno::INTR) => {}
                Err(errno) => unreachable!("wait4 of any child, without blocking, failed: {errno}"),
            }
        }
    }

    fn dispatch(&self, pid: i32, status: i32) {
        let Some(code) = exit_code(status) else { return };
        let exit = Exit { code, at: SystemTime::now() };
        let mut state = self.lock();
        if let Some(watcher) = state.watched.remove(&pid) {
            // The watcher may have given up.
            watcher.send(exit).ok();
        } else if state.holds > 0 {
            if state.early.len() == MAX_EARLY_EXITS {
                state.early.pop_front();
            }
            state.early.push_back((pid, exit));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.holds -= 1;
        if state.holds == 0 {
            state.early = VecDeque::new();
        }
    }
}

/// The stream of SIGCHLDs.
pub(crate) fn child_signal() -> std::io::Result<Signal> {
    signal(SignalKind::child())
}

/// The shell's number for an end, from a status as wait(2) encodes it; `None` for a stop or a continue, which are no ends.
pub(crate) fn exit_code(status: i32) -> Option<u32> {
    let status = ExitStatus::from_raw(status);
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal))?;
    u32::try_from(code).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: i32) -> i32 {
        code << 8
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_exit_that_comes_before_its_watcher_is_kept_under_a_hold() {
        let reaper = Arc::new(Reaper::default());
        let hold = reaper.hold();
        reaper.dispatch(7, exit(3));
        assert_eq!(reaper.watch(7).await.expect("kept").code, 3);
        drop(hold);

        reaper.dispatch(8, exit(4));
        assert!(reaper.watch(8).try_recv().is_err(), "without a hold nothing is kept");
    }

    #[test]
    fn early_exits_have_a_bound() {
        let reaper = Arc::new(Reaper::default());
        let _hold = reaper.hold();
        for pid in 1..=5000 {
            reaper.dispatch(pid, exit(0));
        }
        assert_eq!(reaper.lock().early.len(), MAX_EARLY_EXITS);
        assert!(reaper.watch(5000).try_recv().is_ok(), "the newest stay");
    }

    #[test]
    fn a_signal_ends_with_128_and_its_number() {
        assert_eq!(exit_code(9), Some(137));
        assert_eq!(exit_code(exit(42)), Some(42));
        assert_eq!(exit_code(0x137f), None, "a stop is no end");
    }
}
