//! Why a container's root could not be made, in runc's words where callers look for them.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::handshake::FetchError;
use crate::null::NullError;

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
