//! Why a task request failed, and which kind of failure that is. The texts are those of containerd's own shim where its
//! callers look for them.

use knarr_proto::id::InvalidId;
use knarr_proto::kind::Kind;
use knarr_proto::reason::Reason;
use knarr_proto::status::Status;
use rustix::io::Errno;

use super::options::OptionsError;
use crate::cgroup::CgroupError;
use crate::console::ConsoleError;
use crate::exit::ExitError;
use crate::mounts::MountError;
use crate::runtime::RuntimeError;
use crate::stdio::StdioError;

/// A request about a container or one of its processes failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// No such container in this shim.
    #[error("container not created")]
    NotCreated,
    /// No such exec in the container.
    #[error("process does not exist {0}")]
    NoProcess(String),
    /// The id is taken.
    #[error("{0} already exists")]
    Exists(String),
    /// The id cannot be used.
    #[error("bad id")]
    Id(#[source] InvalidId),
    /// The process's state does not allow it.
    #[error("cannot {operation} a {status} process")]
    State {
        /// What was asked.
        operation: &'static str,
        /// Where the process is.
        status: Status,
    },
    /// The process has ended.
    #[error("process already finished")]
    Finished,
    /// An exec that has not been started has nothing to signal.
    #[error("process not created")]
    NotStarted,
    /// Not a signal that this shim can send to an exec: real-time ones have no name.
    #[error("signal {0} cannot be sent to an exec")]
    Signal(u32),
    /// The kernel refused to deliver a signal.
    #[error("cannot signal the process")]
    Kill(#[source] Errno),
    /// The request is for another container than this shim's.
    #[error("this shim is container {0}'s")]
    Foreign(String),
    /// Something in the request cannot be understood.
    #[error("{0} cannot be understood")]
    Malformed(&'static str, #[source] Option<serde_json::Error>),
    /// Checkpoints are not built.
    #[error("checkpointing a task, or creating one from a checkpoint, is not supported")]
    Checkpoint,
    /// The shim is ending.
    #[error("the shim is ending")]
    Ending,
    /// The request's options.
    #[error("cannot use the runtime options")]
    Options(#[source] OptionsError),
    /// The bundle is none.
    #[error("cannot read the bundle's config.json")]
    Config(#[source] std::io::Error),
    /// The bundle's files.
    #[error("cannot write {0} into the bundle")]
    Bundle(&'static str, #[source] std::io::Error),
    /// The runtime's answer.
    #[error(transparent)]
    Runtime(RuntimeError),
    /// The pid file that the runtime was to write.
    #[error("the OCI runtime wrote no pid file")]
    PidFile(#[source] std::io::Error),
    /// The root file system.
    #[error("cannot prepare the rootfs")]
    Mount(#[source] MountError),
    /// The streams.
    #[error("cannot prepare the process's streams")]
    Stdio(#[source] StdioError),
    /// The pipe that a probe of its health writes to.
    #[error("cannot prepare the probe's output")]
    Probe(#[source] std::io::Error),
    /// The terminal.
    #[error("cannot prepare the process's terminal")]
    Console(#[source] ConsoleError),
    /// The exit record.
    #[error("cannot prepare the exit record")]
    Exit(#[source] ExitError),
    /// The cgroup.
    #[error("cannot measure the container")]
    Cgroup(#[source] CgroupError),
    /// What is left of the container, whose runtime has lost its state.
    #[error("cannot end what is left of the container")]
    Leftover(#[source] std::io::Error),
    /// The process did not end although its container was deleted.
    #[error("the container's process {0} does not end")]
    Immortal(u32),
}

impl TaskError {
    /// Why the process's program cannot be executed, if that is what failed.
    pub(crate) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Runtime(RuntimeError::Failed { reason, .. }) => *reason,
            _ => None,
        }
    }

    /// The kind, for the caller's error code.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::NotCreated | Self::NoProcess(_) | Self::Finished => Kind::NotFound,
            Self::Exists(_) => Kind::AlreadyExists,
            Self::State { .. } | Self::NotStarted => Kind::FailedPrecondition,
            Self::Id(_) | Self::Foreign(_) | Self::Signal(_) | Self::Malformed(..) | Self::Options(_) => {
                Kind::InvalidArgument
            }
            Self::Stdio(StdioError::Target(_)) => Kind::InvalidArgument,
            Self::Checkpoint | Self::Mount(MountError::Target(_) | MountError::Option(_)) => {
                Kind::Unimplemented
            }
            Self::Mount(MountError::TooMany(_)) => Kind::InvalidArgument,
            Self::Cgroup(_) => Kind::NotFound,
            Self::Ending => Kind::Unavailable,
            Self::Bundle(..)
            | Self::Config(_)
            | Self::Runtime(_)
            | Self::PidFile(_)
            | Self::Mount(_)
            | Self::Stdio(_)
            | Self::Probe(_)
            | Self::Console(_)
            | Self::Exit(_)
            | Self::Kill(_)
            | Self::Leftover(_)
            | Self::Immortal(_) => Kind::Internal,
        }
    }
}
