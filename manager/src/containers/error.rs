//! Why a container verb failed: one enum for the whole noun, with the kind that codes are derived from.

use knarr_proto::kind::Kind;
use knarr_proto::reason::Reason;

use super::execs::TooManyExecs;
use super::health::InvalidHealth;
use super::life::Phase;
use super::name::InvalidName;
use super::process::InvalidProcess;
use super::signal::InvalidSignal;
use crate::failure::{Failure, no_space};
use crate::files::{FileError, failed};
use crate::held::HeldError;
use crate::images::ImageError;
use crate::networks::NetworkError;
use crate::snapshots::SnapshotError;
use crate::store::StoreError;
use crate::tasks::TaskError;
use crate::tasks::shims::ShimError;
use crate::tasks::spec::SpecError;
use crate::tasks::user::UserError;
use crate::volumes::VolumeError;

/// A container verb failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContainerError {
    /// Nothing has this name or id.
    #[error("no such container: {0}")]
    NotFound(String),
    /// A prefix of several ids.
    #[error("{0:?} is the beginning of several containers' ids: write more of it")]
    Ambiguous(String),
    /// The name does not fit the grammar.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Another container has the name.
    #[error(
        "the container name {name:?} is already in use by container {holder}: remove or rename that, or choose another name"
    )]
    NameTaken { name: String, holder: String },
    /// The process asked for cannot be.
    #[error(transparent)]
    Process(#[from] InvalidProcess),
    /// Its task cannot be what was asked for, or its shim does not do it.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// Its health cannot be found out like that.
    #[error(transparent)]
    Health(#[from] InvalidHealth),
    /// Docker's words for what does not go together.
    #[error("{0}")]
    Conflict(&'static str),
    /// Docker's words. That there is no such network is not that there is no such image.
    #[error("network {0} not found")]
    NoNetwork(String),
    /// Its networks cannot be what was asked for.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Something is still held for it.
    #[error(transparent)]
    Held(#[from] HeldError),
    /// No such signal.
    #[error(transparent)]
    Signal(#[from] InvalidSignal),
    /// It would have to be kept in memory for as long as the container is there.
    #[error("the container's configuration is larger than 1 MiB")]
    TooLarge,
    /// None of the names that were generated is free.
    #[error("no free name was found: choose one")]
    NoFreeName,
    /// No exec has this id.
    #[error("no such exec: {0}")]
    NoExec(String),
    /// It was started before.
    #[error("exec {0} has already been started: create another one")]
    ExecStarted(String),
    /// It would have to run.
    #[error("exec {0} is not running")]
    ExecNotRunning(String),
    /// There is no room for one more.
    #[error(transparent)]
    TooManyExecs(#[from] TooManyExecs),
    /// It was made without a terminal.
    #[error("{0} has no terminal to resize: it was created without --tty")]
    NoTerminal(String),
    /// A restart would remove it.
    #[error("cannot restart container {0}: it is removed when it ends (--rm); run a new one")]
    AutoRemoved(String),
    /// Docker's words.
    #[error("can't create 'AutoRemove' container with restart policy")]
    RestartOfRemoved,
    /// Likewise.
    #[error("Restart policy cannot be updated because AutoRemove is enabled for the container")]
    PolicyOfRemoved,
    /// It would have to run.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// There is no such container, or several.
    #[error("cannot join {namespace} of another container")]
    NoPartner { namespace: &'static str, source: Box<Self> },
    /// Docker's words.
    #[error("container {0} is already paused")]
    Paused(String),
    /// Likewise.
    #[error("container {0} is not paused")]
    NotPaused(String),
    /// It has that name.
    #[error("renaming a container with the same name as its current name: {0}")]
    SameName(String),
    /// `ps` on the host did not do what it was to do.
    #[error("ps: {0}")]
    Ps(String),
    /// One of its volumes.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The mounts of another container are asked for in a form that means nothing.
    #[error("invalid volumes-from {0:?}: write CONTAINER, CONTAINER:ro or CONTAINER:rw")]
    VolumesFrom(String),
    /// It was asked to have none.
    #[error("container {0} has no log: it was made with the log driver none")]
    NoLog(String),
    /// The container whose namespace was to be shared; docker's words.
    #[error("cannot join {namespace} of a non running container: {name}")]
    PartnerNotRunning { namespace: &'static str, name: String },
    /// It runs, but its shim does not answer.
    #[error(
        "cannot reach the shim of container {name}: {cause}; the container goes on, and knarrd keeps trying"
    )]
    NotReached { name: String, cause: String },
    /// Its record is lost.
    #[error("container {name} is damaged: {cause}; it can only be removed")]
    Damaged { name: String, cause: String },
    /// SIGKILL was not enough.
    #[error(
        "container {name} has not ended {} seconds after SIGKILL: its process {pid} is stuck in the kernel; see /proc/{pid}/stack, and look for a broken mount",
        limit.as_secs()
    )]
    Unkillable { name: String, pid: u32, limit: std::time::Duration },
    /// It would have to be stopped.
    #[error("cannot remove container {0}: it is running; stop it first, or force")]
    Running(String),
    /// It is in the middle of something.
    #[error("cannot {doing} container {name}: it is {}", phase.as_str())]
    State { doing: &'static str, name: String, phase: Phase },
    /// The command in the container cannot be executed; the runtime's words.
    #[error("{message}")]
    Command { reason: Reason, message: String },
    /// The image is not here, or not whole.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Its file system.
    #[error("cannot {doing} the container's snapshot")]
    Snapshot { doing: &'static str, source: SnapshotError },
    /// The records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its files on disk.
    #[error(transparent)]
    File(#[from] FileError),
    /// knarrd is about to end.
    #[error("knarrd is stopping: try again when it is back; the container goes on")]
    Stopping,
    /// A blocking step panicked or was dropped.
    #[error("the operation was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl Failure for ContainerError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::NoExec(_) => Kind::NotFound,
            Self::Ambiguous(_)
            | Self::Name(_)
            | Self::Process(_)
            | Self::Health(_)
            | Self::Signal(_)
            | Self::TooLarge
            | Self::SameName(_)
            | Self::RestartOfRemoved
            | Self::PolicyOfRemoved
            | Self::VolumesFrom(_)
            | Self::Ps(_)
            | Self::Conflict(_)
            | Self::NoNetwork(_)
            | Self::NoFreeName => Kind::InvalidArgument,
            Self::NameTaken { .. } => Kind::AlreadyExists,
            Self::AutoRemoved(_)
            | Self::NotRunning(_)
            | Self::PartnerNotRunning { .. }
            | Self::NoLog(_)
            | Self::Paused(_)
            | Self::NotPaused(_)
            | Self::NoPartner { .. }
            | Self::ExecStarted(_)
            | Self::ExecNotRunning(_)
            | Self::NoTerminal(_)
            | Self::Running(_)
            | Self::State { .. }
            | Self::Command { .. } => Kind::FailedPrecondition,
            Self::Image(error) => error.kind(),
            Self::Volume(error) => error.kind(),
            Self::Snapshot { source, .. } => source.kind(),
            Self::Store(error) => error.kind(),
            Self::Task(error) => error.kind(),
            Self::Network(error) => error.kind(),
            Self::Held(error) => error.kind,
            Self::File(error) => error.kind(),
            Self::TooManyExecs(_) => Kind::ResourceExhausted,
            Self::Damaged { .. } => Kind::DataLoss,
            Self::Unkillable { .. } => Kind::DeadlineExceeded,
            Self::Stopping | Self::NotReached { .. } => Kind::Unavailable,
            Self::Interrupted(_) => Kind::Internal,
        }
    }

    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Command { reason, .. } => Some(*reason),
            Self::TooManyExecs(_) => None,
            error => no_space(error.kind()),
        }
    }
}

/// Says what was being done to which file; for `map_err`.
pub(super) fn files(
    doing: &'static str,
    path: impl Into<std::path::PathBuf>,
) -> impl FnOnce(std::io::Error) -> ContainerError {
    let failed = failed(doing, path);
    move |source: std::io::Error| failed(source).into()
}

// A task's parts fail as the task does.
impl From<SpecError> for ContainerError {
    fn from(error: SpecError) -> Self {
        Self::Task(error.into())
    }
}

impl From<UserError> for ContainerError {
    fn from(error: UserError) -> Self {
        Self::Task(error.into())
    }
}

impl From<ShimError> for ContainerError {
    fn from(error: ShimError) -> Self {
        Self::Task(error.into())
    }
}

/// Tells a command that cannot be executed from a start that fails for another reason.
pub(super) fn of_start(error: impl Into<TaskError>) -> ContainerError {
    match error.into() {
        TaskError::Shim(ShimError::Task { reason: Some(reason), message, .. })
            if reason.exit_code().is_some() =>
        {
            ContainerError::Command { reason, message }
        }
        error => error.into(),
    }
}
