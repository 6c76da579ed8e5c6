//! What can go wrong with packing a tree: in the tree itself, which the helper reports as data, and around it.

use std::borrow::Cow;
use std::io;

use knarr_proto::kind::Kind;
use serde::{Deserialize, Serialize};

use crate::content::ContentError;
use crate::files::kind_of_io;
use crate::layers::confine::ConfineError;
use crate::layers::errno::Errno;

/// Why a tree could not be packed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    /// The helper is this program once more.
    #[error("cannot start the pack helper")]
    Start(#[source] io::Error),
    /// Its pipe broke.
    #[error("cannot read from the pack helper")]
    Read(#[source] io::Error),
    /// Nobody wants the layer any more.
    #[error("the packing was cancelled")]
    Cancelled,
    /// It ended and did not say why: killed, or a fault of ours.
    #[error("the pack helper ended without a result ({status}){}", said(.told))]
    Lost {
        /// How.
        status: std::process::ExitStatus,
        /// What stands where its result should.
        told: String,
    },
    /// The tree, or the disk below it.
    #[error(transparent)]
    Tree(#[from] PackFault),
    /// Where the tar goes.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A blocking step panicked or was dropped.
    #[error("the packing ended early")]
    Task(#[from] tokio::task::JoinError),
}

impl PackError {
    /// What kind of failure this is.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Start(source) | Self::Read(source) => kind_of_io(source),
            Self::Cancelled => Kind::Cancelled,
            Self::Lost { .. } | Self::Task(_) => Kind::Internal,
            Self::Tree(fault) => fault.kind(),
            Self::Content(source) => source.kind(),
        }
    }
}

fn said(told: &str) -> String {
    if told.is_empty() { String::new() } else { format!(": {told}") }
}

/// What is wrong with a tree, or with reading it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub(crate) enum PackFault {
    /// The kernel refused.
    #[error("cannot {doing} {path}")]
    Tree {
        /// What we were doing.
        doing: Cow<'static, str>,
        /// Where in the tree.
        path: String,
        /// The reason.
        source: Errno,
    },
    /// A directory or file whose content overlayfs keeps under another name.
    #[error(
        "{path} was moved by overlayfs with redirects: mount overlays with redirect_dir=off and metacopy=off"
    )]
    Redirected {
        /// Where in the tree.
        path: String,
    },
    /// Nobody reads the tar any more, or there is no room for it.
    #[error("cannot write the tar")]
    Write(#[source] Errno),
    /// The helper cannot be shut in.
    #[error(transparent)]
    Confine(#[from] ConfineError),
}

impl PackFault {
    fn kind(&self) -> Kind {
        match self {
            Self::Tree { source, .. } | Self::Write(source) => kind_of_io(&(*source).into()),
            Self::Redirected { .. } => Kind::FailedPrecondition,
            Self::Confine(_) => Kind::Internal,
        }
    }
}

/// Shorthand for `map_err`: what was done, on which path of the tree.
pub(super) fn reading(doing: &'static str, path: &[u8]) -> impl FnOnce(rustix::io::Errno) -> PackFault {
    let path = format!("/{}", String::from_utf8_lossy(path).escape_debug());
    move |errno| PackFault::Tree { doing: doing.into(), path, source: errno.into() }
}

/// Shorthand for `map_err`.
#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
pub(super) fn writing(error: io::Error) -> PackFault {
    PackFault::Write(rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO).into())
}
