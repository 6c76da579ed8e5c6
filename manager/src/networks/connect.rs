//! Connecting a container to one more network, and disconnecting it: at once where it runs, and for the runs to come. Blocks.

use std::path::Path;
use std::sync::PoisonError;

use super::error::NetworkError;
use super::handle::{Inner, elements_of_port};
use super::join::{self, Pair};
use super::list::ordered;
use super::model::{Endpoint, EndpointRequest, HOST, Joiner, NONE, Network};
use super::reserve::new_endpoint;
use super::{check, link, records};

/// A container, and where it has its files of `/etc` when it runs.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) joiner: Joiner,
    pub(crate) etc: Option<std::path::PathBuf>,
}

/// Connects a container.
pub(super) fn connect(inner: &Inner, member: &Member, request: EndpointRequest) -> Result<(), NetworkError> {
    let network = inner.find(&request.network)?;
    if [HOST, NONE].contains(&network.name.as_str()) {
        let problem = "containers are in it from the beginning, or never";
        return Err(NetworkError::Value { what: "network", value: network.name, problem });
    }
    check::endpoint(&request, &network)?;
    let _side_by_side = inner.shape.read().unwrap_or_else(PoisonError::into_inner);
    let pairs = pairs_of(inner, &member.joiner)?;
    if pairs.iter().any(|(other, _)| other.id == network.id) {
        let container = member.joiner.name.clone();
        return Err(NetworkError::Connected { container, network: network.name });
    }
    let endpoint = new_endpoint(&network, &member.joiner.owner, request);
    inner.store.write_blocking("record an endpoint", |tx| records::insert_endpoint(tx, &endpoint))?;
    if let Some(etc) = &member.etc {
        let connected = connect_now(inner, member, (network.clone(), endpoint), etc);
        if let Err(error) = connected {
            let taken_back = take_back(inner, &member.joiner, &network);
            if let Err(error) = taken_back {
                tracing::warn!(error = %crate::error::Chain(&error), "a connection was not taken back");
            }
            return Err(error);
        }
    }
    inner.publish(&network, "connect", Some(member.joiner.owner.as_str()));
    Ok(())
}

fn connect_now(inner: &Inner, member: &Member, pair: Pair, etc: &Path) -> Result<(), NetworkError> {
    let joiner = &member.joiner;
    let (network, mut endpoint) = pair;
    inner.make(&network)?;
    endpoint.names = join::names(joiner, &endpoint);
    join::take_addresses(inner, &network, &mut endpoint)?;
    let mut pairs: Vec<Pair> = pairs_of(inner, joiner)?;
    let index = pairs.iter().position(|(other, _)| other.id == network.id).unwrap_or(0);
    let namespace = inner.namespaces.open(&joiner.owner)?;
    join::connect_one(inner, &mut pairs, index, &namespace)?;
    tell(inner, joiner, &pairs, etc)?;
    lead_ports(inner, joiner, &pairs)
}

/// Brings names and files of a container that runs up to date.
pub(super) fn tell(inner: &Inner, joiner: &Joiner, pairs: &[Pair], etc: &Path) -> Result<(), NetworkError> {
    let namespace = inner.namespaces.open(&joiner.owner)?;
    let resolver = join::set_names(inner, joiner, pairs, &namespace)?;
    write(&etc.join("resolv.conf"), &resolver)?;
    write(&etc.join("hosts"), &join::hosts_file(inner, joiner, pairs)?)
}

/// In place: the container has the file itself mounted.
#[allow(clippy::disallowed_methods, reason = "on a blocking thread")]
fn write(path: &Path, content: &[u8]) -> Result<(), NetworkError> {
    Ok(std::fs::write(path, content).map_err(crate::files::failed("write", path))?)
}

/// Has the container's ports lead to where it is now; those that it had none of are taken.
fn lead_ports(inner: &Inner, joiner: &Joiner, pairs: &[Pair]) -> Result<(), NetworkError> {
    let owner = &joiner.owner;
    let ports = inner.store.read_blocking("read the ports", |tx| records::ports(tx, Some(owner)))?;
    if ports.is_empty() {
        return join::publish(inner, joiner, pairs);
    }
    let (networks, endpoints): (Vec<Network>, Vec<Endpoint>) = pairs.iter().cloned().unzip();
    let elements: Vec<_> =
        ports.iter().flat_map(|(_, port)| elements_of_port(*port, &endpoints, &networks)).collect();
    let kernel = inner.kernel()?;
    kernel.firewall.remove(&elements)?;
    kernel.firewall.add(&elements)
}

