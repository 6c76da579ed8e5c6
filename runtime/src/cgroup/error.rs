//! What can go wrong with cgroups.

use std::path::PathBuf;

use rustix::io::Errno;

use super::systemd::error::BusError;

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
