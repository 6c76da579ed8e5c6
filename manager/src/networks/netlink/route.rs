//! Links, addresses and routes, as messages.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::message::{ACK, CREATE, DUMP, EXCLUSIVE, Messages, REQUEST, attributes};
use super::socket::{Netlink, NetlinkError};
use crate::networks::addresses::{Family, Subnet};
use crate::networks::model::Mac;

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;

/// Attributes of a link.
const HARDWARE_ADDRESS: u16 = 1;
const NAME: u16 = 3;
const MTU: u16 = 4;
const MASTER: u16 = 10;
const LINK_INFO: u16 = 18;
const GROUP: u16 = 27;
const NAMESPACE_FD: u16 = 28;
/// In [`LINK_INFO`].
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const INFO_PORT_KIND: u16 = 4;
const INFO_PORT_DATA: u16 = 5;
/// Of a veth.
const PEER: u16 = 1;
/// Of a port of a bridge.
const HAIRPIN: u16 = 4;
const ISOLATED: u16 = 33;

const UP: u32 = 1;
/// Addresses without a search for another one that has them: they are ours to give.
const NO_DUPLICATE_SEARCH: u8 = 0x02;

/// A link as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) group: u32,
    pub(crate) is_loopback: bool,
    pub(crate) is_bridge: bool,
    /// The index of the bridge that it is a port of; 0 for none.
    pub(crate) master: u32,
}

/// A pair of interfaces that is to be made: one end here, the other where it belongs.
pub(crate) struct Pair<'a> {
    pub(crate) name: &'a str,
    pub(crate) master: u32,
    pub(crate) group: u32,
    pub(crate) mtu: u32,
    pub(crate) peer_name: &'a str,
    pub(crate) peer_mac: Mac,
    pub(crate) namespace: BorrowedFd<'a>,
}

