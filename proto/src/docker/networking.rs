//! How a container is reached: what docker's requests ask for, and what docker shows of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fields::{Fields, InvalidBody};
use super::words::network_name;
use crate::v1::{
    Container, ContainerConfig, ContainerNetwork, EndpointConfig, Networking, PortMapping, PublishedPort,
};

/// Reads what `POST /containers/create` says of networks, and what of it has no effect.
///
/// # Errors
/// [`InvalidBody`].
pub(super) fn networking(body: &Fields, host: &Fields) -> Result<(String, Networking), InvalidBody> {
    let text = if body.flag("NetworkDisabled")? { "none".to_owned() } else { host.text("NetworkMode")? };
    let mode = if text == "default" { String::new() } else { text };
    let asked = body.object("NetworkingConfig")?.object("EndpointsConfig")?;
    let mut endpoints = Vec::new();
    for name in asked.names() {
        let mut endpoint = endpoint(&asked.object(name)?)?;
        // Docker's word for the network of the mode, whatever that is.
        endpoint.network = if name == "default" { "bridge".to_owned() } else { name.to_owned() };
        endpoints.push(endpoint);
    }
    let own = if mode.is_empty() { "bridge" } else { &mode };
    let is_special = ["none", "host"].contains(&own) || own.starts_with("container:");
    if !is_special && !endpoints.iter().any(|endpoint| endpoint.network == own) && !endpoints.is_empty() {
        endpoints.push(EndpointConfig { network: own.to_owned(), ..EndpointConfig::default() });
    }
    let mac = body.text("MacAddress")?;
    if let Some(first) = endpoints.iter_mut().find(|endpoint| endpoint.network == own)
        && first.mac_address.is_empty()
    {
        first.mac_address = mac;
    } else if !mac.is_empty() && !is_special {
        endpoints.push(EndpointConfig {
            network: own.to_owned(),
            mac_address: mac,
            ..EndpointConfig::default()
        });
    }
    let links = host.texts("Links")?;
    if !links.is_empty() {
        match endpoints.iter_mut().find(|endpoint| endpoint.network == own) {
            Some(endpoint) => endpoint.links.extend(links),
            None => {
                endpoints.push(EndpointConfig {
                    network: own.to_owned(),
                    links,
                    ..EndpointConfig::default()
                });
            }
        }
    }
    let networking = Networking {
        endpoints,
        ports: ports(&host.object("PortBindings")?)?,
        exposed: body.object("ExposedPorts")?.names().map(str::to_owned).collect(),
        publish_all: host.flag("PublishAllPorts")?,
        dns: host.texts("Dns")?,
        dns_search: host.texts("DnsSearch")?,
        dns_options: host.texts("DnsOptions")?,
        extra_hosts: host.texts("ExtraHosts")?,
    };
    Ok((mode, networking))
}

/// Reads an endpoint's settings, without its network.
///
/// # Errors
/// [`InvalidBody`].
pub fn endpoint(asked: &Fields) -> Result<EndpointConfig, InvalidBody> {
    let ipam = asked.object("IPAMConfig")?;
    if !ipam.texts("LinkLocalIPs")?.is_empty() {
        let hint = ": name the address of the network's own subnet by IPv4Address or IPv6Address";
        return Err(InvalidBody::Unsupported { field: ipam.path("LinkLocalIPs"), hint });
    }
    let expected = "a whole number of 32 bits";
    let wrong = |_| InvalidBody::Type { field: asked.path("GwPriority"), expected };
    Ok(EndpointConfig {
        network: String::new(),
        aliases: asked.texts("Aliases")?,
        ipv4: ipam.text("IPv4Address")?,
        ipv6: ipam.text("IPv6Address")?,
        mac_address: asked.text("MacAddress")?,
        links: asked.texts("Links")?,
        options: asked.map("DriverOpts")?.into_iter().collect(),
        gateway_priority: i32::try_from(asked.number("GwPriority")?).map_err(wrong)?,
    })
}

/// `{"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}`
fn ports(bindings: &Fields) -> Result<Vec<PortMapping>, InvalidBody> {
    let mut ports = Vec::new();
    for name in bindings.names() {
        let invalid = |value: &str, expected| InvalidBody::Value {
            field: bindings.path(name),
            value: value.to_owned(),
            expected,
        };
        let (number, protocol) = name.split_once('/').unwrap_or((name, "tcp"));
        let container_port = number
            .parse::<u16>()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| invalid(name, "a port is 1 to 65535, with its protocol behind a slash"))?;
        let all = bindings.objects(name)?;
        let any = [Fields::default()];
        let all = if all.is_empty() { &any[..] } else { &all[..] };
        for binding in all {
            let text = binding.text("HostPort")?;
            let (first, last) = host_range(&text).ok_or_else(|| {
                invalid(&text, "a host port is 1 to 65535, or a range of those, or empty for any")
            })?;
            ports.push(PortMapping {
                protocol: protocol.to_ascii_lowercase(),
                container_port: container_port.into(),
                host_address: binding.text("HostIp")?,
                host_port: first.into(),
                host_port_end: last.into(),
            });
        }
    }
    Ok(ports)
}

