//! What can go wrong with a registry. A person who typed `knarr pull` reads these sentences.

use std::error::Error;
use std::fmt;

use knarr_proto::kind::Kind;

use super::budget::Exhausted;
use crate::content::{ContentError, Digest};

/// Why a registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// The TLS library cannot be set up.
    #[error("cannot set up TLS")]
    Setup(#[source] reqwest::Error),
    /// A certificate of the administrator's cannot be used.
    #[error("cannot use the certificates in {}", path.display())]
    Certificate {
        /// The file or directory.
        path: std::path::PathBuf,
        /// Why.
        source: Cause,
    },
    /// The machine cannot be reached, or is not what it says it is.
    #[error("cannot connect to the registry {registry}")]
    Connect {
        /// Host and port.
        registry: String,
        /// The first cause.
        source: Cause,
    },
    /// It was reached, and then the connection was lost, as often as we tried.
    #[error("the connection to the registry {registry} broke")]
    Broken {
        /// Host and port.
        registry: String,
        /// The first cause.
        source: Cause,
    },
    /// It costs more requests or time than one object may.
    #[error("gave up on the registry {registry}")]
    GaveUp {
        /// Host and port.
        registry: String,
        /// What was used up.
        source: Exhausted,
    },
    /// There is no such repository.
    #[error("image {name} not found in the registry")]
    NoImage {
        /// Without tag.
        name: String,
    },
    /// The repository has no such tag or digest.
    #[error("image {name} not found in the registry: no such {what} {reference}")]
    NoManifest {
        /// Without tag.
        name: String,
        /// "tag" or "digest".
        what: &'static str,
        /// The tag or the digest.
        reference: String,
    },
    /// A manifest names a blob that is not there.
    #[error("the registry does not have it")]
    NoBlob,
    /// It wants to know who we are.
    #[error(
        "the registry {registry} does not give {name} without credentials: it needs a login, or does not exist"
    )]
    Unauthenticated {
        /// Host and port.
        registry: String,
        /// Without tag.
        name: String,
    },
    /// It knows who we say we are, and does not believe it.
    #[error("the registry {registry} refuses the credentials of {username}")]
    WrongCredentials {
        /// Host and port.
        registry: String,
        /// The account.
        username: String,
    },
    /// It knows us and refuses.
    #[error("the registry {registry} denies access to {name}")]
    Denied {
        /// Host and port.
        registry: String,
        /// Without tag.
        name: String,
    },
    /// Too many pulls in too little time.
    #[error("the registry {registry} allows no more requests for now: try again later, or log in")]
    TooMany {
        /// Host and port.
        registry: String,
    },
    /// Another answer than the specification has.
    #[error("the registry {registry} answered {status}{said}")]
    Status {
        /// Host and port.
        registry: String,
        /// The HTTP status.
        status: u16,
        /// Its own words, after a colon.
        said: String,
    },
    /// It asks for something that we do not have.
    #[error("the registry {registry} asks for a kind of login that is not known: {challenge}")]
    Challenge {
        /// Host and port.
        registry: String,
        /// The beginning of the challenge.
        challenge: String,
    },
    /// Where it sends us for a token is no safe place for credentials.
    #[error("the registry {registry} sends logins to {realm:?}, which {why}")]
    Realm {
        /// Host and port.
        registry: String,
        /// The beginning of the token server's URL.
        realm: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// docker's configuration or a credential helper failed.
    #[error("cannot get docker's credentials for {registry}")]
    Credentials {
        /// Host and port.
        registry: String,
        /// Why.
        source: Cause,
    },
    /// More bytes than a document can have.
    #[error("the registry sends more than {limit} bytes as {what}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// The document is not what was asked for, or not what the registry says it is.
    #[error("wrong digest: expected {expected}, the registry sent {found}")]
    WrongDigest {
        /// Asked for, or promised.
        expected: Digest,
        /// Of the bytes.
        found: Digest,
    },
    /// The bytes could not be kept, or are not those of the digest.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A task is gone: the daemon is stopping, or it panicked.
    #[error("the download ended early")]
    Task(#[from] tokio::task::JoinError),
}

impl RegistryError {
    /// What kind of failure this is.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::GaveUp { .. } | Self::TooMany { .. } => {
                Kind::Unavailable
            }
            Self::NoImage { .. } | Self::NoManifest { .. } | Self::NoBlob => Kind::NotFound,
            Self::Unauthenticated { .. } | Self::WrongCredentials { .. } => Kind::Unauthenticated,
            Self::Denied { .. } | Self::Realm { .. } => Kind::PermissionDenied,
            Self::Status { status: 500.., .. } => Kind::Unavailable,
            Self::Status { .. } | Self::Challenge { .. } => Kind::Unimplemented,
            Self::TooLarge { .. } => Kind::InvalidArgument,
            Self::WrongDigest { .. } => Kind::DataLoss,
            Self::Content(source) => source.kind(),
            Self::Certificate { .. } | Self::Credentials { .. } => Kind::FailedPrecondition,
            Self::Setup(_) | Self::Task(_) => Kind::Internal,
        }
    }
}

/// The first cause of a failure below HTTP: what is between says nothing to a person, and some of it the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause(String);

impl Cause {
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut cause = error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        let text = cause.to_string();
        // Messages are lower case; proper names are not first in any of these.
        let mut letters = text.chars();
        let lower = letters.next().map(|first| first.to_lowercase().chain(letters).collect());
        Self(lower.unwrap_or_default())
    }

    /// Of a request that got no answer.
    pub(super) fn of_request(error: &reqwest::Error) -> Self {
        if error.is_timeout() { Self::said("it does not answer in time") } else { Self::of(error) }
    }

    pub(super) fn said(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Cause {}
