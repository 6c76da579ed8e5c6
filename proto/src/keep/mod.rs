//! What a shim does for its container by itself, with or without a manager: it starts it again and watches its health.
//! The manager writes what is to be done ([`Keep`]) into the bundle, the shim what it has done ([`Kept`]); the calls of
//! [`SERVICE`] only say "look again", so that either side may be away. Under containerd there is none of it.
//!
//! ```text
//! manager                            shim
//!   keep.json ── before create ──▶     reads it, and again before each return
//!   keep.json, Reload ──────────▶      reads it again, gives up a return that waits
//!   Watch {seen} ───────────────▶      answers as soon as Kept.change is another
//!             ◀── kept.json ─────      written before any watcher is answered
//! ```

pub mod health;
pub mod policy;

use serde::{Deserialize, Serialize};

use self::health::{Health, HealthCheck, OnUnhealthy};
use self::policy::RestartPolicy;

/// The manager's file in the bundle.
pub const FILE_NAME: &str = "keep.json";
/// The shim's file in the bundle.
pub const KEPT_FILE_NAME: &str = "kept.json";
/// The layout that this build writes.
pub const VERSION: u32 = 1;

/// The ttrpc service that a shim has beside containerd's.
pub const SERVICE: &str = "knarr.shim.v1.Keep";
/// Its payloads are JSON: from a [`WatchRequest`] to a [`Kept`].
pub const WATCH: &str = "Watch";
/// From nothing to a [`Kept`].
pub const RELOAD: &str = "Reload";

/// Runs whose ends are told again to a manager that was away; of older ones only the number is known.
pub const MAX_RUNS: usize = 32;

/// What a shim is to do for its container. A reader takes no other version than its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// [`VERSION`].
    pub version: u32,
    /// Whether a run is followed by another.
    pub restart: RestartPolicy,
    /// Returns before this shim's time, since a person started it.
    #[serde(default)]
    pub restarts: u32,
    /// A person has stopped it: no run follows.
    #[serde(default)]
    pub is_stopped: bool,
    /// How its health is found out, if it is.
    #[serde(default)]
    pub health: Option<HealthCheck>,
    /// What becomes of it when it is unhealthy.
    #[serde(default)]
    pub on_unhealthy: OnUnhealthy,
    /// What asks it to end; a number.
    pub stop_signal: u32,
    /// How long it may take after that.
    pub stop_seconds: u32,
}

impl Keep {
    /// Whether there is anything to do.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.restart != RestartPolicy::No || self.health.is_some()
    }

    /// Reads a file's text; `None` when it is damaged or of another version.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().filter(|keep: &Self| keep.version == VERSION)
    }
}

/// What a shim has done for its container since it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// [`VERSION`].
    pub version: u32,
    /// Another number after each change.
    pub change: u64,
    /// How many runs have ended.
    pub ended: u64,
    /// How often it was started again, those before this shim's time included.
    pub restarts: u32,
    /// The last of the runs that have ended, oldest first: at most [`MAX_RUNS`].
    pub runs: Vec<Run>,
    /// What it is doing.
    pub now: Now,
    /// Its health, if that is watched.
    #[serde(default)]
    pub health: Option<Health>,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// 1 for the first.
    pub number: u64,
    /// Host pid that its process had; 0 when it could not be started.
    pub pid: u32,
    /// Wall clock, nanoseconds since 1970, as all times here.
    pub started_at_unix_ns: u64,
    /// Likewise.
    pub exited_at_unix_ns: u64,
    /// 0–255; 128 + N when signal N ended it.
    pub code: u32,
    /// As in the exit record.
    pub oom_killed: bool,
    /// Why it could not be started.
    #[serde(default)]
    pub error: String,
    /// Another one follows, unless it is given up.
    pub returns: bool,
}

/// Where a kept container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Now {
    /// It runs, or is about to for the first time.
    Running {
        /// Host pid of its first process.
        pid: u32,
        /// When it was started.
        started_at_unix_ns: u64,
    },
    /// Between two runs.
    Waiting {
        /// When the next one begins.
        until_unix_ns: u64,
    },
    /// No run follows.
    Over,
}

impl Kept {
    /// Of a container whose first run has not ended.
    #[must_use]
    pub fn new(restarts: u32, now: Now) -> Self {
        Self { version: VERSION, change: 1, ended: 0, restarts, runs: Vec::new(), now, health: None }
    }

    /// Reads a file's or a reply's text; `None` when it is damaged or of another version.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().filter(|kept: &Self| kept.version == VERSION)
    }

    /// Whether a run has ever begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.ended > 0 || matches!(self.now, Now::Running { pid: 1.., .. })
    }

    /// A run has ended; another one follows `after` so long, if at all.
    pub fn end(&mut self, run: Run, until_unix_ns: Option<u64>) {
        self.ended = run.number;
        if self.runs.len() >= MAX_RUNS {
            self.runs.remove(0);
        }
        self.runs.push(run);
        self.now = match until_unix_ns {
            Some(until_unix_ns) => {
                self.restarts = self.restarts.saturating_add(1);
                Now::Waiting { until_unix_ns }
            }
            None => Now::Over,
        };
    }
}

/// What a watcher has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRequest {
    /// The [`Kept::change`] that it knows; 0 for none.
    pub seen: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u64) -> Run {
        let (started_at_unix_ns, exited_at_unix_ns) = (number, number + 1);
        let (pid, code, oom_killed, error) = (7, 1, false, String::new());
        Run { number, pid, started_at_unix_ns, exited_at_unix_ns, code, oom_killed, error, returns: true }
    }

    #[test]
    fn the_last_runs_are_kept_and_all_are_counted() {
        let mut kept = Kept::new(2, Now::Over);
        for number in 1..=100 {
            kept.end(run(number), Some(9));
        }
        assert_eq!((kept.ended, kept.restarts, kept.runs.len()), (100, 102, MAX_RUNS));
        assert_eq!((kept.runs[0].number, kept.runs[MAX_RUNS - 1].number), (69, 100));
        assert_eq!(kept.now, Now::Waiting { until_unix_ns: 9 });
        kept.end(run(101), None);
        assert_eq!((kept.restarts, kept.now), (102, Now::Over));
    }

    #[test]
    fn files_of_the_first_version_are_read() {
        let text = br#"{"version":1,"restart":{"onfailure":{"max":3}},"stop_signal":15,"stop_seconds":10}"#;
        let keep = Keep::parse(text).expect("the least that a file has");
        assert_eq!(keep.restart, RestartPolicy::OnFailure { max: 3 });
        assert!(keep.is_needed() && !keep.is_stopped);
        let text = br#"{"version":1,"change":4,"ended":1,"restarts":1,"now":{"waiting":{"until_unix_ns":5}},"runs":[
            {"number":1,"pid":7,"started_at_unix_ns":1,"exited_at_unix_ns":2,"code":3,"oom_killed":false,"returns":true}]}"#;
        let kept = Kept::parse(text).expect("the least that a file has");
        assert_eq!((kept.runs[0].code, kept.now), (3, Now::Waiting { until_unix_ns: 5 }));
        for text in ["", "{}", "null", r#"{"version":2,"restart":"no","stop_signal":15,"stop_seconds":10}"#] {
            assert_eq!(Keep::parse(text.as_bytes()), None, "{text}");
            assert_eq!(Kept::parse(text.as_bytes()), None, "{text}");
        }
    }
}
