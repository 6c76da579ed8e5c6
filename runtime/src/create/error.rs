//! Why a container could not be made or started, in runc's words where callers look for them.

use knarr_proto::status::Status;
use rustix::io::Errno;

use crate::hooks::HookError;
use crate::notify::NotifyError;
use crate::spec::load::SpecError;
use crate::state::error::StateError;

/// Why a container could not be started.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum StartError {
    #[error("cannot start a container that has stopped")]
    Stopped,
    #[error("cannot start an already running container")]
    Running,
    #[error("cannot start a container in the {0} state")]
    State(Status),
    #[error(transparent)]
    Notify(#[from] NotifyError),
    #[error("cannot open the container's start gate")]
    Gate { source: Errno },
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Hook(#[from] HookError),
    #[error(transparent)]
    Load(#[from] StateError),
}
