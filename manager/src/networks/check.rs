//! What is asked of a network or an endpoint, looked at before anything is made. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::addresses::{Family, Subnet};
use super::error::NetworkError;
use super::etc::{extra_host, is_name_byte};
use super::model::{EndpointRequest, HOST, Mac, NONE, Network, Networking, Pool, PoolRequest};
use super::ports;

/// The longest name of a network, so that it fits into a host name.
const MAX_NAME_BYTES: usize = 63;
const MAX_ALIASES: usize = 64;

fn invalid(what: &'static str, value: &str, problem: &'static str) -> NetworkError {
    NetworkError::Value { what, value: value.chars().take(80).collect(), problem }
}

/// The name of a new network.
pub(super) fn name(name: &str) -> Result<(), NetworkError> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let begins = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if !begins || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_word) {
        return Err(NetworkError::Name(name.chars().take(80).collect()));
    }
    match name {
        HOST | NONE | "default" | "bridge" => Err(NetworkError::Reserved(name.to_owned())),
        _ => Ok(()),
    }
}

/// Addresses that were asked for.
pub(super) fn pool(request: &PoolRequest) -> Result<Pool, NetworkError> {
    let subnet: Subnet = request.subnet.parse()?;
    let (family, longest) = match subnet.family() {
        Family::V4 => (Family::V4, 30),
        Family::V6 => (Family::V6, 126),
    };
    if subnet.prefix() == 0 || subnet.prefix() > longest {
        return Err(invalid("subnet", &request.subnet, "it must have room for a gateway and a container"));
    }
    let is_usable = match subnet.first() {
        IpAddr::V4(first) => !(first.is_loopback() || first.is_multicast() || first.octets()[0] == 0),
        IpAddr::V6(first) => !(first.is_loopback() || first.is_multicast() || first.is_unicast_link_local()),
    };
    if !is_usable {
        return Err(invalid("subnet", &request.subnet, "these addresses are not for networks of containers"));
    }
    let inside = |what, text: &str| -> Result<IpAddr, NetworkError> {
        let address: IpAddr = text
            .split('/')
            .next()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| invalid(what, text, "it is no address"))?;
        match subnet.is_for_hosts(address) {
            true => Ok(address),
            false => Err(invalid(what, text, "it is no host's address in the subnet")),
        }
    };
    let gateway = match request.gateway.as_str() {
        "" => subnet.gateway(),
        text => inside("gateway", text)?,
    };
    let range = match request.range.as_str() {
        "" => None,
        text => {
            let range: Subnet = text.parse()?;
            if !subnet.covers(range) {
                return Err(invalid("ip-range", text, "it is not within the subnet"));
            }
            Some(range)
        }
    };
    let mut reserved = BTreeMap::new();
    for (key, text) in &request.reserved {
        let address = inside("aux-address", text)?;
        if address == gateway {
            return Err(invalid("aux-address", text, "the gateway has it"));
        }
        reserved.insert(key.clone(), address);
    }
    debug_assert_eq!(family, Family::of(gateway), "inside looks at the family");
    Ok(Pool { subnet, gateway, range, reserved, is_asked_for: true })
}

/// What an endpoint asks of the network that it is to be in.
pub(super) fn endpoint(request: &EndpointRequest, network: &Network) -> Result<(), NetworkError> {
    if request.aliases.len() > MAX_ALIASES || request.links.len() > MAX_ALIASES {
        return Err(invalid("network-alias", "…", "there are more than 64 of them"));
    }
    for alias in &request.aliases {
        host_name("network-alias", alias)?;
    }
    for link in &request.links {
        let (container, alias) = link.split_once(':').unwrap_or((link, link));
        host_name("link", container.trim_start_matches('/'))?;
        host_name("link", alias.rsplit('/').next().unwrap_or(alias))?;
    }
    if !request.mac.is_empty() && Mac::parse(&request.mac).is_none() {
        return Err(invalid(
            "mac-address",
            &request.mac,
            "write six pairs of digits, as 02:42:ac:11:00:02, of which the first is even",
        ));
    }
    if let Some((key, value)) = request.options.iter().next() {
        return Err(invalid("driver-opt", &format!("{key}={value}"), "endpoints have no options yet"));
    }
    let v4 = address::<Ipv4Addr>("ip", &request.ipv4, "it is no IPv4 address")?.map(IpAddr::V4);
    let v6 = address::<Ipv6Addr>("ip6", &request.ipv6, "it is no IPv6 address")?.map(IpAddr::V6);
    for address in v4.into_iter().chain(v6) {
        let family = Family::of(address);
        let pool = network
            .pool(family)
            .ok_or_else(|| NetworkError::NoFamily { name: network.name.clone(), family })?;
        if !pool.is_asked_for {
            return Err(NetworkError::NoChoice(network.name.clone()));
        }
        if !pool.subnet.is_for_hosts(address) {
            return Err(NetworkError::Outside { address, name: network.name.clone(), subnet: pool.subnet });
        }
        if address == pool.gateway || pool.reserved.values().any(|reserved| *reserved == address) {
            let holder = if address == pool.gateway { "the network's gateway" } else { "an aux-address" };
            return Err(NetworkError::AddressTaken { address, holder: holder.to_owned() });
        }
    }
    Ok(())
}

