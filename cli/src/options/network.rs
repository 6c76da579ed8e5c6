//! `--network` and what goes with it.

use std::collections::HashMap;

use knarr_proto::v1::{EndpointConfig, Networking};

use super::{BadOption, port};
use crate::args::network_options::NetworkOptions;

/// The network's mode and what is asked of networks.
///
/// # Errors
/// [`BadOption`].
pub(crate) fn build(options: &NetworkOptions) -> Result<(String, Networking), BadOption> {
    let mut endpoints: Vec<EndpointConfig> =
        options.network.iter().map(|text| endpoint(text)).collect::<Result<_, _>>()?;
    let mode = endpoints.first().map(|endpoint| endpoint.network.clone()).unwrap_or_default();
    let is_special = |name: &str| ["none", "host"].contains(&name) || name.starts_with("container:");
    if endpoints.len() > 1 && endpoints.iter().any(|endpoint| is_special(&endpoint.network)) {
        return Err(BadOption::Conflict("none, host and container:NAME go with no other network"));
    }
    let own = EndpointConfig {
        aliases: options.network_alias.clone(),
        ipv4: options.ip.clone(),
        ipv6: options.ip6.clone(),
        mac_address: options.mac_address.clone(),
        links: options.link.clone(),
        ..EndpointConfig::default()
    };
    if own != EndpointConfig::default() {
        if is_special(&mode) {
            return Err(BadOption::Conflict(
                "--network-alias, --ip, --ip6, --mac-address and --link need a network that is the container's own",
            ));
        }
        match endpoints.as_mut_slice() {
            [] => endpoints.push(EndpointConfig { network: "bridge".to_owned(), ..own }),
            [only] => merge(only, own),
            [..] => {
                return Err(BadOption::Conflict(
                    "with several networks, say of each what it is to have: --network name=NAME,ip=ADDRESS,alias=NAME",
                ));
            }
        }
    }
    let mut networking = Networking {
        endpoints,
        publish_all: options.publish_all,
        dns: options.dns.clone(),
        dns_search: options.dns_search.clone(),
        dns_options: options.dns_option.clone(),
        extra_hosts: options.add_host.clone(),
        ..Networking::default()
    };
    for text in &options.publish {
        networking.ports.extend(port::publish(text)?);
    }
    for text in &options.expose {
        networking.exposed.extend(port::expose(text)?);
    }
    if is_special(&mode) {
        networking.endpoints.clear();
    }
    Ok((mode, networking))
}

fn merge(endpoint: &mut EndpointConfig, own: EndpointConfig) {
    let take = |place: &mut String, value: String| {
        if !value.is_empty() {
            *place = value;
        }
    };
    endpoint.aliases.extend(own.aliases);
    endpoint.links.extend(own.links);
    take(&mut endpoint.ipv4, own.ipv4);
    take(&mut endpoint.ipv6, own.ipv6);
    take(&mut endpoint.mac_address, own.mac_address);
}

/// `NAME`, or `name=NAME,alias=A,ip=ADDRESS,…`.
fn endpoint(text: &str) -> Result<EndpointConfig, BadOption> {
    if !text.contains('=') {
        return Ok(EndpointConfig { network: text.to_owned(), ..EndpointConfig::default() });
    }
    let mut endpoint = EndpointConfig::default();
    let mut options = HashMap::new();
    for pair in text.split(',') {
        match pair.split_once('=') {
            Some(("name", value)) => value.clone_into(&mut endpoint.network),
            Some(("alias", value)) => endpoint.aliases.push(value.to_owned()),
            Some(("ip", value)) => value.clone_into(&mut endpoint.ipv4),
            Some(("ip6", value)) => value.clone_into(&mut endpoint.ipv6),
            Some(("mac-address", value)) => value.clone_into(&mut endpoint.mac_address),
            Some(("gw-priority", value)) => {
                let number = value.parse().map_err(|_| BadOption::part(value, text, "is no whole number"))?;
                endpoint.gateway_priority = number;
            }
            Some(("driver-opt", value)) => {
                options.insert(value.to_owned(), String::new());
            }
            _ => {
                return Err(BadOption::part(
                    pair,
                    text,
                    "is none of name=, alias=, ip=, ip6=, mac-address= and gw-priority=",
                ));
            }
        }
    }
    endpoint.options = options;
    match endpoint.network.is_empty() {
        true => Err(BadOption::form(text, "a network: name= is missing")),
        false => Ok(endpoint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_a_name_and_perhaps_options() {
        assert_eq!(endpoint("app").expect("a name").network, "app");
        let long = endpoint("name=app,alias=a,alias=b,ip=10.0.0.9,gw-priority=2").expect("fine");
        assert_eq!((long.network.as_str(), long.aliases.len(), long.gateway_priority), ("app", 2, 2));
        for text in ["name=", "alias=a", "name=a,x=b", "name=a,gw-priority=x", "name=a,"] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }
}
