//! What can go wrong with the remembered state.

use std::path::PathBuf;

use knarr_proto::id::ContainerId;
use rustix::io::Errno;

use super::record::VERSION;

/// What can go wrong with the remembered state.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum StateError {
    #[error("container with given ID already exists: {0}; delete it or choose another")]
    Exists(ContainerId),
    #[error("container does not exist: {0}")]
    NotFound(ContainerId),
    #[error("cannot make the state directory {path}")]
    Make { path: PathBuf, source: Errno },
    #[error("cannot lock the state directory {path}")]
    Lock { path: PathBuf, source: Errno },
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: Errno },
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: Errno },
    #[error("cannot remove {path}")]
    Remove { path: PathBuf, source: Errno },
    #[error("{path} is not the state of a container; `delete --force` ends what is left of it")]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error(
        "{path} was written by another version of this program ({found}, this is {VERSION}); delete the container with that one, or with `delete --force`"
    )]
    Version { path: PathBuf, found: u32 },
    #[error("cannot tell the state of process {pid}")]
    Process { pid: u32, source: Errno },
    #[error(transparent)]
    Cgroup(#[from] crate::cgroup::error::CgroupError),
}
