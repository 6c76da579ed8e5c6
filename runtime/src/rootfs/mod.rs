//! The container's root, from the child's side: a tree of mounts that is built below one descriptor, filled, and then
//! entered. No path is ever joined to the root's; mounts are made detached and attached by descriptor.
//!
//! - [`tree`]: what is below the root, resolved inside it
//! - [`mounts`]: `mounts[]`;  `bind_attributes`: what a bind mount keeps of its source;  `cgroups`: the cgroup mount
//! - `devices`: /dev;  `masks`: masked and read-only paths
//! - [`procfs`]: our own view of the kernel
//! - `enter`: pivot_root
#![forbid(unsafe_code)]

mod bind_attributes;
pub(crate) mod cgroups;
mod copy_up;
pub(crate) mod devices;
mod enter;
mod masks;
pub(crate) mod mounts;
pub(crate) mod procfs;
pub(crate) mod tree;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::cgroup::CgroupPaths;
use crate::handshake::{ChildEnd, FetchError};
use crate::null::{self, NullError};
use crate::plan;
use crate::sys::Errno;

pub(crate) use enter::{Entry, become_root, enter};
pub(crate) use procfs::Procfs;
pub(crate) use tree::Tree;

/// Why the root could not be made. runc's words where callers look for them.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum RootError {
    #[error(transparent)]
    Null(#[from] NullError),
    #[error("cannot set the propagation of the host's mounts in the container's mount namespace")]
    HostPropagation { source: Errno },
    #[error("cannot make the root filesystem a mount of its own")]
    Bind { source: Errno },
    #[error("error mounting {kind:?} to rootfs at {destination:?}")]
    Mount { kind: String, destination: String, source: MountError },
    #[error("cannot create device node {path:?}")]
    Device { path: String, source: Errno },
    #[error("cannot create symlink {path:?}")]
    Link { path: &'static str, source: Errno },
    #[error("/dev/null of the host cannot be used: it is not the device of that name")]
    HostNull { source: Errno },
    #[error("can't mask path {path:?}")]
    Mask { path: String, source: Errno },
    #[error("can't mask path {path:?}: it is the root itself; mask what it holds")]
    MaskRoot { path: String },
    #[error("can't make {path:?} read-only")]
    Readonly { path: String, source: Errno },
    #[error("cannot create the working directory {path:?}")]
    Cwd { path: String, source: Errno },
    #[error("pivot_root failed")]
    Pivot { source: Errno },
    #[error("cannot take the root filesystem into the host's mount namespace")]
    Leave { source: Errno },
    #[error("cannot mount a procfs to verify kernel settings through")]
    Procfs { source: Errno },
}

/// Why one mount could not be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum MountError {
    #[error("cannot open the source {path}")]
    Source { path: PathBuf, source: Errno },
    #[error("cannot open the source")]
    Fetch { source: FetchError },
    #[error("filesystem type {kind:?}")]
    Type { kind: String, source: Errno },
    #[error("invalid mount option {option:?}{log}")]
    Option { option: String, log: String, source: Errno },
    #[error("cannot create the filesystem{log}")]
    Create { log: String, source: Errno },
    #[error("cannot create the mount point")]
    Target { source: Errno },
    #[error("filesystem {kind:?} must be mounted on ordinary directory")]
    NotOrdinary { kind: String, source: Errno },
    #[error("the mount point is the root itself")]
    OnRoot,
    #[error("the mount point is inside /proc")]
    InsideProc,
    #[error("cannot set the mount's attributes")]
    Attributes { source: Errno },
    #[error(
        "flags of the source (ro, nosuid, nodev, noexec, access time) cannot be taken away in a user namespace"
    )]
    Locked { source: Errno },
    #[error("cannot set linux.mountLabel on the mount's root")]
    Label { source: Errno },
    #[error("cannot attach the mount")]
    Attach { source: Errno },
    #[error("cannot copy up what the mount hides")]
    CopyUp { source: Errno },
    #[error("{path} of the host holds no cgroup of the container")]
    Cgroup { path: PathBuf, source: Errno },
}

/// Who opens the source of a mount.
#[derive(Debug)]
pub(crate) enum Source {
    /// The child.
    ByChild,
    /// The creator, who did.
    Given(OwnedFd),
    /// The creator, when the mounts before it are there.
    OnRequest,
}

/// What building the root needs besides its plan.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// Who opens bind sources, by index of the mount; all by the child when it is empty.
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

/// The root with all its mounts, not yet entered: the moment of the createContainer hooks.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) tree: Tree,
    /// The procfs that was mounted for the container, if it was and can be written through.
    procfs: Option<Procfs>,
    /// The devpts that was mounted for the container.
    devpts: Option<OwnedFd>,
    /// Read-only tmpfs: writable until all that belongs into them is there.
    readonly_later: Vec<OwnedFd>,
}

/// Builds the root. The working directory must be the root filesystem, in the container's mount namespace.
///
/// # Errors
/// [`RootError`].
pub(crate) fn build(root: &plan::Root, around: &Surroundings<'_>) -> Result<Built, RootError> {
    let tree = enter::bind_root(root.propagation)?;
    let mut built = Built { tree, procfs: None, devpts: None, readonly_later: Vec::new() };
    for (index, mount) in root.mounts.iter().enumerate() {
        mounts::make(&mut built, index, mount, around).map_err(|source| RootError::Mount {
            kind: mounts::name(&mount.kind),
            destination: format!("/{}", mount.destination),
            source,
        })?;
    }
    let has_own_null = match &root.devices {
        Some(devices) => devices::fill(&built.tree, devices, around.in_user_namespace)?,
        None => false,
    };
    // In a user namespace the creator did it.
    if !has_own_null && !around.in_user_namespace {
        null::protect_streams()?;
    }
    let cwd = plan::mounts::below_root(around.cwd);
    built
        .tree
        .make_directory(&cwd, tree::Links::Follow)
        .map_err(|source| RootError::Cwd { path: around.cwd.to_owned(), source })?;
    Ok(built)
}

/// Masks and read-only paths: last, since from then on the container's own settings cannot be written.
///
/// # Errors
/// [`RootError`].
pub(crate) fn cover(built: &Built, root: &plan::Root, mount_label: &str) -> Result<(), RootError> {
    let tree = &built.tree;
    for mount in &built.readonly_later {
        mounts::set_readonly(mount.as_fd())
            .map_err(|source| RootError::Readonly { path: "a tmpfs".to_owned(), source })?;
    }
    for path in &root.readonly {
        masks::make_readonly(tree, path)
            .map_err(|source| RootError::Readonly { path: format!("/{path}"), source })?;
    }
    masks::mask(tree, &root.masked, mount_label)
}

impl Built {
    /// A procfs to write kernel settings through: the container's when it is ours, otherwise one of our own.
    pub(crate) fn take_procfs(&mut self) -> Result<Procfs, RootError> {
        match self.procfs.take() {
            Some(procfs) => Ok(procfs),
            None => Procfs::mount().map_err(|source| RootError::Procfs { source }),
        }
    }

    /// The devpts that was mounted for the container.
    pub(crate) fn devpts(&self) -> Option<BorrowedFd<'_>> {
        self.devpts.as_ref().map(AsFd::as_fd)
    }
}
