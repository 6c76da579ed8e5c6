//! What can go wrong with images. The messages are what a person who typed `knarr pull` reads.

use std::io;

use knarr_proto::kind::Kind;

use super::archive::error::ArchiveError;
use super::document::DocumentError;
use super::platform::{InvalidPlatform, Platform};
use super::reference::InvalidReference;
use super::registry::error::RegistryError;
use crate::collect::CollectError;
use crate::content::{ContentError, Digest};
use crate::failure::Failure;
use crate::files::kind_of_io;
use crate::layers::unpack::UnpackError;
use crate::snapshots::SnapshotError;
use crate::store::StoreError;

/// Why an image could not be had, named or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// The reference cannot be understood.
    #[error("cannot understand {text:?}")]
    Reference {
        /// The beginning of what was given.
        text: String,
        /// What is wrong with it.
        source: InvalidReference,
    },
    /// The platform cannot be understood.
    #[error("cannot understand the platform")]
    Platform(#[from] InvalidPlatform),
    /// No image here has this name or id.
    #[error("no such image: {0}: pull it with `knarr pull {0}`")]
    NotHere(String),
    /// Several images' ids begin like this.
    #[error("image id {0} is ambiguous: give more of its digits")]
    Ambiguous(String),
    /// Another image is called as this one's id begins.
    #[error(
        "{name} is ambiguous: it is the name of an image, and the id of another one begins with it: write {name}:latest or sha256:{name}"
    )]
    IdAndName {
        /// As the caller wrote it.
        name: String,
    },
    /// A reference with a digest cannot be given to an image.
    #[error("cannot tag an image as {0}: a digest says what an image is, it cannot be given to one")]
    TagWithDigest(String),
    /// The image that is here is for another platform.
    #[error(
        "image {image} is here for {offered}, not for {wanted}: pull it with `knarr pull --platform {wanted} {image}`"
    )]
    OtherPlatform {
        /// As the caller named it.
        image: String,
        /// The platform that was asked for.
        wanted: String,
        /// The image's.
        offered: String,
    },
    /// An image has no more than a bounded number of references.
    #[error("image {image} would have more than {limit} references: remove some with `knarr rmi`")]
    TooManyNames {
        /// As the caller named it.
        image: String,
        /// The bound.
        limit: usize,
    },
    /// A layer's bytes are not those of the image's configuration.
    #[error("wrong layer {digest}: the image's configuration says {expected}, uncompressed it has {found}")]
    WrongLayer {
        /// The layer's blob.
        digest: Digest,
        /// The configuration's diff_id.
        expected: Digest,
        /// The layer's.
        found: Digest,
    },
    /// The index has nothing for this platform.
    #[error("{reference} has no image for {wanted}, only for {offered}")]
    NoPlatform {
        /// What was pulled.
        reference: String,
        /// What was wanted.
        wanted: Platform,
        /// What the index offers, joined by commas.
        offered: String,
    },
    /// Containers use it.
    #[error("image {image} is used by {}: remove them first{}", containers.join(", "),
        if *running { "" } else { ", or use --force" })]
    InUse {
        /// As the caller named it.
        image: String,
        /// Some of the containers.
        containers: Vec<String>,
        /// Running containers' images are not removed even by force.
        running: bool,
    },
    /// An id was given and several references name it.
    #[error("image {image} has several references ({}): remove each, or use --force", references.join(", "))]
    SeveralReferences {
        /// As the caller named it.
        image: String,
        /// All of them.
        references: Vec<String>,
    },
    /// A manifest, index or configuration is not what it should be.
    #[error("image {0} has a document that cannot be used")]
    Document(String, #[source] DocumentError),
    /// The registry could not be reached or refused.
    #[error("cannot pull {reference}")]
    Registry {
        /// What was pulled.
        reference: String,
        /// The registry's answer.
        source: RegistryError,
    },
    /// A blob could not be brought here.
    #[error("cannot fetch blob {digest}")]
    Blob {
        /// Which.
        digest: Digest,
        /// Why.
        source: RegistryError,
    },
    /// A layer could not be unpacked.
    #[error("cannot unpack layer {digest}")]
    Unpack {
        /// Which.
        digest: Digest,
        /// Why.
        source: UnpackError,
    },
    /// The archive is none of the known kinds, or is not whole.
    #[error("cannot use the image archive")]
    Archive(#[from] ArchiveError),
    /// An archive could not be written.
    #[error("cannot write the image archive")]
    ArchiveWrite(#[source] io::Error),
    /// No image, or more than anybody means, was to be written.
    #[error("name between 1 and {limit} images to export")]
    NothingToExport {
        /// The most.
        limit: usize,
    },
    /// Blobs could not be kept.
    #[error("cannot keep the image's content")]
    Content(#[from] ContentError),
    /// Snapshots could not be kept.
    #[error("cannot keep the image's snapshots")]
    Snapshot(#[from] SnapshotError),
    /// The record could not be read or written.
    #[error("the image's record failed")]
    Store(#[from] StoreError),
    /// What nothing needs any more could not be removed.
    #[error("cannot collect what nothing needs")]
    Collect(#[from] CollectError),
    /// A task is gone: the daemon is stopping, or it panicked.
    #[error("the image task ended early")]
    Task(#[from] tokio::task::JoinError),
}

impl Failure for ImageError {
    fn kind(&self) -> Kind {
        match self {
            Self::Reference { .. }
            | Self::Platform(_)
            | Self::Ambiguous(_)
            | Self::IdAndName { .. }
            | Self::TagWithDigest(_)
            | Self::NothingToExport { .. } => Kind::InvalidArgument,
            Self::Archive(source) => source.kind(),
            Self::ArchiveWrite(source) => kind_of_io(source),
            Self::NotHere(_) | Self::NoPlatform { .. } | Self::OtherPlatform { .. } => Kind::NotFound,
            Self::InUse { .. } | Self::SeveralReferences { .. } | Self::TooManyNames { .. } => {
                Kind::FailedPrecondition
            }
            Self::WrongLayer { .. } => Kind::DataLoss,
            Self::Document(_, source) => source.kind(),
            Self::Registry { source, .. } | Self::Blob { source, .. } => source.kind(),
            Self::Unpack { source, .. } => source.kind(),
            Self::Content(source) => source.kind(),
            Self::Snapshot(source) => source.kind(),
            Self::Store(source) => source.kind(),
            Self::Collect(source) => source.kind(),
            Self::Task(_) => Kind::Internal,
        }
    }
}
