//! How a container is reached, from the API's messages to the nouns' words and back. Pure.

use knarr_proto::v1;

use super::pieces;
use super::translate::InvalidRequest;
use crate::networks::{EndpointRequest, Networking, Place, PortRequest, Presence};

/// Networks and ports of one container in a list.
const MAX_LISTED: usize = 128;

/// What was asked for, and the places in networks.
///
/// # Errors
/// A port that is none.
pub(super) fn asked(asked: v1::Networking) -> Result<(Networking, Vec<EndpointRequest>), InvalidRequest> {
    let networking = Networking {
        ports: asked.ports.into_iter().map(port).collect::<Result<_, _>>()?,
        exposed: asked.exposed,
        publish_all: asked.publish_all,
        dns: asked.dns,
        dns_search: asked.dns_search,
        dns_options: asked.dns_options,
        extra_hosts: asked.extra_hosts,
    };
    Ok((networking, asked.endpoints.into_iter().map(endpoint).collect()))
}

fn port(port: v1::PortMapping) -> Result<PortRequest, InvalidRequest> {
    let number = |number: u32| u16::try_from(number).map_err(|_| InvalidRequest::Port(number));
    Ok(PortRequest {
        protocol: if port.protocol.is_empty() { "tcp".to_owned() } else { port.protocol },
        container_port: number(port.container_port)?,
        host_address: port.host_address,
        host_port: number(port.host_port)?,
        host_port_end: number(port.host_port_end)?,
    })
}

pub(in crate::api) fn endpoint(config: v1::EndpointConfig) -> EndpointRequest {
    EndpointRequest {
        network: config.network,
        aliases: config.aliases,
        ipv4: config.ipv4,
        ipv6: config.ipv6,
        mac: config.mac_address,
        links: config.links,
        options: config.options.into_iter().collect(),
        gateway_priority: config.gateway_priority,
    }
}

fn endpoint_back(request: EndpointRequest) -> v1::EndpointConfig {
    v1::EndpointConfig {
        network: request.network,
        aliases: request.aliases,
        ipv4: request.ipv4,
        ipv6: request.ipv6,
        mac_address: request.mac,
        links: request.links,
        options: request.options.into_iter().collect(),
        gateway_priority: request.gateway_priority,
    }
}

pub(super) fn back(networking: &Networking, presence: &Presence) -> Option<v1::Networking> {
    let port = |port: PortRequest| v1::PortMapping {
        protocol: port.protocol,
        container_port: port.container_port.into(),
        host_address: port.host_address,
        host_port: port.host_port.into(),
        host_port_end: port.host_port_end.into(),
    };
    let asked = networking.clone();
    let endpoints = presence.places.iter().map(|place| endpoint_back(place.endpoint.request.clone()));
    let back = v1::Networking {
        endpoints: endpoints.collect(),
        ports: asked.ports.into_iter().map(port).collect(),
        exposed: asked.exposed,
        publish_all: asked.publish_all,
        dns: asked.dns,
        dns_search: asked.dns_search,
        dns_options: asked.dns_options,
        extra_hosts: asked.extra_hosts,
    };
    (back != v1::Networking::default()).then_some(back)
}

/// The names of a container's networks.
pub(super) fn names(presence: Option<&Presence>) -> Vec<String> {
    let places = presence.map(|presence| presence.places.as_slice()).unwrap_or_default();
    places.iter().take(MAX_LISTED).map(|place| place.network.name.clone()).collect()
}

/// A container's published ports.
pub(super) fn ports(presence: Option<&Presence>) -> Vec<v1::PublishedPort> {
    let ports = presence.map(|presence| presence.ports.as_slice()).unwrap_or_default();
    let message = |port: &crate::networks::PublishedPort| v1::PublishedPort {
        protocol: port.protocol.as_str().to_owned(),
        container_port: port.container_port.into(),
        host_address: port.host_address.to_string(),
        host_port: port.host_port.into(),
    };
    ports.iter().take(MAX_LISTED).map(message).collect()
}

/// What is exposed and not published.
pub(super) fn exposed(networking: &Networking, presence: Option<&Presence>) -> Vec<String> {
    let ports = presence.map(|presence| presence.ports.as_slice()).unwrap_or_default();
    let is_published = |text: &str| {
        ports.iter().any(|port| format!("{}/{}", port.container_port, port.protocol.as_str()) == text)
    };
    let all = networking.exposed.iter().map(|text| match text.contains('/') {
        true => text.clone(),
        false => format!("{text}/tcp"),
    });
    let mut exposed: Vec<String> = all.filter(|text| !is_published(text)).take(MAX_LISTED).collect();
    exposed.sort();
    exposed.dedup();
    pieces::texts(exposed.iter().map(String::as_str))
}

/// A container's places in networks.
pub(super) fn networks(presence: &Presence) -> Vec<v1::ContainerNetwork> {
    presence.places.iter().map(network).collect()
}

fn network(place: &Place) -> v1::ContainerNetwork {
    let Place { network, endpoint } = place;
    let config = Some(endpoint_back(endpoint.request.clone()));
    let mut message = v1::ContainerNetwork {
        config,
        network_id: network.id.clone(),
        network_name: network.name.clone(),
        ..v1::ContainerNetwork::default()
    };
    if !endpoint.is_joined() {
        return message;
    }
    message.endpoint_id.clone_from(&endpoint.id);
    message.mac_address = endpoint.mac.to_string();
    message.names.clone_from(&endpoint.names);
    for address in endpoint.addresses() {
        let Some(pool) = network.pools.iter().find(|pool| pool.subnet.contains(address)) else { continue };
        let (text, prefix, gateway) =
            (address.to_string(), u32::from(pool.subnet.prefix()), pool.gateway.to_string());
        let gateway = if network.spec.is_internal { String::new() } else { gateway };
        if address.is_ipv4() {
            (message.ipv4, message.ipv4_prefix, message.ipv4_gateway) = (text, prefix, gateway);
        } else {
            (message.ipv6, message.ipv6_prefix, message.ipv6_gateway) = (text, prefix, gateway);
        }
    }
    message
}