fn host_range(text: &str) -> Option<(u16, u16)> {
    if text.is_empty() || text == "0" {
        return Some((0, 0));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    (first != 0 && first <= last).then_some((first, last))
}

/// What was asked for, in `HostConfig`.
pub(super) fn host_config(config: &ContainerConfig) -> Value {
    let asked = config.networking.clone().unwrap_or_default();
    let mut bindings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for port in &asked.ports {
        let host_port = match (port.host_port, port.host_port_end) {
            (0, _) => String::new(),
            (first, last) if last > first => format!("{first}-{last}"),
            (first, _) => first.to_string(),
        };
        let key = format!("{}/{}", port.container_port, port.protocol);
        bindings.entry(key).or_default().push(json!({"HostIp": port.host_address, "HostPort": host_port}));
    }
    let links: Vec<&String> = asked.endpoints.iter().flat_map(|endpoint| &endpoint.links).collect();
    let or_null = |list: &[String]| if list.is_empty() { Value::Null } else { json!(list) };
    json!({
        "PortBindings": bindings,
        "Dns": or_null(&asked.dns),
        "DnsOptions": asked.dns_options,
        "DnsSearch": asked.dns_search,
        "ExtraHosts": or_null(&asked.extra_hosts),
        "Links": if links.is_empty() { Value::Null } else { json!(links) },
        "PublishAllPorts": asked.publish_all,
    })
}

/// What a container serves, as docker's `Config.ExposedPorts`; nothing when it serves nothing.
pub(super) fn exposed_ports(config: &ContainerConfig) -> Option<Value> {
    let asked = config.networking.as_ref()?;
    let published = asked.ports.iter().map(|port| format!("{}/{}", port.container_port, port.protocol));
    let exposed = asked.exposed.iter().map(|text| match text.contains('/') {
        true => text.clone(),
        false => format!("{text}/tcp"),
    });
    let all: Map<String, Value> = published.chain(exposed).map(|port| (port, json!({}))).collect();
    (!all.is_empty()).then_some(Value::Object(all))
}

/// `NetworkSettings`.
pub(super) fn network_settings(container: &Container, config: &ContainerConfig) -> Value {
    let default = container.networks.iter().find(|network| network.network_name == "bridge");
    let first = default.cloned().unwrap_or_default();
    json!({
        "Bridge": "",
        "SandboxID": if container.network_namespace.is_empty() { "" } else { container.id.as_str() },
        "SandboxKey": container.network_namespace,
        "Ports": port_map(container, config),
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": first.endpoint_id,
        "Gateway": first.ipv4_gateway,
        "GlobalIPv6Address": first.ipv6,
        "GlobalIPv6PrefixLen": first.ipv6_prefix,
        "IPAddress": first.ipv4,
        "IPPrefixLen": first.ipv4_prefix,
        "IPv6Gateway": first.ipv6_gateway,
        "MacAddress": first.mac_address,
        "Networks": networks(container, config),
    })
}

/// Ports that are published lead to their host ports, those that are only exposed to null. Without a run there are none.
fn port_map(container: &Container, config: &ContainerConfig) -> Value {
    let mut map: BTreeMap<String, Value> = BTreeMap::new();
    if container.pid != 0
        && let Some(Value::Object(exposed)) = exposed_ports(config)
    {
        map.extend(exposed.into_iter().map(|(port, _)| (port, Value::Null)));
    }
    for port in &container.ports {
        let key = format!("{}/{}", port.container_port, port.protocol);
        let binding = json!({"HostIp": port.host_address, "HostPort": port.host_port.to_string()});
        match map.entry(key).or_insert(Value::Null) {
            Value::Array(bindings) => bindings.push(binding),
            other => *other = json!([binding]),
        }
    }
    json!(map)
}

/// A container's places in networks, by the networks' names.
pub(super) fn networks(container: &Container, config: &ContainerConfig) -> Value {
    if container.networks.is_empty() {
        let name = network_name(config);
        // One that was taken out of all of its networks has none.
        let is_in_none = ["none", "host"].contains(&name);
        let own = is_in_none.then(|| (name.to_owned(), place(&special(name))));
        return Value::Object(own.into_iter().collect());
    }
    let places = container.networks.iter().map(|network| (network.network_name.clone(), place(network)));
    Value::Object(places.collect())
}

fn special(name: &str) -> ContainerNetwork {
    ContainerNetwork { network_id: name.to_owned(), ..ContainerNetwork::default() }
}

fn place(network: &ContainerNetwork) -> Value {
    let asked = network.config.clone().unwrap_or_default();
    let or_null = |list: &[String]| if list.is_empty() { Value::Null } else { json!(list) };
    let mut ipam = Map::new();
    for (key, address) in [("IPv4Address", &asked.ipv4), ("IPv6Address", &asked.ipv6)] {
        if !address.is_empty() {
            ipam.insert(key.to_owned(), json!(address));
        }
    }
    json!({
        "IPAMConfig": if ipam.is_empty() { Value::Null } else { Value::Object(ipam) },
        "Links": or_null(&asked.links),
        "Aliases": or_null(&asked.aliases),
        "MacAddress": network.mac_address,
        "DriverOpts": null,
        "GwPriority": asked.gateway_priority,
        "NetworkID": network.network_id,
        "EndpointID": network.endpoint_id,
        "Gateway": network.ipv4_gateway,
        "IPAddress": network.ipv4,
        "IPPrefixLen": network.ipv4_prefix,
        "IPv6Gateway": network.ipv6_gateway,
        "GlobalIPv6Address": network.ipv6,
        "GlobalIPv6PrefixLen": network.ipv6_prefix,
        "DNSNames": or_null(&network.names),
    })
}

/// `Ports` of a list: one object for each host port, and for what is only exposed.
pub(super) fn listed_ports(container: &Container, config: &ContainerConfig) -> Vec<Value> {
    let published = |port: &PublishedPort| {
        json!({
            "IP": port.host_address,
            "PrivatePort": port.container_port,
            "PublicPort": port.host_port,
            "Type": port.protocol,
        })
    };
    let mut ports: Vec<Value> = container.ports.iter().map(published).collect();
    if container.pid != 0
        && let Some(Value::Object(exposed)) = exposed_ports(config)
    {
        for name in exposed.keys() {
            let Some((number, protocol)) = name.split_once('/') else { continue };
            let is_published = container
                .ports
                .iter()
                .any(|port| port.protocol == protocol && port.container_port.to_string() == number);
            if let (Ok(number), false) = (number.parse::<u16>(), is_published) {
                ports.push(json!({"PrivatePort": number, "Type": protocol}));
            }
        }
    }
    ports
}

/// Ports as `ps` shows them: `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp`, neighbours as a range.
#[must_use]
pub fn ports_text(published: &[PublishedPort], exposed: &[String]) -> String {
    let mut groups: Vec<(String, String, u32, u32, u32, u32)> = Vec::new();
    let mut sorted: Vec<&PublishedPort> = published.iter().collect();
    sorted.sort_by_key(|port| {
        (port.protocol.clone(), port.host_address.clone(), port.container_port, port.host_port)
    });
    for port in sorted {
        if let Some((address, protocol, _, host_end, _, own_end)) = groups.last_mut()
            && (&*address, &*protocol) == (&port.host_address, &port.protocol)
            && (*host_end + 1, *own_end + 1) == (port.host_port, port.container_port)
        {
            (*host_end, *own_end) = (port.host_port, port.container_port);
            continue;
        }
        let (host, own) = (port.host_port, port.container_port);
        groups.push((port.host_address.clone(), port.protocol.clone(), host, host, own, own));
    }
    groups.sort_by_key(|(address, protocol, _, _, own, _)| (*own, protocol.clone(), address.contains(':')));
    let range =
        |first: u32, last: u32| if first == last { first.to_string() } else { format!("{first}-{last}") };
    let published = groups.iter().map(|(address, protocol, host, host_end, own, own_end)| {
        let address = if address.contains(':') { format!("[{address}]") } else { address.clone() };
        format!("{address}:{}->{}/{protocol}", range(*host, *host_end), range(*own, *own_end))
    });
    published.chain(exposed.iter().cloned()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(address: &str, host: u32, own: u32) -> PublishedPort {
        PublishedPort {
            protocol: "tcp".to_owned(),
            container_port: own,
            host_address: address.to_owned(),
            host_port: host,
        }
    }

    #[test]
    fn ports_are_shown_as_docker_shows_them() {
        let ports = [
            port("0.0.0.0", 8080, 80),
            port("::", 8080, 80),
            port("0.0.0.0", 8081, 81),
            port("127.0.0.1", 1, 443),
        ];
        assert_eq!(
            ports_text(&ports, &["9/udp".to_owned()]),
            "0.0.0.0:8080-8081->80-81/tcp, [::]:8080->80/tcp, 127.0.0.1:1->443/tcp, 9/udp"
        );
        assert_eq!(ports_text(&[], &[]), "");
    }

    #[test]
    fn bindings_are_ports_or_ranges() {
        for (text, expected) in [
            ("", Some((0, 0))),
            ("80", Some((80, 80))),
            ("80-90", Some((80, 90))),
            ("90-80", None),
            ("65536", None),
            ("0-5", None),
            ("x", None),
            ("-1", None),
        ] {
            assert_eq!(host_range(text), expected, "{text}");
        }
    }
}