fn family_byte(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// `struct ifinfomsg`.
fn link_head(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut head = [0; 16];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head[8..12].copy_from_slice(&flags.to_ne_bytes());
    head[12..].copy_from_slice(&change.to_ne_bytes());
    head
}

/// Makes a bridge; it is down until its parameters are set.
pub(crate) fn add_bridge(messages: &mut Messages, name: &str, mac: Mac, group: u32, mtu: u32) {
    let flags = REQUEST | ACK | CREATE | EXCLUSIVE;
    messages.add(NEW_LINK, flags, &link_head(0, 0, 0), |link| {
        link.put_text(NAME, name);
        link.put(HARDWARE_ADDRESS, &mac.0);
        link.put_u32(GROUP, group);
        if mtu != 0 {
            link.put_u32(MTU, mtu);
        }
        link.nest(LINK_INFO, &[], |info| info.put_text(INFO_KIND, "bridge"));
    });
}

/// Makes a pair of which this end is up and a port of its bridge, and the other is in the namespace from the beginning.
pub(crate) fn add_pair(messages: &mut Messages, pair: &Pair<'_>) {
    let flags = REQUEST | ACK | CREATE | EXCLUSIVE;
    messages.add(NEW_LINK, flags, &link_head(0, UP, UP), |link| {
        link.put_text(NAME, pair.name);
        link.put_u32(MASTER, pair.master);
        link.put_u32(GROUP, pair.group);
        if pair.mtu != 0 {
            link.put_u32(MTU, pair.mtu);
        }
        link.nest(LINK_INFO, &[], |info| {
            info.put_text(INFO_KIND, "veth");
            info.nest(INFO_DATA, &[], |data| {
                data.nest(PEER, &link_head(0, 0, 0), |peer| {
                    peer.put_text(NAME, pair.peer_name);
                    peer.put(HARDWARE_ADDRESS, &pair.peer_mac.0);
                    peer.put_u32(NAMESPACE_FD, pair.namespace.as_raw_fd().cast_unsigned());
                    if pair.mtu != 0 {
                        peer.put_u32(MTU, pair.mtu);
                    }
                });
            });
        });
    });
}

/// Has a port of a bridge take back what it has sent itself, as a container's packets to its own published port are where
/// the kernel filters what is bridged; and keeps it from the other ports that are kept so.
pub(crate) fn set_port(messages: &mut Messages, name: &str, is_isolated: bool) {
    messages.add(NEW_LINK, REQUEST | ACK, &link_head(0, 0, 0), |link| {
        link.put_text(NAME, name);
        link.nest(LINK_INFO, &[], |info| {
            info.put_text(INFO_PORT_KIND, "bridge");
            info.nest(INFO_PORT_DATA, &[], |port| {
                port.put(HAIRPIN, &[1]);
                port.put(ISOLATED, &[u8::from(is_isolated)]);
            });
        });
    });
}

pub(crate) fn set_up(messages: &mut Messages, index: u32) {
    messages.add(NEW_LINK, REQUEST | ACK, &link_head(index, UP, UP), |_| {});
}

pub(crate) fn delete_link(messages: &mut Messages, index: u32) {
    messages.add(DELETE_LINK, REQUEST | ACK, &link_head(index, 0, 0), |_| {});
}

/// Gives a link an address.
pub(crate) fn add_address(messages: &mut Messages, index: u32, address: IpAddr, prefix: u8) {
    let flags = if address.is_ipv6() { NO_DUPLICATE_SEARCH } else { 0 };
    let mut head = [family_byte(Family::of(address)), prefix, flags, 0, 0, 0, 0, 0];
    head[4..].copy_from_slice(&index.to_ne_bytes());
    messages.add(NEW_ADDRESS, REQUEST | ACK | CREATE | EXCLUSIVE, &head, |message| {
        let octets = octets(address);
        message.put(1, &octets);
        message.put(2, &octets);
        if let (IpAddr::V4(_), true) = (address, prefix < 31)
            && let IpAddr::V4(broadcast) = Subnet::around(address, prefix).last()
        {
            message.put(4, &broadcast.octets());
        }
    });
}

/// Everything that has no other route goes to `gateway`.
pub(crate) fn add_default_route(messages: &mut Messages, index: u32, gateway: IpAddr) {
    // `struct rtmsg`: the main table, static, everywhere, unicast.
    let head = [family_byte(Family::of(gateway)), 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
    messages.add(NEW_ROUTE, REQUEST | ACK | CREATE, &head, |route| {
        route.put(5, &octets(gateway));
        route.put_u32(4, index);
    });
}

/// All links of the namespace.
pub(crate) fn links(netlink: &Netlink) -> Result<Vec<Link>, NetlinkError> {
    let mut request = Messages::default();
    request.add(GET_LINK, REQUEST | DUMP, &link_head(0, 0, 0), |_| {});
    let found = netlink.list(&request)?;
    Ok(found.into_iter().filter(|(kind, _)| *kind == NEW_LINK).filter_map(|(_, body)| link(&body)).collect())
}

/// The link of this name.
pub(crate) fn find(netlink: &Netlink, name: &str) -> Result<Option<Link>, NetlinkError> {
    let mut request = Messages::default();
    request.add(GET_LINK, REQUEST, &link_head(0, 0, 0), |message| message.put_text(NAME, name));
    match netlink.list(&request) {
        Ok(found) => Ok(found.iter().find_map(|(_, body)| link(body))),
        Err(NetlinkError { errno: rustix::io::Errno::NODEV, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn link(body: &[u8]) -> Option<Link> {
    const LOOPBACK: u32 = 8;
    let number = |at: usize| Some(u32::from_ne_bytes(body.get(at..at + 4)?.try_into().ok()?));
    let mut link = Link {
        index: number(4)?,
        name: String::new(),
        group: 0,
        is_loopback: number(8)? & LOOPBACK != 0,
        is_bridge: false,
        master: 0,
    };
    for (kind, value) in attributes(body.get(16..)?) {
        let as_number = || value.try_into().ok().map(u32::from_ne_bytes);
        match kind {
            NAME => link.name = text(value),
            GROUP => link.group = as_number()?,
            MASTER => link.master = as_number()?,
            LINK_INFO => {
                link.is_bridge =
                    attributes(value).any(|(kind, value)| kind == INFO_KIND && text(value) == "bridge");
            }
            _ => {}
        }
    }
    Some(link)
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}

/// The addresses of a link, with their prefixes.
pub(crate) fn addresses(netlink: &Netlink, index: u32) -> Result<Vec<(IpAddr, u8)>, NetlinkError> {
    let mut request = Messages::default();
    request.add(GET_ADDRESS, REQUEST | DUMP, &[0; 8], |_| {});
    let found = netlink.list(&request)?.into_iter().filter_map(|(kind, body)| {
        let of = u32::from_ne_bytes(body.get(4..8)?.try_into().ok()?);
        let (_, value) = attributes(body.get(8..)?).find(|(kind, _)| *kind == 1)?;
        (kind == NEW_ADDRESS && of == index).then_some((ip(value)?, body[1]))
    });
    Ok(found.collect())
}

/// Where packets of the namespace are routed to, without the routes for everything, and by links outside of `without`.
pub(crate) fn routed_subnets(netlink: &Netlink, without: &[u32]) -> Result<Vec<Subnet>, NetlinkError> {
    let mut request = Messages::default();
    request.add(GET_ROUTE, REQUEST | DUMP, &[0; 12], |_| {});
    let mut subnets = Vec::new();
    for (kind, body) in netlink.list(&request)? {
        let (Some(head), true) = (body.get(..12), kind == NEW_ROUTE) else { continue };
        let (mut destination, mut link) = (None, 0);
        for (kind, value) in attributes(&body[12..]) {
            match (kind, value) {
                (1, value) => destination = ip(value),
                (4, &[a, b, c, d]) => link = u32::from_ne_bytes([a, b, c, d]),
                _ => {}
            }
        }
        if let (Some(destination), 1.., false) = (destination, head[1], without.contains(&link)) {
            subnets.push(Subnet::around(destination, head[1]));
        }
    }
    Ok(subnets)
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}