fn address<T: std::str::FromStr>(
    what: &'static str,
    text: &str,
    problem: &'static str,
) -> Result<Option<T>, NetworkError> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| invalid(what, text, problem)),
    }
}

fn host_name(what: &'static str, name: &str) -> Result<(), NetworkError> {
    let fits = (1..=253).contains(&name.len()) && name.bytes().all(is_name_byte);
    match fits {
        true => Ok(()),
        false => Err(invalid(what, name, "a name has letters, digits, dots, dashes and underscores")),
    }
}

/// What a container asks of networks beside its endpoints.
pub(super) fn networking(asked: &Networking) -> Result<(), NetworkError> {
    for entry in &asked.extra_hosts {
        if extra_host(entry).is_none() {
            return Err(invalid("add-host", entry, "write NAME:ADDRESS or NAME:host-gateway"));
        }
    }
    for server in &asked.dns {
        if server.parse::<IpAddr>().is_err() {
            return Err(invalid("dns", server, "it is no address"));
        }
    }
    for domain in &asked.dns_search {
        if domain != "." {
            host_name("dns-search", domain)?;
        }
    }
    for option in &asked.dns_options {
        let is_word = !option.is_empty() && option.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_word || option.len() > 64 {
            return Err(invalid("dns-option", option, "it is one word, as ndots:2"));
        }
    }
    for exposed in &asked.exposed {
        ports::exposed_port(exposed)?;
    }
    ports::check(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(subnet: &str, gateway: &str, range: &str, reserved: &[(&str, &str)]) -> PoolRequest {
        PoolRequest {
            subnet: subnet.to_owned(),
            gateway: gateway.to_owned(),
            range: range.to_owned(),
            reserved: reserved.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn a_pool_has_a_gateway_inside() {
        let made = pool(&request("10.1.0.0/16", "", "10.1.8.0/24", &[("r", "10.1.0.9")])).expect("fine");
        assert_eq!(made.gateway.to_string(), "10.1.0.1");
        for (subnet, gateway, range, reserved) in [
            ("10.1.0.0/31", "", "", &[][..]),
            ("10.1.0.5/16", "", "", &[]),
            ("0.0.0.0/0", "", "", &[]),
            ("127.0.0.0/8", "", "", &[]),
            ("224.0.0.0/8", "", "", &[]),
            ("fe80::/64", "", "", &[]),
            ("fd00::/127", "", "", &[]),
            ("10.1.0.0/16", "10.2.0.1", "", &[]),
            ("10.1.0.0/16", "10.1.0.0", "", &[]),
            ("10.1.0.0/16", "10.1.255.255", "", &[]),
            ("10.1.0.0/16", "fd00::1", "", &[]),
            ("10.1.0.0/16", "x", "", &[]),
            ("10.1.0.0/16", "", "10.2.0.0/24", &[]),
            ("10.1.0.0/16", "", "10.0.0.0/8", &[]),
            ("10.1.0.0/16", "", "10.1.0.0", &[]),
            ("10.1.0.0/16", "", "", &[("r", "10.1.0.1")]),
            ("10.1.0.0/16", "", "", &[("r", "10.2.0.1")]),
        ] {
            assert!(pool(&request(subnet, gateway, range, reserved)).is_err(), "{subnet} {gateway} {range}");
        }
    }

    #[test]
    fn names_of_networks_are_words() {
        for good in ["a", "app", "app_default", "a.b-c", "0"] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "a/b", "a\n", "host", "none", "bridge", "default", &"n".repeat(64)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
