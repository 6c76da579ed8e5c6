//! Times as RFC 3339 in UTC. Knows no other zone and no leap seconds, as Unix time does not.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Now, with nanoseconds, without trailing zeros: Go's RFC3339Nano.
#[must_use]
pub(crate) fn now_nanos() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(since.as_secs(), Some(since.subsec_nanos()))
}

/// Now, in whole seconds.
#[must_use]
pub(crate) fn now_seconds() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(since.as_secs(), None)
}

fn rfc3339(seconds: u64, nanos: Option<u32>) -> String {
    let (year, month, day) = date(seconds / DAY);
    let (hour, minute, second) = (seconds % DAY / 3600, seconds % 3600 / 60, seconds % 60);
    let fraction = match nanos {
        None | Some(0) => String::new(),
        Some(nanos) => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Year, month and day of a count of days since 1970-01-01. The years are counted from March, so that the leap day
/// is the last of its year (H. Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_date_1() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_478_400, "2026-11-24T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds, None), text);
        }
    }

    #[test]
    fn a_fraction_has_no_trailing_zeros() {
        assert_eq!(rfc3339(0, Some(120_000_000)), "1970-01-01T00:00:00.12Z");
        assert_eq!(rfc3339(0, Some(1)), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(rfc3339(0, Some(0)), "1970-01-01T00:00:00Z");
    }
}
