//! Times as Go prints them in JSON.

/// RFC 3339 in UTC without the zeros at the end, as Go prints times in JSON; Go's zero time when unset or out of range.
#[must_use]
pub fn rfc3339(time: Option<&prost_types::Timestamp>) -> String {
    // The years 1 to 9999, as Go.
    let in_range =
        |time: &&prost_types::Timestamp| (-62_135_596_800..253_402_300_800).contains(&time.seconds);
    let Some(time) = time.filter(in_range) else { return "0001-01-01T00:00:00Z".to_owned() };
    let text = time.to_string();
    let text = text.trim_end_matches('Z');
    match text.split_once('.') {
        Some((seconds, fraction)) => match fraction.trim_end_matches('0') {
            "" => format!("{seconds}Z"),
            fraction => format!("{seconds}.{fraction}Z"),
        },
        None => format!("{text}Z"),
    }
}

/// The same in whole seconds.
pub(super) fn rfc3339_seconds(time: Option<&prost_types::Timestamp>) -> String {
    rfc3339(time.map(|time| prost_types::Timestamp { nanos: 0, ..*time }).as_ref())
}
