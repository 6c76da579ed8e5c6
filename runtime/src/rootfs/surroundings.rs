//! What building the root needs besides its plan.

use std::os::fd::OwnedFd;

use crate::cgroup::paths::CgroupPaths;
use crate::handshake::ChildEnd;

/// Which process opens the source of a mount.
#[derive(Debug)]
pub(crate) enum Source {
    /// The child.
    ByChild,
    /// The creator, which has done so.
    Given(OwnedFd),
    /// The creator, when the mounts before it are there.
    OnRequest,
}

/// What building the root needs besides its plan.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// Which process opens each bind source, by index of the mount; empty when the child opens all.
    pub(crate) sources: &'a [Source],
    /// To ask the creator by.
    pub(crate) channel: &'a ChildEnd,
    /// Where the container's cgroups are on the host.
    pub(crate) cgroups: &'a CgroupPaths,
    /// Whether the container has a cgroup namespace of its own.
    pub(crate) has_cgroup_namespace: bool,
    /// Whether we are in a user namespace, where device nodes cannot be made.
    pub(crate) in_user_namespace: bool,
    /// The SELinux label of mounts.
    pub(crate) mount_label: &'a str,
    /// The directory to start in, made if it is not there.
    pub(crate) cwd: &'a str,
}
