//! What separates a container from the host, from the API's messages to the noun's words and back. Pure.

use knarr_proto::v1;

use super::pieces;
use super::translate::InvalidRequest;
use crate::tasks::plan::{
    Confinement, Devices, LogChoice, NetworkMode, RequestedDevice, SeccompChoice, Sharing, SharingMode,
};

/// What a namespace of another container is called.
const OF_CONTAINER: &str = "container:";

/// Whose namespaces the container is to be in.
///
/// # Errors
/// A choice that this knarrd does not have.
pub(super) fn sharing(network: &str, asked: &v1::Namespaces) -> Result<Sharing, InvalidRequest> {
    let network = match network {
        "" | "default" => NetworkMode::Default,
        "none" => NetworkMode::None,
        "host" => NetworkMode::Host,
        name => match name.strip_prefix(OF_CONTAINER) {
            Some(container) => NetworkMode::Container(container.to_owned()),
            None => NetworkMode::Named(name.to_owned()),
        },
    };
    Ok(Sharing {
        network,
        pid: mode("pid", &asked.pid)?,
        ipc: mode("ipc", &asked.ipc)?,
        uts: mode("uts", &asked.uts)?,
        cgroup: mode("cgroup", &asked.cgroup)?,
    })
}

fn mode(namespace: &'static str, text: &str) -> Result<SharingMode, InvalidRequest> {
    match text {
        "" | "private" => Ok(SharingMode::Private),
        "host" => Ok(SharingMode::Host),
        _ => match text.strip_prefix(OF_CONTAINER) {
            Some(container) if !container.is_empty() => Ok(SharingMode::Container(container.to_owned())),
            _ => Err(InvalidRequest::Namespace { namespace, text: pieces::text(text) }),
        },
    }
}

/// What people call it.
pub(super) fn network(network: &NetworkMode) -> String {
    match network {
        NetworkMode::None => "none".to_owned(),
        NetworkMode::Default => "default".to_owned(),
        NetworkMode::Host => "host".to_owned(),
        NetworkMode::Container(container) => format!("{OF_CONTAINER}{container}"),
        NetworkMode::Named(name) => name.clone(),
    }
}

pub(super) fn sharing_back(sharing: &Sharing) -> Option<v1::Namespaces> {
    let mode = |mode: &SharingMode| match mode {
        SharingMode::Private => String::new(),
        SharingMode::Host => "host".to_owned(),
        SharingMode::Container(container) => format!("{OF_CONTAINER}{container}"),
    };
    let namespaces = v1::Namespaces {
        pid: mode(&sharing.pid),
        ipc: mode(&sharing.ipc),
        uts: mode(&sharing.uts),
        cgroup: mode(&sharing.cgroup),
    };
    (namespaces != v1::Namespaces::default()).then_some(namespaces)
}

pub(super) fn confinement(asked: v1::Confinement) -> Confinement {
    let seccomp = match asked.seccomp.as_str() {
        "" => SeccompChoice::Builtin,
        "unconfined" => SeccompChoice::Unconfined,
        _ => SeccompChoice::Profile(asked.seccomp),
    };
    let v1::Confinement { apparmor, unmasked, writable_cgroups, .. } = asked;
    Confinement { seccomp, apparmor, unmasked, writable_cgroups }
}

pub(super) fn confinement_back(confinement: Confinement) -> Option<v1::Confinement> {
    let Confinement { seccomp, apparmor, unmasked, writable_cgroups } = confinement;
    let seccomp = match seccomp {
        SeccompChoice::Builtin => String::new(),
        SeccompChoice::Unconfined => "unconfined".to_owned(),
        SeccompChoice::Profile(text) => text,
    };
    let back = v1::Confinement { seccomp, apparmor, unmasked, writable_cgroups };
    (back != v1::Confinement::default()).then_some(back)
}

pub(super) fn devices(devices: Vec<v1::Device>, cgroup_rules: Vec<String>) -> Devices {
    let device = |v1::Device { host_path, container_path, permissions }| RequestedDevice {
        host_path,
        container_path,
        permissions,
    };
    Devices { requested: devices.into_iter().map(device).collect(), cgroup_rules }
}

pub(super) fn devices_back(devices: Vec<RequestedDevice>) -> Vec<v1::Device> {
    let device = |RequestedDevice { host_path, container_path, permissions }| v1::Device {
        host_path,
        container_path,
        permissions,
    };
    devices.into_iter().map(device).collect()
}

pub(super) fn log(log: v1::Log) -> LogChoice {
    match (log.none, log.max_size_bytes, log.max_files) {
        (true, ..) => LogChoice::None,
        (false, 0, 0) => LogChoice::Default,
        (false, max_size_bytes, max_files) => LogChoice::Bounded { max_size_bytes, max_files },
    }
}

pub(super) fn log_back(log: LogChoice) -> Option<v1::Log> {
    match log {
        LogChoice::Default => None,
        LogChoice::None => Some(v1::Log { none: true, ..v1::Log::default() }),
        LogChoice::Bounded { max_size_bytes, max_files } => {
            Some(v1::Log { none: false, max_size_bytes, max_files })
        }
    }
}
