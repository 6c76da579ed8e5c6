//! Why a container or a process in it could not be made, in runc's words where callers look for them.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::cgroup::error::CgroupError;
use crate::handshake::error::ChannelError;
use crate::handshake::failure::Failure;
use crate::hooks::HookError;
use crate::host::NamespaceError;
use crate::network::NetworkError;
use crate::notify::NotifyError;
use crate::null::NullError;
use crate::plan::error::PlanError;
use crate::process::policies::PolicyError;
use crate::resctrl::error::ResctrlError;
use crate::rootfs::error::MountError;
use crate::security::apparmor::AppArmorError;
use crate::security::seccomp::error::SeccompError;
use crate::security::seccomp::listener::ListenerError;
use crate::security::selinux::SelinuxError;
use crate::spec::load::SpecError;
use crate::state::error::StateError;

/// Why a container could not be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum CreateError {
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Hook(#[from] HookError),
    #[error(transparent)]
    AppArmor(#[from] AppArmorError),
    #[error(transparent)]
    Selinux(#[from] SelinuxError),
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Resctrl(#[from] ResctrlError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Notify(#[from] NotifyError),
    #[error(transparent)]
    Null(#[from] NullError),
    #[error(transparent)]
    Listener(#[from] ListenerError),
    #[error("unable to start container process: error during container init")]
    Init { source: Failure },
    #[error("unable to start container process: the container's first process died during its set-up")]
    Died,
    #[error("unable to start container process: container init was OOM-killed (memory limit too low?)")]
    OutOfMemory,
    #[error("the container's first process sent a message out of order")]
    Order,
    #[error("unable to start container process: clone3 failed")]
    Clone { source: Errno },
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    #[error("cannot open the root filesystem {path:?}")]
    Root { path: PathBuf, source: Errno },
    #[error("cannot open the source of the mount at {destination:?}")]
    Source { destination: String, source: MountError },
    #[error("cannot look into the container's mount namespace")]
    View { source: Errno },
    #[error("cannot map the ids of the mount at {destination:?} (its filesystem may not support it)")]
    IdMap { destination: String, source: Errno },
    #[error("cannot write {path}")]
    Write { path: String, source: Errno },
    #[error("cannot run {program}, which maps ids for users who are not root; install uidmap")]
    MapProgram { program: &'static str, source: std::io::Error },
    #[error("{program} refused the mappings: {said}")]
    MapRefused { program: &'static str, said: String },
    #[error("cannot set {what} of the container's first process")]
    Limit { what: &'static str, source: Errno },
    #[error("cannot write the pid file {path:?}")]
    PidFile { path: PathBuf, source: std::io::Error },
    #[error("cannot send a descriptor to {path:?}")]
    Socket { path: PathBuf, source: Errno },
    #[error("unable to stat preserved-fd {number} (of {count})")]
    Preserved { number: u32, count: u32 },
    #[error("cannot mark the caller's descriptors close-on-exec")]
    Inherited { source: Errno },
    #[error("cannot set the modes of the container's terminal")]
    Terminal { source: Errno },
    #[error("cannot make the start gate")]
    Gate { source: Errno },
}
