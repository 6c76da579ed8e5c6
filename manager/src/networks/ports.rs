//! Ports of the host for containers: which ones a request means, and taking them. A port is held from here on, by a row and by
//! a socket that listens, so that no other program gets it. Everything blocks.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with, sockopt};

use super::error::NetworkError;
use super::model::{Networking, PortRequest, Protocol, PublishedPort};
use super::namespace::read_sysctl;
use crate::random;

/// What Linux itself takes ports from, when nothing says otherwise.
const DYNAMIC: (u16, u16) = (32768, 60999);
/// Connections that wait for the keeper.
const BACKLOG: i32 = 128;

/// A port with the socket that holds it.
#[derive(Debug)]
pub(super) struct HeldPort {
    pub(super) port: PublishedPort,
    pub(super) socket: OwnedFd,
}

/// A port that is asked for, as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) protocol: Protocol,
    pub(super) container_port: u16,
    /// All of them get the same host port.
    pub(super) addresses: Vec<IpAddr>,
    /// 0 and 0 for any.
    pub(super) first: u16,
    pub(super) last: u16,
}

/// What a container's requests mean on this host; those that name their port first.
pub(super) fn wanted(
    networking: &Networking,
    default: Option<Ipv4Addr>,
) -> Result<Vec<Wanted>, NetworkError> {
    let mut wanted: Vec<Wanted> =
        networking.ports.iter().map(|request| understand(request, default)).collect::<Result<_, _>>()?;
    if networking.publish_all {
        for exposed in &networking.exposed {
            let (container_port, protocol) = exposed_port(exposed)?;
            let is_published =
                wanted.iter().any(|own| (own.container_port, own.protocol) == (container_port, protocol));
            if !is_published {
                let protocol = protocol.as_str().to_owned();
                let request = PortRequest { protocol, container_port, ..PortRequest::default() };
                wanted.push(understand(&request, default)?);
            }
        }
    }
    wanted.sort_by_key(|port| port.first != port.last || port.first == 0);
    Ok(wanted)
}

/// Checks what can be known before a container starts.
pub(super) fn check(networking: &Networking) -> Result<(), NetworkError> {
    wanted(networking, None).map(drop)
}

/// `80/tcp`
pub(crate) fn exposed_port(text: &str) -> Result<(u16, Protocol), NetworkError> {
    let invalid = || NetworkError::Value {
        what: "exposed port",
        value: text.chars().take(80).collect(),
        problem: "write PORT or PORT/PROTOCOL, of which the port is 1 to 65535 and the protocol tcp, udp or sctp",
    };
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?;
    Ok((port, Protocol::parse(protocol).ok_or_else(invalid)?))
}

fn understand(request: &PortRequest, default: Option<Ipv4Addr>) -> Result<Wanted, NetworkError> {
    let invalid = |what, value: String, problem| NetworkError::Value { what, value, problem };
    let protocol = Protocol::parse(&request.protocol).ok_or_else(|| {
        invalid("protocol", request.protocol.chars().take(40).collect(), "it is tcp, udp or sctp")
    })?;
    if request.container_port == 0 {
        return Err(invalid("container port", "0".to_owned(), "it is 1 to 65535"));
    }
    let (first, last) = (request.host_port, request.host_port_end.max(request.host_port));
    if first == 0 && last != 0 {
        return Err(invalid("host port", format!("0-{last}"), "a range begins at 1 or above"));
    }
    let addresses = match (request.host_address.as_str(), default) {
        ("", Some(address)) => vec![IpAddr::V4(address)],
        ("", None) => {
            let v6 = has_ipv6().then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
            [IpAddr::V4(Ipv4Addr::UNSPECIFIED)].into_iter().chain(v6).collect()
        }
        (text, _) => {
            let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
            let address = bare.parse().map_err(|_| {
                invalid("host address", text.chars().take(80).collect(), "it is an IPv4 or IPv6 address")
            })?;
            vec![address]
        }
    };
    Ok(Wanted { protocol, container_port: request.container_port, addresses, first, last })
}

fn has_ipv6() -> bool {
    std::path::Path::new("/proc/net/if_inet6").exists()
        && read_sysctl("/proc/sys/net/ipv6/conf/all/disable_ipv6") != "1"
}

/// Takes a port that is free on all of its addresses. `holder` says who of ours has one already.
pub(super) fn take(
    wanted: &Wanted,
    holder: impl Fn(PublishedPort) -> Result<Option<String>, NetworkError>,
) -> Result<Vec<HeldPort>, NetworkError> {
    if wanted.first != 0 && wanted.first == wanted.last {
        return take_one(wanted, wanted.first, &holder);
    }
    let candidates = candidates(wanted);
    for number in candidates {
        match take_one(wanted, number, &holder) {
            Err(NetworkError::PortTaken { .. }) => {}
            Err(NetworkError::PortInUse { source, .. }) if source.kind() == std::io::ErrorKind::AddrInUse => {
            }
            taken => return taken,
        }
    }
    let (first, last) = if wanted.first == 0 { dynamic_range() } else { (wanted.first, wanted.last) };
    let protocol = wanted.protocol.as_str();
    Err(NetworkError::NoPort { first, last, container_port: wanted.container_port, protocol })
}

