//! Control groups: where a container's lie, what limits they hold, and everything that is done to the container as a
//! whole through them. cgroup v1, v2 and both at once (hybrid), each hierarchy found where it is mounted.
//!
//! - [`layout`]: what the host has, read from mountinfo
//! - [`plan`]: `cgroupsPath` and `resources` → paths and values, before anything is touched
//! - `limits`: `resources` → writes, judged, then made; `devices`: which device nodes may be used
//! - `controllers`: v2's, handed down on the way to the container
//! - [`fence`]: the cgroups themselves: made, entered; `directory`: one of them, with its files
//! - [`refuge`](mod@refuge): what is entered when they take nobody in
//! - `removal`: their end, and that of whoever is left in them
//! - `systemd`: the same as a transient unit; `owner`: who may divide it further
//! - `freezer`, `members`: freeze and thaw; count and kill; `walk`: the cgroups inside one
//! - `stats`, `oom`: what is used, and when it was too much; `update`: new limits into old ones
//!
//! Never writes another task's pid into `cgroup.procs`: that waits for an RCU grace period (5 to 14 ms). The child
//! enters by itself, by what [`Entrance`] holds.
#![forbid(unsafe_code)]

mod controllers;
mod devices;
mod directory;
mod fence;
mod freezer;
mod layout;
mod limits;
mod members;
mod oom;
mod owner;
mod plan;
mod refuge;
mod removal;
mod stats;
mod systemd;
mod update;
mod walk;

use std::path::PathBuf;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

pub(crate) use devices::DeviceList;
pub(crate) use fence::Usher;
pub(crate) use fence::{Entrance, Fence};
pub(crate) use layout::{Hierarchy, Layout, Membership, Version};
pub(crate) use limits::{Fields, Limits};
pub(crate) use plan::{CgroupPlan, Driver, plan};
pub(crate) use refuge::refuge;
pub(crate) use stats::Stats;
pub(crate) use systemd::{BusError, Scope};
pub(crate) use update::merge;

/// Where a container's cgroups are, as its state remembers them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CgroupPaths {
    /// One for each hierarchy of the host that the container is in.
    pub(crate) hierarchies: Vec<CgroupPath>,
    /// Its unit, when systemd has made them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<Scope>,
}

/// A cgroup in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CgroupPath {
    /// Which interface the hierarchy has.
    pub(crate) version: Version,
    /// v1: the controllers bound to it, or `name=systemd`; empty for v2.
    pub(crate) controllers: Vec<String>,
    /// Where the hierarchy is mounted.
    pub(crate) mount: String,
    /// The cgroup below that mount, with a leading slash, without `.` and `..`.
    pub(crate) path: String,
}

impl CgroupPath {
    /// The directory on the host.
    #[must_use]
    pub(crate) fn directory(&self) -> PathBuf {
        PathBuf::from(format!("{}{}", self.mount, self.path))
    }
}

impl CgroupPaths {
    /// The v1 cgroup that has `controller`.
    #[must_use]
    pub(crate) fn v1(&self, controller: &str) -> Option<&CgroupPath> {
        self.hierarchies.iter().find(|path| path.controllers.iter().any(|name| name == controller))
    }

    /// Whether there is v2 and nothing else.
    #[must_use]
    pub(crate) fn is_unified(&self) -> bool {
        matches!(self.hierarchies.as_slice(), [only] if only.version == Version::V2)
    }

    /// Whose interface its limits have.
    #[must_use]
    pub(crate) fn version(&self) -> Version {
        if self.is_unified() { Version::V2 } else { Version::V1 }
    }

    /// Has systemd stop and forget the unit, if there is one: one that failed stays until then.
    fn forget(&self) -> Result<(), CgroupError> {
        self.scope.as_ref().map_or(Ok(()), Scope::stop)
    }

    /// The v2 cgroup.
    #[must_use]
    pub(crate) fn v2(&self) -> Option<&CgroupPath> {
        self.hierarchies.iter().find(|path| path.version == Version::V2)
    }
}

/// What can go wrong with cgroups.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum CgroupError {
    #[error("no cgroup filesystem is mounted; mount cgroup2 on /sys/fs/cgroup")]
    NoneMounted,
    #[error("invalid linux.cgroupsPath {path:?}: {problem}")]
    BadPath { path: String, problem: &'static str },
    #[error(
        "systemd cgroup flag passed, but systemd support for managing cgroups is not available: no systemd runs here; use a cgroupfs path and no --systemd-cgroup"
    )]
    NoSystemd,
    #[error(
        "systemd's cgroups cannot be used without root on cgroup v1; leave --systemd-cgroup out, or boot with cgroup v2"
    )]
    NoUserSystemd,
    #[error("cannot {verb} the systemd unit {unit}")]
    Unit { verb: &'static str, unit: String, source: BusError },
    #[error("cannot fork the process that holds the container's scope")]
    Placeholder { source: Errno },
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: Errno },
    /// runc's words come first.
    #[error("unable to apply cgroup configuration: cannot make cgroup {path}")]
    Make { path: PathBuf, source: Errno },
    #[error("cannot open cgroup {path}")]
    Open { path: PathBuf, source: Errno },
    #[error("cannot write {value:?} to {path}")]
    Write { path: PathBuf, value: String, source: Errno },
    #[error("cannot give cgroup {path} to user {user}")]
    Delegate { path: PathBuf, user: u32, source: Errno },
    #[error("cannot remove cgroup {path}")]
    Remove { path: PathBuf, source: Errno },
    #[error("cannot wait for {path} to become empty")]
    Wait { path: PathBuf, source: Errno },
    #[error("container's cgroup unexpectedly frozen: {0}; thaw or remove it first")]
    Frozen(PathBuf),
    #[error("container's cgroup is not empty: {count} process(es) found in {path}")]
    NotEmpty { path: PathBuf, count: usize },
    #[error("cgroup not exist")]
    Gone,
    #[error(
        "the cgroup takes no process in, for it hands controllers down to cgroups inside it; name one of these"
    )]
    Crowded { source: Errno },
    #[error("the container's first process has ended or left the cgroups that are in sight here")]
    Lost,
    #[error(
        "cannot set {controller} limit: container could not join or create cgroup ({what} needs the cgroup controller {controller:?}, which the container does not have; leave it out or enable the controller)"
    )]
    NoController { what: String, controller: String },
    #[error(
        "{what} needs the cgroup controller {controller:?}, which cannot be enabled in {path}; processes in that cgroup itself must move to one below it"
    )]
    Enable { controller: String, what: String, path: PathBuf, source: Errno },
    #[error("cannot set {field} to {value:?} in {path}")]
    Limit { field: String, path: PathBuf, value: String, source: Errno },
    #[error("cannot load or attach the device rules' program to {path}")]
    DeviceProgram { path: PathBuf, source: Errno },
    #[error("cannot enter cgroupv2 {path:?} with domain controllers -- it is in {state} mode")]
    Threaded { path: PathBuf, state: String },
    #[error("invalid {what}: {problem}")]
    BadLimit { what: String, problem: String },
    #[error("cannot freeze or thaw {path}: it stayed {state:?} for {waited_ms} ms")]
    FreezeTimeout { path: PathBuf, state: String, waited_ms: u64 },
    #[error("cannot freeze: the container has neither a v1 freezer nor a v2 cgroup")]
    NoFreezer,
    #[error("cannot signal process {pid}")]
    Signal { pid: u32, source: Errno },
    #[error("{path} holds what no kernel writes: {content:?}")]
    Nonsense { path: PathBuf, content: String },
}
