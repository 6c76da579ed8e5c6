//! What can go wrong with snapshots.

use std::io;
use std::path::PathBuf;

use knarr_proto::kind::Kind;

use crate::failure::Failure;
use crate::files::FileError;
use crate::store::StoreError;

/// Why a snapshot could not be had, made or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// The root's path has characters that mean something in overlayfs options.
    #[error("snapshots cannot live in {}: a path with ',', ':' or '\\' cannot be given to overlayfs", root.display())]
    Root {
        /// The directory.
        root: PathBuf,
    },
    /// The kernel or the file system cannot do it.
    #[error("overlayfs does not work in {}: use another file system, or the native snapshotter", root.display())]
    Unsupported {
        /// The directory that was tried.
        root: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The snapshots that are here were made by another snapshotter.
    #[error("the snapshots here were made by the {used} snapshotter: use that, or another root")]
    OtherSnapshotter {
        /// Its name.
        used: String,
    },
    /// There is no such snapshot.
    #[error("no such snapshot: {key}")]
    NotFound {
        /// What was asked for.
        key: String,
    },
    /// The parent is not here, or no longer.
    #[error("no such parent snapshot: {parent}: pull the image again")]
    NoParent {
        /// Its chain id.
        parent: String,
    },
    /// The key is taken.
    #[error("snapshot {key} exists already")]
    Exists {
        /// The key.
        key: String,
    },
    /// Only an active snapshot can be committed.
    #[error("snapshot {key} is committed already")]
    NotActive {
        /// The key.
        key: String,
    },
    /// Another snapshot stands on it.
    #[error("snapshot {key} is in use by another one that stands on it")]
    InUse {
        /// The key.
        key: String,
    },
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The record could not be read or written.
    #[error("the snapshot's record failed")]
    Store(#[from] StoreError),
    /// The blocking task is gone: the daemon is stopping, or it panicked.
    #[error("the snapshot task ended early")]
    Task(#[source] tokio::task::JoinError),
}

impl Failure for SnapshotError {
    fn kind(&self) -> Kind {
        match self {
            Self::Root { .. } => Kind::InvalidArgument,
            Self::NotFound { .. } | Self::NoParent { .. } => Kind::NotFound,
            Self::Exists { .. } => Kind::AlreadyExists,
            Self::Unsupported { .. }
            | Self::OtherSnapshotter { .. }
            | Self::NotActive { .. }
            | Self::InUse { .. } => Kind::FailedPrecondition,
            Self::File(source) => source.kind(),
            Self::Store(source) => source.kind(),
            Self::Task(_) => Kind::Internal,
        }
    }
}
