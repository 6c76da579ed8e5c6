//! Moments, in the one unit that records and events have: nanoseconds since 1970.

use std::time::{Duration, SystemTime};

use knarr_proto::duration;
use prost_types::Timestamp;
use serde::{Deserialize, Serialize};

/// A moment, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct UnixNs(pub(crate) u64);

impl UnixNs {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn to_system_time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.0)
    }
}

/// Reads a moment as docker's filters write it: how long before `now` (`1h30m`), seconds since 1970, perhaps with a
/// fraction, or RFC 3339. Returns none for anything else.
pub(crate) fn moment(text: &str, now: SystemTime) -> Option<SystemTime> {
    if let Some(ago) = duration::parse(text) {
        return now.checked_sub(ago);
    }
    let time = seconds(text).or_else(|| text.parse().ok())?;
    time.try_into().ok()
}

/// Reads seconds since 1970, perhaps with a fraction.
pub(crate) fn seconds(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = fraction.len() <= 9 && fraction.bytes().all(|digit| digit.is_ascii_digit());
    if !is_digits {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    Some(Timestamp { seconds: seconds.parse().ok()?, nanos })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_or_so_long_ago() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100_000);
        for (text, seconds) in [
            ("1h30m", Some(94_600)),
            ("90000", Some(90_000)),
            ("90000.0", Some(90_000)),
            ("1970-01-02T00:00:00Z", Some(86_400)),
            ("", None),
            ("yesterday", None),
            ("99999h", None),
        ] {
            let moment = moment(text, now).map(|moment| moment.duration_since(SystemTime::UNIX_EPOCH));
            let moment = moment.transpose().ok().flatten().map(|since| since.as_secs());
            assert_eq!(moment, seconds, "{text}");
        }
    }
}
