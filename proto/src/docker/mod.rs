//! Docker's JSON, from the API's messages: what `docker inspect` prints and its REST API answers. Pure; the one place that
//! knows docker's keys and words.

mod container;
mod image;
pub mod reference;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use crate::v1::ContainerState;

pub use container::container;
pub use image::image;

/// The word for a state.
#[must_use]
pub fn state_name(state: ContainerState) -> &'static str {
    match state {
        ContainerState::Unspecified => "unknown",
        ContainerState::Created => "created",
        ContainerState::Running => "running",
        ContainerState::Paused => "paused",
        ContainerState::Restarting => "restarting",
        ContainerState::Exited => "exited",
        ContainerState::Removing => "removing",
    }
}

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

/// A map in the order of its keys: what is printed twice is the same twice.
fn sorted(map: &HashMap<String, String>) -> Value {
    let ordered: BTreeMap<&String, &String> = map.iter().collect();
    let pairs = ordered.into_iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    Value::Object(pairs.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    #[test]
    fn times_are_gos() {
        for (seconds, nanos, text) in [
            (1_795_478_346, 120_000_000, "2026-11-23T23:59:06.12Z"),
            (1_795_478_346, 1, "2026-11-23T23:59:06.000000001Z"),
            (1_795_478_346, 0, "2026-11-23T23:59:06Z"),
            (1_795_478_340, 0, "2026-11-23T23:59:00Z"),
            (0, 0, "1970-01-01T00:00:00Z"),
            (i64::MAX, 0, "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(Some(&Timestamp { seconds, nanos })), text);
        }
        assert_eq!(rfc3339(None), "0001-01-01T00:00:00Z");
    }
}
