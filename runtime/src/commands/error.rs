//! Why a command failed: runc's sentences, and what the log tells programs about them.

use knarr_proto::id::InvalidId;
use knarr_proto::kind::Kind;

use crate::cgroup::error::CgroupError;
use crate::checkpoint::error::CheckpointError;
use crate::child::error::CreateError;
use crate::commands::{events, ps, update};
use crate::create::error::StartError;
use crate::create::foreground::WaitError;
use crate::hooks::HookError;
use crate::host::NamespaceError;
use crate::join::error::ExecError;
use crate::notify::NotifyError;
use crate::null::NullError;
use crate::output::facts::Facts;
use crate::output::log::LogError;
use crate::resctrl::error::ResctrlError;
use crate::sealed::SealError;
use crate::spec::load::SpecError;
use crate::state::error::StateError;

/// A command failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Resctrl(#[from] ResctrlError),
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Null(#[from] NullError),
    #[error(transparent)]
    Notify(#[from] NotifyError),
    #[error(transparent)]
    Wait(#[from] WaitError),
    #[error(transparent)]
    Id(InvalidId),
    #[error(transparent)]
    Join(#[from] ExecError),
    /// runc's words; called by its name, we are it.
    #[error("{program} {verb} failed")]
    Make { program: String, verb: &'static str, source: Box<CommandError> },
    #[error("exec failed")]
    Exec(#[source] Box<CommandError>),
    #[error("invalid user {0:?}: it must be uid[:gid] in numbers below 2147483648")]
    User(String),
    #[error("unknown signal {0:?}")]
    Signal(String),
    #[error("container not paused")]
    NotPaused,
    #[error("container not running")]
    NotRunning,
    #[error("unable to send signal {signal}")]
    SendSignal { signal: i32, source: rustix::io::Errno },
    #[error("cannot delete container {id} that is not stopped: {status}")]
    NotStopped { id: knarr_proto::id::ContainerId, status: knarr_proto::status::Status },
    #[error("cannot make a path absolute")]
    Path { source: std::io::Error },
    #[error("cannot open the bundle {path:?}")]
    Bundle { path: std::path::PathBuf, source: std::io::Error },
    #[error("cannot allocate tty if runc will detach without setting console socket")]
    NoConsoleSocket,
    #[error("cannot use console socket if runc will not detach or allocate tty")]
    NeedlessConsoleSocket,
    #[error("cannot open {path:?}")]
    Root { path: std::path::PathBuf, source: std::io::Error },
    #[error("cannot write the result")]
    Print { source: std::io::Error },
    #[error(transparent)]
    Update(#[from] update::UpdateError),
    #[error(transparent)]
    Ps(#[from] ps::PsError),
    #[error(transparent)]
    Events(#[from] events::EventsError),
    #[error("File {name} exists. Remove it first")]
    SpecExists { name: &'static str },
    #[error("cannot write {path:?}")]
    WriteSpec { path: std::path::PathBuf, source: std::io::Error },
}

impl CommandError {
    /// runc's: 1, but 255 where `exec` itself failed.
    #[must_use]
    pub(crate) fn exit_code(&self) -> u8 {
        if matches!(self, Self::Exec(_)) { 255 } else { 1 }
    }

    /// What the log tells programs of it.
    #[must_use]
    pub(crate) fn facts(&self) -> Facts {
        Facts::from_error(self, self.kind(), self.path())
    }

    /// None leaves it to the errno.
    fn kind(&self) -> Option<Kind> {
        match self {
            Self::Make { source, .. } | Self::Exec(source) => source.kind(),
            Self::State(error) => state_kind(error),
            Self::Create(error) => create_kind(error),
            Self::Checkpoint(error) => checkpoint_kind(error),
            Self::Join(ExecError::Create(error)) => create_kind(error),
            Self::Id(_)
            | Self::User(_)
            | Self::Signal(_)
            | Self::NoConsoleSocket
            | Self::NeedlessConsoleSocket
            | Self::Join(
                ExecError::Plan(_) | ExecError::Spec(_) | ExecError::Policy(_) | ExecError::SubCgroup(_),
            ) => Some(Kind::InvalidArgument),
            Self::NotPaused
            | Self::NotRunning
            | Self::NotStopped { .. }
            | Self::Start(StartError::Stopped | StartError::Running | StartError::State(_))
            | Self::Join(ExecError::Stopped | ExecError::Paused) => Some(Kind::FailedPrecondition),
            Self::SpecExists { .. } => Some(Kind::AlreadyExists),
            _ => None,
        }
    }

    fn path(&self) -> Option<String> {
        match self {
            Self::Make { source, .. } | Self::Exec(source) => source.path(),
            Self::Bundle { path, .. } | Self::Root { path, .. } | Self::WriteSpec { path, .. } => {
                Some(path.display().to_string())
            }
            Self::SpecExists { name } => Some((*name).to_owned()),
            Self::Create(error)
            | Self::Join(ExecError::Create(error))
            | Self::Checkpoint(CheckpointError::Create(error)) => create_path(error),
            Self::Checkpoint(CheckpointError::Failed { log, .. }) => Some(log.clone()),
            Self::Checkpoint(
                CheckpointError::Parent { path, .. }
                | CheckpointError::Directory { path, .. }
                | CheckpointError::File { path, .. },
            ) => Some(path.display().to_string()),
            Self::State(
                StateError::Make { path, .. }
                | StateError::Lock { path, .. }
                | StateError::Read { path, .. }
                | StateError::Write { path, .. }
                | StateError::Remove { path, .. }
                | StateError::Parse { path, .. }
                | StateError::Version { path, .. },
            ) => Some(path.display().to_string()),
            _ => None,
        }
    }
}

fn state_kind(error: &StateError) -> Option<Kind> {
    match error {
        StateError::Exists(_) => Some(Kind::AlreadyExists),
        StateError::NotFound(_) => Some(Kind::NotFound),
        StateError::Version { .. } => Some(Kind::FailedPrecondition),
        StateError::Parse { .. } => Some(Kind::DataLoss),
        _ => None,
    }
}

fn checkpoint_kind(error: &CheckpointError) -> Option<Kind> {
    match error {
        CheckpointError::ParentAbsolute
        | CheckpointError::Parent { .. }
        | CheckpointError::StatusFd { .. } => Some(Kind::InvalidArgument),
        CheckpointError::Status(_) | CheckpointError::NoCriu | CheckpointError::OldCriu => {
            Some(Kind::FailedPrecondition)
        }
        CheckpointError::Missing { .. } => Some(Kind::Unimplemented),
        CheckpointError::State(error) => state_kind(error),
        CheckpointError::Create(error) => create_kind(error),
        _ => None,
    }
}

fn create_kind(error: &CreateError) -> Option<Kind> {
    match error {
        CreateError::Spec(SpecError::NotFound { .. }) => Some(Kind::NotFound),
        CreateError::Spec(_)
        | CreateError::Plan(_)
        | CreateError::Seccomp(_)
        | CreateError::Policy(_)
        | CreateError::Preserved { .. }
        | CreateError::Hook(
            HookError::Path { .. } | HookError::Timeout { .. } | HookError::Environment { .. },
        ) => Some(Kind::InvalidArgument),
        CreateError::Resctrl(error) => resctrl_kind(error),
        CreateError::AppArmor(_) | CreateError::Selinux(_) => Some(Kind::FailedPrecondition),
        CreateError::OutOfMemory => Some(Kind::ResourceExhausted),
        CreateError::State(error) => state_kind(error),
        _ => None,
    }
}

fn resctrl_kind(error: &ResctrlError) -> Option<Kind> {
    match error {
        ResctrlError::Class(_) | ResctrlError::Line { .. } => Some(Kind::InvalidArgument),
        ResctrlError::NotMounted
        | ResctrlError::NoResource { .. }
        | ResctrlError::NoClass { .. }
        | ResctrlError::Differs { .. } => Some(Kind::FailedPrecondition),
        _ => None,
    }
}

fn create_path(error: &CreateError) -> Option<String> {
    match error {
        CreateError::Spec(SpecError::Invalid { field, .. } | SpecError::Nul { field, .. }) => {
            Some(field.clone())
        }
        CreateError::Spec(
            SpecError::NotFound { path, .. }
            | SpecError::Read { path, .. }
            | SpecError::TooLarge { path, .. },
        )
        | CreateError::Root { path, .. }
        | CreateError::Namespace(NamespaceError::Open { path, .. } | NamespaceError::Changed { path, .. })
        | CreateError::PidFile { path, .. }
        | CreateError::Socket { path, .. } => Some(path.display().to_string()),
        CreateError::Source { destination, .. } | CreateError::IdMap { destination, .. } => {
            Some(destination.clone())
        }
        CreateError::Write { path, .. } => Some(path.clone()),
        _ => None,
    }
}
