//! What a task is made of, as plain data: what was decided about its process, streams, files and limits. It knows no names,
//! records or images.
//!
//! Records keep these groups as JSON: fields are only ever added, with a default.

use std::collections::BTreeMap;

use knarr_proto::id::ContainerId;
use serde::{Deserialize, Serialize};

/// Everything that a task's config.json is made of, besides what is looked up in its root filesystem.
#[derive(Clone, Debug)]
pub(crate) struct TaskPlan {
    pub(crate) id: ContainerId,
    pub(crate) process: Process,
    pub(crate) streams: Streams,
    pub(crate) files: Files,
    pub(crate) isolation: Isolation,
    pub(crate) resources: Resources,
}

/// The first process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Process {
    /// Never empty.
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) working_dir: String,
    /// As written; looked up in the root filesystem at each start.
    pub(crate) user: String,
    /// Extra groups, looked up likewise.
    pub(crate) group_add: Vec<String>,
}

/// The first process's standard streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Streams {
    pub(crate) tty: bool,
    pub(crate) open_stdin: bool,
    pub(crate) stdin_once: bool,
    /// At start, for one with a terminal.
    pub(crate) terminal_size: Option<TerminalSize>,
}

/// What a container finds in its file system besides its snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Files {
    pub(crate) read_only_rootfs: bool,
    /// Those that were asked for, and the volumes of the image that none of them replaces.
    pub(crate) mounts: Vec<Mount>,
}

/// What separates a container from the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Isolation {
    /// Empty for the first 12 characters of the id.
    pub(crate) hostname: String,
    pub(crate) network: NetworkMode,
    pub(crate) privileged: bool,
    pub(crate) no_new_privileges: bool,
    pub(crate) cap_add: Vec<String>,
    pub(crate) cap_drop: Vec<String>,
    pub(crate) sysctls: BTreeMap<String, String>,
    pub(crate) ulimits: Vec<Ulimit>,
}

/// Which network namespace a container has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NetworkMode {
    /// Its own, with only loopback.
    #[default]
    None,
    /// The host's.
    Host,
    /// That of another container, by id or name.
    Container(String),
    /// Its own, with a place in this network.
    Named(String),
}

/// Something mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    pub(crate) kind: MountKind,
    /// Absolute path in the container.
    pub(crate) target: String,
    pub(crate) read_only: bool,
}

/// Where a mount's content comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MountKind {
    /// A directory or file of the host.
    Bind { source: String, propagation: String, create_source: bool },
    /// Memory; 0 is the kernel's default size, and mode 1777.
    Tmpfs { size_bytes: u64, mode: u32 },
    /// A directory that begins with what the image has there. For now it is the container's own: part of its snapshot, or
    /// memory where the root is read-only.
    Volume {},
}

/// Limits; zero is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Resources {
    pub(crate) memory_bytes: i64,
    pub(crate) memory_swap_bytes: i64,
    pub(crate) memory_reservation_bytes: i64,
    pub(crate) nano_cpus: i64,
    pub(crate) cpu_shares: u64,
    pub(crate) cpuset_cpus: String,
    pub(crate) cpuset_mems: String,
    pub(crate) pids_limit: i64,
}

/// A resource limit of the container's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ulimit {
    pub(crate) name: String,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

/// Of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TerminalSize {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
}

impl NetworkMode {
    /// Whether the container has a network namespace of its own.
    pub(crate) fn has_own_namespace(&self) -> bool {
        match self {
            Self::None | Self::Named(_) => true,
            Self::Host | Self::Container(_) => false,
        }
    }
}

impl Mount {
    /// A volume that an image declares at `target`.
    pub(crate) fn volume(target: String) -> Self {
        Self { kind: MountKind::Volume {}, target, read_only: false }
    }

    /// Whether it was asked for, rather than declared by the image.
    pub(crate) fn is_requested(&self) -> bool {
        !matches!(self.kind, MountKind::Volume {})
    }
}

impl Files {
    /// The mounts that were asked for.
    pub(crate) fn requested(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().filter(|mount| mount.is_requested())
    }

    /// Where the volumes are.
    pub(crate) fn volumes(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().filter(|mount| !mount.is_requested()).map(|mount| mount.target.as_str())
    }
}
