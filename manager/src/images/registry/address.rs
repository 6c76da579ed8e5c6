//! Addresses that a registry may not lead us to: link-local ones and those where clouds keep their machines' secrets.
//!
//! A literal address is looked at where a URL is taken (redirects, token servers), in every form that reaches the same
//! machine. A name is looked at when it is resolved, so what is checked is the address that is then connected to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// docker.io is a name for people; this machine answers.
pub(super) const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// Whether `host[:port]` is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Metadata services outside of 169.254/16: Alibaba's, Oracle's first one, Azure's host.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
/// Amazon's and Google's over IPv6.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Whether a registry may not send us there.
pub(super) fn is_private_to_the_host(address: IpAddr) -> bool {
    let is_private_v4 = |address: &Ipv4Addr| address.is_link_local() || METADATA_V4.contains(address);
    match address {
        IpAddr::V4(address) => is_private_v4(&address),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                // fec0::/10, site-local: deprecated, and routed as it was by some.
                || address.segments()[0] & 0xffc0 == 0xfec0
                || METADATA_V6.contains(&address)
                || carried(address).iter().flatten().any(is_private_v4)
        }
    }
}

/// IPv4 addresses that an IPv6 address leads to through translation or a tunnel.
fn carried(address: Ipv6Addr) -> [Option<Ipv4Addr>; 3] {
    let segments = address.segments();
    let pair = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    let last = pair(segments[6], segments[7]);
    match segments {
        // ::a.b.c.d, ::ffff:a.b.c.d (mapped), ::ffff:0:a.b.c.d (SIIT)
        [0, 0, 0, 0, 0 | 0xffff, 0 | 0xffff, ..] => [Some(last), None, None],
        // NAT64: the well-known prefix, and the local-use 64:ff9b:1::/48 in each of RFC 6052's places that fit in it.
        [0x64, 0xff9b, 0, ..] => [Some(last), None, None],
        [0x64, 0xff9b, 1, high, low, next, ..] => {
            let [_, second] = low.to_be_bytes();
            let [third, _] = next.to_be_bytes();
            let [a, b] = high.to_be_bytes();
            [Some(last), Some(Ipv4Addr::new(a, b, second, third)), None]
        }
        // 6to4
        [0x2002, high, low, ..] => [Some(pair(high, low)), None, None],
        // Teredo: the server, and the client's address inverted.
        [0x2001, 0, high, low, ..] => [Some(pair(high, low)), Some(pair(!segments[6], !segments[7])), None],
        // ISATAP
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => [Some(last), None, None],
        _ => [None, None, None],
    }
}

/// The URL's host, when it is an address and not a name. The URL parser has already made one form of each.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

/// Resolves names as the system does, and leaves out addresses that a registry may not send us to.
pub(super) struct Resolver {
    /// A registry that the administrator has named as insecure may be anywhere.
    trusted_host: Option<String>,
}

/// All that a name leads to is forbidden.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name} is the link-local or metadata address {address}, where a registry may not be: \
     name it as insecure registry if it is"
)]
struct Forbidden {
    name: String,
    address: IpAddr,
}

impl Resolver {
    pub(super) fn new(trusted_host: Option<&str>) -> Self {
        Self { trusted_host: trusted_host.map(str::to_ascii_lowercase) }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let is_trusted = self.trusted_host.as_ref() == Some(&name.to_ascii_lowercase());
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed = allowed(&name, addresses, is_trusted)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn allowed(name: &str, addresses: Vec<SocketAddr>, is_trusted: bool) -> io::Result<Vec<SocketAddr>> {
    let is_allowed = |address: &SocketAddr| is_trusted || !is_private_to_the_host(address.ip());
    let first = addresses.first().map(SocketAddr::ip);
    let allowed: Vec<SocketAddr> = addresses.into_iter().filter(is_allowed).collect();
    match first {
        Some(address) if allowed.is_empty() => {
            Err(io::Error::other(Forbidden { name: name.to_owned(), address }))
        }
        _ => Ok(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "[fe80::1]", "example.com:5000"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn every_form_of_a_link_local_address_is_seen() {
        for host in [
            "169.254.169.254",
            "169.254.0.1",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "2852039166",
            "169.254.43518",
            "0xa9.254.0251.254",
            "169.254.169.254.",
            "[fe80::1]",
            "[febf::1]",
            "[fec0::1]",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[0:0:0:0:0:ffff:a9fe:a9fe]",
            "[::169.254.169.254]",
            "[::ffff:0:169.254.169.254]",
            "[64:ff9b::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[64:ff9b:1::a9fe:a9fe]",
            "[64:ff9b:1:a9fe:a9:fe00::]",
            "[2002:a9fe:a9fe::1]",
            "[2001:0:a9fe:a9fe::1]",
            "[2001:0:1:2:3:4:5601:5601]",
            "[2001:db8::5efe:169.254.169.254]",
            "[2001:db8::200:5efe:169.254.169.254]",
            "[fd00:ec2::254]",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
        ] {
            let url: Url = format!("http://{host}/latest/meta-data").parse().expect(host);
            let address = literal(&url).expect(host);
            assert!(is_private_to_the_host(address), "{host} is {address}");
        }
        for host in [
            "127.0.0.1",
            "[::1]",
            "10.0.0.1",
            "169.253.255.255",
            "169.255.0.1",
            "[2001:db8::1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::8.8.8.8]",
            "[fd00::1]",
            "[2002:808:808::1]",
        ] {
            let url: Url = format!("http://{host}/").parse().expect(host);
            let address = literal(&url).expect(host);
            assert!(!is_private_to_the_host(address), "{host} is {address}");
        }
        assert_eq!(literal(&"http://metadata.internal/".parse().expect("a URL")), None);
    }

    #[test]
    fn a_name_never_leads_to_a_forbidden_address() {
        let at = |text: &str| SocketAddr::new(text.parse().expect(text), 0);
        let both = || vec![at("169.254.169.254"), at("10.0.0.1")];
        assert_eq!(allowed("x", both(), false).expect("one is left"), [at("10.0.0.1")]);
        assert_eq!(allowed("x", both(), true).expect("both"), both());
        let error =
            allowed("x", vec![at("fe80::1"), at("::ffff:169.254.1.1")], false).expect_err("none is left");
        assert!(error.to_string().contains("fe80::1"), "{error}");
        assert!(allowed("x", Vec::new(), false).expect("nothing").is_empty());
    }
}
