//! What networks and endpoints are, as plain data. What is kept as JSON is only ever added to, with a default.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::addresses::{Family, Subnet};
use super::options::BridgeOptions;
use crate::held::OwnerId;
use crate::random;
use crate::time::UnixNs;

/// The network that a container is in unless it says otherwise.
pub(crate) const DEFAULT: &str = "bridge";
/// What is no network of ours, but has a place in lists.
pub(crate) const HOST: &str = "host";
/// Likewise.
pub(crate) const NONE: &str = "none";

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    /// 64 hexadecimal digits; of `host` and `none` the name.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) spec: NetworkSpec,
    pub(crate) pools: Vec<Pool>,
}

/// What never changes of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NetworkSpec {
    /// `bridge`; of what is no network of ours `host` or `null`.
    pub(crate) driver: String,
    pub(crate) created_at: UnixNs,
    pub(crate) labels: BTreeMap<String, String>,
    /// As they were given.
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) is_internal: bool,
    pub(crate) is_attachable: bool,
    pub(crate) has_ipv6: bool,
    /// The name of its bridge.
    pub(crate) bridge: String,
}

/// A network's addresses of one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pool {
    pub(crate) subnet: Subnet,
    /// The bridge's own address.
    pub(crate) gateway: IpAddr,
    /// Where addresses are taken from that nobody names.
    pub(crate) range: Option<Subnet>,
    /// Addresses that are somebody else's, by what they are called.
    pub(crate) reserved: BTreeMap<String, IpAddr>,
    /// Named by the user, rather than chosen: only then may an endpoint name its address.
    #[serde(default)]
    pub(crate) is_asked_for: bool,
}

impl Network {
    pub(crate) fn pool(&self, family: Family) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.family() == family)
    }

    /// What its options mean; they were understood when it was made.
    pub(crate) fn bridge_options(&self) -> BridgeOptions {
        BridgeOptions::read(&self.spec.options).unwrap_or_default()
    }

    /// Whether it is the one that containers are in by default: where names are no addresses.
    pub(crate) fn is_default(&self) -> bool {
        self.name == DEFAULT
    }
}

/// A network that is to be made.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetworkRequest {
    pub(crate) name: String,
    /// Empty for `bridge`.
    pub(crate) driver: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) is_internal: bool,
    pub(crate) is_attachable: bool,
    pub(crate) has_ipv6: bool,
    pub(crate) pools: Vec<PoolRequest>,
}

/// Addresses that were asked for; texts as they were written.
#[derive(Clone, Debug, Default)]
pub(crate) struct PoolRequest {
    pub(crate) subnet: String,
    pub(crate) gateway: String,
    pub(crate) range: String,
    pub(crate) reserved: BTreeMap<String, String>,
}

/// A place in a network, as asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointRequest {
    /// The network's name or id.
    pub(crate) network: String,
    pub(crate) aliases: Vec<String>,
    /// Empty for any.
    pub(crate) ipv4: String,
    pub(crate) ipv6: String,
    pub(crate) mac: String,
    /// `CONTAINER[:ALIAS]`.
    pub(crate) links: Vec<String>,
    pub(crate) options: BTreeMap<String, String>,
    /// The highest one's gateway is the way out.
    pub(crate) gateway_priority: i32,
}

/// How a container is reached, and what it knows of others, as asked for; kept with the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Networking {
    pub(crate) ports: Vec<PortRequest>,
    /// `80/tcp`: what the image and the user say that it serves.
    pub(crate) exposed: Vec<String>,
    pub(crate) publish_all: bool,
    pub(crate) dns: Vec<String>,
    pub(crate) dns_search: Vec<String>,
    pub(crate) dns_options: Vec<String>,
    /// `NAME:ADDRESS`, of which the address may be `host-gateway`.
    pub(crate) extra_hosts: Vec<String>,
}

/// A port that is to be published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PortRequest {
    /// `tcp`, `udp` or `sctp`.
    pub(crate) protocol: String,
    pub(crate) container_port: u16,
    /// Empty for all addresses.
    pub(crate) host_address: String,
    /// The first and the last one that it may be; zeros for any.
    pub(crate) host_port: u16,
    pub(crate) host_port_end: u16,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "tcp" | "" => Some(Self::Tcp),
            "udp" => Some(Self::Udp),
            "sctp" => Some(Self::Sctp),
            _ => None,
        }
    }

    /// The kernel's number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// A port of the host that leads to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PublishedPort {
    pub(crate) container_port: u16,
    pub(crate) protocol: Protocol,
    pub(crate) host_address: IpAddr,
    pub(crate) host_port: u16,
}

/// A place in a network, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) network: String,
    pub(crate) owner: OwnerId,
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    pub(crate) request: EndpointRequest,
    /// What it is called, in its network: the container's name, its short id, aliases. Known from the first start on.
    pub(crate) names: Vec<String>,
    /// The name of the host's end; empty while it is not there.
    pub(crate) interface: String,
    pub(crate) mac: Mac,
    pub(crate) ipv4: Option<Ipv4Addr>,
    pub(crate) ipv6: Option<Ipv6Addr>,
}

impl Endpoint {
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ipv4.map(IpAddr::V4).into_iter().chain(self.ipv6.map(IpAddr::V6))
    }

    /// Whether it is in the kernel.
    pub(crate) fn is_joined(&self) -> bool {
        !self.interface.is_empty()
    }
}

/// A hardware address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Mac {
    /// One of nobody's but ours to give.
    pub(super) fn random() -> Self {
        let mut bytes = random::bytes::<6>();
        bytes[0] = bytes[0] & 0xfc | 0x02;
        Self(bytes)
    }

    /// Of six pairs of digits; no group's, and not nobody's.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part =
                parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        let is_usable = parts.next().is_none() && bytes[0] & 1 == 0 && bytes != [0; 6];
        is_usable.then_some(Self(bytes))
    }
}

/// A container's place in a network, for whoever looks.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) network: Network,
    pub(crate) endpoint: Endpoint,
}

/// All that networks know of a container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presence {
    pub(crate) places: Vec<Place>,
    pub(crate) ports: Vec<PublishedPort>,
}

impl Presence {
    /// The same of a container that does not run: its places have no addresses, its ports are nobody's.
    pub(crate) fn at_rest(mut self) -> Self {
        self.ports.clear();
        for place in &mut self.places {
            place.endpoint.interface.clear();
        }
        self
    }
}

/// Who joins, and how.
#[derive(Clone, Debug)]
pub(crate) struct Joiner {
    pub(crate) owner: OwnerId,
    /// The container's name.
    pub(crate) name: String,
    pub(crate) hostname: String,
    pub(crate) networking: Networking,
}

/// What a task is told of its network.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    /// The namespace's file.
    pub(crate) namespace: PathBuf,
    /// What `/etc/hosts` and `/etc/resolv.conf` are to say.
    pub(crate) hosts: Vec<u8>,
    pub(crate) resolver: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_is_six_bytes_of_one_interface() {
        for text in ["02:42:ac:11:00:02", "02-42-ac-11-00-02"] {
            assert_eq!(Mac::parse(text).expect(text).to_string(), "02:42:ac:11:00:02");
        }
        for text in [
            "",
            "02:42:ac:11:00",
            "02:42:ac:11:00:02:03",
            "01:42:ac:11:00:02",
            "00:00:00:00:00:00",
            "2:42:ac:11:00:02",
            "+2:42:ac:11:00:02",
        ] {
            assert_eq!(Mac::parse(text), None, "{text}");
        }
    }
}
