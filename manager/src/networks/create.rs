//! Making a network: its addresses chosen and recorded in one transaction, then its bridge and its rules. Blocks.

use std::collections::BTreeMap;

use super::addresses::{Family, Subnet, free_subnet, free_subnet_v6};
use super::error::NetworkError;
use super::handle::Inner;
use super::model::{DEFAULT, NONE, Network, NetworkRequest, NetworkSpec, Pool, PoolRequest};
use super::netlink::Netlink;
use super::options::BridgeOptions;
use super::{check, link, records};
use crate::random;
use crate::time::UnixNs;

/// Makes a network and returns it.
pub(super) fn create(inner: &Inner, request: NetworkRequest) -> Result<Network, NetworkError> {
    check::name(&request.name)?;
    match request.driver.as_str() {
        "" | "bridge" => {}
        driver => return Err(NetworkError::Driver(driver.chars().take(40).collect())),
    }
    let options = BridgeOptions::read(&request.options)?;
    let pools = asked_pools(&request)?;
    let id = random::hex();
    let bridge = match options.name.as_str() {
        "" => format!("br-{}", &id[..12]),
        name => name.to_owned(),
    };
    let spec = NetworkSpec {
        driver: "bridge".to_owned(),
        created_at: UnixNs::now(),
        labels: request.labels,
        options: request.options,
        is_internal: request.is_internal,
        is_attachable: request.is_attachable,
        has_ipv6: request.has_ipv6 || pools.iter().any(|pool| pool.subnet.family() == Family::V6),
        bridge,
    };
    let network = Network { id, name: request.name, spec, pools };
    let _alone = inner.shape.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let kernel = inner.kernel()?;
    let network = record(inner, &kernel.route, &network)?;
    if let Err(error) = inner.make(&network) {
        inner.unmake(&network.id);
        // What was made of it; the first error is the one that is told.
        drop(link::remove_bridge(&kernel.route, &network));
        drop(kernel.firewall.remove(&super::firewall::network_elements(&network)));
        let id = network.id.clone();
        inner
            .store
            .for_removal()
            .write_unsynced_blocking("forget a network", |tx| records::delete_network(tx, &id))?;
        return Err(error);
    }
    inner.publish(&network, "create", None);
    Ok(network)
}

fn asked_pools(request: &NetworkRequest) -> Result<Vec<Pool>, NetworkError> {
    let mut pools: Vec<Pool> = Vec::new();
    for asked in &request.pools {
        if asked.subnet.is_empty() {
            let says_more =
                !(asked.gateway.is_empty() && asked.range.is_empty() && asked.reserved.is_empty());
            if says_more {
                let problem = "gateway, ip-range and aux-address need a subnet";
                return Err(NetworkError::Value { what: "subnet", value: String::new(), problem });
            }
            continue;
        }
        let pool = check::pool(asked)?;
        if pools.iter().any(|other| other.subnet.family() == pool.subnet.family()) {
            let problem = "a network has one subnet of IPv4 and one of IPv6";
            return Err(NetworkError::Value { what: "subnet", value: asked.subnet.clone(), problem });
        }
        pools.push(pool);
    }
    Ok(pools)
}

/// Chooses what was not asked for, and records all of it.
fn record(inner: &Inner, netlink: &Netlink, network: &Network) -> Result<Network, NetworkError> {
    let host = link::subnets_of_host(netlink)?;
    let [seed @ .., _, _, _] = inner.label();
    inner.store.write_blocking("record a network", |tx| {
        let all = records::networks(tx)?;
        if all.iter().any(|other| other.name == network.name) {
            return Ok(Err(NetworkError::NameTaken(network.name.clone())));
        }
        if all.iter().any(|other| other.spec.bridge == network.spec.bridge) {
            return Ok(Err(NetworkError::Foreign(network.spec.bridge.clone())));
        }
        let mut taken = records::subnets(tx)?;
        taken.extend(host.iter().map(|subnet| (*subnet, "the host".to_owned())));
        let mut made = network.clone();
        if let Err(error) = choose_pools(&mut made, &taken, seed) {
            return Ok(Err(error));
        }
        records::insert_network(tx, &made)?;
        Ok(Ok(made))
    })?
}

fn choose_pools(
    network: &mut Network,
    taken: &[(Subnet, String)],
    seed: [u8; 5],
) -> Result<(), NetworkError> {
    for pool in &network.pools {
        let wanted = pool.subnet;
        if let Some((taken, holder)) = taken.iter().find(|(taken, _)| taken.overlaps(wanted)) {
            return Err(NetworkError::Overlap { wanted, taken: *taken, holder: holder.clone() });
        }
    }
    let subnets: Vec<Subnet> = taken.iter().map(|(subnet, _)| *subnet).collect();
    let chosen = |subnet: Subnet| Pool {
        subnet,
        gateway: subnet.gateway(),
        range: None,
        reserved: BTreeMap::new(),
        is_asked_for: false,
    };
    if network.pool(Family::V4).is_none() {
        network.pools.insert(0, chosen(free_subnet(&subnets).ok_or(NetworkError::NoSubnet)?));
    }
    if network.spec.has_ipv6 && network.pool(Family::V6).is_none() {
        network.pools.push(chosen(free_subnet_v6(seed, &subnets).ok_or(NetworkError::NoSubnet)?));
    }
    Ok(())
}

/// Records the network that containers are in by default, unless it is there or is not to be.
pub(super) fn ensure_default(inner: &Inner) -> Result<(), NetworkError> {
    if inner.settings.bridge == NONE {
        return Ok(());
    }
    let is_there = inner.store.read_blocking("read the networks", |tx| {
        Ok(records::networks(tx)?.iter().any(|network| network.name == DEFAULT))
    })?;
    if is_there {
        return Ok(());
    }
    let pools = match inner.settings.bip.as_str() {
        "" => Vec::new(),
        bip => vec![default_pool(bip)?],
    };
    let spec = NetworkSpec {
        driver: "bridge".to_owned(),
        created_at: UnixNs::now(),
        bridge: inner.default_bridge(),
        ..NetworkSpec::default()
    };
    let network = Network { id: random::hex(), name: DEFAULT.to_owned(), spec, pools };
    let netlink = Netlink::route().map_err(NetworkError::kernel("open the kernel's routes"))?;
    record(inner, &netlink, &network).map(drop)
}

/// `172.30.0.1/16`: the bridge's own address, and how long its subnet's prefix is.
fn default_pool(bip: &str) -> Result<Pool, NetworkError> {
    let invalid = || NetworkError::Value {
        what: "bip",
        value: bip.chars().take(80).collect(),
        problem: "write the bridge's address and prefix, as 172.30.0.1/16",
    };
    let (address, prefix) = bip.split_once('/').ok_or_else(invalid)?;
    let (address, prefix) = (address.parse().map_err(|_| invalid())?, prefix.parse().map_err(|_| invalid())?);
    let subnet = Subnet::around(address, prefix).to_string();
    check::pool(&PoolRequest { subnet, gateway: address.to_string(), ..PoolRequest::default() })
}
