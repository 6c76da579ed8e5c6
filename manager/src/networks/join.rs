//! A container's way into its networks, before its task starts: addresses taken, a namespace made and connected, names told,
//! ports opened last. What fails on the way is let go by `Held`. Blocks.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::PoisonError;

use rusqlite::Transaction;

use super::addresses::Family;
use super::error::NetworkError;
use super::etc::{HostLine, ResolverFile, hosts};
use super::handle::{Inner, elements_of_port};
use super::link::{self, Inside};
use super::list::ordered;
use super::model::{Endpoint, Joined, Joiner, Network};
use super::ports::{self, HeldPort};
use super::records;

/// Where the host's names are asked for, and where that is when the first says only a server of the host itself.
const HOST_RESOLVERS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// A place of a container, with all that is known of it.
pub(super) type Pair = (Network, Endpoint);

/// Brings a container into its networks.
pub(super) fn join(inner: &Inner, joiner: &Joiner) -> Result<Joined, NetworkError> {
    let _side_by_side = inner.shape.read().unwrap_or_else(PoisonError::into_inner);
    let (networks, endpoints) = inner.store.read_blocking("read the container's networks", |tx| {
        Ok((records::networks(tx)?, records::endpoints(tx, Some(&joiner.owner))?))
    })?;
    let mut pairs = ordered(&networks, endpoints);
    for (network, _) in &pairs {
        inner.make(network)?;
    }
    for (network, endpoint) in &mut pairs {
        endpoint.names = names(joiner, endpoint);
        take_addresses(inner, network, endpoint)?;
    }
    let namespace = inner.namespaces.make(&joiner.owner)?;
    for index in 0..pairs.len() {
        connect_one(inner, &mut pairs, index, &namespace)?;
    }
    let resolver = set_names(inner, joiner, &pairs, &namespace)?;
    publish(inner, joiner, &pairs)?;
    for (network, endpoint) in &pairs {
        inner.publish(network, "connect", Some(endpoint.owner.as_str()));
    }
    let hosts = hosts_file(inner, joiner, &pairs)?;
    Ok(Joined { namespace: inner.namespaces.path(&joiner.owner), hosts, resolver })
}

