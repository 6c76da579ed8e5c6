//! Times as docker's clients write them: seconds since 1970, perhaps with a fraction. Pure.

use prost_types::Timestamp;

use super::failures::Refusal;
use crate::time::seconds;

/// The time that a parameter names; none for nothing and for 0.
///
/// # Errors
/// [`Refusal`] for what is no time.
pub(super) fn parse(name: &str, text: &str) -> Result<Option<Timestamp>, Refusal> {
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let time = seconds(text).or_else(|| text.parse().ok());
    let wrong = || {
        Refusal::bad(format!("invalid value {text:?} for {name}: it must be a time in seconds since 1970"))
    };
    time.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions_or_names() {
        for (text, expected) in [
            ("", None),
            ("0", None),
            ("1136073600", Some((1_136_073_600, 0))),
            ("1136073600.000000001", Some((1_136_073_600, 1))),
            ("5.5", Some((5, 500_000_000))),
            ("2006-01-01T00:00:00Z", Some((1_136_073_600, 0))),
        ] {
            let time = parse("since", text).expect(text);
            assert_eq!(time.map(|time| (time.seconds, time.nanos)), expected, "{text}");
        }
        for text in ["x", "5.", "5.x", "1.0000000001", "10m", "99999999999999999999"] {
            assert_eq!(parse("since", text).is_err(), text != "5.", "{text}");
        }
    }
}
