//! What there is: networks, and containers' places in them. Blocks.

use std::collections::HashMap;

use super::error::NetworkError;
use super::handle::Inner;
use super::model::{DEFAULT, Endpoint, HOST, NONE, Network, Place, Presence};
use super::records;
use crate::filters::{FilterKeys, Filters, Values};
use crate::held::OwnerId;

/// As docker filters networks.
pub(crate) const FILTER_KEYS: FilterKeys = FilterKeys {
    things: "networks",
    keys: &[
        ("id", Values::Any),
        ("name", Values::Any),
        ("label", Values::Any),
        ("driver", Values::Any),
        ("scope", Values::Any),
        ("type", Values::OneOf(&["custom", "builtin"])),
        ("dangling", Values::OneOf(&["true", "false", "1", "0"])),
    ],
};

/// A network with those who are in it.
pub(crate) type Listed = (Network, Vec<Endpoint>);

pub(super) fn list(inner: &Inner, filters: &Filters) -> Result<Vec<Listed>, NetworkError> {
    let endpoints = all_endpoints(inner)?;
    let with = |network: Network| {
        let own: Vec<Endpoint> =
            endpoints.iter().filter(|endpoint| endpoint.network == network.id).cloned().collect();
        (network, own)
    };
    let all = inner.all()?.into_iter().map(with);
    Ok(all.filter(|(network, own)| matches(network, own, filters)).collect())
}

fn matches(network: &Network, endpoints: &[Endpoint], filters: &Filters) -> bool {
    let is_builtin = [DEFAULT, HOST, NONE].contains(&network.name.as_str());
    filters.all_match(|key, value| match key {
        "id" => network.id.starts_with(value),
        "name" => network.name.contains(value),
        "driver" => network.spec.driver == value,
        "scope" => value == "local",
        "type" => is_builtin == (value == "builtin"),
        "dangling" => (endpoints.is_empty() && !is_builtin) == matches!(value, "true" | "1"),
        "label" => match value.split_once('=') {
            Some((key, value)) => network.spec.labels.get(key).is_some_and(|label| label == value),
            None => network.spec.labels.contains_key(value),
        },
        _ => false,
    })
}

pub(super) fn inspect(inner: &Inner, text: &str) -> Result<Listed, NetworkError> {
    let network = inner.find(text)?;
    let endpoints = all_endpoints(inner)?.into_iter().filter(|endpoint| endpoint.network == network.id);
    let endpoints = endpoints.collect();
    Ok((network, endpoints))
}

fn all_endpoints(inner: &Inner) -> Result<Vec<Endpoint>, NetworkError> {
    Ok(inner.store.read_blocking("read the endpoints", |tx| records::endpoints(tx, None))?)
}

/// What networks know of one container, or of each.
pub(super) fn presences(
    inner: &Inner,
    owner: Option<&OwnerId>,
) -> Result<HashMap<OwnerId, Presence>, NetworkError> {
    let (networks, endpoints, ports) = inner.store.read_blocking("read the endpoints", |tx| {
        Ok((records::networks(tx)?, records::endpoints(tx, owner)?, records::ports(tx, owner)?))
    })?;
    let mut presences: HashMap<OwnerId, Presence> = HashMap::new();
    for (network, endpoint) in ordered(&networks, endpoints) {
        let places = &mut presences.entry(endpoint.owner.clone()).or_default().places;
        places.push(Place { network, endpoint });
    }
    for (owner, port) in ports {
        presences.entry(owner).or_default().ports.push(port);
    }
    Ok(presences)
}

/// Endpoints with their networks, in the order in which they are interfaces: the way out first.
pub(super) fn ordered(networks: &[Network], endpoints: Vec<Endpoint>) -> Vec<(Network, Endpoint)> {
    let with = |endpoint: Endpoint| {
        let network = networks.iter().find(|network| network.id == endpoint.network)?;
        Some((network.clone(), endpoint))
    };
    let mut pairs: Vec<(Network, Endpoint)> = endpoints.into_iter().filter_map(with).collect();
    pairs.sort_by(|(one_network, one), (other_network, other)| {
        let priority = other.request.gateway_priority.cmp(&one.request.gateway_priority);
        priority.then_with(|| one_network.name.cmp(&other_network.name))
    });
    pairs
}
