//! A container's health: how it is found out, what is known of it, and how a probe's result changes that. Pure;
//! docker's rules.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Docker's, as all that follow.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_START_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_RETRIES: u32 = 3;
/// Results that are kept.
pub const MAX_RESULTS: usize = 5;
/// Of one probe's output.
pub const MAX_OUTPUT_BYTES: usize = 4096;
/// The exit code of a probe that did not come to an end, or could not be started.
pub const NO_END: i32 = -1;

/// How health is found out: a command in the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is executed; 0 says healthy.
    pub args: Vec<String>,
    /// Between a probe's end and the next; 0 is the default, as in all that follow.
    #[serde(default)]
    pub interval_ns: u64,
    /// How long one may take.
    #[serde(default)]
    pub timeout_ns: u64,
    /// How long failures do not count after a start.
    #[serde(default)]
    pub start_period_ns: u64,
    /// Between two probes meanwhile.
    #[serde(default)]
    pub start_interval_ns: u64,
    /// So many failures in a row are unhealthy.
    #[serde(default)]
    pub retries: u32,
}

impl HealthCheck {
    /// How long one probe may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        or(self.timeout_ns, DEFAULT_TIMEOUT)
    }

    /// How long to wait for the next probe, `since_start` after the container's.
    #[must_use]
    pub fn pause(&self, status: HealthStatus, since_start: Duration) -> Duration {
        let is_early = since_start < Duration::from_nanos(self.start_period_ns);
        match (is_early, status) {
            (true, HealthStatus::Starting) => or(self.start_interval_ns, DEFAULT_START_INTERVAL),
            _ => or(self.interval_ns, DEFAULT_INTERVAL),
        }
    }

    fn retries(&self) -> u32 {
        if self.retries == 0 { DEFAULT_RETRIES } else { self.retries }
    }
}

fn or(nanoseconds: u64, default: Duration) -> Duration {
    if nanoseconds == 0 { default } else { Duration::from_nanos(nanoseconds) }
}

/// What becomes of a container that is unhealthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnhealthy {
    /// Nothing, as docker has it.
    #[default]
    None,
    /// It is killed; the restart policy says what follows.
    Kill,
    /// It is stopped for good.
    Stop,
    /// It is stopped and started again, whatever the restart policy.
    Restart,
}

impl OnUnhealthy {
    /// Podman's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }

    /// By its name; the empty one is nothing.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "" | "none" => Some(Self::None),
            "kill" => Some(Self::Kill),
            "stop" => Some(Self::Stop),
            "restart" => Some(Self::Restart),
            _ => None,
        }
    }
}

/// A container's health in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No probe has succeeded since the start, and not too many have failed.
    #[default]
    Starting,
    /// The last probe but for some retries succeeded.
    Healthy,
    /// Too many have failed.
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What is known of a container's health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// In one word.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last probes, oldest first: at most [`MAX_RESULTS`].
    pub results: Vec<ProbeResult>,
}

/// What one probe said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// Wall clock, nanoseconds since 1970.
    pub began_unix_ns: u64,
    /// Likewise.
    pub ended_unix_ns: u64,
    /// [`NO_END`] when it has none.
    pub code: i32,
    /// The first [`MAX_OUTPUT_BYTES`] of what it wrote, or why it has no end.
    pub output: String,
}

impl Health {
    /// A run begins: what was known is of the one before. Its results stay.
    pub fn begin(&mut self) {
        (self.status, self.failing_streak) = (HealthStatus::Starting, 0);
    }

    /// Takes a result into account, of a probe that began `since_start` after the run.
    pub fn take(&mut self, check: &HealthCheck, result: ProbeResult, since_start: Duration) {
        let is_healthy = result.code == 0;
        if self.results.len() >= MAX_RESULTS {
            self.results.remove(0);
        }
        self.results.push(result);
        let is_early = since_start < Duration::from_nanos(check.start_period_ns);
        if is_healthy {
            (self.status, self.failing_streak) = (HealthStatus::Healthy, 0);
        } else if !(is_early && self.status == HealthStatus::Starting) {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= check.retries() {
                self.status = HealthStatus::Unhealthy;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_secs(100);

    fn result(code: i32) -> ProbeResult {
        ProbeResult { began_unix_ns: 1, ended_unix_ns: 2, code, output: String::new() }
    }

    fn after(check: &HealthCheck, codes: &[(i32, Duration)]) -> Health {
        let mut health = Health::default();
        for (code, since_start) in codes {
            health.take(check, result(*code), *since_start);
        }
        health
    }

    #[test]
    fn three_failures_in_a_row_are_unhealthy_and_one_success_heals() {
        let check = HealthCheck::default();
        let codes = |codes: &[i32]| codes.iter().map(|code| (*code, LATE)).collect::<Vec<_>>();
        for (results, status, streak) in [
            (&[1, 1][..], HealthStatus::Starting, 2),
            (&[1, 1, NO_END], HealthStatus::Unhealthy, 3),
            (&[0, 1, 1], HealthStatus::Healthy, 2),
            (&[0, 1, 1, 2], HealthStatus::Unhealthy, 3),
            (&[1, 1, 1, 0], HealthStatus::Healthy, 0),
        ] {
            let health = after(&check, &codes(results));
            assert_eq!((health.status, health.failing_streak), (status, streak), "{results:?}");
        }
        assert_eq!(after(&check, &codes(&[1; 9])).results.len(), MAX_RESULTS);
        let once = HealthCheck { retries: 1, ..check };
        assert_eq!(after(&once, &codes(&[1])).status, HealthStatus::Unhealthy);
    }

    #[test]
    fn failures_of_the_start_period_do_not_count_until_one_has_succeeded() {
        let check =
            HealthCheck { start_period_ns: LATE.as_nanos() as u64, retries: 1, ..HealthCheck::default() };
        let early = Duration::from_secs(99);
        assert_eq!(after(&check, &[(1, early), (1, early)]).failing_streak, 0);
        assert_eq!(after(&check, &[(1, early), (1, LATE)]).status, HealthStatus::Unhealthy);
        assert_eq!(after(&check, &[(0, early), (1, early)]).status, HealthStatus::Unhealthy);
        assert_eq!(check.pause(HealthStatus::Starting, early), DEFAULT_START_INTERVAL);
        assert_eq!(check.pause(HealthStatus::Healthy, early), DEFAULT_INTERVAL);
        assert_eq!(check.pause(HealthStatus::Starting, LATE), DEFAULT_INTERVAL);
    }

    #[test]
    fn a_new_run_is_starting_and_keeps_the_results() {
        let mut health = after(&HealthCheck::default(), &[(1, LATE); 3]);
        health.begin();
        assert_eq!(
            (health.status, health.failing_streak, health.results.len()),
            (HealthStatus::Starting, 0, 3)
        );
    }
}
