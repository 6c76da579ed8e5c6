//! Restart policies: whether a run that has ended is followed by another, and when. Pure; docker's rules and times.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Between an end and the first return.
pub const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The pause is doubled with each return, up to here.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After a run of so long the pause is the first again.
pub const LONG_RUN: Duration = Duration::from_secs(10);

/// When a container is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// After an exit code other than 0.
    OnFailure {
        /// So often at most; 0 is without a bound.
        max: u32,
    },
    /// Always, and after a reboot even when a person had stopped it.
    Always,
    /// Always, but for one that a person has stopped.
    UnlessStopped,
}

/// A run that has ended, as far as policies look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// 0–255.
    pub code: u32,
    /// How long it ran.
    pub ran_for: Duration,
    /// Returns so far.
    pub restarts: u32,
    /// The pause before this run; zero for the first.
    pub last_pause: Duration,
    /// A person has stopped it.
    pub is_stopped: bool,
}

impl RestartPolicy {
    /// How long after its end another run follows; `None` when none does.
    #[must_use]
    pub fn pause_after(self, ending: Ending) -> Option<Duration> {
        let returns = match self {
            _ if ending.is_stopped => false,
            Self::No => false,
            Self::OnFailure { max } => ending.code != 0 && (max == 0 || ending.restarts < max),
            Self::Always | Self::UnlessStopped => true,
        };
        returns.then(|| next_pause(ending.last_pause, ending.ran_for))
    }

    /// Whether it is started when the machine has come up again: `was_up` when the machine went down, `has_run` ever.
    #[must_use]
    pub fn is_for_boot(self, was_up: bool, has_run: bool, is_stopped: bool, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::Always => has_run,
            Self::UnlessStopped => was_up && !is_stopped,
            Self::OnFailure { max } => was_up && !is_stopped && (max == 0 || restarts < max),
        }
    }

    /// Docker's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure { .. } => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// How often it returns at most; 0 for the policies that have no bound.
    #[must_use]
    pub fn max_retries(self) -> u32 {
        match self {
            Self::OnFailure { max } => max,
            _ => 0,
        }
    }
}

/// The pause after the one before; a long run begins anew.
#[must_use]
pub fn next_pause(last_pause: Duration, ran_for: Duration) -> Duration {
    if ran_for >= LONG_RUN || last_pause.is_zero() {
        return FIRST_PAUSE;
    }
    (last_pause * 2).min(LONGEST_PAUSE)
}

/// No restart policy; docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// Of another name.
    #[error(
        "invalid restart policy: unknown policy '{0}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
    )]
    Unknown(String),
    /// A number where only on-failure has one.
    #[error("invalid restart policy: maximum retry count can only be used with 'on-failure'")]
    Count,
    /// Below 0.
    #[error("invalid restart policy: maximum retry count cannot be negative")]
    Negative,
    /// Nothing before the colon.
    #[error("invalid restart policy format: no policy provided before colon")]
    NoName,
    /// No number behind it.
    #[error("invalid restart policy format: maximum retry count must be an integer")]
    NotANumber,
}

/// A policy by its name and its bound; the empty name is none.
///
/// # Errors
/// [`InvalidPolicy`].
pub fn policy(name: &str, max_retries: i64) -> Result<RestartPolicy, InvalidPolicy> {
    let max = u32::try_from(max_retries).map_err(|_| InvalidPolicy::Negative);
    match (name, max_retries) {
        ("on-failure", _) => Ok(RestartPolicy::OnFailure { max: max? }),
        ("" | "no" | "always" | "unless-stopped", 1..) => Err(InvalidPolicy::Count),
        ("" | "no" | "always" | "unless-stopped", ..0) => Err(InvalidPolicy::Negative),
        ("" | "no", 0) => Ok(RestartPolicy::No),
        ("always", 0) => Ok(RestartPolicy::Always),
        ("unless-stopped", 0) => Ok(RestartPolicy::UnlessStopped),
        _ => Err(InvalidPolicy::Unknown(name.chars().take(64).collect())),
    }
}

impl FromStr for RestartPolicy {
    type Err = InvalidPolicy;

