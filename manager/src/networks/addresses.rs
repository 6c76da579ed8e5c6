//! Subnets and addresses: how they are written, which overlap, which address is the next free one. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Addresses with a common beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Subnet {
    first: IpAddr,
    prefix: u8,
}

/// A text that is no subnet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSubnet {
    #[error("invalid subnet {0:?}: write an address and a prefix, as 172.30.0.0/16 or fd00:1::/64")]
    Form(String),
    #[error("invalid subnet {text}: {first} is its first address, so write {first}/{prefix}")]
    HostBits { text: String, first: IpAddr, prefix: u8 },
}

/// One of two address families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// As people write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from((number & u128::from(u32::MAX)) as u32)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

impl Subnet {
    /// The subnet of this length that has `within`.
    pub(crate) fn around(within: IpAddr, prefix: u8) -> Self {
        let family = Family::of(within);
        let prefix = prefix.min(family.bits());
        let host_bits = u32::from(family.bits() - prefix);
        let first = number(within).checked_shr(host_bits).unwrap_or(0).checked_shl(host_bits).unwrap_or(0);
        Self { first: address(family, first), prefix }
    }

    pub(crate) fn family(self) -> Family {
        Family::of(self.first)
    }

    pub(crate) fn first(self) -> IpAddr {
        self.first
    }

    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    pub(crate) fn last(self) -> IpAddr {
        address(self.family(), number(self.first).saturating_add(self.size() - 1))
    }

    /// How many addresses it has; of a whole family one less.
    fn size(self) -> u128 {
        1_u128.checked_shl(u32::from(self.family().bits() - self.prefix)).unwrap_or(u128::MAX)
    }

    pub(crate) fn contains(self, other: IpAddr) -> bool {
        Family::of(other) == self.family() && Self::around(other, self.prefix) == self
    }

