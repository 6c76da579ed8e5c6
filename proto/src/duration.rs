//! Durations as Go and docker write them.

use std::time::Duration;

/// Reads `1h30m`, `1.5s`, `100ms`.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit_end =
            tail.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let seconds = number.parse::<f64>().ok()? * unit;
        total = total.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, milliseconds) in [
            ("1h30m", 5_400_000),
            ("1.5s", 1500),
            ("100ms", 100),
            ("0s", 0),
            ("2000us", 2),
            ("1m0.5s", 60_500),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "5", "1x", "s", "-1s", "1.2.3s", "99999999999999999999h"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
