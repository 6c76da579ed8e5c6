//! What can go wrong with unpacking a layer: in the layer itself, which the helper reports as data, and around it.

use std::borrow::Cow;
use std::io;

use knarr_proto::kind::Kind;
use serde::{Deserialize, Serialize};

use crate::content::Digest;
use crate::files::kind_of_io;
use crate::layers::confine::ConfineError;
use crate::layers::errno::Errno;

/// Why a layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// The helper is this program once more.
    #[error("cannot start the unpack helper")]
    Start(#[source] io::Error),
    /// Its pipe broke.
    #[error("cannot listen to the unpack helper")]
    Listen(#[source] io::Error),
    /// What to do cannot be told.
    #[error("cannot instruct the unpack helper")]
    Instruct(#[source] serde_json::Error),
    /// What it says is none of our words.
    #[error("cannot understand the unpack helper")]
    Understand(#[source] serde_json::Error),
    /// Nobody wants the layer any more.
    #[error("the unpacking was cancelled")]
    Cancelled,
    /// It ended and did not say why: killed, or a fault of ours.
    #[error("the unpack helper ended without a result ({status})")]
    Lost {
        /// How.
        status: std::process::ExitStatus,
    },
    /// The layer, or the disk.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

impl UnpackError {
    /// What kind of failure this is.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Start(source) | Self::Listen(source) => kind_of_io(source),
            Self::Instruct(_) | Self::Understand(_) | Self::Lost { .. } => Kind::Internal,
            Self::Cancelled => Kind::Cancelled,
            Self::Layer(source) => source.kind(),
        }
    }
}

/// What is wrong with a path in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub(crate) enum PathFault {
    /// `..` more often than there are directories.
    #[error("it leads out of the image")]
    LeadsOut,
    /// The kernel takes 255 bytes a name, 4096 a path.
    #[error("it is too long")]
    TooLong,
    /// More directories below each other than anything sensible has.
    #[error("it is too deep")]
    TooDeep,
    /// A NUL byte ends a path in every system call.
    #[error("it has a NUL byte")]
    Nul,
    /// Nothing to place.
    #[error("it is empty")]
    Empty,
    /// `.wh.` without a name, or with `.` or `..` after it.
    #[error("it is no proper whiteout")]
    Whiteout,
    /// The root is a directory for ever.
    #[error("the root can only be a directory")]
    Root,
    /// Links that go in circles.
    #[error("it goes through too many symbolic links")]
    TooManyLinks,
    /// What should be a directory is none.
    #[error("it is below something that is no directory")]
    NoDirectory,
}

/// What is wrong with a layer, or with placing it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub(crate) enum LayerError {
    /// Known, and not taken.
    #[error("it is compressed with {0}, which image layers are not: gzip and zstd are understood")]
    Compression(Cow<'static, str>),
    /// The compressed bytes make no sense.
    #[error("its compressed data is corrupt after {at_bytes} uncompressed bytes: {reason}")]
    Corrupt {
        /// How far it was good.
        at_bytes: u64,
        /// The decoder's words.
        reason: String,
    },
    /// The tar stops in an entry.
    #[error("its tar ends in the middle of an entry, after {at_bytes} bytes")]
    Truncated {
        /// How long it was.
        at_bytes: u64,
    },
    /// A block that should be a header is none.
    #[error("its tar has no proper header at byte {at_bytes}: {what}")]
    Header {
        /// Where.
        at_bytes: u64,
        /// Which field.
        what: Cow<'static, str>,
    },
    /// A type of entry that no image needs.
    #[error("{path} is an entry of the unknown type {kind:?}")]
    Kind {
        /// Its path.
        path: String,
        /// The type's letter.
        kind: char,
    },
    /// A path that cannot be placed.
    #[error("cannot place {path}")]
    Path {
        /// As the layer has it.
        path: String,
        /// What is wrong.
        source: PathFault,
    },
    /// A hard link to what is not in the image.
    #[error("{path} is a hard link to {target}, which is not a file of this image")]
    Link {
        /// The link.
        path: String,
        /// What it should be the same as.
        target: String,
    },
    /// A bound was passed.
    #[error("it has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: Cow<'static, str>,
        /// The bound.
        limit: u64,
    },
    /// The disk is almost full.
    #[error("there is no room left for it")]
    NoRoom,
    /// The kernel refused.
    #[error("cannot {doing} {path}")]
    Place {
        /// What we were doing.
        doing: Cow<'static, str>,
        /// Where in the image.
        path: String,
        /// The reason.
        source: Errno,
    },
    /// The helper cannot be shut in.
    #[error(transparent)]
    Confine(#[from] ConfineError),
    /// The bytes are not those of the image.
    #[error("wrong digest: its configuration says {expected}, uncompressed it has {found}")]
    WrongDigest {
        /// The configuration's diff_id.
        expected: String,
        /// The layer's.
        found: String,
    },
}

impl LayerError {
    /// What kind of failure this is.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Corrupt { .. } | Self::Truncated { .. } | Self::WrongDigest { .. } => Kind::DataLoss,
            Self::Compression(_)
            | Self::Header { .. }
            | Self::Kind { .. }
            | Self::Path { .. }
            | Self::Link { .. }
            | Self::TooMany { .. } => Kind::InvalidArgument,
            Self::NoRoom => Kind::ResourceExhausted,
            Self::Place { source, .. } => kind_of_io(&(*source).into()),
            Self::Confine(_) => Kind::Internal,
        }
    }

    pub(super) fn wrong_digest(expected: &Digest, found: &Digest) -> Self {
        Self::WrongDigest { expected: expected.to_string(), found: found.to_string() }
    }
}

/// Shorthand for `map_err`: what was done, on which path of the image.
pub(super) fn placing(doing: &'static str, path: &[u8]) -> impl FnOnce(rustix::io::Errno) -> LayerError {
    move |errno| LayerError::Place { doing: doing.into(), path: shown(path), source: errno.into() }
}

/// A path of a layer in a message.
pub(super) fn shown(path: &[u8]) -> String {
    /// Enough to recognise it.
    const MAX_SHOWN_CHARS: usize = 200;
    let text: String = String::from_utf8_lossy(path).chars().take(MAX_SHOWN_CHARS).collect();
    let is_plain = |letter: char| !letter.is_control();
    if text.is_empty() {
        "/".to_owned()
    } else if text.chars().all(is_plain) {
        text
    } else {
        text.escape_debug().to_string()
    }
}
