//! What is remembered of a container between two runs of the program: one directory per container below `--root`,
//! readable by its owner alone, and in it
//!
//! ```text
//! state.json    the State: written beside, then renamed, so that there is always a whole one
//! .state.json   its copy, for when that one is damaged: the state before, or the same where there are no cgroups
//! config.json   the configuration as it was when the container was made
//! exec.fifo     the start gate, while the process waits for `start`
//! notify/       the sd_notify socket, if our caller had one
//! ```
//! The order that makes `delete --force` work after a kill -9 at any point: claim the name (mkdir and flock), record
//! the cgroups' paths, only then make anything; record the first process before it may go on.
#![forbid(unsafe_code)]

mod claim;
mod record;
mod status;

use std::path::PathBuf;

use knarr_proto::id::ContainerId;
use rustix::io::Errno;

pub(crate) use claim::{Claim, Directory};
pub(crate) use record::{Process, State, VERSION};
pub(crate) use status::{Observed, list};

/// The name of the start gate inside a container's state directory. A container in which it exists is `created`.
pub(crate) const START_GATE: &str = "exec.fifo";

/// The directory that a container with a notify socket sees, and the socket's name in it.
pub(crate) const NOTIFY_DIRECTORY: &str = "notify";
/// See [`NOTIFY_DIRECTORY`].
pub(crate) const NOTIFY_SOCKET: &str = "notify.sock";

/// The name of the kept configuration.
pub(crate) const CONFIG: &str = "config.json";

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
    Cgroup(#[from] crate::cgroup::CgroupError),
}
