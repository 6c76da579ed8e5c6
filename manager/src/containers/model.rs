//! What a container is, as plain data: what was asked for, what came of it, and where in its life it is.
//! This is also what is kept in the database, as JSON: fields are only ever added, with a default.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use knarr_proto::id::ContainerId;
use serde::{Deserialize, Serialize};

pub(crate) use super::life::{Exit, Life, Phase};

/// A moment, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct UnixNs(pub(crate) u64);

impl UnixNs {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn to_system_time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.0)
    }
}

/// What a container is to be, as asked for. Empty means: as the image says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) image: String,
    /// `Some` of nothing clears the image's entrypoint.
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) working_dir: String,
    pub(crate) user: String,
    pub(crate) hostname: String,
    pub(crate) tty: bool,
    pub(crate) open_stdin: bool,
    pub(crate) stdin_once: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) stop_signal: String,
    pub(crate) stop_timeout_seconds: Option<u32>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) resources: Resources,
    pub(crate) read_only_rootfs: bool,
    pub(crate) cap_add: Vec<String>,
    pub(crate) cap_drop: Vec<String>,
    pub(crate) privileged: bool,
    pub(crate) network: Network,
    pub(crate) auto_remove: bool,
    pub(crate) no_new_privileges: bool,
    pub(crate) group_add: Vec<String>,
    pub(crate) terminal_size: Option<TerminalSize>,
    pub(crate) sysctls: BTreeMap<String, String>,
    pub(crate) ulimits: Vec<Ulimit>,
}

/// Which network namespace a container has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Network {
    /// Its own, with only loopback.
    #[default]
    None,
    /// The host's.
    Host,
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

/// The first process, as resolved against the image; what the image said later does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Never empty.
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) working_dir: String,
    /// As written; looked up in the rootfs when the container starts.
    pub(crate) user: String,
    pub(crate) stop_signal: i32,
    /// Directories that the image wants outside its layers.
    pub(crate) volumes: Vec<String>,
}

/// What is decided at creation and never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) id: ContainerId,
    pub(crate) name: String,
    /// The image's config digest.
    pub(crate) image_id: String,
    pub(crate) created_at: UnixNs,
    pub(crate) config: Config,
    pub(crate) process: Process,
}

/// A container as seen from outside, all at one moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) identity: std::sync::Arc<Identity>,
    pub(crate) life: Life,
    pub(crate) bundle: PathBuf,
}
