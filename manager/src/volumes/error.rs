//! Why something cannot be done with a volume; docker's words where its clients read them.

use knarr_proto::kind::Kind;

use crate::failure::Failure;
use crate::files::FileError;
use crate::store::StoreError;

/// A verb of volumes failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    /// No volume has this name.
    #[error("get {0}: no such volume")]
    NotFound(String),
    /// The name is no file name that everyone can type.
    #[error(
        "create {0}: {0:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed, two at least and 255 at most. If you intended to pass a host directory, use absolute path"
    )]
    Name(String),
    /// There is the local driver only.
    #[error("create {name}: there is no volume driver {driver:?}: only \"local\" is here")]
    Driver { name: String, driver: String },
    /// The local driver's options do not fit together.
    #[error("create {name}: {problem}")]
    Options { name: String, problem: String },
    /// Containers use it.
    #[error("remove {name}: volume is in use - [{}]", users.join(", "))]
    InUse { name: String, users: Vec<String> },
    /// What a mount needs is not there any more.
    #[error("the directory of volume {0} is gone: remove the volume, or put its files back")]
    Gone(String),
    /// A host in its options has no address.
    #[error("volume {name}: cannot resolve the host {host:?} of its option addr")]
    Address { name: String, host: String, source: std::io::Error },
    /// The host's volumes are being pruned already.
    #[error("a prune operation is already running")]
    Pruning,
    /// The container's own files, which an empty volume begins with.
    #[error("cannot look at what the image has in a volume's place")]
    Root(#[source] std::io::Error),
    /// Its files.
    #[error(transparent)]
    File(#[from] FileError),
    /// The records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A blocking step panicked or was dropped.
    #[error("the operation was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl Failure for VolumeError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::Name(_) | Self::Driver { .. } | Self::Options { .. } => Kind::InvalidArgument,
            Self::InUse { .. } | Self::Gone(_) | Self::Pruning => Kind::FailedPrecondition,
            Self::Address { .. } => Kind::Unavailable,
            Self::File(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Root(_) | Self::Interrupted(_) => Kind::Internal,
        }
    }
}