/// What a container is called in a network: its name, its short id, what it asked for, its hostname.
pub(super) fn names(joiner: &Joiner, endpoint: &Endpoint) -> Vec<String> {
    let short = joiner.owner.as_str().chars().take(12).collect::<String>();
    let all = [joiner.name.clone(), short].into_iter().chain(endpoint.request.aliases.iter().cloned());
    let mut names: Vec<String> = Vec::new();
    for name in all.chain([joiner.hostname.clone()]) {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Takes an address of each family that the network has: the one that was asked for, the last one, or the first free one.
pub(super) fn take_addresses(
    inner: &Inner,
    network: &Network,
    endpoint: &mut Endpoint,
) -> Result<(), NetworkError> {
    let wanted = endpoint.clone();
    let taken = inner.store.write_unsynced_blocking("take an address", move |tx| {
        let mut with = wanted.clone();
        for pool in &network.pools {
            match take_address(tx, network, &with, pool.subnet.family())? {
                Ok(IpAddr::V4(address)) => with.ipv4 = Some(address),
                Ok(IpAddr::V6(address)) => with.ipv6 = Some(address),
                Err(error) => return Ok(Err(error)),
            }
        }
        records::update_endpoint(tx, &with)?;
        Ok(Ok(with))
    })?;
    *endpoint = taken?;
    Ok(())
}

fn take_address(
    tx: &Transaction<'_>,
    network: &Network,
    endpoint: &Endpoint,
    family: Family,
) -> Result<Result<IpAddr, NetworkError>, rusqlite::Error> {
    let Some(pool) = network.pool(family) else {
        return Ok(Err(NetworkError::NoFamily { name: network.name.clone(), family }));
    };
    let given = records::given_addresses(tx, &network.id)?;
    let own = |address: &IpAddr| given.get(address).is_some_and(|owner| owner == endpoint.owner.as_str());
    if let Some(address) = given.keys().find(|address| Family::of(**address) == family && own(address)) {
        return Ok(Ok(*address));
    }
    let asked = match family {
        Family::V4 => &endpoint.request.ipv4,
        Family::V6 => &endpoint.request.ipv6,
    };
    let mut taken: BTreeSet<IpAddr> = given.keys().copied().collect();
    taken.insert(pool.gateway);
    taken.extend(pool.reserved.values());
    let address = match asked.parse::<IpAddr>() {
        Ok(address) => match given.get(&address) {
            Some(holder) => {
                let holder = format!("container {}", holder.get(..12).unwrap_or(holder));
                return Ok(Err(NetworkError::AddressTaken { address, holder }));
            }
            None => address,
        },
        Err(_) => {
            let last = records::last_addresses(tx, endpoint)?.into_iter();
            let mut last =
                last.filter(|address| pool.subnet.is_for_hosts(*address) && !taken.contains(address));
            match last.next().or_else(|| pool.subnet.first_free(pool.range, &taken)) {
                Some(address) => address,
                None => return Ok(Err(NetworkError::Full { name: network.name.clone(), family })),
            }
        }
    };
    records::insert_address(tx, &network.id, address, &endpoint.owner)?;
    Ok(Ok(address))
}

/// Connects the namespace to one of the container's networks, as the next interface.
pub(super) fn connect_one(
    inner: &Inner,
    pairs: &mut [Pair],
    index: usize,
    namespace: &OwnedFd,
) -> Result<(), NetworkError> {
    let number = pairs.iter().filter(|(_, endpoint)| endpoint.is_joined()).count();
    let gateways = gateways(pairs, index);
    let (network, endpoint) = &mut pairs[index];
    let kernel = inner.make(network)?;
    let interface = Inside { name: format!("{}{number}", network.bridge_options().prefix), gateways };
    endpoint.interface = link::connect(&kernel.route, network, endpoint, &interface, namespace)?;
    let joined = endpoint.clone();
    inner.store.write_unsynced_blocking("record an endpoint", |tx| records::update_endpoint(tx, &joined))?;
    Ok(())
}

/// The gateways that are this endpoint's to be the way out by: of each family that none of the others has a way out for.
fn gateways(pairs: &[Pair], index: usize) -> Vec<IpAddr> {
    let way_out = |network: &Network, family: Family| {
        network.pool(family).filter(|_| !network.spec.is_internal).map(|pool| pool.gateway)
    };
    let has_one = |family: Family| {
        let joined = pairs.iter().filter(|(_, endpoint)| endpoint.is_joined());
        joined.into_iter().any(|(network, _)| way_out(network, family).is_some())
    };
    let families = [Family::V4, Family::V6].into_iter().filter(|family| !has_one(*family));
    families.filter_map(|family| way_out(&pairs[index].0, family)).collect()
}

/// Takes the host's ports, and has them lead to the container.
pub(super) fn publish(inner: &Inner, joiner: &Joiner, pairs: &[Pair]) -> Result<(), NetworkError> {
    let default = pairs.iter().find_map(|(network, _)| network.bridge_options().host_binding);
    let wanted = ports::wanted(&joiner.networking, default)?;
    let has_way_in = pairs.iter().any(|(network, _)| !network.spec.is_internal);
    if wanted.is_empty() || !has_way_in {
        return Ok(());
    }
    let held = take_ports(inner, joiner, &wanted)?;
    let (networks, endpoints): (Vec<Network>, Vec<Endpoint>) = pairs.iter().cloned().unzip();
    let elements: Vec<_> =
        held.iter().flat_map(|held| elements_of_port(held.port, &endpoints, &networks)).collect();
    let target = endpoints.iter().find_map(|endpoint| endpoint.addresses().next());
    inner.keeper.hold_ports(&joiner.owner, &held, target)?;
    inner.kernel()?.firewall.add(&elements)
}

fn take_ports(
    inner: &Inner,
    joiner: &Joiner,
    wanted: &[ports::Wanted],
) -> Result<Vec<HeldPort>, NetworkError> {
    let _one_after_the_other = inner.ports.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all = Vec::new();
    for wanted in wanted {
        let holder =
            |port| Ok(inner.store.read_blocking("look for a port", |tx| records::port_holder(tx, port))?);
        let held = ports::take(wanted, holder)?;
        let (owner, taken): (_, Vec<_>) = (&joiner.owner, held.iter().map(|held| held.port).collect());
        inner.store.write_unsynced_blocking("take a port", |tx| {
            taken.iter().try_for_each(|port| records::insert_port(tx, owner, *port))
        })?;
        all.extend(held);
    }
    Ok(all)
}

/// Tells the container's names to others, and others' to it. Returns its resolv.conf.
pub(super) fn set_names(
    inner: &Inner,
    joiner: &Joiner,
    pairs: &[Pair],
    namespace: &OwnedFd,
) -> Result<Vec<u8>, NetworkError> {
    let file = host_resolver().with(&joiner.networking);
    let has_names = pairs.iter().any(|(network, _)| !network.is_default());
    inner.keeper.answer(joiner, pairs, &file.servers, namespace)?;
    Ok(if has_names || !file.is_reachable() { file.text_of_resolver() } else { file.text() })
}

/// The servers that the host asks.
#[allow(clippy::disallowed_methods, reason = "on a blocking thread")]
fn host_resolver() -> ResolverFile {
    let read = |path| ResolverFile::parse(&std::fs::read_to_string(path).unwrap_or_default());
    let [first, second] = HOST_RESOLVERS.map(read);
    // The host's own stub knows no more than the servers behind it, which a container can reach itself.
    if first.is_reachable() || !second.is_reachable() { first } else { second }
}

/// The hosts file of a container in these networks.
pub(super) fn hosts_file(inner: &Inner, joiner: &Joiner, pairs: &[Pair]) -> Result<Vec<u8>, NetworkError> {
    let mut lines = Vec::new();
    for (network, endpoint) in pairs {
        lines.extend(linked(inner, network, endpoint)?);
    }
    let mut own = vec![joiner.hostname.clone()];
    own.extend(joiner.hostname.split_once('.').map(|(host, _)| host.to_owned()));
    for (_, endpoint) in pairs {
        lines.extend(endpoint.addresses().map(|address| HostLine { address, names: own.clone() }));
    }
    let gateway = pairs.iter().find_map(|(network, _)| network.pool(Family::V4)).map(|pool| pool.gateway);
    let has_ipv6 = pairs.iter().any(|(_, endpoint)| endpoint.ipv6.is_some());
    Ok(hosts(&joiner.networking, gateway, &lines, has_ipv6))
}

/// The containers that an endpoint is linked to, as they are now.
fn linked(inner: &Inner, network: &Network, endpoint: &Endpoint) -> Result<Vec<HostLine>, NetworkError> {
    if endpoint.request.links.is_empty() {
        return Ok(Vec::new());
    }
    let all = inner.store.read_blocking("read the endpoints", |tx| records::endpoints(tx, None))?;
    let mut lines = Vec::new();
    for link in &endpoint.request.links {
        let (container, alias) = link.split_once(':').unwrap_or((link, link));
        let container = container.trim_start_matches('/');
        let is_it = |other: &&Endpoint| {
            other.network == network.id
                && (other.owner.as_str().starts_with(container)
                    || other.names.iter().any(|name| name == container))
        };
        let Some(other) = all.iter().find(is_it) else { continue };
        let alias = alias.rsplit('/').next().unwrap_or(alias).to_owned();
        let others = other.names.iter().take(2).filter(|name| **name != alias).cloned();
        let names: Vec<String> = [alias.clone()].into_iter().chain(others).collect();
        lines.extend(other.addresses().map(|address| HostLine { address, names: names.clone() }));
    }
    Ok(lines)
}
