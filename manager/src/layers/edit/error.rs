//! What can go wrong with editing a snapshot: in its files, which the helper reports as data, and around it.

use std::borrow::Cow;
use std::io;

use knarr_proto::kind::Kind;
use serde::{Deserialize, Serialize};

use crate::files::kind_of_io;
use crate::layers::confine::ConfineError;
use crate::layers::errno::Errno;

/// Why a snapshot could not be edited.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// The helper is this program once more.
    #[error("cannot start the edit helper")]
    Start(#[source] io::Error),
    /// Its pipe broke.
    #[error("cannot talk with the edit helper")]
    Talk(#[source] io::Error),
    /// Nobody wants it any more.
    #[error("the copying was cancelled")]
    Cancelled,
    /// It ended and did not say why: killed, or a fault of ours.
    #[error("the edit helper ended without a result ({status})")]
    Lost {
        /// How.
        status: std::process::ExitStatus,
    },
    /// The files, or the disk.
    #[error(transparent)]
    Files(#[from] EditFault),
}

impl EditError {
    /// What kind of failure this is.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Start(source) | Self::Talk(source) => kind_of_io(source),
            Self::Cancelled => Kind::Cancelled,
            Self::Lost { .. } => Kind::Internal,
            Self::Files(fault) => fault.kind(),
        }
    }
}

/// What is wrong with the files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub(crate) enum EditFault {
    /// The kernel refused.
    #[error("cannot {doing} {path}")]
    File {
        /// What we were doing.
        doing: Cow<'static, str>,
        /// Where in the tree.
        path: String,
        /// The reason.
        source: Errno,
    },
    /// A source names nothing.
    #[error("{0}: not found")]
    Missing(String),
    /// A directory is in the way of a file, or the other way round.
    #[error("cannot copy to {path}: {what}")]
    InTheWay {
        /// Where in the image.
        path: String,
        /// What is there.
        what: Cow<'static, str>,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Wrong(String),
    /// The disk is almost full.
    #[error("there is no room left for what is copied")]
    NoRoom,
    /// The helper cannot be shut in.
    #[error(transparent)]
    Confine(#[from] ConfineError),
}

impl EditFault {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::File { source, .. } => kind_of_io(&(*source).into()),
            Self::Missing(_) => Kind::NotFound,
            Self::InTheWay { .. } | Self::Wrong(_) => Kind::InvalidArgument,
            Self::NoRoom => Kind::ResourceExhausted,
            Self::Confine(_) => Kind::Internal,
        }
    }
}

/// Shorthand for `map_err`: what was done, on which path of the tree.
pub(crate) fn failed(doing: &'static str, path: &[u8]) -> impl FnOnce(rustix::io::Errno) -> EditFault {
    let path = format!("/{}", String::from_utf8_lossy(path).escape_debug());
    move |errno| EditFault::File { doing: doing.into(), path, source: errno.into() }
}
