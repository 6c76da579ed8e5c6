//! Words that several of docker's objects have: states, networks, and maps in an order.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use crate::v1::{ContainerConfig, ContainerState};

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

/// The word for a container's network.
#[must_use]
pub fn network_name(config: &ContainerConfig) -> &str {
    match config.network.as_str() {
        "" => "bridge",
        name => name,
    }
}

/// A map in the order of its keys: what is printed twice is the same twice.
pub(super) fn sorted(map: &HashMap<String, String>) -> Value {
    let ordered: BTreeMap<&String, &String> = map.iter().collect();
    let pairs = ordered.into_iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    Value::Object(pairs.collect::<Map<_, _>>())
}