    /// As `--restart` has it: `on-failure:3`.
    fn from_str(text: &str) -> Result<Self, InvalidPolicy> {
        match text.split_once(':') {
            None => policy(text, 0),
            Some(("", _)) => Err(InvalidPolicy::NoName),
            Some((name, count)) => policy(name, count.parse().map_err(|_| InvalidPolicy::NotANumber)?),
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnFailure { max } if *max > 0 => write!(f, "on-failure:{max}"),
            policy => f.write_str(policy.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(1);

    fn ending(code: u32, restarts: u32) -> Ending {
        Ending { code, ran_for: SHORT, restarts, last_pause: Duration::ZERO, is_stopped: false }
    }

    #[test]
    fn policies_return_as_dockers_do() {
        use RestartPolicy as P;
        for (policy, code, restarts, returns) in [
            (P::No, 1, 0, false),
            (P::OnFailure { max: 0 }, 1, 1000, true),
            (P::OnFailure { max: 0 }, 0, 0, false),
            (P::OnFailure { max: 2 }, 1, 1, true),
            (P::OnFailure { max: 2 }, 1, 2, false),
            (P::Always, 0, 1000, true),
            (P::UnlessStopped, 0, 1000, true),
        ] {
            let pause = policy.pause_after(ending(code, restarts));
            assert_eq!(pause, returns.then_some(FIRST_PAUSE), "{policy} {code} {restarts}");
            assert_eq!(policy.pause_after(Ending { is_stopped: true, ..ending(code, 0) }), None, "{policy}");
        }
    }

    #[test]
    fn the_pause_is_doubled_to_a_minute_and_begins_anew_after_a_long_run() {
        let mut pause = Duration::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            pause = next_pause(pause, SHORT);
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert_eq!(next_pause(LONGEST_PAUSE, LONG_RUN), FIRST_PAUSE);
        assert_eq!(next_pause(FIRST_PAUSE, Duration::from_millis(9999)), FIRST_PAUSE * 2);
    }

    #[test]
    fn a_reboot_brings_back_what_was_up_and_always_what_has_run() {
        use RestartPolicy as P;
        for (policy, was_up, has_run, is_stopped, restarts, expected) in [
            (P::No, true, true, false, 0, false),
            (P::Always, false, true, true, 0, true),
            (P::Always, false, false, false, 0, false),
            (P::UnlessStopped, true, true, false, 9, true),
            (P::UnlessStopped, false, true, true, 0, false),
            (P::UnlessStopped, true, true, true, 0, false),
            (P::OnFailure { max: 3 }, true, true, false, 2, true),
            (P::OnFailure { max: 3 }, true, true, false, 3, false),
            (P::OnFailure { max: 0 }, false, true, false, 0, false),
        ] {
            assert_eq!(
                policy.is_for_boot(was_up, has_run, is_stopped, restarts),
                expected,
                "{policy} {was_up}"
            );
        }
    }

    #[test]
    fn texts_are_understood_and_refused_as_docker_does() {
        for text in ["no", "always", "unless-stopped", "on-failure", "on-failure:5"] {
            assert_eq!(text.parse::<RestartPolicy>().expect(text).to_string(), text);
        }
        for (text, error) in [
            ("sometimes", InvalidPolicy::Unknown("sometimes".into())),
            ("Always", InvalidPolicy::Unknown("Always".into())),
            ("always:3", InvalidPolicy::Count),
            ("no:1", InvalidPolicy::Count),
            ("on-failure:-1", InvalidPolicy::Negative),
            ("on-failure:99999999999", InvalidPolicy::Negative),
            ("always:-1", InvalidPolicy::Negative),
            (":3", InvalidPolicy::NoName),
            ("on-failure:x", InvalidPolicy::NotANumber),
            ("on-failure:", InvalidPolicy::NotANumber),
            ("on-failure:1:2", InvalidPolicy::NotANumber),
        ] {
            assert_eq!(text.parse::<RestartPolicy>(), Err(error), "{text}");
        }
        assert_eq!("".parse::<RestartPolicy>(), Ok(RestartPolicy::No));
    }
}
