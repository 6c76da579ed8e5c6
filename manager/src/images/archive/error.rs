//! Why an archive cannot be used. Each is one sentence about the archive, for the person who made or sent it.

use std::io;

use knarr_proto::kind::Kind;

use crate::content::Digest;

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// The bytes stopped, or are no tar, gzip or zstd.
    #[error("it cannot be read: it is cut off or damaged, or no tar")]
    Read(#[source] io::Error),
    /// The sender left.
    #[error("its sender went away before the end")]
    Left,
    /// There is neither manifest.json nor index.json.
    #[error("it has neither manifest.json nor index.json: write it with `docker save` or as an OCI layout")]
    NoImages,
    /// index.json or manifest.json names none.
    #[error("its {0} names no image")]
    Empty(&'static str),
    /// A name that would leave the archive's own tree.
    #[error("its member {0:?} is named by an absolute path, with .., or at too great a length")]
    Name(String),
    /// A link that leads nowhere, or round in circles.
    #[error("its link {0:?} leads to no member")]
    Link(String),
    /// A member that another one names.
    #[error("it has no {0:?}, which its manifest names")]
    NoMember(String),
    /// A blob that a descriptor names.
    #[error("it has no blob {0}, which its manifest names")]
    NoBlob(Digest),
    /// A bound was passed.
    #[error("it has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// It was packed far smaller than what it writes.
    #[error("it unpacks to more than {limit} bytes, far more than was sent: no image is packed so small")]
    Bomb {
        /// The bound for what was sent.
        limit: u64,
    },
    /// One image has more names than fit into a list.
    #[error("it has an image of more than {limit} names")]
    TooManyNames {
        /// The bound.
        limit: usize,
    },
    /// A document that is no JSON of its kind.
    #[error("its {what} is not well-formed")]
    Json {
        /// Which.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// oci-layout says something else than we know.
    #[error("it is an OCI layout of version {0:?}, only 1.x is known")]
    LayoutVersion(String),
    /// Nothing in it runs here.
    #[error("it has no image for {wanted}")]
    NoPlatform {
        /// What was wanted.
        wanted: String,
    },
}

impl ArchiveError {
    /// What kind of failure this is: almost always, that the archive is wrong.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Left => Kind::Cancelled,
            Self::NoPlatform { .. } => Kind::NotFound,
            _ => Kind::InvalidArgument,
        }
    }
}
