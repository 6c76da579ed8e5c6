//! What docker's lists say of a container's life and command: `Up 3 minutes`, `Exited (0) About an hour ago`.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

use crate::v1::{ContainerState, ExitStatus, HealthStatus};

/// A container's life, as far as lists tell it.
#[derive(Clone, Copy, Debug)]
pub struct Lived<'a> {
    /// Where it is.
    pub state: ContainerState,
    /// Its last start.
    pub started_at: Option<&'a Timestamp>,
    /// Its last end.
    pub exit: Option<&'a ExitStatus>,
    /// As long as it runs.
    pub health: HealthStatus,
}

impl Lived<'_> {
    /// Docker's words for it.
    #[must_use]
    pub fn status(&self, now: SystemTime) -> String {
        let up = || self.started_at.map(|time| human_duration(since(time, now))).unwrap_or_default();
        match self.state {
            ContainerState::Unspecified => "Unknown".to_owned(),
            ContainerState::Created => "Created".to_owned(),
            ContainerState::Running => match self.health {
                HealthStatus::None => format!("Up {}", up()),
                HealthStatus::Starting => format!("Up {} (health: starting)", up()),
                HealthStatus::Healthy => format!("Up {} (healthy)", up()),
                HealthStatus::Unhealthy => format!("Up {} (unhealthy)", up()),
            },
            ContainerState::Paused => format!("Up {} (Paused)", up()),
            ContainerState::Removing => "Removal In Progress".to_owned(),
            ContainerState::Exited => self.ended("Exited", now),
            ContainerState::Restarting => self.ended("Restarting", now),
        }
    }

    fn ended(&self, word: &str, now: SystemTime) -> String {
        let code = self.exit.map_or(0, |exit| exit.code);
        match self.exit.and_then(|exit| exit.finished_at.as_ref()) {
            Some(time) => format!("{word} ({code}) {} ago", human_duration(since(time, now))),
            None => format!("{word} ({code})"),
        }
    }
}

/// How long ago a time was; nothing in the future.
fn since(time: &Timestamp, now: SystemTime) -> Duration {
    SystemTime::try_from(*time).ok().and_then(|time| now.duration_since(time).ok()).unwrap_or_default()
}

/// `About a minute`, `3 weeks`.
#[must_use]
pub fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    let days = hours / 24;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{days} days"),
        () if hours < 24 * 30 * 2 => format!("{} weeks", days / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", days / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// A command as one line; arguments with a space are quoted, as docker does.
#[must_use]
pub fn command_line(args: &[String]) -> String {
    let mut words = args.iter();
    let mut line = words.next().cloned().unwrap_or_default();
    for word in words {
        line.push(' ');
        if word.contains(' ') {
            line.push_str(&format!("'{word}'"));
        } else {
            line.push_str(word);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_dockers() {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        for (seconds, expected) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (59 * 60, "59 minutes"),
            (HOUR, "About an hour"),
            (HOUR + 1800, "2 hours"),
            (47 * HOUR, "47 hours"),
            (2 * DAY, "2 days"),
            (13 * DAY, "13 days"),
            (14 * DAY, "2 weeks"),
            (59 * DAY, "8 weeks"),
            (60 * DAY, "2 months"),
            (729 * DAY, "24 months"),
            (730 * DAY, "2 years"),
        ] {
            assert_eq!(human_duration(Duration::from_secs(seconds)), expected, "{seconds}");
        }
    }

    #[test]
    fn a_life_is_told_by_its_state() {
        let time = |seconds| Timestamp { seconds, nanos: 0 };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let exit = ExitStatus { code: 3, finished_at: Some(time(940)), ..ExitStatus::default() };
        let started = time(400);
        let lived = |state, health| {
            Lived { state, started_at: Some(&started), exit: Some(&exit), health }.status(now)
        };
        for (state, text) in [
            (ContainerState::Created, "Created"),
            (ContainerState::Running, "Up 10 minutes"),
            (ContainerState::Paused, "Up 10 minutes (Paused)"),
            (ContainerState::Exited, "Exited (3) About a minute ago"),
            (ContainerState::Removing, "Removal In Progress"),
        ] {
            assert_eq!(lived(state, HealthStatus::None), text);
        }
        for (health, text) in [
            (HealthStatus::Starting, "Up 10 minutes (health: starting)"),
            (HealthStatus::Healthy, "Up 10 minutes (healthy)"),
            (HealthStatus::Unhealthy, "Up 10 minutes (unhealthy)"),
        ] {
            assert_eq!(lived(ContainerState::Running, health), text);
        }
        assert_eq!(lived(ContainerState::Paused, HealthStatus::Healthy), "Up 10 minutes (Paused)");
    }
}
