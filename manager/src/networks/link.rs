//! Bridges, pairs of interfaces, their addresses and routes. A device is made where it is to be, and never moved; it goes
//! with its namespace. Everything blocks.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::net::IpAddr;
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::addresses::{Family, Subnet};
use super::error::NetworkError;
use super::model::{Endpoint, Mac, Network};
use super::namespace::{inside, read_sysctl, write_sysctl};
use super::netlink::route::{self, Pair};
use super::netlink::{Messages, Netlink, NetlinkError};
use crate::random;

/// The mark of all interfaces that are ours, so that they can be told from others.
pub(super) const GROUP: u32 = 0x6b6e_6172;

/// Attempts at a name that no interface has.
const NAME_ATTEMPTS: u32 = 16;

/// Makes a network's bridge, unless it is there as it is to be.
pub(super) fn make_bridge(netlink: &Netlink, network: &Network) -> Result<(), NetworkError> {
    let (name, options) = (network.spec.bridge.as_str(), network.bridge_options());
    let doing = "make the network's bridge";
    let kernel = || NetworkError::kernel(doing);
    match route::find(netlink, name).map_err(kernel())? {
        Some(link) if !link.is_bridge || link.group != GROUP => {
            return Err(NetworkError::Foreign(name.to_owned()));
        }
        Some(_) => {}
        None => {
            let mut messages = Messages::default();
            route::add_bridge(&mut messages, name, Mac::random(), GROUP, options.mtu);
            netlink.send(&messages).map_err(kernel())?;
        }
    }
    let link = route::find(netlink, name).map_err(kernel())?;
    let index = link.ok_or_else(|| NetworkError::Foreign(name.to_owned()))?.index;
    let parameters = [
        // So that published ports of 127.0.0.1 reach it; the rules keep containers from the host's loopback.
        (format!("/proc/sys/net/ipv4/conf/{name}/route_localnet"), "1"),
        (format!("/proc/sys/net/ipv6/conf/{name}/accept_ra"), "0"),
        // Its addresses are nobody else's: without a search for others that have them it can be used at once.
        (format!("/proc/sys/net/ipv6/conf/{name}/accept_dad"), "0"),
        (
            format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"),
            if network.spec.has_ipv6 { "0" } else { "1" },
        ),
    ];
    for (path, value) in parameters {
        set(&path, value)?;
    }
    let present = route::addresses(netlink, index).map_err(kernel())?;
    let mut messages = Messages::default();
    route::set_up(&mut messages, index);
    for pool in &network.pools {
        let wanted = (pool.gateway, pool.subnet.prefix());
        if !present.contains(&wanted) {
            route::add_address(&mut messages, index, wanted.0, wanted.1);
        }
    }
    netlink.send(&messages).map_err(kernel())
}

/// Writes a kernel parameter; that the kernel has none of this name is no error.
fn set(path: &str, value: &str) -> Result<(), NetworkError> {
    match write_sysctl(path, value) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        // Where /proc/sys is read-only, what is already so is enough.
        Err(_) if read_sysctl(path) == value => Ok(()),
        Err(errno) => Err(crate::files::failed("write", path)(errno).into()),
    }
}

/// Takes a network's bridge away; that it is gone is no error.
pub(super) fn remove_bridge(netlink: &Netlink, network: &Network) -> Result<(), NetworkError> {
    let doing = "remove the network's bridge";
    let found = route::find(netlink, &network.spec.bridge).map_err(NetworkError::kernel(doing))?;
    let Some(link) = found.filter(|link| link.is_bridge && link.group == GROUP) else { return Ok(()) };
    let mut messages = Messages::default();
    route::delete_link(&mut messages, link.index);
    match netlink.send(&messages) {
        Err(NetlinkError { errno: Errno::NODEV, .. }) => Ok(()),
        done => done.map_err(NetworkError::kernel(doing)),
    }
}

/// What an endpoint's interface in its namespace is to be.
pub(super) struct Inside {
    pub(super) name: String,
    pub(super) gateways: Vec<IpAddr>,
}

/// Connects a namespace to a network's bridge. Returns the name of the host's end.
pub(super) fn connect(
    netlink: &Netlink,
    network: &Network,
    endpoint: &Endpoint,
    interface: &Inside,
    namespace: impl AsFd,
) -> Result<String, NetworkError> {
    let (options, doing) = (network.bridge_options(), "connect the container to its network");
    let kernel = || NetworkError::kernel(doing);
    let bridge = route::find(netlink, &network.spec.bridge).map_err(kernel())?;
    let master = bridge.ok_or_else(|| NetworkError::Foreign(network.spec.bridge.clone()))?.index;
    let mut attempt = 0;
    let host_end = loop {
        let name = format!("veth{}", hex(&random::bytes::<4>()));
        let mut messages = Messages::default();
        route::add_pair(
            &mut messages,
            &Pair {
                name: &name,
                master,
                group: GROUP,
                mtu: options.mtu,
                peer_name: &interface.name,
                peer_mac: endpoint.mac,
                namespace: namespace.as_fd(),
            },
        );
        route::set_port(&mut messages, &name, !options.icc);
        attempt += 1;
        match netlink.send(&messages) {
            Ok(()) => break name,
            Err(NetlinkError { errno: Errno::EXIST, .. }) if attempt < NAME_ATTEMPTS => {}
            Err(error) => return Err(kernel()(error)),
        }
    };
    set(&format!("/proc/sys/net/ipv6/conf/{host_end}/disable_ipv6"), "1")?;
    let addresses: Vec<(IpAddr, u8)> = endpoint
        .addresses()
        .filter_map(|address| network.pool(Family::of(address)).map(|pool| (address, pool.subnet.prefix())))
        .collect();
    let (name, gateways) = (interface.name.clone(), interface.gateways.clone());
    inside(namespace, move || set_up(&name, &addresses, &gateways))?;
    Ok(host_end)
}

