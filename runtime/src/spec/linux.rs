//! `linux`: namespaces, id mappings, devices and the rest that only Linux has.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::null::null_is_default;
use super::resources::Resources;
use super::seccomp::Seccomp;

/// The `linux` object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Linux {
    /// User ids of the container's user namespace.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) uid_mappings: Vec<IdMapping>,
    /// Group ids of the container's user namespace.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) gid_mappings: Vec<IdMapping>,
    /// Kernel settings, dotted or with slashes.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) sysctl: BTreeMap<String, String>,
    /// cgroup limits.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) resources: Resources,
    /// Path in the cgroup tree, or `slice:prefix:name` for systemd; empty lets the runtime choose.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) cgroups_path: String,
    /// Namespaces to make or to join; those not named are the runtime's own.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) namespaces: Vec<Namespace>,
    /// Devices to make besides the default ones.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) devices: Vec<Device>,
    /// Host network interfaces to move in, by host name.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) net_devices: BTreeMap<String, NetDevice>,
    /// The system call filter.
    pub(crate) seccomp: Option<Seccomp>,
    /// Propagation of the root mount: `shared`, `slave`, `private` or `unbindable`, with or without `r`.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) rootfs_propagation: String,
    /// Paths that the container cannot read.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) masked_paths: Vec<String>,
    /// Paths that the container cannot write.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) readonly_paths: Vec<String>,
    /// SELinux label of mounts.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) mount_label: String,
    /// Cache and memory bandwidth allocation.
    pub(crate) intel_rdt: Option<IntelRdt>,
    /// set_mempolicy.
    pub(crate) memory_policy: Option<MemoryPolicy>,
    /// personality.
    pub(crate) personality: Option<Personality>,
    /// Time namespace offsets by clock (`monotonic`, `boottime`).
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) time_offsets: BTreeMap<String, TimeOffset>,
}

/// One line of uid_map or gid_map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct IdMapping {
    /// First id inside.
    #[serde(rename = "containerID")]
    pub(crate) container_id: u32,
    /// First id outside.
    #[serde(rename = "hostID")]
    pub(crate) host_id: u32,
    /// How many ids.
    pub(crate) size: u32,
}

/// A namespace to make, or with a path to join.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Namespace {
    /// Which.
    #[serde(rename = "type")]
    pub(crate) kind: NamespaceKind,
    /// Of the namespace to join; empty makes a new one.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) path: String,
}

/// The kernel's eight namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NamespaceKind {
    /// Process ids.
    Pid,
    /// Interfaces, routes, sockets.
    Network,
    /// Mount points.
    Mount,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host and domain name.
    Uts,
    /// User and group ids, capabilities.
    User,
    /// The view of the cgroup tree.
    Cgroup,
    /// Monotonic and boot clocks.
    Time,
}

impl NamespaceKind {
    /// Every kind.
    pub(crate) const ALL: [Self; 8] =
        [Self::Pid, Self::Network, Self::Mount, Self::Ipc, Self::Uts, Self::User, Self::Cgroup, Self::Time];

    /// The word of the specification.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Network => "network",
            Self::Mount => "mount",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::User => "user",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }
}

impl NamespaceKind {
    /// Its name in `/proc/PID/ns`.
    #[must_use]
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::Network => "net",
            Self::Mount => "mnt",
            other => other.name(),
        }
    }
}

/// A device node to make.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Device {
    /// Path inside the container.
    pub(crate) path: String,
    /// Kind of node.
    #[serde(rename = "type")]
    pub(crate) kind: DeviceKind,
    /// Major number; required but for fifos.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) major: i64,
    /// Minor number; required but for fifos.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) minor: i64,
    /// Permission bits; 0666 when absent.
    #[serde(default)]
    pub(crate) file_mode: Option<u32>,
    /// Owner inside the container.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) uid: u32,
    /// Group inside the container.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) gid: u32,
}

/// mknod's kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum DeviceKind {
    /// Character device.
    #[serde(rename = "c")]
    Character,
    /// Unbuffered character device, the same to Linux.
    #[serde(rename = "u")]
    Unbuffered,
    /// Block device.
    #[serde(rename = "b")]
    Block,
    /// Named pipe.
    #[serde(rename = "p")]
    Fifo,
}

/// A host interface to move into the container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NetDevice {
    /// New name; empty keeps the host's.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) name: String,
}

/// resctrl settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct IntelRdt {
    /// Class of service.
    #[serde(rename = "closID", deserialize_with = "null_is_default")]
    pub(crate) clos_id: String,
    /// Lines for `schemata`, as they are.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) schemata: Vec<String>,
    /// L3 line.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) l3_cache_schema: String,
    /// Memory bandwidth line.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) mem_bw_schema: String,
    /// Whether a monitoring group of its own is made.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) enable_monitoring: bool,
}

/// NUMA policy of the first process.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MemoryPolicy {
    /// `MPOL_BIND` …
    pub(crate) mode: String,
    /// Node list, `0-3,7`.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) nodes: String,
    /// `MPOL_F_STATIC_NODES` …
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) flags: Vec<String>,
}

/// Execution domain.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Personality {
    /// `LINUX` or `LINUX32`.
    pub(crate) domain: String,
    /// None are defined by the specification.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) flags: Vec<String>,
}

/// How far a clock of the time namespace is from the host's.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TimeOffset {
    /// Seconds.
    pub(crate) secs: i64,
    /// Nanoseconds, below one second.
    pub(crate) nanosecs: u32,
}
