//! Why a build ended early.

use std::io;

use knarr_proto::kind::Kind;
use knarr_proto::reason::Reason;

use super::dockerfile::DockerfileError;
use crate::collect::CollectError;
use crate::content::ContentError;
use crate::failure::{Failure, no_space};
use crate::files::FileError;
use crate::held::HeldError;
use crate::images::ImageError;
use crate::layers::edit::{EditError, EditFault};
use crate::layers::pack::PackError;
use crate::layers::unpack::UnpackError;
use crate::snapshots::SnapshotError;
use crate::store::StoreError;
use crate::tasks::TaskError;

/// A build that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The Dockerfile is wrong.
    #[error("{file}: {mistake}")]
    Dockerfile { file: String, mistake: DockerfileError },
    /// The Dockerfile cannot be read.
    #[error("{file}: parse error on {mistake}")]
    Parse { file: String, mistake: DockerfileError },
    /// There is none.
    #[error("cannot find the Dockerfile {0} in the context: name it with --file")]
    NoDockerfile(String),
    /// `.dockerignore` is wrong.
    #[error("cannot use .dockerignore: {0}")]
    Ignore(String),
    /// What was asked for beside the file.
    #[error("{0}")]
    Request(String),
    /// A process ended otherwise than it should.
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Exit { command: String, code: u32 },
    /// The context cannot be unpacked.
    #[error("cannot take the context")]
    Context(#[source] UnpackError),
    /// A file of the context cannot be read.
    #[error("cannot read the context")]
    Read(#[from] EditFault),
    /// The client has left.
    #[error("the build was cancelled")]
    Cancelled,
    #[error("cannot copy")]
    Edit(#[from] EditError),
    #[error("cannot make the layer")]
    Pack(#[from] PackError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("the configuration of {0} is not well-formed")]
    Config(String, #[source] serde_json::Error),
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Task(#[from] TaskError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Held(#[from] HeldError),
    #[error(transparent)]
    Collect(#[from] CollectError),
    #[error("cannot {0}")]
    System(&'static str, #[source] io::Error),
    #[error("the operation was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl Failure for BuildError {
    fn kind(&self) -> Kind {
        match self {
            Self::Dockerfile { .. }
            | Self::Parse { .. }
            | Self::NoDockerfile(_)
            | Self::Ignore(_)
            | Self::Request(_) => Kind::InvalidArgument,
            Self::Config(..) => Kind::InvalidArgument,
            Self::Exit { .. } => Kind::FailedPrecondition,
            Self::Context(source) => source.kind(),
            Self::Read(source) => source.kind(),
            Self::Cancelled => Kind::Cancelled,
            Self::Edit(source) => source.kind(),
            Self::Pack(source) => source.kind(),
            Self::Image(source) => source.kind(),
            Self::Content(source) => source.kind(),
            Self::Snapshot(source) => source.kind(),
            Self::Task(source) => source.kind(),
            Self::Store(source) => source.kind(),
            Self::File(source) => source.kind(),
            Self::Held(source) => source.kind,
            Self::Collect(source) => source.kind(),
            Self::System(_, source) => crate::files::kind_of_io(source),
            Self::Interrupted(_) => Kind::Internal,
        }
    }

    fn reason(&self) -> Option<Reason> {
        no_space(self.kind())
    }
}
