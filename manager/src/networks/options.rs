//! What the options of a network mean: docker's `com.docker.network.*`, and their short forms. Pure.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// How a bridge is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BridgeOptions {
    /// Containers of it may speak to each other.
    pub(crate) icc: bool,
    /// What leaves gets the host's address.
    pub(crate) masquerade: bool,
    pub(crate) mode_v4: GatewayMode,
    pub(crate) mode_v6: GatewayMode,
    /// 0 for the kernel's.
    pub(crate) mtu: u32,
    /// Where ports are published that name no address.
    pub(crate) host_binding: Option<Ipv4Addr>,
    /// The beginning of the interfaces' names in containers.
    pub(crate) prefix: String,
    /// The bridge's name; empty for one that is made up.
    pub(crate) name: String,
}

/// How packets come in and go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum GatewayMode {
    /// Published ports only; what leaves has the host's address.
    #[default]
    Nat,
    /// As `Nat`, but whoever has a route to the container reaches all its ports.
    Unprotected,
    /// No translation: published ports by the container's own address.
    Routed,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            icc: true,
            masquerade: true,
            mode_v4: GatewayMode::Nat,
            mode_v6: GatewayMode::Nat,
            mtu: 0,
            host_binding: None,
            prefix: "eth".to_owned(),
            name: String::new(),
        }
    }
}

/// An option that means nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid option {key}={value}: {problem}")]
pub(crate) struct InvalidOption {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) problem: &'static str,
}

/// The longest name of an interface.
pub(crate) const MAX_INTERFACE_BYTES: usize = 15;

impl BridgeOptions {
    /// # Errors
    /// [`InvalidOption`] names the first one that is unknown or wrong.
    pub(crate) fn read(options: &BTreeMap<String, String>) -> Result<Self, InvalidOption> {
        let mut read = Self::default();
        for (key, value) in options {
            let invalid = |problem| InvalidOption {
                key: key.chars().take(80).collect(),
                value: value.chars().take(80).collect(),
                problem,
            };
            let flag = || boolean(value).ok_or_else(|| invalid("it is true or false"));
            match key.as_str() {
                "com.docker.network.bridge.name" => {
                    let problem =
                        "an interface's name has 1 to 15 letters, digits, dots, dashes or underscores";
                    read.name = interface(value).ok_or_else(|| invalid(problem))?;
                }
                "com.docker.network.bridge.enable_icc" | "icc" => read.icc = flag()?,
                "com.docker.network.bridge.enable_ip_masquerade" | "ip-masq" => read.masquerade = flag()?,
                "com.docker.network.bridge.gateway_mode_ipv4" => {
                    read.mode_v4 = mode(value).map_err(invalid)?;
                }
                "com.docker.network.bridge.gateway_mode_ipv6" => {
                    read.mode_v6 = mode(value).map_err(invalid)?;
                }
                "com.docker.network.bridge.host_binding_ipv4" | "ip" => {
                    let address = value.parse().map_err(|_| invalid("it is an IPv4 address"))?;
                    read.host_binding = Some(address).filter(|address: &Ipv4Addr| !address.is_unspecified());
                }
                "com.docker.network.driver.mtu" | "mtu" => {
                    let mtu = value.parse().ok().filter(|mtu| *mtu == 0 || (68..=65535).contains(mtu));
                    read.mtu = mtu.ok_or_else(|| invalid("it is 68 to 65535, or 0 for the kernel's own"))?;
                }
                "com.docker.network.container_iface_prefix" => {
                    let problem = "it is 1 to 12 letters, digits, dots, dashes or underscores";
                    let prefix = interface(value).filter(|prefix| prefix.len() <= 12);
                    read.prefix = prefix.ok_or_else(|| invalid(problem))?;
                }
                // What docker's own default network has of itself.
                "com.docker.network.bridge.default_bridge" if boolean(value).is_some() => {}
                _ => {
                    return Err(invalid(
                        "there are the com.docker.network options bridge.name, bridge.enable_icc, \
                         bridge.enable_ip_masquerade, bridge.gateway_mode_ipv4, bridge.gateway_mode_ipv6, \
                         bridge.host_binding_ipv4, container_iface_prefix and driver.mtu",
                    ));
                }
            }
        }
        Ok(read)
    }
}

fn boolean(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn mode(value: &str) -> Result<GatewayMode, &'static str> {
    match value {
        "" | "nat" => Ok(GatewayMode::Nat),
        "nat-unprotected" => Ok(GatewayMode::Unprotected),
        "routed" => Ok(GatewayMode::Routed),
        "isolated" => Err("isolated is not supported: an internal network reaches nothing but the host"),
        _ => Err("it is nat, nat-unprotected or routed"),
    }
}

/// A name that the kernel takes for an interface, and that means nothing to a shell.
pub(crate) fn interface(name: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let fits = (1..=MAX_INTERFACE_BYTES).contains(&name.len()) && name.bytes().all(allowed);
    (fits && !name.starts_with(['-', '.']) && name != "lo" && name != "all" && name != "default")
        .then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<BridgeOptions, InvalidOption> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        BridgeOptions::read(&pairs.iter().map(owned).collect())
    }

    #[test]
    fn docker_s_options_are_known() {
        let options = read(&[
            ("com.docker.network.bridge.enable_icc", "false"),
            ("com.docker.network.bridge.name", "br-test"),
            ("com.docker.network.bridge.gateway_mode_ipv6", "routed"),
            ("com.docker.network.driver.mtu", "1400"),
        ])
        .expect("known");
        assert!(!options.icc && options.masquerade);
        assert_eq!((options.mtu, options.name.as_str()), (1400, "br-test"));
        assert_eq!((options.mode_v4, options.mode_v6), (GatewayMode::Nat, GatewayMode::Routed));
    }

    #[test]
    fn what_means_nothing_is_refused_by_its_name() {
        for (key, value) in [
            ("com.docker.network.bridge.enable_icc", "maybe"),
            ("com.docker.network.bridge.name", "much-too-long-for-it"),
            ("com.docker.network.bridge.name", "a/b"),
            ("com.docker.network.bridge.name", ""),
            ("com.docker.network.driver.mtu", "67"),
            ("com.docker.network.driver.mtu", "1e3"),
            ("com.docker.network.bridge.gateway_mode_ipv4", "isolated"),
            ("com.docker.network.bridge.host_binding_ipv4", "::1"),
            ("com.docker.network.container_iface_prefix", "0123456789abc"),
            ("nope", "1"),
        ] {
            let error = read(&[(key, value)]).expect_err(value);
            assert!(error.to_string().starts_with(&format!("invalid option {key}={value}: ")), "{error}");
        }
    }
}
