//! Why there is no checkpoint, or no container from it.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::cgroup::error::CgroupError;
use crate::child::error::CreateError;
use crate::handshake::failure::Failure;
use crate::hooks::HookError;
use crate::plan::error::PlanError;
use crate::spec::linux::NamespaceKind;
use crate::spec::load::SpecError;
use crate::state::error::StateError;

/// Why there is no checkpoint, or no container from it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum CheckpointError {
    #[error("criu is not in PATH, and checkpoints are its work; install it (Debian: apt-get install criu)")]
    NoCriu,
    #[error("criu is older than 3.16, which is the oldest that works; install a newer one")]
    OldCriu,
    #[error("criu cannot be run")]
    Start { source: Errno },
    #[error("cannot prepare what criu needs")]
    Prepare { source: Failure },
    #[error("cannot enter the container's cgroups")]
    Enter { source: Errno },
    #[error("--parent-path must be relative")]
    ParentAbsolute,
    #[error("invalid --parent-path: {path:?} cannot be listed")]
    Parent { path: PathBuf, source: std::io::Error },
    #[error("cannot open the restored process {pid}")]
    Process { pid: u32, source: Errno },
    #[error("criu ended without an answer; try `criu check`")]
    Died,
    #[error("criu sent what is no response of its protocol")]
    Malformed,
    #[error("cannot speak with criu")]
    Socket { source: Errno },
    #[error("this kernel or criu cannot {what}; try `criu check --all`")]
    Missing { what: &'static str },
    #[error("criu failed: type {verb} errno {errno}; its log {log} says: {said}")]
    Failed { verb: &'static str, errno: i32, log: String, said: String },
    #[error("cannot open or make {path:?}, the directory of a checkpoint")]
    Directory { path: PathBuf, source: Errno },
    #[error("cannot read or write {path:?} of the checkpoint")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path:?} is not what `checkpoint` writes there")]
    Descriptors { path: PathBuf, source: serde_json::Error },
    #[error("invalid --status-fd argument {number}: it is not open for writing")]
    StatusFd { number: i32 },
    #[error("Container cannot be checkpointed in {0} state")]
    Status(knarr_proto::status::Status),
    #[error("cannot find out about the {kind:?} namespace {path:?}")]
    Namespace { kind: NamespaceKind, path: PathBuf, source: Errno },
    #[error("criu saves no container without a mount namespace")]
    NoMountNamespace,
    #[error(
        "criu cannot join a cgroup namespace that is given by its path; leave it out of linux.namespaces"
    )]
    CgroupNamespace,
    #[error("cannot prepare the mount point {destination:?}")]
    MountPoint { destination: String, source: crate::rootfs::error::MountError },
    #[error("cannot prepare the root filesystem {path:?}")]
    Root { path: PathBuf, source: Errno },
    #[error("cannot have mounts of our own for a while")]
    View { source: Errno },
    #[error("criu restored no process")]
    NoProcess,
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Hook(#[from] HookError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Create(#[from] CreateError),
}
