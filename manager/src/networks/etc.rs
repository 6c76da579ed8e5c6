//! What a container's `/etc/hosts` and `/etc/resolv.conf` say. Pure.

use std::net::IpAddr;

use super::model::Networking;

/// Where a container's names are asked for.
pub(super) const RESOLVER: &str = "127.0.0.11";

/// Docker's hosts file for a container without addresses.
pub(crate) const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
    ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
/// The same for one that has no IPv6.
const HOSTS_V4: &str = "127.0.0.1\tlocalhost\n";

/// The word that stands for the host's address.
pub(crate) const HOST_GATEWAY: &str = "host-gateway";
/// What nobody asks but a resolver of the host.
const MAX_SERVERS: usize = 3;

/// A line of a hosts file.
pub(super) struct HostLine {
    pub(super) address: IpAddr,
    pub(super) names: Vec<String>,
}

/// The hosts file: loopback, what was asked for, others by their links, and the container itself.
pub(super) fn hosts(
    networking: &Networking,
    gateway: Option<IpAddr>,
    lines: &[HostLine],
    has_ipv6: bool,
) -> Vec<u8> {
    let mut text = if has_ipv6 { HOSTS } else { HOSTS_V4 }.to_owned();
    for entry in &networking.extra_hosts {
        let Some((name, address)) = extra_host(entry) else { continue };
        let address = match (address, gateway) {
            (HOST_GATEWAY, Some(gateway)) => gateway.to_string(),
            (HOST_GATEWAY, None) => continue,
            (address, _) => address.to_owned(),
        };
        text.push_str(&format!("{address}\t{name}\n"));
    }
    for line in lines {
        text.push_str(&format!("{}\t{}\n", line.address, line.names.join(" ")));
    }
    text.into_bytes()
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`, of which the address may be in brackets.
pub(crate) fn extra_host(entry: &str) -> Option<(&str, &str)> {
    let (name, address) = entry.split_once('=').or_else(|| entry.split_once(':'))?;
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let is_address = address == HOST_GATEWAY || address.parse::<IpAddr>().is_ok();
    let is_name = !name.is_empty() && name.len() <= 253 && name.bytes().all(is_name_byte);
    (is_address && is_name).then_some((name, address))
}

/// What a name may have: none of these ends a line or begins another.
pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

/// What a resolv.conf says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ResolverFile {
    pub(super) servers: Vec<IpAddr>,
    pub(super) search: Vec<String>,
    pub(super) options: Vec<String>,
}

impl ResolverFile {
    /// Of a host's file; what is no address is left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut file = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().unwrap_or_default();
                    // A zone names an interface of the host's.
                    file.servers
                        .extend(address.split('%').next().and_then(|text| text.parse::<IpAddr>().ok()));
                }
                Some("search" | "domain") => file.search = words.map(str::to_owned).collect(),
                Some("options") => file.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        file.servers.truncate(MAX_SERVERS);
        file
    }

    /// With what was asked for in the place of the host's.
    pub(super) fn with(mut self, networking: &Networking) -> Self {
        if !networking.dns.is_empty() {
            self.servers = networking.dns.iter().filter_map(|text| text.parse().ok()).collect();
        }
        if !networking.dns_search.is_empty() {
            // A dot alone is for none.
            self.search = networking.dns_search.iter().filter(|domain| *domain != ".").cloned().collect();
        }
        if !networking.dns_options.is_empty() {
            self.options.clone_from(&networking.dns_options);
        }
        self
    }

    /// Whether a container can ask its servers itself: they are not the host's own loopback addresses.
    pub(super) fn is_reachable(&self) -> bool {
        !self.servers.is_empty() && !self.servers.iter().any(IpAddr::is_loopback)
    }

    /// As a file that names these servers.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = String::new();
        for server in &self.servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        if !self.search.is_empty() {
            text.push_str(&format!("search {}\n", self.search.join(" ")));
        }
        if !self.options.is_empty() {
            text.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        text.into_bytes()
    }

    /// As a file that names the resolver in the container's namespace; that knows the servers.
    pub(super) fn text_of_resolver(&self) -> Vec<u8> {
        let mut options = self.options.clone();
        if !options.iter().any(|option| option.starts_with("ndots:")) {
            options.push("ndots:0".to_owned());
        }
        let servers = RESOLVER.parse().into_iter().collect();
        Self { servers, search: self.search.clone(), options }.text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_entry_is_a_name_and_an_address() {
        for (entry, expected) in [
            ("a:1.2.3.4", Some(("a", "1.2.3.4"))),
            ("a.b=::1", Some(("a.b", "::1"))),
            ("a:[::1]", Some(("a", "::1"))),
            ("a:::1", Some(("a", "::1"))),
            ("a:host-gateway", Some(("a", "host-gateway"))),
            ("a", None),
            (":1.2.3.4", None),
            ("a:1.2.3", None),
            ("a\nb:1.2.3.4", None),
            ("a b:1.2.3.4", None),
            ("a:1.2.3.4\n5.6.7.8 b", None),
        ] {
            assert_eq!(extra_host(entry), expected, "{entry:?}");
        }
    }

    #[test]
    fn a_resolver_file_is_read_and_written() {
        let file = ResolverFile::parse(
            "# x\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nsearch a b\noptions ndots:2 rotate\nnameserver x\n",
        );
        assert_eq!(file.servers.len(), 2);
        assert!(file.is_reachable());
        assert_eq!(
            String::from_utf8(file.text()).expect("text"),
            "nameserver 10.0.0.1\nnameserver fe80::1\nsearch a b\noptions ndots:2 rotate\n"
        );
        let asked =
            Networking { dns_search: vec![".".into()], dns: vec!["1.1.1.1".into()], ..Networking::default() };
        let file = file.with(&asked);
        assert_eq!(
            String::from_utf8(file.text_of_resolver()).expect("text"),
            "nameserver 127.0.0.11\nsearch\noptions ndots:2 rotate\n".replace("search\n", "")
        );
        assert!(!ResolverFile::parse("nameserver 127.0.0.53").is_reachable());
        assert!(!ResolverFile::parse("").is_reachable());
    }

    #[test]
    fn a_hosts_file_has_its_lines_in_order() {
        let networking = Networking {
            extra_hosts: vec!["h:host-gateway".into(), "x:1.1.1.1".into()],
            ..Networking::default()
        };
        let line = HostLine { address: "10.0.0.2".parse().expect("an address"), names: vec!["me".into()] };
        let gateway = "10.0.0.1".parse().ok();
        let text = String::from_utf8(hosts(&networking, gateway, &[line], false)).expect("text");
        assert_eq!(text, "127.0.0.1\tlocalhost\n10.0.0.1\th\n1.1.1.1\tx\n10.0.0.2\tme\n");
    }
}
