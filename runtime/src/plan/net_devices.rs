//! `linux.netDevices`: which interfaces of the host become the container's, and what they are called there.

use super::error::PlanError;
use super::namespaces::Namespaces;
use crate::spec::Spec;
use crate::spec::linux::NamespaceKind;

/// The kernel's IFNAMSIZ, less the NUL.
pub(crate) const NAME_MAX_BYTES: usize = 15;

/// An interface to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetDevice {
    /// Its name on the host.
    pub(crate) host_name: String,
    /// Its name in the container.
    pub(crate) name: NameInside,
}

/// What an interface is called in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NameInside {
    /// By this name.
    Given(String),
    /// By this prefix (of `prefix%d`) and the first number that is free there.
    Numbered(String),
}

pub(super) fn plan(spec: &Spec, namespaces: &Namespaces) -> Result<Vec<NetDevice>, PlanError> {
    let devices = &spec.linux.net_devices;
    if !devices.is_empty() && !namespaces.has(NamespaceKind::Network) {
        return Err(PlanError::NetDeviceWithoutNamespace);
    }
    devices
        .iter()
        .map(|(host_name, device)| {
            let name = match (device.name.as_str(), device.name.strip_suffix("%d")) {
                ("", _) => NameInside::Given(valid(host_name)?),
                (name, None) => NameInside::Given(valid(name)?),
                (_, Some(prefix)) => NameInside::Numbered(valid(prefix)?),
            };
            Ok(NetDevice { host_name: valid(host_name)?, name })
        })
        .collect()
}

/// The kernel's dev_valid_name; it would put a number for a `%d` anywhere, the specification has it at the end.
fn valid(name: &str) -> Result<String, PlanError> {
    let forbidden = |c: char| matches!(c, '/' | ':' | '%') || c.is_ascii_whitespace();
    match matches!(name, "" | "." | "..") || name.len() > NAME_MAX_BYTES || name.contains(forbidden) {
        true => Err(PlanError::NetDevice(name.to_owned())),
        false => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn with(namespace: &str, devices: &str) -> Result<Vec<NetDevice>, PlanError> {
        let text = format!(
            r#"{{"ociVersion":"1.3.0","linux":{{"namespaces":[{{"type":"mount"}}{namespace}],"netDevices":{devices}}}}}"#
        );
        let spec = Spec::parse(text.as_bytes(), Path::new("config.json")).expect("a valid document");
        plan(&spec, &Namespaces::plan(&spec.linux)?)
    }

    #[test]
    fn interfaces_need_a_namespace_and_names_that_the_kernel_takes() {
        let own = r#",{"type":"network"}"#;
        let planned = with(own, r#"{"eth1":{"name":"eth0"},"eth2":{},"eth3":{"name":"e%d"}}"#);
        let names: Vec<NameInside> = planned.expect("valid").into_iter().map(|device| device.name).collect();
        let given = |name: &str| NameInside::Given(name.to_owned());
        assert_eq!(names, [given("eth0"), given("eth2"), NameInside::Numbered("e".to_owned())]);
        assert!(matches!(with("", r#"{"eth1":{}}"#), Err(PlanError::NetDeviceWithoutNamespace)));
        for name in ["", "a/b", "sixteencharacter", "..", "e%d"] {
            let refused = with(own, &format!(r#"{{"{name}":{{}}}}"#));
            assert!(matches!(refused, Err(PlanError::NetDevice(_))), "{name}");
        }
        for name in ["%d", "a%db", "a%d%d", "a%"] {
            let refused = with(own, &format!(r#"{{"eth1":{{"name":"{name}"}}}}"#));
            assert!(matches!(refused, Err(PlanError::NetDevice(_))), "{name}");
        }
    }
}