    /// Whether all of `other` is in it.
    pub(crate) fn covers(self, other: Self) -> bool {
        other.prefix >= self.prefix && self.contains(other.first)
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Its first address but one: what a gateway has unless it is given another.
    pub(crate) fn gateway(self) -> IpAddr {
        address(self.family(), number(self.first).saturating_add(1))
    }

    /// Whether a host may have this address: not the network's own, nor v4's broadcast.
    pub(crate) fn is_for_hosts(self, wanted: IpAddr) -> bool {
        let is_edge = wanted == self.first || (self.family() == Family::V4 && wanted == self.last());
        self.contains(wanted) && (!is_edge || self.size() <= 2)
    }

    /// The lowest address of `range` that a host of this subnet may have and that is not `taken`.
    pub(crate) fn first_free(self, range: Option<Self>, taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let range = range.unwrap_or(self);
        let (begin, count) = (number(range.first), range.size());
        // So many of them are taken or for nobody: one more is enough.
        let enough = u128::try_from(taken.len()).unwrap_or(u128::MAX).saturating_add(3);
        (0..count.min(enough))
            .map(|offset| address(self.family(), begin.saturating_add(offset)))
            .find(|candidate| self.is_for_hosts(*candidate) && !taken.contains(candidate))
    }

    /// All subnets of a length within this one.
    fn parts(self, prefix: u8) -> impl Iterator<Item = Self> {
        let count = 1_u128.checked_shl(u32::from(prefix.saturating_sub(self.prefix))).unwrap_or(u128::MAX);
        let step = 1_u128.checked_shl(u32::from(self.family().bits() - prefix)).unwrap_or(u128::MAX);
        let begin = number(self.first);
        (0..count).map(move |index| Self {
            first: address(self.family(), begin.saturating_add(index.saturating_mul(step))),
            prefix,
        })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = InvalidSubnet;

    fn from_str(text: &str) -> Result<Self, InvalidSubnet> {
        let form = || InvalidSubnet::Form(text.chars().take(80).collect());
        let (first, prefix) = text.split_once('/').ok_or_else(form)?;
        let first: IpAddr = first.parse().map_err(|_| form())?;
        let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u8 = prefix.parse().ok().filter(|_| is_number).ok_or_else(form)?;
        if prefix > Family::of(first).bits() {
            return Err(form());
        }
        let subnet = Self::around(first, prefix);
        if subnet.first != first {
            return Err(InvalidSubnet::HostBits { text: text.to_owned(), first: subnet.first, prefix });
        }
        Ok(subnet)
    }
}

impl TryFrom<String> for Subnet {
    type Error = InvalidSubnet;

    fn try_from(text: String) -> Result<Self, InvalidSubnet> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

/// Docker's first subnets, then others of the private ranges: what networks get that name none.
const POOLS: [(&str, u8); 3] = [("172.16.0.0/12", 16), ("192.168.0.0/16", 20), ("10.64.0.0/10", 20)];

/// A subnet that overlaps nothing of `taken`; docker's own first one (172.16.0.0/16) is left out as docker leaves it.
pub(crate) fn free_subnet(taken: &[Subnet]) -> Option<Subnet> {
    let is_free = |subnet: &Subnet| !taken.iter().any(|other| other.overlaps(*subnet));
    POOLS.iter().enumerate().find_map(|(index, (pool, prefix))| {
        let pool: Subnet = pool.parse().expect("ours");
        pool.parts(*prefix).skip(usize::from(index == 0)).find(is_free)
    })
}

/// The same for IPv6: below the unique local prefix that `seed` makes.
pub(crate) fn free_subnet_v6(seed: [u8; 5], taken: &[Subnet]) -> Option<Subnet> {
    let [a, b, c, d, e] = seed;
    let first = Ipv6Addr::from([0xfd, a, b, c, d, e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let pool = Subnet::around(first.into(), 48);
    pool.parts(64).find(|subnet| !taken.iter().any(|other| other.overlaps(*subnet)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().expect(text)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn a_subnet_is_an_address_and_a_prefix() {
        for text in ["10.0.0.0/8", "172.18.0.0/16", "1.2.3.4/32", "0.0.0.0/0", "fd00::/64", "::/0", "::1/128"]
        {
            assert_eq!(subnet(text).to_string(), text);
        }
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0/8",
            "fd00::/129",
            "x/8",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
        ] {
            assert!(matches!(text.parse::<Subnet>(), Err(InvalidSubnet::Form(_))), "{text}");
        }
        let error = "10.0.0.5/8".parse::<Subnet>().expect_err("host bits");
        assert!(error.to_string().contains("write 10.0.0.0/8"), "{error}");
    }

    #[test]
    fn subnets_overlap_when_one_has_the_other() {
        for (one, other, expected) in [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.1.0.0/16", "10.2.0.0/16", false),
            ("10.1.0.0/16", "10.1.0.0/16", true),
            ("0.0.0.0/0", "10.1.0.0/16", true),
            ("::/0", "10.1.0.0/16", false),
            ("fd00::/8", "fd12::/64", true),
        ] {
            assert_eq!(subnet(one).overlaps(subnet(other)), expected, "{one} {other}");
            assert_eq!(subnet(other).overlaps(subnet(one)), expected, "{other} {one}");
        }
        assert_eq!(subnet("10.1.2.0/24").last(), ip("10.1.2.255"));
        assert_eq!(subnet("fd00::/64").gateway(), ip("fd00::1"));
    }

    #[test]
    fn the_lowest_free_address_is_given() {
        let taken = |texts: &[&str]| texts.iter().map(|text| ip(text)).collect::<BTreeSet<_>>();
        for (within, range, used, expected) in [
            ("10.0.0.0/24", None, &["10.0.0.1"][..], Some("10.0.0.2")),
            ("10.0.0.0/24", None, &["10.0.0.1", "10.0.0.2", "10.0.0.4"], Some("10.0.0.3")),
            ("10.0.0.0/24", Some("10.0.0.128/25"), &["10.0.0.1"], Some("10.0.0.128")),
            ("10.0.0.0/30", None, &["10.0.0.1", "10.0.0.2"], None),
            ("10.0.0.0/31", None, &["10.0.0.1"], Some("10.0.0.0")),
            ("10.0.0.7/32", None, &[], Some("10.0.0.7")),
            ("10.0.0.0/24", Some("10.0.0.255/32"), &[], None),
            ("fd00::/64", None, &["fd00::1"], Some("fd00::2")),
        ] {
            let found = subnet(within).first_free(range.map(subnet), &taken(used));
            assert_eq!(found, expected.map(ip), "{within} {range:?} {used:?}");
        }
    }

    #[test]
    fn networks_get_subnets_that_nobody_has() {
        assert_eq!(free_subnet(&[]), Some(subnet("172.17.0.0/16")));
        let mut taken = vec![subnet("172.16.0.0/13"), subnet("10.0.0.0/8")];
        assert_eq!(free_subnet(&taken), Some(subnet("172.24.0.0/16")));
        taken.push(subnet("172.0.0.0/8"));
        assert_eq!(free_subnet(&taken), Some(subnet("192.168.0.0/20")));
        taken.push(subnet("192.0.0.0/8"));
        assert_eq!(free_subnet(&taken), None);
        let first = free_subnet_v6([1, 2, 3, 4, 5], &[]).expect("one");
        assert_eq!(first, subnet("fd01:203:405::/64"));
        assert_eq!(free_subnet_v6([1, 2, 3, 4, 5], &[first]), Some(subnet("fd01:203:405:1::/64")));
    }
}
