//! Why a task cannot be made or ended.

use knarr_proto::kind::Kind;

use super::shims::ShimError;
use super::spec::SpecError;
use super::user::UserError;
use crate::apparmor::AppArmorError;
use crate::failure::Failure as _;
use crate::files::{FileError, kind_of_io};
use crate::snapshots::SnapshotError;
use crate::untrusted::UntrustedFileError;

/// A task cannot be made or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// What was asked for cannot be.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The user asked for is not in the image.
    #[error(transparent)]
    User(#[from] UserError),
    /// A place in its root filesystem that an image's volume leads to.
    #[error("cannot look at the container's volumes")]
    Volumes(#[from] UntrustedFileError),
    /// Its root filesystem.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Its root filesystem is not there.
    #[error("cannot find the container's snapshot")]
    Root(#[source] SnapshotError),
    /// What was to confine it.
    #[error(transparent)]
    AppArmor(#[from] AppArmorError),
    /// Its bundle.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its shim, or the runtime behind it.
    #[error(transparent)]
    Shim(#[from] ShimError),
    /// Its streams at the shim.
    #[error("cannot {doing} the process's streams")]
    Streams { doing: &'static str, source: std::io::Error },
    /// It was to end.
    #[error("the process was cancelled")]
    Cancelled,
    /// A blocking step panicked or was dropped.
    #[error("the operation was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl TaskError {
    /// What kind of failure this is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Spec(error) => error.kind(),
            Self::User(_) | Self::Volumes(_) => Kind::InvalidArgument,
            Self::Snapshot(error) | Self::Root(error) => error.kind(),
            Self::Streams { source, .. } => kind_of_io(source),
            Self::Cancelled => Kind::FailedPrecondition,
            Self::AppArmor(_) => Kind::FailedPrecondition,
            Self::File(error) => error.kind(),
            Self::Shim(error) => error.kind(),
            Self::Interrupted(_) => Kind::Internal,
        }
    }
}