/// In the namespace: loopback, the interface, its addresses, and the way out.
fn set_up(name: &str, addresses: &[(IpAddr, u8)], gateways: &[IpAddr]) -> Result<(), NetworkError> {
    let doing = "set the container's interface up";
    let kernel = || NetworkError::kernel(doing);
    let netlink = Netlink::route().map_err(kernel())?;
    let has_ipv6 = addresses.iter().any(|(address, _)| address.is_ipv6());
    set(&format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), if has_ipv6 { "0" } else { "1" })?;
    set(&format!("/proc/sys/net/ipv6/conf/{name}/accept_ra"), "0")?;
    let index = route::find(&netlink, name).map_err(kernel())?.map_or(0, |link| link.index);
    let mut messages = Messages::default();
    const LOOPBACK: u32 = 1;
    route::set_up(&mut messages, LOOPBACK);
    for (address, prefix) in addresses {
        route::add_address(&mut messages, index, *address, *prefix);
    }
    route::set_up(&mut messages, index);
    for gateway in gateways {
        route::add_default_route(&mut messages, index, *gateway);
    }
    netlink.send(&messages).map_err(kernel())
}

/// Takes one interface away, of a container that goes on.
pub(super) fn disconnect(netlink: &Netlink, host_end: &str) -> Result<(), NetworkError> {
    let doing = "disconnect the container";
    let found = route::find(netlink, host_end).map_err(NetworkError::kernel(doing))?;
    let Some(link) = found.filter(|link| link.group == GROUP) else { return Ok(()) };
    let mut messages = Messages::default();
    route::delete_link(&mut messages, link.index);
    match netlink.send(&messages) {
        Err(NetlinkError { errno: Errno::NODEV, .. }) => Ok(()),
        done => done.map_err(NetworkError::kernel(doing)),
    }
}

/// What packets are routed to from here by links that are not of our networks.
pub(super) fn subnets_of_host(netlink: &Netlink) -> Result<Vec<Subnet>, NetworkError> {
    let kernel = || NetworkError::kernel("look at the host's routes");
    let links = route::links(netlink).map_err(kernel())?;
    let ours: Vec<u32> = links.iter().filter(|link| link.group == GROUP).map(|link| link.index).collect();
    route::routed_subnets(netlink, &ours).map_err(kernel())
}

/// Has packets forwarded between our bridges and the host's other interfaces, and nothing else. Returns the interfaces whose
/// forwarding is ours: what the host would not have forwarded without us is dropped there.
pub(super) fn lend_forwarding(netlink: &Netlink, network: &Network) -> Result<Vec<String>, NetworkError> {
    let links = route::links(netlink).map_err(NetworkError::kernel("look at the host's interfaces"))?;
    let outside: Vec<&str> = links
        .iter()
        .filter(|link| !link.is_loopback && link.group != GROUP && link.master == 0)
        .map(|link| link.name.as_str())
        .collect();
    let mut lent = Vec::new();
    if read_sysctl("/proc/sys/net/ipv4/ip_forward") != "1" {
        set(&format!("/proc/sys/net/ipv4/conf/{}/forwarding", network.spec.bridge), "1")?;
        for name in &outside {
            set(&format!("/proc/sys/net/ipv4/conf/{name}/forwarding"), "1")?;
            lent.push((*name).to_owned());
        }
    }
    if network.spec.has_ipv6 && read_sysctl("/proc/sys/net/ipv6/conf/all/forwarding") != "1" {
        let own = format!("/proc/sys/net/ipv6/conf/{}/force_forwarding", network.spec.bridge);
        if read_sysctl(&own).is_empty() {
            // Kernels before 6.17 know one switch for all; router advertisements are taken as before.
            for name in &outside {
                let path = format!("/proc/sys/net/ipv6/conf/{name}/accept_ra");
                if read_sysctl(&path) == "1" {
                    set(&path, "2")?;
                }
            }
            set("/proc/sys/net/ipv6/conf/all/forwarding", "1")?;
        } else {
            set(&own, "1")?;
            for name in &outside {
                set(&format!("/proc/sys/net/ipv6/conf/{name}/force_forwarding"), "1")?;
            }
        }
        lent.extend(outside.iter().map(|name| (*name).to_owned()));
    }
    lent.sort();
    lent.dedup();
    Ok(lent)
}

/// A hardware address that was asked for, or a new one.
pub(super) fn mac(asked: &str) -> Mac {
    Mac::parse(asked).unwrap_or_else(Mac::random)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
