//! What was asked for of a container's specification and cannot be.

use std::path::PathBuf;

use knarr_proto::kind::Kind;

use super::target::{InvalidTarget, MountTarget};
use crate::cgroups::InvalidCgroups;

/// The configuration cannot be turned into a container.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    /// No such capability.
    #[error("invalid capability {0:?}: names are as in capabilities(7), or ALL")]
    Capability(String),
    /// The mount's place in the container.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    /// Two mounts for one place; docker's words.
    #[error("Duplicate mount point: {0}")]
    DuplicateTarget(MountTarget),
    /// The mount's source on the host.
    #[error("invalid mount source {0:?}: it needs to be an absolute path")]
    Source(String),
    /// The mount's source is not there.
    #[error("bind source path does not exist: {path}")]
    NoSource { path: PathBuf, source: std::io::Error },
    /// The mount's source could not be made.
    #[error("cannot make the bind source {path}")]
    MakeSource { path: PathBuf, source: std::io::Error },
    /// No such propagation.
    #[error(
        "invalid mount propagation {0:?}: it is one of rprivate, private, rslave, slave, rshared, shared"
    )]
    Propagation(String),
    /// More mounts than are allowed.
    #[error("{count} mounts are more than the {max} that a container may have")]
    TooManyMounts { count: usize, max: usize },
    /// A limit that makes no sense.
    #[error("invalid {limit}: {problem}")]
    Limit { limit: &'static str, problem: String },
    /// No such resource limit.
    #[error("invalid ulimit {name:?}: names are as in `ulimit`, for example nofile")]
    Ulimit { name: String, source: serde_json::Error },
    /// A kernel parameter that is not the container's own.
    #[error(
        "sysctl {0:?} is not separate for each container: allowed are kernel.{{msg,sem,shm}}* and fs.mqueue.* without the host's ipc, and net.* without the host's network"
    )]
    Sysctl(String),
    /// A namespace of a kind that containers do not share, or a hostname for one that is not its own.
    #[error("{0}")]
    Sharing(&'static str),
    /// A device that is not there.
    #[error("cannot use the device {path}")]
    Device { path: PathBuf, source: std::io::Error },
    /// A device that is asked for in a form that means nothing.
    #[error("invalid device {text:?}: {problem}")]
    DeviceForm { text: String, problem: &'static str },
    /// A profile of system calls that cannot be read.
    #[error("invalid seccomp profile")]
    Seccomp(#[source] serde_json::Error),
    /// One that names what is not there.
    #[error("invalid seccomp profile: {what} {name:?} is unknown")]
    SeccompName { what: &'static str, name: String },
    /// The container's own parent of cgroups.
    #[error("invalid cgroup parent: {0}")]
    CgroupParent(#[source] InvalidCgroups),
    /// A hostname that the kernel or a hosts file would not take.
    #[error("invalid hostname {0:?}: 1 to 63 letters, digits, dots and dashes are allowed")]
    Hostname(String),
}

impl SpecError {
    pub(super) fn limit(limit: &'static str, problem: impl Into<String>) -> Self {
        Self::Limit { limit, problem: problem.into() }
    }

    /// What kind of failure this is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::MakeSource { .. } => Kind::FailedPrecondition,
            _ => Kind::InvalidArgument,
        }
    }
}
