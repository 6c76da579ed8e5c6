//! What separates a task from the host: its namespaces, its rights, its devices, and where it is put.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use knarr_proto::id::ContainerId;
use serde::{Deserialize, Serialize};

use super::Ulimit;

/// What separates a container from the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Isolation {
    /// Empty for the first 12 characters of the id.
    pub(crate) hostname: String,
    /// The NIS domain's; empty for none.
    pub(crate) domainname: String,
    #[serde(flatten)]
    pub(crate) sharing: Sharing,
    #[serde(flatten)]
    pub(crate) rights: Rights,
    pub(crate) devices: Devices,
    pub(crate) sysctls: BTreeMap<String, String>,
    pub(crate) ulimits: Vec<Ulimit>,
    pub(crate) placement: Placement,
}

/// Which namespaces are its own, and whose the others are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sharing {
    pub(crate) network: NetworkMode,
    pub(crate) pid: SharingMode,
    pub(crate) ipc: SharingMode,
    /// Never another container's.
    pub(crate) uts: SharingMode,
    /// Likewise.
    pub(crate) cgroup: SharingMode,
}

/// Which network namespace a container has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NetworkMode {
    /// Its own, with only loopback.
    #[default]
    None,
    /// What knarrd has for those that name none. A container is never kept with it.
    Default,
    /// The host's.
    Host,
    /// That of another container, by id or name.
    Container(String),
    /// Its own, with a place in this network.
    Named(String),
}

/// Whose a namespace is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SharingMode {
    /// The container's own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// That of the container with this id.
    Container(String),
}

/// The container that a running one shares namespaces with.
#[derive(Clone, Debug)]
pub(crate) struct Partner {
    pub(crate) id: ContainerId,
    /// Held open, so that it is this one whatever becomes of the partner's process and its pid.
    pub(crate) namespace: Arc<OwnedFd>,
}

/// The containers whose namespaces a task shares, looked up at its start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joined {
    pub(crate) network: Option<Partner>,
    pub(crate) pid: Option<Partner>,
}

/// What its processes may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rights {
    pub(crate) privileged: bool,
    pub(crate) no_new_privileges: bool,
    pub(crate) cap_add: Vec<String>,
    pub(crate) cap_drop: Vec<String>,
    pub(crate) confinement: Confinement,
}

/// What confines its processes besides capabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Confinement {
    pub(crate) seccomp: SeccompChoice,
    /// The name of a loaded profile, `unconfined`, or empty for the default.
    pub(crate) apparmor: String,
    /// The kernel's files below /proc and /sys are neither masked nor read-only.
    pub(crate) unmasked: bool,
    /// Its own cgroup may be written to.
    pub(crate) writable_cgroups: bool,
}

/// Which system calls are filtered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SeccompChoice {
    /// As docker's default profile says.
    #[default]
    Builtin,
    /// None.
    Unconfined,
    /// As this profile says, which is JSON of docker's form.
    Profile(String),
}

/// The host's devices that it may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Devices {
    pub(crate) requested: Vec<RequestedDevice>,
    /// Rules of the device cgroup, as `c 13:* rwm`.
    pub(crate) cgroup_rules: Vec<String>,
}

/// A device of the host, or a directory of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RequestedDevice {
    pub(crate) host_path: String,
    /// Empty for the same.
    pub(crate) container_path: String,
    /// Of the letters r, w and m; empty for all three.
    pub(crate) permissions: String,
}

/// Where it is put, and what others are told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Placement {
    /// The parent of its cgroup; empty for knarrd's choice.
    pub(crate) cgroup_parent: String,
    /// Handed to the runtime and its hooks.
    pub(crate) annotations: BTreeMap<String, String>,
}

impl NetworkMode {
    /// Whether the container has a network namespace of its own.
    pub(crate) fn has_own_namespace(&self) -> bool {
        match self {
            Self::None | Self::Default | Self::Named(_) => true,
            Self::Host | Self::Container(_) => false,
        }
    }
}
