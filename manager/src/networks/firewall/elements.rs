//! What is in the table's sets: of each network, of each published port. Pure, and the messages of it.

use std::net::IpAddr;

use super::rules::find_set;
use super::table::{Batch, DELETE_ELEMENT, NEW_ELEMENT};
use crate::networks::addresses::{Family, Subnet};
use crate::networks::model::{Network, PublishedPort};
use crate::networks::netlink::route::octets;
use crate::networks::netlink::{CREATE, Messages};
use crate::networks::options::GatewayMode;

/// An element of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::networks) struct Element {
    set: &'static str,
    key: Vec<u8>,
    /// The last key of an interval.
    end: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

impl Element {
    fn new(set: &'static str, key: Vec<u8>) -> Self {
        Self { set, key, end: None, value: None }
    }

    /// The name of an interface.
    pub(in crate::networks) fn interface(set: &'static str, name: &str) -> Self {
        Self::new(set, padded(name.as_bytes(), 16))
    }

    /// A subnet; behind an interface's name, if there is one.
    fn subnet(set: &'static str, name: Option<&str>, subnet: Subnet) -> Self {
        let name = name.map(|name| padded(name.as_bytes(), 16)).unwrap_or_default();
        let with = |address: IpAddr| [name.clone(), octets(address)].concat();
        Self { end: Some(with(subnet.last())), ..Self::new(set, with(subnet.first())) }
    }
}

fn padded(bytes: &[u8], length: usize) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(length, 0);
    padded
}

/// What a network has in the sets.
pub(in crate::networks) fn network_elements(network: &Network) -> Vec<Element> {
    let (bridge, options) = (network.spec.bridge.as_str(), network.bridge_options());
    let mut elements = vec![Element::interface("bridges", bridge)];
    if options.icc {
        let name = padded(bridge.as_bytes(), 16);
        elements.push(Element::new("same", [name.clone(), name].concat()));
    }
    if network.spec.is_internal {
        elements.push(Element::interface("internal", bridge));
    }
    for (mode, set) in [(GatewayMode::Unprotected, "open"), (GatewayMode::Routed, "routed")] {
        if options.mode_v4 == mode || (network.spec.has_ipv6 && options.mode_v6 == mode) {
            elements.push(Element::interface(set, bridge));
        }
    }
    for pool in &network.pools {
        let (mode, own, shut, masq, gateway) = match pool.subnet.family() {
            Family::V4 => (options.mode_v4, "own4", "shut4", "masq4", "gateway4"),
            Family::V6 => (options.mode_v6, "own6", "shut6", "masq6", "gateway6"),
        };
        elements.push(Element::subnet(own, Some(bridge), pool.subnet));
        if network.spec.is_internal {
            let key = [padded(bridge.as_bytes(), 16), octets(pool.gateway)].concat();
            elements.push(Element::new(gateway, key));
        }
        if mode == GatewayMode::Nat || network.spec.is_internal {
            elements.push(Element::subnet(shut, None, pool.subnet));
        }
        if mode != GatewayMode::Routed && options.masquerade && !network.spec.is_internal {
            elements.push(Element::subnet(masq, Some(bridge), pool.subnet));
        }
    }
    elements
}

/// What leads from a host's port to a container's. `to` is the container's address of the port's family.
pub(in crate::networks) fn port_elements(port: PublishedPort, to: IpAddr, is_routed: bool) -> Vec<Element> {
    let protocol = padded(&[port.protocol.number()], 4);
    let number = |port: u16| padded(&port.to_be_bytes(), 4);
    let (at, any, own) = match to {
        IpAddr::V4(_) => ("at4", "any4", "port4"),
        IpAddr::V6(_) => ("at6", "any6", "port6"),
    };
    let value = [octets(to), number(port.container_port)].concat();
    if is_routed {
        let key = [octets(to), protocol, number(port.container_port)].concat();
        return vec![Element::new(own, key)];
    }
    let (set, key) = if port.host_address.is_unspecified() {
        (any, [protocol, number(port.host_port)].concat())
    } else {
        (at, [protocol, octets(port.host_address), number(port.host_port)].concat())
    };
    vec![Element { value: Some(value), ..Element::new(set, key) }]
}

/// The protocols that are there from the beginning.
fn constants() -> Vec<Element> {
    let of = |set, numbers: &[u8]| -> Vec<Element> {
        numbers.iter().map(|number| Element::new(set, vec![*number])).collect()
    };
    [of("transport", &[6, 17, 132]), of("errors", &[1, 58])].concat()
}

pub(super) fn add(batch: &mut Batch, table: &str, elements: &[Element]) {
    change(batch, table, elements, NEW_ELEMENT, CREATE);
}

/// With what never changes.
pub(super) fn add_all(batch: &mut Batch, table: &str, elements: &[Element]) {
    add(batch, table, &constants());
    add(batch, table, elements);
}

pub(super) fn delete(batch: &mut Batch, table: &str, elements: &[Element]) {
    change(batch, table, elements, DELETE_ELEMENT, 0);
}

fn change(batch: &mut Batch, table: &str, elements: &[Element], kind: u16, flags: u16) {
    for element in elements {
        batch.add(kind, flags, |message| {
            message.put_text(1, table);
            message.put_text(2, element.set);
            message.nest(3, &[], |list| fill(list, element));
        });
    }
}

/// An interval of one field is two elements, its beginning and what comes behind its end; of several fields it is one.
fn fill(list: &mut Messages, element: &Element) {
    const INTERVAL_END: u32 = 1;
    let is_joined = find_set(element.set).is_some_and(|set| set.key.len() > 1);
    list.nest(1, &[], |item| {
        item.nest(1, &[], |key| key.put(1, &element.key));
        if let Some(value) = &element.value {
            item.nest(2, &[], |data| data.put(1, value));
        }
        if let (Some(end), true) = (&element.end, is_joined) {
            item.nest(10, &[], |key| key.put(1, end));
        }
    });
    if let (Some(end), false) = (&element.end, is_joined)
        && let Some(behind) = successor(end)
    {
        list.nest(1, &[], |item| {
            item.nest(1, &[], |key| key.put(1, &behind));
            item.put_be32(3, INTERVAL_END);
        });
    }
}

/// The next key; none behind the last one.
fn successor(key: &[u8]) -> Option<Vec<u8>> {
    let mut next = key.to_vec();
    for byte in next.iter_mut().rev() {
        let (sum, is_over) = byte.overflowing_add(1);
        *byte = sum;
        if !is_over {
            return Some(next);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_ends_before_its_successor() {
        assert_eq!(successor(&[10, 0, 255, 255]), Some(vec![10, 1, 0, 0]));
        assert_eq!(successor(&[255, 255]), None);
    }
}
