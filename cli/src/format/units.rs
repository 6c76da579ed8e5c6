//! Sizes, durations and times for people, in docker's words.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// `7.83MB`: powers of 1000, three digits that count.
pub(crate) fn decimal_size(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], 3)
}

/// `1.944GiB`: powers of 1024, four digits that count.
pub(crate) fn binary_size(bytes: u64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], 4)
}

fn scaled(bytes: u64, base: f64, units: &[&str], digits: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= base && unit + 1 < units.len() {
        size /= base;
        unit += 1;
    }
    let mut shown = significant(size, digits);
    // 999.96 of one unit is shown as 1 of the next.
    if shown.parse().is_ok_and(|rounded: f64| rounded >= base) && unit + 1 < units.len() {
        shown = significant(size / base, digits);
        unit += 1;
    }
    format!("{shown}{}", units[unit])
}

/// C's `%.{digits}g` for numbers from 0 to 1024.
fn significant(number: f64, digits: usize) -> String {
    let whole = match number {
        number if number >= 1000.0 => 4,
        number if number >= 100.0 => 3,
        number if number >= 10.0 => 2,
        _ => 1,
    };
    let text = format!("{number:.*}", digits.saturating_sub(whole));
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How long ago `time` was; nothing in the future.
pub(crate) fn since(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(time)).unwrap_or_default()
}

/// The daemon's timestamp; none when it is unset or out of range.
pub(crate) fn timestamp(time: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok())
}

/// As the daemon wants it.
pub(crate) fn to_proto(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// RFC 3339 with all nine digits, so that columns line up, in `zone`.
pub(crate) fn rfc3339_fixed(time: Timestamp, zone: &TimeZone) -> String {
    let zoned = time.to_zoned_datetime(zone.clone());
    let moment = zoned.strftime("%Y-%m-%dT%H:%M:%S.%9f");
    format!("{moment}{}", offset(&zoned))
}

fn offset(zoned: &ZonedDateTime) -> String {
    match zoned.offset().seconds() {
        0 => "Z".to_owned(),
        _ => zoned.strftime("%:z").to_string(),
    }
}

/// `2026-11-23 23:59:06 +0000 UTC`, Go's `Time.String`.
pub(crate) fn go_time(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// At most `limit` columns, the last one `…` when something was cut.
pub(crate) fn ellipsis(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (bytes, decimal, binary) in [
            (0, "0B", "0B"),
            (999, "999B", "999B"),
            (1000, "1kB", "1000B"),
            (1024, "1.02kB", "1KiB"),
            (7_834_000, "7.83MB", "7.471MiB"),
            (141_000_000, "141MB", "134.5MiB"),
            (999_960_000, "1GB", "953.6MiB"),
            (2_087_000_000, "2.09GB", "1.944GiB"),
            (u64::MAX, "18.4EB", "16EiB"),
        ] {
            assert_eq!((decimal_size(bytes).as_str(), binary_size(bytes).as_str()), (decimal, binary));
        }
    }

    #[test]
    fn times_are_gos() {
        let time = Timestamp::new(1_795_478_346, 120_000_000).expect("a time");
        let berlin = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(rfc3339_fixed(time, &TimeZone::UTC), "2026-11-23T23:59:06.120000000Z");
        assert_eq!(rfc3339_fixed(time, &berlin), "2026-11-24T00:59:06.120000000+01:00");
        assert_eq!(go_time(time, &TimeZone::UTC), "2026-11-23 23:59:06 +0000 UTC");
        assert_eq!(timestamp(Some(&to_proto(time))), Some(time));
    }

    #[test]
    fn what_is_cut_is_marked() {
        assert_eq!(ellipsis("abc", 3), "abc");
        assert_eq!(ellipsis("äbcd", 3), "äb…");
    }
}
