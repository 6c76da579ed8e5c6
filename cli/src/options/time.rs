//! `--since` and `--until`: a moment, or how long ago it was.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use knarr_proto::duration;

use super::BadOption;

const EXPECTED: &str =
    "a time such as 2026-01-02T13:23:37Z, 2026-01-02, 1767360217.5, or 1h30m for so long ago";

/// Reads `text` as Go's duration before `now`, seconds since 1970, or RFC 3339, where the zone, the seconds and the time
/// of day may be left out.
pub(crate) fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, BadOption> {
    let bad = || BadOption::form(text, EXPECTED);
    if let Some(ago) = duration::parse(text) {
        return now.checked_sub(ago).map_err(|_| bad());
    }
    if let Some(moment) = unix(text) {
        return Ok(moment);
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let civil = match text.parse::<DateTime>() {
        Ok(civil) => civil,
        Err(_) => text.parse::<Date>().map_err(|_| bad())?.at(0, 0, 0, 0),
    };
    zone.to_timestamp(civil).map_err(|_| bad())
}

/// `1767360217` or `1767360217.123456789`
fn unix(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_understood_as_by_docker() {
        let now = "2026-11-23T12:00:00Z".parse().expect("a time");
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        for (text, expected) in [
            ("10m", "2026-11-23T11:50:00Z"),
            ("1h30m", "2026-11-23T10:30:00Z"),
            ("1.5s", "2026-11-23T11:59:58.5Z"),
            ("0s", "2026-11-23T12:00:00Z"),
            ("1795478346", "2026-11-23T23:59:06Z"),
            ("1795478346.12", "2026-11-23T23:59:06.12Z"),
            ("0", "1970-01-01T00:00:00Z"),
            ("2026-01-02T13:23:37Z", "2026-01-02T13:23:37Z"),
            ("2026-01-02T13:23:37.5+02:00", "2026-01-02T11:23:37.5Z"),
            ("2026-01-02T13:23:37", "2026-01-02T12:23:37Z"),
            ("2026-01-02T13:23", "2026-01-02T12:23:00Z"),
            ("2026-01-02", "2026-01-01T23:00:00Z"),
        ] {
            let expected: Timestamp = expected.parse().expect("a time");
            assert_eq!(parse(text, now, &zone).expect(text), expected, "{text}");
        }
        for text in ["", "yesterday", "1x", "1.2.3", "-", "2026-13-01"] {
            assert!(parse(text, now, &zone).is_err(), "{text}");
        }
    }
}