/// The ports that may be taken, in the order in which they are tried: a range from its beginning, any from anywhere.
fn candidates(wanted: &Wanted) -> Vec<u16> {
    if wanted.first != 0 {
        return (wanted.first..=wanted.last).collect();
    }
    let (first, last) = dynamic_range();
    let reserved = reserved_ranges(&read_sysctl("/proc/sys/net/ipv4/ip_local_reserved_ports"));
    let is_free = |port: &u16| !reserved.iter().any(|(from, to)| (*from..=*to).contains(port));
    let mut all: Vec<u16> = (first..=last).filter(is_free).collect();
    let start = usize::from(u16::from_ne_bytes(random::bytes()));
    if !all.is_empty() {
        let middle = start % all.len();
        all.rotate_left(middle);
    }
    all
}

fn dynamic_range() -> (u16, u16) {
    let text = read_sysctl("/proc/sys/net/ipv4/ip_local_port_range");
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) if first <= last && first > 0 => (first, last),
        _ => DYNAMIC,
    }
}

/// `1,5-7`
fn reserved_ranges(text: &str) -> Vec<(u16, u16)> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    text.split(',').filter_map(range).collect()
}

fn take_one(
    wanted: &Wanted,
    number: u16,
    holder: &impl Fn(PublishedPort) -> Result<Option<String>, NetworkError>,
) -> Result<Vec<HeldPort>, NetworkError> {
    let mut held = Vec::new();
    for address in &wanted.addresses {
        let port = PublishedPort {
            container_port: wanted.container_port,
            protocol: wanted.protocol,
            host_address: *address,
            host_port: number,
        };
        if let Some(holder) = holder(port)? {
            let holder = holder.chars().take(12).collect();
            return Err(NetworkError::PortTaken { port, holder });
        }
        let socket = open(port).map_err(|errno| NetworkError::PortInUse { port, source: errno.into() })?;
        held.push(HeldPort { port, socket });
    }
    Ok(held)
}

/// A socket that has the port.
pub(super) fn open(port: PublishedPort) -> Result<OwnedFd, Errno> {
    let family = if port.host_address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, protocol) = match port.protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, Some(protocol))?;
    if family == AddressFamily::INET6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if port.protocol == Protocol::Tcp {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &SocketAddr::new(port.host_address, port.host_port))?;
    if port.protocol != Protocol::Udp {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_understood_or_refused() {
        let request = |host: &str, first, last, container_port| PortRequest {
            protocol: "tcp".to_owned(),
            container_port,
            host_address: host.to_owned(),
            host_port: first,
            host_port_end: last,
        };
        let understood = understand(&request("127.0.0.1", 80, 0, 8080), None).expect("fine");
        assert_eq!((understood.first, understood.last, understood.addresses.len()), (80, 80, 1));
        for wrong in [
            request("127.0.0", 80, 80, 80),
            request("", 80, 80, 0),
            request("", 0, 80, 80),
            request("localhost", 0, 0, 80),
            PortRequest { protocol: "icmp".into(), container_port: 1, ..PortRequest::default() },
        ] {
            assert!(understand(&wrong, None).is_err(), "{wrong:?}");
        }
        for (text, expected) in [
            ("80", Some((80, Protocol::Tcp))),
            ("53/udp", Some((53, Protocol::Udp))),
            ("0", None),
            ("65536", None),
            ("80/x", None),
            ("", None),
        ] {
            assert_eq!(exposed_port(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn all_exposed_ports_are_published_once() {
        let port = PortRequest { container_port: 80, host_port: 8080, ..PortRequest::default() };
        let exposed = ["80/tcp", "81/tcp", "80/udp"].map(str::to_owned).to_vec();
        let networking =
            Networking { ports: vec![port], exposed, publish_all: true, ..Networking::default() };
        let all = wanted(&networking, Some(Ipv4Addr::LOCALHOST)).expect("fine");
        let ports: Vec<_> = all.iter().map(|port| (port.container_port, port.protocol, port.first)).collect();
        assert_eq!(ports, [(80, Protocol::Tcp, 8080), (81, Protocol::Tcp, 0), (80, Protocol::Udp, 0)]);
    }

    #[test]
    fn reserved_ports_are_ranges() {
        assert_eq!(reserved_ranges("1,5-7"), [(1, 1), (5, 7)]);
        assert_eq!(reserved_ranges(""), []);
    }
}