/// Disconnects a container.
pub(super) fn disconnect(inner: &Inner, member: &Member, text: &str) -> Result<(), NetworkError> {
    let network = inner.find(text)?;
    let _side_by_side = inner.shape.read().unwrap_or_else(PoisonError::into_inner);
    let pairs = pairs_of(inner, &member.joiner)?;
    if !pairs.iter().any(|(other, _)| other.id == network.id) {
        let container = member.joiner.name.clone();
        return Err(NetworkError::NotConnected { container, network: network.name });
    }
    take_back(inner, &member.joiner, &network)?;
    if let Some(etc) = &member.etc {
        let left = pairs_of(inner, &member.joiner)?;
        tell(inner, &member.joiner, &left, etc)?;
        lead_ports_elsewhere(inner, &member.joiner, &left)?;
    }
    inner.publish(&network, "disconnect", Some(member.joiner.owner.as_str()));
    Ok(())
}

/// Ports go on by another network, or end with the last one.
fn lead_ports_elsewhere(inner: &Inner, joiner: &Joiner, left: &[Pair]) -> Result<(), NetworkError> {
    let owner = &joiner.owner;
    let ports = inner.store.read_blocking("read the ports", |tx| records::ports(tx, Some(owner)))?;
    if ports.is_empty() {
        return Ok(());
    }
    if left.iter().all(|(network, _)| network.spec.is_internal) {
        inner.keeper.release_ports(owner);
        inner.store.write_unsynced_blocking("give ports back", |tx| records::release_ports(tx, owner))?;
        return Ok(());
    }
    let (networks, endpoints): (Vec<Network>, Vec<Endpoint>) = left.iter().cloned().unzip();
    let elements: Vec<_> =
        ports.iter().flat_map(|(_, port)| elements_of_port(*port, &endpoints, &networks)).collect();
    inner.kernel()?.firewall.add(&elements)
}

/// Takes a container out of one network.
fn take_back(inner: &Inner, joiner: &Joiner, network: &Network) -> Result<(), NetworkError> {
    let owner = &joiner.owner;
    let pairs = pairs_of(inner, joiner)?;
    let Some((_, endpoint)) = pairs.iter().find(|(other, _)| other.id == network.id) else { return Ok(()) };
    if endpoint.is_joined() {
        let kernel = inner.kernel()?;
        let (networks, endpoints): (Vec<Network>, Vec<Endpoint>) = pairs.iter().cloned().unzip();
        let ports = inner.store.read_blocking("read the ports", |tx| records::ports(tx, Some(owner)))?;
        let elements: Vec<_> =
            ports.iter().flat_map(|(_, port)| elements_of_port(*port, &endpoints, &networks)).collect();
        kernel.firewall.remove(&elements)?;
        link::disconnect(&kernel.route, &endpoint.interface)?;
    }
    inner
        .store
        .for_removal()
        .write_blocking("forget an endpoint", |tx| records::delete_endpoint(tx, owner, &network.id))?;
    Ok(())
}

/// All places of a container.
pub(super) fn pairs_of(inner: &Inner, joiner: &Joiner) -> Result<Vec<Pair>, NetworkError> {
    let (networks, endpoints) = inner.store.read_blocking("read the container's networks", |tx| {
        Ok((records::networks(tx)?, records::endpoints(tx, Some(&joiner.owner))?))
    })?;
    Ok(ordered(&networks, endpoints))
}

/// Tells others the new name of a container that runs.
pub(super) fn renamed(inner: &Inner, joiner: &Joiner) -> Result<(), NetworkError> {
    let _side_by_side = inner.shape.read().unwrap_or_else(PoisonError::into_inner);
    let mut pairs = pairs_of(inner, joiner)?;
    if !inner.namespaces.is_there(&joiner.owner) {
        return Ok(());
    }
    for (_, endpoint) in &mut pairs {
        endpoint.names = join::names(joiner, endpoint);
        let renamed = endpoint.clone();
        inner
            .store
            .write_unsynced_blocking("record an endpoint", |tx| records::update_endpoint(tx, &renamed))?;
    }
    let namespace = inner.namespaces.open(&joiner.owner)?;
    join::set_names(inner, joiner, &pairs, &namespace).map(drop)
}
